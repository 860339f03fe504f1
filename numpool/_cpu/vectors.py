"""Formulas of operators as vector instructions, for the loops that LLVM makes no vectors of."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from numpool._cpu import halves
from numpool._cpu.loops import itemsize_of
from numpool._cpu.memory import AHEAD, fetch_line
from numpool._cpu.rows import smallest_of, stored_type
from numpool._cpu.vector_loops import call_of_vectors, splat, vector_of

_BYTES = 64
_UNROLLED = 8
# Powers by how often they have their base as a factor.
_FACTORS = {"itself": 1, "square": 2, "cube": 3}


def lanes_of(dtype):
    """How many values of a numba type a vector has: at least 16, so that a sum has one order and
    depth on every CPU.
    """
    return max(_BYTES // itemsize_of(dtype), 16)


def larger(builder, dtype, a, b):
    """`_operators.larger`."""
    if not isinstance(dtype, types.Float):
        compare = builder.icmp_signed if dtype.signed else builder.icmp_unsigned
        return builder.select(compare(">", a, b), a, b)
    largest = builder.select(builder.fcmp_ordered(">", a, b), a, b)
    return builder.select(builder.fcmp_ordered("==", a, a), largest, a)


def add(builder, dtype, a, b):
    """`_operators.add`."""
    return (builder.fadd if isinstance(dtype, types.Float) else builder.add)(a, b)


def unsigned(builder, bits):
    """The bits of the magnitudes of floats."""
    mask = 2 ** (bits.type.element.width - 1) - 1
    return builder.and_(bits, ir.Constant(bits.type, [mask] * bits.type.count))


def converted(builder, value, source, dtype):
    """Values of the numba type `source` as those of another one that holds them."""
    vector = vector_of(dtype, value.type.count)
    if source == dtype:
        return value
    if source == types.float16:
        value = builder.bitcast(value, ir.VectorType(ir.HalfType(), value.type.count))
    if isinstance(source, types.Float):
        return builder.fpext(value, vector)
    if isinstance(dtype, types.Float):
        return (builder.sitofp if source.signed else builder.uitofp)(value, vector)
    return (builder.sext if source.signed else builder.zext)(value, vector)


def written(builder, value, computed, dtype):
    """Floats of the numba type `computed` as elements of `dtype`, of up to 32 bits if they are
    integers: `rows.writer`.
    """
    if dtype == types.float16:
        rounded = builder.fptrunc(value, ir.VectorType(ir.HalfType(), value.type.count))
        return builder.bitcast(rounded, vector_of(dtype, value.type.count))
    if isinstance(dtype, types.Float):
        vector = vector_of(dtype, value.type.count)
        return value if computed == dtype else builder.fptrunc(value, vector)
    # `_operators.to_small_integer`
    limits = np.iinfo(dtype.name)
    lowest, highest = (
        ir.Constant(value.type, [float(limit)] * value.type.count)
        for limit in (limits.min, limits.max)
    )
    rounded = call_of_vectors(builder, "llvm.rint", value)
    rounded = builder.select(builder.fcmp_ordered("<", rounded, highest), rounded, highest)
    rounded = builder.select(builder.fcmp_ordered(">", rounded, lowest), rounded, lowest)
    is_number = builder.fcmp_ordered("ord", value, value)
    rounded = builder.select(is_number, rounded, ir.Constant(value.type, None))
    wide = ir.VectorType(ir.IntType(32), value.type.count)
    if dtype.bitwidth < 32:
        narrow = vector_of(dtype, value.type.count)
        return builder.trunc(builder.fptosi(rounded, wide), narrow)
    return (builder.fptosi if dtype.signed else builder.fptoui)(rounded, wide)


def lifted(builder, value, source, dtype, form):
    """Elements of the numba type `source` as accumulators of `dtype`, by the `form` of a power if
    any: `rows.lifter`.
    """
    value = converted(builder, value, source, dtype)
    if form is None:
        return value
    vector = value.type
    bits = ir.VectorType(ir.IntType(dtype.bitwidth), vector.count)
    magnitude = builder.bitcast(unsigned(builder, builder.bitcast(value, bits)), vector)
    raised = magnitude
    for _ in range(_FACTORS[form] - 1):
        raised = builder.fmul(raised, magnitude)
    if raised is magnitude or source == types.float16:
        return raised
    # `_operators.lift_lp`: what is lost to 0 becomes the smallest number. Float32 holds all powers
    # of float16. Written so that each line is one instruction, which returns `raised` if it is NaN.
    smallest = ir.Constant(vector, [float(smallest_of(dtype))] * vector.count)
    least = builder.select(builder.fcmp_ordered("<", magnitude, smallest), magnitude, smallest)
    return builder.select(builder.fcmp_ordered(">", least, raised), least, raised)


def is_larger(builder, dtype, a, b):
    """`_operators.is_larger`, of elements of a NumPy dtype."""
    dtype = np.dtype(dtype)
    if dtype == np.float16:
        return halves.is_larger(builder, a, b)
    if dtype.kind != "f":
        return (builder.icmp_signed if dtype.kind == "i" else builder.icmp_unsigned)(">", b, a)
    above = builder.fcmp_unordered(">", b, a)  # or one of them is NaN
    return builder.and_(above, builder.fcmp_ordered("ord", a, a))


def make_reduce_run(combine, identity, dtype, source=None, form=None):
    """An intrinsic that combines so many neighbours, from an address on; as many as `lanes_of` at
    least. `combine` is one of the above. Elements of the numba type `source`, if any, are `lifted`.

    Of n values a sum has a depth of n / 128 + 8 for float32 and float64.
    """
    stored = dtype if source is None else source
    lanes, itemsize = lanes_of(dtype), itemsize_of(stored)

    def codegen(context, builder, signature, args):
        address, count = args
        word, vector, elements = count.type, vector_of(dtype, lanes), vector_of(stored, lanes)
        nothing = ir.Constant(vector, [ir.Constant(vector.element, identity)] * lanes)

        def both(a, b):
            return combine(builder, dtype, a, b)

        def load(place):
            start = builder.add(address, builder.mul(place, ir.Constant(word, itemsize)))
            value = builder.load(builder.inttoptr(start, elements.as_pointer()), align=itemsize)
            return value if source is None else lifted(builder, value, source, dtype, form)

        def tree(place, vectors):
            values = [
                load(builder.add(place, ir.Constant(word, i * lanes))) for i in range(vectors)
            ]
            while len(values) > 1:
                values = [both(a, b) for a, b in zip(values[::2], values[1::2], strict=True)]
            return values[0]

        block = _UNROLLED * lanes
        blocks = builder.udiv(count, ir.Constant(word, block))
        total = cgutils.alloca_once_value(builder, nothing)
        with cgutils.for_range(builder, blocks) as loop:
            place = builder.mul(loop.index, ir.Constant(word, block))
            further = builder.add(address, builder.mul(place, ir.Constant(word, itemsize)))
            for at in range(AHEAD, AHEAD + block * itemsize, 64):
                fetch_line(builder, builder.add(further, ir.Constant(word, at)))
            values = tree(place, _UNROLLED)
            builder.store(both(builder.load(total), values), total)
        # What is left: 4, 2 and 1 vectors, and a part of one, which reaches back.
        place = builder.mul(blocks, ir.Constant(word, block))
        rests = []
        vectors = _UNROLLED // 2
        while vectors > 0:
            rest = cgutils.alloca_once_value(builder, nothing)
            size = ir.Constant(word, vectors * lanes)
            there = builder.icmp_unsigned("!=", builder.and_(count, size), ir.Constant(word, 0))
            with builder.if_then(there):
                builder.store(tree(place, vectors), rest)
            place = builder.add(place, builder.select(there, size, ir.Constant(word, 0)))
            rests.append(rest)
            vectors //= 2
        rest = cgutils.alloca_once_value(builder, nothing)
        with builder.if_then(builder.icmp_unsigned("<", place, count)):
            done = builder.sub(ir.Constant(word, lanes), builder.sub(count, place))
            numbers = ir.Constant(ir.VectorType(word, lanes), list(range(lanes)))
            new = builder.icmp_unsigned(">=", numbers, splat(builder, done, numbers.type))
            values = load(builder.sub(count, ir.Constant(word, lanes)))
            builder.store(builder.select(new, values, nothing), rest)
        rests.append(rest)
        four, two, one, part = (builder.load(rest) for rest in rests)
        value = both(builder.load(total), both(both(four, two), both(one, part)))
        half = lanes // 2
        while half > 0:
            low, high = (
                ir.Constant(ir.VectorType(ir.IntType(32), half), list(range(start, start + half)))
                for start in (0, half)
            )
            value = both(
                builder.shuffle_vector(value, value, low),
                builder.shuffle_vector(value, value, high),
            )
            half //= 2
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    @intrinsic
    def reduce_run(typing_context, address, count):
        return dtype(types.int64, types.int64), codegen

    return reduce_run


def load_values(builder, dtype, address, vector, magnitude):
    """Elements of a NumPy dtype, or magnitudes of floats, as what they are compared by."""
    if magnitude:
        width = 8 * np.dtype(dtype).itemsize
        kind = ir.VectorType(ir.IntType(width), vector.count)
        bits = builder.load(builder.inttoptr(address, kind.as_pointer()), align=width // 8)
        return builder.bitcast(unsigned(builder, bits), vector)
    value = builder.load(
        builder.inttoptr(address, vector.as_pointer()), align=np.dtype(dtype).itemsize
    )
    if np.dtype(dtype) == np.bool_:  # any byte but 0 is True
        true = builder.icmp_unsigned("!=", value, ir.Constant(vector, None))
        value = builder.zext(true, vector)
    return value


def make_arg_run(dtype, lanes, magnitude):
    """An intrinsic that finds the first largest of so many neighbours, `lanes` at least, or of
    their magnitudes: the element and its number.
    """
    stored = stored_type(dtype)
    itemsize = itemsize_of(stored)

    def codegen(context, builder, signature, args):
        address, count = args
        word, narrow = count.type, ir.IntType(32)
        values = ir.VectorType(context.get_data_type(stored), lanes)
        codes = ir.VectorType(narrow, lanes)
        numbers = ir.Constant(codes, list(range(lanes)))

        def load(place):
            start = builder.add(address, builder.mul(place, ir.Constant(word, itemsize)))
            return load_values(builder, dtype, start, values, magnitude)

        best = cgutils.alloca_once_value(builder, load(ir.Constant(word, 0)))
        found = cgutils.alloca_once_value(builder, numbers)

        def compare(place):
            value, kept = load(place), builder.load(best)
            second = is_larger(builder, dtype, kept, value)
            builder.store(builder.select(second, value, kept), best)
            new = builder.add(numbers, splat(builder, builder.trunc(place, narrow), codes))
            builder.store(builder.select(second, new, builder.load(found)), found)

        width = ir.Constant(word, lanes)
        with cgutils.for_range(builder, builder.udiv(count, width)) as loop:
            compare(builder.mul(loop.index, width))
        # The last ones reach back.
        compare(builder.sub(count, width))
        value, code = builder.load(best), builder.load(found)
        half = lanes // 2
        while half > 0:
            picks = ir.VectorType(narrow, half)
            low = ir.Constant(picks, list(range(half)))
            high = ir.Constant(picks, list(range(half, 2 * half)))
            a, b = (builder.shuffle_vector(value, value, part) for part in (low, high))
            i, j = (builder.shuffle_vector(code, code, part) for part in (low, high))
            equal = builder.not_(is_larger(builder, dtype, b, a))
            lower = builder.icmp_signed("<", j, i)
            second = builder.or_(is_larger(builder, dtype, a, b), builder.and_(equal, lower))
            value, code = builder.select(second, b, a), builder.select(second, j, i)
            half //= 2
        first = ir.Constant(narrow, 0)
        value, code = (builder.extract_element(v, first) for v in (value, code))
        return context.make_tuple(builder, signature.return_type, [value, builder.sext(code, word)])

    @intrinsic
    def arg_run(typing_context, address, count):
        return types.Tuple((stored, types.int64))(types.int64, types.int64), codegen

    return arg_run
