"""The cache of compiled CPU kernels, in the form that numba's dispatchers and callbacks use.

Numba's own cache knows a kernel by the one file that defines it, and a damaged file of its can end
the process. Here a kernel depends on the content of all sources that kernels are built from, the
versions, the processor and the options; `numpool._kernel_files` has the files.
"""

from __future__ import annotations

import functools
import logging
import pickle
import platform
import sys

import llvmlite
import numba
import numpy as np
from numba.core import caching, compiler, config, registry, serialize
from numba.core.runtime import rtsys

from numpool import _kernel_files

logger = logging.getLogger("numpool")


@functools.cache
def _digest() -> str:
    """What all kernels depend on: sources, versions, processor, numba's options."""
    codegen = registry.cpu_target.target_context.codegen()
    facts = [
        sys.implementation.cache_tag,
        platform.machine(),
        np.__version__,
        numba.__version__,
        llvmlite.__version__,
        repr(codegen.magic_tuple()),
        repr((config.BOUNDSCHECK, config.OPT, config.LOOP_VECTORIZE, config.SLP_VECTORIZE)),
    ]
    return _kernel_files.digest(list(map(str, facts)), "_cpu")


class KernelCache(caching._Cache):
    """The cache of one kernel."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def cache_path(self) -> str:
        return str(_kernel_files.folder())

    def enable(self) -> None:
        """Nothing to do: always on."""

    def disable(self) -> None:
        """Nothing to do: always on."""

    def flush(self) -> None:
        """Nothing to do: files are written at once."""

    def load_overload(self, sig, target_context):
        """The compiled kernel, None if it is not there, cut short or garbled."""
        rtsys.initialize(target_context)
        compiled = self._load(target_context)
        if compiled is None:
            logger.info("compiling %s", self._name)
        return compiled

    def _load(self, target_context):
        path = _kernel_files.path_of(self._name, _digest())
        payload = _kernel_files.read(path) if path else None
        if payload is None:
            return None
        try:
            return compiler.CompileResult._rebuild(target_context, *pickle.loads(payload))
        except Exception as error:  # whatever it is, building the kernel anew is the cure
            logger.info("%s could not be loaded and will be built again: %s", path, error)
            return None

    def save_overload(self, sig, data) -> None:
        """Keep a compiled kernel."""
        path = _kernel_files.path_of(self._name, _digest())
        if path:
            _kernel_files.write(path, serialize.dumps(data._reduce()))
