"""Vectors of which some lanes are loaded or stored, and the others left alone.

Lanes are given as the first and the one behind the last, which may lie outside the vector.

AVX-512 has instructions for that, of elements of any size. Where there are none, LLVM takes lane by
lane. There a vector is loaded in whole if that reads no other page of memory than its lanes do, and
stored in a half, a quarter and so on: 0.45 to 0.7 of the time.
"""

from llvmlite import ir
from numba.core import cgutils

from numpool._cpu import target
from numpool._cpu.vector_loops import call_named, larger, number, smaller, splat, suffix_of

# What a process is given of memory, or not, in bytes, on any system.
_PAGE = 4096
# The types of floats, and how long they are.
_BITS = {str(ir.FloatType()): 32, str(ir.DoubleType()): 64}


def lanes_within(builder, first, last, vector):
    """The lanes of a vector of some type from a first one up to a last one, which is not among
    them.
    """
    width = _BITS.get(str(vector.element)) or vector.element.width
    kind = ir.VectorType(ir.IntType(width), vector.count)
    lane = ir.Constant(kind, list(range(kind.count)))
    # Before they are cut: of a row with more than 2**31 columns, they may be as far away.
    bounds = _bounded(builder, first, last, kind.count)
    if width < 64:
        bounds = (builder.trunc(bound, kind.element) for bound in bounds)
    first, last = (splat(builder, bound, kind) for bound in bounds)
    return builder.and_(
        builder.icmp_unsigned(">=", lane, first), builder.icmp_unsigned("<", lane, last)
    )


def _bounded(builder, first, last, lanes):
    """Two numbers of lanes as such that the vector has, or the one behind these."""
    return [smaller(builder, larger(builder, n, number(0)), number(lanes)) for n in (first, last)]


def load(builder, pointer, align, lanes=None):
    """The vector at a pointer: of some lanes, if they are given, in which all others are
    undefined.
    """
    if lanes is None:
        return builder.load(pointer, align=align)
    first, last = lanes
    kind = pointer.type.pointee
    if target.loads_lanes(align):
        mask = lanes_within(builder, first, last, kind)
        others = ir.Constant(kind, ir.Undefined)
        return _call(builder, "load", kind, kind, pointer, _narrow(align), mask, others)
    return _load_in_pages(builder, pointer, align, first, last)


def _load_in_pages(builder, pointer, align, first, last):
    kind, word = pointer.type.pointee, ir.IntType(64)
    first, last = _bounded(builder, first, last, kind.count)
    begin = builder.ptrtoint(pointer, word)
    end = builder.add(begin, number(kind.count * align - 1))
    first_byte = builder.add(begin, builder.mul(first, number(align)))
    last_byte = builder.add(begin, builder.mul(last, number(align)))
    last_byte = builder.sub(last_byte, number(1))
    are_some = builder.icmp_signed("<", first, last)
    other = builder.or_(builder.xor(begin, first_byte), builder.xor(end, last_byte))
    same_pages = builder.icmp_unsigned("<", other, number(_PAGE))
    loaded, copied = (cgutils.alloca_once(builder, kind) for _ in range(2))
    with builder.if_else(builder.and_(are_some, same_pages), likely=True) as (whole, part):
        with whole:
            builder.store(builder.load(pointer, align=align), loaded)
        with part:
            with builder.if_then(are_some):
                to = builder.add(builder.ptrtoint(copied, word), builder.sub(first_byte, begin))
                size = builder.sub(builder.add(last_byte, number(1)), first_byte)
                places = (builder.inttoptr(at, cgutils.voidptr_t) for at in (to, first_byte))
                cgutils.raw_memcpy(builder, *places, size, 1)
            builder.store(builder.load(copied), loaded)
    return builder.load(loaded)


def store_first(builder, values, pointer, align, count):
    """Store so many lanes, the first ones, which may be none or more than there are."""
    if target.stores_lanes():
        mask = lanes_within(builder, number(0), count, values.type)
        returned = ir.VoidType()
        _call(builder, "store", values.type, returned, values, pointer, _narrow(align), mask)
        return
    lanes = values.type.count
    with builder.if_else(builder.icmp_signed(">=", count, number(lanes))) as (whole, part):
        with whole:
            builder.store(values, pointer, align=align)
        with part:
            _store_in_parts(builder, values, pointer, align, count)


def _store_in_parts(builder, values, pointer, align, count):
    """Store less than a vector: a half, then a quarter, and so on, of which each goes or not."""
    count = larger(builder, count, number(0))
    address = builder.ptrtoint(pointer, ir.IntType(64))
    while values.type.count > 1:
        half = values.type.count // 2
        picks = ir.VectorType(ir.IntType(32), half)
        low, high = (
            builder.shuffle_vector(values, values, ir.Constant(picks, list(range(at, at + half))))
            for at in (0, half)
        )
        goes = builder.icmp_signed("!=", builder.and_(count, number(half)), number(0))
        with builder.if_then(goes):
            to = builder.inttoptr(address, low.type.as_pointer())
            builder.store(low, to, align=align)
        size = builder.select(goes, number(half * align), number(0))
        address, values = builder.add(address, size), builder.select(goes, high, low)


def _narrow(value):
    return ir.Constant(ir.IntType(32), value)


def _call(builder, name, vector, returned, *arguments):
    kind = suffix_of(vector)
    return call_named(builder, f"llvm.masked.{name}.{kind}.p0{kind}", returned, *arguments)
