"""Windows over lines: slid along a line, slid over the rows of a tile, or reduced one by one.

Level w holds the combination of w neighbours at each place, w = 1, 3, 9, ...: each level is made of
three of the one before, so cost and depth of the sums grow with log(taps), and nothing outside a
window enters its result. Where taps may be combined twice (`overlap`: max), two or three pieces of
the last level cover the window. Sums take from each level as many pieces as the base-3 digit of
`taps` says and gather them in the result.
"""

from numpool._cpu.loops import itemsize_of
from numpool._cpu.memory import CHECKED, ONE, ZERO, function, inline

# Windows of more taps that overlap little are reduced one by one, in one pass, where sliding takes
# one for each factor of 3.
LONG_TAPS = 64
# Blocks of fewer channels are combined densely, at every place.
_FEW_CHANNELS = 8


def make_windowing(loops, overlap, dtype):
    """The functions (window_line, slide_line, slide_rows, reduce) over loops of loops.py."""
    _fill, copy, two, three, into, two_into = loops[:6]
    neighbours, neighbours_and_evens, neighbours_of_3, take = loops[6:]
    itemsize = itemsize_of(dtype)

    @inline
    def part(line, start, size):
        if CHECKED and (start < 0 or size < 0 or start + size > line[1]):
            raise IndexError("a part of a line reaches beyond it")
        return line[0] + start * itemsize, size

    @function
    def gather(result, level, lag, code, width, covered, pieces, distance):
        """Add up to 5 pieces of a level to the sums of the result, which hold `covered` taps."""
        size = result[1]
        at = covered
        end = covered + pieces * width
        step = width * code
        if covered == 0 and pieces > 0:
            a = part(level, ZERO, size)
            if pieces == 1:
                copy(result, a, ZERO, distance)
            elif pieces == 2:
                two(result, a, part(level, width * lag, size), ZERO, step, distance)
            else:
                b, c = part(level, width * lag, size), part(level, 2 * width * lag, size)
                three(result, a, b, c, ZERO, step, 2 * step, distance)
            at += min(pieces, 3) * width
        while end - at >= 2 * width:
            a, b = part(level, at * lag, size), part(level, (at + width) * lag, size)
            two_into(result, a, b, at * code, at * code + step, distance)
            at += 2 * width
        if at < end:
            into(result, part(level, at * lag, size), at * code, distance)

    @function
    def cover(result, level, lag, code, width, taps, distance):
        """The windows of at most 3 * width taps by overlapping pieces of a level."""
        size = result[1]
        last = taps - width
        a, c = part(level, ZERO, size), part(level, last * lag, size)
        if last == 0:
            copy(result, a, ZERO, distance)
        elif last <= width:
            two(result, a, c, ZERO, last * code, distance)
        else:
            b = part(level, width * lag, size)
            three(result, a, b, c, ZERO, width * code, last * code, distance)

    @function
    def slide_line(result, line, taps, lag, code, spare, other_spare, distance):
        """Windows of `taps` accumulators, `lag` apart, at each place of the result."""
        level = line
        width = ONE
        covered = ZERO
        while taps // width > 5 or (overlap and taps > 3 * width):
            if not overlap:
                pieces = taps // width % 3
                gather(result, level, lag, code, width, covered, pieces, distance)
                covered += pieces * width
            n = result[1] + (taps - 3 * width) * lag
            step = width * code
            target = part(spare, ZERO, n)
            a, b = part(level, ZERO, n), part(level, width * lag, n)
            c = part(level, 2 * width * lag, n)
            three(target, a, b, c, ZERO, step, 2 * step, distance)
            level = target
            spare, other_spare = other_spare, spare
            width *= 3
        if overlap:
            cover(result, level, lag, code, width, taps, distance)
        else:
            gather(result, level, lag, code, width, covered, taps // width, distance)

    @function
    def slide_rows(
        result, result_pitch, rows, row_stride, line, pitch, size, taps, lag, code, distance
    ):
        """Windows of `taps` rows, `lag` rows apart, of `size` accumulators; row r of the result is
        the window at row r * row_stride.

        Levels are made in place, row by row: a tile with all its rows stays in the cache.
        """
        dense = (rows - 1) * row_stride + 1
        width = ONE
        covered = ZERO
        while True:
            top = taps <= 3 * width if overlap else taps // width <= 5
            pieces = taps // width if top else taps // width % 3
            if top or (not overlap and pieces > 0):
                for r in range(rows):
                    target = part(result, r * result_pitch, size)
                    start = r * row_stride * pitch
                    level = part(line, start, line[1] - start)
                    if overlap:
                        cover(target, level, lag * pitch, code, width, taps, distance)
                    else:
                        gather(target, level, lag * pitch, code, width, covered, pieces, distance)
                covered += pieces * width
            if top:
                return
            step = width * code
            for r in range(dense + (taps - 3 * width) * lag):
                a = part(line, (r + width * lag) * pitch, size)
                b = part(line, (r + 2 * width * lag) * pitch, size)
                two_into(part(line, r * pitch, size), a, b, step, 2 * step, distance)
            width *= 3

    @function
    def reduce(result, line, taps, lag, code, spare, distance):
        """Combine `taps` blocks of the result's size, `lag` apart, by a halving tree."""
        size = result[1]
        if taps == 1:
            copy(result, part(line, ZERO, size), ZERO, distance)
            return
        # The first halving, from the line to the spare, where blocks stand side by side.
        half = (taps + 1) // 2
        rest = taps - half
        if lag == size:
            a, b = part(line, ZERO, rest * size), part(line, half * size, rest * size)
            two(part(spare, ZERO, rest * size), a, b, ZERO, half * code, distance)
        else:
            for t in range(rest):
                a, b = part(line, t * lag, size), part(line, (half + t) * lag, size)
                two(part(spare, t * size, size), a, b, ZERO, half * code, distance)
        if rest < half:
            middle = part(line, rest * lag, size)
            copy(part(spare, rest * size, size), middle, ZERO, distance)
        # Block t of the spare stands for tap t, its codes for what was added to it.
        n = half
        while n > 1:
            half = (n + 1) // 2
            rest = (n - half) * size
            into(part(spare, ZERO, rest), part(spare, half * size, rest), half * code, distance)
            n = half
        copy(result, part(spare, ZERO, size), ZERO, distance)

    @function
    def window_line(result, line, channels, taps, stride, dilation, code, spares, distance):
        """The windows along a line of `channels` accumulators a position: result[j] covers
        line[j * stride ...]. There are four spare lines.
        """
        outputs = result[1] // channels
        lag = dilation * channels
        room = spares[1] // 4
        spare, other_spare = part(spares, ZERO, room), part(spares, room, room)
        if (channels == 1 or channels == 3) and dilation == 1:
            # Pairs of neighbours first: each time half as much is left to do.
            while taps % 2 == 0 and stride % 2 == 0:
                taps, stride = taps // 2, stride // 2
                n = ((outputs - 1) * stride + taps) * channels
                target = result if taps == 1 and stride == 1 else part(spare, ZERO, n)
                if channels == 1:
                    neighbours(target, part(line, ZERO, 2 * n), code, distance)
                else:
                    neighbours_of_3(target, part(line, ZERO, 2 * n), code, distance)
                line = target
                spare, other_spare = other_spare, spare
                code *= 2
            if line[0] == result[0]:
                return
            if stride == 2 and taps == 3 and channels == 1:
                # Evens of one place more are the third taps; the line may end before its odd.
                evens = part(spare, ZERO, outputs)
                neighbours_and_evens(result, evens, part(line, ZERO, 2 * outputs), code, distance)
                into(
                    part(result, ZERO, outputs - 1),
                    part(evens, ONE, outputs - 1),
                    2 * code,
                    distance,
                )
                last = part(line, 2 * outputs, ONE)
                into(part(result, outputs - 1, ONE), last, 2 * code, distance)
                return
            # The last halves lie in what is now the other spare line.
            other_spare = part(spares, 2 * room, room)
        if stride == 1:
            slide_line(result, line, taps, lag, code, spare, other_spare, distance)
        elif stride * 2 >= taps and (taps >= LONG_TAPS or channels >= _FEW_CHANNELS):
            for j in range(outputs):
                window = part(line, j * stride * channels, (taps - 1) * lag + channels)
                target = part(result, j * channels, channels)
                reduce(target, window, taps, lag, code, spare, distance)
        elif channels >= _FEW_CHANNELS and taps <= 5:
            for j in range(outputs):
                window = part(line, j * stride * channels, (taps - 1) * lag + channels)
                target = part(result, j * channels, channels)
                slide_line(target, window, taps, lag, code, spare, other_spare, distance)
        else:
            dense = part(spares, 3 * room, ((outputs - 1) * stride + 1) * channels)
            slide_line(dense, line, taps, lag, code, spare, other_spare, distance)
            if channels == 1:
                take(result, dense, stride, distance)
            else:
                for j in range(outputs):
                    block = part(dense, j * stride * channels, channels)
                    copy(part(result, j * channels, channels), block, ZERO, distance)

    return window_line, slide_line, slide_rows, reduce
