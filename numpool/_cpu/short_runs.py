"""Windows of some neighbours, side by side or nearly so, as many at a time as a vector has lanes.

Each is combined to a vector, and these to one of all results, as a tree of halves. It takes 0.45 to
0.8 of the time of windows one by one: whole planes 7 x 7, rows of 24 values.
"""

import itertools

from llvmlite import ir
from numba.core import cgutils

from numpool._cpu.loops import itemsize_of
from numpool._cpu.short_loops import intrinsic_of, kernel_of
from numpool._cpu.vector_loops import number, smaller


def _of_windows(builder, pooling, vectors):
    """Of as many vectors as one has lanes, the combined lanes of each, in one vector."""
    lanes = size = len(vectors)
    picks = ir.VectorType(ir.IntType(32), lanes)

    def halves(a, b):
        """The first and the second halves of all groups of so many lanes, of a and b by turns."""
        for half in (0, size // 2):
            firsts = itertools.product(range(half, lanes, size), (0, lanes))
            places = [at + first + i for first, at in firsts for i in range(size // 2)]
            yield builder.shuffle_vector(a, b, ir.Constant(picks, places))

    # Whole registers first, where a vector is several, and lanes of 128 bits, across which shuffles
    # take longer: with AVX2 0.6 to 0.97 of the time of combining neighbours first.
    while size > 1:
        middle = len(vectors) // 2
        pairs = zip(vectors[:middle], vectors[middle:], strict=True)
        vectors = [pooling.of_all(builder, halves(*pair)) for pair in pairs]
        size //= 2
    return vectors[0]


def make_short_runs(pooling):
    """The kernel of windows that lie in rows with all of their columns."""
    lanes = pooling.lanes
    itemsize = itemsize_of(pooling.elements)

    def write(builder, pooling, numbers, results_of):
        kept = [cgutils.alloca_once(builder, pooling.accumulators) for _ in range(lanes)]
        vectors = builder.sdiv(numbers.taps, number(lanes))
        rest = builder.srem(numbers.taps, number(lanes))
        step = builder.mul(numbers.stride, number(itemsize))

        def combine(start, within=None):
            """A vector more of each window."""
            for window, place in enumerate(kept):
                at = builder.add(start, builder.mul(number(window), step))
                both = builder.load(place), pooling.load(builder, at, within)
                builder.store(pooling.of_all(builder, both), place)

        with cgutils.for_range(builder, numbers.count) as row:
            start, to = numbers.row(builder, row.index)
            start = builder.sub(start, builder.mul(numbers.before, number(itemsize)))
            size = number(lanes)
            with cgutils.for_range_slice(builder, number(0), numbers.columns, size) as (place, _):
                # The last windows reach back over some before them.
                place = smaller(builder, place, builder.sub(numbers.columns, size))
                first = builder.add(start, builder.mul(place, step))
                for total in kept:
                    builder.store(pooling.nothing, total)
                with cgutils.for_range(builder, vectors) as vector:
                    combine(builder.add(first, builder.mul(vector.index, number(lanes * itemsize))))
                with builder.if_then(builder.icmp_signed(">", rest, number(0))):
                    behind = builder.mul(vectors, number(lanes * itemsize))
                    combine(builder.add(first, behind), (number(0), rest))
                results = results_of(_of_windows(builder, pooling, list(map(builder.load, kept))))
                pooling.store_whole(builder, results, to, place)

    return kernel_of(intrinsic_of(pooling, write))
