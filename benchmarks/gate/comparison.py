"""Two sides measured in turn, benchmark by benchmark, until each is decided."""

import math
import statistics as plain
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.gate import instructions
from benchmarks.gate.process import Side, Worker, WorkerFailed
from benchmarks.gate.statistics import (
    CLEAR,
    CONFIRMATION,
    LOOKS,
    OPEN,
    SLOWER,
    decide,
    error_rate,
    lower_bound,
    upper_bound,
)
from benchmarks.tracked import TIME

# What is said of a benchmark in the end.
SAME, FASTER, ACCEPTED = "same", "faster", "accepted"
NOT_CONFIRMED, UNSURE = "not confirmed", "unsure"
NEW, FAILED, NOT_REACHED = "new", "failed", "not reached"
# The chance that a shown interval misses the median, half of it on each side.
_SHOWN = 0.01
# So many repetitions in fresh processes have to find the same.
_CONFIRMATIONS = 2

Sides = tuple[Side, Side]
Say = Callable[["Result"], None]


@dataclass
class Result:
    """What was found of one benchmark."""

    name: str
    kind: str
    verdict: str
    note: str = ""
    base: float = math.nan
    head: float = math.nan
    log_ratios: list[float] = field(default_factory=list)
    confirmations: list[float] = field(default_factory=list)
    instructions: float = math.nan

    @property
    def ratio(self) -> float:
        """HEAD as a multiple of BASE: the median of the pairs."""
        return math.exp(plain.median(self.log_ratios)) if self.log_ratios else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Where the ratio lies, with 99 %."""
        if not self.log_ratios:
            return math.nan, math.nan
        low = lower_bound(self.log_ratios, _SHOWN / 2)
        high = upper_bound(self.log_ratios, _SHOWN / 2)
        return math.exp(low), math.exp(high)


@contextmanager
def workers(sides: Sides) -> Iterator[tuple[Worker, Worker]]:
    """A process of each side."""
    base = Worker(sides[0])
    try:
        head = Worker(sides[1])
        try:
            yield base, head
        finally:
            head.close()
    finally:
        base.close()


def compare(
    sides: Sides, benchmarks: Sequence[dict[str, str]], threshold: float, limit: float, say: Say
) -> list[Result]:
    """Measure all benchmarks; each kind has processes of its own. No new one is begun after `limit`
    seconds, but what is suspect by then is still confirmed or not.
    """
    error = error_rate(len(benchmarks))
    end = time.monotonic() + limit
    found: dict[str, Result] = {}
    for kind in dict.fromkeys(one["kind"] for one in benchmarks):
        names = [one["name"] for one in benchmarks if one["kind"] == kind]
        for result in _pass(sides, names, kind, threshold, error, end):
            found[result.name] = result
            say(result)
    for _ in range(_CONFIRMATIONS):
        for result in [result for result in found.values() if result.verdict == SLOWER]:
            _confirm(sides, result, threshold)
            say(result)
    return list(found.values())


def _pass(
    sides: Sides, names: Iterable[str], kind: str, threshold: float, error: float, end: float
) -> Iterator[Result]:
    waiting = list(names)
    while waiting:
        with workers(sides) as pair:
            while waiting:
                name = waiting.pop(0)
                if time.monotonic() > end:
                    yield Result(name, kind, NOT_REACHED, "out of time")
                    continue
                result = measure(pair, name, kind, threshold, error)
                yield result
                if result.verdict in (FAILED, NEW):
                    break  # a process may have ended


def _confirm(sides: Sides, result: Result, threshold: float) -> None:
    with workers(sides) as pair:
        again = measure(pair, result.name, result.kind, math.sqrt(threshold), CONFIRMATION)
    result.confirmations.append(again.ratio)
    if again.verdict != SLOWER:
        result.verdict = NOT_CONFIRMED


def count_instructions(sides: Sides, results: Iterable[Result], say: Say) -> None:
    """Let callgrind count what suspects that were timed take, as multiples of BASE."""
    for result in results:
        if result.kind == TIME and result.verdict == SLOWER:
            try:
                base, head = (instructions.per_call(side, result.name) for side in sides)
                result.instructions = head / base
            except (subprocess.SubprocessError, RuntimeError) as error:
                result.note = f"instructions not counted: {error}"
            say(result)


def measure(
    pair: tuple[Worker, Worker], name: str, kind: str, threshold: float, error: float
) -> Result:
    """Measure one benchmark with as many pairs as its noise asks for."""
    base, head = pair
    try:
        missing = _prepare(base, head, name)
        if missing:
            return Result(name, kind, NEW, missing)
        times: tuple[list[float], list[float]] = ([], [])
        log_ratios: list[float] = []
        for look in LOOKS:
            while len(log_ratios) < look:
                turn = len(log_ratios) % 2  # A B, B A, A B ...
                for side in (turn, 1 - turn):
                    times[side].append(max(pair[side].ask("measure"), 1e-12))
                log_ratios.append(math.log(times[1][-1] / times[0][-1]))
            verdict = decide(log_ratios, threshold, error)
            if verdict != OPEN:
                break
    except WorkerFailed as failure:
        return Result(name, kind, FAILED, str(failure))
    medians = [plain.median(each) for each in times]
    result = Result(name, kind, verdict, "", medians[0], medians[1], log_ratios)
    if verdict == CLEAR:
        result.verdict = FASTER if result.interval[1] < 1 / threshold else SAME
    elif verdict == OPEN:
        result.verdict = UNSURE if result.ratio > threshold else SAME
    return result


def _prepare(base: Worker, head: Worker, name: str) -> str:
    """Make a benchmark ready on both sides at once; why BASE cannot run it, if only HEAD can."""
    for worker in (base, head):
        worker.send("prepare", name=name)
    errors = []
    for worker in (base, head):
        try:
            worker.receive()
            errors.append("")
        except WorkerFailed as failure:
            errors.append(str(failure))
    if errors[1]:
        raise WorkerFailed(f"on HEAD: {errors[1]}")
    return errors[0]
