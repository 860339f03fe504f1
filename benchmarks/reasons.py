"""Why numpool loses to a peer, or takes more than twice the time of the floor, as far as is known.

Pairs of a regular expression for the group and name of cases ("CNN: max 16x64...") and a reason;
the first that is found holds.
"""

import re
from collections.abc import Callable

UNKNOWN = "not yet known"
# What the CPU has on which reasons were found. On others there may be other ones.
_FOUND_WITH = "avx512f"

_PLANES = (
    "small planes: blocks of them are transposed in the cache and back, of which the peer, whose "
    "arrays have channels last, is spared; or their rows, too short for vectors, are walked singly"
)
_RUNS = (
    "whole planes 7 x 7: three vectors and a part of each, wherever these start; the peers' have "
    "channels last; 56 x 56 are near the speed of memory"
)
_PAIRS = (
    "arg-max: positions of 64 bits into new memory; rows are laid out as integers first; small "
    "planes are transposed and back; offsets take less"
)
_GATHER = "backward: gradients are laid out, windowed, spread: passes over the first-level cache"
_CALL = "a small call: checks, plan and launch of a backward pass take 4 to 8 us"
_DOUBLE = "powers but squares are summed in float64: twice the bytes in every pass"
_SQUARES = "windows that are not short: squares are a pass before the windows, roots two after them"
_SEGMENTS = "windows side by side: halved by shuffles; the peers read them in one pass"
_WINDOWS = "large windows: five to seven passes over a tile in the second-level cache"

_MAGNITUDES = (
    "the arg-max of magnitudes is found, then gradients are scattered and boxes get their signs: a "
    "pass more than in a backward pass of max"
)
_APART = (
    "peers have a contiguous copy made beforehand; numpool reads the array as it lies, twice the "
    "bytes where every second column is left out"
)
_SWAPPED = (
    "windows that are not short: rows are brought into the machine's byte order first; peers are "
    "given a copy in it"
)

LOSSES: list[tuple[str, str]] = [
    (r"byte-swapped", _SWAPPED),
    (r"every second column|negative strides", _APART),
    (r"Linf backward", _MAGNITUDES),
    (
        r"max backward from indices .*401x203",
        "each index is checked, a third of the time; writing zeros to six inputs an output takes a "
        "sixth",
    ),
    (
        r"max backward from .* k7 s7",
        "writing the zeros alone takes half of the time, the call 5 us",
    ),
    (
        r"avg backward 64x256x14x14",
        "small planes: moving blocks to channels and back takes 0.4 of the time, spreading windows "
        "0.2; the peer's arrays have channels last",
    ),
    (r"k(4096|20000) ", "near the speed of memory; the rest is not yet known"),
    (r"^small: .*backward", _CALL),
    (r"^small: avg 28x28", "OpenCV's resize is a bare C call of 1 us"),
    (r"^not in the list: .*(backward).*(64x64|28x28)", _CALL),
    (r"max backward [^f]", "the arg-max is found again: a forward pass comes first"),
    (r"max backward from", "each index is checked, and its gradient scattered by itself"),
    (r"backward", _GATHER),
    (r"with indices", _PAIRS),
    (r"k(7 s7|56 s56)", _RUNS),
    (r"14x14|28x28|57x57|8x8", _PLANES),
    (r"k160|k24 ", _SEGMENTS),
    (r"L2 ", _SQUARES),
    (r"k31|k101", _WINDOWS),
    (r"avg 8192x8192", "both are at the speed of memory"),
]
FAR_FROM_FLOOR: list[tuple[str, str]] = [
    (
        r"avg .*uint8 to uint8",
        "sums of 16 bits fill twice the vectors, which are widened, shuffled and narrowed again",
    ),
    (r"byte-swapped", _SWAPPED),
    (r"^small", "a call of 3 us, of which the kernel is 0.5 us"),
    (r"backward", _GATHER),
    (r"with (indices|offsets)", _PAIRS),
    (r"^CNN, channels last: .*28x28|float16", "not yet known"),
    (r"k5 s3", "not yet known"),
    (
        r"28x28|57x57|401x203",
        "not bound by memory: on one thread, planes that lie in the second-level cache take no "
        "less",
    ),
    (r"k(7 s7|56 s56)|14x14|7x7|8x8", _PLANES),
    (r"L3|L2\.5", _DOUBLE),
    (r"k31|k101|k1024", _WINDOWS),
]


def reasons_on(cpu: str, table: list[tuple[str, str]]) -> Callable[[str], str]:
    """The reason of a case by its name, if one is known on a CPU."""

    def reason(name: str) -> str:
        found = (text for pattern, text in table if re.search(pattern, name))
        return next(found, UNKNOWN) if cpu.endswith(_FOUND_WITH) else UNKNOWN

    return reason
