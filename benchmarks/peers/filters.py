"""SciPy, bottleneck and numbagg: filters with one output for each input, on one thread or two.

What they compute at the borders beyond the windows of a case is cut off.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.cases import Case
from benchmarks.data import Data
from benchmarks.peers.peer import Peer, Run
from benchmarks.threads import COUNT


def plain(data: Data) -> np.ndarray:
    return np.require(data.x, data.x.dtype.newbyteorder("="), ["C", "A", "W"])


def _inner(case: Case, before: Sequence[int]) -> tuple[slice, ...]:
    """The outputs whose windows lie within the array, `before` taps of them before the output."""
    inner = [slice(None)] * len(case.shape)
    for axis, k, first in zip(case.axis, case.kernel_size, before, strict=True):
        inner[axis] = slice(first, case.shape[axis] - (k - 1 - first))
    return tuple(inner)


def supports_scipy(case: Case) -> bool:
    if case.backward or case.indices or case.operator == "lp" or case.dtype == "float16":
        return False
    whole_numbers = case.operator == "avg" and np.dtype(case.dtype).kind != "f"
    return (case.centred or case.sliding) and not whole_numbers


def _prepare_scipy(data: Data) -> Run:
    from scipy import ndimage

    return filtered(data.case, plain(data), ndimage, np.asarray)


def filtered(case: Case, x: Any, ndimage: Any, on_host: Callable[[Any], np.ndarray]) -> Run:
    """The filters of SciPy, or of a module that has the same ones for arrays of its own."""
    size = [1] * x.ndim
    for axis, k in zip(case.axis, case.kernel_size, strict=True):
        size[axis] = k
    if case.operator == "max":
        lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min

        def call() -> Any:
            return ndimage.maximum_filter(x, size, mode="constant", cval=lowest)

    else:

        def call() -> Any:
            return ndimage.uniform_filter(x, size, mode="constant")

    inner = _inner(case, [k // 2 for k in case.kernel_size]) if case.sliding else ()
    return Run(call, lambda result: (on_host(result[inner]),))


def _supports_moving(case: Case) -> bool:
    plain = not case.backward and not case.indices and case.dtype in ("float32", "float64")
    return plain and case.rank == 1 and case.sliding


def _supports_bottleneck(case: Case) -> bool:
    return _supports_moving(case) and case.operator in ("max", "avg")


def _supports_numbagg(case: Case) -> bool:
    return _supports_moving(case) and case.operator == "avg"


def _moving(data: Data, function: Callable[..., Any]) -> Run:
    case = data.case
    x = plain(data)
    k, axis = case.kernel_size[0], case.axis[0]
    inner = _inner(case, [k - 1])
    return Run(lambda: function(x, window=k, axis=axis), lambda result: (result[inner],))


def _prepare_bottleneck(data: Data) -> Run:
    import bottleneck

    largest = data.case.operator == "max"
    return _moving(data, bottleneck.move_max if largest else bottleneck.move_mean)


def _prepare_numbagg(data: Data) -> Run:
    import numbagg

    run = _moving(data, numbagg.move_mean)
    run.call()  # compiles it
    return run


SCIPY = Peer("SciPy", "scipy", 1, supports_scipy, _prepare_scipy, running=True)
BOTTLENECK = Peer(
    "bottleneck", "bottleneck", 1, _supports_bottleneck, _prepare_bottleneck, running=True
)
NUMBAGG = Peer("numbagg", "numbagg", COUNT, _supports_numbagg, _prepare_numbagg, running=True)
