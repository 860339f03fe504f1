"""numba-cuda, its devices and their streams. Nothing of it is loaded before the first GPU array."""

from __future__ import annotations

import functools
import importlib.util
from typing import Any

_INSTALL = (
    "pooling arrays on a GPU needs numba-cuda: "
    'pip install "numpool[cuda]" (CUDA 13) or pip install "numpool[cuda12]" (CUDA 12)'
)


@functools.cache
def cuda() -> Any:
    """The module `numba.cuda`, if it can run kernels; the error says what is missing."""
    # Without the package, numba's own CUDA target is found under the same name, which is older.
    if importlib.util.find_spec("numba_cuda") is None:
        raise ImportError(_INSTALL)
    try:
        from numba import cuda as module
    except ImportError as error:
        raise ImportError(f"{_INSTALL}; what is installed fails: {error}") from error
    if not module.is_available():
        reason = module.cuda_error() or "its compiler (NVVM) or the driver is not found"
        reason = " ".join(str(reason).split())
        raise RuntimeError(f"numba-cuda finds no CUDA device that it can use: {reason}")
    return module


def description() -> str:
    """The devices in words, or why there are none."""
    try:
        module = cuda()
        if simulated():
            return "numba's simulator (NUMBA_ENABLE_CUDASIM)"
        return ", ".join(map(_in_words, module.gpus))
    except Exception as error:  # drivers fail in many ways, and this only tells of it
        return f"none: {error}"


def _in_words(gpu: Any) -> str:
    name = gpu.name.decode() if isinstance(gpu.name, bytes) else gpu.name
    return f"{name} (compute capability {'.'.join(map(str, gpu.compute_capability))})"


@functools.cache
def simulated() -> bool:
    """Whether numba's CUDA simulator stands in for devices (NUMBA_ENABLE_CUDASIM=1)."""
    from numba import config

    return bool(vars(config)["ENABLE_CUDASIM"])


def current(number: int) -> Any:
    """A context manager in which a device is the current one."""
    return cuda().gpus[number]


@functools.lru_cache(maxsize=1024)
def stream(number: int, pointer: int | None) -> Any:
    """The stream of a device at a pointer, numba's default stream if that is None: always the same
    object, by which numba knows what is configured for it.
    """
    if pointer is None or simulated():
        return 0
    with current(number):
        return cuda().external_stream(pointer)
