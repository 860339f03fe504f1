"""Arrays of CuPy and PyTorch in main memory that pass for GPU arrays in numba's simulator.

PyTorch's are real tensors, which say that they lie on a GPU; CuPy cannot be had without a driver,
so this one has what numpool asks of it, as CuPy's source has it.
"""

import contextlib
import sys
import types
from typing import Any, ClassVar

import numpy as np
import pytest

from benchmarks.gpu.carriers import block_of, tensors

pytest.importorskip("numba_cuda", reason="needs numba-cuda")


class Stream:
    def __init__(self, pointer: int) -> None:
        self.cuda_stream = self.ptr = pointer


def torch_on_gpu(monkeypatch: pytest.MonkeyPatch, streams: dict[int, int] | None = None) -> Any:
    """A function that makes tensors of NumPy arrays, with their layouts."""
    torch = pytest.importorskip("torch")

    class OnGpu(torch.Tensor):
        is_cuda = True
        __cuda_ndarray__ = True  # its memory can be read in the simulator
        device = property(lambda self: torch.device("cpu", 0))

    def current(place: Any) -> Stream:
        return Stream((streams or {}).get(place.index, 0))

    monkeypatch.setattr(torch.cuda, "current_stream", current)
    return lambda *arrays: [t.as_subclass(OnGpu) for t in tensors(arrays, "cpu")]


class CupyDevice:
    """As `cupy.cuda.Device`: current within `with`."""

    current = 0

    def __init__(self, number: int) -> None:
        self.id = number
        self.before: list[int] = []

    def __enter__(self) -> "CupyDevice":
        self.before.append(CupyDevice.current)
        CupyDevice.current = self.id
        return self

    def __exit__(self, *_: object) -> None:
        CupyDevice.current = self.before.pop()


class CupyArray:
    """As `cupy.ndarray`; `streams` has CuPy's current stream of each device."""

    __cuda_ndarray__ = True
    streams: ClassVar[dict[int, int]] = {}

    def __init__(self, memory: np.ndarray, number: int = 0) -> None:
        self.memory = memory
        self.device = CupyDevice(number)

    data = property(lambda self: types.SimpleNamespace(ptr=self.memory.ctypes.data))
    dtype = property(lambda self: self.memory.dtype)
    shape = property(lambda self: self.memory.shape)
    strides = property(lambda self: self.memory.strides)

    def transpose(self, axes: Any) -> "CupyArray":
        return CupyArray(self.memory.transpose(axes), self.device.id)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        memory = self.memory
        return {
            "shape": memory.shape,
            "typestr": memory.dtype.str,
            "descr": memory.dtype.descr,
            "stream": CupyArray.streams.get(CupyDevice.current, 1),
            "version": 3,
            "strides": None if memory.flags.c_contiguous else memory.strides,
            "data": (memory.ctypes.data if memory.size else 0, False),
        }


def cupy_on_gpu(monkeypatch: pytest.MonkeyPatch, streams: dict[int, int] | None = None) -> Any:
    """A function that makes arrays of NumPy arrays, with their layouts."""
    module = types.ModuleType("cupy")
    module.ndarray = CupyArray  # type: ignore[attr-defined]
    module.empty = lambda shape, dtype: CupyArray(np.empty(shape, dtype), CupyDevice.current)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(CupyArray, "streams", streams or {})

    def put(*arrays: np.ndarray, number: int = 0) -> list[CupyArray]:
        memory, offsets = block_of(arrays)
        views = [
            np.ndarray(a.shape, a.dtype, memory, offset, a.strides)
            for a, offset in zip(arrays, offsets, strict=True)
        ]
        return [CupyArray(view, number) for view in views]

    return put


class Interface:
    """Anything else that has the interface, with what is asked of it changed."""

    __cuda_ndarray__ = True

    def __init__(self, memory: np.ndarray, **changes: Any) -> None:
        self.memory = memory
        self.changes = changes

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return self.memory.__array_interface__ | self.changes


class Recorder:
    """What `numba.cuda` does with devices, streams and events, written down in `log`."""

    def __init__(self) -> None:
        self.log: list[tuple] = []
        self.gpus = self

    def __getitem__(self, number: int) -> Any:
        @contextlib.contextmanager
        def current() -> Any:
            self.log.append(("enter", number))
            yield
            self.log.append(("leave", number))

        return current()

    def external_stream(self, pointer: int) -> str:
        return f"stream {pointer}"

    def event(self, timing: bool) -> Any:
        assert not timing
        log = self.log

        class Event:
            def record(self, stream: Any) -> None:
                log.append(("record", stream))

            def wait(self, stream: Any) -> None:
                log.append(("wait", stream))

        return Event()
