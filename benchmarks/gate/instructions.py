"""How many instructions a call takes: a second witness that no load disturbs, by callgrind.

valgrind runs a process that makes one call, and one that makes some more; the difference is that
of the calls, as start-up differs by few instructions in a thousand million. Two limits: valgrind 3
knows AVX2 but no AVX-512, so both sides are compiled for such a processor, which is not how they
are timed; and it counts neither waiting for memory nor for threads. So a count explains a slowdown
and never decides of one.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile

from benchmarks.gate.process import Side

_CALLS = 20
# A processor that valgrind imitates. Named in full, or numba asks valgrind's and compiles there.
_PROCESSOR = {
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+avx2,+fma,+bmi,+bmi2,+sse4.2,+popcnt,+lzcnt,+f16c,+movbe",
}
_PATIENCE = 600.0


def available() -> bool:
    """Whether instructions can be counted here."""
    tools = all(shutil.which(tool) for tool in ("valgrind", "setarch"))
    return tools and platform.machine() == "x86_64"


def per_call(side: Side, name: str) -> float:
    """The instructions of one call of a benchmark of kind `time`, on one thread."""
    _run(side, [], name, 1)  # compiles, outside of valgrind
    few, many = (_counted(side, name, calls) for calls in (1, 1 + _CALLS))
    return (many - few) / _CALLS


def _counted(side: Side, name: str, calls: int) -> int:
    # With addresses that are the same in each run, so are the ways of hash tables and allocators.
    tool = ["setarch", "-R", "valgrind", "--tool=callgrind", f"--callgrind-out-file={os.devnull}"]
    found = re.search(r"Collected : (\d+)", _run(side, tool, name, calls))
    if found is None:
        raise RuntimeError("callgrind has counted nothing")
    return int(found[1])


def _run(side: Side, tool: list[str], name: str, calls: int) -> str:
    command = [*tool, side.python, "-m", "benchmarks.gate.instructions", name, str(calls)]
    environment = side.environment | _PROCESSOR | {"NUMBA_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as nowhere:
        run = subprocess.run(
            command,
            cwd=nowhere,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=True,
        )
    return run.stderr


def _main(name: str, calls: int) -> None:
    from benchmarks import own
    from benchmarks.data import make
    from benchmarks.timing import repeated
    from benchmarks.tracked import tracked

    (case,) = (one.case for one in tracked() if one.name == name)
    assert case is not None
    call = repeated(own.prepare(make(case)), case.calls)
    for _ in range(calls):
        call()


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
