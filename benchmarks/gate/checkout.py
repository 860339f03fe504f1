"""Two commits side by side: their files, kernel caches and, where wanted, environments."""

import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from benchmarks.gate.process import Side

_WORKER = Path("benchmarks", "gate", "worker.py")


class CannotCheckOut(Exception):
    """A commit, or an environment for it, cannot be had."""


def git(*arguments: str) -> bytes:
    """What git prints, in the repository of the current folder."""
    try:
        run = subprocess.run(["git", *arguments], capture_output=True, check=True)
    except FileNotFoundError:
        raise CannotCheckOut("git is not installed") from None
    except subprocess.CalledProcessError as error:
        raise CannotCheckOut(error.stderr.decode(errors="replace").strip()) from None
    return run.stdout


def resolve(revision: str) -> str:
    """The full hash of a commit."""
    name = f"{revision}^{{commit}}"
    return git("rev-parse", "--verify", "--quiet", "--end-of-options", name).decode().strip()


def messages(base: str, head: str) -> list[str]:
    """The messages of the commits that HEAD has and BASE has not."""
    found = git("log", "--format=%B%x00", f"{base}..{head}").decode(errors="replace")
    return [message.strip() for message in found.split("\0") if message.strip()]


def sides(base: str, head: str, folder: Path, kernels: Path, isolated: bool) -> tuple[Side, Side]:
    """Check two commits out below a folder. Both get HEAD's benchmarks; each has its kernels."""
    suite = folder / "suite"
    _extract(head, folder / "head")
    benchmarks = folder / "head" / "benchmarks"
    if not (folder / "head" / _WORKER).exists():  # HEAD is older than the gate
        benchmarks = Path(__file__).parent.parent
    shutil.copytree(benchmarks, suite / "benchmarks", ignore=shutil.ignore_patterns("__pycache__"))
    _extract(base, folder / "base")
    return (
        _side("base", base, folder, suite, kernels, isolated),
        _side("head", head, folder, suite, kernels, isolated),
    )


def _extract(commit: str, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(git("archive", "--format=tar", commit))) as archive:
        archive.extractall(folder, filter="data")
    if not (folder / "numpool" / "__init__.py").exists():
        raise CannotCheckOut(f"{commit[:10]} has no package numpool")


def _side(
    label: str, commit: str, folder: Path, suite: Path, kernels: Path, isolated: bool
) -> Side:
    package, own_kernels = folder / label, kernels / commit
    if not isolated:
        return Side(label, commit, sys.executable, [suite, package], own_kernels, package)
    environment = folder / f"{label}-environment"
    python = _new_environment(environment, package)
    return Side(label, commit, python, [suite], own_kernels, environment)


def _new_environment(environment: Path, package: Path) -> str:
    scripts = "Scripts" if sys.platform == "win32" else "bin"
    python = str(environment / scripts / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([sys.executable, "-m", "venv", str(environment)], [*install, str(package)]):
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode:
            raise CannotCheckOut(f"no environment: {run.stderr.strip()[-500:]}")
    return python
