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
from numpool._cpu.strided import every
from numpool._cpu.vector_loops import VECTOR_BYTES, fetch_ahead, number, pointer, splat, vector_of

# The (taps, stride) of windows along the columns for which there are loops.
SHORT = ((2, 1), (2, 2), (3, 1), (3, 2), (5, 1))
# How many elements lie from a column to the next, and whether their bytes are in the other order:
# 1.2 to 2 times as fast as taking them to a dense row first.
STEPS = (1, -1, 2, -2)
# Roots that are taken in registers, by their names in _powers.py.
ROOTS = ("itself", "square_root")

# (two limits, of which averages are divided by the first; taps and stride of columns; address,
# pitch, number and size of rows of results; address of the first row's first tap in the source,
# bytes to that of the next, size of rows; columns before them; number of taps of depth and bytes
# from one to the next, the same of rows). Returns whether a sum whose root was taken is not within
# the limits.
SIGNATURE = types.int64(*[types.float64] * 2, *[types.int64] * 14)


class Pooling(NamedTuple):
    """What is computed: in accumulators of the numba type `dtype`, of which `combine(builder,
    dtype, a, b)` makes one and `identity` changes none.

    Elements of the numba type `source`, if they are of another one, become accumulators by
    `lift(builder, elements)`. Columns lie `step` elements apart, whose bytes may be `swapped`.
    Windows are results as they are, or become so by `finish`: "divided", or one of `ROOTS`, of
    sums that are within limits.
    """

    dtype: Any
    combine: Callable
    identity: Any
    source: Any = None
    lift: Callable | None = None
    step: int = 1
    swapped: bool = False
    finish: str | None = None

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

    def finished(self, builder, windows, limits):
        """The results of windows, and which of these are not within the limits."""
        first, last = limits
        if self.finish == "divided":
            windows = builder.fdiv(windows, first)
        if self.finish not in ROOTS:
            return windows, None
        nothing = ir.Constant(windows.type, None)
        outside = builder.or_(
            builder.and_(
                builder.fcmp_ordered("<", windows, first),
                builder.fcmp_ordered("!=", windows, nothing),
            ),
            builder.fcmp_ordered(">", windows, last),
        )
        if self.finish == "square_root":
            windows = _of_vectors(builder, "llvm.sqrt", windows.type, windows)
        return windows, outside

    def is_whole(self, builder, column, left):
        """Whether a vector of columns can be read in whole: those from one on, of so many left. Of
        columns apart, one more is read on.
        """
        first = number(1 if self.step < -1 else 0)
        least = number(self.lanes + (1 if self.step > 1 else 0))
        return builder.and_(
            builder.icmp_signed(">=", column, first), builder.icmp_signed(">=", left, least)
        )

    def load(self, builder, address, lanes=None):
        """A vector of columns as accumulators: of the identity but for some `lanes`, if given."""
        values = self._elements(builder, address, lanes)
        if self.swapped:
            values = _native(builder, values, vector_of(self.elements, self.lanes))
        if self.lift is not None:
            values = self.lift(builder, values)
        if lanes is None:
            return values
        first, last = lanes
        inside = _lanes_within(builder, first, last, self.lanes)
        return builder.select(inside, values, self.nothing)

    def _elements(self, builder, address, lanes):
        """The columns as they are stored: of all that lies between the first and the last."""
        itemsize, apart = itemsize_of(self.elements), abs(self.step)
        kind = vector_of(self.elements, self.lanes)
        if self.swapped:
            kind = ir.VectorType(ir.IntType(8 * itemsize), self.lanes)
        if self.step < 0:
            address = builder.add(address, number((self.lanes - 1) * self.step * itemsize))
        if lanes is not None:
            first, last = lanes
            if self.step < 0:
                first, last = (builder.sub(number(self.lanes), n) for n in (last, first))
            first = builder.mul(first, number(apart))
            last = builder.sub(builder.mul(last, number(apart)), number(apart - 1))
        vectors = []
        for i in range(apart):
            start = i * self.lanes
            place = builder.add(address, number(start * itemsize))
            place = builder.inttoptr(place, kind.as_pointer())
            if lanes is None:
                vectors.append(builder.load(place, align=itemsize))
                continue
            begin, end = (builder.sub(n, number(start)) for n in (first, last))
            mask = _lanes_within(builder, begin, end, self.lanes)
            others = ir.Constant(kind, ir.Undefined)
            vectors.append(_masked(builder, "load", kind, place, _narrow(itemsize), mask, others))
        return every(builder, vectors, 0, backwards=self.step < 0)

    def store(self, builder, values, address, place, columns):
        """As many results as there are of a row, from a place on."""
        itemsize = itemsize_of(self.dtype)
        to = pointer(builder, address, place, self.dtype, self.lanes)
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


def _of_vectors(builder, name, kind, *arguments):
    """A call of LLVM's function of a name for vectors of a kind."""
    function = ir.FunctionType(kind, [a.type for a in arguments])
    full_name = f"{name}.v{kind.count}{kind.element.intrinsic_name}"
    declared = cgutils.get_or_insert_function(builder.module, function, full_name)
    return builder.call(declared, arguments)


def _native(builder, values, kind):
    """Integers whose bytes are in the other order as a vector of some kind."""
    return builder.bitcast(_of_vectors(builder, "llvm.bswap", values.type, values), kind)


def _taps(builder, phases, following, count):
    """The vectors of each tap, from the phases of some columns and of those that follow."""
    lanes = phases[0].type.count
    for tap in range(count):
        moved, phase = divmod(tap, len(phases))
        picks = ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(moved, moved + lanes)))
        yield builder.shuffle_vector(phases[phase], following[phase], picks)


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

    def _vector(self, column, lanes=None):
        def of_row(address):
            return self.pooling.load(self.builder, address, lanes)

        def of_depth(address):
            return self._total(address, *self.rows, of_row)

        step = self.pooling.step * itemsize_of(self.pooling.elements)
        offset = self.builder.mul(column, number(step))
        return self._total(self.builder.add(self.start, offset), *self.depths, of_depth)

    def vector(self, column):
        """The columns from one on, which may lie outside the row."""
        builder = self.builder
        kept = cgutils.alloca_once(builder, self.pooling.accumulators)
        left = builder.sub(self.length, column)
        is_whole = self.pooling.is_whole(builder, column, left)
        with builder.if_else(is_whole, likely=True) as (whole, part):
            with whole:
                builder.store(self._vector(column), kept)
            with part:
                builder.store(self.pooling.nothing, kept)
                with builder.if_then(builder.icmp_signed(">", left, number(0))):
                    inside = self._vector(column, (builder.neg(column), left))
                    builder.store(inside, kept)
        return builder.load(kept)


def _window_row(builder, pooling, taps, stride, folded, before, columns, store):
    """The windows along a row: of so many taps, from `before` columns before its first on, to
    `store(place, windows)`.
    """
    lanes = number(pooling.lanes)

    def phases(place):
        """The columns at which windows start, and those between, from that of a place on."""
        column = builder.sub(builder.mul(place, number(stride)), before)
        columns = [builder.add(column, number(i * pooling.lanes)) for i in range(stride)]
        vectors = [folded.vector(column) for column in columns]
        return [every(builder, vectors, phase) for phase in range(stride)]

    def windows(now, following):
        return pooling.of_all(builder, _taps(builder, now, following, taps))

    if taps <= stride:
        with cgutils.for_range_slice(builder, number(0), columns, lanes) as (place, _):
            now = phases(place)
            store(place, windows(now, now))
        return
    kept = [cgutils.alloca_once(builder, pooling.accumulators) for _ in range(stride)]

    def keep(vectors):
        for vector, place in zip(vectors, kept, strict=True):
            builder.store(vector, place)

    keep(phases(number(0)))
    with cgutils.for_range_slice(builder, number(0), columns, lanes) as (place, _):
        now, following = list(map(builder.load, kept)), phases(builder.add(place, lanes))
        store(place, windows(now, following))
        keep(following)


def make_windows(pooling, taps, stride):
    """An intrinsic `windows(limits, numbers)` of windows of so many columns: its arguments are
    those of `SIGNATURE` but taps and stride.
    """

    def codegen(context, builder, signature, args):
        (
            result, pitch, count, columns, start, source_pitch, length, before,
            depths, depth_step, rows, row_step,
        ) = cgutils.unpack_tuple(builder, args[1])  # fmt: skip
        accumulators = pooling.accumulators
        limits = cgutils.unpack_tuple(builder, args[0])
        if pooling.finish is not None:
            if accumulators.element == ir.FloatType():
                limits = [builder.fptrunc(limit, accumulators.element) for limit in limits]
            limits = [splat(builder, limit, accumulators) for limit in limits]
        none = ir.Constant(ir.VectorType(ir.IntType(1), pooling.lanes), None)
        found = cgutils.alloca_once_value(builder, none)

        def window_rows(rows):
            with cgutils.for_range(builder, count) as row:
                here = builder.add(start, builder.mul(row.index, source_pitch))
                to = builder.add(result, builder.mul(row.index, pitch))

                def store(place, windows):
                    windows, outside = pooling.finished(builder, windows, limits)
                    pooling.store(builder, windows, to, place, columns)
                    if outside is not None:
                        builder.store(builder.or_(builder.load(found), outside), found)

                fetch_ahead(builder, here, source_pitch)
                folded = _Folded(
                    builder, pooling, here, length, (depths, depth_step), (rows, row_step)
                )
                _window_row(builder, pooling, taps, stride, folded, before, columns, store)

        # As many rows as columns, usually: 1.1 to 1.3 times.
        with builder.if_else(builder.icmp_signed("==", rows, number(taps))) as (square, other):
            with square:
                window_rows(taps)
            with other:
                window_rows(rows)
        lanes = builder.bitcast(builder.load(found), ir.IntType(pooling.lanes))
        any_found = builder.icmp_unsigned("!=", lanes, ir.Constant(lanes.type, 0))
        return builder.zext(any_found, ir.IntType(64))

    @intrinsic
    def windows(typing_context, limits, numbers):
        kinds = types.UniTuple(types.float64, 2), types.UniTuple(types.int64, 12)
        return types.int64(*kinds), codegen

    return windows


def make_short(pooling):
    """The kernel of short windows."""
    two_dense, two, three_dense, three, five_dense = (
        make_windows(pooling, taps, stride) for taps, stride in SHORT
    )

    def short(
        low, high, taps, stride, result, pitch, rows, columns, source, source_pitch, length,
        before, depths, depth_step, row_taps, row_step,
    ):  # fmt: skip
        numbers = (
            result, pitch, rows, columns, source, source_pitch, length, before, depths, depth_step,
            row_taps, row_step,
        )  # fmt: skip
        limits = (low, high)
        if taps == 2:
            return two_dense(limits, numbers) if stride == 1 else two(limits, numbers)
        if taps == 3:
            return three_dense(limits, numbers) if stride == 1 else three(limits, numbers)
        return five_dense(limits, numbers)

    return short
