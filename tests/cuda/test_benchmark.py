"""The benchmark on a GPU, in the simulator: cases go through numpool, are compared, and timed."""

import time

import kinds
import numpy as np
import pytest

from benchmarks.cases import CASES, STEM
from benchmarks.check import Disagreement
from benchmarks.gpu.measure import measure
from benchmarks.measure import FLOOR, HOST, NUMPOOL, REUSED
from benchmarks.peers.peer import Peer, Run

pytestmark = pytest.mark.usefixtures("simulator")

STEM_CASES = [case.as_test() for case in CASES if case.shape == STEM.shape and case.quick]
CHOSEN = [case for case in STEM_CASES if case.title in ("max with indices", "avg backward")]


class Watch:
    """Time as the host has it."""

    def seconds(self, call, count):
        start = time.perf_counter()
        call()
        return (time.perf_counter() - start) * count

    def wait(self):
        """Nothing runs by itself."""

    def copy(self, count):
        source, target = np.empty(count, np.uint8), np.empty(count, np.uint8)
        return lambda: np.copyto(target, source)


def oracle_peer(name, change):
    """A peer that is numpool's CPU, with its values changed."""

    def prepare(data):
        from benchmarks import own
        from benchmarks.measure import own_arrays

        call = own.prepare(data)

        def arrays(result):
            first, *more = own_arrays(data, result)
            return first * np.float32(change), *more

        return Run(call, arrays)

    return Peer(name, "numpy", 1, lambda case: True, prepare)


def run(case, *peers):
    return measure(case, peers, [kinds.SIMULATOR], Watch(), 1)


@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.title)
def test_a_case_is_compared_and_timed(case, monkeypatch):
    monkeypatch.setattr("benchmarks.gpu.measure._HOST_CALLS", 1)
    measured = run(case, oracle_peer("same", 1), oracle_peer("other", 1.5))
    assert set(measured.times) == {NUMPOOL, REUSED, FLOOR, HOST, "same"}
    assert set(measured.failed) == {"other"}
    assert "differs in" in measured.failed["other"]


def test_wrong_values_of_numpool_end_the_run():
    (case,) = (case for case in STEM_CASES if case.title == "max")
    right = kinds.SIMULATOR.download
    wrong = kinds.SIMULATOR._replace(download=lambda array: right(array) + np.float32(1))
    with pytest.raises(Disagreement, match="numpool on the GPU differs"):
        measure(case, [], [wrong], Watch(), 1)
