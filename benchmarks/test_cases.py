"""All cases under pytest-benchmark, a group of tests for each: `pytest benchmarks`.

With `--benchmark-disable` each case runs once on its small shape, as a test. Either way the values
of a peer are compared with numpool's before it is timed.
"""

from functools import lru_cache

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import floor, own
from benchmarks.cases import CASES, Case
from benchmarks.check import Disagreement, agree
from benchmarks.data import Data, make
from benchmarks.measure import FLOOR, NUMPOOL, REUSED, checked, own_arrays, too_slow
from benchmarks.peers import PEERS, installed
from benchmarks.timing import SLOW, Call, repeated

_PEERS = {peer.name: peer for peer in installed()}
_PAIRS = [
    pytest.param(case, name, id=f"{case.group}: {case.name} - {name}")
    for case in CASES
    for name in (
        NUMPOOL,
        REUSED,
        FLOOR,
        *(name for name, peer in _PEERS.items() if peer.supports(case)),
    )
]


# Tests of a case follow each other, and the arrays of some take a gigabyte.
@lru_cache(maxsize=1)
def _numpool(case: Case) -> tuple[Data, tuple[np.ndarray, ...]]:
    data = make(case)
    return data, own_arrays(data, own.prepare(data)())


# A test that fails or is skipped never comes to the fixture: one message is enough.
@pytest.mark.filterwarnings("ignore:Benchmark fixture was not used")
@pytest.mark.parametrize(("case", "party"), _PAIRS)
def test_case(benchmark: BenchmarkFixture, case: Case, party: str) -> None:
    benchmark.group = f"{case.group}: {case.name}"
    if benchmark.disabled:
        case = case.as_test()
    data, expected = _numpool(case)
    call, seconds = _prepared(data, expected, party)
    if seconds > SLOW:
        benchmark.pedantic(call, rounds=1)
    else:
        benchmark(repeated(call, case.calls))


def _prepared(data: Data, expected: tuple[np.ndarray, ...], party: str) -> tuple[Call, float]:
    """A call to be timed, and the seconds of a first one where it may be slow."""
    if party == FLOOR:
        return floor.prepare(data), 0.0
    if party in (NUMPOOL, REUSED):
        call = own.prepare(data, reused=party == REUSED)
        for a, b in zip(own_arrays(data, call()), expected, strict=True):
            np.testing.assert_array_equal(a, b)
        return call, 0.0
    peer = _PEERS[party]
    if too_slow(peer, data.case):
        pytest.skip("over 30 s")
    seconds, call = checked(peer, data, expected)
    return call, seconds


def test_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_every_peer_has_cases() -> None:
    idle = [peer.name for peer in PEERS if not any(peer.supports(case) for case in CASES)]
    assert not idle


def test_small_shapes_are_of_the_same_kind() -> None:
    for case in CASES:
        supporters = [[peer.supports(c) for peer in PEERS] for c in (case, case.as_test())]
        assert supporters[0] == supporters[1], case.name


def test_a_wrong_value_is_found() -> None:
    case = next(case for case in CASES if case.operator == "avg" and case.dtype == "float32")
    expected = np.random.default_rng(0).random((5, 7), np.float32)
    agree(case, "same", [expected.copy()], [expected])
    wrong = expected.copy()
    wrong[4, 6] *= 1 + 1e-4
    nan = expected.copy()
    nan[2, 3] = np.nan
    for found in (wrong, nan, expected[:, :6]):
        with pytest.raises(Disagreement):
            agree(case, "another", [found], [expected])


def test_a_wrong_index_is_found() -> None:
    case = next(case for case in CASES if case.indices is True and not case.backward)
    values, indices = np.ones(6, np.float32), np.arange(6)
    for found in ([values, indices + 1], [values]):
        with pytest.raises(Disagreement):
            agree(case, "another", found, [values, indices])
