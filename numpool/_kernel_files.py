"""Compiled kernels as files: written whole, and never trusted unread.

A kernel is one file, written beside and renamed, with a checksum of its content. Its name holds a
digest of all that it depends on, so that an old kernel is never found. Any trouble with the folder
or a file is a miss, and the kernel is built again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import re
import uuid
from pathlib import Path

logger = logging.getLogger("numpool")

_PREFIX = "numpool-"
_SUFFIX = ".kernel"
_PART = ".kernel-part"
_OURS = re.compile(r"numpool-.+-[0-9a-f]{24}\.kernel|numpool-[0-9a-f]{32}\.kernel-part")
_DIGEST_SIZE = hashlib.sha256().digest_size
_PACKAGE = Path(__file__).resolve().parent


@functools.cache
def folder() -> Path | None:
    """The folder of compiled kernels, numba's own; None if none can be written."""
    from numba.core import config

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


def digest(facts: list[str], folder_of_kernels: str) -> str:
    """What all kernels of a folder of the package depend on: their sources, the formulas, and
    facts.
    """
    found = hashlib.sha256("\n".join(facts).encode())
    formulas = [_PACKAGE / "_operators.py", _PACKAGE / "_powers.py"]
    for path in sorted([*_PACKAGE.joinpath(folder_of_kernels).glob("*.py"), *formulas]):
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def path_of(name: str, *facts: str) -> Path | None:
    """Where a kernel lies that depends on facts; None without a folder."""
    where = folder()
    if where is None:
        return None
    key = hashlib.sha256("\n".join([*facts, name]).encode()).hexdigest()[:24]
    return where / f"{_PREFIX}{name}-{key}{_SUFFIX}"


def read(path: Path) -> bytes | None:
    """What was written to a file, None if it is not there, cut short or garbled."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    checksum, payload = content[:_DIGEST_SIZE], content[_DIGEST_SIZE:]
    if hashlib.sha256(payload).digest() != checksum:
        logger.info("%s is damaged and will be built again", path)
        return None
    return payload


def write(path: Path, payload: bytes) -> None:
    """Keep a compiled kernel; a folder that is full or gone is no error."""
    beside = path.with_name(f"{_PREFIX}{uuid.uuid4().hex}{_PART}")
    try:
        beside.write_bytes(hashlib.sha256(payload).digest() + payload)
        os.replace(beside, path)
    except OSError as error:
        logger.info("%s could not be written: %s", path, error)
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
