"""The kernels by name: how each is made, compiled once a process, and found by its address."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numba import types
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock

from numpool._cpu import launch, lp_rows, rows, scatter, walk
from numpool._cpu.cache import KernelCache

# (plan, source, other, out, extra, first task, last task), returns the number of tasks done.
WALK_SIGNATURE = types.int64(*[types.int64] * 7)


def _lowest(dtype: np.dtype) -> float | int:
    return -np.inf if dtype.kind == "f" else int(np.iinfo(dtype).min)


def _computed(dtype: str) -> Any:
    return rows.stored_type(np.dtype(dtype))


def _max(dtype: str) -> Callable:
    computed = _computed(dtype)
    return walk.make_walk(
        rows.scalar.larger, True, computed(_lowest(np.dtype(dtype))), computed, False
    )


def _argmax(dtype: str) -> Callable:
    computed = _computed(dtype)
    identity = computed(_lowest(np.dtype(dtype)))
    return walk.make_walk(rows.scalar.prefers_second, True, identity, computed, True)


def _sum(dtype: str) -> Callable:
    computed = _computed(dtype)
    return walk.make_walk(rows.scalar.add, False, computed(0), computed, False)


def _optional(dtype: str | None) -> np.dtype | None:
    return None if dtype is None else np.dtype(dtype)


# Family: (maker of the function, its signature). A kernel is a family and the names of its types
# and options.
_FAMILIES: dict[str, tuple[Callable[..., Callable], Any]] = {
    "max": (_max, WALK_SIGNATURE),
    "argmax": (_argmax, WALK_SIGNATURE),
    "sum": (_sum, WALK_SIGNATURE),
    "scatter": (lambda w, x: scatter.make_scatter(_computed(w), _optional(x)), WALK_SIGNATURE),
    "check": (scatter.make_check, WALK_SIGNATURE),
    "load": (lambda d, w: rows.make_load(d, _computed(w)), rows.SIGNATURE),
    "load_power": (lambda d, w: rows.make_load(d, _computed(w), lifted=True), rows.SIGNATURE),
    "load_places": (scatter.make_load_places, rows.SIGNATURE),
    "load_gradient": (
        lambda d, y, w: rows.make_load_gradient(d, _optional(y), _computed(w)),
        rows.SIGNATURE,
    ),
    "store": (lambda w, d: rows.make_store(_computed(w), d), rows.SIGNATURE),
    "store_positions": (rows.make_store_positions, rows.SIGNATURE),
    "divide": (lambda w: rows.make_divide(_computed(w)), rows.SIGNATURE),
    "root": (lp_rows.make_finish_lp, rows.SIGNATURE),
    "root_gradient": (lp_rows.make_finish_lp_gradient, rows.SIGNATURE),
}

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
    kernel.compile()
    _compiled[key] = kernel
    return kernel


def _usual(operators: Iterable[str], dtypes: Iterable[str]) -> list[tuple]:
    """The kernels of calls on arrays of the given types without further options, in any layout."""
    from numpool import _rules
    from numpool._windows import windows_of

    windows = windows_of((2,), 1, 2, None, 0, 1, False, None)
    options: dict[str, tuple] = {"max": (False,), "avg": (True, None, None), "lp": (2.0, None)}
    kernels: dict[tuple, None] = {}
    for operator in operators:
        for dtype in dtypes:
            rule = _rules.FORWARD[operator](np.dtype(dtype), windows, *options[operator])
            kernels[rule.kernel] = None
            kernels.update((row, None) for row in rule.rows if row is not None)
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
