"""Times numpool beside its peers on one float32 plane: `python -m benchmarks.planes [--size 2048]`.

Every peer that is installed does the same work: results are compared first. All take turns in each
round, with new outputs, and the table gives medians as multiples of one `np.copyto` of the plane on
one thread. Peers use two threads where they can. A turn is the best of three calls in a row, since
the idle threads of the one before go on spinning for some milliseconds.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numba
import numpy as np

import numpool

THREADS = 2
# (name, operator, kernel_size, stride, padding)
CASES = [
    ("max 2x2, stride 2", "max", 2, 2, 0),
    ("average 2x2, stride 2", "avg", 2, 2, 0),
    ("max 3x3, stride 1", "max", 3, 1, 1),
    ("average 3x3, stride 1", "avg", 3, 1, 1),
    ("max 3x3, stride 2", "max", 3, 2, 1),
]
# A peer that takes longer than this is timed once.
SLOW = 0.5


def torch_peer(x: np.ndarray, operator: str, k: int, s: int, p: int) -> Callable:
    """PyTorch on the CPU."""
    import torch

    torch.set_num_threads(THREADS)
    pool = getattr(torch.nn.functional, f"{operator}_pool2d")
    tensor = torch.from_numpy(x)[None]
    return lambda: pool(tensor, k, s, p)[0].numpy()


def skimage_peer(x: np.ndarray, operator: str, k: int, s: int, p: int) -> Callable | None:
    """scikit-image's block_reduce, which has windows side by side only."""
    if s != k or p:
        return None
    from skimage.measure import block_reduce

    function = {"max": np.max, "avg": np.mean}[operator]
    return lambda: block_reduce(x, (k, k), function)


def scipy_peer(x: np.ndarray, operator: str, k: int, s: int, p: int) -> Callable | None:
    """SciPy's filters, which have windows of odd size around each pixel only."""
    if s != 1 or 2 * p + 1 != k:
        return None
    from scipy import ndimage

    if operator == "max":
        return lambda: ndimage.maximum_filter(x, k, mode="constant", cval=-np.inf)
    return lambda: ndimage.uniform_filter(x, k, mode="constant")


def opencv_peer(x: np.ndarray, operator: str, k: int, s: int, p: int) -> Callable | None:
    """OpenCV: resize by areas, dilate and blur."""
    import cv2

    cv2.setNumThreads(THREADS)
    if operator == "avg" and s == k and not p:
        size = (x.shape[1] // k, x.shape[0] // k)
        return lambda: cv2.resize(x, size, interpolation=cv2.INTER_AREA)
    if s != 1 or 2 * p + 1 != k:
        return None
    if operator == "max":
        return lambda: cv2.dilate(x, np.ones((k, k), np.uint8))
    return lambda: cv2.blur(x, (k, k), borderType=cv2.BORDER_CONSTANT)


PEERS = {
    "PyTorch": torch_peer,
    "scikit-image": skimage_peer,
    "SciPy": scipy_peer,
    "OpenCV": opencv_peer,
}


def seconds(function: Callable, calls: int = 3) -> float:
    """The time of the quickest of some calls in a row."""
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def medians(functions: dict[str, Callable], rounds: int) -> dict[str, float]:
    """The median time of each function, all of them taking turns."""
    times = {name: [] for name in functions}
    slow = {name for name, function in functions.items() if seconds(function, calls=1) > SLOW}
    for i in range(rounds):
        for name, function in functions.items():
            if i == 0 or name not in slow:
                times[name].append(seconds(function))
    return {name: statistics.median(values) for name, values in times.items()}


def measure(x: np.ndarray, operator: str, k: int, s: int, p: int, rounds: int) -> dict[str, float]:
    """Times of numpool and all peers, as multiples of the time of a copy."""
    target = np.empty_like(x)
    pool = getattr(numpool, f"{operator}_pool2d")
    functions = {"copy": lambda: np.copyto(target, x), "numpool": lambda: pool(x, k, s, p)}
    expected = pool(x, k, s, p)
    for name, make in PEERS.items():
        try:
            function = make(x, operator, k, s, p)
        except ImportError:
            continue
        if function is not None:
            np.testing.assert_allclose(function(), expected, rtol=1e-5)
            functions[name] = function
    times = medians(functions, rounds)
    return {name: time / times["copy"] for name, time in times.items()}


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=2048, help="the plane is size x size")
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    numba.set_num_threads(min(THREADS, numba.config.NUMBA_NUM_THREADS))
    x = np.random.default_rng(0).random((options.size, options.size), dtype=np.float32)
    print("| case | numpool |", " | ".join(PEERS), "|")
    print("|---|" + "---|" * (len(PEERS) + 1))
    for name, *case in CASES:
        ratios = measure(x, *case, options.rounds)
        cells = [f"{ratios[n]:.1f}" if n in ratios else "" for n in ("numpool", *PEERS)]
        print(f"| {name} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
