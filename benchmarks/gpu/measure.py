"""Numpool, its peers and a copy on one case: values are compared first, then all are timed.

All work is on the default stream. The floor is a copy within the device that reads and writes as
many bytes in all as the case does. A measurement is a number of calls between two events; a turn is
the best of three, and all take turns. The host's part is the time in which a call returns that
finds the stream empty, as it is the most that a call can take where the GPU has little to do.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from benchmarks import own
from benchmarks.cases import Case
from benchmarks.check import Disagreement, agree
from benchmarks.data import Data, make
from benchmarks.gpu.carriers import Carrier, bounds_of
from benchmarks.measure import FLOOR, HOST, NUMPOOL, REUSED, Measured, own_arrays
from benchmarks.peers.peer import Peer
from benchmarks.timing import Call, Times, repeated

# A measurement takes at least so long.
_MEASUREMENT = 5e-3
# Calls of which the host's part is taken: fewer than wait in the queue of a stream.
_HOST_CALLS = 50
# Layouts of no GPU array.
_NEVER = ("byte-swapped", "read-only memmap")


class Device(Protocol):
    """How time is taken, and what the floor is."""

    def seconds(self, call: Call, count: int) -> float:
        """The seconds that `count` calls take on the device."""

    def wait(self) -> None:
        """Wait until the device is idle."""

    def copy(self, count: int) -> Call:
        """A copy of so many bytes within the memory of the device."""


class Events:
    """Time between two events on the default stream of a device; copies by its driver."""

    def __init__(self, cuda: Any) -> None:
        self._cuda = cuda

    def seconds(self, call: Call, count: int) -> float:
        """The seconds that `count` calls take."""
        start, end = self._cuda.event(), self._cuda.event()
        start.record()
        for _ in range(count):
            call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) * 1e-3

    def wait(self) -> None:
        """Wait until the device is idle."""
        self._cuda.synchronize()

    def copy(self, count: int) -> Call:
        """A copy of so many bytes; Numba's own takes longer to ask for than small ones take."""
        from cuda.bindings import driver

        ends = [self._cuda.device_array(count, np.uint8) for _ in range(2)]
        source, target = (driver.CUdeviceptr(a.device_ctypes_pointer.value) for a in ends)

        def call(keep: Any = ends) -> None:
            driver.cuMemcpyDtoDAsync(target, source, count, 0)

        return call


def measurable(case: Case) -> bool:
    """Whether a case can be had on a GPU."""
    return case.layout not in _NEVER


def uploaded(data: Data, carriers: Sequence[Carrier]) -> tuple[Data, Carrier]:
    """The arrays of a case on the device, in their layouts, by the first library that has them."""
    given = {"x": data.x, "grad": data.grad, "indices": data.indices, "y": data.y}
    there = {name: array for name, array in given.items() if array is not None}
    carrier = next(c for c in carriers if all(c.carries(array) for array in there.values()))
    arrays = {name: carrier.upload(array) for name, array in there.items()}
    return data._replace(**arrays), carrier


def _downloaded(carrier: Carrier, result: Any) -> Any:
    if isinstance(result, tuple):
        return tuple(map(carrier.download, result))
    return carrier.download(result)


def moved(data: Data) -> int:
    """The bytes a case reads and writes; of what it reads, the memory that arrays span."""
    return sum(high - low for low, high in map(bounds_of, data.read)) + data.written


def measure(
    case: Case,
    peers: Sequence[Peer],
    carriers: Sequence[Carrier],
    device: Device,
    rounds: int,
) -> Measured:
    """Measure one case; numpool's own results must be those of its CPU kernels."""
    data = make(case)
    expected = own_arrays(data, own.prepare(data)())
    there, carrier = uploaded(data, carriers)
    calls = {NUMPOOL: own.prepare(there), REUSED: own.prepare(there, reused=True)}
    for name in (NUMPOOL, REUSED):
        found = own_arrays(data, _downloaded(carrier, calls[name]()))
        agree(case, f"{name} on the GPU", found, expected)
    # A copy reads what it writes.
    calls[FLOOR] = device.copy(max(1, moved(data) // 2))
    failed = {}
    for peer in peers:
        if not peer.supports(case):
            continue
        try:
            run = peer.prepare(data)
            agree(case, peer.name, run.arrays(run.call()), expected, peer.running)
            calls[peer.name] = run.call
        except Disagreement as error:
            failed[peer.name] = str(error)
        except Exception as error:  # A library that fails ends its own part only, and is shown.
            failed[peer.name] = f"{peer.name}: {type(error).__name__}: {error}"
    repeats = {name: repeated(call, case.calls) for name, call in calls.items()}
    times = interleaved(repeats, device, rounds)
    times[HOST] = Times.of([_host(calls[NUMPOOL], device) for _ in range(rounds)])
    return Measured(times, [], failed)


def interleaved(calls: Mapping[str, Call], device: Device, rounds: int) -> dict[str, Times]:
    """Times of calls that take turns, whose order is turned from round to round."""
    counts = {}
    for name, call in calls.items():
        device.seconds(call, 1)
        counts[name] = max(1, round(_MEASUREMENT / max(device.seconds(call, 3) / 3, 1e-7)))
    turns: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for number in range(rounds):
        for i in range(len(names)):
            name = names[(i + number) % len(names)]
            turns[name].append(_turn(calls[name], counts[name], device.seconds))
    return {name: Times.of(found) for name, found in turns.items()}


def _turn(call: Call, count: int, seconds: Callable[[Call, int], float]) -> float:
    return min(seconds(call, count) / count for _ in range(3))


def _host(call: Call, device: Device) -> float:
    device.wait()
    start = time.perf_counter()
    for _ in range(_HOST_CALLS):
        call()
    seconds = time.perf_counter() - start
    device.wait()
    return seconds / _HOST_CALLS
