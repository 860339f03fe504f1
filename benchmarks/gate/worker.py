"""The process of one commit: it makes ready what it is told, and measures when it is told.

Commands come as lines of JSON, `["prepare", {...}]`, and each is answered by one line: a value, or
an error. Which `numpool` is measured, the environment says; `benchmarks` is HEAD's for both sides.
"""

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.tracked import (
    COLD_COMPILE,
    FIRST_CALL,
    IMPORT,
    PARALLEL,
    PEAKMEM,
    TIME,
    Tracked,
    tracked,
)


def _time(one: Tracked) -> Callable[[], float]:
    """Seconds a call, kernels compiled beforehand."""
    import numba

    from benchmarks import memory, own, threads
    from benchmarks.data import make
    from benchmarks.timing import once, repeated, turn

    assert one.case is not None
    memory.always_kept()
    numba.set_num_threads(threads.COUNT if one.kind == PARALLEL else 1)
    calls = one.case.calls
    call = repeated(own.prepare(make(one.case)), calls)
    call()
    estimate, _ = once(call)
    return lambda: turn(call, estimate) / calls


def _peakmem(one: Tracked) -> Callable[[], float]:
    import benchmarks.threads  # noqa: F401
    from benchmarks import memory, own
    from benchmarks.data import make

    assert one.case is not None
    memory.always_new()
    call = own.prepare(make(one.case))
    return lambda: memory.peak(call)


def _fresh(one: Tracked) -> Callable[[], float]:
    from benchmarks import fresh

    if one.case is None:
        return fresh.import_seconds
    each = {FIRST_CALL: fresh.first_call_seconds, COLD_COMPILE: fresh.cold_compile_seconds}
    return partial(each[one.kind], one.case)


_PREPARE = {
    TIME: _time,
    PARALLEL: _time,
    PEAKMEM: _peakmem,
    IMPORT: _fresh,
    FIRST_CALL: _fresh,
    COLD_COMPILE: _fresh,
}


class _Commands:
    """What the process can be told."""

    def about(self) -> dict[str, Any]:
        import numba
        import numpy

        import numpool
        from benchmarks import threads

        return {
            "package": numpool.__file__,
            "Python": sys.version.split()[0],
            "numba": numba.__version__,
            "numpy": numpy.__version__,
            "threads": threads.COUNT,
        }

    def names(self, quick: bool) -> list[dict[str, str]]:
        return [{"name": one.name, "kind": one.kind} for one in tracked(quick)]

    _measure: Callable[[], float] | None = None

    def prepare(self, name: str) -> None:
        self._measure = None  # the arrays of the last one go before new ones come
        (one,) = (one for one in tracked() if one.name == name)
        measure = _PREPARE[one.kind](one)
        measure()
        self._measure = measure

    def measure(self) -> float:
        assert self._measure is not None
        return self._measure()


def main() -> None:
    """Serve until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what others print is not an answer
    commands = _Commands()
    for line in sys.stdin:
        command, arguments = json.loads(line)
        try:
            answer = {"value": getattr(commands, command)(**arguments)}
        except Exception as error:  # whatever it is, the other side is told
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
