"""The hot loops over lines of plain and packed values: lines combined element by element.

A line is (address, size). What is a vector in the middle of a line is one at its ends too: the last
vector reaches back over elements of the one before, and so a line of 28 elements takes two vectors
and not one and twelve steps. Both ends are worked out before anything is stored, so that it does
not matter if a target is one of the lines.

The loops are made as LLVM's instructions: it takes numba a tenth of the time of loops in Python, a
third of what a kernel took to compile.
"""

import itertools

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from numpool._cpu.loops import itemsize_of
from numpool._cpu.memory import CHECKED

_VECTOR_BYTES = 64
_WORD = ir.IntType(64)

_numbers = itertools.count()


def vector_of(dtype, lanes):
    """The vector type of values of a numba type."""
    if isinstance(dtype, types.Float):
        return ir.VectorType(ir.FloatType() if dtype.bitwidth == 32 else ir.DoubleType(), lanes)
    return ir.VectorType(ir.IntType(dtype.bitwidth), lanes)


def splat(builder, scalar, vector):
    """A vector of one value."""
    one = builder.insert_element(
        ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
    )
    picks = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
    return builder.shuffle_vector(one, one, picks)


def _number(value):
    return ir.Constant(_WORD, value)


def _pointer(builder, address, place, dtype, lanes):
    start = builder.add(address, builder.mul(place, _number(itemsize_of(dtype))))
    return builder.inttoptr(start, vector_of(dtype, lanes).as_pointer())


def _load(builder, address, place, dtype, lanes):
    """The elements of a line from a place on."""
    pointer = _pointer(builder, address, place, dtype, lanes)
    return builder.load(pointer, align=itemsize_of(dtype))


def _store(builder, values, address, place, dtype):
    pointer = _pointer(builder, address, place, dtype, values.type.count)
    builder.store(values, pointer, align=itemsize_of(dtype))


def _apart(builder, a, b):
    """The evens and the odds of two vectors, one behind the other."""
    picks = ir.VectorType(ir.IntType(32), a.type.count)
    evens = ir.Constant(picks, list(range(0, 2 * a.type.count, 2)))
    odds = ir.Constant(picks, list(range(1, 2 * a.type.count, 2)))
    return builder.shuffle_vector(a, b, evens), builder.shuffle_vector(a, b, odds)


def shifted(builder, packed, shift):
    """Packed values whose codes, which count down, are moved by a shift."""
    return builder.sub(packed, splat(builder, shift, packed.type))


def _cover(builder, dtype, target, size, make, in_place):
    """Cover a line at the address `target` by vectors, as wide as fit. `make(place, lanes)` makes
    one, and gives the function that stores it. If `in_place`, both ends are made before anything is
    stored.
    """

    def several(lanes):
        last = builder.sub(size, _number(lanes))
        store_first = make(_number(0), lanes)
        store_last = make(last, lanes) if in_place else None
        if not in_place:
            store_first()
        # Between them, vectors are stored to whole cache lines: 1.2 times on 256 x 256 x 256.
        into_line = builder.udiv(target, _number(itemsize_of(dtype)))
        into_line = builder.and_(into_line, _number(lanes - 1))
        first = builder.sub(_number(lanes), into_line)
        with cgutils.for_range_slice(builder, first, last, _number(lanes)) as (place, _):
            make(place, lanes)()
        if in_place:
            store_first()
        (store_last or make(last, lanes))()

    def choose(lanes):
        if lanes <= 1:
            with cgutils.for_range(builder, size) as loop:
                make(loop.index, 1)()
            return
        with builder.if_then(builder.icmp_signed(">=", size, _number(lanes))):
            several(lanes)
            builder.ret_void()
        choose(lanes // 4)

    choose(_VECTOR_BYTES // itemsize_of(dtype))
    builder.ret_void()


def make_loop(dtype, formula, *, in_place=False, pairs=False, targets=1, source=None, moved=None):
    """What an intrinsic `loop(*targets, *lines, *shifts, ...)` has to return.

    The loop goes over lines of `dtype`, or of the type `source` if they have other elements than
    the target. `formula(builder, *vectors)` makes the target's vector of one of each line, and of
    the target's own before these if `in_place`; of several targets it makes as many. With `pairs`
    it gets the evens and the odds of a line twice as long. Vectors of lines, with pairs the odds,
    are first moved by their shifts with `moved(builder, vector, shift)`, if that is given.
    """
    name = f"numpool_loop_{next(_numbers)}"
    elements = dtype if source is None else source

    def define(module, count):
        """The function of addresses of targets, the size, addresses of lines, shifts."""
        shifts = 0 if moved is None else count
        kind = ir.FunctionType(ir.VoidType(), [_WORD] * (targets + 1 + count + shifts))
        function = ir.Function(module, kind, name)
        # One for all modules of a kernel, and not once more at each call.
        function.linkage = "linkonce_odr"
        function.attributes.add("noinline")
        builder = ir.IRBuilder(function.append_basic_block())
        to, (size, *words) = function.args[:targets], function.args[targets:]
        lines, shifts = words[:count], words[count:]

        def vectors_of(lines, place, lanes):
            if not pairs:
                return [_load(builder, line, place, elements, lanes) for line in lines]
            first = builder.mul(place, _number(2))
            second = builder.add(first, _number(lanes))
            halves = (_load(builder, lines[0], half, elements, lanes) for half in (first, second))
            return list(_apart(builder, *halves))

        def make(place, lanes):
            vectors = vectors_of(lines, place, lanes)
            if shifts:
                moving = vectors[-len(shifts) :]
                moving = [moved(builder, v, s) for v, s in zip(moving, shifts, strict=True)]
                vectors[-len(shifts) :] = moving
            if in_place:
                vectors.insert(0, _load(builder, to[0], place, dtype, lanes))
            made = formula(builder, *vectors)

            def store():
                for values, address in zip((made,) if targets == 1 else made, to, strict=True):
                    _store(builder, values, address, place, dtype)

            return store

        _cover(builder, dtype, to[0], size, make, in_place)
        return function

    def typed(*arguments):
        count = sum(isinstance(a, types.BaseTuple) for a in arguments) - targets
        kinds = [a if isinstance(a, types.BaseTuple) else types.int64 for a in arguments]

        def codegen(context, builder, signature, args):
            lines = [cgutils.unpack_tuple(builder, a) for a in args[: targets + count]]
            size = lines[0][1]
            if CHECKED:
                for number, (_, held) in enumerate(lines):
                    needed = builder.mul(size, _number(2 if pairs and number >= targets else 1))
                    with builder.if_then(builder.icmp_signed(">", needed, held)):
                        context.call_conv.return_user_exc(
                            builder, IndexError, ("a loop reaches beyond a line",)
                        )
            addresses = [address for address, _ in lines]
            shifts = [] if moved is None else args[targets + count :][:count]
            function = builder.module.globals.get(name) or define(builder.module, count)
            builder.call(function, [*addresses[:targets], size, *addresses[targets:], *shifts])
            return context.get_dummy_value()

        return types.void(*kinds), codegen

    return typed


def make_loops(combine, identity, dtype, moved=None):
    """The loops (fill, copy, two, three, into, two_into, neighbours, neighbours_and_evens, four,
    five): `combine(builder, dtype, a, b)` is the accumulator of both. `moved`: see `make_loop`.
    """

    def nothing(builder, own):
        one = ir.Constant(own.type.element, identity)
        return ir.Constant(own.type, [one] * own.type.count)

    def as_it_is(builder, a):
        return a

    def both(builder, a, b):
        return combine(builder, dtype, a, b)

    def all_three(builder, a, b, c):
        return both(builder, both(builder, a, b), c)

    def two_more(builder, own, a, b):
        return both(builder, own, both(builder, a, b))

    def and_first(builder, a, b):
        return both(builder, a, b), a

    def all_four(builder, a, b, c, d):
        return both(builder, both(builder, a, b), both(builder, c, d))

    def all_five(builder, a, b, c, d, e):
        return both(builder, both(builder, a, b), both(builder, both(builder, d, e), c))

    def loop(formula, **options):
        return make_loop(dtype, formula, moved=moved, **options)

    fill = make_loop(dtype, nothing, in_place=True)
    copy, two, three = loop(as_it_is), loop(both), loop(all_three)
    into, two_into = loop(both, in_place=True), loop(two_more, in_place=True)
    neighbours = loop(both, pairs=True)
    neighbours_and_evens = loop(and_first, pairs=True, targets=2)
    four, five = make_loop(dtype, all_four), make_loop(dtype, all_five)
    return (
        intrinsic(lambda _, target, distance: fill(target, distance)),
        intrinsic(lambda _, target, a, shift, distance: copy(target, a, shift, distance)),
        intrinsic(lambda _, target, a, b, i, j, distance: two(target, a, b, i, j, distance)),
        intrinsic(
            lambda _, target, a, b, c, i, j, k, distance: three(target, a, b, c, i, j, k, distance)
        ),
        intrinsic(lambda _, target, a, shift, distance: into(target, a, shift, distance)),
        intrinsic(lambda _, target, a, b, i, j, distance: two_into(target, a, b, i, j, distance)),
        intrinsic(
            lambda _, target, line, shift, distance: neighbours(target, line, shift, distance)
        ),
        intrinsic(
            lambda _, target, evens, line, shift, distance: neighbours_and_evens(
                target, evens, line, shift, distance
            )
        ),
        intrinsic(lambda _, target, a, b, c, d: four(target, a, b, c, d)),
        intrinsic(lambda _, target, a, b, c, d, e: five(target, a, b, c, d, e)),
    )


def make_lifts(combine, dtype, source, lift):
    """The loops (lift, lift_two, lift_three, lift_into, lift_two_into) over elements of the numba
    type `source`, of which `lift(builder, elements)` makes accumulators.
    """

    def both(builder, a, b):
        return combine(builder, dtype, lift(builder, a), lift(builder, b))

    def all_three(builder, a, b, c):
        return combine(builder, dtype, both(builder, a, b), lift(builder, c))

    def one_more(builder, own, a):
        return combine(builder, dtype, own, lift(builder, a))

    def two_more(builder, own, a, b):
        return combine(builder, dtype, own, both(builder, a, b))

    def loop(formula, **options):
        return make_loop(dtype, formula, source=source, **options)

    one, two, three = loop(lift), loop(both), loop(all_three)
    into, two_into = loop(one_more, in_place=True), loop(two_more, in_place=True)
    return (
        intrinsic(lambda _, target, a, code, distance: one(target, a, code, distance)),
        intrinsic(lambda _, target, a, b, i, j, distance: two(target, a, b, i, j, distance)),
        intrinsic(
            lambda _, target, a, b, c, i, j, k, distance: three(target, a, b, c, i, j, k, distance)
        ),
        intrinsic(lambda _, target, a, code, distance: into(target, a, code, distance)),
        intrinsic(lambda _, target, a, b, i, j, distance: two_into(target, a, b, i, j, distance)),
    )
