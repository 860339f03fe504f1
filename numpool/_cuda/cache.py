"""The cache of compiled GPU kernels, in the form that numba-cuda's dispatchers use.

numba-cuda's own cache knows a kernel by the time stamp of the one file that defines it, so that it
gives an old kernel where a formula in another file has changed, and ends a call with an exception
where a file of its is damaged. Here a kernel depends on the content of all sources that kernels are
built from, its name, the types of its arguments, the versions and the compute capability.
"""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import pickle
import sys
from typing import Any

from numpool import _kernel_files

logger = logging.getLogger("numpool")


@functools.cache
def _digest() -> str:
    """What all kernels depend on: sources and versions."""
    from numba.core import config

    packages = ("numba", "numba-cuda", "llvmlite", "numpy", "cuda-bindings", "cuda-core")
    facts = [sys.implementation.cache_tag, *map(_version, packages), config.OPT]
    return _kernel_files.digest(list(map(str, facts)), "_cuda")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # not every numba-cuda stands on all of them
        return None


class KernelCache:
    """The cache of one kernel for arguments of any types."""

    def __init__(self, name: str) -> None:
        self._name = name

    def flush(self) -> None:
        """Nothing to do: files are written at once."""

    def _path(self, sig: Any, codegen: Any) -> Any:
        # The version of CUDA's runtime, and the compute capability of the current device.
        return _kernel_files.path_of(self._name, _digest(), str(sig), str(codegen.magic_tuple()))

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled kernel, None if it is not there, cut short or garbled."""
        # As loading a module of the cache of numba-cuda's own does.
        target_context.refresh()
        path = self._path(sig, target_context.codegen())
        payload = _kernel_files.read(path) if path else None
        if payload is not None:
            try:
                return _rebuilt(pickle.loads(payload))
            except Exception as error:  # whatever it is, building the kernel anew is the cure
                logger.info("%s could not be loaded and will be built again: %s", path, error)
        logger.info("compiling %s", self._name)
        return None

    def save_overload(self, sig: Any, kernel: Any) -> None:
        """Keep a compiled kernel."""
        from numba.cuda import serialize

        path = self._path(sig, kernel.codegen)
        if path is None:
            return
        try:
            payload = serialize.dumps(kernel._reduce_states())
        except Exception as error:  # of a version of numba-cuda that does otherwise
            logger.info("%s cannot be kept: %s", self._name, error)
            return
        _kernel_files.write(path, payload)


def _rebuilt(states: dict[str, Any]) -> Any:
    from numba.core.target_extension import target_override
    from numba.cuda.dispatcher import _Kernel

    with target_override("cuda"):
        return _Kernel._rebuild(**states)
