"""The public functions: names, signatures and documentation; each makes one call down.

The functions for a fixed number of window axes are made from the same definition as the rank-
generic ones.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from numpool import _docs
from numpool._windows import windows_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    Ints = int | Sequence[int]
    Padding = int | Sequence[int] | Sequence[tuple[int, int]] | str

_Function = TypeVar("_Function", bound=Callable[..., Any])


@functools.cache
def _calls() -> Any:
    """The calls module. It brings in numba, which takes longer than all the rest, so the first call
    does.
    """
    from numpool import _calls

    return _calls


def _public(function: _Function, rank: int | None) -> _Function:
    """`function` under its public name and with its documentation."""
    suffix = "" if rank is None else f"{rank}d"
    base, backward, _ = function.__name__.partition("_backward")
    function.__name__ = function.__qualname__ = f"{base}{suffix}{backward}"
    function.__doc__ = _docs.documentation(function.__name__, base + backward, rank)
    return function


def _make_max_pool(rank: int | None) -> Callable[..., Any]:
    def max_pool(
        x: ArrayLike,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Padding = 0,
        dilation: Ints = 1,
        *,
        ceil_mode: bool = False,
        return_indices: bool | str = False,
        axis: Ints | None = None,
        out: Any = None,
    ) -> Any:
        arguments = (kernel_size, stride, padding, dilation, ceil_mode, axis)
        return _calls().pool("max", x, rank, arguments, (return_indices,), out)

    return _public(max_pool, rank)


def _make_avg_pool(rank: int | None) -> Callable[..., Any]:
    def avg_pool(
        x: ArrayLike,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Padding = 0,
        dilation: Ints = 1,
        *,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: float | None = None,
        axis: Ints | None = None,
        dtype: DTypeLike | None = None,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        arguments = (kernel_size, stride, padding, dilation, ceil_mode, axis)
        options = (count_include_pad, divisor_override, dtype)
        return _calls().pool("avg", x, rank, arguments, options, out)

    return _public(avg_pool, rank)


def _make_lp_pool(rank: int | None) -> Callable[..., Any]:
    def lp_pool(
        x: ArrayLike,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Padding = 0,
        dilation: Ints = 1,
        *,
        p: float = 2.0,
        ceil_mode: bool = False,
        axis: Ints | None = None,
        dtype: DTypeLike | None = None,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        arguments = (kernel_size, stride, padding, dilation, ceil_mode, axis)
        return _calls().pool("lp", x, rank, arguments, (p, dtype), out)

    return _public(lp_pool, rank)


def _make_max_pool_backward(rank: int | None) -> Callable[..., Any]:
    def max_pool_backward(
        grad_output: ArrayLike,
        x: ArrayLike,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Padding = 0,
        dilation: Ints = 1,
        *,
        ceil_mode: bool = False,
        indices: ArrayLike | None = None,
        axis: Ints | None = None,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        arguments = (kernel_size, stride, padding, dilation, ceil_mode, axis)
        return _calls().max_pool_backward(grad_output, x, rank, arguments, indices, out)

    return _public(max_pool_backward, rank)


def _make_avg_pool_backward(rank: int | None) -> Callable[..., Any]:
    def avg_pool_backward(
        grad_output: ArrayLike,
        x: ArrayLike,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Padding = 0,
        dilation: Ints = 1,
        *,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: float | None = None,
        axis: Ints | None = None,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        arguments = (kernel_size, stride, padding, dilation, ceil_mode, axis)
        options = (count_include_pad, divisor_override)
        return _calls().avg_pool_backward(grad_output, x, rank, arguments, options, out)

    return _public(avg_pool_backward, rank)


def _make_lp_pool_backward(rank: int | None) -> Callable[..., Any]:
    def lp_pool_backward(
        grad_output: ArrayLike,
        x: ArrayLike,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Padding = 0,
        dilation: Ints = 1,
        *,
        p: float = 2.0,
        ceil_mode: bool = False,
        y: ArrayLike | None = None,
        axis: Ints | None = None,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        arguments = (kernel_size, stride, padding, dilation, ceil_mode, axis)
        return _calls().lp_pool_backward(grad_output, x, rank, arguments, p, y, out)

    return _public(lp_pool_backward, rank)


_RANKS = (None, 1, 2, 3)

max_pool, max_pool1d, max_pool2d, max_pool3d = map(_make_max_pool, _RANKS)
avg_pool, avg_pool1d, avg_pool2d, avg_pool3d = map(_make_avg_pool, _RANKS)
lp_pool, lp_pool1d, lp_pool2d, lp_pool3d = map(_make_lp_pool, _RANKS)
(
    max_pool_backward,
    max_pool1d_backward,
    max_pool2d_backward,
    max_pool3d_backward,
) = map(_make_max_pool_backward, _RANKS)
(
    avg_pool_backward,
    avg_pool1d_backward,
    avg_pool2d_backward,
    avg_pool3d_backward,
) = map(_make_avg_pool_backward, _RANKS)
(
    lp_pool_backward,
    lp_pool1d_backward,
    lp_pool2d_backward,
    lp_pool3d_backward,
) = map(_make_lp_pool_backward, _RANKS)


def output_shape(
    shape: Sequence[int],
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    *,
    ceil_mode: bool = False,
    axis: Ints | None = None,
) -> tuple[int, ...]:
    """The shape of the result of pooling an array.

    Parameters
    ----------
    shape : sequence of int
        The shape of the array.
    kernel_size, stride, padding, dilation, ceil_mode, axis
        As for `max_pool`.

    Returns
    -------
    tuple of int
        The shape that an `out` for the call must have.

    Examples
    --------
    >>> from numpool import output_shape
    >>> output_shape((16, 64, 112, 112), (3, 3), stride=2, padding=1)
    (16, 64, 56, 56)
    """
    from numpool._windows import as_int

    try:
        lengths = tuple(as_int(f"shape[{i}]", n, 0) for i, n in enumerate(shape))
    except TypeError as error:
        raise TypeError(f"shape must be a sequence of ints, got {shape!r}") from error
    return windows_of(lengths, None, kernel_size, stride, padding, dilation, ceil_mode, axis).shape
