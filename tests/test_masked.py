"""Some lanes of vectors: by the CPU's masks, and without any, whatever the CPU has."""

import mmap

import numba
import numpy as np
import pytest
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from numpool._cpu import masked, target
from numpool._cpu.vector_loops import VECTOR_BYTES, vector_of

DTYPES = ["uint8", "int16", "float32", "float64"]
WAYS = ["as the CPU does", "without masks"]


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    if request.param == "without masks":
        monkeypatch.setattr(target, "loads_lanes", lambda itemsize: False)
        monkeypatch.setattr(target, "stores_lanes", lambda: False)


def moving(dtype, write):
    """A function of the addresses of a vector in memory and of another one, and two numbers, whose
    code is `write(builder, pointers, itemsize, *numbers)`.
    """
    dtype = np.dtype(dtype)
    vector = vector_of(getattr(types, dtype.name), VECTOR_BYTES // dtype.itemsize)

    @intrinsic
    def move(typing_context, memory, other, first, last):
        def codegen(context, builder, signature, args):
            pointers = [builder.inttoptr(at, vector.as_pointer()) for at in args[:2]]
            write(builder, pointers, dtype.itemsize, *args[2:])
            return context.get_dummy_value()

        return types.void(*[types.int64] * 4), codegen

    @numba.njit
    def run(memory, other, first, last):
        move(memory, other, first, last)

    return run


def places(lanes):
    """Lanes before a vector, of it and behind it."""
    return sorted(
        {-(2**33), -lanes - 1, -1, 0, 1, 2, lanes // 2, lanes - 1, lanes, lanes + 3, 2**33}
    )


def around_a_page(dtype):
    """Memory of random bits, and elements of it at which a vector begins: some reach from a page to
    the next.
    """
    memory = np.frombuffer(mmap.mmap(-1, 2 * mmap.PAGESIZE), np.uint8)
    memory[:] = np.random.default_rng(0).integers(0, 120, memory.size)
    values = memory.view(dtype)
    half, lanes = values.size // 2, VECTOR_BYTES // values.itemsize
    return values, [0, 3, half - lanes, half - lanes + 1, half - lanes // 2, half - 1, half]


@pytest.mark.parametrize("dtype", DTYPES)
def test_lanes_are_loaded(dtype, way):
    def write(builder, pointers, itemsize, first, last):
        values = masked.load(builder, pointers[0], itemsize, (first, last))
        builder.store(values, pointers[1], align=itemsize)

    run = moving(dtype, write)
    values, starts = around_a_page(dtype)
    lanes = VECTOR_BYTES // values.itemsize
    for start in starts:
        for first in places(lanes):
            for last in places(lanes):
                loaded = np.zeros(lanes, dtype)
                run(values[start:].ctypes.data, loaded.ctypes.data, first, last)
                there = slice(max(first, 0), min(max(last, 0), lanes))
                expected = values[start : start + lanes][there]
                assert np.array_equal(loaded[there], expected), (start, first, last)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_first_lanes_are_stored(dtype, way):
    def write(builder, pointers, itemsize, count, _):
        values = builder.load(pointers[1], align=itemsize)
        masked.store_first(builder, values, pointers[0], itemsize, count)

    run = moving(dtype, write)
    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    values = np.arange(1, lanes + 1).astype(dtype)
    for count in [-(2**33), -1, *range(lanes + 2), 2**33]:
        memory = np.zeros(3 * lanes, dtype)
        run(memory[lanes:].ctypes.data, values.ctypes.data, count, 0)
        expected = np.zeros_like(memory)
        stored = min(max(count, 0), lanes)
        expected[lanes : lanes + stored] = values[:stored]
        assert np.array_equal(memory, expected), count


@pytest.mark.parametrize("kind", [ir.IntType(8), ir.IntType(16), ir.FloatType(), ir.DoubleType()])
@pytest.mark.parametrize("lanes", [4, 128])
def test_lanes_within(kind, lanes):
    @intrinsic
    def within(typing_context, first, last, lane):
        def codegen(context, builder, signature, args):
            mask = masked.lanes_within(builder, *args[:2], ir.VectorType(kind, lanes))
            return builder.extract_element(mask, args[2])

        return types.boolean(*[types.int64] * 3), codegen

    @numba.njit
    def run(first, last, lane):
        return within(first, last, lane)

    for first in places(lanes):
        for last in places(lanes):
            found = [run(first, last, lane) for lane in range(lanes)]
            assert found == [first <= lane < last for lane in range(lanes)], (first, last)
