"""float16, which numba does not know: as the bits it is in memory.

Maxima compare these as integers in the order of their values, without a conversion: 1.2 to 10 times
as fast as by float32. Sums convert them, by an instruction where the CPU has it: 1.3 to 2 times as
fast as by the formulas of _operators.py.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from numpool._cpu.ordered import ordered

# The bits of -inf.
LOWEST = 0xFC00


@intrinsic
def single_of(typing_context, bits):
    """The float32 of a float16's bits."""

    def codegen(context, builder, signature, args):
        return builder.fpext(builder.bitcast(args[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.uint16), codegen


@intrinsic
def half_of(typing_context, value):
    """The bits of the float16 nearest to a float32, ties to even."""

    def codegen(context, builder, signature, args):
        return builder.bitcast(builder.fptrunc(args[0], ir.HalfType()), ir.IntType(16))

    return types.uint16(types.float32), codegen


def is_larger(builder, a, b):
    """`_operators.is_larger`, of bits or vectors of them."""
    return builder.icmp_signed(">", ordered(builder, b), ordered(builder, a))


def larger(builder, dtype, a, b):
    """`_operators.larger`, of bits or vectors of them."""
    return builder.select(is_larger(builder, a, b), b, a)


@intrinsic
def is_larger_half(typing_context, a, b):
    """`is_larger` of bits, in a kernel."""

    def codegen(context, builder, signature, args):
        return is_larger(builder, *args)

    return types.boolean(types.uint16, types.uint16), codegen


@intrinsic
def larger_half(typing_context, a, b):
    """`larger` of bits, in a kernel."""

    def codegen(context, builder, signature, args):
        return larger(builder, types.uint16, *args)

    return types.uint16(types.uint16, types.uint16), codegen
