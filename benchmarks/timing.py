"""How calls are timed side by side.

All take turns in each round, in another order from round to round: nobody always follows the same
one. Before a turn comes a pause, since idle threads of the one before go on spinning for some
milliseconds; then as much memory as a call may take is touched and freed. A virtual machine hands
memory that was free for two seconds back to its host, and the next to take it would wait for the
host: 100 to 200 ms in place of 6 for 100 MB. A turn is the best of three measurements in a row; a
measurement makes as many calls as a millisecond holds. What is reported is the median of the turns.
"""

import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

Call = Callable[[], Any]

# A measurement of short calls takes at least so long.
_MEASUREMENT = 1e-3
_PAUSE = 5e-3
_PAGE = 4096
# From here on, a turn is one call.
_LONG = 0.1
# Calls that fill so many seconds in fewer turns than there are rounds have no more, but two.
_TIME = 1.0
# From here on, a call is timed once.
SLOW = 2.0


class Times(NamedTuple):
    """Seconds a call: the median of all turns, the quickest and the slowest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, turns: list[float]) -> "Times":
        """Sum turns up."""
        return cls(statistics.median(turns), min(turns), max(turns))


def once(call: Call) -> tuple[float, Any]:
    """The seconds one call takes, and its result."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def repeated(call: Call, count: int) -> Call:
    """A call that makes `count` calls."""
    if count == 1:
        return call

    def calls() -> None:
        for _ in range(count):
            call()

    return calls


def touch(size: int) -> None:
    """Write to each page of so many bytes of new memory, and free it."""
    np.empty(size, np.uint8)[::_PAGE] = 0


def interleaved(
    calls: Mapping[str, Call], known: Mapping[str, float], rounds: int, memory: int = 0
) -> dict[str, Times]:
    """Times of calls that take turns and about so many bytes of memory; `known` holds the seconds
    of a first call of some of them.

    A first call that was slow is not repeated, and calls that take long have fewer turns.
    """
    once_is_enough = {name: seconds for name, seconds in known.items() if seconds > SLOW}
    rest = [name for name in calls if name not in once_is_enough]
    for name in rest:
        if name not in known:
            calls[name]()
    estimates = {}
    for name in rest:
        touch(memory)
        first = known.get(name, 0.0)
        estimates[name] = first if first > _TIME else once(calls[name])[0]
    turns: dict[str, list[float]] = {name: [] for name in rest}
    for number in range(rounds):
        for name in _shuffled(rest, number):
            if number < max(2, _TIME / estimates[name]):
                time.sleep(_PAUSE)
                touch(memory)
                turns[name].append(turn(calls[name], estimates[name]))
    return {
        name: Times.of([once_is_enough[name]] if name in once_is_enough else turns[name])
        for name in calls
    }


def _shuffled(names: list[str], number: int) -> list[str]:
    return random.Random(number).sample(names, len(names))


def turn(call: Call, estimate: float) -> float:
    """The seconds a call takes in one turn, of a call that takes about `estimate`."""
    if estimate >= _LONG:
        return once(call)[0]
    count = max(1, round(_MEASUREMENT / estimate))
    return min(_seconds(call, count) for _ in range(3))


def _seconds(call: Call, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count
