"""The proof that the gate can be trusted: `pytest benchmarks -m proof`, some 20 minutes.

Slowdowns are planted into clones of this repository, and each has to be found and named. The same
settings give no alarm when a commit is compared with itself, ten times, while another process keeps
a core and the memory busy.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.gate import plants

pytestmark = [pytest.mark.slow, pytest.mark.proof, pytest.mark.timeout(3600)]

_ROOT = Path(__file__).parent.parent
_SETTINGS = [
    "--quick",
    "--bench",
    r"^((max|avg backward) 16x64x112x112|(max|avg) 28x28|parallel avg 16x|peakmem (max|avg) 16x"
    r"|import|first_call)",
]
_LOAD = "import numpy; a = numpy.ones(2**22)\nwhile True: a.copy()"


def _git(repository: Path, *arguments: str) -> None:
    who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=repository, check=True, capture_output=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this repository; `base` is its commit."""
    folder = tmp_path_factory.mktemp("proof") / "clone"
    _git(_ROOT, "clone", "--quiet", str(_ROOT), str(folder))
    _git(folder, "checkout", "--quiet", "-B", "base")
    return folder


@contextmanager
def _load() -> Iterator[None]:
    """Another process that computes and moves memory."""
    with subprocess.Popen([sys.executable, "-c", _LOAD]) as process:
        try:
            yield
        finally:
            process.kill()


def _gate(repository: Path, base: str, head: str, *options: str) -> tuple[int, dict[str, dict]]:
    """The exit code, and what was found of each benchmark."""
    found = repository.parent / "found.json"
    found.unlink(missing_ok=True)
    kernels = repository.parent / "kernels"
    line = [sys.executable, "-m", "benchmarks.gate", base, head, *_SETTINGS]
    line += ["--kernels", str(kernels), "--json", str(found), *options]
    run = subprocess.run(line, cwd=repository, capture_output=True, text=True)
    print(run.stdout, run.stderr)
    entries = json.loads(found.read_text())["benchmarks"]
    return run.returncode, {entry["benchmark"]: entry for entry in entries}


@pytest.mark.parametrize(
    ("plant", "names"),
    [
        (plants.slow_kernels, ["max 16x64x112x112 k3 s2 p1"]),
        (plants.slow_wrapper, ["max 28x28 k2 s2 1000 calls"]),
        (plants.slow_import, ["import"]),
        (plants.one_more_output, ["peakmem avg 16x64x112x112 k3 s2 p1"]),
    ],
)
def test_a_slowdown_is_found_and_named(
    repository: Path, plant: Callable[[Path], None], names: list[str]
) -> None:
    branch = plant.__name__
    _git(repository, "checkout", "--quiet", "-B", branch, "base")
    plant(repository / "numpool")
    _git(repository, "commit", "--quiet", "--all", "--message", branch)
    code, found = _gate(repository, "base", branch)
    assert code == 1
    slower = [name for name, entry in found.items() if entry["verdict"] == "slower"]
    assert set(names) <= set(slower), slower
    # What the plant does not touch is not blamed.
    operator = {"slow_wrapper": "max", "one_more_output": "avg"}.get(branch, "")
    assert all(operator in name for name in slower), slower
    if branch == "slow_import":
        assert slower == ["import"]


def test_no_alarm_under_load(repository: Path) -> None:
    with _load():
        for number in range(10):
            code, found = _gate(repository, "base", "base")
            alarms = [name for name, entry in found.items() if entry["verdict"] == "slower"]
            assert not alarms, f"run {number}"
            assert code != 1
