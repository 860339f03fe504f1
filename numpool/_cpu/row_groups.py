"""The windows of a group of neighbouring outputs over rows of lines, in one pass: what they have in
common, and the rows that some of them add, are combined in registers. See row_windows.py for what a
group is. Line by line, windows of 101 rows took 1.3 times as long.
"""

import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from numpool._cpu.vector_loops import cover, for_widest, load, number, store

# How many outputs a group may have here, of which others are made line by line.
GROUPS = (8, 4)

_WORD = ir.IntType(64)


class _Group(NamedTuple):
    """Vectors of the rows before and behind what all outputs of a group have in common, `combine(a,
    b)` and `moved(vector, code)`, and the codes from a row to the next and of a row behind the
    windows of the first output.
    """

    builder: Any
    combine: Callable
    moved: Callable
    before: list
    behind: list
    code: Any
    behind_code: Any

    def _times(self, count):
        """The codes of so many rows."""
        return self.builder.mul(self.code, number(count))

    def _together(self, rows, code):
        """Some rows as a tree; the code is that of the first."""
        if len(rows) == 1:
            return self.moved(rows[0], code)
        half = len(rows) // 2
        behind = self.builder.add(code, self._times(half))
        return self.combine(self._together(rows[:half], code), self._together(rows[half:], behind))

    def windows(self, common, first, count):
        """The windows of so many outputs from one on, from what they have in common: each half of
        them shares as many rows more. Codes are those of the last of them.
        """
        if count == 1:
            return [common]
        half = count // 2
        rows = self.before[first + half - 1 : first + count - 1]
        left = self.combine(self.moved(common, self._times(half)), self._together(rows, number(0)))
        rows = self.behind[first : first + half]
        code = self.builder.sub(self.behind_code, self._times(count - 1))
        right = self.combine(common, self._together(rows, code))
        return [*self.windows(left, first, half), *self.windows(right, first + half, half)]


def make_group(combine, dtype, outputs, moved=None):
    """An intrinsic `group(target, target_pitch, core, before, behind, pitch, size, code,
    behind_code)`: the windows of so many outputs, to lines of a target, from a line `core` that is
    common to them, and lines before and behind it, of accumulators of a numba type. Pitches are in
    bytes; for the codes see `_Group`, for `combine(builder, dtype, a, b)` and `moved` `make_loop`.
    """
    name = f"numpool_group_{uuid.uuid4().hex}"
    words = 9

    def define(module):
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [_WORD] * words), name)
        function.linkage = "linkonce_odr"
        function.attributes.add("noinline")
        builder = ir.IRBuilder(function.append_basic_block())
        target, target_pitch, core, before, behind, pitch, size, *codes = function.args

        def lines_from(start, step, count):
            return [builder.add(start, builder.mul(step, number(i))) for i in range(count)]

        def both(a, b):
            return combine(builder, dtype, a, b)

        def at(packed, code):
            return packed if moved is None else moved(builder, packed, code)

        more = outputs - 1
        lines = [core, *lines_from(before, pitch, more), *lines_from(behind, pitch, more)]
        targets = lines_from(target, target_pitch, outputs)

        def cover_lines(lanes):
            def make(place, lanes):
                # All are loaded before any is stored: it might be to the same memory, for all that
                # is known here.
                common, *rows = (load(builder, line, place, dtype, lanes) for line in lines)
                group = _Group(builder, both, at, rows[:more], rows[more:], *codes)
                windows = group.windows(common, 0, outputs)

                def finish():
                    for window, to in zip(windows, targets, strict=True):
                        store(builder, window, to, place, dtype)

                return finish

            cover(builder, dtype, target, size, lanes, make, in_place=False)

        for_widest(builder, dtype, size, cover_lines)
        return function

    @intrinsic
    def group(_, target, target_pitch, core, before, behind, pitch, size, code, behind_code):
        def codegen(context, builder, signature, args):
            function = builder.module.globals.get(name) or define(builder.module)
            builder.call(function, args)
            return context.get_dummy_value()

        return types.void(*[types.int64] * words), codegen

    return group
