"""The hot loops over lines of plain and packed values: which there are, and what they compute.

For packed values, see loops.py. Loops get the codes of pairs and their distance as well, which they
ignore.
"""

from llvmlite import ir
from numba.extending import intrinsic

from numpool._cpu.vector_loops import make_loop, splat


def shifted(builder, packed, shift):
    """Packed values whose codes, which count down, are moved by a shift."""
    return builder.sub(packed, splat(builder, shift, packed.type))


def _as_it_is(builder, a):
    return a


def _formulas(combine, dtype, lift):
    """What two or three elements, or an accumulator with one or two, are combined to: elements
    become accumulators by `lift(builder, elements)`, which `combine(builder, dtype, a, b)` takes.
    """

    def of_two(builder, a, b):
        return combine(builder, dtype, lift(builder, a), lift(builder, b))

    def of_three(builder, a, b, c):
        return combine(builder, dtype, of_two(builder, a, b), lift(builder, c))

    def one_more(builder, own, a):
        return combine(builder, dtype, own, lift(builder, a))

    def two_more(builder, own, a, b):
        return combine(builder, dtype, own, of_two(builder, a, b))

    return of_two, of_three, one_more, two_more


def make_loops(combine, identity, dtype, moved=None):
    """The loops (fill, copy, two, three, into, two_into, neighbours, neighbours_and_evens, four,
    five) over accumulators of a numba type. `moved`: see `make_loop`.
    """
    of_two, of_three, one_more, two_more = _formulas(combine, dtype, _as_it_is)

    def nothing(builder, own):
        one = ir.Constant(own.type.element, identity)
        return ir.Constant(own.type, [one] * own.type.count)

    def and_first(builder, a, b):
        return of_two(builder, a, b), a

    def of_four(builder, a, b, c, d):
        return of_two(builder, of_two(builder, a, b), of_two(builder, c, d))

    def of_five(builder, a, b, c, d, e):
        return of_two(builder, of_two(builder, a, b), of_three(builder, d, e, c))

    def loop(formula, **options):
        return make_loop(dtype, formula, moved=moved, **options)

    fill = make_loop(dtype, nothing, in_place=True)
    copy, two, three = loop(_as_it_is), loop(of_two), loop(of_three)
    into, two_into = loop(one_more, in_place=True), loop(two_more, in_place=True)
    neighbours = loop(of_two, pairs=True)
    neighbours_and_evens = loop(and_first, pairs=True, targets=2)
    four, five = make_loop(dtype, of_four), make_loop(dtype, of_five)
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


def make_lifts(combine, dtype, source=None, lift=_as_it_is, moved=None):
    """The loops (lift, lift_two, lift_three, lift_into, lift_two_into) that fold rows: of elements
    of the numba type `source`, of which `lift` makes accumulators, or of accumulators. Their last
    argument are the rows: see `make_loop`.
    """
    of_two, of_three, one_more, two_more = _formulas(combine, dtype, lift)

    def loop(formula, **options):
        return make_loop(dtype, formula, source=source, moved=moved, by_rows=True, **options)

    one, two, three = loop(lift), loop(of_two), loop(of_three)
    into, two_into = loop(one_more, in_place=True), loop(two_more, in_place=True)
    return (
        intrinsic(lambda _, target, a, code, distance, by: one(target, a, code, distance, by)),
        intrinsic(
            lambda _, target, a, b, i, j, distance, by: two(target, a, b, i, j, distance, by)
        ),
        intrinsic(
            lambda _, target, a, b, c, i, j, k, distance, by: three(
                target, a, b, c, i, j, k, distance, by
            )
        ),
        intrinsic(lambda _, target, a, code, distance, by: into(target, a, code, distance, by)),
        intrinsic(
            lambda _, target, a, b, i, j, distance, by: two_into(target, a, b, i, j, distance, by)
        ),
    )
