"""Short windows over single columns, from rows of the source to results in one pass.

Vectors of columns are loaded from all the rows that a window takes, combined in registers, and
windows along the columns are taken of these by shuffles: nothing is laid out in between. It takes
0.4 to 0.8 of the time of lines (lines.py) where rows are longer than a vector, and 0.35 to 0.9 of
that of planes as channels (planes.py) where one or two vectors hold a row of many small planes.

A row's first vector starts where its first window does.
"""

import contextlib
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from numpool._cpu.memory import inline
from numpool._cpu.short_rows import Folded, taps_between, taps_within
from numpool._cpu.strided import every, pick
from numpool._cpu.vector_loops import fetch_ahead, number

# The (taps, stride, dilation) of windows along the columns for which there are loops, by kernels: a
# call waits for one of these.
SHORT = {
    "three_taps": ((2, 1, 1), (3, 1, 1), (3, 2, 1)),
    "five_taps": ((5, 1, 1), (5, 2, 1), (5, 3, 1)),
    "side_by_side": ((2, 2, 1), (3, 3, 1), (4, 4, 1)),
    "apart": ((3, 1, 2),),
}
# The same of pixels of some channels: 0.2 to 0.85 of the time of lines.
PIXEL_WINDOW, CHANNELS = (2, 2, 1), (2, 3, 4)
# As many vectors hold a row, of planes that are pooled together.
ROW_VECTORS = (1, 2)


class _Numbers(NamedTuple):
    """What a kernel is told: taps and stride of columns; address, pitch, number and size of rows of
    results; address of the first row's first tap in the source, bytes to that of the next, size of
    rows; columns before them; number of taps of depth and bytes from one to the next, the same of
    rows; stride and dilation of rows; number of planes, bytes from one to the next in the source
    and in the results.
    """

    taps: Any
    stride: Any
    result: Any
    pitch: Any
    count: Any
    columns: Any
    source: Any
    source_pitch: Any
    length: Any
    before: Any
    depths: Any
    depth_step: Any
    rows: Any
    row_step: Any
    row_stride: Any
    row_dilation: Any
    planes: Any
    source_plane: Any
    result_plane: Any

    def row(self, builder, row):
        """Addresses of a row of results: of its first tap in the source, and its own."""
        start = builder.add(self.source, builder.mul(row, self.source_pitch))
        return start, builder.add(self.result, builder.mul(row, self.pitch))

    def folded(self, builder, pooling, start, depths=None, rows=None):
        """The taps of the row of results whose first is at an address; if given, so many."""
        depths = self.depths if depths is None else depths, self.depth_step
        rows = self.rows if rows is None else rows, self.row_step
        return Folded(builder, pooling, start, self.length, depths, rows)


_KINDS = types.UniTuple(types.float64, 2), types.UniTuple(types.int64, len(_Numbers._fields))
# (two limits, of which averages are divided by the first; the numbers above). Returns whether a sum
# whose root was taken is not within the limits.
SIGNATURE = types.int64(*_KINDS[0], *_KINDS[1])


def _window_row(builder, pooling, shape, folded, numbers, store):
    """The windows of a shape along a row, to `store(place, windows)`."""
    taps, stride, dilation = shape
    lanes = number(pooling.lanes)

    def phases(place):
        """The columns at which windows start, and those between, from that of a place on."""
        column = builder.sub(builder.mul(place, number(stride)), numbers.before)
        vectors = folded.block(column, stride)
        return [every(builder, vectors, phase) for phase in range(stride)]

    def windows(now, following):
        return pooling.of_all(builder, taps_between(builder, now, following, taps, dilation))

    if (taps - 1) * dilation < stride:
        with cgutils.for_range_slice(builder, number(0), numbers.columns, lanes) as (place, _):
            now = phases(place)
            store(place, windows(now, now))
        return
    kept = [cgutils.alloca_once(builder, pooling.accumulators) for _ in range(stride)]

    def keep(vectors):
        for vector, place in zip(vectors, kept, strict=True):
            builder.store(vector, place)

    # Before the first windows there are those that end before the row: they are not stored.
    before = number(-pooling.lanes)
    with cgutils.for_range_slice(builder, before, numbers.columns, lanes) as (place, _):
        now, following = list(map(builder.load, kept)), phases(builder.add(place, lanes))
        with builder.if_then(builder.icmp_signed(">=", place, number(0)), likely=True):
            store(place, windows(now, following))
        keep(following)


def intrinsic_of(pooling, write):
    """An intrinsic `windows(limits, numbers)`, whose code is `write(builder, pooling, numbers,
    results_of)`, with the pooling as it is within these limits, and the `results_of(windows)`.
    """

    def codegen(context, builder, signature, args):
        limited = pooling.with_limits(builder, *cgutils.unpack_tuple(builder, args[0]))
        found = cgutils.alloca_once_value(builder, number(0))

        def results_of(windows):
            windows, outside = limited.finished(builder, windows)
            if outside is not None:
                lanes = builder.bitcast(outside, ir.IntType(outside.type.count))
                lanes = builder.zext(lanes, ir.IntType(64))
                builder.store(builder.or_(builder.load(found), lanes), found)
            return windows

        numbers = _Numbers(*cgutils.unpack_tuple(builder, args[1]))
        write(builder, limited, numbers, results_of)
        return builder.load(found)

    @intrinsic
    def windows(typing_context, limits, numbers):
        return types.int64(*_KINDS), codegen

    return windows


@contextlib.contextmanager
def _each_row(builder, pooling, numbers, depths=None, rows=None):
    """The code of each row of results, of its taps, so many if given, and its address."""
    with cgutils.for_range(builder, numbers.count) as row:
        start, to = numbers.row(builder, row.index)
        fetch_ahead(builder, start, numbers.source_pitch)
        yield numbers.folded(builder, pooling, start, depths, rows), to


def _each(builder, numbers, shapes):
    """Which of the shapes, of one dilation, there is, each with the code that is written for it."""
    for taps, stride, dilation in shapes:
        are_these = builder.and_(
            builder.icmp_signed("==", numbers.taps, number(taps)),
            builder.icmp_signed("==", numbers.stride, number(stride)),
        )
        with builder.if_then(are_these):
            yield taps, stride, dilation


def _make_rows(pooling, shapes):
    """Windows over rows of any length."""

    def write(builder, pooling, numbers, results_of):
        def window_rows(shape, depths=None, rows=None):
            with _each_row(builder, pooling, numbers, depths, rows) as (folded, to):

                def store(place, windows):
                    windows = results_of(windows)
                    pooling.store(builder, windows, to, place, numbers.columns)

                _window_row(builder, pooling, shape, folded, numbers, store)

        for shape in _each(builder, numbers, shapes):
            # Unrolled, as many rows as columns take 0.6 to 0.9 of the time, and one row alone 0.5
            # to 0.8.
            all_rows = builder.mul(numbers.depths, numbers.rows)
            is_square = builder.icmp_signed("==", numbers.rows, number(shape[0]))
            is_single = builder.icmp_signed("==", all_rows, number(1))
            with builder.if_else(is_square) as (square, other):
                with square:
                    window_rows(shape, rows=shape[0])
                with other, builder.if_else(is_single) as (single, many):
                    with single:
                        window_rows(shape, depths=1, rows=1)
                    with many:
                        window_rows(shape)

    return intrinsic_of(pooling, write)


def _make_planes(pooling, shapes):
    """Windows over many planes, whose rows a vector holds."""

    def write(builder, pooling, numbers, results_of):
        kept = cgutils.alloca_once(builder, pooling.accumulators)
        with (
            cgutils.for_range(builder, numbers.planes) as plane,
            cgutils.for_range(builder, numbers.count) as row,
        ):
            steps = numbers.source_plane, numbers.result_plane
            start, to = (
                builder.add(address, builder.mul(plane.index, step))
                for address, step in zip(numbers.row(builder, row.index), steps, strict=True)
            )
            fetch_ahead(builder, start, numbers.source_pitch)
            vector = numbers.folded(builder, pooling, start).part(builder.neg(numbers.before))
            for shape in _each(builder, numbers, shapes):
                windows = pooling.of_all(builder, taps_within(builder, vector, *shape))
                builder.store(windows, kept)
            results = results_of(builder.load(kept))
            pooling.store_first(builder, results, to, number(0), numbers.columns)

    return intrinsic_of(pooling, write)


def make_short_pixels(pooling, channels):
    """The kernel of windows of 2 x 2 pixels of some channels: its columns are elements."""
    taps, stride, _ = PIXEL_WINDOW
    lanes = pooling.lanes

    def places(part, tap):
        """Where the elements of a tap lie: of a vector of results, of those of a block."""
        for result in range(part * lanes, (part + 1) * lanes):
            pixel, channel = divmod(result, channels)
            yield (pixel * stride + tap) * channels + channel

    def write(builder, pooling, numbers, results_of):
        def window_rows(rows):
            with _each_row(builder, pooling, numbers, rows=rows) as (folded, to):
                size = number(channels * lanes)
                with cgutils.for_range_slice(builder, number(0), numbers.columns, size) as (at, _):
                    column = builder.sub(builder.mul(at, number(stride)), numbers.before)
                    vectors = folded.block(column, channels * stride)
                    for part in range(channels):
                        all_taps = (
                            pick(builder, vectors, list(places(part, tap))) for tap in range(taps)
                        )
                        windows = results_of(pooling.of_all(builder, all_taps))
                        place = builder.add(at, number(part * lanes))
                        pooling.store(builder, windows, to, place, numbers.columns)

        is_square = builder.icmp_signed("==", numbers.rows, number(taps))
        with builder.if_else(is_square) as (square, other):
            with square:
                window_rows(taps)
            with other:
                window_rows(numbers.rows)

    return kernel_of(intrinsic_of(pooling, write))


def make_short(pooling, shapes):
    """The kernel of short windows of some shapes, which have one dilation."""
    of_rows = _make_rows(pooling, shapes)
    one_vector, two_vectors = (
        _make_planes(pooling._replace(vectors=n), shapes) for n in ROW_VECTORS
    )
    dilation = shapes[0][2]
    lanes, twice = (pooling._replace(vectors=n).lanes for n in ROW_VECTORS)

    @inline
    def windows(limits, numbers):
        taps, stride, columns = numbers[0], numbers[1], numbers[5]
        reach = (columns - 1) * stride + (taps - 1) * dilation + 1
        if reach <= lanes:
            return one_vector(limits, numbers)
        if reach <= twice:
            return two_vectors(limits, numbers)
        return of_rows(limits, numbers)

    return kernel_of(windows)


def kernel_of(windows):
    """The kernel that calls `windows(limits, numbers)`."""

    def short(
        low, high, taps, stride, result, pitch, rows, columns, source, source_pitch, length,
        before, depths, depth_step, row_taps, row_step, row_stride, row_dilation, planes,
        source_plane, result_plane,
    ):  # fmt: skip
        return windows(
            (low, high),
            (
                taps, stride, result, pitch, rows, columns, source, source_pitch, length, before,
                depths, depth_step, row_taps, row_step, row_stride, row_dilation, planes,
                source_plane, result_plane,
            ),
        )  # fmt: skip

    return short
