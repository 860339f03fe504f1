"""The kinds of GPU arrays to test with, and the simulator's."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from benchmarks.gpu.carriers import CUPY, NUMBA, TORCH, Carrier, block_of
from numpool._cuda import device

pytest.importorskip("numba_cuda", reason="needs numba-cuda")


def _of_simulator(arrays: Sequence[np.ndarray]) -> list[Any]:
    from numba.cuda.cudadrv.devicearray import FakeCUDAArray

    memory, offsets = block_of(arrays)
    found = []
    for a, offset in zip(arrays, offsets, strict=True):
        view = np.ndarray(a.shape, a.dtype, memory, offset, a.strides)
        view.flags.writeable = a.flags.writeable
        found.append(FakeCUDAArray(view))
    return found


class Kind(Carrier):
    """A library's GPU arrays, as tests use them."""

    def put(self, a: np.ndarray) -> Any:
        """An array in the layout of another, or as near to it as the library has."""
        if not a.dtype.isnative:
            a = a.astype(a.dtype.newbyteorder("="))
        return self.upload(a if self.carries(a) else a.copy())

    def get(self, array: Any) -> np.ndarray:
        """A NumPy array of the same values."""
        return self.download(array)


SIMULATOR = Kind("simulator", _of_simulator, lambda array: np.array(array.copy_to_host()))
SIMULATED = device.simulated()
# What is tested with here.
KINDS = [SIMULATOR] if SIMULATED else [Kind(*carrier) for carrier in (NUMBA, TORCH, CUPY)]


def lacking(kind: Kind) -> str | None:
    """Why a kind cannot be tested with, if so."""
    if kind is SIMULATOR:
        return None
    from numba import cuda

    if not cuda.is_available():
        return "needs a CUDA device, or the simulator: NUMBA_ENABLE_CUDASIM=1"
    return None if kind.installed else f"needs {kind.name}, built for CUDA"
