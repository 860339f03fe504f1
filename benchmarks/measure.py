"""Numpool, its peers and the floor on one case: values are compared first, then all are timed."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks import floor, own
from benchmarks.cases import Case
from benchmarks.check import Disagreement, agree
from benchmarks.data import Data, make, positions, unbatched
from benchmarks.peers.peer import Peer
from benchmarks.timing import Call, Times, interleaved, once, repeated

NUMPOOL, REUSED, ALONE, FLOOR = "numpool", "numpool, out=", "numpool, 1 thread", "floor"
# On a GPU: the time in which a call returns.
HOST = "numpool, host"
# A call over this many seconds is shown as such.
LIMIT = 30.0
# Cases of more taps are tried on a part first, of so many taps: a slow peer takes 10 to 100 ns for
# one.
_TRIAL = 1 << 26


class Measured(NamedTuple):
    """Times by name; peers that take too long; and what went wrong with others."""

    times: dict[str, Times]
    too_slow: list[str]
    failed: dict[str, str]


def own_arrays(data: Data, result: Any) -> tuple[np.ndarray, ...]:
    """A result of numpool as the arrays that peers are compared with."""
    if not isinstance(result, tuple):
        return (result,)
    values, indices = result
    return values, unbatched(data.case, positions(data.case, indices))


def checked(peer: Peer, data: Data, expected: Sequence[np.ndarray]) -> tuple[float, Call]:
    """A peer's call and the seconds of a first one, after its values were compared."""
    run = peer.prepare(data)
    seconds, result = once(run.call)
    agree(data.case, peer.name, run.arrays(result), expected, peer.running)
    return seconds, run.call


def too_slow(peer: Peer, case: Case) -> bool:
    """Whether a peer's call takes more than the limit, found out on growing parts of the case."""
    work = _TRIAL
    while case.work > 4 * work:
        data = make(case.cut(work))
        expected = own_arrays(data, own.prepare(data)())
        seconds, _ = checked(peer, data, expected)
        if seconds * case.work / data.case.work < LIMIT:
            return False
        if seconds > LIMIT / 10:
            return True
        work *= 8
    return False


def measure(case: Case, peers: Sequence[Peer], rounds: int) -> Measured:
    """Measure one case."""
    data = make(case)
    calls = {NUMPOOL: own.prepare(data), REUSED: own.prepare(data, reused=True)}
    calls[ALONE] = own.alone(calls[NUMPOOL])
    calls[FLOOR] = floor.prepare(data)
    expected = own_arrays(data, calls[NUMPOOL]())
    known: dict[str, float] = {}
    slow, failed = [], {}
    for peer in peers:
        if not peer.supports(case):
            continue
        try:
            if too_slow(peer, case):
                slow.append(peer.name)
                continue
            known[peer.name], calls[peer.name] = checked(peer, data, expected)
        except Disagreement as error:
            failed[peer.name] = str(error)
        except Exception as error:  # A library that fails ends its own part only, and is shown.
            failed[peer.name] = f"{peer.name}: {type(error).__name__}: {error}"
    repeats = {name: repeated(call, case.calls) for name, call in calls.items()}
    # A peer may make an array of the input's size on its way to the result.
    memory = data.written + sum(array.nbytes for array in data.read)
    return Measured(interleaved(repeats, known, rounds, memory), slow, failed)
