"""Windows along lines: slid along a line, or reduced one by one; and rows of lines combined.

Level w holds the combination of w neighbours at each place: each level is made of three pieces of
the one before, so cost and depth of the sums grow with log(taps), and nothing outside a window
enters its result. Where taps may be combined twice (`overlap`: max), the pieces overlap if w is no
multiple of 3. Sums add the one or two taps that three pieces leave.
"""

from numba import types

from numpool._cpu.loops import itemsize_of
from numpool._cpu.memory import CHECKED, ONE, ZERO, function, inline, write
from numpool._cpu.vectors import lanes_of

# Windows of more taps that overlap little are reduced one by one, in one pass, where sliding takes
# one for each factor of 3.
LONG_TAPS = 64
# Windows of as many neighbours are combined as vectors before they are halved, and others where
# they cannot be halved any more: 1.3 times on 1024 taps, 1.2 on 160, 2.7 times on 49. Up to `_RUN`
# taps a sum is so as shallow as it must be.
_LONG_RUN, _RUN = 128, 2048
# Of integers, whose sums are converted on the way, as many: 1.25 to 1.4 times on 80 to 160 taps.
_LONG_INTEGER_RUN = 64
# Of so many neighbours at least, each is lifted as it is combined, and not laid out first: 1.2 to
# 1.5 times on powers, 1.8 to 2.3 times on small integers.
LIFTED_TAPS = 32
# Blocks of fewer channels are combined densely, at every place.
_FEW_CHANNELS = 8


def make_runs(reduce_run, combine, dtype, source):
    """The functions (run_into, runs) for a `reduce_run` as vectors.py makes it, of elements of the
    numba type `source`; both give False for windows that are too short. Without it, all are.
    """
    if reduce_run is None:
        return inline(lambda *_arguments: False), inline(lambda *_arguments: False)
    lanes, itemsize, result_itemsize = lanes_of(dtype), itemsize_of(source), itemsize_of(dtype)

    @inline
    def run_into(result, address, taps):
        """Neighbours combined as vectors into a result."""
        if taps < lanes:
            return False
        runs = (taps + _RUN - 1) // _RUN
        first = taps // runs
        value = reduce_run(address, first)
        for r in range(2, runs + 1):
            last = r * taps // runs
            value = combine(value, reduce_run(address + first * itemsize, last - first))
            first = last
        write(result, dtype(value))  # numba adds small integers in 64 bits
        return True

    @function
    def runs(result, line, taps, stride):
        """Windows along a line that hardly overlap, one by one as vectors."""
        if taps < lanes or stride * 2 < taps:
            return False
        if CHECKED and (result[1] - 1) * stride + taps > line[1]:
            raise IndexError("windows reach beyond their line")
        for j in range(result[1]):
            run_into(result[0] + j * result_itemsize, line[0] + j * stride * itemsize, taps)
        return True

    return run_into, runs


def make_windowing(loops, overlap, dtype, run_functions):
    """The functions (window_line, slide_line, extend, reduce) over loops of lines and those of
    `make_runs`.
    """
    run_into, runs = run_functions
    _fill, copy, two, three, into, two_into = loops[:6]
    neighbours, neighbours_and_evens, neighbours_of_3, take = loops[6:10]
    if not overlap:
        four, five = loops[10:]
    itemsize = itemsize_of(dtype)
    sums_integers = isinstance(dtype, types.Integer) and not overlap
    long_run = _LONG_INTEGER_RUN if sums_integers else _LONG_RUN

    @inline
    def part(line, start, size):
        if CHECKED and (start < 0 or size < 0 or start + size > line[1]):
            raise IndexError("a part of a line reaches beyond it")
        return line[0] + start * itemsize, size

    if overlap:

        @function
        def widen(target, level, line, width, wider, lag, code, distance):
            """Windows of at most 3 * width taps from two or three of `width`, which overlap."""
            size = target[1]
            last = wider - width
            a, c = part(level, ZERO, size), part(level, last * lag, size)
            if last <= width:
                two(target, a, c, ZERO, last * code, distance)
            else:
                b = part(level, width * lag, size)
                three(target, a, b, c, ZERO, width * code, last * code, distance)

    else:

        @function
        def widen(target, level, line, width, wider, lag, code, distance):
            """Windows of 2 * width taps or 3 * width to 3 * width + 2, from such of `width`."""
            size = target[1]
            a, b = part(level, ZERO, size), part(level, width * lag, size)
            if wider == 2 * width:
                two(target, a, b, ZERO, ZERO, distance)
                return
            c = part(level, 2 * width * lag, size)
            if wider == 3 * width:
                three(target, a, b, c, ZERO, ZERO, ZERO, distance)
                return
            d, e = part(line, 3 * width * lag, size), part(line, (wider - 1) * lag, size)
            if wider == 3 * width + 1:
                four(target, a, b, c, d)
            else:
                five(target, a, b, c, d, e)

    @function
    def slide_line(result, line, taps, lag, code, spare, other_spare, distance):
        """Windows of `taps` accumulators, `lag` apart, at each place of the result."""
        if taps == 1:
            copy(result, part(line, ZERO, result[1]), ZERO, distance)
            return
        level = line
        width = scale = ONE
        while scale * 3 < taps:
            scale *= 3
        while scale > 0:
            wider = -(-taps // scale) if overlap else taps // scale
            if wider > width:
                target = result
                if scale > 1:
                    target = part(spare, ZERO, result[1] + (taps - wider) * lag)
                widen(target, level, line, width, wider, lag, code, distance)
                level = target
                width = wider
                spare, other_spare = other_spare, spare
            scale //= 3

    @function
    def extend(target, base, shift, line, pitch, rows, first_code, code, distance):
        """Combine a base and some rows, `pitch` apart; codes are those of the first and from one to
        the next.
        """
        size = target[1]
        a = part(line, ZERO, size)
        if rows == 1:
            two(target, a, base, first_code, shift, distance)
            return
        b = part(line, pitch, size)
        three(target, a, b, base, first_code, first_code + code, shift, distance)
        for row in range(2, rows - 1, 2):
            a, b = part(line, row * pitch, size), part(line, (row + 1) * pitch, size)
            a_code = first_code + row * code
            two_into(target, a, b, a_code, a_code + code, distance)
        if rows % 2:
            into(
                target,
                part(line, (rows - 1) * pitch, size),
                first_code + (rows - 1) * code,
                distance,
            )

    @function
    def reduce(result, line, taps, lag, code, spare, distance):
        """Combine `taps` blocks of the result's size, `lag` apart, by a halving tree."""
        size = result[1]
        if taps == 1:
            copy(result, part(line, ZERO, size), ZERO, distance)
            return
        if size == lag == 1 and run_into(result[0], part(line, ZERO, taps)[0], taps):
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
        if channels == dilation == 1 and taps >= long_run and runs(result, line, taps, stride):
            return
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
            if line[0] == result[0] or (channels == 1 and runs(result, line, taps, stride)):
                return
            if stride == 2 and taps == 3 and channels == 1:
                # Evens of one place more are the third taps; the line may end before its odd. It
                # takes 0.65 to 0.8 of the time where short windows are not taken from rows.
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

    return window_line, slide_line, extend, reduce
