"""Where the taps of each window lie, as tables: all that stride, padding, dilation and ceil_mode
mean for an axis, in a few numbers to an output.

A forward pass looks at the windows from their outputs, a backward pass from the inputs: then the
"taps" of an input are the outputs that it had a part in. To a kernel the two are the same. Away
from the edges entries repeat, period by period, and are kept once: tables do not grow with the
axis.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from numpool._windows import Axis

# What is in a table's row: the first tap's position, how many taps there are, the window's share of
# the divisor, and the first tap's number in its window.
FIELDS = 4


class Table(NamedTuple):
    """The taps along an axis.

    Output number o reads entry o - q * period, and adds q * advance to its first tap, where q is
    (o - lead) // period, at least 0 and at most `repeats`. Taps are `step` apart, and their numbers
    `tap_step`.
    """

    entries: np.ndarray
    lead: int
    period: int
    repeats: int
    advance: int
    step: int
    tap_step: int


def _distinct(size: int, lead: int, end: int, period: int) -> tuple[np.ndarray, int]:
    """The outputs that have an entry of their own, and how often the period repeats that starts at
    `lead`, up to `end`.
    """
    repeats = max((end - lead) // period - 1, 0)
    if repeats == 0:
        return np.arange(size), 0
    behind = lead + (repeats + 1) * period
    return np.concatenate([np.arange(lead + period), np.arange(behind, size)]), repeats


def _table(outputs: np.ndarray, columns: tuple, fields: tuple[int, ...]) -> Table:
    first, count, share, tap = columns
    lead, period, repeats, advance, step, tap_step = fields
    if repeats == 0:
        period = advance = 1  # and no number of any size
    repeated = np.clip((outputs - lead) // period, 0, repeats)
    first = np.where(count > 0, first - repeated * advance, 0)
    entries = np.stack(np.broadcast_arrays(first, count, share, tap), axis=-1)
    return Table(entries.astype(np.int64), lead, period, repeats, advance, step, tap_step)


def _shares(axis: Axis, start: np.ndarray, include_pad: bool) -> np.ndarray:
    """How many taps of windows, by where these start, count in an average."""
    end, lowest = axis.length, np.maximum(-(start // axis.dilation), 0)
    if include_pad:
        end, lowest = axis.length + axis.after, np.zeros_like(start)
    taps = np.minimum(-((start - end) // axis.dilation), axis.kernel) - lowest
    return np.maximum(taps, 1)


@functools.lru_cache(512)
def forward(axis: Axis, include_pad: bool | None = None) -> Table:
    """The taps of each output; shares are counted unless `include_pad` is None."""
    window = axis.trimmed()
    regular = window.interior()
    if include_pad is not None:
        counted = (axis.padded() if include_pad else axis).interior()
        lead = max(regular.start, counted.start)
        regular = range(lead, max(min(regular.stop, counted.stop), lead))
    outputs, repeats = _distinct(axis.outputs, regular.start, regular.stop, 1)
    start = outputs * window.stride - window.before
    lowest = np.maximum(-(start // window.dilation), 0)
    highest = np.minimum(-((start - window.length) // window.dilation), window.kernel)
    share = np.ones_like(start)
    if include_pad is not None:
        share = _shares(axis, outputs * axis.stride - axis.before, include_pad)
    skipped = (axis.before - window.before) // axis.dilation
    columns = (
        start + lowest * window.dilation,
        np.maximum(highest - lowest, 0),
        share,
        lowest + skipped,
    )
    fields = (regular.start, 1, repeats, window.stride, window.dilation, 1)
    return _table(outputs, columns, fields)


def shares(axis: Axis, include_pad: bool | None) -> Table:
    """Each output's share of the divisor, and the one tap at its own place."""
    table = forward(axis, include_pad)
    outputs, repeats = _distinct(axis.outputs, table.lead, table.lead + table.repeats + 1, 1)
    columns = (outputs, np.ones_like(outputs), table.entries[:, 2], np.zeros_like(outputs))
    return _table(outputs, columns, (table.lead, 1, repeats, 1, 1, 1))


@functools.lru_cache(512)
def backward(axis: Axis) -> Table:
    """The outputs that each input had a part in, and the tap's number that it was in the first.

    Input t is tap number n of window i where t + before = i * stride + n * dilation.
    """
    window = axis.trimmed()
    skipped = (axis.before - window.before) // axis.dilation
    dilation = window.dilation if window.kernel > 1 else 1
    stride, before = window.stride, window.before
    common = math.gcd(stride, dilation)
    step = dilation // common
    reach = (window.kernel - 1) * dilation
    lead = min(max(reach - before, 0), axis.length)
    end = max(min(window.outputs * stride - before, axis.length), lead)
    inputs, repeats = _distinct(axis.length, lead, end, stride)
    place = inputs + before
    first = np.maximum(-((reach - place) // stride), 0)
    last = np.minimum(place // stride, window.outputs - 1)
    if step > 1:
        inverse = pow(stride // common, -1, step)
        exact = place // common
        if step >= 2**31:  # the product leaves 64 bits
            exact = exact.astype(object)
        first = first + ((exact * inverse - first) % step).astype(np.int64)
    count = np.maximum((last - first) // step + 1, 0)
    count = np.where(place % common == 0, count, 0)
    tap = (place - first * stride) // dilation + skipped
    fields = (lead, stride, repeats, 1, step, -(stride // common))
    return _table(inputs, (first, count, np.ones_like(first), tap), fields)
