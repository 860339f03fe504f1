"""Short windows over single columns, from rows of the source to results in one pass.

Vectors of columns are loaded from all the rows that a window takes, combined in registers, and
windows along the columns are taken of these by shuffles: nothing is laid out in between. It takes
0.4 to 0.8 of the time of lines (lines.py) where rows are longer than a vector.

A row's first vector starts where its first window does. Columns outside the row hold the identity:
vectors that reach there are loaded under a mask, and so are the last results of a row stored.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from numpool._cpu.loops import itemsize_of
from numpool._cpu.vector_loops import VECTOR_BYTES, fetch_ahead, number, pointer, splat, vector_of

# The (taps, stride) of windows along the columns for which there are loops.
SHORT = ((2, 1), (2, 2), (3, 1), (3, 2), (5, 1))

# (what averages are divided by; taps and stride of columns; address, pitch, number and size of rows
# of results; address of the first row's first tap in the source, bytes to that of the next, size of
# rows; columns before them; number of taps of depth and bytes from one to the next, the same of
# rows).
SIGNATURE = types.void(types.float64, *[types.int64] * 14)


class Pooling(NamedTuple):
    """What is computed: in accumulators of the numba type `dtype`, of which `combine(builder,
    dtype, a, b)` makes one and `identity` changes none.

    Elements of the numba type `source`, if they are of another one, become accumulators by
    `lift(builder, elements)`. Results may be `divided`.
    """

    dtype: Any
    combine: Callable
    identity: Any
    source: Any = None
    lift: Callable | None = None
    divided: bool = False

    @property
    def lanes(self):
        return VECTOR_BYTES // itemsize_of(self.dtype)

    @property
    def elements(self):
        return self.dtype if self.source is None else self.source

    @property
    def accumulators(self):
        return vector_of(self.dtype, self.lanes)

    @property
    def nothing(self):
        kind = self.accumulators
        return ir.Constant(kind, [ir.Constant(kind.element, self.identity)] * kind.count)

    def of_all(self, builder, vectors):
        """The combination of some vectors."""
        return functools.reduce(functools.partial(self.combine, builder, self.dtype), vectors)

    def load(self, builder, address, mask):
        """A vector of accumulators; of the identity where there is a mask that leaves it out."""
        lift = self.lift or (lambda builder, values: values)
        kind, itemsize = vector_of(self.elements, self.lanes), itemsize_of(self.elements)
        place = builder.inttoptr(address, kind.as_pointer())
        if mask is None:
            return lift(builder, builder.load(place, align=itemsize))
        values = _masked(
            builder, "load", kind, place, _narrow(itemsize), mask, ir.Constant(kind, ir.Undefined)
        )
        return builder.select(mask, lift(builder, values), self.nothing)

    def store(self, builder, values, address, place, columns):
        """As many results as there are of a row, from a place on."""
        itemsize, to = (
            itemsize_of(self.dtype),
            pointer(builder, address, place, self.dtype, self.lanes),
        )
        left = builder.sub(columns, place)
        with builder.if_else(builder.icmp_signed(">=", left, number(self.lanes))) as (whole, part):
            with whole:
                builder.store(values, to, align=itemsize)
            with part:
                mask = _lanes_within(builder, number(0), left, self.lanes)
                _masked(builder, "store", ir.VoidType(), values, to, _narrow(itemsize), mask)


def _narrow(value):
    return ir.Constant(ir.IntType(32), value)


def _masked(builder, name, returned, *arguments):
    """A call of `llvm.masked.load` or `llvm.masked.store`."""
    vector = arguments[0].type if name == "store" else returned
    suffix = f"v{vector.count}{vector.element.intrinsic_name}"
    kind = ir.FunctionType(returned, [a.type for a in arguments])
    full_name = f"llvm.masked.{name}.{suffix}.p0{suffix}"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, full_name), arguments)


def _lanes_within(builder, first, last, lanes):
    """The lanes from a first one up to a last one, which is not among them."""
    kind = ir.VectorType(ir.IntType(32), lanes)
    lane = ir.Constant(kind, list(range(lanes)))
    first, last = (splat(builder, builder.trunc(n, kind.element), kind) for n in (first, last))
    return builder.and_(
        builder.icmp_signed(">=", lane, first), builder.icmp_signed("<", lane, last)
    )


def _picked(builder, a, b, picks):
    kind = ir.VectorType(ir.IntType(32), a.type.count)
    return builder.shuffle_vector(a, b, ir.Constant(kind, list(picks)))


def _by_phase(builder, vectors):
    """Consecutive elements as one vector, or as their evens and odds."""
    if len(vectors) == 1:
        return vectors
    a, b = vectors
    return [_picked(builder, a, b, range(start, 2 * a.type.count, 2)) for start in (0, 1)]


def _taps(builder, phases, following, count):
    """The vectors of each tap, from the phases of some columns and of those that follow."""
    lanes = phases[0].type.count
    for tap in range(count):
        moved, phase = divmod(tap, len(phases))
        yield _picked(builder, phases[phase], following[phase], range(moved, moved + lanes))


class _Folded(NamedTuple):
    """The taps of depth and rows of a row of results, combined: `depths` and `rows` are (how many
    there are, bytes from one to the next). A number of rows that is an int is unrolled.
    """

    builder: Any
    pooling: Pooling
    start: Any
    length: Any
    depths: tuple[Any, Any]
    rows: tuple[Any, Any]

    def _total(self, first, count, step, vector_at):
        """`vector_at(address)` of so many places, combined."""
        builder, pooling = self.builder, self.pooling
        if isinstance(count, int):
            places = [builder.add(first, builder.mul(number(i), step)) for i in range(count)]
            return pooling.of_all(builder, map(vector_at, places))
        total = cgutils.alloca_once(builder, pooling.accumulators)
        builder.store(vector_at(first), total)
        with cgutils.for_range_slice(builder, number(1), count, number(1)) as (i, _):
            vector = vector_at(builder.add(first, builder.mul(i, step)))
            builder.store(pooling.of_all(builder, (builder.load(total), vector)), total)
        return builder.load(total)

    def _vector(self, column, mask):
        def of_row(address):
            return self.pooling.load(self.builder, address, mask)

        def of_depth(address):
            return self._total(address, *self.rows, of_row)

        offset = self.builder.mul(column, number(itemsize_of(self.pooling.elements)))
        return self._total(self.builder.add(self.start, offset), *self.depths, of_depth)

    def vector(self, column):
        """The columns from one on, which may lie outside the row."""
        builder, lanes = self.builder, self.pooling.lanes
        kept = cgutils.alloca_once(builder, self.pooling.accumulators)
        left = builder.sub(self.length, column)
        inside = builder.and_(
            builder.icmp_signed(">=", column, number(0)),
            builder.icmp_signed(">=", left, number(lanes)),
        )
        with builder.if_else(inside, likely=True) as (whole, part):
            with whole:
                builder.store(self._vector(column, None), kept)
            with part:
                builder.store(self.pooling.nothing, kept)
                with builder.if_then(builder.icmp_signed(">", left, number(0))):
                    mask = _lanes_within(builder, builder.neg(column), left, lanes)
                    builder.store(self._vector(column, mask), kept)
        return builder.load(kept)


def _window_row(builder, pooling, taps, stride, folded, before, result, columns, divisor):
    """The windows along a row: of so many taps, from `before` columns before its first on."""
    lanes = number(pooling.lanes)

    def phases(place):
        """The columns at which windows start, and those between, from that of a place on."""
        column = builder.sub(builder.mul(place, number(stride)), before)
        columns = [builder.add(column, number(i * pooling.lanes)) for i in range(stride)]
        return _by_phase(builder, [folded.vector(column) for column in columns])

    def store(place, now, following):
        windows = pooling.of_all(builder, _taps(builder, now, following, taps))
        if pooling.divided:
            windows = builder.fdiv(windows, divisor)
        pooling.store(builder, windows, result, place, columns)

    if taps <= stride:
        with cgutils.for_range_slice(builder, number(0), columns, lanes) as (place, _):
            now = phases(place)
            store(place, now, now)
        return
    kept = [cgutils.alloca_once(builder, pooling.accumulators) for _ in range(stride)]

    def keep(vectors):
        for vector, place in zip(vectors, kept, strict=True):
            builder.store(vector, place)

    keep(phases(number(0)))
    with cgutils.for_range_slice(builder, number(0), columns, lanes) as (place, _):
        now, following = list(map(builder.load, kept)), phases(builder.add(place, lanes))
        store(place, now, following)
        keep(following)


def make_windows(pooling, taps, stride):
    """An intrinsic `windows(divisor, numbers)` of windows of so many columns: its arguments are
    those of `SIGNATURE` but taps and stride.
    """

    def codegen(context, builder, signature, args):
        (
            result, pitch, count, columns, start, source_pitch, length, before,
            depths, depth_step, rows, row_step,
        ) = cgutils.unpack_tuple(builder, args[1])  # fmt: skip
        divisor = None
        if pooling.divided:
            kind = pooling.accumulators
            is_single = kind.element == ir.FloatType()
            value = builder.fptrunc(args[0], kind.element) if is_single else args[0]
            divisor = splat(builder, value, kind)

        def window_rows(rows):
            with cgutils.for_range(builder, count) as row:
                here = builder.add(start, builder.mul(row.index, source_pitch))
                to = builder.add(result, builder.mul(row.index, pitch))
                fetch_ahead(builder, here, source_pitch)
                folded = _Folded(
                    builder, pooling, here, length, (depths, depth_step), (rows, row_step)
                )
                _window_row(builder, pooling, taps, stride, folded, before, to, columns, divisor)

        # As many rows as columns, usually: 1.1 to 1.3 times.
        with builder.if_else(builder.icmp_signed("==", rows, number(taps))) as (square, other):
            with square:
                window_rows(taps)
            with other:
                window_rows(rows)
        return context.get_dummy_value()

    @intrinsic
    def windows(typing_context, divisor, numbers):
        return types.void(types.float64, types.UniTuple(types.int64, 12)), codegen

    return windows


def make_short(pooling):
    """The kernel of short windows."""
    two_dense, two, three_dense, three, five_dense = (
        make_windows(pooling, taps, stride) for taps, stride in SHORT
    )

    def short(
        divisor, taps, stride, result, pitch, rows, columns, source, source_pitch, length, before,
        depths, depth_step, row_taps, row_step,
    ):  # fmt: skip
        numbers = (
            result, pitch, rows, columns, source, source_pitch, length, before, depths, depth_step,
            row_taps, row_step,
        )  # fmt: skip
        if taps == 2 and stride == 1:
            two_dense(divisor, numbers)
        elif taps == 2:
            two(divisor, numbers)
        elif taps == 3 and stride == 1:
            three_dense(divisor, numbers)
        elif taps == 3:
            three(divisor, numbers)
        else:
            five_dense(divisor, numbers)

    return short
