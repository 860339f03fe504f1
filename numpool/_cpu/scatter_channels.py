"""The scatter of small windows over many channels: tap by tap, as vectors over the channels."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from numpool._cpu.locate import NO_TAP
from numpool._cpu.loops import itemsize_of
from numpool._cpu.memory import array_at
from numpool._cpu.scatter_plan import SCATTER_TYPE
from numpool._cpu.scatter_taps import fetch_part
from numpool._cpu.vector_loops import splat
from numpool._cpu.vectors import lanes_of


def _make_add_window(computed):
    """An intrinsic that adds gradients of a window to a box: those of a vector of channels but the
    first `done`.

    They and the numbers of their taps stay in registers for all taps. A tap is in the box if its
    place is below `limit`.
    """
    lanes, itemsize = lanes_of(computed), itemsize_of(computed)

    @intrinsic
    def add_window(typing_context, box, limit, base, places, taps, codes, gradients, done):
        def codegen(context, builder, signature, args):
            box, limit, base, places, taps, codes, gradients, done = args
            word, byte = box.type, ir.IntType(8)
            values = ir.VectorType(context.get_data_type(computed), lanes)
            numbers = ir.VectorType(byte, lanes)

            def at(address, kind):
                return builder.inttoptr(address, kind.as_pointer())

            gradient = builder.load(at(gradients, values), align=itemsize)
            code = builder.load(at(codes, numbers), align=1)
            lane = ir.Constant(numbers, list(range(lanes)))
            new = builder.icmp_unsigned(
                ">=", lane, splat(builder, builder.trunc(done, byte), numbers)
            )
            code = builder.select(new, code, ir.Constant(numbers, [NO_TAP] * lanes))
            with cgutils.for_range(builder, taps) as loop:
                number = splat(builder, builder.trunc(loop.index, byte), numbers)
                by = builder.mul(loop.index, ir.Constant(word, 8))
                place = builder.load(at(builder.add(places, by), word), align=8)
                place = builder.add(base, place)
                with builder.if_then(builder.icmp_unsigned("<", place, limit), likely=True):
                    by = builder.mul(place, ir.Constant(word, itemsize))
                    target = at(builder.add(box, by), values)
                    total = builder.load(target, align=itemsize)
                    here = builder.icmp_unsigned("==", code, number)
                    total = builder.select(here, builder.fadd(total, gradient), total)
                    builder.store(total, target, align=itemsize)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 8), codegen

    return add_window


def make_add_channels(computed):
    """Add channels: the gradients of a line to a box, by the number of each one's tap.

    The windows have as many channels as a vector, or more.
    """
    lanes, itemsize = lanes_of(computed), itemsize_of(computed)
    add_window = _make_add_window(computed)

    def add_channels(plan_address, box, box_size, codes, line, size, run, line_start, indices):
        plan = array_at(plan_address, 1, SCATTER_TYPE)[0]
        bases = array_at(plan.bases, size, types.int64)
        channels = plan.block_channels
        windows = size // channels
        for window in range(windows):
            at = window * channels
            fetch_part(indices, size * plan.indices.dense, window, windows)
            fetch_part(line, size * plan.gradient.dense, window, windows)
            for channel in range(0, channels, lanes):
                # The last vector reaches back over channels that are done already.
                c = min(channel, channels - lanes)
                add_window(
                    box + c * itemsize, box_size - channels + 1, line_start + bases[at],
                    plan.tap_places, plan.numbered, codes + at + c, line + (at + c) * itemsize,
                    channel - c,
                )  # fmt: skip

    return add_channels
