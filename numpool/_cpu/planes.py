"""Small planes, many at a time: moved so that planes become channels, walked, and moved back.

Rows of a small plane are too short for vectors, and each costs a call or two. A block of planes
with their elements side by side, as channels last has it, fills vectors however small they are.
Blocks fit the second-level cache, and moving costs about as much as a copy there: tiles of 8 x 8
elements are transposed in registers. It is worth 1.5 to 10 times on planes of up to 57 x 57.

Elements are moved as bits: this is compiled once, and the walk that is called knows nothing of it.
"""

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from numpool._cpu.memory import (
    AHEAD,
    aligned_memory,
    array_at,
    call_walk,
    fetch,
    function,
    keep,
    read,
    write,
)
from numpool._cpu.plan import OPERANDS, integers
from numpool._cpu.tiles import item_addresses

# Rows and columns of a tile that is transposed in registers.
TILE = 8
# Within so many bytes, CPUs interleave vectors in one instruction.
_LANE_BYTES = 16
# How an operand is moved, 0 if it is not there.
INTO, BACK = 1, 2

# Whether and which way it is moved, bytes of an element, where its block lies in the buffer; bytes
# from a plane to the next, and sizes and strides of what a plane has inside.
MOVED = np.dtype(
    integers("moved", "width", "at", "plane")
    + integers("depths", "depth", "rows", "row", "columns", "column")
)

PLANES = np.dtype(
    [(operand, MOVED) for operand in OPERANDS]
    # Addresses of the walk and of its plan, and how many tasks it has for a block.
    + integers("walk", "plan", "tasks")
    # Planes along the innermost batch axis, how many are a block, in how many blocks; the other
    # batch axes as a table of (size, stride of each operand), innermost first.
    + integers("planes", "block", "blocks", "batch", "batch_axes")
    + integers("buffer_size")
)

PLANES_TYPE = numba.from_dtype(PLANES)


def _rounds(width):
    """Shuffles of a tile of elements of `width` bytes that leave its columns: of rows so far apart,
    the places that both take for the first one and for the second. Each is a single instruction.

    In lanes of 16 bytes they are interleaved, lanes themselves are exchanged: 0.8 of the time of
    interleaving whole rows, where that takes two instructions.
    """
    lane = min(_LANE_BYTES // width, TILE)

    def constant(places):
        return ir.Constant(ir.VectorType(ir.IntType(32), TILE), places)

    half = lane // 2
    low = [at for i in range(TILE) if i % lane < half for at in (i, TILE + i)]
    distance = half
    while distance > 0:
        yield distance, constant(low), constant([half + at for at in low])
        distance //= 2
    distance = lane
    while distance < TILE:
        first = [TILE + i - distance if i & distance else i for i in range(TILE)]
        yield distance, constant(first), constant([distance + at for at in first])
        distance *= 2


def _make_transpose(width):
    """An intrinsic that transposes a tile of elements of `width` bytes, whose rows are vectors."""
    size = ir.IntType(64)
    vector = ir.VectorType(ir.IntType(8 * width), TILE)

    @intrinsic
    def transpose(typing_context, source, source_pitch, target, target_pitch):
        def codegen(context, builder, signature, args):
            def pointers(start, pitch):
                for i in range(TILE):
                    address = builder.add(start, builder.mul(pitch, ir.Constant(size, i)))
                    yield builder.inttoptr(address, vector.as_pointer())

            lines = [builder.load(p, align=width) for p in pointers(*args[:2])]
            for distance, low, high in _rounds(width):
                for i in range(TILE):
                    if i & distance == 0:
                        a, b = lines[i], lines[i + distance]
                        lines[i] = builder.shuffle_vector(a, b, low)
                        lines[i + distance] = builder.shuffle_vector(a, b, high)
            for line, pointer in zip(lines, pointers(*args[2:]), strict=True):
                builder.store(line, pointer, align=width)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 4), codegen

    return transpose


def _make_move(width):
    """A function that moves elements of `width` bytes."""
    element = getattr(types, f"int{8 * width}")
    transpose = _make_transpose(width)

    @function
    def move(source, source_row, source_column, target, target_row, target_column, rows, columns):
        """From rows and columns to rows and columns elsewhere; strides are in bytes."""
        if source_column == width and target_row == width and rows >= TILE and columns >= TILE:
            # The next tiles of rows are fetched meanwhile: 1.3 times on planes 14 x 14. The last
            # ones reach back over some that are moved already.
            ahead, tile = max(TILE * source_row, AHEAD), TILE * TILE * width
            for r in range(0, rows, TILE):
                row = min(r, rows - TILE)
                for c in range(0, columns, TILE):
                    column = min(c, columns - TILE)
                    fetch(source + row * source_row + ahead + c * TILE * width, tile)
                    transpose(
                        source + row * source_row + column * width, source_row,
                        target + row * width + column * target_column, target_column,
                    )  # fmt: skip
            return
        for r in range(rows):
            for c in range(columns):
                value = read(source + r * source_row + c * source_column, element)
                write(target + r * target_row + c * target_column, value)

    return move


_move_1, _move_2, _move_4, _move_8 = map(_make_move, (1, 2, 4, 8))


@function
def _move(
    width, source, source_row, source_column, target, target_row, target_column, rows, columns
):
    if width == 1:
        _move_1(source, source_row, source_column, target, target_row, target_column, rows, columns)
    elif width == 2:
        _move_2(source, source_row, source_column, target, target_row, target_column, rows, columns)
    elif width == 4:
        _move_4(source, source_row, source_column, target, target_row, target_column, rows, columns)
    else:
        _move_8(source, source_row, source_column, target, target_row, target_column, rows, columns)


@function
def _move_block(operand, block, planes, buffer, way):
    """Move a block of planes into the buffer or back, if it is an operand that goes that way."""
    if operand.moved != way:
        return
    pitch = block * operand.width
    at = buffer
    for d in range(operand.depths):
        for r in range(operand.rows):
            start = planes + d * operand.depth + r * operand.row
            if way == INTO:
                _move(
                    operand.width, start, operand.plane, operand.column, at, operand.width, pitch,
                    block, operand.columns,
                )  # fmt: skip
            else:
                _move(
                    operand.width, at, pitch, operand.width, start, operand.column, operand.plane,
                    operand.columns, block,
                )  # fmt: skip
            at += operand.columns * pitch


def walk_planes(
    plan_address, source_start, other_start, out_start, extra_start, first_task, last_task
):  # fmt: skip
    plan = array_at(plan_address, 1, PLANES_TYPE)[0]
    memory, start = aligned_memory(plan.buffer_size)
    own_source, own_other = start + plan.source.at, start + plan.other.at
    own_out, own_extra = start + plan.out.at, start + plan.extra.at
    done = 0
    for task in range(first_task, last_task):
        item, number = divmod(task, plan.blocks)
        # The last block reaches back over planes of the one before, which come out the same.
        first = min(number * plan.block, plan.planes - plan.block)
        source, other, out, extra = item_addresses(
            plan, item,
            source_start + first * plan.source.plane, other_start + first * plan.other.plane,
            out_start + first * plan.out.plane, extra_start + first * plan.extra.plane,
        )  # fmt: skip
        _move_block(plan.source, plan.block, source, own_source, INTO)
        _move_block(plan.other, plan.block, other, own_other, INTO)
        _move_block(plan.extra, plan.block, extra, own_extra, INTO)
        tasks = call_walk(
            plan.walk, (plan.plan, own_source, own_other, own_out, own_extra, 0, plan.tasks)
        )
        if tasks != plan.tasks:
            break
        _move_block(plan.out, plan.block, out, own_out, BACK)
        _move_block(plan.extra, plan.block, extra, own_extra, BACK)
        done += 1
    keep(memory)
    return done
