"""The benchmark on a GPU, as far as it can be tested without one."""

import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.cases import CASES
from benchmarks.gpu import __main__ as program
from benchmarks.gpu import carriers, machine, measure, peers, tables
from benchmarks.measure import FLOOR, HOST, NUMPOOL, REUSED, Measured
from benchmarks.results import Result, Results, known
from benchmarks.timing import Times


class Counter:
    """A clock by which each call takes the seconds it says."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.counts: dict[str, int] = {}

    def call(self, name: str, seconds: float):
        def run() -> None:
            self.last = name, seconds

        return run

    def seconds(self, call, count: int) -> float:
        call()
        name, seconds = self.last
        self.order.append(name)
        self.counts[name] = count
        return seconds * count

    def wait(self) -> None:
        """Nothing to wait for."""


def result(case, **seconds: float) -> Result:
    names = {"ours": NUMPOOL, "reused": REUSED, "host": HOST, "copy": FLOOR}
    times = {names.get(name, name): Times.of([time]) for name, time in seconds.items()}
    return Result(case, "2000-01-01", 7, Measured(times, [], {}))


def test_all_cases_but_those_of_main_memory_can_be_measured() -> None:
    left = [case for case in CASES if not measure.measurable(case)]
    assert {case.layout for case in left} == {"byte-swapped", "read-only memmap"}
    assert 0 < len(left) < len(CASES) / 10
    quick = program.chosen(SimpleNamespace(only=None, quick=True))
    assert 0 < len(quick) < len(CASES) / 2
    chosen = program.chosen(SimpleNamespace(only="images.*max", quick=True))
    assert {(case.group, case.operator) for case in chosen} == {("images", "max")}


def test_every_peer_has_cases_that_it_can_do() -> None:
    for peer in peers.PEERS:
        found = [case for case in CASES if peer.supports(case)]
        assert found, peer.name
        if peer.distribution == "torch":
            assert {np.dtype(case.dtype).kind for case in found} == {"f"}
    by_torch = {case.dtype for case in CASES if peers.PEERS[0].supports(case)}
    assert by_torch == {"float16", "float32", "float64"}


def test_without_a_device_it_says_so_and_measures_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def find() -> None:
        raise machine.NoDevice("no driver")

    monkeypatch.setattr(machine, "find", find)
    monkeypatch.setattr(sys, "argv", ["gpu", "--out", str(tmp_path / "new")])
    with pytest.raises(SystemExit, match="nothing is measured: no driver"):
        program.main()
    assert list((tmp_path / "new").iterdir()) == []


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from numpool._cuda import device

    def cuda() -> None:
        raise ImportError('pip install "numpool[cuda]"')

    monkeypatch.setattr(device, "cuda", cuda)
    monkeypatch.setattr(device, "simulated", lambda: False)
    with pytest.raises(machine.NoDevice, match=r"numpool\[cuda\]"):
        machine.find()
    monkeypatch.setattr(device, "simulated", lambda: True)
    with pytest.raises(machine.NoDevice, match="simulator"):
        machine.find()


def test_all_take_turns_and_are_called_as_often_as_time_needs() -> None:
    clock = Counter()
    calls = {"slow": clock.call("slow", 1.0), "quick": clock.call("quick", 1e-5)}
    times = measure.interleaved(calls, clock, 4)
    assert times == {"slow": Times(1.0, 1.0, 1.0), "quick": pytest.approx((1e-5,) * 3)}
    assert clock.counts == {"slow": 1, "quick": 500}
    turns = clock.order[4:]
    assert len(turns) == 4 * 2 * 3
    assert [turns[i] for i in range(0, 24, 6)] == ["slow", "quick"] * 2


def test_the_floor_moves_as_many_bytes_as_the_case() -> None:
    (case,) = (c for c in CASES if c.layout == "every second column" and c.title == "max")
    data = measure.make(case.as_test())
    assert measure.moved(data) == 2 * data.x.nbytes - 4 + data.written
    (case,) = (c for c in CASES if c.layout == "Fortran order" and c.title == "avg backward")
    data = measure.make(case.as_test())
    assert measure.moved(data) == data.grad.nbytes + data.x.nbytes


@pytest.mark.parametrize("layout", ["every second column", "Fortran order", "negative strides"])
def test_arrays_are_carried_in_their_layouts(layout: str) -> None:
    (case,) = (c for c in CASES if c.title == "max" and c.layout == layout)
    x = measure.make(case.as_test()).x
    memory, (offset,) = carriers.block_of([x])
    again = np.ndarray(x.shape, x.dtype, memory, offset, x.strides)
    np.testing.assert_array_equal(again, x)
    assert memory.nbytes < 2.1 * x.nbytes + 32
    assert carriers.TORCH.carries(x) == (layout != "negative strides")
    assert carriers.CUPY.carries(x)
    assert not carriers.CUPY.carries(x.astype(x.dtype.newbyteorder()))


def test_the_first_library_that_has_a_layout_carries_it() -> None:
    def carrier(name: str, reverses: bool) -> carriers.Carrier:
        return carriers.Carrier(name, list, np.asarray, reverses)

    both = [carrier("first", False), carrier("second", True)]
    for case in (c for c in CASES if c.layout == "negative strides" and c.backward):
        _, used = measure.uploaded(measure.make(case.as_test()), both)
        assert used.name == "second"
    data, used = measure.uploaded(measure.make(CASES[0].as_test()), both)
    assert used.name == "first"
    assert data.grad is None


def test_the_page() -> None:
    small, large = CASES[0], next(case for case in CASES if max(case.kernel_size) > 30)
    failed = result(CASES[1], ours=2e-6, reused=1e-6, host=9e-6, copy=1e-6, torch=1e-6)
    failed.measured.failed["CuPy"] = "CuPy: other values"
    found = [
        result(small, ours=1e-5, reused=9e-6, host=8e-6, copy=9e-6, torch=2e-5, CuPy=1e-4),
        failed,
        result(large, ours=4e-3, reused=4e-3, host=8e-6, copy=1e-3),
    ]
    cases = {one.case.name: one for one in found}
    page = tables.markdown(Results({"GPU": "one"}, {"numba": "1"}, ["CuPy"], cases))
    lines = page.splitlines()
    assert "- GPU: one" in lines
    assert "- not installed: CuPy" in lines
    assert f"| {small.name} | 10 | 9 | 8 | 9 | 90% | torch 20 | 0.50 |" in page
    assert f"| {CASES[1].name} | 2 | 1 | 9 | 1 | 50% | torch 1 | **2.00** |" in page
    assert f"| {large.name} | 4000 | 4000 | 8 | 1000 | 25% |  |  |" in page
    assert "1 of 2 cases reach 85% of the speed of a copy." in page
    assert f"- {CASES[1].group}: {CASES[1].name}: 2.00 times torch" in lines
    assert f"- {CASES[1].group}: {CASES[1].name}: 50%" in lines
    assert "CuPy: other values" in page
    share = math.prod([0.9, 0.5, 0.25]) ** (1 / 3)
    assert f"| **all** | 3 | 2 | 1 | 1.00 | {share:.0%} |" in lines


def test_results_are_kept_for_the_same_device_only(tmp_path: Path) -> None:
    one = result(CASES[0], ours=1e-5, reused=9e-6, host=8e-6, copy=9e-6, torch=2e-5)
    kept = Results({"GPU": "one"}, {"numpool": "1", "numba": "1"}, [], {one.case.name: one})
    path = tmp_path / "results-gpu.json"
    kept.save(path)
    again = known(path, Results({"GPU": "one"}, {"numpool": "2", "numba": "1"}, []))
    assert again.cases[one.case.name].seconds(HOST) == 8e-6
    assert again.cases[one.case.name].peers == {"torch": 2e-5}
    assert not known(path, Results({"GPU": "two"}, {"numpool": "1", "numba": "1"}, [])).cases
    assert not known(path, Results({"GPU": "one"}, {"numpool": "1", "numba": "2"}, [])).cases
