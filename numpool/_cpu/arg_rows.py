"""Row functions of arg-max: values become accumulators that know their tap, and these become values
and indices. See rows.py for what a row function is, loops.py for the two kinds of accumulators.
"""

import numpy as np
from numba import types

from numpool._cpu.loops import NO_CODE
from numpool._cpu.memory import ONE, ZERO, array_at, bits_of, float_of, inline, read, write
from numpool._cpu.plan import PLAN_TYPE
from numpool._cpu.rows import is_dense, load_of, make_store, reader, scalar, stored_type, writer
from numpool._operators import NO_TAP

_SIGN = 1 << 31
_NAN = 0x7FFFFFFF


def packer(dtype, magnitude=False):
    """A function that packs a stored element of `dtype`, or its magnitude, with a code."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        convert = reader(dtype, types.float32)

        @inline
        def pack(value, code):
            number = abs(convert(value)) if magnitude else convert(value)
            # Zeros of both signs are equal, and NaN is above all.
            bits = bits_of(types.float32(number + types.float32(0)))
            key = types.int32(scalar.sortable(bits)) if number == number else types.int32(_NAN)
            return scalar.pack(types.int64(key), code)

        return pack
    # An unsigned type of 32 bits is ordered as the signed one is from its middle on.
    origin = _SIGN if dtype == np.uint32 else 0
    convert = reader(dtype, types.int64)
    return inline(lambda value, code: scalar.pack(convert(value) - origin, code))


def make_load_packed(dtype, magnitude=False):
    """Load: elements of rows packed with the code 0, to be shifted."""
    pack = packer(dtype, magnitude)
    accumulator = inline(lambda value, p: pack(value, ZERO))
    return load_of(stored_type(dtype), types.int64, accumulator)


def _unpacker(dtype):
    """A function that gives the stored element of `dtype` in a packed value, the lowest where there
    is no data.
    """
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        convert = writer(dtype, types.float32)
        lowest = types.float32(-np.inf)

        @inline
        def unpack_float(packed):
            key = types.int32(scalar.packed_key(packed))
            number = float_of(types.int32(scalar.sortable(key)))
            return convert(number if scalar.packed_code(packed) < NO_TAP else lowest)

        return unpack_float
    stored = stored_type(dtype)
    origin = _SIGN if dtype == np.uint32 else 0
    least = 0 if dtype == np.bool_ else int(np.iinfo(dtype).min)

    @inline
    def unpack(packed):
        value = scalar.packed_key(packed) + origin
        return stored(value if value > least else least)

    return unpack


def make_store_packed(dtype, index_dtype):
    """Store of packed values: values to rows of `out`, indices to rows of `extra`."""
    unpack = _unpacker(dtype)
    stored = stored_type(dtype)
    itemsize = stored.bitwidth // 8

    @inline
    def store_values(plan, line, out, columns, channels):
        if is_dense(plan.out, channels, itemsize):
            packed = array_at(line, columns * channels, types.int64)
            target = array_at(out, columns * channels, stored)
            for i in range(target.size):
                target[i] = unpack(packed[i])
        else:
            for w in range(columns):
                for c in range(channels):
                    value = unpack(read(line + (w * channels + c) * 8, types.int64))
                    write(out + w * plan.out.column + c * plan.out.channel, value)

    def store_rows(
        plan_address, line, pitch, step, source, other, out, extra,
        depth, row, rows, column, columns, channels, distance,
    ):  # fmt: skip
        plan = array_at(plan_address, 1, PLAN_TYPE)[0]
        start = out + depth * plan.out.depth + row * plan.out.row + column * plan.out.column
        for r in range(rows):
            store_values(plan, line + r * pitch * 8, start + r * plan.out.row, columns, channels)

    return _storing(inline(store_rows), index_dtype, scalar.packed_code, NO_TAP)


def make_store_pairs(computed, dtype, index_dtype):
    """Store of pairs: values to rows of `out`, indices of their taps to rows of `extra`."""
    store_values = inline(make_store(computed, dtype))
    return _storing(store_values, index_dtype, inline(lambda code: code), NO_CODE)


def _storing(store_values, index_dtype, code_of, no_code):
    """Store by a function for values, and indices of codes below `no_code`."""
    stored = stored_type(index_dtype)
    itemsize = stored.bitwidth // 8
    nowhere = stored(-1) if stored.signed else stored(2**stored.bitwidth - 1)

    @inline
    def index_of(accumulator, base):
        code = code_of(accumulator)
        return stored(base + code) if code < no_code else nowhere

    def store(
        plan_address, line, pitch, step, source, other, out, extra,
        depth, row, rows, column, columns, channels, distance,
    ):  # fmt: skip
        store_values(
            plan_address, line, pitch, step, source, other, out, extra,
            depth, row, rows, column, columns, channels, distance,
        )  # fmt: skip
        plan = array_at(plan_address, 1, PLAN_TYPE)[0]
        dense = is_dense(plan.extra, channels, itemsize)
        along, across = plan.extra.column, plan.extra.channel
        start = extra + depth * plan.extra.depth + row * plan.extra.row + column * along
        base = plan.index_base + depth * plan.depth_window.index_step
        base += column * plan.column_window.index_step
        next_column = plan.column_window.index_step
        for r in range(rows):
            first = line + r * pitch * 8 + distance
            target = start + r * plan.extra.row
            row_base = base + (row + r) * plan.row_window.index_step
            if dense:
                # In as few runs as have indices that grow evenly.
                runs, size, by = columns, channels, ZERO
                if channels == 1 or next_column == 0:
                    runs, size, by = ONE, columns * channels, next_column
                for w in range(runs):
                    codes = array_at(first + w * size * 8, size, types.int64)
                    indices = array_at(target + w * size * itemsize, size, stored)
                    run_base = row_base + w * next_column
                    for i in range(size):
                        indices[i] = index_of(codes[i], run_base + i * by)
            else:
                for w in range(columns):
                    for c in range(channels):
                        code = read(first + (w * channels + c) * 8, types.int64)
                        index = index_of(code, row_base + w * next_column)
                        write(target + w * along + c * across, index)

    return store
