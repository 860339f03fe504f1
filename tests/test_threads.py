"""Threads: any number of numba's threads gives the same bits, any number of Python's may call."""

import concurrent.futures
import functools
import itertools
import math
import os
import random
import signal
import sys
import threading
import time

import numpy as np
import pytest

import numpool

LAYERS = ("omp", "workqueue")
# How a child says that numba has no such threading layer here.
NO_LAYER = 77


def data(shape, dtype=np.float32):
    rng = np.random.default_rng(shape)
    if np.dtype(dtype).kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(0, 200, shape).astype(dtype)


# ---------------------------------------------------------------------------------------------
# One result for every number of threads
# ---------------------------------------------------------------------------------------------

SHAPES = {
    "one big plane": ((1400, 1500), {"kernel_size": 3, "stride": 2, "padding": 1}),
    "overlapping windows": ((900, 700), {"kernel_size": (31, 9), "stride": 1}),
    "one long row": ((1, 1_500_000), {"kernel_size": (1, 5), "stride": 1}),
    "windows apart": ((2500, 3000), {"kernel_size": (1, 240), "stride": (1, 210)}),
    "many tiny planes": ((20_000, 7, 6), {"kernel_size": (3, 2), "stride": 2, "padding": 1}),
    "channels last": ((6, 120, 110, 24), {"kernel_size": 3, "stride": 1, "axis": (1, 2)}),
    "volume": ((90, 80, 100), {"kernel_size": (2, 3, 3), "stride": (1, 2, 1)}),
    "dilated": ((700, 900), {"kernel_size": 4, "stride": 3, "dilation": 5, "padding": "same"}),
}


def every_pass(shape, arguments):
    """The passes of every operator, as functions without arguments."""
    x, narrow = data(shape), data(shape, np.uint8)
    grad = data(numpool.output_shape(shape, **arguments))
    offsets = numpool.max_pool(x, **arguments, return_indices="offset")[1]
    y = numpool.lp_pool(x, **arguments)
    forward = {
        "max": lambda: numpool.max_pool(x, **arguments),
        "max uint8": lambda: numpool.max_pool(narrow, **arguments),
        "positions": lambda: numpool.max_pool(x, **arguments, return_indices=True),
        "offsets": lambda: numpool.max_pool(narrow, **arguments, return_indices="offset"),
        "avg": lambda: numpool.avg_pool(x, **arguments, count_include_pad=False),
        "avg uint8": lambda: numpool.avg_pool(narrow, **arguments, dtype=np.uint8),
        "lp": lambda: numpool.lp_pool(x, **arguments),
        "lp inf": lambda: numpool.lp_pool(x, **arguments, p=math.inf),
    }
    backward = {
        "max": lambda: numpool.max_pool_backward(grad, x, **arguments),
        "max, offsets": lambda: numpool.max_pool_backward(grad, x, **arguments, indices=offsets),
        "avg": lambda: numpool.avg_pool_backward(grad, x, **arguments),
        "lp": lambda: numpool.lp_pool_backward(grad, x, **arguments, y=y),
        "lp inf": lambda: numpool.lp_pool_backward(grad, x, **arguments, p=math.inf),
    }
    yield from forward.items()
    yield from ((f"{name} backward", function) for name, function in backward.items())


def bits(result):
    return [array.tobytes() for array in (result if isinstance(result, tuple) else (result,))]


def others_work(function):
    """What share of a call's work other threads than this one do."""
    time.sleep(0.02)  # threads that wait for more work have gone to sleep by now
    whole, own = time.process_time(), time.thread_time()
    function()
    whole, own = time.process_time() - whole, time.thread_time() - own
    return (whole - own) / max(whole, 1e-9)


def counted(run, counts):
    """The function that runs a plan, which then notes in how many tasks."""

    def noting(kernel, plan, tasks, *rest):
        counts.append(tasks)
        return run(kernel, plan, tasks, *rest)

    return noting


def compare_numbers_of_threads(name):
    import numba

    from numpool._cpu import launch

    tasks, shares = [], []
    launch.run = counted(launch.run, tasks)
    for label, function in every_pass(*SHAPES[name]):
        results = []
        tasks.clear()
        # Tasks that add to the same memory are not at odds every time.
        for threads in (1, *(2, 4, 3, 4) * (10 if "backward" in label else 1)):
            numba.set_num_threads(threads)
            results.append(bits(function()))
        assert all(r == results[0] for r in results), label
        assert min(tasks) > 6, label  # or most of many threads have none
        shares.append(others_work(function))
    # With four threads the others have three quarters of the work, or the comparison says nothing.
    shares = sorted(shares)
    print(name, [round(s, 2) for s in shares])
    assert shares[len(shares) // 2] > 0.4, shares


# ---------------------------------------------------------------------------------------------
# Many Python threads
# ---------------------------------------------------------------------------------------------


def two_passes(shape):
    """Passes of an array of some size, and what each gives."""
    x = data(shape)
    pairs = np.lib.stride_tricks.sliding_window_view(x, 2, axis=1)
    grad, expected = x[::2, ::2].copy(), np.zeros_like(x)
    expected[::2, ::2] = grad
    positions = np.arange(x.size).reshape(shape)[::2, ::2]

    def average():
        return numpool.avg_pool1d(x, 2, 1)

    def scatter():
        return numpool.max_pool_backward(grad, x, 2, ceil_mode=True, indices=positions)

    return [(average, (pairs[..., 0] + pairs[..., 1]) / 2), (scatter, expected)]


def call_from_many_threads(rounds):
    """The first calls of a process come from all threads at once."""
    sizes = [(5, 6), (40, 50), (300, 400), (1200, 900)]
    work = [item for shape in sizes for item in two_passes(shape)]
    start = threading.Barrier(8)

    def worker(seed):
        order = random.Random(seed)
        mine = work * int(rounds)
        order.shuffle(mine)
        start.wait()
        for function, expected in mine:
            result = function()
            if not np.array_equal(result, expected):
                raise AssertionError(f"thread {seed}: wrong for {expected.shape}")

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(worker, range(8)))
    # Nobody holds on to numba's threads.
    assert others_work(lambda: [function() for function, _ in work * 2]) > 0.1


# ---------------------------------------------------------------------------------------------
# The GIL, and interrupts
# ---------------------------------------------------------------------------------------------


def long_call():
    """A call that takes a fifth of a second or more on any machine."""
    rows, seconds = 150, 0.0
    while seconds < 0.2:
        rows *= 2
        x = data((rows, 1000), np.float64)
        function = functools.partial(numpool.lp_pool, x, (60, 1), 1, p=2.5)
        function()  # what has to be loaded is no part of it
        start = time.perf_counter()
        function()
        seconds = time.perf_counter() - start
    return function


def let_others_run(threads):
    """A thread that wakes up each millisecond does so while a kernel runs."""
    import numba

    numba.set_num_threads(int(threads))
    function = long_call()
    done = threading.Event()
    times = []

    def tick():
        while not done.wait(0.001):
            times.append(time.perf_counter())

    ticker = threading.Thread(target=tick)
    ticker.start()
    start = time.perf_counter()
    function()
    end = time.perf_counter()
    done.set()
    ticker.join()
    inside = [t for t in times if start < t < end]
    gaps = [b - a for a, b in itertools.pairwise([start, *inside, end])]
    assert len(inside) > 5 and max(gaps) < (end - start) / 2, (gaps, end - start)


def interrupted(function, delay):
    """Whether an interrupt after `delay` seconds comes out of a function, as it has to."""
    timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        function()
        timer.join()
    except KeyboardInterrupt:
        timer.join()
        return True
    return False


def interrupt_long_calls():
    """KeyboardInterrupt comes out of a call, and calls go on as before."""
    import numba

    function = long_call()
    expected = bits(function())
    for threads in (4, 1):
        numba.set_num_threads(threads)
        start = time.perf_counter()
        function()
        seconds = time.perf_counter() - start
        assert interrupted(lambda: [function() for _ in range(5)], seconds / 3)
        assert bits(function()) == expected
    numba.set_num_threads(4)
    assert others_work(function) > 0.4


def interrupt_small_calls():
    """Interrupts at any point of a call, thousands of them, leave no lock behind."""
    import numba

    x = data((300, 300))
    functions = [lambda: numpool.max_pool2d(x, 2), lambda: numpool.avg_pool2d(x, 3, 1)]
    expected = [bits(function()) for function in functions]
    large = long_call()
    for threads in (1, 4):  # from here on all is loaded
        numba.set_num_threads(threads)
        large()
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    deadline = time.monotonic() + 1.5
    draw = random.Random(4)
    count = 0
    while time.monotonic() < deadline:
        try:
            signal.setitimer(signal.ITIMER_REAL, draw.uniform(20e-6, 400e-6))
            for _ in range(50):
                for function in functions:
                    function()
        except KeyboardInterrupt:
            count += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert count > 200
    assert [bits(function()) for function in functions] == expected
    assert others_work(large) > 0.4


def interrupt_compiling():
    """An interrupt comes out once a kernel is compiled, and the next call goes on."""
    check_scatter(np.float32, 10)
    for dtype, indices, delay in [
        (np.float16, np.int64, 0.05),
        (np.float64, np.int32, 0.25),
        (np.float16, np.uint8, 0.5),
    ]:
        assert interrupted(lambda d=dtype, i=indices: check_scatter(d, 10, i), delay)
        check_scatter(dtype, 10, indices)


def check_scatter(dtype, size, indices=np.int64):
    """A backward pass whose kernels are compiled in a second or two."""
    grad = np.arange(1, size + 1, dtype=dtype)
    places = np.arange(size, dtype=indices) * (0 if np.dtype(indices).kind == "u" else 2)
    result = numpool.max_pool_backward(grad, np.zeros(2 * size, dtype), 2, indices=places)
    assert np.array_equal(result[::2], grad) and not result[1::2].any()


# ---------------------------------------------------------------------------------------------
# Tests
# ---------------------------------------------------------------------------------------------


def run(job, *words, layer="omp", **environment):
    """Run a function of this file in a process with four threads of numba's."""
    from cli_runner import process

    environment |= {"NUMBA_NUM_THREADS": "4", "NUMBA_THREADING_LAYER": layer}
    # Threads without work sleep, so that time spent is work done.
    environment["OMP_WAIT_POLICY"] = "passive"
    done = process(job.__name__, *map(str, words), program=[__file__], env=environment)
    if done.returncode == NO_LAYER and not sys.platform.startswith("linux"):
        pytest.skip(f"numba has no layer {layer} here")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_any_number_of_threads_gives_the_same_bits(name):
    run(compare_numbers_of_threads, name)


@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS)
def test_many_threads_call_at_once(layer, tmp_path):
    kernels = {"NUMBA_CACHE_DIR": str(tmp_path)}
    run(call_from_many_threads, 1, layer=layer, **kernels)  # compiled by whoever comes first
    run(call_from_many_threads, 6, layer=layer, **kernels)  # loaded by whoever comes first


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 4])
def test_other_threads_run_beside_a_kernel(threads):
    run(let_others_run, threads)


posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


@pytest.mark.slow
@pytest.mark.posix
@posix
@pytest.mark.parametrize("layer", LAYERS)
def test_interrupts_of_long_calls(layer):
    run(interrupt_long_calls, layer=layer)


@pytest.mark.slow
@pytest.mark.posix
@posix
@pytest.mark.parametrize("layer", LAYERS)
def test_interrupts_of_small_calls(layer):
    run(interrupt_small_calls, layer=layer)


@pytest.mark.slow
@pytest.mark.posix
@posix
def test_interrupts_of_compiling(tmp_path):
    run(interrupt_compiling, NUMBA_CACHE_DIR=str(tmp_path))


def main(job, *words):
    import faulthandler

    from numba.np.ufunc import parallel

    # A hang ends here, and shows where every thread stands.
    faulthandler.dump_traceback_later(120, exit=True)
    try:
        parallel._launch_threads()
    except ValueError:
        sys.exit(NO_LAYER)
    globals()[job](*words)


if __name__ == "__main__":
    main(*sys.argv[1:])
