"""Kernels are compiled with less of numba's work, which users' own functions must not notice."""

import pytest

USERS = """
import numba, numpy, numpool
from numpool._cpu.rows import scalar

x = numpy.arange(1600, dtype=numpy.float32).reshape(40, 40)
assert numpool.max_pool2d(x, 2)[0, 0] == x[1, 1]

# Functions that numba has compiled for the kernels already, and one of the kernels' own.
@numba.njit
def extremes(a, b):
    both = numpy.empty(2, numpy.int64)
    both[0], both[1] = min(a, b), max(a, b)
    return both

@numba.njit(parallel=True)
def clipped(a):
    total = 0.0
    for i in numba.prange(a.size):
        total += min(a[i], 10.0)
    return total

larger = scalar.larger

@numba.njit
def larger_of(a, b):
    return larger(a, b)

print(extremes(4, 3), clipped(numpy.arange(20.0)), larger_of(numpy.float32(1), numpy.float32(2)))
assert numpool.avg_pool2d(x, 2)[0, 0] == x[:2, :2].mean()
"""


@pytest.mark.slow
def test_functions_of_users_beside_kernels_just_compiled(tmp_path):
    from cli_runner import process

    done = process("-c", USERS, program=(), env={"NUMBA_CACHE_DIR": str(tmp_path)})
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "[3 4] 145.0 2.0\n")
