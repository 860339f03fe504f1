"""The walk of an arg-max of windows that are neighbours in memory and hardly overlap: each is taken
as vectors along the window.

Nothing is laid out: it is as fast as the source is read, where packed values take four times that.
"""

from numba import types

from numpool._cpu.arg_taps import make_walk, nothing_of
from numpool._cpu.halves import is_larger_half
from numpool._cpu.loops import itemsize_of
from numpool._cpu.memory import function, inline, read, write
from numpool._cpu.rows import reader, scalar, stored_type
from numpool._cpu.taps import taps_of
from numpool._cpu.tiles import first_code
from numpool._cpu.vectors import make_arg_run

# Neighbours of a vector: two for a register of 64 bytes keep its unit busy.
LANES = 32
# The bits of a float16 but its sign.
_HALF_MAGNITUDE = 0x7FFF


def make_walk_arg_runs(dtype, index_dtype, magnitude=False):
    """The walk over elements of `dtype`, or their magnitudes."""
    arg_run = make_arg_run(dtype, LANES, magnitude)
    stored, index = stored_type(dtype), stored_type(index_dtype)
    convert, itemsize = reader(dtype, stored), itemsize_of(stored)
    if magnitude:
        half = inline(lambda bits: types.uint16(bits & _HALF_MAGNITUDE))
        convert = half if dtype == "float16" else inline(lambda value: abs(value))
    is_larger = is_larger_half if dtype == "float16" else scalar.is_larger
    lowest, nowhere = nothing_of(dtype, index_dtype)

    @function
    def few(address, count):
        """The same of a few neighbours, at the edges."""
        best, found = convert(read(address, stored)), 0
        for number in range(1, count):
            value = convert(read(address + number * itemsize, stored))
            if is_larger(best, value):
                best, found = value, number
        return best, found

    @function
    def work_row(plan, depth, row, first, last, source, out, extra, row_base):
        """A row of outputs, from the first column to the last."""
        source += depth * plan.source.depth + row * plan.source.row
        for column in range(first, last):
            start, count = taps_of(plan.column, column)
            there, to = out + column * plan.out.column, extra + column * plan.extra.column
            if count == 0:
                write(there, lowest)
                write(to, nowhere)
                continue
            address = source + start * itemsize
            best, number = arg_run(address, count) if count >= LANES else few(address, count)
            code = first_code(plan.column, column, start) + number * plan.column.code
            write(there, best)
            write(to, index(row_base + column * plan.column_window.index_step + code))

    return make_walk(work_row)
