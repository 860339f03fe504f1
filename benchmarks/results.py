"""Results as they are kept in a file: what was measured of each case, and ratios of it."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.cases import CASES, Case
from benchmarks.measure import ALONE, FLOOR, HOST, NUMPOOL, REUSED, Measured
from benchmarks.timing import Times

_OURS = (NUMPOOL, REUSED, ALONE, FLOOR, HOST)


@dataclass
class Result:
    """What was measured of one case."""

    case: Case
    date: str
    rounds: int
    measured: Measured

    @property
    def label(self) -> str:
        """Group and name."""
        return f"{self.case.group}: {self.case.name}"

    def seconds(self, name: str) -> float:
        """The median time of a party."""
        return self.measured.times[name].median

    @property
    def peers(self) -> dict[str, float]:
        """The times of peers, the quickest first."""
        times = {n: t.median for n, t in self.measured.times.items() if n not in _OURS}
        return dict(sorted(times.items(), key=lambda item: item[1]))

    @property
    def best(self) -> str | None:
        """The quickest peer that is ranked."""
        return next((name for name in self.peers if name not in self.case.unranked), None)

    @property
    def to_best(self) -> float | None:
        """Numpool's time as a multiple of the best peer's."""
        return self.seconds(NUMPOOL) / self.peers[self.best] if self.best else None

    @property
    def to_floor(self) -> float:
        """Numpool's time as a multiple of the floor's."""
        return self.seconds(NUMPOOL) / self.seconds(FLOOR)

    @property
    def speedup(self) -> float | None:
        """The time on one thread as a multiple of that on all, if it was taken."""
        if ALONE not in self.measured.times:
            return None
        return self.seconds(ALONE) / self.seconds(NUMPOOL)


@dataclass
class Results:
    """All results, and what they depend on."""

    machine: dict[str, str]
    versions: dict[str, str]
    missing: list[str]
    cases: dict[str, Result] = field(default_factory=dict)

    def in_order(self) -> list[Result]:
        """In the order of the table of cases; cases that left the table are left out."""
        return [self.cases[case.name] for case in CASES if case.name in self.cases]

    def save(self, path: Path) -> None:
        """Write all to a file."""
        cases = {
            result.case.name: {"date": result.date, "rounds": result.rounds}
            | _plain(result.measured)
            for result in self.in_order()
        }
        text = json.dumps(asdict(self) | {"cases": cases}, indent=1)
        path.write_text(text + "\n")

    @classmethod
    def load(cls, path: Path) -> "Results":
        """Read a file that `save` wrote."""
        kept = json.loads(path.read_text())
        table = {case.name: case for case in CASES}
        cases = {
            name: Result(table[name], entry["date"], entry["rounds"], _measured(entry))
            for name, entry in kept.pop("cases").items()
            if name in table
        }
        return cls(**kept, cases=cases)


def known(path: Path, new: Results) -> Results:
    """`new` with the cases that are kept in a file, if they were measured as it says."""
    if path.exists():
        kept = Results.load(path)
        if kept.machine == new.machine and _peers(kept) == _peers(new):
            new.cases = kept.cases
        else:
            print(f"{path} has results of another machine or other versions: starting anew")
    return new


def _peers(results: Results) -> dict[str, str]:
    """All versions but numpool's own, which is what changes between runs."""
    return {name: text for name, text in results.versions.items() if name != "numpool"}


def _plain(measured: Measured) -> dict[str, object]:
    times = {name: [float(f"{t:.4g}") for t in times] for name, times in measured.times.items()}
    return measured._asdict() | {"times": times}


def _measured(entry: dict[str, dict]) -> Measured:
    times = {name: Times(*values) for name, values in entry["times"].items()}
    return Measured(times, list(entry["too_slow"]), entry["failed"])


def geometric_mean(values: Iterable[float]) -> float:
    """The geometric mean; NaN of nothing."""
    logs = [math.log(value) for value in values]
    return math.exp(math.fsum(logs) / len(logs)) if logs else math.nan
