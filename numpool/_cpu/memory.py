"""The edge of a kernel: addresses to arrays, slices without an owner, kernels called by address.

Everything behind this module works on ordinary 1-D arrays of exact length, which NUMBA_BOUNDSCHECK
can check. An array made here has no owner: slicing and passing it counts no references, worth 1.3
to 2.2 times on short rows.
"""

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import RequireLiteralValue
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

# error_model: a division must not carry a branch that raises ZeroDivisionError.
if numba.config.DISABLE_JIT:
    raise RuntimeError("numpool is compiled by numba: unset NUMBA_DISABLE_JIT to use it")

OPTIONS = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
function = numba.njit(**OPTIONS)
inline = numba.njit(**OPTIONS, forceinline=True)
# Products and sums may fuse: powers take 0.75 of the time, and nothing that IEEE arithmetic says of
# NaN and infinity is lost.
fused = numba.njit(**OPTIONS, forceinline=True, fastmath={"contract"})

CHECKED = bool(numba.config.BOUNDSCHECK)


# Of NumPy's type: numba compiles a function anew for each literal that it is called with.
ZERO, ONE = np.int64(0), np.int64(1)


def _instance(dtype):
    """The numba type that a type passed as an argument stands for."""
    return dtype.instance_type if isinstance(dtype, types.TypeRef) else dtype.dtype


def _array_value(context, builder, array_type, data, size):
    array = context.make_array(array_type)(context, builder)
    itemsize = context.get_constant(
        types.intp, context.get_abi_sizeof(context.get_data_type(array_type.dtype))
    )
    populate_array(
        array,
        data=data,
        shape=cgutils.pack_array(builder, [size]),
        strides=cgutils.pack_array(builder, [itemsize]),
        itemsize=itemsize,
        meminfo=None,
    )
    return array._getvalue()


@intrinsic
def array_at(typing_context, address, size, dtype):
    """The array of `size` elements of a type that starts at an int64 address."""
    result = types.Array(_instance(dtype), 1, "C")

    def codegen(context, builder, signature, args):
        element = context.get_data_type(result.dtype)
        data = builder.inttoptr(args[0], element.as_pointer())
        return _array_value(context, builder, result, data, args[1])

    return result(types.int64, types.int64, dtype), codegen


@intrinsic
def _slice(typing_context, array, start, size):
    result = types.Array(array.dtype, 1, "C")

    def codegen(context, builder, signature, args):
        data = context.make_array(array)(context, builder, args[0]).data
        return _array_value(context, builder, result, builder.gep(data, [args[1]]), args[2])

    return result(array, types.int64, types.int64), codegen


@inline
def piece(array, start, size):
    """array[start : start + size], which must lie inside; half the compile time of a slice, and
    nothing is clipped.
    """
    if CHECKED and (start < 0 or size < 0 or start + size > array.size):
        raise IndexError("a piece of a line buffer reaches beyond it")
    return _slice(array, start, size)


@intrinsic
def address_of(typing_context, array):
    """The address of an array's first element."""

    def codegen(context, builder, signature, args):
        data = context.make_array(array)(context, builder, args[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

    return types.int64(array), codegen


@function
def to_cache_line(number):
    """A size or an address, rounded up to where a cache line starts."""
    return (number + 63) // 64 * 64


@function
def aligned_memory(size):
    """An array with room for so many bytes, and the address in it from which they fill whole cache
    lines.
    """
    memory = np.empty(size + 64, np.uint8)
    return memory, to_cache_line(address_of(memory))


@intrinsic
def stack_bytes(typing_context, size):
    """The address of so many bytes, a literal, that live until the kernel returns."""
    if not isinstance(size, types.IntegerLiteral):
        raise RequireLiteralValue("size")

    def codegen(context, builder, signature, args):
        room = cgutils.alloca_once(builder, ir.ArrayType(ir.IntType(8), size.literal_value))
        room.align = 64
        return builder.ptrtoint(room, ir.IntType(64))

    return types.int64(size), codegen


@intrinsic
def keep(typing_context, array):
    """Uses an array, so that numba frees it no earlier than here."""
    return types.void(array), lambda context, builder, signature, args: context.get_dummy_value()


@intrinsic
def read(typing_context, address, dtype):
    """The element at an address."""
    result = _instance(dtype)

    def codegen(context, builder, signature, args):
        element = context.get_data_type(result)
        return builder.load(builder.inttoptr(args[0], element.as_pointer()))

    return result(types.int64, dtype), codegen


@intrinsic
def write(typing_context, address, value):
    """Store a value at an address."""

    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], args[1].type.as_pointer())
        builder.store(args[1], pointer)
        return context.get_dummy_value()

    return types.void(types.int64, value), codegen


def _bitcast(source, result):
    """An intrinsic that takes the bits of one type for another type."""

    @intrinsic
    def cast(typing_context, value):
        def codegen(context, builder, signature, args):
            return builder.bitcast(args[0], context.get_value_type(result))

        return result(source), codegen

    return cast


bits_of = _bitcast(types.float32, types.int32)
float_of = _bitcast(types.int32, types.float32)


@intrinsic
def has_bit(typing_context, bits, number):
    """Whether a uint32 has the bit of a number below 32: in 32 bits, where numba's operators take
    64, and a vector half as many.
    """

    def codegen(context, builder, signature, args):
        return builder.trunc(builder.lshr(*args), ir.IntType(1))

    return types.boolean(types.uint32, types.uint32), codegen


def fetch_line(builder, address):
    """Have the cache line at an address read; nothing happens if it is nobody's."""
    pointer = builder.inttoptr(address, ir.IntType(8).as_pointer())
    kinds = [pointer.type, *[ir.IntType(32)] * 3]
    declared = builder.module.declare_intrinsic(
        "llvm.prefetch", [pointer.type], ir.FunctionType(ir.VoidType(), kinds)
    )
    constants = [ir.Constant(ir.IntType(32), value) for value in (0, 3, 1)]
    builder.call(declared, [pointer, *constants])


@intrinsic
def prefetch(typing_context, address):
    """Have the cache line at an address read."""

    def codegen(context, builder, signature, args):
        fetch_line(builder, args[0])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


# How far ahead memory is fetched, and in rows of what size at most: what follows in longer ones,
# processors fetch on their own.
AHEAD = LONGEST = 4096


@inline
def fetch(address, size):
    """Have memory read that will be wanted soon."""
    for at in range(0, size, 64):
        prefetch(address + at)


@inline
def fetch_ahead(row, step):
    """Have memory read that will be wanted some rows later: as much as there is from the row at an
    address to the next, `step` bytes further. It is worth 1.2 to 1.5 times on planes 112 x 112.
    """
    size = abs(step)
    if size <= LONGEST:
        fetch(row + (AHEAD if step > 0 else -AHEAD), size)


def _caller(result, count=0):
    """An intrinsic that calls the function at an address with int64 or float64 arguments. If it
    takes a `count` of words, those that are not given are any.
    """

    @intrinsic
    def call_address(typing_context, address, args):
        def codegen(context, builder, signature, values):
            words = cgutils.unpack_tuple(builder, values[1])
            words += [ir.Constant(ir.IntType(64), ir.Undefined)] * (count - len(words))
            kinds = [word.type for word in words]
            returned = ir.VoidType() if result is types.void else context.get_value_type(result)
            pointer = ir.FunctionType(returned, kinds).as_pointer()
            value = builder.call(builder.inttoptr(values[0], pointer), words)
            return context.get_dummy_value() if result is types.void else value

        return result(types.int64, args), codegen

    return call_address


# Call a row function by its address, with a tuple of arguments.
call = _caller(types.void)
# Call a line kernel by its address: its operations take fewer words than there are.
LINE_WORDS = 16
call_lines = _caller(types.void, LINE_WORDS)
# Call a walk by its address; gives how many of its tasks it has done: 0 if it failed. Or a kernel
# of short windows.
call_walk = _caller(types.int64)
