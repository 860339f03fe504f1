"""Several neighbours a thread, read and written in 128 bits: channels that lie side by side.

An operator becomes one of tuples, whose parts it computes each for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from numpool._cuda.gather import Operator
from numpool._cuda.scalars import SIMULATED, Arithmetic, device

BYTES = 16


def lanes_of(dtype: np.dtype) -> int:
    """How many elements are read at once."""
    return BYTES // dtype.itemsize


if SIMULATED:

    def make_load(lanes: int) -> Any:
        """A function that reads neighbours from an element on."""
        return lambda array, at: tuple(array[at + i] for i in range(lanes))

    def make_store(lanes: int) -> Any:
        """A function that writes neighbours from an element on."""

        def store(array, at, values):
            for i in range(lanes):
                array[at + i] = values[i]

        return store
else:
    from llvmlite import ir
    from numba import types
    from numba.cuda.extending import intrinsic

    _I32 = ir.IntType(32)

    def _vector_at(context, builder, array_type, array, at):
        """The address of a vector of 32 or 64 bits each that an element begins."""
        element = context.get_data_type(array_type.dtype)
        data = context.make_array(array_type)(context, builder, value=array).data
        place = builder.gep(data, [builder.zext(at, ir.IntType(64))])
        # Of eight elements of 16 bits LLVM would make two loads: pairs of them.
        kind = _I32 if array_type.dtype.bitwidth == 16 else element
        count = BYTES * 8 // max(array_type.dtype.bitwidth, 32)
        return builder.bitcast(place, ir.VectorType(kind, count).as_pointer()), count

    def make_load(lanes: int) -> Any:
        """A function that reads neighbours from an element on."""

        @intrinsic
        def load(typing_context, array, at):
            def codegen(context, builder, signature, args):
                pointer, count = _vector_at(context, builder, array, args[0], args[1])
                vector = builder.load(pointer, align=BYTES)
                values = [builder.extract_element(vector, _I32(i)) for i in range(count)]
                if count < lanes:
                    half = ir.IntType(16)
                    pairs = ((word, builder.lshr(word, _I32(16))) for word in values)
                    values = [builder.trunc(value, half) for pair in pairs for value in pair]
                return context.make_tuple(builder, signature.return_type, values)

            return types.UniTuple(array.dtype, lanes)(array, at), codegen

        return load

    def make_store(lanes: int) -> Any:
        """A function that writes neighbours from an element on."""

        @intrinsic
        def store(typing_context, array, at, values):
            def codegen(context, builder, signature, args):
                pointer, count = _vector_at(context, builder, array, args[0], args[1])
                parts = [builder.extract_value(args[2], i) for i in range(lanes)]
                if count < lanes:
                    wide = [builder.zext(part, _I32) for part in parts]
                    pairs = zip(wide[::2], wide[1::2], strict=True)
                    parts = [builder.or_(a, builder.shl(b, _I32(16))) for a, b in pairs]
                vector = ir.Constant(pointer.type.pointee, ir.Undefined)
                for i, part in enumerate(parts):
                    vector = builder.insert_element(vector, part, _I32(i))
                builder.store(vector, pointer, align=BYTES)
                return context.get_dummy_value()

            return types.void(array, at, values), codegen

        return store


def _each(function: Callable[..., Any], lanes: int) -> Any:
    """A function of tuples that gives `function(i, parts, ...)` for each of their parts."""
    last = lanes - 1
    if lanes == 1:
        return device(lambda parts, args: (function(parts[0], args, 0),))
    others = _each(function, last)
    return device(lambda parts, args: (*others(parts, args), function(parts[last], args, last)))


def make_vectors(
    arithmetic: Arithmetic, operator: Operator, dtype: np.dtype, taps: int = 1
) -> Operator:
    """An operator of as many neighbours of a dtype as are read at once, each of which takes `taps`
    elements side by side, one or two.
    """
    lanes, subscript = lanes_of(dtype), arithmetic.subscript
    load, store = make_load(lanes), make_store(lanes)
    start_one, begin_one, take_one, absorb_one = operator[:4]
    join_one: Any = operator.join
    result_one: Any = operator.result

    @device
    def _took(part, args, lane):
        values, numbers, given = args
        part = take_one(part, values, taps * lane, values, 0, 0, numbers, given)
        if taps > 1:
            part = take_one(part, values, taps * lane + 1, values, 0, 0, numbers, given)
        return part

    @device
    def _absorbed(total, parts, lane):
        return absorb_one(total, parts[lane])

    @device
    def _joined(part, parts, lane):
        return join_one(part, parts[lane])

    @device
    def _resulting(total, args, lane):
        window, numbers = args
        return result_one(total, window, numbers)

    nothing = (0,) * lanes
    take_each, absorb_each = _each(_took, lanes), _each(_absorbed, lanes)
    join_each, result_each = _each(_joined, lanes), _each(_resulting, lanes)
    start_each = _each(device(lambda part, args, lane: start_one()), lanes)
    begin_each = _each(device(lambda total, args, lane: begin_one(total)), lanes)

    @device
    def start():
        return start_each(nothing, 0)

    @device
    def begin(total):
        return begin_each(total, 0)

    @device
    def take(part, source, at, other, other_at, code, numbers, given):
        values = load(source, subscript(at))
        if taps > 1:
            values = values + load(source, subscript(at + lanes))
        return take_each(part, (values, numbers, given))

    @device
    def absorb(total, part):
        return absorb_each(total, part)

    @device
    def join(a, b):
        return join_each(a, b)

    @device
    def finish(total, source, other, out, extra, window, walk, numbers):
        store(out, subscript(window.out), result_each(total, (window, numbers)))

    return operator._replace(
        start=start, begin=begin, take=take, absorb=absorb, finish=finish, join=join
    )
