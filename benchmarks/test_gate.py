"""The gate's parts: statistics, what commits accept, verdicts, exit codes."""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gate import __main__ as command
from benchmarks.gate import checkout, comparison, plants, tables
from benchmarks.gate.accepted import accepted, reason
from benchmarks.gate.comparison import Result
from benchmarks.gate.process import WorkerFailed
from benchmarks.gate.statistics import (
    CLEAR,
    FALSE_ALARM,
    LOOKS,
    OPEN,
    SLOWER,
    decide,
    error_rate,
    lower_bound,
    upper_bound,
)
from benchmarks.tracked import tracked


def test_bounds_are_order_statistics() -> None:
    values = [float(i) for i in range(10)]
    # At most 1 of 10 below the median: 11 / 1024.
    assert lower_bound(values, 11 / 1024) == 1.0
    assert lower_bound(values, 10 / 1024) == 0.0
    assert lower_bound(values, 1 / 1025) == -math.inf
    assert upper_bound(values, 11 / 1024) == 8.0
    assert upper_bound([], 0.5) == math.inf


def test_bounds_keep_their_error_rate() -> None:
    rng = np.random.default_rng(1)
    trials = 4000
    for error in (0.01, 0.1):
        wrong = sum(lower_bound(rng.standard_cauchy(16).tolist(), error) > 0 for _ in range(trials))
        assert wrong <= trials * error + 4 * math.sqrt(trials * error)


def _pairs(rng: np.random.Generator, ratio: float, n: int) -> list[float]:
    """Log ratios with noise of 5 %, and of 200 % in one pair of five."""
    burst = rng.random(n) < 0.2
    return (math.log(ratio) + rng.normal(0, np.where(burst, 1.0, 0.05))).tolist()


@pytest.mark.parametrize(("ratio", "verdict"), [(1.0, CLEAR), (0.5, CLEAR), (1.3, SLOWER)])
def test_a_decision_is_found_in_noise(ratio: float, verdict: str) -> None:
    rng = np.random.default_rng(2)
    error = error_rate(40)
    found = [decide(_pairs(rng, ratio, LOOKS[-1]), 1.15, error) for _ in range(200)]
    assert found.count(verdict) >= 199


def test_equal_commits_are_hardly_ever_suspect() -> None:
    rng = np.random.default_rng(3)
    error = error_rate(1)
    alarms = 0
    for _ in range(2000):
        pairs = _pairs(rng, 1.0, LOOKS[-1])
        # The harshest threshold there is.
        alarms += any(decide(pairs[:look], 1.0, error) == SLOWER for look in LOOKS)
    assert alarms <= 2000 * FALSE_ALARM + 4 * math.sqrt(2000 * FALSE_ALARM)


def test_few_pairs_decide_nothing_but_that_all_is_well() -> None:
    error = error_rate(100)
    assert decide([0.5] * 8, 1.15, error) == OPEN
    assert decide([0.0] * 8, 1.15, error) == CLEAR
    assert decide([0.5] * 16, 1.15, error) == SLOWER


def test_lines_that_accept_a_slowdown() -> None:
    messages = [
        "Title\n\nText.\nSlower: max 6000x4000x3 axis 0,1 k2 s2 uint8, exact, at last\n",
        "Another\n\nSlower: peakmem avg *, a second buffer\n  Slower: import, indented\nSlower: x",
    ]
    lines = accepted(messages)
    assert [tuple(line) for line in lines] == [
        ("max 6000x4000x3 axis 0,1 k2 s2 uint8", "exact, at last"),
        ("peakmem avg *", "a second buffer"),
    ]
    assert reason(lines, "peakmem avg 16x64") == "a second buffer"
    assert reason(lines, "peakmem max 16x64") is None
    assert reason(lines, "import") is None


class _Fake:
    """A worker whose figures are made up."""

    def __init__(self, seconds: dict[str, float], seed: int, noise: float = 0.02) -> None:
        self._seconds, self._noise = seconds, noise
        self._rng = np.random.default_rng(seed)
        self._name = ""

    def send(self, command: str, name: str) -> None:
        assert command == "prepare"
        self._name = name

    def receive(self) -> None:
        if self._name not in self._seconds:
            raise WorkerFailed("no such thing")

    def ask(self, command: str) -> float:
        assert command == "measure"
        return self._seconds[self._name] * math.exp(self._rng.normal(0, self._noise))


@pytest.mark.parametrize(
    ("base", "head", "verdict"),
    [
        (1.0, 1.0, "same"),
        (1.0, 1.3, "slower"),
        (1.0, 0.5, "faster"),
        (None, 1.0, "new"),
        (1.0, None, "failed"),
    ],
)
def test_verdicts(base: float | None, head: float | None, verdict: str) -> None:
    seconds = [{} if value is None else {"max": value} for value in (base, head)]
    pair = (_Fake(seconds[0], 1), _Fake(seconds[1], 2))
    result = comparison.measure(pair, "max", "time", 1.15, error_rate(40))  # type: ignore[arg-type]
    assert result.verdict == verdict


def test_what_noise_hides_is_not_called_the_same() -> None:
    pair = (_Fake({"max": 1.0}, 1, 3.0), _Fake({"max": 2.0}, 2, 3.0))
    result = comparison.measure(pair, "max", "time", 1.15, error_rate(40))  # type: ignore[arg-type]
    assert len(result.log_ratios) == LOOKS[-1]
    assert result.verdict == "unsure"


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        (["same", "faster", "new", "accepted", "not confirmed"], 0),
        (["same", "slower", "failed"], 1),
        (["same", "failed"], 2),
        (["unsure"], 2),
        (["same", "not reached"], 2),
    ],
)
def test_exit_codes(verdicts: list[str], code: int) -> None:
    results = [Result(verdict, "time", verdict) for verdict in verdicts]
    assert command.exit_code(results) == code


def test_tables_hold_what_was_found() -> None:
    results = [
        Result("max", "time", "slower", "", 1e-3, 1.3e-3, [math.log(1.3)] * 16, [1.3, 1.31]),
        Result("peakmem avg", "peakmem", "accepted", "a | b", 1e6, 2e6, [math.log(2)] * 16),
        Result("import", "import", "same", "", 0.1, 0.1, [0.0] * 8),
        Result("lp", "time", "new", "no lp_pool"),
    ]
    text = tables.text(results)
    assert "1.300" in text and "slower (fresh processes: 1.30, 1.31)" in text
    page = tables.markdown(results, {"threshold": "1.15"})
    assert "1 slower" in page.splitlines()[0]
    assert "accepted: a / b" in page and "1 the same" in page
    entries = json.loads(tables.plain(results, {}))["benchmarks"]
    assert [entry["verdict"] for entry in entries] == ["slower", "accepted", "same", "new"]
    assert entries[3]["ratio"] is None and entries[1]["unit"] == "bytes"


def test_what_is_tracked() -> None:
    every, quick = tracked(), tracked(quick=True)
    names = [one.name for one in every]
    assert len(set(names)) == len(names)
    assert {one.name for one in quick} < set(names)
    for word in ("max", "avg", "L2", "backward", "import", "first_call", "cold_compile", "peakmem"):
        assert any(word in name for name in names), word


@pytest.mark.parametrize("plant", plants.PLANTS)
def test_what_the_proof_plants_takes_root(plant: Callable[[Path], None], tmp_path: Path) -> None:
    package = Path(__file__).parent.parent / "numpool"
    planted = tmp_path / "numpool"
    shutil.copytree(package, planted, ignore=shutil.ignore_patterns("__pycache__"))
    plant(planted)
    changed = [
        path
        for path in planted.rglob("*.py")
        if path.read_text() != (package / path.relative_to(planted)).read_text()
    ]
    (path,) = changed
    compile(path.read_text(), path.name, "exec")


def _gate(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    line = [sys.executable, "-m", "benchmarks.gate", *arguments]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True)


def test_a_commit_that_is_not_there_cannot_be_measured() -> None:
    run = _gate("HEAD", "no-such-commit")
    assert run.returncode == command.NOT_MEASURED
    assert "could not measure" in run.stderr and "Traceback" not in run.stderr


@pytest.mark.slow
def test_a_commit_beside_itself(tmp_path: Path) -> None:
    found, page = tmp_path / "found.json", tmp_path / "page.md"
    files = ("--json", str(found), "--markdown", str(page))
    run = _gate("HEAD", "HEAD", "--quick", "--bench", "^import$", *files)
    # What a busy machine may hide is not a slowdown.
    assert run.returncode in (command.NO_REGRESSION, command.NOT_MEASURED), run.stdout + run.stderr
    (entry,) = json.loads(found.read_text())["benchmarks"]
    assert entry["benchmark"] == "import" and len(entry["log_ratios"]) in LOOKS
    assert "import" in page.read_text()


@pytest.mark.slow
def test_time_that_runs_out_is_said() -> None:
    run = _gate("HEAD", "HEAD", "--quick", "--bench", "^(import|max 28x28)", "--limit", "0")
    assert run.returncode == command.NOT_MEASURED
    assert run.stdout.count("not reached: out of time") == 4


@pytest.mark.parametrize("options", [["--bench", "("], ["--threshold", "0.9"]])
def test_wrong_options(options: list[str]) -> None:
    run = _gate("HEAD", "HEAD", *options)
    assert run.returncode == command.NOT_MEASURED
    assert options[0] in run.stderr and "Traceback" not in run.stderr


def test_messages_of_a_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "somebody")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "somebody@example.org")
    checkout.git("init", "--quiet")
    (tmp_path / "file").touch()
    checkout.git("add", "file")
    for message in ("first", "second\n\nSlower: import, more names", "third"):
        checkout.git("commit", "--quiet", "--allow-empty", "--message", message)
    base, head = checkout.resolve("HEAD~2"), checkout.resolve("HEAD")
    assert checkout.messages(base, head) == ["third", "second\n\nSlower: import, more names"]
    with pytest.raises(checkout.CannotCheckOut):
        checkout.resolve("HEAD~3")
    with pytest.raises(checkout.CannotCheckOut, match="no package numpool"):
        checkout.sides(base, head, tmp_path / "out", tmp_path / "kernels", isolated=False)
