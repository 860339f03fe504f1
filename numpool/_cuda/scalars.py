"""The scalar functions that kernels are made of: the formulas of operators, elements in and out of
memory, the arithmetic of indices.

On a device they are compiled into the kernels. In numba's simulator they run as plain Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from numpool import _operators
from numpool._cuda.launch import SIMULATED

if SIMULATED:
    scalar = _operators.bind(lambda function: function)

    def device(function: Any) -> Any:
        """A function that kernels call."""
        return function
else:
    from llvmlite import ir
    from numba import cuda, types
    from numba.cuda import libdevice
    from numba.cuda.extending import intrinsic

    @intrinsic
    def _single_of_half(typing_context, bits):
        def codegen(context, builder, signature, args):
            return builder.fpext(builder.bitcast(args[0], ir.HalfType()), ir.FloatType())

        return types.float32(types.uint16), codegen

    @intrinsic
    def _half_of_double(typing_context, value):
        def codegen(context, builder, signature, args):
            half = builder.fptrunc(args[0], ir.HalfType())
            return builder.bitcast(half, ir.IntType(16))

        return types.uint16(types.float64), codegen

    # Inlined by LLVM: by numba, some kernels would take half a minute to compile.
    _compiled = cuda.jit(device=True, forceinline=True)
    _made: dict[tuple, Any] = {}

    def _exactly(value: Any) -> tuple:
        """A value as a key: 0, 0.0 and -0.0 are not the same."""
        return type(value), repr(value) if isinstance(value, (int, float, np.generic)) else value

    def device(function: Any) -> Any:
        """A function that kernels call: one for all of the same code and closure, so that kernels
        which share it do not compile it again.
        """
        cells = function.__closure__ or ()
        key = (id(function.__code__), *(_exactly(cell.cell_contents) for cell in cells))
        if key not in _made:
            _made[key] = _compiled(function)
        return _made[key]

    scalar = _operators.bind(
        device,
        sqrt=libdevice.sqrt,
        rint=libdevice.rint,
        bits_of=device(lambda x: libdevice.double_as_longlong(np.float64(x))),
        from_bits=device(lambda bits: libdevice.longlong_as_double(np.int64(bits))),
        single_bits=device(lambda x: np.uint32(libdevice.float_as_int(np.float32(x)))),
        from_single_bits=device(lambda bits: libdevice.int_as_float(np.int32(np.uint32(bits)))),
        # One instruction each, as of every GPU.
        from_half=device(lambda bits: _single_of_half(bits)),
        to_half=device(lambda value: _half_of_double(value)),
    )


# ---------------------------------------------------------------- indices


class Arithmetic(NamedTuple):
    """How kernels count: `whole` makes a number, `subscript` one, `unsigned` one whose order
    has -1 last.
    """

    whole: Callable[[Any], Any]
    subscript: Callable[[Any], Any]
    unsigned: Callable[[Any], Any]
    divide: Callable[..., Any]


class Divider(NamedTuple):
    """A positive divisor, and what it takes to divide numbers below 2**31 by it without a division:
    n // size is n * multiplier >> shift.
    """

    size: int
    multiplier: int
    shift: int


def divider(size: int) -> Divider:
    """The divider of numbers from 0 on."""
    shift = 31 + (size - 1).bit_length()
    return Divider(size, -(-(1 << shift) // size), shift)


def _python_divide(number, size, multiplier, shift):
    return number * (int(multiplier) % 2**32) >> int(shift)


def _long_divide(number, size, multiplier, shift):
    return number // size


if SIMULATED:

    def _wrapping(bits):
        half = 2 ** (bits - 1)
        return lambda number: (int(number) + half) % (2 * half) - half

    def _unsigned(code):
        return int(code) % 2**64

    NARROW = Arithmetic(_wrapping(32), int, _unsigned, _python_divide)
    WIDE = Arithmetic(_wrapping(64), int, _unsigned, _long_divide)
else:

    @device
    def _divide(number, size, multiplier, shift):
        product = np.uint64(np.uint32(number)) * np.uint64(np.uint32(multiplier))
        return np.int32(product >> np.uint64(shift))

    NARROW = Arithmetic(np.int32, np.uint32, np.uint32, _divide)
    WIDE = Arithmetic(np.int64, np.uint64, np.uint64, device(_long_divide))


# ---------------------------------------------------------------- elements


def stored_dtype(dtype: np.dtype) -> np.dtype:
    """What elements of a dtype are in memory to a kernel: float16 as its bits, bool as bytes."""
    if dtype == np.float16:
        return np.dtype(np.uint16)
    return np.dtype(np.uint8) if dtype == np.bool_ else dtype


def reader(dtype: np.dtype, computed: np.dtype) -> Any:
    """A function that turns a stored element into the type computed in."""
    cast = computed.type
    if dtype == np.float16:
        return device(lambda value: cast(scalar.from_half(value)))
    if dtype == np.bool_:  # any byte but 0 is True, as NumPy has it
        return device(lambda value: cast(value != 0))
    return device(lambda value: cast(value))


def magnitude_reader(dtype: np.dtype, computed: np.dtype) -> Any:
    """The same of its magnitude."""
    convert = reader(dtype, computed)
    return device(lambda value: abs(convert(value)))


def writer(dtype: np.dtype) -> Any:
    """A function that turns a value into a stored element, rounded once and saturated."""
    stored = stored_dtype(dtype).type
    if dtype == np.float16:
        return device(lambda value: scalar.to_half(np.float64(value)))
    return device(lambda value: stored(value))


def rounding_writer(dtype: np.dtype) -> Any:
    """A writer that rounds floats to integers, and saturates them."""
    if dtype.kind not in "iu":
        return writer(dtype)
    stored = dtype.type
    lowest, highest = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    if dtype.itemsize <= 4:
        least, most = float(lowest), float(highest)
        return device(lambda value: scalar.to_small_integer(np.float64(value), least, most, stored))
    return device(lambda value: scalar.to_integer(np.float64(value), lowest, highest, stored))


def lowest(dtype: np.dtype) -> Any:
    """The lowest value of a dtype, as what kernels compute in."""
    if dtype.kind == "f":
        return np.float64(-np.inf) if dtype.itemsize == 8 else np.float32(-np.inf)
    return np.uint8(0) if dtype.kind == "b" else dtype.type(np.iinfo(dtype).min)
