"""Compiled kernels on disk: found by a digest of everything they were built from, and never trusted
unread.

Numba's own cache knows a kernel by the one file that defines it, and a damaged file of its can end
the process. Here a kernel is one file, written beside and renamed, with a checksum of its content;
its name holds a digest of all sources that kernels are built from, the versions, the processor and
the options, so that an old kernel is never found. Any trouble with the folder or a file is a miss,
and the kernel is built again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import pickle
import platform
import re
import sys
import uuid
from pathlib import Path

import llvmlite
import numba
import numpy as np
from numba.core import caching, compiler, config, registry, serialize
from numba.core.runtime import rtsys

logger = logging.getLogger("numpool")

_PREFIX = "numpool-"
_SUFFIX = ".kernel"
_PART = ".kernel-part"
_OURS = re.compile(r"numpool-.+-[0-9a-f]{24}\.kernel|numpool-[0-9a-f]{32}\.kernel-part")
_DIGEST_SIZE = hashlib.sha256().digest_size
_PACKAGE = Path(__file__).resolve().parent.parent


@functools.cache
def folder() -> Path | None:
    """The folder of compiled kernels, numba's own; None if none can be written."""
    candidates = []
    if config.CACHE_DIR:
        candidates.append(Path(config.CACHE_DIR))
    else:
        candidates.append(_PACKAGE / "_cpu" / "__pycache__")
        candidates.append(Path(_user_cache_dir()) / "numpool")
    for candidate in candidates:
        try:
            candidate.mkdir(parents=True, exist_ok=True)
            probe = candidate / f"{_PREFIX}{uuid.uuid4().hex}{_PART}"
            probe.touch()
            probe.unlink()
        except OSError:
            continue
        return candidate
    logger.info("no folder for compiled kernels can be written; they are compiled anew each time")
    return None


def _user_cache_dir() -> str:
    from numba.misc.appdirs import AppDirs

    return AppDirs(appname="numba", appauthor=False).user_cache_dir


def clear() -> int:
    """Remove all our files from the folder; returns how many."""
    where = folder()
    count = 0
    if where is not None:
        for path in where.glob(f"{_PREFIX}*"):
            if not _OURS.fullmatch(path.name):
                continue
            try:
                path.unlink()
                count += 1
            except OSError:
                logger.info("%s could not be removed", path)
    return count


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
    digest = hashlib.sha256("\n".join(map(str, facts)).encode())
    formulas = [_PACKAGE / "_operators.py", _PACKAGE / "_powers.py"]
    for path in sorted([*_PACKAGE.joinpath("_cpu").glob("*.py"), *formulas]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


class KernelCache(caching._Cache):
    """The cache of one kernel, in the form that numba's dispatchers and callbacks use."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def cache_path(self) -> str:
        return str(folder())

    def enable(self) -> None:
        """Nothing to do: always on."""

    def disable(self) -> None:
        """Nothing to do: always on."""

    def flush(self) -> None:
        """Nothing to do: files are written at once."""

    def _path(self) -> Path | None:
        where = folder()
        if where is None:
            return None
        key = hashlib.sha256(f"{_digest()}\n{self._name}".encode()).hexdigest()[:24]
        return where / f"{_PREFIX}{self._name}-{key}{_SUFFIX}"

    def load_overload(self, sig, target_context):
        """The compiled kernel, None if it is not there, cut short or garbled."""
        rtsys.initialize(target_context)
        compiled = self._load(target_context)
        if compiled is None:
            logger.info("compiling %s", self._name)
        return compiled

    def _load(self, target_context):
        path = self._path()
        if path is None:
            return None
        try:
            content = path.read_bytes()
        except OSError:
            return None
        checksum, payload = content[:_DIGEST_SIZE], content[_DIGEST_SIZE:]
        if hashlib.sha256(payload).digest() != checksum:
            logger.info("%s is damaged and will be built again", path)
            return None
        try:
            return compiler.CompileResult._rebuild(target_context, *pickle.loads(payload))
        except Exception as error:  # whatever it is, building the kernel anew is the cure
            logger.info("%s could not be loaded and will be built again: %s", path, error)
            return None

    def save_overload(self, sig, data) -> None:
        """Keep a compiled kernel; a folder that is full or gone is no error."""
        path = self._path()
        if path is None:
            return
        payload = serialize.dumps(data._reduce())
        beside = path.with_name(f"{_PREFIX}{uuid.uuid4().hex}{_PART}")
        try:
            beside.write_bytes(hashlib.sha256(payload).digest() + payload)
            os.replace(beside, path)
        except OSError as error:
            logger.info("%s could not be written: %s", path, error)
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
