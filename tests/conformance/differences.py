"""The one table of what numpool does otherwise than its peers on purpose, and what no peer covers.

The suites beside this file look every case up here, count what they find, and compare such a case
with an expectation adjusted for that difference only. docs/conformance.md shows the same table.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np


@dataclasses.dataclass(frozen=True)
class Case:
    """One call of a peer, in numpool's words; `raw` keeps the peer's own arguments."""

    peer: str
    op: str  # "max", "avg" or "lp"
    x: np.ndarray
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil_mode: bool = False
    p: float = 2.0
    count_include_pad: bool = True
    divisor_override: float | None = None
    raw: dict = dataclasses.field(default_factory=dict)

    @property
    def rank(self) -> int:
        return len(self.kernel)

    @property
    def lengths(self) -> tuple[int, ...]:
        return self.x.shape[-self.rank :]

    def __str__(self) -> str:
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        shown = ", ".join(f"{k}={v}" for k, v in given.items() if k not in ("peer", "op", "x"))
        return f"{self.op} of {self.x.dtype}{list(self.x.shape)} strides {self.x.strides}: {shown}"

    def taps(self) -> Iterator[tuple[int, np.ndarray]]:
        """Per window axis its length, and the positions of the taps as an array [output, tap]."""
        for length, k, s, pad, d in zip(
            self.lengths, self.kernel, self.stride, self.padding, self.dilation, strict=True
        ):
            room = length + 2 * pad - d * (k - 1) - 1
            count = (room + (s - 1 if self.ceil_mode else 0)) // s + 1
            if self.ceil_mode and (count - 1) * s >= length + pad:
                count -= 1
            yield length, np.arange(count)[:, None] * s - pad + np.arange(k) * d

    def data_taps(self) -> np.ndarray:
        """How many taps of every window hold data, as an array over the window axes."""
        return self._count(lambda length, pad, at: (at >= 0) & (at < length))

    def inside_taps(self) -> np.ndarray:
        """How many taps of every window lie inside input plus padding."""
        return self._count(lambda length, pad, at: at < length + pad)

    def _count(self, holds: Callable[[int, int, np.ndarray], np.ndarray]) -> np.ndarray:
        counts = np.ones((), np.int64)
        for (length, at), pad in zip(self.taps(), self.padding, strict=True):
            counts = np.multiply.outer(counts, holds(length, pad, at).sum(axis=1))
        return counts


@dataclasses.dataclass(frozen=True)
class Difference:
    """What a peer does, what numpool does instead, and which cases that concerns."""

    key: str
    peer: str
    theirs: str
    ours: str
    applies: Callable[[Case], bool]


def _is_float(case: Case) -> bool:
    return case.x.dtype.kind == "f"


def _two_nans(case: Case) -> bool:
    return case.op == "max" and _is_float(case) and int(np.isnan(case.x).sum()) > 1


def _window_without_data(case: Case) -> bool:
    return case.op == "max" and bool((case.data_taps() == 0).any())


def _channels_last(case: Case) -> bool:
    return case.x.ndim == case.rank + 2 and case.x.strides[1] == case.x.itemsize


def _narrow_index(case: Case) -> bool:
    if case.op != "max" or case.x.dtype.kind not in "iu" or case.x.itemsize > 2:
        return False
    most = 2 ** (8 * case.x.itemsize - 1) - 1
    return _channels_last(case) and math.prod(case.lengths) > most


def _low_volume(case: Case) -> bool:
    if case.op != "max" or case.rank != 3 or not _channels_last(case):
        return False
    low = -math.inf if _is_float(case) else np.iinfo(case.x.dtype).min
    return bool((case.x == low).any())


def _small_volume(case: Case) -> bool:
    if case.op == "max" or case.rank != 3:
        return False
    return any(k > n for k, n in zip(case.kernel, case.lengths, strict=True))


def _padding_beyond_half(case: Case) -> bool:
    reach = (d * (k - 1) + 1 for k, d in zip(case.kernel, case.dilation, strict=True))
    return any(pad > r // 2 for pad, r in zip(case.padding, reach, strict=True))


def _short_tuple(case: Case) -> bool:
    names = ("kernel_size", "stride", "padding", "dilation")
    given = (case.raw.get(name) for name in names)
    return case.rank > 1 and any(isinstance(v, tuple) and len(v) == 1 for v in given)


def _empty_beside_batch(case: Case) -> bool:
    leading = case.x.shape[: -case.rank]
    return 0 in (leading[1:] if len(leading) == 2 else leading)


def _signed_power(case: Case) -> bool:
    if case.op != "lp" or math.isinf(case.p) or case.p % 2 == 0:
        return False
    return bool((case.x < 0).any())


def _lp_edge(case: Case) -> bool:
    if case.op != "lp" or math.isinf(case.p) or not case.ceil_mode:
        return False
    return bool((case.data_taps() < math.prod(case.kernel)).any())


def _power_out_of_range(case: Case) -> bool:
    if case.op != "lp" or math.isinf(case.p) or not _is_float(case):
        return False
    size = np.abs(case.x[np.isfinite(case.x) & (case.x != 0)]).astype(np.float64)
    info = np.finfo(case.x.dtype)
    if not size.size:
        return False
    # logarithms, because the powers of float64 data leave float64 as well
    low, high, taps = np.log(float(info.tiny)), np.log(float(info.max)), math.prod(case.kernel)
    least, most = case.p * np.log(size.min()), case.p * np.log(size.max()) + math.log(taps)
    # the sum and its root; the root too, because PyTorch scales it up at the edges
    return not (low < least and most < high and most / case.p < high)


def _lp_kink(case: Case) -> bool:
    return case.op == "lp" and case.p <= 1 and bool((case.x == 0).any())


def _integer_average(case: Case) -> bool:
    return case.op == "avg" and case.x.dtype.kind in "iu"


def _wide_integers(case: Case) -> bool:
    if case.op != "max" or case.x.dtype.kind not in "iu" or case.x.itemsize < 8:
        return False
    return int(case.x.max()) > 2**53 or int(case.x.min()) < -(2**53)


def _pads_with_data(case: Case) -> bool:
    return any(n % k for n, k in zip(case.lengths, case.kernel, strict=True))


def _onnx_defaults(case: Case) -> bool:
    if case.raw["global"]:
        return False
    return "strides" not in case.raw or (case.op == "avg" and "count_include_pad" not in case.raw)


DIFFERENCES = (
    Difference(
        "torch-nan-index",
        "PyTorch",
        "The index of a window with several NaN names the last of them.",
        "It names the first, as for every other tie.",
        _two_nans,
    ),
    Difference(
        "torch-no-data-index",
        "PyTorch",
        "A dilated window without data gets an index past the plane, and its gradient is written "
        "there.",
        "It gets index -1 and passes no gradient.",
        _window_without_data,
    ),
    Difference(
        "torch-low-volume",
        "PyTorch",
        "In a channels-last volume the index of a window of nothing but the lowest value lacks its "
        "depth.",
        "It is the position of the window's first tap, in every memory layout.",
        _low_volume,
    ),
    Difference(
        "torch-narrow-index",
        "PyTorch",
        "Channels-last maxima of 8- and 16-bit integers are an error where the plane has more "
        "elements than the type can count.",
        "Every size works in every memory layout.",
        _narrow_index,
    ),
    Difference(
        "torch-padding-limit",
        "PyTorch",
        "Padding beyond half the window is an error.",
        "Padding of any size is allowed.",
        _padding_beyond_half,
    ),
    Difference(
        "torch-one-tuple",
        "PyTorch",
        "A tuple of one element stands for every window axis.",
        "A tuple has one element per window axis, else it is a ValueError.",
        _short_tuple,
    ),
    Difference(
        "torch-empty-axis",
        "PyTorch",
        "An empty axis before the window axes is an error unless it is the batch of a batched "
        "input.",
        "Every axis that is not a window axis may be empty.",
        _empty_beside_batch,
    ),
    Difference(
        "torch-small-volume",
        "PyTorch",
        "A 3D average whose window is longer than the input is an error, whatever the padding.",
        "The window has to fit into the padded input.",
        _small_volume,
    ),
    Difference(
        "torch-integer-average",
        "PyTorch",
        "The average of int64 is int64, cut towards zero.",
        "It is float64, as `np.mean` gives.",
        _integer_average,
    ),
    Difference(
        "torch-lp-sign",
        "PyTorch",
        "lp sums x^p: negative taps cancel for an odd p and give NaN for a fractional one.",
        "lp sums |x|^p, the norm.",
        _signed_power,
    ),
    Difference(
        "torch-lp-edge",
        "PyTorch",
        "With ceil_mode, lp scales a window that reaches past the input up by (window size / "
        "taps with data)^(1/p).",
        "lp is the norm of the taps that hold data.",
        _lp_edge,
    ),
    Difference(
        "torch-lp-range",
        "PyTorch",
        "lp overflows or underflows where |x|^p leaves the dtype's range.",
        "lp is finite whenever the exact value can be represented.",
        _power_out_of_range,
    ),
    Difference(
        "torch-lp-kink",
        "PyTorch",
        "For p <= 1 the gradient of lp at a tap that is 0 is 1, or infinite.",
        "It is 0.",
        _lp_kink,
    ),
    Difference(
        "torch-lp-exponent",
        "PyTorch",
        "A negative p is computed.",
        "p <= 0 is a ValueError.",
        lambda case: case.op == "lp" and case.p <= 0,
    ),
    Difference(
        "onnx-index-origin",
        "ONNX",
        "Indices count through the whole tensor, and within a plane down the columns for "
        "storage_order=1.",
        "Indices count within the plane, in C order.",
        lambda case: bool(case.raw.get("indices")),
    ),
    Difference(
        "onnx-defaults",
        "ONNX",
        "A stride not given is 1, and an average leaves the padding out.",
        "As in PyTorch: the stride is the window, and an average counts the padding.",
        _onnx_defaults,
    ),
    Difference(
        "skimage-padding",
        "scikit-image",
        "An image that is no whole number of blocks is padded with `cval`, which is data.",
        "Padding holds no data; ceil_mode keeps the cut blocks.",
        _pads_with_data,
    ),
    Difference(
        "scipy-integer-average",
        "SciPy",
        "uniform_filter of integers gives integers, cut after each axis.",
        "The average is float64; `dtype=` asks for an integer, rounded once.",
        lambda case: _integer_average(case) and case.raw.get("output") is None,
    ),
    Difference(
        "scipy-wide-integers",
        "SciPy",
        "maximum_filter compares 64-bit integers as float64, exact up to 2^53 only.",
        "Integers are compared as integers.",
        _wide_integers,
    ),
    Difference(
        "scipy-running-sums",
        "SciPy",
        "uniform_filter keeps running sums: a NaN spoils the rest of its line.",
        "A value outside a window never changes its result.",
        lambda case: case.op == "avg" and _is_float(case) and not np.isfinite(case.x).all(),
    ),
    Difference(
        "opencv-area-ties",
        "OpenCV",
        "INTER_AREA of integers rounds an average halfway between two integers up in blocks of "
        "2x2.",
        "An average for an integer `dtype` is rounded half to even.",
        lambda case: (
            _integer_average(case)
            and case.raw.get("function") == "resize"
            and case.kernel == (2, 2)
        ),
    ),
    Difference(
        "opencv-blur-rounding",
        "OpenCV",
        "blur of uint8 in windows of even area can be one too high, 1/4 becoming 1.",
        "The exact quotient is rounded once, half to even.",
        lambda case: (
            case.op == "avg"
            and case.x.dtype == np.uint8
            and case.raw.get("function") == "blur"
            and math.prod(case.kernel) % 2 == 0
        ),
    ),
)

NOT_COVERED = {
    "ONNX: test_maxunpool_export_with_output_shape, test_maxunpool_export_without_output_shape": (
        "MaxUnpool is not pooling; numpool has no such function."
    ),
    "PyTorch: nn.functional.max_unpool1d, max_unpool2d, max_unpool3d": "The same: not pooling.",
    "PyTorch: nn.functional.fractional_max_pool2d, fractional_max_pool3d": (
        "Their windows are drawn at random and differ in size; numpool's are all alike."
    ),
    "PyTorch: nn.functional.adaptive_* where the output does not divide the input": (
        "Their windows differ in size. Samples that divide evenly are run."
    ),
    "PyTorch: bfloat16": "NumPy has no such dtype.",
    "PyTorch: named arguments numpool adds": (
        'Dilated averages and norms, padded norms, uneven padding and "same" are not in '
        "PyTorch's pooling; they are checked against its convolution and its explicit padding."
    ),
    "SciPy, OpenCV: NaN in maximum filters": (
        "What they give depends on where in its window the NaN stands."
    ),
}


def matching(case: Case) -> frozenset[str]:
    """The keys of the differences that concern a case."""
    return frozenset(d.key for d in DIFFERENCES if d.peer == case.peer and d.applies(case))


class Tally:
    """Counts the cases of one suite, so that "all passed" cannot mean "none ran"."""

    def __init__(self, suite: str) -> None:
        self.suite = suite
        self.run = self.passed = 0
        self.known: Counter[str] = Counter()
        self.failures: list[str] = []

    def check(
        self,
        case: Case,
        comparison: Callable[[Case, frozenset[str]], None],
        known: frozenset[str] | None = None,
    ) -> None:
        """Run one comparison; it is told which differences to adjust its expectation for."""
        self.run += 1
        known = matching(case) if known is None else known
        try:
            comparison(case, known)
        except Exception as problem:  # collected: the count of failing cases tells more than one
            self.failures.append(f"{case}\n    {type(problem).__name__}: {problem}")
        else:
            self.passed += 1
            self.known.update(known)

    def finish(self, capsys, at_least: int) -> None:
        """Print the counts past pytest's capture, then fail if anything failed or went missing."""
        known = ", ".join(f"{key} {n}" for key, n in sorted(self.known.items()))
        with capsys.disabled():
            print(
                f"\nconformance: {self.suite}: {self.run} cases run, {self.passed} passed, "
                f"known differences adjusted for: {known or 'none'}"
            )
        shown = "\n  ".join(self.failures[:5])
        assert not self.failures, f"{len(self.failures)} of {self.run} cases fail\n  {shown}"
        assert self.run >= at_least, f"only {self.run} cases of at least {at_least} ran"
