"""The scatter of gradients one by one."""

from numba import types

from numpool._cpu.memory import array_at, inline, piece
from numpool._cpu.rows import stored_type
from numpool._cpu.scatter_plan import SCATTER_TYPE
from numpool._cpu.scatter_taps import fetch_part

# Gradients that are added between two prefetches.
_PART = 256


@inline
def add_some(box, start, bases, places, codes, gradients):
    """Adds gradients one by one."""
    for i in range(codes.size):
        place = start + bases[i] + places[codes[i]]
        if place >= 0:
            box[place] += gradients[i]


def make_add_each(computed):
    """Add each: the gradients of a line to a box, one by one, by the number of each one's tap.

    As a kernel of its own, which has all registers, it takes 0.7 of the time.
    """

    def add_each(
        plan_address, box_address, box_size, codes_address, line, size, run, line_start, indices
    ):
        plan = array_at(plan_address, 1, SCATTER_TYPE)[0]
        box = array_at(box_address, box_size, computed)
        codes = array_at(codes_address, size, types.uint8)
        gradients = array_at(line, size, computed)
        bases = array_at(plan.bases, size, types.int64)
        places = array_at(plan.tap_places, 256, types.int64)
        parts = (size + _PART - 1) // _PART
        for part in range(parts):
            fetch_part(indices, size * plan.indices.dense, part, parts)
            fetch_part(line, size * plan.gradient.dense, part, parts)
            at = part * _PART
            count = min(size - at, _PART)
            add_some(
                box, line_start, piece(bases, at, count), places, piece(codes, at, count),
                piece(gradients, at, count),
            )  # fmt: skip

    return add_each


def make_add_places(computed, far):
    """Add places: the gradients of a line to a box, by the displacements that `locate` gives.

    Large windows often have the tap of the window before: its sum stays in a register, where it
    would otherwise be stored and loaded from one addition to the next.
    """
    number, integer = (types.int64, types.int64) if far else (types.float32, types.int32)
    itemsize = integer.bitwidth // 8

    def add_places(
        plan_address, box_address, box_size, numbers, line, size, run, line_start, indices
    ):
        plan = array_at(plan_address, 1, SCATTER_TYPE)[0]
        box = array_at(box_address, box_size, computed)
        gradients = array_at(line, size, computed)
        bases = array_at(plan.bases, size, types.int64)
        displacements = array_at(numbers, size, number)
        places = array_at(numbers + itemsize * plan.line_size, size, integer)
        for i in range(size):
            displacement = displacements[i]
            place = integer(line_start + bases[i] + types.int64(displacement))
            places[i] = place if displacement >= 0 else integer(-1)
        kept = types.int64(-1)
        total = computed(0)
        for i in range(size):
            place = types.int64(places[i])
            if place >= 0:
                if place != kept:
                    if kept >= 0:
                        box[kept] = total
                    kept, total = place, box[place]
                total += gradients[i]
        if kept >= 0:
            box[kept] = total

    return add_places


@inline
def add_at(box, first, positions, gradients):
    """Adds gradients one by one to a box that starts at the position `first`."""
    for i in range(positions.size):
        place = types.int64(positions[i]) - first
        if 0 <= place < box.size:
            box[place] += gradients[i]


def make_add_positions(dtype, computed):
    """Add positions: the gradients of a line to a box that has one place after the other, from the
    position `first` on, by the indices themselves, once they are checked.

    It takes 0.6 to 0.75 of the time of `add_each`.
    """
    stored = stored_type(dtype)

    def add_positions(
        plan_address, box_address, box_size, numbers, line, size, run, first, indices
    ):
        plan = array_at(plan_address, 1, SCATTER_TYPE)[0]
        box = array_at(box_address, box_size, computed)
        positions = array_at(indices, size, stored)
        gradients = array_at(line, size, computed)
        outputs = plan.line_size // plan.group
        items = max(size // outputs, 1)
        each = (min(size, outputs) + _PART - 1) // _PART
        for item in range(items):
            start = item * plan.item_step
            own = piece(box, start, box_size - (items - 1) * plan.item_step)
            for part in range(each):
                fetch_part(indices, size * plan.indices.dense, item * each + part, items * each)
                fetch_part(line, size * plan.gradient.dense, item * each + part, items * each)
                at = item * outputs + part * _PART
                count = min(min(size, (item + 1) * outputs) - at, _PART)
                add_at(own, first, piece(positions, at, count), piece(gradients, at, count))

    return add_positions
