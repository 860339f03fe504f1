"""Elements of a row that cannot be read as they lie, moved to a dense line: every second column, a
channel of an image, a flipped axis, the other byte order.

Of elements that stand apart, or backwards, whole vectors are read and shuffled, 2 to 4 times as
fast as element by element. None is read that lies before the first element or behind the last.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from numpool._cpu.memory import array_at, function, read, write
from numpool._cpu.vector_loops import VECTOR_BYTES

# (source, bytes from an element to the next, how many, target)
TAKE = types.void(*[types.int64] * 4)

# Elements at most so far apart are shuffled.
FARTHEST = 4


def pick(builder, vectors, places):
    """As many elements as a vector has: those at some places of vectors, one after the other."""
    lanes = vectors[0].type.count
    sources = [divmod(place, lanes) for place in places]
    first, *others = sorted({number for number, _ in sources})
    # Where elements lie that come from the first vector, or have been picked.
    there = [element for _, element in sources]
    picked = vectors[first]
    for vector in others or [first]:
        picks = [
            lanes + element if number == vector else at
            for (number, element), at in zip(sources, there, strict=True)
        ]
        constant = ir.Constant(ir.VectorType(ir.IntType(32), lanes), picks)
        picked = builder.shuffle_vector(picked, vectors[vector], constant)
        there = list(range(lanes))
    return picked


def every(builder, vectors, first, backwards=False):
    """Of some vectors, one after the other, the elements that stand as many apart, from `first`."""
    if len(vectors) == 1 and not backwards:
        return vectors[0]
    places = [first + len(vectors) * lane for lane in range(vectors[0].type.count)]
    return pick(builder, vectors, places[::-1] if backwards else places)


def _make_move(itemsize, apart, first, backwards):
    """An intrinsic that moves a vector of elements that stand `apart`, from number `first` on of
    those at an address, to another address.
    """
    lanes = VECTOR_BYTES // itemsize
    vector = ir.VectorType(ir.IntType(8 * itemsize), lanes)

    @intrinsic
    def move(typing_context, source, target):
        def codegen(context, builder, signature, args):
            source, target = args
            loaded = []
            for number in range(apart):
                address = builder.add(source, ir.Constant(source.type, number * VECTOR_BYTES))
                pointer = builder.inttoptr(address, vector.as_pointer())
                loaded.append(builder.load(pointer, align=itemsize))
            pointer = builder.inttoptr(target, vector.as_pointer())
            builder.store(every(builder, loaded, first, backwards), pointer, align=itemsize)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), codegen

    return move


def _make_moves(itemsize, apart, backwards):
    """A function that moves more elements than a vector has. The first vectors read on from their
    last element in memory, or up to their first; the last one, which reaches back, the other way.
    """
    lanes = VECTOR_BYTES // itemsize
    far = apart - 1
    onward = _make_move(itemsize, apart, far if backwards else 0, backwards)
    back = _make_move(itemsize, apart, 0 if backwards else far, backwards)
    # From the first element of a vector, or its last, to where reading starts.
    reach = (apart * lanes - 1) * itemsize
    before, before_last = (reach, 0) if backwards else (0, reach)

    @function
    def moves(source, step, count, target):
        for i in range(0, count - lanes, lanes):
            onward(source + i * step - before, target + i * itemsize)
        back(source + (count - 1) * step - before_last, target + (count - lanes) * itemsize)

    return moves


def make_take(itemsize):
    """Take: elements of so many bytes."""
    lanes, element = VECTOR_BYTES // itemsize, getattr(types, f"int{8 * itemsize}")
    by_2, by_3, by_4 = (_make_moves(itemsize, n, False) for n in (2, 3, 4))
    back_1, back_2, back_3, back_4 = (_make_moves(itemsize, n, True) for n in (1, 2, 3, 4))

    def take(source, step, count, target):
        apart = 0 if count <= lanes or step % itemsize else step // itemsize
        if apart == 2:
            by_2(source, step, count, target)
        elif apart == 3:
            by_3(source, step, count, target)
        elif apart == 4:
            by_4(source, step, count, target)
        elif apart == -1:
            back_1(source, step, count, target)
        elif apart == -2:
            back_2(source, step, count, target)
        elif apart == -3:
            back_3(source, step, count, target)
        elif apart == -4:
            back_4(source, step, count, target)
        else:
            for i in range(count):
                write(target + i * itemsize, read(source + i * step, element))

    return take


def from_swapped(dtype):
    """An intrinsic that gives the element whose bits are those of an integer in the other order."""

    @intrinsic
    def native(typing_context, bits):
        def codegen(context, builder, signature, args):
            return builder.bitcast(builder.bswap(*args), context.get_value_type(dtype))

        return dtype(bits), codegen

    return native


def make_take_swapped(itemsize):
    """Take: elements of so many bytes, which are in the other order."""
    element = getattr(types, f"uint{8 * itemsize}")
    native = from_swapped(element)

    def take(source, step, count, target):
        if step == itemsize:
            values, line = array_at(source, count, element), array_at(target, count, element)
            for i in range(count):
                line[i] = native(values[i])
        else:
            for i in range(count):
                write(target + i * itemsize, native(read(source + i * step, element)))

    return take
