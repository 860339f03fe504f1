"""Fuzz the package against the oracle: `python tests/fuzz.py COUNT SEED [--processes N]`.

`check` runs one configuration; the property tests use it too.
"""

import argparse
import collections
import concurrent.futures
import math
import multiprocessing
import random
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import cases
import numpy as np
import oracle
from cases import Call, Case, Layout

# A script finds the working tree no other way; pytest has it in its path already.
sys.path.insert(0, str(Path(__file__).parent.parent))
import numpool

MOST_FAILURES = 20


def reference(case: Case, call: Call) -> Any:
    """What the oracle has to say."""
    arguments = dict(case.geometry)
    for name in ("p", "count_include_pad", "divisor_override"):
        if name in case.options:
            arguments[name] = case.options[name]
    if case.direction != "backward":
        return getattr(oracle, f"{case.op}_pool")(call.x.values, **arguments)
    if call.helper is not None:
        arguments["y" if case.op == "lp" else "indices"] = call.helper.values
    function = getattr(oracle, f"{case.op}_pool_backward")
    return function(call.grad.values, call.x.values, **arguments)


def assert_memory_order(result: np.ndarray, x: np.ndarray) -> None:
    """The result is dense, and its axes lie in the order of those of `x`."""
    expected = result.itemsize
    for n, stride in sorted(zip(result.shape, result.strides, strict=True), key=lambda a: a[1]):
        if n > 1 and result.size:
            assert stride == expected, f"gaps: {result.shape} {result.strides}"
            expected *= n
    told = [
        (abs(x.strides[a]), result.strides[a])
        for a in range(x.ndim)
        if x.shape[a] > 1 and result.shape[a] > 1 and x.strides[a] != 0
    ]
    for a in told if x.size else ():
        for b in told:
            if a[0] > b[0] and result.size:
                assert a[1] > b[1], (
                    f"order: x {x.shape} {x.strides}, result {result.shape} {result.strides}"
                )


def assert_untouched(call: Call, before: list[bytes | None]) -> None:
    """No input changed, and nothing was written beside `out`."""
    written = [] if call.out is None else call.out
    for placed, old in zip((call.x, call.grad, call.helper), before, strict=True):
        if placed is not None and placed.base is not None:
            shared = any(np.shares_memory(placed.base, out.base) for out in written)
            assert shared or placed.base.tobytes() == old, "an input was changed"


def assert_only_out(call: Call, before: list[bytes]) -> None:
    for out, old in zip(call.out, before, strict=True):
        expected = np.frombuffer(bytearray(old), np.uint8)
        offset = out.given.ctypes.data - out.base.ctypes.data
        if out.given.size:
            view = np.ndarray(out.given.shape, out.given.dtype, expected, offset, out.given.strides)
            view[...] = out.given
        assert np.array_equal(expected, out.base), "something beside out was written"


def check(case: Case) -> bool:
    """Run one configuration; False if it describes no output (which has to be a ValueError)."""
    if not case.possible:
        x = np.zeros(case.shape, case.dtype)
        name = f"{case.op}_pool" + (f"{case.rank}d" if case.rank else "")
        arrays = [x]
        if case.direction == "backward":
            name, arrays = name + "_backward", [np.zeros(case.shape), x]
        try:
            result = getattr(numpool, name)(*arrays, **case.window, **case.options)
        except ValueError:
            return False
        raise AssertionError(f"no output can exist, but {result!r} came back")
    call = cases.build(case)
    inputs = (call.x, call.grad, call.helper)
    before = [p.base.tobytes() if p is not None and p.base is not None else None for p in inputs]
    bases = [o.base.tobytes() for o in call.out or ()]
    expected = reference(case, call)
    result = getattr(numpool, call.function)(*call.positional, **call.keywords)
    results = result if case.direction in ("indices", "offset") else (result,)
    if call.out is not None:
        assert len(results) == len(call.out)
        for got, out in zip(results, call.out, strict=True):
            assert got is out.given, "out was not returned"
        assert_only_out(call, bases)
    else:
        for got in results:
            assert type(got) is np.ndarray, type(got)
            assert_memory_order(got, np.asarray(call.x.given))
    assert_untouched(call, before)
    assert_right(case, results, expected)
    return True


def assert_right(case: Case, results: tuple[np.ndarray, ...], expected: Any) -> None:
    """The results of a call are those of the oracle, within the bounds."""
    for got, dtype in zip(results, cases.result_types(case), strict=True):
        assert got.dtype == dtype and got.dtype.isnative, (got.dtype, dtype)
    dtype = np.dtype(case.dtype)
    if case.direction == "backward":
        p = float(case.options.get("p", 2.0)) if case.op == "lp" else 0.0
        oracle.assert_backward(results[0], expected, np.dtype(case.grad_dtype), p)
    elif case.op == "max":
        which = {"forward": (0,), "indices": (0, 1), "offset": (0, 2)}[case.direction]
        for got, i in zip(results, which, strict=True):
            oracle.assert_same(("values", "positions", "offsets")[i], got, expected[i])
    elif case.op == "avg":
        oracle.assert_avg(results[0], expected, dtype)
    else:
        oracle.assert_lp(results[0], expected, dtype, case.options.get("p", 2.0))


def describe(case: Case) -> dict[str, str]:
    """What a case is counted under."""
    axis = case.window.get("axis")
    types = [str(t) for t in cases.result_types(case)[:1]]
    if case.direction == "backward":
        types = [case.grad_dtype]
    direction = case.direction
    if case.helper is not None:
        kind = {"i": "positions", "u": "offsets"}.get(case.helper[0], "y")
        direction += f" with {kind}"
    if axis is None:
        order = "default"
    else:
        normal = oracle.window_axes(len(case.shape), case.window["kernel_size"], axis, None)
        order = "in order" if normal == sorted(normal) else "out of order"
        order += ", last" if max(normal) == len(case.shape) - 1 else ", not last"
    return {
        "operator and direction": f"{case.op} {direction}",
        "dtypes": " ".join([case.dtype, "->", *types]),
        "layout": case.layout.kind,
        "rank": f"{case.rank or 'n'}d, array of {len(case.shape)} axes",
        "padding": case.padding_form,
        "axis": order,
        "contents": case.content,
        "out": "none" if case.out is None else f"out {'overlapping' if case.overlap else 'apart'}",
    }


def fuzz(count: int, seed: int, first: int, step: int) -> tuple[int, dict[str, Any], list[str]]:
    """Run `count` cases, numbered first, first + step ...: how many ran, tables, failures."""
    tables: dict[str, Any] = collections.defaultdict(collections.Counter)
    failures: list[str] = []
    ran, number = 0, first
    while ran < count and len(failures) < MOST_FAILURES:
        case = cases.draw_case(random.Random(f"{seed}:{number}").randint)
        number += step
        if case is None:
            continue
        try:
            counted = check(case)
        except Exception:
            failures.append(f"{case!r}\n{traceback.format_exc(limit=-3)}")
            counted = True
        if counted:
            ran += 1
            for table, row in describe(case).items():
                tables[table][row] += 1
    return ran, dict(tables), failures


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz numpool against the oracle.")
    parser.add_argument("count", type=int, nargs="?", default=1000)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--case", help="run this one case, as a failure printed it")
    options = parser.parse_args()
    if options.case:
        names = {"Case": Case, "Layout": Layout, "np": np, "inf": math.inf, "dtype": np.dtype}
        print("agrees" if check(eval(options.case, names)) else "no output, and a ValueError")
        return 0
    begin = time.perf_counter()
    n = options.processes
    shares = [options.count // n + (i < options.count % n) for i in range(n)]
    jobs = [(share, options.seed, i, n) for i, share in enumerate(shares)]
    if n == 1:
        parts = [fuzz(*jobs[0])]
    else:
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(n, mp_context=context) as pool:
            parts = list(pool.map(fuzz, *zip(*jobs, strict=True)))
    seconds = time.perf_counter() - begin
    tables: dict[str, Any] = collections.defaultdict(collections.Counter)
    for _, part, _ in parts:
        for table, rows in part.items():
            tables[table] += rows
    for table, rows in tables.items():
        print(f"{table}:")
        for row, times in sorted(rows.items()):
            print(f"  {row:32} {times:8}")
    failures = [failure for part in parts for failure in part[2]]
    for failure in failures[:MOST_FAILURES]:
        print(f"\nMISMATCH, replay with --case:\n{failure}")
    ran = sum(part[0] for part in parts)
    print(f"{ran} configurations, seed {options.seed}, {len(failures)} mismatches, {seconds:.1f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
