"""Several neighbours a thread, read and written in 128 bits: channels that lie side by side, or the
outputs of a row.

An operator becomes one of tuples, whose parts it computes each for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from numpool._cuda.gather import Operator
from numpool._cuda.scalars import SIMULATED, Arithmetic, device, stored_dtype

BYTES = 16
# Of windows along a line of one channel: rows, columns, their stride, and the padding in front.
LINES = ((1, 2, 2, 0), (2, 2, 2, 0), (3, 3, 1, 1), (3, 3, 2, 1), (3, 3, 2, 0))


def lanes_of(dtype: np.dtype) -> int:
    """How many elements are read at once."""
    return BYTES // dtype.itemsize


def lines_of(dtype: np.dtype) -> list[tuple[int, int, int, int]]:
    """Those of LINES that are worth a kernel: vectors of two outputs save little where windows
    overlap.
    """
    return [line for line in LINES if line[1] == line[2] or lanes_of(dtype) > 2]


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


def _together(parts: list[Any]) -> Any:
    """A function that gives the tuples of several as one."""
    if len(parts) == 1:
        return parts[0]
    others, last = _together(parts[:-1]), parts[-1]
    return device(lambda *args: others(*args) + last(*args))


def _make_read(
    arithmetic: Arithmetic, lanes: int, vectors: int, before: int, behind: int, neutral: Any
) -> Any:
    """A function that reads one or two vectors from an element on, the one `before` them and the
    one `behind`; where it is given that there is none, that is `neutral`.
    """
    whole, subscript, load = arithmetic.whole, arithmetic.subscript, make_load(lanes)
    last = vectors * lanes - 1

    @device
    def one(source, at, there):
        value = source[subscript(at)]
        return value if there > 0 else neutral

    @device
    def in_front(source, at, given):
        return (one(source, whole(at - given[0]), given[0]),)

    @device
    def at_the_end(source, at, given):
        return (one(source, whole(whole(at + last) + given[1]), given[1]),)

    first = device(lambda source, at, given: load(source, subscript(at)))
    second = device(lambda source, at, given: load(source, subscript(at + lanes)))
    return _together([in_front] * before + [first, second][:vectors] + [at_the_end] * behind)


def make_vectors(
    arithmetic: Arithmetic,
    operator: Operator,
    dtype: np.dtype,
    taps: int = 1,
    stride: int = 1,
    before: int = 0,
) -> Operator:
    """An operator of as many neighbours of a dtype as are read at once, each of which takes `taps`
    elements side by side, up to three, `stride` behind those of the one before: these are `stride`
    vectors, one or two. The first tap stands `before` them, up to one.
    """
    lanes, subscript, whole = lanes_of(dtype), arithmetic.subscript, arithmetic.whole
    behind = max(taps - before - stride, 0)
    neutral = np.array(operator.neutral, dtype).view(stored_dtype(dtype))[()]
    read = _make_read(arithmetic, lanes, stride, before, behind, neutral)
    store = make_store(lanes)
    start_one, begin_one, take_one, absorb_one = operator[:4]
    join_one: Any = operator.join
    result_one: Any = operator.result

    @device
    def _took(part, args, lane):
        values, numbers = args
        at = stride * lane
        part = take_one(part, values, at, values, 0, 0, numbers, 0.0)
        if taps > 1:
            part = take_one(part, values, at + 1, values, 0, 0, numbers, 0.0)
        if taps > 2:
            part = take_one(part, values, at + 2, values, 0, 0, numbers, 0.0)
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
    def given_of(extra, window, walk):
        """Whether there are elements before a thread's vectors and behind them, in its line."""
        last = whole(walk.column.size.size - 1)
        return whole(min(window.place, 1)), whole(min(whole(last - window.place), 1))

    @device
    def take(part, source, at, other, other_at, code, numbers, given):
        return take_each(part, (read(source, at, given), numbers))

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
        start=start, begin=begin, take=take, absorb=absorb, finish=finish, join=join,
        given=given_of if before + behind > 0 else None,
    )  # fmt: skip
