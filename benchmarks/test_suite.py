"""The suite of airspeed velocity, as far as it can be tested without asv."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import record
from benchmarks.suite import full, quick
from benchmarks.tracked import tracked

_FOLDER = Path(__file__).parent
_KINDS = ("time_", "track_", "peakmem_")
_BENCHMARKS = [
    pytest.param(name, value, id=f"{module.__name__.split('.')[-1]}.{name}")
    for module in (quick, full)
    for name, value in vars(module).items()
    if name.startswith(_KINDS)
]
# Imports the suite as asv does: a package of its own, with nothing around it on the path.
_IMPORT = """
import sys
sys.path.insert(0, {folder!r})
import suite.quick, suite.full
from numba.np.ufunc import parallel
assert not parallel._is_initialized, "threads were started"
assert not any(path == {root!r} for path in sys.path)
"""


@pytest.mark.parametrize(("name", "benchmark_function"), _BENCHMARKS)
def test_asv_finds_it_by_its_name(name: str, benchmark_function) -> None:
    assert benchmark_function.__name__ == name
    assert getattr(benchmark_function, "params", ["one"])


def test_each_tracked_case_is_timed_once() -> None:
    timed = [
        (module is quick, case)
        for module in (quick, full)
        for name, value in vars(module).items()
        if name.startswith("time_")
        for case in value.params
    ]
    expected = [(one.quick, one.case.name) for one in tracked() if one.kind == "time" and one.case]
    assert sorted(timed) == sorted(expected)


def test_names_say_what_is_measured() -> None:
    names = [name for name in vars(quick) if name.startswith(_KINDS)]
    for word in ("max", "avg", "lp", "backward", "import", "first_call", "cold_compile", "peakmem"):
        assert any(word in name for name in names), word


def test_a_benchmark_runs_with_its_kernels_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    # Where the package is not installed, new processes find it here.
    monkeypatch.setenv("PYTHONPATH", str(_FOLDER.parent))
    (case,) = (case for case in quick.time_lp.params if "calls" in case)
    quick.time_lp.setup(case)
    quick.time_lp(case)
    assert quick.track_import() > 0


def test_asv_can_import_it_before_it_forks(tmp_path: Path) -> None:
    code = _IMPORT.format(folder=str(_FOLDER), root=str(_FOLDER.parent))
    package = tmp_path / "package"
    package.mkdir()
    (package / "numpool").symlink_to(_FOLDER.parent / "numpool")
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(package), "NUMBA_CACHE_DIR": str(tmp_path)},
        check=True,
    )


def test_the_history_is_run_with_the_newest_numba() -> None:
    configuration = record._newest(_FOLDER.parent / "asv.conf.json")
    assert len(configuration["matrix"]["req"]["numba"]) == 1
    assert Path(configuration["benchmark_dir"], "quick.py").exists()
    kept = json.loads((_FOLDER / "history" / "benchmarks.json").read_text())
    assert {f"quick.{name}" for name in vars(quick) if name.startswith(_KINDS)} <= set(kept)
