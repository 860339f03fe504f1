"""Arguments to windows: every check of a window argument, and the shape of the result.

An `Axis` says everything that kernel size, stride, padding, dilation, "same" and ceil_mode mean for
one window axis, in exact integers. Taps that can hold no data are trimmed before anything is done,
so that neither time nor memory grows with padding or a kernel that reach beyond it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

MAX_RANK = 3
_INT64_MAX = 2**63 - 1
# Padded lengths up to this leave every product of the kernels inside int64.
_LONGEST = 2**62


class Phases(NamedTuple):
    """Which outputs of an axis are equal, since they have the same taps. In a backward pass, where
    outputs are positions of the forward input, most are.

    From the start of one forward window to that of the next is a period; the first output stands
    `origin` positions behind the start of its own. A period has `per_period` phases: outputs side
    by side with the same taps, of which the first phase has `wide`. A phase of one period is called
    a place. In a forward pass each output is one.
    """

    period: int = 1
    per_period: int = 1
    wide: int = 1
    origin: int = 0
    # Of the forward window.
    taps: int = 1
    dilation: int = 1

    @property
    def every(self) -> int:
        """How many taps lie between two that stand at the same place of their periods."""
        return self.period // math.gcd(self.dilation, self.period)

    @property
    def repeats(self) -> bool:
        """Whether a place may have several outputs."""
        return self.period > self.per_period

    @property
    def mixed(self) -> bool:
        """Whether dilation mixes the phases up: each output is one then."""
        return self.dilation > 1 and self.every > 1


class Axis(NamedTuple):
    """The windows along one axis: `outputs` windows over `length` values.

    A backward pass looks at the same windows from the input, see `adjoint`: there are then `kernel`
    taps or one less to an output, and a window for each period.
    """

    length: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    outputs: int
    phases: Phases = Phases()

    @property
    def reach(self) -> int:
        """Positions from the first tap of a window to its last, both included."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def trivial(self) -> bool:
        """Whether each output is the input at its own place."""
        return self.kernel == self.stride == 1 and self.outputs == self.length and self.before == 0

    @property
    def all_hold_data(self) -> bool:
        """Whether each window has a tap that holds data."""
        first_end, last_start = self.reach - self.before, (self.outputs - 1) * self.stride
        gapless = self.kernel == 1 or self.dilation <= self.length
        return gapless and first_end > 0 and last_start - self.before < self.length

    @property
    def first_place(self) -> int:
        """The place of the first output."""
        return self._place_of(0)

    @property
    def places(self) -> int:
        """How many places the outputs have."""
        return self._place_of(self.outputs - 1) - self.first_place + 1

    def _place_of(self, output: int) -> int:
        period, count, wide, origin, *_ = self.phases
        number, within = divmod(output + origin, period)
        return number * count + min(within // wide, count - 1)

    def windows_of(self, outputs: int) -> int:
        """The most windows that so many neighbouring outputs need."""
        period = self.phases.period
        return (outputs + period - 2) // period + 1

    def adjoint(self) -> Axis:
        """The windows of the backward pass: for each input position, the outputs that it had a part
        in.

        Position t is a tap of window i where t + before = i * stride + tap * dilation. Of the taps
        that stand as far behind the start of a period as t does, `every`-th ones, each belongs to a
        window `step` before that of the last.
        """
        window = self.trimmed()
        dilation = window.dilation if window.kernel > 1 else 1
        period = window.stride
        if window.outputs == 1:  # any stride is right
            period = window.kernel if dilation == 1 else dilation
        common = math.gcd(dilation, period)
        step, every = dilation // common, period // common
        kernel = -(-window.kernel // every)
        wide, per_period = 1, period
        if dilation == 1:
            wide = window.kernel % period or period
            per_period = 1 if wide == period else 2
        elif every == 1:
            per_period = min(period, 2)
        return Axis(
            length=window.outputs,
            kernel=kernel,
            stride=1,
            dilation=step,
            before=(kernel - 1) * step - window.before // period,
            after=0,
            outputs=window.length,
            phases=Phases(
                period, per_period, wide, window.before % period, window.kernel, dilation
            ),
        )

    def trimmed(self) -> Axis:
        """The same windows without the taps that hold data in none of them."""
        first_start = -self.before
        last_start = (self.outputs - 1) * self.stride - self.before
        lowest = max(-(last_start // self.dilation), 0)
        highest = min((self.length - 1 - first_start) // self.dilation, self.kernel - 1)
        if highest < lowest:
            return self._replace(kernel=1)
        return self._replace(
            kernel=highest - lowest + 1, before=self.before - lowest * self.dilation
        )

    def padded(self) -> Axis:
        """The same windows where the padding is data."""
        length = self.before + self.length + self.after
        return self._replace(length=length, before=0, after=0)

    def regular_places(self) -> range:
        """Places of which all taps hold data."""
        if self.phases.period == 1:
            return self.interior()
        if self.phases.mixed:
            return range(0)
        per_period = self.phases.per_period
        first = max(self.before, 0)
        last = max(self.length - self.reach + self.before + 1, first)
        return range(first * per_period, last * per_period)

    def interior(self) -> range:
        """The outputs of which all taps hold data and count in an average."""
        first = -(-self.before // self.stride) if self.before > 0 else 0
        last = (self.length - self.reach + self.before) // self.stride
        return range(
            min(first, self.outputs), max(min(last + 1, self.outputs), min(first, self.outputs))
        )


class Windows(NamedTuple):
    """The window axes of an array, in the order of its axes, and the shape of the result."""

    axes: tuple[int, ...]
    windows: tuple[Axis, ...]
    shape: tuple[int, ...]

    @property
    def taps(self) -> int:
        """The taps of a window, in the padding too."""
        return math.prod(w.kernel for w in self.windows)


# Sequences of ints to Python, but nobody's idea of kernel sizes.
_BYTES = (str, bytes, bytearray, memoryview)


def as_int(name: str, value: Any, least: int) -> int:
    """`value` as an int of at least `least`; bool and float are refused."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got the bool {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name} must be an integer, got {value!r} of type {type(value).__name__}"
        ) from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    if number > _INT64_MAX:
        raise ValueError(f"{name} must fit into 64 bits (at most {_INT64_MAX}), got {number}")
    return number


def _is_sequence(value: Any) -> bool:
    return (isinstance(value, Sequence) and not isinstance(value, _BYTES)) or (
        isinstance(value, np.ndarray) and value.ndim > 0
    )


def _as_ints(name: str, value: Any, rank: int, least: int) -> tuple[int, ...]:
    if not _is_sequence(value):
        return (as_int(name, value, least),) * rank
    if len(value) != rank:
        raise ValueError(
            f"{name} must be an int or {rank} ints (one for each window axis), got {value!r}"
        )
    return tuple(as_int(f"{name}[{i}]", v, least) for i, v in enumerate(value))


def as_flag(name: str, value: Any) -> bool:
    """`value` if it is a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def _window_axes(ndim: int, rank: int | None, kernel_size: Any, axis: Any) -> tuple[int, ...]:
    """The window axes, not negative, paired with the arguments as given."""
    given = None
    if axis is not None:
        given = tuple(axis) if _is_sequence(axis) else (axis,)
    if rank is None:
        if given is not None:
            rank = len(given)
        else:
            rank = len(kernel_size) if _is_sequence(kernel_size) else ndim
        if not 1 <= rank <= MAX_RANK:
            if given is None and not _is_sequence(kernel_size):
                hint = f"x has {ndim} axes; name the window axes by axis, as axis=(-2, -1)"
            else:
                hint = f"axis={axis!r}, kernel_size={kernel_size!r}"
            raise ValueError(f"the number of window axes must be 1, 2 or 3, got {rank}: {hint}")
    if given is None:
        if ndim < rank:
            raise ValueError(f"x must have at least {rank} axes, got {ndim}")
        return tuple(range(ndim - rank, ndim))
    axes = []
    for value in given:
        number = as_int("axis", value, -_INT64_MAX)
        if not -ndim <= number < ndim:
            raise np.exceptions.AxisError(number, ndim, "axis")
        axes.append(number % ndim)
    if len(set(axes)) < len(axes):
        raise ValueError(f"axis must name distinct axes, got {axis!r} for {ndim} axes")
    if len(axes) != rank:
        raise ValueError(f"axis must name {rank} window axes, got {axis!r}")
    return tuple(axes)


def _pads(padding: Any, rank: int) -> list[tuple[int, int]] | str:
    """(before, after) for each window axis, or the name of a padding."""
    allowed = f'an int, {rank} ints, {rank} pairs (before, after), "valid", "same" or "same_lower"'
    if isinstance(padding, str):
        if padding not in ("valid", "same", "same_lower"):
            raise ValueError(f"padding must be {allowed}, got {padding!r}")
        return padding
    if not _is_sequence(padding):
        return [(as_int("padding", padding, 0),) * 2] * rank
    if len(padding) != rank:
        raise ValueError(f"padding must be {allowed}, got {padding!r}")
    pads = []
    for i, value in enumerate(padding):
        pair = tuple(value) if _is_sequence(value) else (value, value)
        if len(pair) != 2:
            raise ValueError(f"padding must be {allowed}, got {padding!r}")
        before, after = (as_int(f"padding[{i}]", v, 0) for v in pair)
        pads.append((before, after))
    return pads


def _axis(
    name: str, length: int, kernel: int, stride: int, dilation: int, pads: Any, ceil_mode: bool
) -> Axis:
    reach = (kernel - 1) * dilation + 1
    if isinstance(pads, str):
        before = after = 0
        if pads != "valid":
            total = max((-(-length // stride) - 1) * stride + reach - length, 0)
            before = total // 2 if pads == "same" else total - total // 2
            after = total - before
    else:
        before, after = pads
    if length + before + after > _LONGEST:
        raise ValueError(
            f"padding must leave {name} a length of at most 2**62, got {before} + {after} "
            f"around {length}"
        )
    outputs = (length + before + after - reach + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (outputs - 1) * stride >= length + before:
        outputs -= 1
    if outputs < 1:
        raise ValueError(
            f"the output would be empty along {name}: its length {length} with padding "
            f"{before} + {after} is {length + before + after}, and the window reaches over {reach} "
            f"(kernel_size {kernel}, dilation {dilation}); use a smaller kernel_size or dilation, "
            "or more padding"
        )
    return Axis(length, kernel, stride, dilation, before, after, outputs)


def windows_of(
    shape: tuple[int, ...],
    rank: int | None,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: Any,
    axis: Any,
) -> Windows:
    """Check the window arguments for an array of `shape`; `rank` is None for the rank-generic
    functions.
    """
    axes = _window_axes(len(shape), rank, kernel_size, axis)
    rank = len(axes)
    kernels = _as_ints("kernel_size", kernel_size, rank, 1)
    strides = kernels if stride is None else _as_ints("stride", stride, rank, 1)
    dilations = _as_ints("dilation", dilation, rank, 1)
    pads = _pads(padding, rank)
    ceil_mode = as_flag("ceil_mode", ceil_mode)
    windows = {
        a: _axis(
            f"axis {a}",
            shape[a],
            kernels[i],
            strides[i],
            dilations[i],
            pads if isinstance(pads, str) else pads[i],
            ceil_mode,
        )
        for i, a in enumerate(axes)
    }
    result = tuple(windows[a].outputs if a in windows else n for a, n in enumerate(shape))
    if math.prod(n for n in result if n) > _INT64_MAX:
        raise ValueError(
            f"the result would have shape {result}, more than an array can hold; "
            "use less padding or a larger stride"
        )
    order = tuple(sorted(windows))
    return Windows(order, tuple(windows[a] for a in order), result)
