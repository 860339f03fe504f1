"""Launches: a kernel, its plan, and the tables it reads on each device.

A step depends on dtypes, shapes, strides and arguments, never on data: it is worked out once and
kept.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from numpool._cuda import arrays, launch, library, tables
from numpool._cuda.libraries import DeviceArray, strides_of
from numpool._cuda.passes import Pass
from numpool._cuda.plan import Codes, Numbers, as_arguments, memory_of, plan_walk
from numpool._cuda.prepared import Prepared, prepare
from numpool._cuda.variants import Facts, best
from numpool._cuda.vectors import BYTES as VECTOR
from numpool._views import canonical
from numpool._windows import Axis, Windows

# Threads of a block. The simulator starts one of Python's for each.
_BLOCK = 32 if launch.SIMULATED else 256
_KEPT = 512


class Way(NamedTuple):
    """How a step goes over windows: from their outputs or, `backward`, from their inputs.

    Tables have the windows' shares of a divisor if `include_pad` is not None; for `shares` alone,
    each output has the one tap at its own place. `codes` say how indices are counted.
    """

    backward: bool = False
    include_pad: bool | None = None
    shares: bool = False
    codes: Codes | None = None


def in_line(array: DeviceArray) -> bool:
    """Whether an array begins where vectors may."""
    return array.address % VECTOR == 0


class _Step:
    """A kernel ready to launch on operands of some shapes and strides."""

    def __init__(
        self,
        kernel: tuple,
        windows: Windows,
        shape: tuple[int, ...],
        way: Way,
        operands: tuple[Facts | None, ...],
        numbers: Numbers,
    ) -> None:
        strides = [None if o is None else o.strides for o in operands]
        lead = 2 if way.backward else 0
        view = canonical(
            windows, shape, strides, lead, keep_axes=way.codes is not None, join=not way.shares
        )
        table_of: Callable[[Axis], tables.Table] = tables.backward
        if not way.backward:
            make = tables.shares if way.shares else tables.forward
            table_of = functools.partial(make, include_pad=way.include_pad)
        codes = way.codes
        memory = [None if o is None else memory_of(*o[:3]) for o in operands]
        plan = plan_walk(view, table_of, way.backward, memory, codes)
        threads = 1
        if not (plan.wide or way.backward):
            kernel, view, lanes, threads, taps = best(
                kernel, view, operands, way.shares, way.include_pad
            )
            plan = plan_walk(view, table_of, False, memory, codes, lanes, threads > 1)
            if way.include_pad is not None:
                numbers = numbers._replace(divisor=numbers.divisor * taps)
        self.kernel = library.kernel(*kernel, plan.wide)
        self.grid = -(-plan.walk.threads * threads // _BLOCK)
        self.numbers = as_arguments((plan.walk, numbers), plan.wide)
        self.tables = plan.tables
        # How far in front of an operand's first element its memory begins.
        self.before = [0 if m is None else m.start * m.itemsize for m in memory]
        self.uploaded: dict[int, Any] = {}
        self.prepared: dict[int, Prepared | None] = {}

    def run(self, operands: tuple[DeviceArray | None, ...]) -> None:
        source = operands[0]
        assert source is not None
        number = source.device
        prepared = self.prepared.get(number)
        if prepared is not None:
            pairs = zip(operands, self.before, strict=True)
            prepared.run(source.stream, [0 if o is None else o.address - b for o, b in pairs])
            return
        with launch.beside_captures():
            table = self.uploaded.get(number)
            if table is None:
                table = self.uploaded[number] = launch.table(self.tables, number)
            flat = [table if o is None else arrays.flat(o)[0] for o in operands]
            arguments = (*flat, table, *self.numbers)
            launch.run(self.kernel, self.grid, _BLOCK, number, source.stream, arguments)
            if number not in self.prepared:
                self.prepared[number] = prepare(
                    self.kernel, self.grid, _BLOCK, number, arguments, len(operands)
                )


@functools.lru_cache(_KEPT)
def _step(*facts: Any) -> _Step:
    return _Step(*facts)


def run(
    kernel: tuple,
    windows: Windows,
    shape: tuple[int, ...],
    way: Way,
    source: DeviceArray,
    out: DeviceArray,
    other: DeviceArray | None = None,
    extra: DeviceArray | None = None,
    numbers: Numbers | None = None,
) -> None:
    """Launch a kernel, (family, its arguments), on windows over an input of `shape`."""
    if out.size == 0:
        return
    operands = (source, other, out, extra)
    facts = tuple(o and Facts(o.shape, o.strides, o.itemsize, in_line(o)) for o in operands)
    step = _step(kernel, windows, shape, way, facts, numbers or Numbers())
    step.run(operands)
    recording = _recordings.get()
    if recording is not None:
        recording.steps.append((step, tuple(map(recording.known, operands))))


class Recording:
    """What a call does: its steps with their operands, of which intermediates are numbers, and the
    elements and dtype of each of these.
    """

    def __init__(self) -> None:
        self.steps: list[tuple[_Step, tuple[DeviceArray | int | None, ...]]] = []
        self.intermediates: list[tuple[int, np.dtype]] = []
        # By the identity of their owner: whoever has it later is another one, made later.
        self._numbers: dict[int, int] = {}

    def note(self, intermediate: DeviceArray) -> None:
        """Number an intermediate that was made, without keeping its memory."""
        self._numbers[id(intermediate.owner)] = len(self.intermediates)
        self.intermediates.append((intermediate.size, intermediate.dtype))

    def known(self, operand: DeviceArray | None) -> DeviceArray | int | None:
        """An operand, as its number if it is an intermediate."""
        return operand and self._numbers.get(id(operand.owner), operand)


_recordings: ContextVar[Recording | None] = ContextVar("recordings", default=None)


@contextlib.contextmanager
def recorded() -> Iterator[Recording]:
    """What is done meanwhile."""
    recording = Recording()
    token = _recordings.set(recording)
    try:
        yield recording
    finally:
        _recordings.reset(token)


def scratch(x: DeviceArray, shape: tuple[int, ...], dtype: np.dtype) -> DeviceArray:
    """Memory for an intermediate of a shape, in x's memory order."""
    order = sorted(range(x.ndim), key=lambda axis: (-abs(x.strides[axis]), axis))
    flat = arrays.scratch(x, math.prod(shape), dtype)
    recording = _recordings.get()
    if recording is not None:
        recording.note(flat)
    return flat._replace(shape=shape, strides=strides_of(shape, order, dtype.itemsize))


# Launches a step on a source, a result, and what joins the taps if anything does.
Run = Callable[[Windows, DeviceArray, DeviceArray, DeviceArray | None], None]


def through(
    like: DeviceArray,
    passes: Sequence[Pass],
    source: DeviceArray,
    out: DeviceArray,
    dtype: np.dtype,
    run: Run,
) -> None:
    """Take an array through passes to `out`, by intermediates of a dtype in the memory order of
    `like`.
    """
    before = source
    for step in passes:
        rest = None
        if step.rest is not None:
            rest = scratch(like, step.windows.shape, dtype)
            run(step.rest, before, rest, None)
        result = out if step is passes[-1] else scratch(like, step.windows.shape, dtype)
        run(step.windows, source, result, rest)
        before, source = source, result
