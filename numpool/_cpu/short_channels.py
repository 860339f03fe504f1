"""Short windows over pixels whose channels lie side by side, from source to results in one pass.

To the plan, channels are columns, of which a window takes one, and pixels are rows. As many
channels as fit some registers are loaded from all taps and combined there, pixel after pixel: 0.2
to 0.7 of the time of lines (lines.py), of which powers and roots are further passes.
"""

from numba.core import cgutils

from numpool._cpu.loops import itemsize_of
from numpool._cpu.short_loops import intrinsic_of, kernel_of
from numpool._cpu.vector_loops import number, smaller

# Vectors of channels that are worked on together.
_TOGETHER = 4
# Windows of so many taps along the pixels, by one, share columns of taps, which are then combined
# once: 0.65 to 0.75 of the time. Two taps, or strides of 2, gain less than a tenth by it. So they
# are of pixels up to so many bytes, as their blocks of channels are worked on one after the other.
_SHARED_TAPS, _LONGEST_PIXEL = 3, 4096


def make_short_channels(pooling):
    """The kernel of windows of one column."""
    lanes = pooling.lanes

    def write(builder, pooling, numbers, results_of):
        def folded(row, tap=None):
            """All taps of a row of results, or those of one row of the source."""
            start = builder.add(numbers.source, builder.mul(row, numbers.source_pitch))
            if tap is None:
                return numbers.folded(builder, pooling, start)
            start = builder.add(start, builder.mul(number(tap), numbers.row_step))
            return numbers.folded(builder, pooling, start, rows=1)

        def store(row, place, vectors):
            to = builder.add(numbers.result, builder.mul(row, numbers.pitch))
            for i, windows in enumerate(vectors):
                at = builder.add(place, number(i * lanes))
                pooling.store_whole(builder, results_of(windows), to, at)

        def each_block(windows):
            """`windows(place, vectors)` of all channels, so many vectors at a time."""
            size, several = number(lanes), number(_TOGETHER * lanes)
            whole = builder.sub(numbers.columns, builder.srem(numbers.columns, several))
            last = builder.sub(numbers.columns, size)
            with cgutils.for_range_slice(builder, number(0), whole, several) as (place, _):
                windows(place, _TOGETHER)
            with cgutils.for_range_slice(builder, whole, numbers.columns, size) as (place, _):
                # The last vector reaches back over channels of the one before.
                windows(smaller(builder, place, last), 1)

        def sharing(place, together):
            """Windows one after the other, each of which keeps what the next ones share: of those
            that lie `row_dilation` apart.
            """
            kept = [
                [cgutils.alloca_once(builder, pooling.accumulators) for _ in range(together)]
                for _ in range(_SHARED_TAPS - 1)
            ]

            def keep(columns):
                for column, places in zip(columns, kept, strict=True):
                    for vector, at in zip(column, places, strict=True):
                        builder.store(vector, at)

            def column(row, tap):
                return folded(row, tap).whole(place, together)

            phases = smaller(builder, numbers.row_dilation, numbers.count)
            with cgutils.for_range_slice(builder, number(0), phases, number(1)) as (phase, _):
                keep([column(phase, tap) for tap in range(_SHARED_TAPS - 1)])
                following = phase, numbers.count, numbers.row_dilation
                with cgutils.for_range_slice(builder, *following) as (row, _):
                    columns = [list(map(builder.load, places)) for places in kept]
                    columns.append(column(row, _SHARED_TAPS - 1))
                    store(row, place, pooling.of_each(builder, columns))
                    keep(columns[1:])

        size = builder.mul(numbers.columns, number(itemsize_of(pooling.dtype)))
        share = builder.icmp_signed("==", numbers.rows, number(_SHARED_TAPS))
        share = builder.and_(share, builder.icmp_signed("==", numbers.row_stride, number(1)))
        share = builder.and_(share, builder.icmp_signed("<=", size, number(_LONGEST_PIXEL)))
        with builder.if_else(share) as (shared, single):
            with shared:
                each_block(sharing)
            with single, cgutils.for_range(builder, numbers.count) as row:
                taps = folded(row.index)
                each_block(
                    lambda place, together: store(row.index, place, taps.whole(place, together))
                )

    return kernel_of(intrinsic_of(pooling, write))
