"""Kernels that do the same in fewer instructions, where layout and windows allow it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from numpool._cuda import library, tables
from numpool._cuda.vectors import BYTES as VECTOR
from numpool._cuda.vectors import LINES
from numpool._cuda.warps import LANES
from numpool._views import Dimension, View, no_windows
from numpool._windows import Axis

# Windows that are so many elements apart share no sector of memory.
_APART = 8


class Facts(NamedTuple):
    """What a step depends on of an operand."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    itemsize: int
    in_line: bool


class Variant(NamedTuple):
    """A kernel for a view, the lanes of its threads, the threads of an output, and the taps along
    columns that the view does not show.
    """

    kernel: tuple
    view: View
    lanes: int = 1
    threads: int = 1
    taps: int = 1


def best(
    kernel: tuple,
    view: View,
    operands: tuple[Facts | None, ...],
    shares: bool,
    include_pad: bool | None,
) -> Variant:
    """What takes the fewest instructions; with `shares`, each output has one tap. Those of a
    divisor are counted unless `include_pad` is None.
    """
    source, _, out, _ = operands
    assert source is not None and out is not None
    lanes = VECTOR // source.itemsize
    column, channels = view.columns, view.channels
    others = (view.depth, view.rows, *view.batch)
    line = None if shares else _line_of(view, lanes, include_pad)
    lines = line and library.variant(kernel, "lines", *line)
    if line and lines and _lie_in_vectors(column, others, source, out):
        _, taps, stride, _ = line
        groups = no_windows(column.window.outputs // lanes)
        apart = (stride, stride, 1, 1)
        strides = tuple(s * n * lanes for s, n in zip(column.strides, apart, strict=True))
        return Variant(lines, view._replace(columns=Dimension(groups, strides)), taps=taps)
    whole = channels.window.length % lanes == 0
    vectors = library.variant(kernel, "vectors") if whole else None
    if vectors is not None and _lie_in_vectors(channels, (*others, column), source, out):
        return Variant(_for_strips(vectors, view) or vectors, view, lanes)
    warps = library.variant(kernel, "warps")
    if warps is not None and not shares and _lie_apart(column.window):
        return Variant(warps, view, threads=LANES)
    return Variant(_for_strips(kernel, view) or kernel, view)


def _line_of(view: View, lanes: int, include_pad: bool | None) -> tuple[int, ...] | None:
    """Which of vectors.LINES windows are, of whole vectors of outputs that count as many taps."""
    depth, row, column = view.depth.window, view.rows.window, view.columns.window
    line = (row.kernel, column.kernel, column.stride, column.before)
    rows, taps, stride, before = line
    if line not in LINES or depth.kernel > 1 or row.stride != min(rows, stride):
        return None
    # What is behind the last vector is data, or else not looked at.
    behind = column.length - stride * column.outputs
    even = behind == 0 if taps - before > stride else behind >= 0
    single = row.dilation == column.dilation == view.channels.window.length == 1
    if not (even and single and column.outputs % lanes == 0):
        return None
    if include_pad is None:
        return line
    counted = tables.forward(column, include_pad).entries[:, 2]
    return line if (counted == taps).all() else None


def _lie_in_vectors(
    line: Dimension, others: Sequence[Dimension], source: Facts, out: Facts
) -> bool:
    """Whether source and result lie side by side along a line, and all lines begin where vectors
    may.
    """
    return (
        source.in_line
        and out.in_line
        and line.strides[0] == source.itemsize
        and line.strides[2] == out.itemsize
        and not any(d.strides[i] % VECTOR for d in others for i in (0, 2))
    )


def _lie_apart(columns: Axis) -> bool:
    """Whether windows along columns are long, and neighbours have little in common in memory."""
    long = columns.trimmed().kernel >= LANES
    return long and (columns.outputs == 1 or columns.stride >= _APART)


def _for_strips(kernel: tuple, view: View) -> tuple | None:
    """The kernel that knows the size and stride of a view's windows, if there is one."""
    depth, row, column = (d.window.trimmed() for d in (view.depth, view.rows, view.columns))
    if depth.kernel > 1 or row.kernel != column.kernel or row.dilation > 1:
        return None
    return library.variant(kernel, "strips", row.kernel, row.stride)
