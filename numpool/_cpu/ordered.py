"""Floating point numbers as integers in the same order, in LLVM's instructions.

Integers are compared by one instruction, where NaN takes two more.
"""

import numpy as np
from llvmlite import ir


def _constant(bits, value):
    vector = isinstance(bits, ir.VectorType)
    return ir.Constant(bits, [value] * bits.count if vector else value)


def _width(bits):
    return (bits.element if isinstance(bits, ir.VectorType) else bits).width


def infinity_bits(width):
    """Infinity's bits as a number."""
    return int(np.array(np.inf, f"f{width // 8}").view(f"u{width // 8}"))


def ordered(builder, bits):
    """From the bits of numbers, or vectors of them: -0 as 0, NaN above all."""
    highest = 2 ** (_width(bits.type) - 1) - 1
    infinity = infinity_bits(_width(bits.type))
    magnitude = builder.and_(bits, _constant(bits.type, highest))
    negative = builder.icmp_signed("<", bits, _constant(bits.type, 0))
    order = builder.select(negative, builder.sub(_constant(bits.type, 0), magnitude), magnitude)
    nan = builder.icmp_signed(">", magnitude, _constant(bits.type, infinity))
    return builder.select(nan, _constant(bits.type, highest), order)


def from_ordered(builder, order):
    """Back to the bits."""
    sign = _constant(order.type, 2 ** (_width(order.type) - 1))
    negative = builder.icmp_signed("<", order, _constant(order.type, 0))
    return builder.select(negative, builder.sub(sign, order), order)
