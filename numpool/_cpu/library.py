"""The kernels by name: how each is made, compiled once a process, and found by its address."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numba import types
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock

from numpool._cpu import (
    arg_columns,
    arg_rows,
    arg_runs,
    arg_taps,
    compiling,
    halves,
    launch,
    lines,
    locate,
    long_windows,
    lp_rows,
    match,
    match_lay,
    match_rows,
    planes,
    rows,
    scatter,
    scatter_channels,
    scatter_each,
    scatter_lines,
    scatter_taps,
    second_look,
    short_channels,
    short_loops,
    short_rows,
    short_runs,
    short_windows,
    spread,
    strided,
    strips,
    tap_numbers,
    vectors,
    walk,
)
from numpool._cpu.cache import KernelCache
from numpool._operators import NO_PACKED

# (plan, source, other, out, extra, first task, last task), returns the number of tasks done.
WALK_SIGNATURE = types.int64(*[types.int64] * 7)


def _computed(dtype: str) -> Any:
    return rows.stored_type(np.dtype(dtype))


def _element(dtype: str) -> Any:
    """The numba type of elements that vectors are made of."""
    return types.float16 if dtype == "float16" else rows.stored_type(dtype)


def _lines(combine: str, overlap: bool, dtype: str, pairs: bool = False) -> Callable:
    computed = _computed(dtype)
    identity = rows.lowest_of(dtype) if overlap else 0
    both, of_vectors = getattr(rows.scalar, combine), getattr(vectors, combine, None)
    if dtype == "float16":
        both, of_vectors = halves.larger_half, halves.larger
    reduce_run = None if pairs else vectors.make_reduce_run(of_vectors, identity, computed)
    return lines.make_lines(
        both,
        computed(identity),
        computed,
        overlap,
        combine_vectors=None if pairs else of_vectors,
        reduce_run=reduce_run,
    )


def _converting(combine: str, dtype: str, source: str, form: str | None = None) -> Callable:
    """Lines of accumulators made from source rows on the way: converted, or powers."""
    computed = _computed(dtype)
    stored = _element(source)
    of_vectors = getattr(vectors, combine), 0, computed
    lift = functools.partial(vectors.lifted, source=stored, dtype=computed, form=form)
    return lines.make_lines(
        getattr(rows.scalar, combine),
        computed(0),
        computed,
        combine == "larger",
        combine_vectors=of_vectors[0],
        source=stored,
        convert=lift,
        reduce_run=vectors.make_reduce_run(*of_vectors),
        lift_run=vectors.make_reduce_run(*of_vectors, stored, form),
    )


def _short(
    finish: str,
    result: str,
    windows: str,
    columns: str,
    order: str,
    lines: str,
    dtype: str,
    source: str | None = None,
    form: str | None = None,
) -> Callable:
    """Short windows of the accumulators that a family of lines has; names are those of
    `_short_kernels.along_rows`.
    """
    pooling = _in_registers(finish, result, lines, dtype, source, form)
    pooling = pooling._replace(step=short_rows.STEPS[columns], swapped=order == "swapped")
    return short_loops.make_short(pooling, short_loops.SHORT[windows])


def _short_pixels(channels: int, finish: str, result: str, *lines: str) -> Callable:
    """The same of pixels of some channels."""
    return short_loops.make_short_pixels(_in_registers(finish, result, *lines), channels)


def _dense(make: Callable, finish: str, result: str, order: str, *lines: str) -> Callable:
    """The same by a maker of kernels for columns that lie side by side."""
    return make(_in_registers(finish, result, *lines)._replace(swapped=order == "swapped"))


def _in_registers(
    finish: str,
    result: str,
    lines: str,
    dtype: str,
    source: str | None = None,
    form: str | None = None,
) -> short_rows.Pooling:
    computed = _element(dtype)
    combine = "add" if lines in ("sum", "sum_of") else "larger"
    identity = rows.lowest_of(dtype) if lines == "max" else 0
    if combine == "add" and isinstance(computed, types.Float):
        identity = -0.0  # as 0.0 + -0.0 is 0.0
    pooling = short_rows.Pooling(
        dtype=computed,
        combine=halves.larger if dtype == "float16" else getattr(vectors, combine),
        identity=identity,
        finish=finish,
        result=_element(result),
    )
    if source is not None:
        stored = _element(source)
        lift = functools.partial(vectors.lifted, source=stored, dtype=computed, form=form)
        pooling = pooling._replace(source=stored, lift=lift)
    return pooling


def _packing(source: str, magnitude: bool = False) -> Callable:
    """Lines of values packed with their codes on the way."""
    return lines.make_lines(
        rows.scalar.larger_packed,
        types.int64(NO_PACKED),
        types.int64,
        True,
        combine_vectors=vectors.larger,
        packed=True,
        source=rows.stored_type(source),
        convert=arg_rows.packer(source, magnitude),
    )


# Family: (maker of the function, its signature). A kernel is a family and the names of its types
# and options.
_FAMILIES: dict[str, tuple[Callable[..., Callable], Any]] = {
    "walk": (lambda: walk.walk, WALK_SIGNATURE),
    "walk_flat": (lambda: strips.walk_flat, WALK_SIGNATURE),
    "walk_strips": (lambda: strips.walk_strips, WALK_SIGNATURE),
    "walk_short_windows": (lambda: short_windows.walk_short_windows, WALK_SIGNATURE),
    "walk_long_windows": (lambda: long_windows.walk_long_windows, WALK_SIGNATURE),
    "walk_planes": (lambda: planes.walk_planes, WALK_SIGNATURE),
    "max": (lambda d: _lines("larger", True, d), lines.SIGNATURE),
    "argmax": (_packing, lines.SIGNATURE),
    "argmax_of_pairs": (lambda d: _lines("prefers_second", True, d, True), lines.SIGNATURE),
    "argmax_by_columns": (arg_columns.make_walk_arg_columns, WALK_SIGNATURE),
    "argmax_by_taps": (arg_taps.make_walk_arg_taps, WALK_SIGNATURE),
    "argmax_by_runs": (arg_runs.make_walk_arg_runs, WALK_SIGNATURE),
    "sum": (lambda d: _lines("add", False, d), lines.SIGNATURE),
    "sum_of": (lambda *names: _converting("add", *names), lines.SIGNATURE),
    "max_of": (lambda *names: _converting("larger", *names), lines.SIGNATURE),
    "scatter": (lambda w: scatter.make_scatter(_computed(w)), WALK_SIGNATURE),
    "short": (_short, short_loops.SIGNATURE),
    "short_channels": (
        functools.partial(_dense, short_channels.make_short_channels),
        short_loops.SIGNATURE,
    ),
    "short_runs": (functools.partial(_dense, short_runs.make_short_runs), short_loops.SIGNATURE),
    "short_pixels": (_short_pixels, short_loops.SIGNATURE),
    "walk_matches": (lambda: match.walk_matches, WALK_SIGNATURE),
    "match": (match_rows.make_match, match_rows.SIGNATURE),
    "lay_windows": (match_lay.make_lay, match_lay.SIGNATURE),
    "locate": (locate.make_locate, locate.LOCATE),
    "number_taps": (tap_numbers.make_number_taps, locate.LOCATE),
    "load_line": (lambda d, w: scatter_lines.make_load(d, _computed(w)), scatter_lines.LOAD),
    "sign_box": (lambda d, w: scatter_lines.make_sign(d, _computed(w)), scatter_lines.BOX),
    "add_taps": (lambda w: scatter_taps.make_add_taps(_computed(w)), scatter_taps.ADD_TAPS),
    "add_each": (lambda w: scatter_each.make_add_each(_computed(w)), scatter_taps.ADD_TAPS),
    "add_places": (
        lambda w, far: scatter_each.make_add_places(_computed(w), far),
        scatter_taps.ADD_TAPS,
    ),
    "add_positions": (
        lambda d, w: scatter_each.make_add_positions(d, _computed(w)),
        scatter_taps.ADD_TAPS,
    ),
    "add_channels": (
        lambda w: scatter_channels.make_add_channels(_computed(w)),
        scatter_taps.ADD_TAPS,
    ),
    "store_box": (lambda w, d: scatter_lines.make_store(_computed(w), d), scatter_lines.BOX),
    "spread": (lambda w: spread.make_spread(_computed(w)), spread.SIGNATURE),
    "take": (strided.make_take, strided.TAKE),
    "take_swapped": (strided.make_take_swapped, strided.TAKE),
    "load": (lambda d, w: rows.make_load(d, _computed(w)), rows.SIGNATURE),
    "load_power": (lambda d, w, form: rows.make_load(d, _computed(w), form), rows.SIGNATURE),
    "load_gradient": (
        lambda d, w, swapped: rows.make_load_gradient(d, _computed(w), swapped),
        rows.SIGNATURE,
    ),
    "load_root_gradient": (lp_rows.make_load_root_gradient, rows.SIGNATURE),
    "store": (lambda w, d: rows.make_store(_computed(w), d), rows.SIGNATURE),
    "store_average": (
        lambda w, d, q: rows.make_store(_computed(w), d, _computed(q)),
        rows.SIGNATURE,
    ),
    "store_divided": (
        lambda x, d, w: second_look.make_store_divided(x, d, _computed(w)),
        rows.SIGNATURE,
    ),
    "load_packed": (arg_rows.make_load_packed, rows.SIGNATURE),
    "store_packed": (arg_rows.make_store_packed, rows.SIGNATURE),
    "store_pairs": (lambda w, d, i: arg_rows.make_store_pairs(_computed(w), d, i), rows.SIGNATURE),
    "store_root": (
        lambda x, d, w, form: lp_rows.make_store_root(x, d, _computed(w), form),
        rows.SIGNATURE,
    ),
    "store_root_gradient": (lp_rows.make_store_root_gradient, rows.SIGNATURE),
}

# The walks that call line kernels, which take many words.
_WALKS_OVER_LINES = ("walk", "walk_flat", "walk_strips", "walk_long_windows")

# Compiled kernels, by family and arguments. They live as long as the process: plans hold their
# addresses.
_compiled: dict[tuple, CFunc] = {}


def address(family: str, *args: Any) -> int:
    """The address of a kernel, compiled or loaded from disk at its first use."""
    key = (family, *args)
    kernel = _compiled.get(key)
    if kernel is None:
        # Numba's lock and not one of ours: it is the one that is taken around a fork.
        with global_compiler_lock:
            kernel = _compiled.get(key) or _compile(key)
    return int(kernel.address)  # type: ignore[arg-type]


def _name(key: tuple) -> str:
    return "-".join(str(part).lower() for part in key)


def _compile(key: tuple) -> CFunc:
    family, *args = key
    make, signature = _FAMILIES[family]
    kernel = CFunc(
        make(*args), (signature.args, signature.return_type), {}, {"error_model": "numpy"}
    )
    kernel._cache = KernelCache(_name(key))  # type: ignore[attr-defined]
    passes_words = signature == lines.SIGNATURE or family in _WALKS_OVER_LINES
    of_vectors = signature == short_loops.SIGNATURE
    with compiling.uninterrupted(), compiling.quickly(passes_words, of_vectors):
        kernel.compile()
    _compiled[key] = kernel
    return kernel


def _usual(operators: Iterable[str], dtypes: Iterable[str]) -> list[tuple]:
    """The kernels of calls on arrays of the given types without further options, in any layout."""
    from numpool import _rules
    from numpool._short_kernels import along_rows, finish_of, kept, side_by_side
    from numpool._windows import windows_of

    windows = windows_of((2,), 1, 2, None, 0, 1, False, None)
    options: dict[str, tuple] = {"max": (False,), "avg": (True, None, None), "lp": (2.0, None)}
    walks = ("walk", "walk_flat", "walk_strips", "walk_short_windows")
    kernels: dict[tuple, None] = dict.fromkeys((walk,) for walk in walks)
    for operator in operators:
        for dtype in dtypes:
            rule = _rules.FORWARD[operator](np.dtype(dtype), windows, *options[operator])
            kernels.update((kernel, None) for kernel in rule.rows[:3] if kernel is not None)
            kernels["take", np.dtype(dtype).itemsize] = None
            if rule.rows.source is not None:
                finish = finish_of(rule.computed, rule.rows, windows.taps) or kept(rule.computed)
                for family in ("short_channels", "short_runs"):
                    kernels[side_by_side(family, rule.rows, finish)] = None
                for kind in itertools.product(short_loops.SHORT, short_rows.STEPS.values()):
                    kernels[along_rows(rule.rows, finish, *kind)] = None
    return list(kernels)


def warm_count(operators: Iterable[str], dtypes: Iterable[str]) -> int:
    """How many kernels `warm` goes through."""
    return len(_usual(operators, dtypes)) + len(launch.DRIVERS)


def warm(operators: Iterable[str], dtypes: Iterable[str]) -> Iterator[tuple[str, float]]:
    """Compile the kernels of some operators and dtypes, or load them from disk: yields each name
    and its seconds.
    """
    for name, driver in launch.DRIVERS.items():
        start = time.perf_counter()
        driver.ready()
        yield name, time.perf_counter() - start
    for kernel in _usual(operators, dtypes):
        start = time.perf_counter()
        address(*kernel)
        yield _name(kernel), time.perf_counter() - start
