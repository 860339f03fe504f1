"""The windows of a group of neighbouring outputs over rows of lines, in one pass: what they have in
common, and the rows that some of them add, are combined in registers.

See row_windows.py for what a group is. Line by line, the same took twice the time.
"""

import uuid

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from numpool._cpu.loops import itemsize_of
from numpool._cpu.vector_loops import cover, for_widest, load, number, store

# How many outputs a group may have.
GROUPS = (8, 4)

_WORDS = ("target", "target_pitch", "core", "before", "behind", "pitch", "size", "code", "behind_code")


def _rows_of(builder, combine, moved, rows, codes):
    """Some rows combined as a tree, each moved by its code."""
    if len(rows) == 1:
        return moved(builder, rows[0], codes[0])
    half = len(rows) // 2
    a, b = (
        _rows_of(builder, combine, moved, rows[part], codes[part])
        for part in (slice(half), slice(half, None))
    )
    return combine(builder, a, b)


def _windows(builder, combine, moved, core, before, behind, code, behind_code, outputs):
    """The windows of some outputs, in their order, from what is common to them: each half of them
    shares as many of the rows `before` or `behind` more.
    """
    half = len(outputs) // 2
    if half == 0:
        return [core]
    first = outputs[0]

    def codes(start):
        return [builder.add(start, builder.mul(code, number(i))) for i in range(half)]

    rows = before[first + half - 1 : first + 2 * half - 1]
    rows = _rows_of(builder, combine, moved, rows, codes(number(0)))
    left = combine(builder, moved(builder, core, builder.mul(code, number(half))), rows)
    start = builder.sub(behind_code, builder.mul(code, number(2 * half - 1)))
    rows = behind[first : first + half]
    right = combine(builder, core, _rows_of(builder, combine, moved, rows, codes(start)))
    halves = (left, outputs[:half]), (right, outputs[half:])
    return [
        window
        for common, part in halves
        for window in _windows(
            builder, combine, moved, common, before, behind, code, behind_code, part
        )
    ]


def make_group(combine, dtype, outputs, moved=None):
    """An intrinsic `group(target, core, before, behind, pitch, size, code, behind_code)`: the windows
    of so many outputs, at `target` one behind the other, from the line `core` that is common to them
    and rows of lines `before` and `behind` it, `pitch` bytes apart. Accumulators of a numba type are
    combined by `combine(builder, dtype, a, b)`. Codes are those from a row to the next and of a row
    behind all windows of the first; see `make_loop` for `moved`.
    """
    name = f"numpool_group_{uuid.uuid4().hex}"

    def both(builder, a, b):
        return combine(builder, dtype, a, b)

    def at(builder, packed, code):
        return packed if moved is None else moved(builder, packed, code)

    def define(module):
        words = [ir.IntType(64)] * len(_WORDS)
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), words), name)
        function.linkage = "linkonce_odr"
        function.attributes.add("noinline")
        builder = ir.IRBuilder(function.append_basic_block())
        target, target_pitch, core, before, behind, pitch, size, code, behind_code = function.args

        def rows_from(start, step, count):
            return [builder.add(start, builder.mul(step, number(i))) for i in range(count)]

        shared = outputs - 1
        lines = [core, *rows_from(before, pitch, shared), *rows_from(behind, pitch, shared)]
        targets = rows_from(target, target_pitch, outputs)

        def line(lanes):
            def make(place, lanes):
                # All are loaded before any is stored: as for all the processor knows, these may be
                # the same memory.
                common, *rows = (load(builder, line, place, dtype, lanes) for line in lines)
                windows = _windows(
                    builder, both, at, common, rows[:shared], rows[shared:], code, behind_code,
                    range(outputs),
                )  # fmt: skip

                def write():
                    for window, to in zip(windows, targets, strict=True):
                        store(builder, window, to, place, dtype)

                return write

            cover(builder, dtype, target, size, lanes, make, False)

        for_widest(builder, dtype, size, line)
        return function

    @intrinsic
    def group(_, target, target_pitch, core, before, behind, pitch, size, code, behind_code):
        def codegen(context, builder, signature, args):
            function = builder.module.globals.get(name) or define(builder.module)
            builder.call(function, args)
            return context.get_dummy_value()

        return types.void(*[types.int64] * len(_WORDS)), codegen

    return group
