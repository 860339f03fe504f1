"""A device that is not there: numba-cuda itself, down to the calls of the driver, which are written
down instead. Its memory is the host's, and kernels are compiled for compute capability 9.0 and not
run.
"""

import contextlib
import ctypes
import types
from typing import Any

import numpy as np
import pytest

# What streams that are made are at.
OWN_STREAM = 5


class Device:
    compute_capability = (9, 0)

    def __init__(self, number: int) -> None:
        self.id = number
        self.name = b"Pretended"


class Context:
    """As numba-cuda's context of a device, and its entry in `cuda.gpus`."""

    def __init__(self, number: int, log: list[tuple]) -> None:
        self.device = Device(number)
        self.log = log
        self.kept: list[np.ndarray] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.device, name)

    def __enter__(self) -> None:
        self.log.append(("enter", self.device.id))

    def __exit__(self, *_: object) -> None:
        self.log.append(("leave", self.device.id))

    def memalloc(self, count: int) -> Any:
        from numba.cuda.cudadrv import driver

        self.kept.append(np.empty(count, np.uint8))
        address = driver.binding.CUdeviceptr(self.kept[-1].ctypes.data)
        return driver.MemoryPointer(self, address, count)

    def create_external_stream(self, pointer: int) -> Any:
        from numba.cuda.cudadrv import driver

        return driver.Stream(driver.binding.CUstream(pointer), external=True)

    def get_default_stream(self) -> Any:
        return self.create_external_stream(0)

    def create_stream(self) -> Any:
        return self.create_external_stream(OWN_STREAM)

    def create_event(self, timing: bool) -> Any:
        assert not timing
        log = self.log

        class Event:
            def record(self, stream: Any) -> None:
                log.append(("record", pointer_of(stream)))

            def wait(self, stream: Any) -> None:
                log.append(("wait", pointer_of(stream)))

        return Event()


def pointer_of(stream: Any) -> int:
    """The pointer of a stream of numba-cuda's, or of cuda.core's."""
    return int(getattr(stream, "handle", stream))


def pretend(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Put the device there; the list that comes back holds what the driver is asked for."""
    from numba import cuda
    from numba.cuda import api, codegen, dispatcher
    from numba.cuda.cudadrv import devices, driver

    from numpool._cuda import device, launch

    log: list[tuple] = []
    contexts = [Context(0, log), Context(1, log)]
    for module, name in ((devices, "get_context"), (api, "current_context")):
        monkeypatch.setattr(module, name, lambda number=0: contexts[number])
    monkeypatch.setattr(devices._runtime, "ensure_context", contextlib.nullcontext)
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: contexts[0].device)
    monkeypatch.setattr(cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda, "gpus", contexts)

    def move(name: str) -> Any:
        def call(to: Any, source: Any, count: int, stream: Any = 0) -> None:
            log.append((name, count, pointer_of(stream)))
            ctypes.memmove(int(to), int(source), count)

        return call

    for name in ("cuMemcpyHtoD", "cuMemcpyHtoDAsync", "cuMemcpyDtoD", "cuMemcpyDtoDAsync"):
        monkeypatch.setitem(vars(driver.driver), name, move(name))

    def synchronize(stream: Any) -> None:
        log.append(("synchronize", pointer_of(stream)))

    monkeypatch.setitem(vars(driver.driver), "cuStreamSynchronize", synchronize)
    modes = [driver.binding.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_GLOBAL]

    def exchange(mode: Any) -> Any:
        log.append(("capture mode", mode.name.split("_")[-1]))
        modes.append(mode)
        return driver.binding.CUresult.CUDA_SUCCESS, modes.pop(0)

    monkeypatch.setattr(driver.binding, "cuThreadExchangeStreamCaptureMode", exchange)
    loaded = types.SimpleNamespace(kernel=None, module=types.SimpleNamespace(initialized=True))

    def load(library: Any) -> Any:
        library.get_cubin()
        return loaded

    monkeypatch.setattr(codegen.CUDACodeLibrary, "get_cufunc", load)

    def start(stream: Any, config: Any, kernel: Any, *arguments: Any) -> None:
        log.append(("launch", pointer_of(stream), config.grid, config.block, arguments))

    monkeypatch.setattr(dispatcher, "launch", start)
    for cached in (device.cuda, device.stream, launch._configured):
        cached.cache_clear()
    return log
