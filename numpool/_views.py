"""Any array to the engine's view of it, (items, depth, rows, columns, channels), without a copy.

The axes are taken in the order in which the array lies in memory, so that a Fortran or channels-
last array is walked in a straight line like any other. Batch axes below the last window axis are
channels, the others are counted by items.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from numpool._cuda.libraries import on_device
from numpool._windows import Axis, Windows

FLOATS = "efd"
INTEGERS = "bBhHiIlLqQpP"
REAL = "?" + INTEGERS + FLOATS
ALLOWED = {
    FLOATS: "float16, float32 or float64",
    INTEGERS: "int8 to int64 or uint8 to uint64",
    REAL: "bool, an integer type, float16, float32 or float64",
}


class Dimension(NamedTuple):
    """An axis of the view: its windows, the strides of each operand along it, and the axis of the
    array it is.
    """

    window: Axis
    strides: tuple[int, ...]
    axis: int | None = None


class View(NamedTuple):
    """The operands of a call as the engine sees them."""

    batch: tuple[Dimension, ...]
    depth: Dimension
    rows: Dimension
    columns: Dimension
    channels: Dimension


# Lines of as many elements gain nothing by becoming longer.
_JOINED = 512


def no_windows(size: int) -> Axis:
    return Axis(size, 1, 1, 1, 0, 0, size)


def tiles_exactly(window: Axis) -> bool:
    """Whether windows stand side by side and cover all of their axis, and nothing else."""
    return (
        window.kernel == window.stride
        and window.dilation == 1
        and window.before == 0
        and window.outputs * window.stride == window.length
    )


def covers(window: Axis) -> bool:
    """Whether an axis has one window, of just its elements."""
    return (
        window.outputs == 1
        and window.before == 0
        and window.reach == window.length == (window.kernel)
    )


def _extents(window: Axis, lead: int) -> tuple[int, ...]:
    """How far each operand extends along an axis: `lead` and what is of its shape over the input,
    the others over the outputs.
    """
    inputs, outputs = (window.length,) * 2, (window.outputs,) * 2
    return inputs + outputs if lead == 0 else outputs + inputs


def continues(outer: Dimension, inner: Dimension, extents: tuple[int, ...]) -> bool:
    """Whether a step along `outer` is one over the whole extent of `inner`, in each operand."""
    return all(a == b * n for a, b, n in zip(outer.strides, inner.strides, extents, strict=True))


def _joined_batch(batch: Dimension, rows: Dimension) -> Dimension:
    """A batch axis and windows that tile the axis below it, as one axis."""
    n, w = batch.window.length, rows.window
    window = w._replace(length=n * w.length, outputs=n * w.outputs)
    return Dimension(window, rows.strides, rows.axis)


def _joined_windows(outer: Dimension, inner: Dimension, lead: int) -> Dimension:
    """Windows over all of the inner axis, and along the outer one: as windows along one axis."""
    n, w = inner.window.length, outer.window
    window = Axis(n * w.length, n * w.kernel, n * w.stride, 1, n * w.before, n * w.after, w.outputs)
    inputs = range(2) if lead == 0 else range(2, 4)
    strides = tuple((inner if i in inputs else outer).strides[i] for i in range(4))
    return Dimension(window, strides, inner.axis)


def canonical(
    windows: Windows,
    shape: tuple[int, ...],
    operands: Sequence[tuple[int, ...] | None],
    lead: int,
    keep_axes: bool,
    join: bool = True,
    runs: bool = False,
) -> View:
    """The view of `operands`, given by their strides, of an input of `shape`.

    Operand number `lead`, which has the input's shape, says in which order memory is walked.
    `keep_axes`: window axes that change nothing stay window axes, as whatever works with positions
    needs it. `join`: axes may be joined, and batch axes take the places of missing window axes.
    `runs`: windows of any number of neighbours in memory are combined straight from there.
    """
    count = len(operands)
    window_of = dict(zip(windows.axes, windows.windows, strict=True))
    lead_strides = operands[lead]
    assert lead_strides is not None
    batch: list[Dimension] = []
    pooled: list[Dimension] = []
    order = sorted(range(len(shape)), key=lambda a: (-abs(lead_strides[a]), a))
    inner = 0  # batch axes that lie below the last window axis
    for a in order:
        strides = tuple(0 if s is None else s[a] for s in operands)
        window = window_of.get(a)
        if window is not None and (keep_axes or not window.trivial):
            pooled.append(Dimension(window, strides, a))
            inner = 0
        elif shape[a] != 1:
            axis = Dimension(no_windows(shape[a]), strides)
            above = batch[-1] if inner > 0 or (batch and not pooled) else None
            if above is not None and continues(above, axis, (shape[a],) * count):
                size = above.window.length * shape[a]
                batch[-1] = Dimension(no_windows(size), strides)
            else:
                batch.append(axis)
                inner += 1
    nothing = Dimension(no_windows(1), (0,) * count)
    channels = batch.pop() if pooled and inner > 0 else nothing
    if join:
        _join(pooled, batch, windows.axes, channels.window.length, lead, not keep_axes, runs)
        # A row costs less than a task.
        while len(pooled) < 2 and batch:
            pooled.insert(0, batch.pop())
    while len(pooled) < 3:
        pooled.insert(0, nothing)
    depth, rows, columns = pooled
    return View(tuple(batch), depth, rows, columns, channels)


def _join(
    pooled: list[Dimension],
    batch: list[Dimension],
    axes: tuple[int, ...],
    channels: int,
    lead: int,
    rows: bool,
    runs: bool,
) -> None:
    """Join axes that are one to the walk: fewer and longer lines. For whole planes 7 x 7 it is
    worth 5 times, for 2 x 2 windows on small planes 1.5 times.
    """
    inputs = slice(0, 2) if lead == 0 else slice(2, 4)
    neighbours = set(itertools.pairwise(axes))
    outermost_joined = pooled[-1].axis if pooled else None
    while len(pooled) > 1:
        outer, inner = pooled[-2:]
        n, window = inner.window.length, outer.window
        # As whatever counts positions and offsets has it.
        in_order = (outer.axis, outermost_joined) in neighbours
        along = zip(outer.strides[inputs], inner.strides[inputs], strict=True)
        apart = window.outputs == 1 or window.stride >= window.kernel
        short = n * channels < _JOINED or (runs and channels == 1 and apart)
        whole = covers(inner.window) and window.dilation == 1 and short
        if not (in_order and whole and all(a == b * n for a, b in along)):
            break
        pooled[-2:] = [_joined_windows(outer, inner, lead)]
        outermost_joined = outer.axis
    if rows and pooled and batch and tiles_exactly(pooled[0].window):
        outermost = pooled[0]
        if continues(batch[-1], outermost, _extents(outermost.window, lead)):
            pooled[0] = _joined_batch(batch.pop(), outermost)


def is_supported(dtype: np.dtype, kinds: str) -> bool:
    """Whether a dtype is one of NumPy's own that `kinds` names; others may share their letters."""
    return dtype.char in kinds and type(dtype) is type(np.dtype(dtype.char))


def as_array(name: str, value: Any, kinds: str = REAL) -> np.ndarray:
    """`value` as a native, aligned array of one of the dtypes `kinds`; copied only if it is not."""
    array = as_any_order(name, value, kinds)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def as_any_order(name: str, value: Any, kinds: str = REAL) -> np.ndarray:
    """`value` as an aligned array of one of the dtypes `kinds`, in either byte order."""
    if not isinstance(value, np.ndarray):
        if on_device(value):
            raise TypeError(
                f"{name} lies on a GPU, but other arguments are arrays in main memory; copy either"
            )
        try:
            value = np.asanyarray(value)
        except MemoryError:
            raise
        except Exception as error:
            raise TypeError(f"{name} cannot be viewed as an array: {error}") from error
    plain = type(value) is np.ndarray  # what np.ma is loaded for, in 10 ms, is another type
    if not plain and isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array, whose mask would be lost; fill it first, "
            f"as {name}.filled(value)"
        )
    if not is_supported(value.dtype, kinds):
        raise TypeError(f"{name} must have dtype {ALLOWED[kinds]}, got {value.dtype}")
    if not plain:
        value = value.view(np.ndarray)
    if not _addressable(value):
        value = value.copy(order="K")
    return value


def _addressable(array: np.ndarray) -> bool:
    """Whether every element stands at a multiple of its size, as kernels read them."""
    itemsize = array.itemsize
    return bool(array.flags.aligned) and all(
        s % itemsize == 0 for s, n in zip(array.strides, array.shape, strict=True) if n > 1
    )


def as_output(name: str, out: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """`out` if a result of this shape and dtype can be written into it."""
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a numpy array of {dtype}, got {type(out).__name__}")
    check_output(name, out, out.flags.writeable, shape, dtype)
    return out


def check_output(
    name: str, out: Any, writeable: bool, shape: tuple[int, ...], dtype: np.dtype
) -> None:
    """Refuse an array that is no place for a result of this shape and dtype."""
    if out.dtype != dtype or not out.dtype.isnative:
        raise TypeError(f"{name} must have dtype {dtype} (native byte order), got {out.dtype!r}")
    if out.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {out.shape}")
    if not writeable:
        raise ValueError(f"{name} must be writeable, got a read-only array")
    if _may_overlap_itself(out.shape, out.strides, out.dtype.itemsize):
        raise ValueError(
            f"{name} must not overlap itself in memory, got strides {out.strides} "
            f"for shape {out.shape}"
        )


def _may_overlap_itself(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> bool:
    """Whether two elements share memory; True also where that is not plain to see."""
    span = itemsize
    for stride, size in sorted((abs(s), n) for s, n in zip(strides, shape, strict=True) if n > 1):
        if stride < span:
            return 0 not in shape
        span = stride * (size - 1) + span
    return False


def overlap(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays share memory; True also where finding out would take long."""
    if not np.may_share_memory(a, b):
        return False
    try:
        return np.shares_memory(a, b, max_work=1000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True
