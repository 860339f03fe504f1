"""How loops over lines are made, as LLVM's instructions: a formula of vectors becomes a loop.

A line is (address, size). What is a vector in the middle of a line is one at its ends too: the last
vector reaches back over elements of the one before, and so a line of 28 elements takes two vectors
and not one and twelve steps. Where a target is combined with what it holds, both ends are worked
out before anything is stored.

Loops in Python, of which LLVM has to make vectors, take numba ten times as long to compile.
"""

import uuid

from llvmlite import ir
from numba import types
from numba.core import cgutils

from numpool._cpu.loops import itemsize_of
from numpool._cpu.memory import AHEAD, CHECKED, LONGEST, fetch_line

VECTOR_BYTES = 64
_WORD = ir.IntType(64)


def vector_of(dtype, lanes):
    """The vector type of values of a numba type: of float16 their bits."""
    if isinstance(dtype, types.Float) and dtype.bitwidth > 16:
        return ir.VectorType(ir.FloatType() if dtype.bitwidth == 32 else ir.DoubleType(), lanes)
    return ir.VectorType(ir.IntType(dtype.bitwidth), lanes)


def splat(builder, scalar, vector):
    """A vector of one value."""
    one = builder.insert_element(
        ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
    )
    picks = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
    return builder.shuffle_vector(one, one, picks)


def call_named(builder, name, returned, *arguments):
    """A call of LLVM's function of a full name."""
    kind = ir.FunctionType(returned, [a.type for a in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def call_of_vectors(builder, name, values):
    """A call of LLVM's function of a name from vectors to vectors of the same type."""
    return call_named(builder, f"{name}.{suffix_of(values.type)}", values.type, values)


def suffix_of(vector):
    """What LLVM's names have for a type of vectors."""
    return f"v{vector.count}{vector.element.intrinsic_name}"


def number(value):
    """A constant of 64 bits."""
    return ir.Constant(_WORD, value)


def smaller(builder, a, b):
    """The smaller of two integers."""
    return builder.select(builder.icmp_signed("<", a, b), a, b)


def larger(builder, a, b):
    """The larger of two integers."""
    return builder.select(builder.icmp_signed(">", a, b), a, b)


def pointer(builder, address, place, dtype, lanes):
    """Where so many elements of a line lie, from a place on."""
    start = builder.add(address, builder.mul(place, number(itemsize_of(dtype))))
    return builder.inttoptr(start, vector_of(dtype, lanes).as_pointer())


def load(builder, address, place, dtype, lanes):
    """The elements of a line from a place on."""
    return builder.load(pointer(builder, address, place, dtype, lanes), align=itemsize_of(dtype))


def store(builder, values, address, place, dtype):
    to = pointer(builder, address, place, dtype, values.type.count)
    builder.store(values, to, align=itemsize_of(dtype))


def call_outlined(builder, name, write, returned, *arguments):
    """A call of a function of the module by its name. `write(builder, *arguments)` writes its code
    and gives what it returns, once, however often it is called: for what is seldom done.
    """
    function = builder.module.globals.get(name)
    if function is None:
        kind = ir.FunctionType(returned, [a.type for a in arguments])
        function = ir.Function(builder.module, kind, name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        inner = ir.IRBuilder(function.append_basic_block())
        value = write(inner, *function.args)
        inner.ret_void() if value is None else inner.ret(value)
    return builder.call(function, arguments)


def evens_and_odds(builder, a, b):
    """The evens and the odds of two vectors, one behind the other."""
    picks = ir.VectorType(ir.IntType(32), a.type.count)
    evens = ir.Constant(picks, list(range(0, 2 * a.type.count, 2)))
    odds = ir.Constant(picks, list(range(1, 2 * a.type.count, 2)))
    return builder.shuffle_vector(a, b, evens), builder.shuffle_vector(a, b, odds)


def cover(builder, dtype, target, size, lanes, make, in_place):
    """Cover a line at the address `target` by vectors. `make(place, lanes)` makes one, and gives
    the function that stores it. If `in_place`, both ends are made before anything is stored.
    """

    def several(lanes):
        last = builder.sub(size, number(lanes))
        store_first = make(number(0), lanes)
        store_last = make(last, lanes) if in_place else None
        if not in_place:
            store_first()
        # Between them, vectors are stored to whole cache lines: 1.2 times on 256 x 256 x 256.
        into_line = builder.udiv(target, number(itemsize_of(dtype)))
        into_line = builder.and_(into_line, number(lanes - 1))
        first = builder.sub(number(lanes), into_line)
        with cgutils.for_range_slice(builder, first, last, number(lanes)) as (place, _):
            make(place, lanes)()
        if in_place:
            store_first()
        (store_last or make(last, lanes))()

    if lanes > 1:
        several(lanes)
    else:
        with cgutils.for_range(builder, size) as loop:
            make(loop.index, 1)()


def for_widest(builder, dtype, size, make):
    """`make(lanes)` for the most lanes that fit a line, of a vector, a part of one, or a single
    element; then return.
    """
    lanes = VECTOR_BYTES // itemsize_of(dtype)
    while lanes > 1:
        with builder.if_then(builder.icmp_signed(">=", size, number(lanes))):
            make(lanes)
            builder.ret_void()
        lanes //= 4
    make(1)
    builder.ret_void()


def fetch_ahead(builder, row, step):
    """`memory.fetch_ahead`"""
    back = builder.icmp_signed("<", step, number(0))
    size = builder.select(back, builder.neg(step), step)
    there = builder.select(back, number(-AHEAD), number(AHEAD))
    start = builder.add(row, there)
    near = builder.icmp_signed("<=", size, number(LONGEST))
    size = builder.select(near, size, number(0))
    with cgutils.for_range_slice(builder, number(0), size, number(64)) as (at, _):
        fetch_line(builder, builder.add(start, at))


def make_loop(
    dtype,
    formula,
    *,
    in_place=False,
    pairs=False,
    targets=1,
    source=None,
    moved=None,
    by_rows=False,
):
    """What an intrinsic `loop(*targets, *lines, *shifts, ...)` has to return.

    The loop goes over lines of `dtype`, or of the type `source` if they have other elements than
    the target. `formula(builder, *vectors)` makes the target's vector of one of each line, and of
    the target's own before these if `in_place`; of several targets it makes as many. With `pairs`
    it gets the evens and the odds of a line twice as long. Vectors of lines, with pairs the odds,
    are first moved by their shifts with `moved(builder, vector, shift)`, if that is given.

    If `by_rows`, the last argument is a tuple: how many rows of targets and lines there are, and
    how many bytes lie from a target to the next and from a line to the next. Memory behind the last
    of the lines is fetched ahead, unless `in_place`.
    """
    # A name that no other kernel has, of this process or from a file.
    name = f"numpool_loop_{uuid.uuid4().hex}"
    elements = dtype if source is None else source

    def define(module, count):
        """The function of addresses of targets, the size, addresses of lines, shifts, rows."""
        moves = 0 if moved is None else count
        words = [_WORD] * (targets + 1 + count + moves + 3 * by_rows)
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), words), name)
        # One for all modules of a kernel, and not once more at each call.
        function.linkage = "linkonce_odr"
        function.attributes.add("noinline")
        builder = ir.IRBuilder(function.append_basic_block())
        to, (size, *words) = function.args[:targets], function.args[targets:]
        lines, shifts, by = words[:count], words[count : count + moves], words[count + moves :]

        def vectors_of(lines, place, lanes):
            if not pairs:
                return [load(builder, line, place, elements, lanes) for line in lines]
            first = builder.mul(place, number(2))
            second = builder.add(first, number(lanes))
            halves = (load(builder, lines[0], half, elements, lanes) for half in (first, second))
            return list(evens_and_odds(builder, *halves))

        def line(lanes, to, lines):
            """One line of each."""

            def make(place, lanes):
                vectors = vectors_of(lines, place, lanes)
                if shifts:
                    moving = vectors[-len(shifts) :]
                    moving = [moved(builder, v, s) for v, s in zip(moving, shifts, strict=True)]
                    vectors[-len(shifts) :] = moving
                if in_place:
                    vectors.insert(0, load(builder, to[0], place, dtype, lanes))
                made = formula(builder, *vectors)

                def finish():
                    for values, address in zip((made,) if targets == 1 else made, to, strict=True):
                        store(builder, values, address, place, dtype)

                return finish

            cover(builder, dtype, to[0], size, lanes, make, in_place)

        def rows(lanes):
            if not by_rows:
                line(lanes, to, lines)
                return
            count, target_step, line_step = by
            with cgutils.for_range(builder, count) as row:
                target_at, line_at = (
                    builder.mul(row.index, step) for step in (target_step, line_step)
                )
                here = [builder.add(address, line_at) for address in lines]
                if not in_place:
                    fetch_ahead(builder, here[-1], line_step)
                line(lanes, [builder.add(address, target_at) for address in to], here)

        for_widest(builder, dtype, size, rows)
        return function

    def typed(*arguments):
        kinds = [a if isinstance(a, types.BaseTuple) else types.int64 for a in arguments]
        count = sum(isinstance(a, types.BaseTuple) for a in arguments) - targets - by_rows

        def codegen(context, builder, signature, args):
            lines = [cgutils.unpack_tuple(builder, a) for a in args[: targets + count]]
            size = lines[0][1]
            if CHECKED:
                for i, (_, held) in enumerate(lines):
                    needed = builder.mul(size, number(2 if pairs and i >= targets else 1))
                    with builder.if_then(builder.icmp_signed(">", needed, held)):
                        context.call_conv.return_user_exc(
                            builder, IndexError, ("a loop reaches beyond a line",)
                        )
            addresses = [address for address, _ in lines]
            words = [*addresses[:targets], size, *addresses[targets:]]
            if moved is not None:
                words += args[targets + count :][:count]
            if by_rows:
                words += cgutils.unpack_tuple(builder, args[-1])
            function = builder.module.globals.get(name) or define(builder.module, count)
            builder.call(function, words)
            return context.get_dummy_value()

        return types.void(*kinds), codegen

    return typed
