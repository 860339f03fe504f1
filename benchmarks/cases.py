"""The table of cases: what every benchmark measures.

A case is plain data: the call of numpool, the shape and layout of its array, and a small shape of
the same kind, on which the suite runs as a test. `benchmarks.data` makes the arrays.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpool

Ints = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """One call that is measured.

    `indices` is what a forward pass returns (False, True or "offset") and what a backward pass of
    max is given. `calls`: how many calls one measurement makes. `unranked`: peers that are shown
    and not ranked.
    """

    group: str
    operator: str
    shape: Ints
    small: Ints
    axis: Ints
    kernel_size: Ints
    stride: Ints
    padding: Ints
    dilation: Ints
    p: float = 2.0
    indices: bool | str = False
    backward: bool = False
    dtype: str = "float32"
    result: str | None = None
    layout: str = "C"
    calls: int = 1
    unranked: tuple[str, ...] = ()
    quick: bool = False

    @property
    def name(self) -> str:
        """Unique in the table."""
        parts = [self.title, "x".join(map(str, self.shape))]
        if self.axis != tuple(range(len(self.shape) - self.rank, len(self.shape))):
            parts.append("axis " + ",".join(map(str, self.axis)))
        parts += [letter + _short(value) for letter, value in self._window() if value]
        if self.dtype != "float32":
            parts.append(self.dtype)
        if self.result:
            parts.append(f"to {self.result}")
        if self.layout != "C":
            parts.append(self.layout)
        if self.calls > 1:
            parts.append(f"{self.calls} calls")
        return " ".join(parts)

    @property
    def title(self) -> str:
        """The operator and the direction, in words."""
        title = self.operator if self.operator != "lp" else f"L{self.p:g}"
        if self.backward:
            title += " backward"
        if self.indices:
            link = "from" if self.backward else "with"
            title += f" {link} {'offsets' if self.indices == 'offset' else 'indices'}"
        return title

    def _window(self) -> Iterator[tuple[str, Ints]]:
        yield "k", self.kernel_size
        yield "s", self.stride
        yield "p", self.padding if any(self.padding) else ()
        yield "d", self.dilation if max(self.dilation) > 1 else ()

    @property
    def rank(self) -> int:
        """The number of window axes."""
        return len(self.axis)

    @property
    def window(self) -> dict[str, Any]:
        """The arguments every operator of numpool takes."""
        return {
            "kernel_size": self.kernel_size,
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "axis": self.axis,
        }

    @property
    def taps(self) -> int:
        """The number of taps of one window."""
        return math.prod(self.kernel_size)

    @property
    def lengths(self) -> Ints:
        """The lengths of the window axes."""
        return tuple(self.shape[a] for a in self.axis)

    @property
    def output_shape(self) -> Ints:
        """The shape of the forward result."""
        return numpool.output_shape(self.shape, **self.window)

    @property
    def work(self) -> int:
        """Taps of all windows."""
        return math.prod(self.output_shape) * self.taps

    @property
    def whole(self) -> bool:
        """Whether one window covers all of the window axes."""
        return self.kernel_size == self.lengths and not any(self.padding)

    @property
    def apart(self) -> bool:
        """Whether windows lie side by side."""
        return self.stride == self.kernel_size and not any(self.padding) and self.dense

    @property
    def dense(self) -> bool:
        """Whether windows have no holes."""
        return max(self.dilation) == 1

    @property
    def centred(self) -> bool:
        """Whether there is an output for each input, its window around it."""
        return (
            max(self.stride) == 1
            and self.dense
            and all(2 * p + 1 == k for p, k in zip(self.padding, self.kernel_size, strict=True))
        )

    @property
    def sliding(self) -> bool:
        """Whether there is an output for each window that lies within the array."""
        return max(self.stride) == 1 and self.dense and not any(self.padding)

    def as_test(self) -> "Case":
        """The same on the small shape."""
        kernel = tuple(
            self.small[a] if self.whole else k
            for a, k in zip(self.axis, self.kernel_size, strict=True)
        )
        stride = kernel if self.whole else self.stride
        return replace(
            self, shape=self.small, kernel_size=kernel, stride=stride, calls=min(self.calls, 2)
        )

    def cut(self, work: int) -> "Case":
        """The same with about so many taps, from fewer items and fewer windows."""
        shape = list(self.shape)
        for axis in sorted(range(len(shape)), key=lambda a: a in self.axis):
            excess = replace(self, shape=tuple(shape)).work / work
            if excess <= 1:
                break
            if axis not in self.axis:
                shape[axis] = max(1, int(shape[axis] / excess))
            elif not self.whole:
                i = self.axis.index(axis)
                reach = (self.kernel_size[i] - 1) * self.dilation[i] + 1 - 2 * self.padding[i]
                outputs = max(1, int(self.output_shape[axis] / excess))
                shape[axis] = max(1, reach) + (outputs - 1) * self.stride[i]
        return replace(self, shape=tuple(shape))


def _short(values: Ints) -> str:
    return str(values[0]) if len(set(values)) == 1 else "x".join(map(str, values))


class Setting(NamedTuple):
    """A shape and a window, on which several operators are measured."""

    group: str
    shape: Ints
    small: Ints
    kernel_size: int | Ints
    stride: int | Ints
    padding: int | Ints = 0
    axis: Ints = ()
    dilation: int = 1
    layout: str = "C"
    calls: int = 1


def _cases(
    settings: Setting | Iterable[Setting],
    operators: Sequence[dict[str, Any]],
    dtypes: Sequence[str] = ("float32",),
    rank: int = 2,
    quick: bool = False,
) -> Iterator[Case]:
    for setting in [settings] if isinstance(settings, Setting) else settings:
        axis = setting.axis or tuple(range(len(setting.shape) - rank, len(setting.shape)))

        def each(value: int | Ints, axis: Ints = axis) -> Ints:
            return (value,) * len(axis) if isinstance(value, int) else value

        for dtype in dtypes:
            for operator in operators:
                yield Case(
                    group=setting.group,
                    shape=setting.shape,
                    small=setting.small,
                    axis=axis,
                    kernel_size=each(setting.kernel_size),
                    stride=each(setting.stride),
                    padding=each(setting.padding),
                    dilation=each(setting.dilation),
                    dtype=dtype,
                    layout=setting.layout,
                    calls=setting.calls,
                    quick=quick,
                    **operator,
                )


MAX: dict[str, Any] = {"operator": "max"}
MAX_INDICES = MAX | {"indices": True}
MAX_OFFSETS = MAX | {"indices": "offset"}
AVG: dict[str, Any] = {"operator": "avg"}
L1, L2, L3, LINF, L2_5 = ({"operator": "lp", "p": p} for p in (1.0, 2.0, 3.0, math.inf, 2.5))
AVG_UINT8 = AVG | {"result": "uint8"}
AVG_INT16 = AVG | {"result": "int16"}


def backward(*operators: dict[str, Any]) -> list[dict[str, Any]]:
    """The backward passes of operators."""
    return [operator | {"backward": True} for operator in operators]


FORWARD = [MAX, MAX_INDICES, MAX_OFFSETS, AVG, L1, L2, L3, LINF, L2_5]
EVERY = FORWARD + backward(*FORWARD)
USUAL = [MAX, MAX_INDICES, AVG, L2, *backward(MAX, MAX_INDICES, AVG, L2)]
FEW = [MAX, MAX_INDICES, AVG, L2, *backward(MAX_INDICES, AVG)]

STEM = Setting("CNN", (16, 64, 112, 112), (2, 3, 13, 13), 3, 2, 1)
CNN = [
    STEM,
    Setting("CNN", (8, 64, 224, 224), (2, 3, 12, 14), 2, 2),
    Setting("CNN", (16, 192, 28, 28), (2, 5, 9, 9), 3, 1, 1),
    Setting("CNN", (32, 512, 7, 7), (3, 17, 7, 7), 7, 7),
    Setting("CNN", (64, 256, 14, 14), (3, 4, 8, 8), 3, 2),
]


def channels_last(setting: Setting) -> Setting:
    """The same with the channels moved behind the window axes."""
    (n, c, *window), (small_n, small_c, *small_window) = setting.shape, setting.small
    return setting._replace(
        group="CNN, channels last",
        shape=(n, *window, c),
        small=(small_n, *small_window, small_c),
        axis=(1, 2),
    )


CNN_LAST = [channels_last(setting) for setting in CNN]

PLANE_8192 = Setting("images", (8192, 8192), (18, 22), 2, 2)
PLANE_K3 = Setting("images", (4096, 4096), (17, 19), 3, 1, 1)
PLANE_K5 = Setting("images", (4096, 4096), (17, 19), 5, 1, 2)
PHOTO = [Setting("images", (6000, 4000, 3), (16, 20, 3), k, k, axis=(0, 1)) for k in (2, 4)]
LARGE_WINDOWS = [
    Setting("images", (2048, 2048), (33, 35), 31, 1, 15),
    Setting("images", (2048, 2048), (103, 105), 101, 1, 50),
]

VOLUME_K2 = Setting("volumes", (16, 64, 64, 64), (2, 6, 8, 10), 2, 2)
VOLUME_K3 = Setting("volumes", (16, 64, 64, 64), (2, 7, 7, 9), 3, 2, 1)
SCAN = Setting("volumes", (512, 512, 512), (6, 8, 10), 2, 2)
VOLUME_256 = Setting("volumes", (256, 256, 256), (7, 8, 9), 3, 1, 1)

SERIES_K5 = Setting("signals", (64, 1_000_000), (3, 50), 5, 1)
SERIES_K160 = Setting("signals", (64, 1_000_000), (3, 480), 160, 160)
SERIES_K1024 = Setting("signals", (32, 200_000), (2, 2100), 1024, 512)
TABLE_K60 = Setting("signals", (200_000, 64), (150, 5), 60, 60, axis=(0,))
DAYS = Setting("signals", (10_000, 24), (7, 24), 24, 24)

SMALL = [
    Setting("small", (64, 64), (64, 64), 2, 2),
    Setting("small", (3, 32, 32), (3, 32, 32), 2, 2),
    Setting("small", (28, 28), (28, 28), 2, 2, calls=1000),
]

HARD = [
    STEM._replace(group="hard layouts", layout=layout)
    for layout in ("every second column", "Fortran order", "negative strides", "byte-swapped")
]
MEMMAP = PLANE_K3._replace(group="hard layouts", layout="read-only memmap")
DILATED = [
    Setting("hard layouts", (4096, 4096), (17, 19), 3, 1, 2, dilation=2),
    Setting("hard layouts", (16, 192, 28, 28), (2, 5, 9, 9), 3, 1, 1, dilation=2),
]

OTHER = "not in the list"
OTHER_PLANES = [
    Setting(OTHER, (16, 64, 57, 57), (2, 3, 11, 11), 3, 1, 1),
    Setting(OTHER, (16, 64, 57, 57), (2, 3, 11, 11), 5, 3),
    Setting(OTHER, (32, 256, 56, 56), (3, 5, 9, 9), 56, 56),
    Setting(OTHER, (7, 3, 401, 203), (2, 3, 21, 23), (3, 5), (2, 3), (1, 2)),
    Setting(OTHER, (8, 512, 512, 3), (2, 12, 14, 3), 2, 2, axis=(1, 2)),
    Setting(OTHER, (100_000, 8, 8), (9, 8, 8), 2, 2),
    Setting(OTHER, (4096, 4096), (9, 11), 4096, 4096),
]
OTHER_VOLUME = Setting(OTHER, (8, 65, 127, 129), (2, 7, 9, 8), (2, 3, 2), (2, 3, 2))
OTHER_SIGNALS = [
    Setting(OTHER, (200_000, 64), (40, 5), 5, 1, axis=(0,)),
    Setting(OTHER, (16_000_000,), (60,), 3, 1),
    Setting(OTHER, (16_000_000,), (2100,), 1001, 1),
    Setting(OTHER, (16_000_000,), (40_000,), 20_000, 20_000),
]

CASES: list[Case] = [
    *_cases(STEM, EVERY, quick=True),
    *_cases(CNN[1:], EVERY),
    *_cases(STEM, FEW, ["float64"]),
    *_cases(STEM, [MAX, AVG, L2], ["float16"]),
    *_cases(CNN_LAST, EVERY),
    *_cases(PLANE_8192, USUAL),
    *_cases(PLANE_K3, [*USUAL, L1, LINF]),
    *_cases(PLANE_K3, FEW, ["float64"]),
    *_cases(PLANE_K3, [MAX], ["uint8", "int16"], quick=True),
    *_cases(PLANE_K3, [AVG_UINT8], ["uint8"]),
    *_cases(PLANE_K5, FEW),
    *_cases(PHOTO, [MAX, MAX_INDICES, AVG, AVG_UINT8], ["uint8"], quick=True),
    *_cases(LARGE_WINDOWS[:1], USUAL),
    *_cases(LARGE_WINDOWS[1:], FEW),
    *_cases(LARGE_WINDOWS[:1], [MAX, AVG_UINT8], ["uint8"]),
    *_cases(VOLUME_K2, USUAL, rank=3, quick=True),
    *_cases(VOLUME_K3, USUAL, rank=3),
    *_cases(SCAN, [MAX, MAX_OFFSETS, AVG, AVG_UINT8], ["uint8"], rank=3),
    *_cases(VOLUME_256, USUAL, rank=3),
    *_cases(
        VOLUME_256._replace(kernel_size=2, stride=2, padding=0), [MAX, AVG_INT16], ["int16"], 3
    ),
    *_cases([SERIES_K5, SERIES_K160, SERIES_K1024, TABLE_K60, DAYS], USUAL, rank=1),
    *_cases([SERIES_K5, TABLE_K60, DAYS], [MAX, AVG], ["float64"], rank=1),
    *_cases(SERIES_K160, [MAX, AVG_INT16, L2], ["int16"], rank=1),
    *_cases(SMALL, USUAL, quick=True),
    *_cases(SMALL[0], [MAX, AVG_UINT8], ["uint8"]),
    *_cases(HARD, FEW),
    *_cases(MEMMAP, FEW),
    *_cases(DILATED, FEW),
    *_cases(OTHER_PLANES, FEW),
    *_cases(OTHER_VOLUME, FEW, rank=3),
    *_cases(OTHER_SIGNALS, FEW, rank=1),
]

# OpenCV's resize of 64 x 64 is a bare C call of 1.8 us, which is out of reach of Python code.
CASES = [replace(case, unranked=("OpenCV",)) if case.shape == (64, 64) else case for case in CASES]


def select(pattern: str | None = None, quick: bool = False) -> list[Case]:
    """The cases whose group and name a regular expression finds; or a choice of them."""
    found = [case for case in CASES if case.quick or not quick]
    if pattern:
        found = [case for case in found if re.search(pattern, f"{case.group}: {case.name}")]
    return found
