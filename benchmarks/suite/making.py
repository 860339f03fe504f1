"""Benchmarks as asv wants them: functions whose names and attributes tell it what to do.

asv forks a process for each: nothing here may start threads when it is imported.
"""

import statistics
from functools import lru_cache
from typing import Any

from benchmarks import floor, fresh, memory, own
from benchmarks.cases import Case
from benchmarks.data import Data, make
from benchmarks.timing import Call, interleaved, repeated
from benchmarks.tracked import FIRST_CALL, PEAKMEM, TIME, tracked

# A function with attributes that asv reads.
Benchmark = Any

# To be raised when a benchmark measures something else than before. Without it asv takes a hash of
# the source, and a comment would end the history.
_VERSION = "1"
_ROUNDS = 7


def timed(operator: str, backward: bool = False, quick: bool = False) -> Benchmark:
    """`time_`: the seconds of a call, or of a thousand where the name of the case says so."""

    def run(name: str) -> None:
        _call(name)()

    run.setup = _call  # type: ignore[attr-defined]
    run.rounds = 2 if quick else 1  # type: ignore[attr-defined]
    return _named("time", operator, backward, run, _names(TIME, operator, backward, quick))


def to_copy(operator: str, backward: bool = False) -> Benchmark:
    """`track_..._to_copy`: the time as a multiple of the floor's, by turns in the same process."""

    def run(name: str) -> float:
        calls = {"own": _call(name), "copy": floor.prepare(_data(name))}
        times = interleaved(calls, {}, _ROUNDS)
        return times["own"].median / times["copy"].median

    run.setup = _call  # type: ignore[attr-defined]
    run.unit = "times a copy"  # type: ignore[attr-defined]
    names = [name for name in _names(TIME, operator, backward, True) if _case(name).calls == 1]
    return _named("track", operator, backward, run, names, "to_copy")


def peakmem(operator: str, backward: bool = False) -> Benchmark:
    """`peakmem_`: the memory of the process at its peak, the arrays of the case included."""

    def setup(name: str) -> None:
        memory.always_new()
        _own(name)

    def run(name: str) -> None:
        _own(name)()

    run.setup = setup  # type: ignore[attr-defined]
    return _named("peakmem", operator, backward, run, _names(PEAKMEM, operator, backward, True))


def first_call(operator: str, backward: bool = False) -> Benchmark:
    """`track_first_call_`: seconds in a new process that finds its kernels on disk."""
    case = _first(operator, backward)

    def run() -> float:
        fresh.first_call_seconds(case)  # so that they are there
        return statistics.median(fresh.first_call_seconds(case) for _ in range(3))

    return _seconds("track_first_call", operator, backward, run)


def cold_compile(operator: str, backward: bool = False) -> Benchmark:
    """`track_cold_compile_`: seconds in a new process that finds no kernel."""
    case = _first(operator, backward)

    def run() -> float:
        return fresh.cold_compile_seconds(case)

    return _seconds("track_cold_compile", operator, backward, run)


def import_time() -> Benchmark:
    """`track_import`: seconds of `import numpool` in a new process, NumPy's part included."""

    def run() -> float:
        return statistics.median(fresh.import_seconds() for _ in range(7))

    return _seconds("track_import", "", False, run)


def _first(operator: str, backward: bool) -> Case:
    """The case on whose small shape a first call is made."""
    for kind in (FIRST_CALL, PEAKMEM):
        for one in tracked():
            if one.kind == kind and one.case and _is(one.case, operator, backward):
                return one.case
    raise LookupError(operator)


def _names(kind: str, operator: str, backward: bool, quick: bool) -> list[str]:
    return [
        one.case.name
        for one in tracked()
        if one.kind == kind
        and one.quick == quick
        and one.case
        and _is(one.case, operator, backward)
    ]


def _is(case: Case, operator: str, backward: bool) -> bool:
    return case.operator == operator and case.backward == backward


def _case(name: str) -> Case:
    return next(one.case for one in tracked() if one.case and one.case.name == name)


@lru_cache(maxsize=1)
def _data(name: str) -> Data:
    # Here, since it starts threads.
    import benchmarks.threads  # noqa: F401

    return make(_case(name))


@lru_cache(maxsize=1)
def _own(name: str) -> Call:
    """A call of numpool, its kernels compiled."""
    call = own.prepare(_data(name))
    call()
    return call


@lru_cache(maxsize=1)
def _call(name: str) -> Call:
    """What is timed."""
    memory.always_kept()
    return repeated(_own(name), _case(name).calls)


# `setup` compiles before the first timing. asv calls it before each of them, and makes each of one
# call; nothing is left to do from the second on.
def _named(
    prefix: str, operator: str, backward: bool, run: Any, names: list[str], suffix: str = ""
) -> Benchmark:
    """A benchmark of cases, which are its parameters."""
    direction = "backward" if backward else ""
    run.__name__ = "_".join(filter(None, (prefix, operator, direction, suffix)))
    run.params, run.param_names = names, ["case"]
    run.version, run.timeout = _VERSION, 300
    run.repeat, run.warmup_time = (5, 40, 0.4), 0.05
    return run


def _seconds(prefix: str, operator: str, backward: bool, run: Any) -> Benchmark:
    """A benchmark of new processes."""
    run.__name__ = "_".join(filter(None, (prefix, operator, "backward" if backward else "")))
    run.unit, run.version, run.timeout = "seconds", _VERSION, 300
    return run
