"""No kernel touches memory beside its arrays: they lie flush against pages that cannot be read."""

import ctypes
import faulthandler
import math
import mmap
import os
import sys

import cases
import numpy as np
import oracle
import pytest

import numpool

try:
    from numpy.lib.array_utils import byte_bounds
except ImportError:  # NumPy 1
    from numpy import byte_bounds

pytestmark = [
    pytest.mark.posix,
    pytest.mark.skipif(os.name != "posix", reason="needs mmap and mprotect"),
]

# ---------------------------------------------------------------------------------------------
# Guarded memory
# ---------------------------------------------------------------------------------------------

SIZE = 512 * mmap.PAGESIZE
NONE, READ, WRITE = 0, 1, 2  # PROT_NONE, PROT_READ, PROT_WRITE everywhere


class Guarded:
    """Memory between two pages that end the process when they are read or written."""

    def __init__(self):
        self.map = mmap.mmap(-1, SIZE + 2 * mmap.PAGESIZE)
        self.bytes = np.frombuffer(self.map, np.uint8)[mmap.PAGESIZE : -mmap.PAGESIZE]
        start = self.bytes.ctypes.data
        self.protect(start - mmap.PAGESIZE, mmap.PAGESIZE, NONE)
        self.protect(start + SIZE, mmap.PAGESIZE, NONE)

    def protect(self, address, size, access):
        mprotect = ctypes.CDLL(None, use_errno=True).mprotect
        mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
        if mprotect(address, size, access):
            raise OSError(ctypes.get_errno(), "mprotect failed")

    def place(self, ordinary, at_end):
        """A copy of an array, of the same strides, flush against the page at the end or start."""
        self.protect(self.bytes.ctypes.data, SIZE, READ | WRITE)
        low, high = byte_bounds(ordinary)
        start = SIZE - (high - low) if at_end else 0
        if not ordinary.flags.aligned:
            start += -1 if at_end else 1
        self.bytes[start : start + high - low] = 0xFF  # NaN in a float
        offset = start + ordinary.ctypes.data - low
        placed = np.ndarray(
            ordinary.shape, ordinary.dtype, self.bytes.data, offset, ordinary.strides
        )
        placed[...] = ordinary
        return placed

    def place_input(self, ordinary, at_end):
        """The same, where writing ends the process too."""
        placed = self.place(ordinary, at_end)
        self.protect(self.bytes.ctypes.data, SIZE, READ)
        return placed


# ---------------------------------------------------------------------------------------------
# Calls, in a process of their own
# ---------------------------------------------------------------------------------------------

LAYOUTS = ("C", "F", "permuted", "sliced", "negative", "mixed", "unaligned", "swapped", "broadcast")
# Of options but the first: they change what becomes of windows, and layouts how these are loaded.
FEW_LAYOUTS = ("C", "negative", "unaligned")

WINDOWS = {
    # rank: shapes and arguments of windows
    1: [
        ((3, 23), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
        ((2, 40), {"kernel_size": 2}),
        ((41,), {"kernel_size": 2, "stride": 1}),
        ((2, 37), {"kernel_size": 3, "stride": 1, "padding": ((0, 2),)}),
        ((2, 37), {"kernel_size": 5, "dilation": 4, "stride": 3, "padding": 6}),
        ((1, 700), {"kernel_size": 27, "stride": 1, "padding": "same"}),
        ((3, 9), {"kernel_size": 15, "stride": 4, "padding": 7}),
        ((2, 1000), {"kernel_size": 130, "stride": 100}),
        ((11000,), {"kernel_size": 9500, "stride": 700}),
        ((19, 6), {"kernel_size": 4, "stride": 3, "padding": 2, "axis": 0}),
        ((2, 197), {"kernel_size": 2}),
    ],
    2: [
        ((2, 9, 11), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
        ((2, 8, 10), {"kernel_size": 2}),
        ((7, 13), {"kernel_size": (3, 2), "stride": 1, "padding": "same"}),
        ((10, 9), {"kernel_size": (2, 3), "dilation": (3, 2), "stride": (1, 2), "padding": (3, 0)}),
        ((2, 5, 4), {"kernel_size": 9, "stride": 2, "padding": 4}),
        ((2, 9, 8, 5), {"kernel_size": 3, "stride": 2, "padding": 1, "axis": (1, 2)}),
        ((8, 7, 3), {"kernel_size": (2, 5), "stride": 1, "axis": (1, 0)}),
        ((30, 26), {"kernel_size": 11, "stride": 5, "padding": ((0, 4), (5, 0))}),
        ((3, 400), {"kernel_size": (2, 100), "stride": (1, 90), "padding": (0, 50)}),
        # Channels and whole planes, which are taken as vectors.
        ((5, 6, 33), {"kernel_size": 3, "stride": 2, "padding": 1, "axis": (0, 1)}),
        ((5, 4, 17), {"kernel_size": 2, "axis": (0, 1)}),
        ((3, 7, 9), {"kernel_size": (7, 9)}),
        # Pixels of three channels.
        ((3, 71, 3), {"kernel_size": 2, "axis": (0, 1)}),
        # Planes whose rows fit a vector, and rows that are longer.
        ((5, 6, 14), {"kernel_size": 3, "stride": 1, "padding": 1}),
        ((4, 75), {"kernel_size": 3, "stride": 2, "padding": 1}),
        ((5, 201), {"kernel_size": 5, "stride": 1, "padding": (0, 1)}),
        # Rows that are combined as they lie, long ones, beyond the last of which a window reaches.
        ((31, 530), {"kernel_size": (9, 7), "stride": 1, "padding": (1, 0)}),
    ],
    3: [
        ((5, 6, 7), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
        ((2, 4, 6, 4), {"kernel_size": 2}),
        ((6, 5, 9), {"kernel_size": (2, 3, 4), "stride": 1, "dilation": (2, 1, 2)}),
        ((3, 2, 4), {"kernel_size": 7, "stride": 3, "padding": 3}),
        ((4, 5, 6, 3), {"kernel_size": (3, 2, 2), "stride": 1, "axis": (0, 1, 2)}),
        # Depths of padding alone, of one tap.
        (
            (4, 1, 6),
            {"kernel_size": (1, 1, 3), "stride": (1, 2, 1), "padding": ((0, 3), (0, 0), (0, 0))},
        ),
    ],
}


def laid_out(values, kind, number):
    """An array of a layout in ordinary memory, which `number` draws."""
    rng = np.random.default_rng(number)
    dice = cases.Dice(lambda low, high: int(rng.integers(low, high, endpoint=True)))
    return cases.place(values, cases.draw_layout(dice, values.ndim, [kind]), None).given


def variants(op, direction, dtype):
    """The options that an operator is called with; "y" and "indices" stand for arrays."""
    if op == "lp":
        yield from ({"p": p} for p in (1, 2, 3.5, math.inf))
        if direction == "backward":
            yield {"p": 2, "y": True}
            yield {"p": 400.0}  # powers leave the range of float64 and are taken tap by tap
        return
    yield {}
    if op == "max":
        name = "return_indices" if direction == "forward" else "indices"
        yield {name: True}
        yield {name: "offset"}
    else:
        yield {"count_include_pad": False}
        if direction == "forward":
            yield {"dtype": np.uint8 if dtype == "uint8" else np.float32}


def inputs(direction, shape, window, dtype, options, rng):
    """The arrays of a call by name, and its other arguments."""
    x = cases.contents("normal", np.dtype(dtype), shape, rng)
    if direction == "forward":
        return {"x": x}, {**window, **options}
    outer = oracle.output_shape(shape, **window)
    arrays = {"grad_output": cases.contents("normal", np.dtype(dtype), outer, rng), "x": x}
    options = dict(options)
    if options.pop("y", None):
        arrays["y"] = numpool.lp_pool(x, **window, **options)
    kind = options.pop("indices", None)
    if kind:
        arrays["indices"] = numpool.max_pool(x, **window, return_indices=kind)[1]
    return arrays, {**window, **options}


def check(function, arrays, arguments, kind, number, memory):
    """Compare a call on guarded arrays with the same call on ordinary ones."""
    ordinary = {name: laid_out(values, kind, number) for name, values in arrays.items()}
    if kind == "broadcast" and "indices" in arrays:
        ordinary["indices"] = arrays["indices"]  # repeated, they would be those of other windows
    results = as_tuple(function(**ordinary, **arguments))
    out_kind = kind if kind in cases.OUT_LAYOUTS else "C"
    outs = tuple(laid_out(np.zeros_like(r), out_kind, number + 1) for r in results)
    function(**ordinary, **arguments, out=outs if len(outs) > 1 else outs[0])
    for at_end in (True, False):
        free = iter(memory)
        guarded = {n: next(free).place_input(a, at_end) for n, a in ordinary.items()}
        given = tuple(next(free).place(o, at_end) for o in outs)
        for out in given:
            out[...] = 77
        function(**guarded, **arguments, out=given if len(given) > 1 else given[0])
        for got, expected in zip(given, outs, strict=True):
            assert got.tobytes() == expected.tobytes(), (arguments, kind, at_end)


def as_tuple(result):
    return result if isinstance(result, tuple) else (result,)


def check_all(op, direction, dtype):
    """Every window, layout and option of an operator and dtype."""
    function = getattr(numpool, f"{op}_pool" + ("_backward" if direction == "backward" else ""))
    memory = [Guarded() for _ in range(5)]
    rng = np.random.default_rng(8)
    count = 0
    for rank, (shape, window) in ((r, w) for r in WINDOWS for w in WINDOWS[r]):
        window = {"axis": tuple(range(-rank, 0)), **window}
        for number, options in enumerate(variants(op, direction, dtype)):
            arrays, arguments = inputs(direction, shape, window, dtype, options, rng)
            for kind in FEW_LAYOUTS if number else LAYOUTS:
                check(function, arrays, arguments, kind, count, memory)
                count += 1
    print(count)


def read_beside(side):
    """Read the bytes of an array, and then the one beside it."""
    memory = Guarded()
    placed = memory.place_input(np.zeros(100, np.uint8), at_end=side == "end")
    address = placed.ctypes.data
    print(ctypes.string_at(address, 100) == bytes(100), flush=True)
    print(ctypes.string_at(address + 100 if side == "end" else address - 1, 1))


# ---------------------------------------------------------------------------------------------
# Tests
# ---------------------------------------------------------------------------------------------


def run(job, *words):
    from cli_runner import process

    return process(job.__name__, *words, program=[__file__])


@pytest.mark.parametrize("side", ["start", "end"])
def test_memory_is_guarded(side):
    done = run(read_beside, side)
    assert (done.returncode < 0, done.stdout) == (True, "True\n")


CALLS = [
    *(("max", "forward", dtype) for dtype in ("float32", "float16", "uint8", "int64", "bool")),
    *(("avg", "forward", dtype) for dtype in ("float32", "float16", "uint8")),
    *(("lp", "forward", dtype) for dtype in ("float32", "float64")),
    *(("max", "backward", dtype) for dtype in ("float32", "float16", "float64")),
    *(("avg", "backward", dtype) for dtype in ("float32", "float16")),
    *(("lp", "backward", dtype) for dtype in ("float32", "float64")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("op", "direction", "dtype"), CALLS)
def test_no_kernel_reaches_beyond_its_arrays(op, direction, dtype):
    done = run(check_all, op, direction, dtype)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


if __name__ == "__main__":
    faulthandler.enable()
    globals()[sys.argv[1]](*sys.argv[2:])
