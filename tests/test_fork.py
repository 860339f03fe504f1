"""Calls in processes made by a fork, and in pools of processes."""

import concurrent.futures
import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time

import numpy as np
import pytest

import numpool

LAYERS = ("omp", "workqueue")
NO_LAYER = 77
TIMEOUT = 60  # seconds after which a hanging process ends itself

pytestmark = [
    pytest.mark.slow,
    pytest.mark.posix,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
]


# ---------------------------------------------------------------------------------------------
# What a process of its own does
# ---------------------------------------------------------------------------------------------


def data(*shape):
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def passes(rows):
    """Passes of several operators: large enough for several threads where there are many rows."""
    x = data(rows, 500)
    return [
        numpool.max_pool(x, 2),
        numpool.avg_pool(x, 3, 1),
        *numpool.max_pool(x, 2, return_indices=True),
        numpool.max_pool_backward(x[::2, ::2].copy(), x, 2, ceil_mode=True),
    ]


def digest(rows=600):
    return [array.tobytes() for array in passes(rows)]


def scatter(dtype):
    """A backward pass whose kernels are compiled in a second or two."""
    grad, offsets = np.arange(1, 1001, dtype=dtype), np.zeros(1000, np.uint8)
    result = numpool.max_pool_backward(grad, np.zeros(2000, dtype), 2, indices=offsets)
    assert np.array_equal(result[::2], grad) and not result[1::2].any()


class Child:
    """A forked process that runs a function, and ends with 0 if that raised nothing."""

    def __init__(self, function, *args):
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                signal.alarm(TIMEOUT)
                function(*args)
                code = 0
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                sys.stderr.flush()
                os._exit(code)

    def join(self):
        _, status = os.waitpid(self.pid, 0)
        assert status == 0, f"the child ended with {status}"


def same(expected, rows=600):
    assert digest(rows) == expected


def generations(expected, more=2):
    """The same results here, in a child, and in a child of the child."""
    same(expected)
    if more:
        Child(generations, expected, more - 1).join()
        same(expected)


def fork_after_parallel_calls():
    expected = digest()
    for _ in range(3):
        Child(generations, expected).join()
        same(expected)


def fork_before_any_call():
    """Numba is loaded in the children alone, then in the parent."""
    assert "numba" not in sys.modules
    children = [Child(scatter, np.float32) for _ in range(2)]
    for child in children:
        child.join()
    scatter(np.float32)
    Child(scatter, np.float32).join()


def compile_something():
    """What hangs where numba's lock was left locked, by this thread or by another."""
    import numba

    assert numba.njit(lambda a: a + 1)(2) == 3
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(numba.njit(lambda a: a + 2), 2).result() == 4


def fork_while_another_thread_compiles():
    scatter(np.float64)
    threads = [threading.Thread(target=scatter, args=[d]) for d in (np.float32, np.float16)]
    children = []
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        children.append(Child(compile_something))
        children.append(Child(scatter, np.float64))
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    assert children
    for child in children:
        child.join()
    for dtype in (np.float16, np.float32, np.float64):
        scatter(dtype)
        Child(scatter, dtype).join()


def fork_while_another_thread_calls_llvm():
    """As it does where a compiled function is freed: under llvmlite's lock, without numba's."""
    from llvmlite import binding

    scatter(np.float32)
    stop = threading.Event()

    def call():
        while not stop.is_set():
            binding.parse_assembly("define void @nothing() { ret void }").close()

    thread = threading.Thread(target=call)
    thread.start()
    children = []
    for i in range(20):
        time.sleep(0.001 * i)
        children.append(Child(binding.get_process_triple))
    stop.set()
    thread.join()
    for child in children:
        child.join()


def fork_while_other_threads_compute():
    expected = {rows: digest(rows) for rows in (4, 600)}
    stop = threading.Event()

    def compute():
        while not stop.is_set():
            same(expected[600])

    threads = [threading.Thread(target=compute) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(12):
        children = [Child(same, expected[rows], rows) for rows in (4, 600)]
        time.sleep(0.002 * i)
        for child in children:
            child.join()
    stop.set()
    for thread in threads:
        thread.join()
    same(expected[600])


def fork_inside_threads():
    """Forks by threads that compute, several at a time."""
    expected = digest()

    def work(_):
        for _ in range(3):
            same(expected)
            Child(same, expected).join()

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))
    same(expected)


def check_in_pool(expected):
    signal.alarm(TIMEOUT)
    same(expected)
    signal.alarm(0)
    return os.getpid()


def multiprocessing_pool(method):
    expected = digest()
    with multiprocessing.get_context(method).Pool(2) as pool:
        pids = pool.map(check_in_pool, [expected] * 4, chunksize=1)
    assert os.getpid() not in pids
    same(expected)


def process_pool_executor(method):
    expected = digest()
    context = None if method == "default" else multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        assert os.getpid() not in pool.map(check_in_pool, [expected] * 4)
    same(expected)


# ---------------------------------------------------------------------------------------------
# Tests
# ---------------------------------------------------------------------------------------------


def run(job, *words, layer="default", **environment):
    """Run a function of this file in a process with four threads of numba's."""
    from cli_runner import process

    environment |= {"NUMBA_NUM_THREADS": "4", "NUMBA_THREADING_LAYER": layer}
    done = process(job.__name__, *words, program=[__file__], env=environment)
    if done.returncode == NO_LAYER and not sys.platform.startswith("linux"):
        pytest.skip(f"numba has no layer {layer} here")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("layer", LAYERS)
def test_a_fork_after_parallel_calls(layer):
    run(fork_after_parallel_calls, layer=layer)


def test_a_fork_before_any_call():
    run(fork_before_any_call)


def test_forks_while_another_thread_compiles(tmp_path):
    run(fork_while_another_thread_compiles, NUMBA_CACHE_DIR=str(tmp_path))


def test_forks_while_another_thread_calls_llvm():
    run(fork_while_another_thread_calls_llvm)


@pytest.mark.parametrize("layer", LAYERS)
def test_forks_while_other_threads_compute(layer):
    run(fork_while_other_threads_compute, layer=layer)


@pytest.mark.parametrize("layer", LAYERS)
def test_forks_inside_threads(layer):
    run(fork_inside_threads, layer=layer)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_pools_of_multiprocessing(method, layer):
    run(multiprocessing_pool, method, layer=layer)


@pytest.mark.parametrize("method", ["fork", "default"])
def test_executors_of_processes(method):
    run(process_pool_executor, method)


def main(job, *words):
    # A process that hangs shows where its threads stand, and ends: this one and, by alarms of their
    # own, its children.
    faulthandler.register(signal.SIGALRM, chain=True)
    signal.alarm(2 * TIMEOUT)
    if job != fork_before_any_call.__name__:
        from numba.np.ufunc import parallel

        try:
            parallel._launch_threads()
        except ValueError:
            sys.exit(NO_LAYER)
    globals()[job](*words)


if __name__ == "__main__":
    main(*sys.argv[1:])
