"""Windows in passes have the taps of the windows, and few of them at a time."""

import math
import random

import numpy as np
import pytest

from numpool._cuda import passes
from numpool._windows import windows_of


@pytest.fixture
def eager(monkeypatch):
    """Splits wherever there may be one."""
    passes.split.cache_clear()
    monkeypatch.setattr(passes, "_cost", lambda threads, taps: taps**2 + 0.0 * threads)
    yield
    passes.split.cache_clear()


def axis_of(length, kernel, stride, padding, dilation, ceil_mode=False):
    return windows_of(
        (length,), 1, kernel, stride, padding, dilation, ceil_mode, None
    ).windows[0]  # fmt: skip


def taps(axis):
    """The positions that hold data of each window."""
    starts = np.arange(axis.outputs) * axis.stride - axis.before
    found = [start + np.arange(axis.kernel) * axis.dilation for start in starts]
    return [row[(row >= 0) & (row < axis.length)].tolist() for row in found]


def taps_in_passes(split):
    """The same of windows of windows."""
    of, over = taps(split.of), taps(split.over)
    found = [[tap for part in parts for tap in of[part]] for parts in over]
    if split.rest is not None:
        found = [a + b for a, b in zip(found, taps(split.rest), strict=True)]
    return found


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.usefixtures("eager")
def test_windows_of_windows_have_the_taps_of_windows(overlap):
    draw, splits = random.Random(0).randint, 0
    for _ in range(3000):
        length, kernel, stride, dilation = draw(1, 60), draw(1, 40), draw(1, 12), draw(1, 4)
        pads, ceil_mode = (draw(0, 40), draw(0, 40)), bool(draw(0, 1))
        try:
            axis = axis_of(length, kernel, stride, [pads], dilation, ceil_mode)
        except ValueError:  # no window fits
            continue
        split = passes.split(axis, 1, overlap)
        if split is None:
            continue
        splits += 1
        assert split.rest is None or not overlap
        for own, found in zip(taps(axis), taps_in_passes(split), strict=True):
            if overlap:
                found = dict.fromkeys(found)
            assert list(found) == own
    assert splits > 300


@pytest.mark.parametrize(
    ("kernel", "stride"),
    [(24, 1), (31, 1), (31, 2), (101, 1), (101, 7), (1000, 2), (1000, 7), (10007, 1), (10007, 7)],
)
@pytest.mark.parametrize("overlap", [False, True])
def test_the_cost_is_that_of_the_root_of_the_taps(kernel, stride, overlap):
    axis = axis_of(2**20, kernel, stride, 0, 1)
    split = passes.split(axis, 64, overlap)
    taps = split.of.kernel * split.of.outputs / axis.outputs + split.over.kernel
    if split.rest is not None:
        taps += split.rest.kernel
    assert taps <= 2.5 * math.sqrt(kernel * stride) + 2


def test_what_has_few_taps_is_one_pass():
    for kernel, stride in ((2, 1), (3, 1), (9, 1), (16, 16), (1000, 1000)):
        for back in (False, True):
            axis = axis_of(2**20, kernel, stride, 0, 1)
            assert passes.split(axis, 256, True, back) is None
    whole = axis_of(2**20, 2**20, 1, 0, 1)
    assert passes.split(whole, 256, False, True) is None


def test_intermediates_are_no_larger_than_the_data(eager):
    for kernel, stride in ((4, 10**9), (10**9, 10**9), (10**9, 1)):
        axis = axis_of(100, kernel, stride, 10**9, 1)
        for back in (False, True):
            split = passes.split(axis, 1, True, back)
            assert split is None or split.of.outputs <= 200


def test_what_few_threads_would_do_is_cut():
    """One window over a long axis, of which there are few."""
    axis = axis_of(2**20, 2**20, 1, 0, 1)
    split = passes.split(axis, 4, False)
    assert max(split.of.kernel, split.over.kernel) <= 2048
    assert split.of.outputs == split.over.kernel


def test_axes_come_one_after_the_other():
    windows = windows_of((4, 50, 60), 2, (9, 7), (1, 5), 0, 1, False, None)
    shapes = [step.windows.shape for step in passes.forward(windows, (4, 50, 60), False)]
    assert shapes == [(4, 50, 11), (4, 42, 11)]
    shapes = [step.windows.shape for step in passes.backward(windows, (4, 50, 60))]
    assert shapes == [(4, 50, 60)]
    windows = windows_of((4, 50, 60), 2, 9, (1, 1), 0, 1, False, None)
    shapes = [step.windows.shape for step in passes.backward(windows, (4, 50, 60))]
    assert shapes == [(4, 42, 60), (4, 50, 60)]


def test_maxima_go_axis_by_axis_backward_from_the_innermost():
    """In the order of axes, not of memory or of cost: of equal values, the first in C order."""
    for kernel, stride, expected in (
        ((9, 7), (1, 1), [(4, 50, 54), (4, 42, 54)]),
        ((9, 7), (5, 1), []),
        ((31, 31), (31, 31), []),
        ((31, 1), (1, 1), []),
        ((31, 5), (1, 2), [(4, 50, 28), (4, 20, 28)]),
    ):
        shape = (4, 50, 60)
        windows = windows_of(shape, 2, kernel, stride, 0, 1, False, None)
        found = passes.axis_by_axis(windows, shape)
        assert [step.shape for step in found] == (expected or [windows.shape])
        assert found[-1].shape == windows.shape


def test_planes_are_one_pass():
    windows = windows_of((4, 14, 14), 2, 14, None, 0, 1, False, None)
    assert passes.forward(windows, (4, 14, 14), False) == [passes.Pass(windows)]
    assert len(passes.backward(windows, (4, 14, 14))) == 1
    windows = windows_of((4, 99, 99), 2, 99, None, 0, 1, False, None)
    assert len(passes.forward(windows, (4, 99, 99), True)) > 1
