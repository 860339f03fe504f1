"""The device, its driver and the versions: what results depend on, and whether there is any."""

import importlib.metadata
import platform
import subprocess
from typing import Any

from benchmarks import machine
from benchmarks.gpu.peers import usable


class NoDevice(Exception):
    """Nothing can be measured here."""


def find() -> Any:
    """The module `numba.cuda`, if there is a device for it; NoDevice says what is missing."""
    from numpool._cuda import device

    try:
        if device.simulated():
            raise NoDevice("the CUDA simulator is on (NUMBA_ENABLE_CUDASIM): its times say nothing")
        return device.cuda()
    except (ImportError, RuntimeError) as error:
        raise NoDevice(str(error)) from error


def facts(cuda: Any) -> dict[str, str]:
    """What the results were measured on."""
    gpu = cuda.get_current_device()
    name = gpu.name.decode() if isinstance(gpu.name, bytes) else gpu.name
    capability = ".".join(map(str, gpu.compute_capability))
    _, memory = cuda.current_context().get_memory_info()
    runtime = ".".join(map(str, cuda.runtime.get_version()))
    found = {
        "GPU": f"{name}, compute capability {capability}, {gpu.MULTIPROCESSOR_COUNT} SMs, "
        f"{memory / 2**30:.0f} GiB",
        "driver": f"{_smi('driver_version')}, CUDA runtime {runtime}",
        "clocks": _smi("clocks.max.sm,clocks.max.memory"),
        "CPU": machine.machine()["CPU"],
        "system": platform.platform(),
    }
    return {name: fact for name, fact in found.items() if fact}


def versions() -> dict[str, str]:
    """The versions of everything that was timed, and of what it stands on."""
    found = machine.versions(usable())
    for name in ("numba-cuda", "cuda-bindings"):
        found[name] = importlib.metadata.version(name)
    return found


def _smi(query: str) -> str:
    """What the driver's tool says of the first GPU."""
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader", "--id=0"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
