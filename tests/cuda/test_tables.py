"""Tables of windows against windows counted out one by one."""

import cases
import numpy as np
import oracle
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from numpool._windows import windows_of

tables = pytest.importorskip("numpool._cuda.tables")

small = st.integers(0, 9)
sizes = st.integers(1, 6) | st.sampled_from([10**8 + 7, 10**9])


def expanded(table, size):
    """What kernels read: the first tap, the taps, the share and the first number of each output."""
    rows = []
    for output in range(size):
        repeat = min(max(output - table.lead, 0) // table.period, table.repeats)
        first, *others = table.entries[output - repeat * table.period].tolist()
        rows.append((first + repeat * table.advance, *others))
    return rows


@settings(max_examples=cases.examples(500), deadline=None)
@given(
    st.integers(1, 30), sizes, sizes, sizes, small | st.just(10**9), small, st.booleans(),
    st.sampled_from([None, True, False]),
)  # fmt: skip
def test_forward_and_backward(length, k, stride, dilation, before, after, ceil_mode, include_pad):
    arguments = (k, stride, ((before, after),), dilation, ceil_mode)
    try:
        axis = windows_of((length,), 1, *arguments, None).windows[0]
    except ValueError:
        assume(False)
    assume(axis.outputs <= 200)
    counted = oracle.Axis(length, k, stride, before, after, dilation, axis.outputs)
    table = tables.forward(axis, include_pad)
    found = expanded(table, axis.outputs)
    shares = tables.shares(axis, include_pad)
    of = {t: [] for t in range(length)}
    for i in range(axis.outputs):
        taps, start, inside = counted.window(i)
        first, count, share, tap = found[i]
        assert count == len(taps)
        assert share == {None: 1, True: max(inside, 1), False: max(count, 1)}[include_pad]
        assert expanded(shares, axis.outputs)[i] == (i, 1, share, 0)
        if count:
            assert (first, tap) == (start + taps[0] * dilation, taps[0])
            assert count == 1 or table.step == dilation
        for n in taps:
            of[start + n * dilation].append((i, n))
    table = tables.backward(axis)
    for t, (first, count, _, tap) in enumerate(expanded(table, length)):
        assert [(first + n * table.step, tap + n * table.tap_step) for n in range(count)] == of[t]


@pytest.mark.parametrize("way", [tables.forward, tables.backward, tables.shares])
def test_tables_do_not_grow_with_the_axis(way):
    axis = windows_of((10**12,), 1, 5, 3, 2, 1, False, None).windows[0]
    arguments = () if way is tables.backward else (True,)
    assert len(way(axis, *arguments).entries) < 20


def test_dividers_divide():
    from numpool._cuda.scalars import divider

    rng = np.random.default_rng(0)
    sizes = [*range(1, 300), *(2**i + j for i in range(2, 31) for j in (-1, 0, 1)), 2**31 - 1]
    for size in sizes:
        by = divider(size)
        assert by.multiplier < 2**32
        quotients = rng.integers(0, 2**31 // size, 20)
        numbers = [0, 2**31 - 1, *(quotients * size).tolist(), *(quotients * size - 1).tolist()]
        for number in numbers:
            if 0 <= number < 2**31:
                assert number * by.multiplier >> by.shift == number // size
