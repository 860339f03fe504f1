"""Vectors of which some lanes are loaded or stored, and the others left alone."""

from llvmlite import ir

from numpool._cpu.vector_loops import call_named, number, splat, suffix_of


def lanes_within(builder, first, last, lanes):
    """The lanes from a first one up to a last one, which is not among them."""
    kind = ir.VectorType(ir.IntType(32), lanes)
    lane = ir.Constant(kind, list(range(lanes)))

    def bound(value):
        # Of a row with more than 2**31 columns, they may be as far away.
        none, all_lanes = (ir.Constant(value.type, n) for n in (0, lanes))
        value = builder.select(builder.icmp_signed("<", value, none), none, value)
        value = builder.select(builder.icmp_signed(">", value, all_lanes), all_lanes, value)
        return splat(builder, builder.trunc(value, kind.element), kind)

    first, last = bound(first), bound(last)
    return builder.and_(
        builder.icmp_signed(">=", lane, first), builder.icmp_signed("<", lane, last)
    )


def load(builder, kind, pointer, align, mask=None):
    """The vector at a pointer: of some lanes, if there is a mask."""
    if mask is None:
        return builder.load(pointer, align=align)
    others = ir.Constant(kind, ir.Undefined)
    return _call(builder, "load", kind, kind, pointer, _narrow(align), mask, others)


def store_first(builder, values, pointer, align, count):
    """Store so many lanes, the first ones."""
    mask = lanes_within(builder, number(0), count, values.type.count)
    returned = ir.VoidType()
    _call(builder, "store", values.type, returned, values, pointer, _narrow(align), mask)


def _narrow(value):
    return ir.Constant(ir.IntType(32), value)


def _call(builder, name, vector, returned, *arguments):
    kind = suffix_of(vector)
    return call_named(builder, f"llvm.masked.{name}.{kind}.p0{kind}", returned, *arguments)
