"""Windows along one line: the sliding reduction, and the tree that folds one window."""

from numpool._cpu.lines import (
    combine_into,
    combine_neighbours,
    combine_three,
    combine_two,
    combine_two_into,
    copy,
    length,
    part,
    take,
)
from numpool._cpu.memory import function, inline


@function
def slide(combine, overlap, line, size, taps, lag, spare, other_spare, total):
    """`size` windows of `taps` accumulators, `lag` apart; returns the line that holds them, one of
    the given ones.

    Level w holds the combination of w neighbours at each place, w = 1, 3, 9, ...: each level is
    made of three of the one before, so cost and depth of the sums grow with log(taps), and nothing
    outside a window enters its result. Where taps may be combined twice (`overlap`: max), two or
    three pieces of the last level cover the window. Sums take from each level as many pieces as the
    base-3 digit of `taps` says and gather them in `total`.
    """
    level = line
    width = 1
    covered = 0
    while True:
        digit = taps // width % 3
        top = taps // width < 3
        if overlap and top:
            if taps == width:
                return part(level, 0, size)
            target = part(spare, 0, size)
            first = part(level, 0, size)
            last = part(level, (taps - width) * lag, size)
            if taps > 2 * width:
                combine_three(combine, target, first, part(level, width * lag, size), last)
            else:
                combine_two(combine, target, first, last)
            return target
        if digit > 0 and not overlap:
            a = part(level, covered * lag, size)
            target = part(total, 0, size)
            if covered == 0:
                if digit == 1:
                    if top:
                        return a
                    copy(target, a)
                else:
                    combine_two(combine, target, a, part(level, width * lag, size))
            elif digit == 1:
                combine_into(combine, target, a)
            else:
                b = part(level, (covered + width) * lag, size)
                combine_two_into(combine, target, a, b)
            covered += digit * width
        if top:
            return part(total, 0, size)
        n = size + (taps - 3 * width) * lag
        target = part(spare, 0, n)
        combine_three(
            combine,
            target,
            part(level, 0, n),
            part(level, width * lag, n),
            part(level, 2 * width * lag, n),
        )
        level = target
        spare, other_spare = other_spare, spare
        width *= 3


@inline
def window_line(
    combine, overlap, result, line, taps, stride, dilation, channels, spare, other_spare, total
):
    """The windows along a line of `channels` accumulators a position: result[j] covers line[j *
    stride ...].
    """
    lag = dilation * channels
    size = length(result)
    outputs = size // channels
    if channels == 1 and stride == 2 and dilation == 1 and (taps == 2 or taps == 3):
        combine_neighbours(combine, result, line, taps)
    elif stride == 1 and taps == 2:
        combine_two(combine, result, part(line, 0, size), part(line, lag, size))
    elif stride == 1 and taps == 3:
        combine_three(
            combine,
            result,
            part(line, 0, size),
            part(line, lag, size),
            part(line, 2 * lag, size),
        )
    else:
        dense = ((outputs - 1) * stride + 1) * channels
        windows = slide(combine, overlap, line, dense, taps, lag, spare, other_spare, total)
        take(result, windows, stride, channels)


@function
def fold(combine, line, taps, lag, channels, spare):
    """Combine `taps` blocks of `channels` accumulators, `lag` apart, by a halving tree; returns the
    one block.
    """
    if lag > channels:
        for t in range(taps):
            copy(part(spare, t * channels, channels), part(line, t * lag, channels))
    else:
        copy(part(spare, 0, taps * channels), part(line, 0, taps * channels))
    n = taps
    while n > 1:
        half = (n + 1) // 2
        rest = (n - half) * channels
        combine_into(combine, part(spare, 0, rest), part(spare, half * channels, rest))
        n = half
    return part(spare, 0, channels)
