"""The line kernel of an operator: all that is done to accumulators, behind one address.

The walk (walk.py) knows no operator and no type: it lays out lines in its buffers and calls this
kernel for what is to be done to them, `operation` first. So the walk is compiled once, and an
operator with its type costs little more than its loops. A call costs some 3 ns.
"""

import numpy as np
from numba import types

from numpool._cpu.line_loops import make_lifts, make_loops, shifted
from numpool._cpu.loops import itemsize_of, packed_lifts, pair_loops, value_moves
from numpool._cpu.memory import LINE_WORDS, fetch_ahead, function, inline
from numpool._cpu.row_groups import GROUPS, make_group
from numpool._cpu.windowing import make_runs, make_windowing

# Of NumPy's type, since numba would compile a caller anew for each literal argument.
FILL, LIFT, FOLD, COMBINE, WINDOW, SLIDE_LINE, EXTEND, REDUCE, LIFT_RUNS, GROUP = np.arange(10)

# The operation and its arguments; those that an operation does not have may be anything.
SIGNATURE = types.void(*[types.int64] * LINE_WORDS)


def make_fold(lifts, dtype, source, by_rows=True):
    """The function that folds rows of type `source` into lines, by loops that go over rows
    themselves, or over one line.
    """
    lift, lift_two, lift_three, lift_into, lift_two_into = lifts
    itemsize, source_itemsize = itemsize_of(dtype), itemsize_of(source)

    @function
    def fold(
        target, pitch, rows, size, source, source_pitch,
        depth_taps, depth_step, row_taps, row_step, depth_code, row_code, code, distance,
    ):  # fmt: skip
        """Fold the taps (depth_taps x row_taps) of some rows: three source rows a pass, in the
        order of depth, then row. Steps and the source's pitch are in bytes.
        """
        if pitch == size and source_pitch == size * source_itemsize:
            size, rows = size * rows, 1
        taps = depth_taps * row_taps
        target_step = pitch * itemsize
        by = (rows, target_step, source_pitch)
        depth = row = done = 0
        while done < taps:
            # Where the next three taps are, and their codes.
            together = min(3, taps - done)
            a = b = c = source
            a_code = b_code = c_code = code
            for _ in range(together):
                a, b, c = b, c, source + depth * depth_step + row * row_step
                a_code, b_code, c_code = b_code, c_code, code + depth * depth_code + row * row_code
                row += 1
                if row == row_taps:
                    row = 0
                    depth += 1
            for r in range(1 if by_rows else rows):
                out = (target + r * target_step, size)
                at = r * source_pitch
                if not by_rows and done == 0:
                    fetch_ahead(c + at, source_pitch)
                x, y, z = (a + at, size), (b + at, size), (c + at, size)
                if done == 0:
                    if together == 3:
                        lift_three(out, x, y, z, a_code, b_code, c_code, distance, by)
                    elif together == 2:
                        lift_two(out, y, z, b_code, c_code, distance, by)
                    else:
                        lift(out, z, c_code, distance, by)
                else:
                    if together == 3:
                        lift_into(out, x, a_code, distance, by)
                    if together >= 2:
                        lift_two_into(out, y, z, b_code, c_code, distance, by)
                    else:
                        lift_into(out, z, c_code, distance, by)
            done += together

    return fold


def make_lines(
    combine,
    identity,
    dtype,
    overlap,
    *,
    combine_vectors=None,
    packed=False,
    source=None,
    convert=None,
    reduce_run=None,
    lift_run=None,
):
    """The kernel for an operator that computes in a numba type, on plain or packed values that are
    combined as vectors by `combine_vectors`, or on pairs.

    Elements of rows of type `source` become accumulators by `convert`, if they are not: as vectors,
    or one by one if packed. Plain values may have a `reduce_run`, and elements a `lift_run`: see
    vectors.py.
    """
    if combine_vectors is None:
        loops, lifts = pair_loops(combine, identity, dtype)
        group = inline(lambda *_arguments: None)
        lift = fold = make_fold(lifts, dtype, dtype, by_rows=False)
    else:
        moved = shifted if packed else None
        loops = make_loops(combine_vectors, identity, dtype, moved)
        of_many, of_few = (make_group(combine_vectors, dtype, n, moved) for n in GROUPS)

        @inline
        def group(outputs, *arguments):
            if outputs == GROUPS[0]:
                of_many(*arguments)
            else:
                of_few(*arguments)

        loops = (*loops[:8], *value_moves(combine, dtype, packed), *loops[8:])
        lift = fold = make_fold(make_lifts(combine_vectors, dtype, moved=moved), dtype, dtype)
        if packed:
            lifts = packed_lifts(combine, dtype, source, convert)
            lift = make_fold(lifts, dtype, source, by_rows=False)
        elif convert is not None:
            lift = make_fold(make_lifts(combine_vectors, dtype, source, convert), dtype, source)
    fill, into = loops[0], loops[4]
    windowing = make_windowing(loops, overlap, dtype, make_runs(reduce_run, combine, dtype, dtype))
    window_line, slide_line, extend, reduce = windowing
    itemsize = itemsize_of(dtype)
    source_itemsize = itemsize if source is None else itemsize_of(source)
    _, lift_runs = make_runs(lift_run, combine, dtype, dtype if source is None else source)

    def lines(operation, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o):  # noqa: E741
        if operation == LIFT:
            # target, its pitch, rows, size of a row, source, its pitch, (taps, bytes from one to
            # the next) of depths and of rows, codes of a depth, a row, the first tap, distance
            lift(a, b, c, d, e, f, g, h, i, j, k, l, m, n)
        elif operation == FOLD:
            # the same, of rows of accumulators
            fold(a, b, c, d, e, f, g, h, i, j, k, l, m, n)
        elif operation == WINDOW:
            # result, its pitch, rows, columns, line, its pitch and size, channels, taps, stride,
            # dilation, code, spares, their size, distance
            for r in range(c):
                result = (a + r * b * itemsize, d * h)
                line = (e + r * f * itemsize, g)
                window_line(result, line, h, i, j, k, l, (m, n), o)
        elif operation == SLIDE_LINE:
            # result, its size, line, its size, taps, lag, code, spares, their size, distance
            half = i // 2
            spare, other_spare = (h, half), (h + half * itemsize, half)
            slide_line((a, b), (c, d), e, f, g, spare, other_spare, j)
        elif operation == EXTEND:
            # target, base, its shift, line, its pitch, rows, codes of the first and from one to the
            # next, size of a row, distance
            extend((a, i), (b, i), c, (d, (f - 1) * e + i), e, f, g, h, j)
        elif operation == FILL:
            # target, its pitch, rows, size, distance
            for r in range(c):
                fill((a + r * b * itemsize, d), e)
        elif operation == COMBINE:
            # target, its size, line, shift, distance
            into((a, b), (c, b), d, e)
        elif operation == LIFT_RUNS:
            # result, its pitch, rows, columns, source, its pitch in elements, size, taps, stride
            for r in range(c):
                lift_runs((a + r * b * itemsize, d), (e + r * f * source_itemsize, g), h, i)
        elif operation == GROUP:
            # outputs, target, its pitch, core, lines before and behind it, their pitch, size, codes
            # from a line to the next and of the first behind; pitches are in bytes
            group(a, b, c, d, e, f, g, h, i, j)
        else:
            # REDUCE: result, its size, line, its size, taps, lag, code, spare, its size, distance
            reduce((a, b), (c, d), e, f, g, (h, i), j)

    return lines
