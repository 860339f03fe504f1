"""Kernels are compiled with less of numba's work, which users' own functions must not notice."""

import signal
import threading

import pytest

from numpool._cpu import compiling

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


@pytest.mark.parametrize("failing", [False, True])
def test_interrupts_wait_until_a_kernel_is_compiled(failing):
    before, reached = signal.getsignal(signal.SIGINT), []
    with pytest.raises(KeyboardInterrupt), compiling.uninterrupted():
        signal.raise_signal(signal.SIGINT)
        reached.append(1)
        if failing:
            raise ValueError
    assert reached == [1] and signal.getsignal(signal.SIGINT) is before


def test_other_threads_leave_signals_alone():
    handlers = []

    def compile_there():
        with compiling.uninterrupted():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=compile_there)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]


def test_nothing_is_replaced_where_numba_is_another(monkeypatch):
    monkeypatch.setattr(compiling, "_CALLED", ("gone",))
    before = [getattr(owner, name) for owner, name in compiling._NUMBAS]
    with compiling.quickly(passes_words=True):
        assert [getattr(owner, name) for owner, name in compiling._NUMBAS] == before
