"""Rows of short windows in registers: vectors of columns, loaded from all the rows that a window
takes and combined; windows, made results and stored.

Columns outside the row hold the identity: vectors that reach there are loaded under a mask, and so
are the last results of a row stored.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils

from numpool._cpu import masked, rounding, vectors
from numpool._cpu.loops import itemsize_of
from numpool._cpu.masked import lanes_within
from numpool._cpu.strided import every
from numpool._cpu.vector_loops import (
    VECTOR_BYTES,
    call_of_vectors,
    call_outlined,
    number,
    pointer,
    splat,
    vector_of,
)

# How many elements lie from a column to the next, by a name: 1.2 to 2 times as fast as taking them
# to a dense row first. So it is to swap bytes that are in the other order.
STEPS = {"dense": 1, "backwards": -1, "every_second": 2, "every_second_backwards": -2}
# How windows become results in registers: averages are divided in a type, norms are roots, by their
# names in _powers.py.
KEPT = "kept"
DIVIDED = {"divided_in_float32": types.float32, "divided_in_float64": types.float64}
ROOTS = ("itself", "square_root")
# Or sums are divided that are finite: others may be of finite quotients.
DIVIDED_IF_FINITE = "divided_if_finite"
# Or sums of elements of 8 bits become such again.
ROUNDED = "rounded"
AVERAGES, LIMITED = (*DIVIDED, DIVIDED_IF_FINITE, ROUNDED), (*ROOTS, DIVIDED_IF_FINITE)


class Pooling(NamedTuple):
    """What is computed: in accumulators of the numba type `dtype`, of which `combine(builder,
    dtype, a, b)` makes one and `identity` changes none.

    Elements of the numba type `source`, if they are of another one, become accumulators by
    `lift(builder, elements)`. Columns lie `step` elements apart, whose bytes may be `swapped`.
    Windows become results of the numba type `result` by `finish`, one of the names above, which has
    two `limits`: roots are taken of sums that lie between, sums are divided by the first. What is
    called a vector is as long as some `vectors`.
    """

    dtype: Any
    combine: Callable
    identity: Any
    source: Any = None
    lift: Callable | None = None
    step: int = 1
    swapped: bool = False
    finish: str = KEPT
    result: Any = None
    vectors: int = 1
    limits: tuple = ()

    @property
    def lanes(self):
        return self.vectors * VECTOR_BYTES // itemsize_of(self.dtype)

    @property
    def elements(self):
        return self.dtype if self.source is None else self.source

    @property
    def limit(self):
        """The numba type of limits, and of what is written as results."""
        return DIVIDED.get(self.finish, self.dtype)

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

    def of_each(self, builder, lists):
        """The combinations of the first vectors of some lists, of their second ones, and so on."""
        return [self.of_all(builder, several) for several in zip(*lists, strict=True)]

    def with_limits(self, builder, low, high):
        """This, with limits that are given in float64 as what windows become results by."""
        if self.finish == ROUNDED:
            return self._replace(limits=rounding.divisor_of_sums(builder, low))
        limits = low, high
        if self.limit == types.float32:
            limits = tuple(builder.fptrunc(limit, ir.FloatType()) for limit in limits)
        return self._replace(limits=limits)

    def finished(self, builder, windows):
        """The results of windows, and which of these are not within the limits."""
        if self.finish == KEPT:
            return self._written(builder, windows), None
        if self.finish == ROUNDED:
            return rounding.rounded_averages(
                builder, windows, self.dtype.signed, *self.limits
            ), None
        if self.finish in DIVIDED:
            quotient = DIVIDED[self.finish]
            values = self._divided(
                builder, vectors.converted(builder, windows, self.dtype, quotient)
            )
            return self._written(builder, values), None
        if self.finish == DIVIDED_IF_FINITE:
            values = self._divided(builder, windows)
            nothing = builder.fsub(windows, windows)
            return self._written(builder, values), builder.fcmp_unordered("uno", nothing, nothing)
        first, last = (splat(builder, limit, windows.type) for limit in self.limits)
        nothing = ir.Constant(windows.type, None)
        outside = builder.or_(
            builder.and_(
                builder.fcmp_ordered("<", windows, first),
                builder.fcmp_ordered("!=", windows, nothing),
            ),
            builder.fcmp_ordered(">", windows, last),
        )
        if self.finish == "square_root":
            windows = call_of_vectors(builder, "llvm.sqrt", windows)
        return self._written(builder, windows), outside

    def _divided(self, builder, sums):
        """Averages; of zeros it is 0.0, whatever their signs."""
        sums = builder.fadd(sums, ir.Constant(sums.type, [0.0] * sums.type.count))
        return builder.fdiv(sums, splat(builder, self.limits[0], sums.type))

    def _written(self, builder, values):
        """Accumulators, or their quotients, as results."""
        if self.result == self.limit:
            return values
        return vectors.written(builder, values, self.limit, self.result)

    def are_whole(self, builder, column, left, count):
        """Whether so many vectors of columns can be read in whole: those from one on, of which so
        many are left. Of columns apart, one more is read on.
        """
        first = number(1 if self.step < -1 else 0)
        least = number(count * self.lanes + (1 if self.step > 1 else 0))
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
        inside = lanes_within(builder, first, last, values.type)
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
            within = None
            if lanes is not None:
                within = tuple(builder.sub(n, number(start)) for n in (first, last))
            vectors.append(masked.load(builder, place, itemsize, within))
        return every(builder, vectors, 0, backwards=self.step < 0)

    def store(self, builder, values, address, place, columns):
        """As many results as there are of a row, from a place on."""
        left = builder.sub(columns, place)
        with builder.if_else(builder.icmp_signed(">=", left, number(self.lanes))) as (whole, part):
            with whole:
                self.store_whole(builder, values, address, place)
            with part:
                name, words = f"store_first_{self.vectors}", (values, address, place, left)
                call_outlined(builder, name, self.store_first, ir.VoidType(), *words)

    def store_whole(self, builder, values, address, place):
        """A vector of results of a row, from a place on."""
        to = pointer(builder, address, place, self.result, self.lanes)
        builder.store(values, to, align=itemsize_of(self.result))

    def store_first(self, builder, values, address, place, count):
        """Some results of a row, from a place on: less than a vector."""
        to = pointer(builder, address, place, self.result, self.lanes)
        masked.store_first(builder, values, to, itemsize_of(self.result), count)


def _native(builder, values, kind):
    """Integers whose bytes are in the other order as a vector of some kind."""
    return builder.bitcast(call_of_vectors(builder, "llvm.bswap", values), kind)


def taps_between(builder, phases, following, count, dilation):
    """The vectors of each tap, from the phases of some columns and of those that follow."""
    lanes = phases[0].type.count
    for tap in range(count):
        moved, phase = divmod(tap * dilation, len(phases))
        picks = ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(moved, moved + lanes)))
        yield builder.shuffle_vector(phases[phase], following[phase], picks)


def taps_within(builder, vector, count, stride, dilation):
    """The vectors of each tap, from the one vector that holds them all."""
    last = vector.type.count - 1
    for tap in range(count):
        places = [min(lane * stride + tap * dilation, last) for lane in range(last + 1)]
        picks = ir.Constant(ir.VectorType(ir.IntType(32), last + 1), places)
        yield builder.shuffle_vector(vector, vector, picks)


class Folded(NamedTuple):
    """The taps of depth and rows of a row of results, combined: `depths` and `rows` are (how many
    there are, bytes from one to the next). A number of rows that is an int is unrolled.
    """

    builder: Any
    pooling: Pooling
    start: Any
    length: Any
    depths: tuple[Any, Any]
    rows: tuple[Any, Any]

    def _totals(self, firsts, count, step, vectors_at):
        """`vectors_at(addresses)` of so many places, combined."""
        builder, pooling = self.builder, self.pooling

        def further(by):
            return [builder.add(first, by) for first in firsts]

        if isinstance(count, int):
            steps = [builder.mul(number(i), step) for i in range(count)]
            return pooling.of_each(builder, [vectors_at(further(by)) for by in steps])
        totals = [cgutils.alloca_once(builder, pooling.accumulators) for _ in firsts]
        for vector, total in zip(vectors_at(firsts), totals, strict=True):
            builder.store(vector, total)
        with cgutils.for_range_slice(builder, number(1), count, number(1)) as (i, _):
            vectors = vectors_at(further(builder.mul(i, step)))
            vectors = pooling.of_each(builder, [map(builder.load, totals), vectors])
            for vector, total in zip(vectors, totals, strict=True):
                builder.store(vector, total)
        return list(map(builder.load, totals))

    def _vectors(self, columns, lanes=None):
        """Those of some columns, of which some `lanes` hold data, if given."""

        def of_rows(addresses):
            loaded = zip(addresses, lanes or [None] * len(addresses), strict=True)
            return [self.pooling.load(self.builder, *each) for each in loaded]

        def of_depths(addresses):
            return self._totals(addresses, *self.rows, of_rows)

        return self._totals(self._addresses(self.start, columns), *self.depths, of_depths)

    def _addresses(self, start, columns):
        """Where columns lie of a row that starts at an address."""
        step = number(self.pooling.step * itemsize_of(self.pooling.elements))
        return [self.builder.add(start, self.builder.mul(column, step)) for column in columns]

    def whole(self, column, count):
        """So many neighbouring vectors from a column on, in which all columns hold data."""
        return self._vectors(self._apart(column, count))

    def _apart(self, column, count):
        return [self.builder.add(column, number(i * self.pooling.lanes)) for i in range(count)]

    def part(self, column):
        """The vector from a column on, of which not all columns may hold data."""
        lanes = self.builder.neg(column), self.builder.sub(self.length, column)
        return self._vectors([column], [lanes])[0]

    def block(self, column, count):
        """So many neighbouring vectors, the columns from one on, which may lie outside the row."""
        builder, columns = self.builder, self._apart(column, count)
        kept = [cgutils.alloca_once(builder, self.pooling.accumulators) for _ in columns]
        left = builder.sub(self.length, column)
        are_whole = self.pooling.are_whole(builder, column, left, count)
        with builder.if_else(are_whole, likely=True) as (whole, part):
            with whole:
                for vector, place in zip(self._vectors(columns), kept, strict=True):
                    builder.store(vector, place)
            with part:
                for at, place in zip(columns, kept, strict=True):
                    builder.store(self._some(at, count), place)
        return list(map(builder.load, kept))

    def _some(self, column, count):
        """The vector from a column on, one of so many of a block that is not whole. One that is
        whole itself is loaded here, as calls cost registers: 0.9 of the time of 3 x 3, stride 2.
        """
        builder, pooling = self.builder, self.pooling
        kept = cgutils.alloca_once(builder, pooling.accumulators)
        builder.store(pooling.nothing, kept)
        left = builder.sub(self.length, column)
        with builder.if_then(builder.icmp_signed(">", left, number(0))):
            if count == 1:
                builder.store(self._outlined_part(column), kept)
            else:
                are_whole = pooling.are_whole(builder, column, left, 1)
                with builder.if_else(are_whole) as (whole, part):
                    with whole:
                        builder.store(self._vectors([column])[0], kept)
                    with part:
                        builder.store(self._outlined_part(column), kept)
        return builder.load(kept)

    def _outlined_part(self, column):
        """The same as `part`, by a function: where there are no masks, such loads are so many
        instructions that, written at each place, they took half as long again to compile a kernel.
        """
        (depths, depth_step), (rows, row_step) = self.depths, self.rows
        known = [count if isinstance(count, int) else None for count in (depths, rows)]

        def write(builder, start, length, column, depths, depth_step, rows, row_step):
            depths, rows = (
                count if given is None else given
                for count, given in zip((depths, rows), known, strict=True)
            )
            taps = (depths, depth_step), (rows, row_step)
            return Folded(builder, self.pooling, start, length, *taps).part(column)

        depths, rows = (number(n) if isinstance(n, int) else n for n in (depths, rows))
        words = self.start, self.length, column, depths, depth_step, rows, row_step
        name = "_".join(map(str, ("part", self.pooling.vectors, *known)))
        return call_outlined(self.builder, name, write, self.pooling.accumulators, *words)
