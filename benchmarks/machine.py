"""The machine, the versions and the date: what results depend on."""

import datetime
import importlib.metadata
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpool
from benchmarks.peers.peer import Peer
from benchmarks.threads import COUNT

_ROOT = Path(__file__).parent.parent


def machine() -> dict[str, str]:
    """What the results were measured on."""
    facts = {
        "CPU": _cpu(),
        "caches": _caches(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "memory": _memory(),
        "system": platform.platform(),
        "threads": f"{COUNT} each, where a peer has threads",
    }
    return {name: fact for name, fact in facts.items() if fact}


def versions(peers: Sequence[Peer]) -> dict[str, str]:
    """The versions of everything that was timed, and of what they stand on."""
    found = {"numpool": numpool.__version__ + _commit(), "Python": platform.python_version()}
    names = {"numba", "llvmlite", "numpy", *(peer.distribution for peer in peers)}
    return found | {name: importlib.metadata.version(name) for name in sorted(names)}


def today() -> str:
    """The date, as it is written."""
    return datetime.date.today().isoformat()


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _cpu() -> str:
    lines = [line.partition(":") for line in _read("/proc/cpuinfo").splitlines()]
    facts = {key.strip(): value.strip() for key, _, value in reversed(lines)}
    cores = sum(key.strip() == "processor" for key, _, _ in lines)
    if not facts:
        return platform.processor()
    flags = facts.get("flags", "").split()
    widest = next((name for name in ("avx512f", "avx2", "avx", "sse2") if name in flags), "")
    kind = f"family {facts.get('cpu family')}, model {facts.get('model')}"
    return f"{facts.get('model name', platform.machine())} ({kind}), {cores} cores, {widest}"


def _caches() -> str:
    found = []
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (_read(str(index / name)) for name in ("level", "type", "size"))
        if kind != "Instruction":
            found.append(f"L{level} {size}")
    return ", ".join(found)


def _memory() -> str:
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemTotal"):
            return f"{int(line.split()[1]) / 2**20:.0f} GiB"
    return ""


def _commit() -> str:
    command = ["git", "-C", str(_ROOT), "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f" ({found.stdout.strip()})"
