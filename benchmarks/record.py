"""Runs airspeed velocity over the history: `python -m benchmarks.record [COMMIT ...]`.

Without commits, all that touch the package. What has results already is not run again, and only the
newest numba of `asv.conf.json` is. The results stay in the repository, for `asv publish`.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parent.parent
_CONFIGURATION = "asv.conf.json"
# Options whose paths are relative to the file they stand in.
_PATHS = ("repo", "benchmark_dir", "env_dir", "results_dir", "html_dir")


def main() -> int:
    """Run the suite; returns asv's exit code."""
    options = _options()
    commits = options.commits or _touching("numpool")
    work = _ROOT / ".asv"
    work.mkdir(exist_ok=True)
    (work / _CONFIGURATION).write_text(json.dumps(_newest(_ROOT / _CONFIGURATION)))
    (work / "commits").write_text("".join(f"{commit}\n" for commit in map(_resolved, commits)))
    asv = [sys.executable, "-m", "asv", "--config", str(work / _CONFIGURATION)]
    machine = ["--machine", options.machine]
    subprocess.run([*asv, "machine", "--yes", *machine], check=True)
    run = [*asv, "run", "--skip-existing", "--show-stderr", *machine, "--bench", options.bench]
    return subprocess.run([*run, f"HASHFILE:{work / 'commits'}"]).returncode


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.record", description=__doc__)
    parser.add_argument("commits", metavar="COMMIT", nargs="*", help="what to run")
    parser.add_argument("--bench", metavar="REGEX", default="^quick", help="benchmarks (^quick)")
    parser.add_argument(
        "--machine", default="two-cores", help="the name that results are kept under (two-cores)"
    )
    return parser.parse_args()


def _newest(path: Path) -> dict[str, Any]:
    """The configuration with one numba, and with paths that hold from anywhere."""
    text = re.sub(r"^\s*//.*$", "", path.read_text(), flags=re.MULTILINE)
    configuration = json.loads(text)
    requirements = configuration["matrix"]["req"]
    requirements["numba"] = requirements["numba"][-1:]
    return configuration | {key: str(path.parent / configuration[key]) for key in _PATHS}


def _touching(folder: str) -> list[str]:
    return _git("log", "--reverse", "--format=%H", "--", folder).split()


def _resolved(revision: str) -> str:
    return _git("rev-parse", "--verify", f"{revision}^{{commit}}").strip()


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(_ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
