"""The rules of each operator: what it computes in, which kernels and row functions do it, and their
numbers.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from numpool._cpu.target import has_conversions
from numpool._operators import NO_TAP
from numpool._plans import Divisor, Rows
from numpool._powers import FORMS
from numpool._views import FLOATS, INTEGERS, is_supported
from numpool._windows import Windows, as_flag

_FLOAT32 = np.dtype(np.float32)
_FLOAT64 = np.dtype(np.float64)
# Divisors in this range have no part in a float32's overflow or underflow.
_FLOAT32_DIVISORS = (2.0**-100, 2.0**100)


class Forward(NamedTuple):
    """How a forward pass is done: the dtype it computes in, the dtypes of results, the kernel of
    lines and the row functions, numbers.
    """

    computed: np.dtype
    dtype: np.dtype
    indices: np.dtype | None
    rows: Rows
    divisor: Divisor
    numbers: dict[str, float]


def _real(name: str, value: Any) -> float:
    """`value` as a float; bool, strings and everything that is not a real number are refused."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"{name} must be a real number, got {value!r} of type {type(value).__name__}"
        )
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} must fit into a float64, got {value!r}") from None


def divisor(count_include_pad: Any, divisor_override: Any) -> Divisor:
    """The checked divisor of an average."""
    include = as_flag("count_include_pad", count_include_pad)
    if divisor_override is None:
        return Divisor(include)
    override = _real("divisor_override", divisor_override)
    if override == 0 or not math.isfinite(override):
        raise ValueError(
            f"divisor_override must be a finite number other than 0, got {divisor_override!r}"
        )
    return Divisor(include, override)


def exponent(p: Any) -> float:
    """The checked p of an Lp norm."""
    value = _real("p", p)
    if not value > 0:
        raise ValueError(f"p must be greater than 0 (inf included), got {p!r}")
    return value


def _result_dtype(dtype: Any, x: np.dtype, kinds: str, allowed: str) -> np.dtype:
    if dtype is None:
        return x if x.kind == "f" else _FLOAT64
    try:
        result = np.dtype(dtype)
    except Exception as error:  # NumPy raises several kinds, SyntaxError among them
        raise TypeError(f"dtype must be {allowed}, got {dtype!r}") from error
    if not is_supported(result, kinds) or not result.isnative:
        raise TypeError(f"dtype must be {allowed} of native byte order, got {dtype!r}")
    return result


def average_type(source: np.dtype, result: np.dtype, divisor: Divisor) -> np.dtype:
    """The dtype sums are taken in: float32 where source and result have no more, else float64."""
    low, high = _FLOAT32_DIVISORS
    small = divisor.override is None or low < abs(divisor.override) < high
    if small and source.char in "ef" and result.char in "ef":
        return _FLOAT32
    return _FLOAT64


def _exact_sums(x: np.dtype, taps: int) -> np.dtype | None:
    """The smallest integer type that holds sums of `taps` elements of a small integer type."""
    if x.kind not in "iu" or x.itemsize > 2:
        return None
    limits = np.iinfo(x)
    for kind in (np.uint16 if x.kind == "u" else np.int16, np.int32):
        sums = np.iinfo(kind)
        if taps * limits.max <= sums.max and taps * limits.min >= sums.min:
            return np.dtype(kind)
    return None


# Kernels count as many taps of a window: see _cpu/loops.py.
MOST_CODES = 2**62


def offset_dtype(windows: Windows) -> np.dtype:
    """The smallest unsigned type for the offsets of a window and, above them, the marker of no
    data.
    """
    for kind in (np.uint8, np.uint16, np.uint32, np.uint64):
        if windows.taps <= np.iinfo(kind).max:
            return np.dtype(kind)
    raise ValueError(
        f"kernel_size has too many taps for offsets of 64 bits: {windows.taps} for each window"
    )


def _rows(x: np.dtype, computed: np.dtype, store: tuple, lines: tuple) -> Rows:
    """Rows whose elements are accumulators as they are, or become so by loading."""
    source = x if x == computed else None
    return Rows(("load", x.name, computed.name), store, lines, source)


def _are_converted(x: np.dtype) -> bool:
    """Whether vectors of a floating type become those of a wider one."""
    return x.kind == "f" and (x.char != "e" or has_conversions())


def _max(x: np.dtype, windows: Windows, return_indices: Any, magnitude: bool = False) -> Forward:
    """`magnitude`: an arg-max of |x| for floats x."""
    computed = np.dtype(np.uint8) if x == np.bool_ else x
    # Bool is loaded as bool, which makes 1 of all true bytes, and stored as the bytes it is.
    stored = computed.name if x == np.bool_ else x.name
    if isinstance(return_indices, str):
        if return_indices != "offset":
            raise ValueError(
                f'return_indices must be True, False or "offset", got {return_indices!r}'
            )
        indices = offset_dtype(windows)
        codes = windows.taps
    elif as_flag("return_indices", return_indices):
        indices = np.dtype(np.int64)
        # From the first tap of a window to its last, padding included.
        codes = math.prod(w.length + w.before + w.after for w in windows.windows)
    else:
        rows = _rows(x, computed, ("store", computed.name, stored), ("max", computed.name))
        return Forward(computed, x, None, rows, Divisor(), {})
    store: tuple
    few = codes < NO_TAP
    of_magnitude = (True,) if magnitude else ()
    taps = (x.name, indices.name, *of_magnitude) if few else None
    if x.itemsize <= 4 and few:
        store = ("store_packed", x.name, indices.name)
        load, lines = ("load_packed", x.name, *of_magnitude), ("argmax", x.name, *of_magnitude)
        rows = Rows(load, store, lines, x, taps=taps)
        return Forward(np.dtype(np.int64), x, indices, rows, Divisor(), {})
    # Lanes as wide as codes of any number of taps.
    wide = np.float64 if x.kind == "f" else np.int64
    lanes = np.dtype(wide) if np.can_cast(computed, wide) else computed
    store = ("store_pairs", lanes.name, stored, indices.name)
    rows = _rows(x, lanes, store, ("argmax_of_pairs", lanes.name))
    rows = rows._replace(pairs=True, taps=taps)
    if magnitude:
        rows = rows._replace(load=("load_power", x.name, lanes.name, "itself"), source=None)
    return Forward(lanes, x, indices, rows, Divisor(), {})


def _avg(
    x: np.dtype, windows: Windows, count_include_pad: Any, divisor_override: Any, dtype: Any
) -> Forward:
    result = _result_dtype(dtype, x, INTEGERS + FLOATS, "a floating point or integer dtype")
    by = divisor(count_include_pad, divisor_override)
    sums = _exact_sums(x, windows.taps)
    if sums is not None:
        # A quotient by d lies 1 / (2 d) off a half or is one: float32 tells if it holds all sums.
        exact = windows.taps << 8 * x.itemsize < 1 << 24
        to_integers = by.override is None and result.kind in "iu" and result.itemsize <= 2
        quotient = _FLOAT32 if exact and to_integers else _FLOAT64
        store = ("store_average", sums.name, result.name, quotient.name)
        lines = ("sum_of", sums.name, x.name)
        rows = Rows(("load", x.name, sums.name), store, lines, x)
        return Forward(sums, result, None, rows, by, {})
    computed = average_type(x, result, by)
    store = ("store_average", computed.name, result.name, computed.name)
    rows = _rows(x, computed, store, ("sum", computed.name))
    if x != computed and _are_converted(x):
        rows = rows._replace(lines=("sum_of", computed.name, x.name), source=x)
    return Forward(computed, result, None, rows, by, {})


def divided_sums(gradient: np.dtype, computed: np.dtype, result: np.dtype) -> Rows | None:
    """The rows of an average's backward pass where sums of gradients are divided in registers; None
    where they cannot be.
    """
    native = gradient.newbyteorder("=")
    store = ("store_divided", native.name, result.name, computed.name)
    lines: tuple = ("sum", computed.name)
    if native != computed:
        if not _are_converted(native):
            return None
        lines = ("sum_of", computed.name, native.name)
    return Rows(None, store, lines, native, swapped=not gradient.isnative)


def power_form(exponent: Fraction, *dtypes: np.dtype) -> str:
    """The function of _powers.py that raises to an exponent, in calls of these dtypes."""
    short = all(dtype.char in "ef" for dtype in dtypes)
    return FORMS.get(exponent, "short_power" if short else "power")


# Forms of powers that are the same for every exponent that takes them. Sums of the first two are
# taken in float32 where all else is: only of norms below 1e-18 or above 1e19 it loses them, which
# are then taken again. Of cubes it would be those below 1e-12.
_EXPONENT_FREE = ("itself", "square", "cube")
_SHORT = ("itself", "square")
# Of so many taps of volumes, or of windows side by side, they are taken in float64, which loses
# none: no tap is looked at again, so threads may share a window, and windows over volumes take two
# passes. 0.15 to 0.5 of the time.
_MANY_TAPS = 1 << 12


def _are_sums_shared(windows: Windows) -> bool:
    """Whether sums of single windows may be made of several: see _passes.py and _pieces.py."""
    side_by_side = all(w.outputs == 1 or w.stride >= w.kernel for w in windows.windows)
    return windows.taps >= _MANY_TAPS and (side_by_side or len(windows.windows) == 3)


def _lp(
    x: np.dtype,
    windows: Windows,
    p: Any,
    dtype: Any,
    scale: float = 0.0,
    needed: np.dtype | None = None,
) -> Forward:
    """`needed` has the digits that the result must have, if not those of its dtype."""
    p = exponent(p)
    result = _result_dtype(dtype, x, FLOATS, "a floating point dtype")
    numbers = lp_numbers(p, x, windows.taps, scale)
    if p == math.inf:
        lift = root = "itself"
    else:
        lift = power_form(Fraction(p), x, needed or result)
        root = power_form(1 / Fraction(p), x, needed or result)
    own = _are_converted(x) and result == x and scale == 0.0
    in_float64 = x == _FLOAT32 and p < math.inf and _are_sums_shared(windows)
    computed = _FLOAT64
    if own and lift in _SHORT and not in_float64:
        computed = np.result_type(x, _FLOAT32)
    store: tuple = ("store_root", x.name, result.name, computed.name, root)
    lines: tuple = ("max" if p == math.inf else "sum", computed.name)
    source = None
    if own and lift in _EXPONENT_FREE:
        lines = (f"{lines[0]}_of", computed.name, x.name, lift)
        source = x
        if p == math.inf:
            store = ("store", computed.name, result.name)
        elif computed == x == _FLOAT32:
            # What a power loses as a subnormal number is then no part of the sum. A float32, since
            # sums are compared as they are.
            numbers["low"] = 0.0 if lift == "itself" else 2.0 ** (windows.taps.bit_length() - 123)
            numbers["high"] = 2.0**126
    rows = Rows(("load_power", x.name, computed.name, lift), store, lines, source)
    return Forward(computed, result, None, rows, Divisor(), numbers)


def _lost(exact: Fraction, rounded: float) -> float:
    """What rounding took from an exponent."""
    return float(exact - Fraction(rounded)) if math.isfinite(rounded) else 0.0


def _magnitudes(x: np.dtype) -> tuple[float, float]:
    """The smallest magnitude of a dtype above 0, and the largest."""
    if x.kind == "f":
        return float(np.finfo(x).smallest_subnormal), float(np.finfo(x).max)
    return 1.0, float(2 ** (8 * x.itemsize))


def lp_numbers(p: float, x: np.dtype, taps: int, scale: float) -> dict[str, float]:
    """p, 1 / p in two parts, and the range in which a sum of powers is known to be exact."""
    if p == math.inf:
        return {"p": p, "low": -math.inf, "high": math.inf}
    inverse = 1.0 / p
    # Sums of powers in [low, high] have lost nothing to underflow or overflow, nor their roots.
    low, high = 2.0 ** max(-900.0, -800.0 * p), 2.0 ** min(1000.0, 900.0 * p)
    if p < 0.01:
        low = math.inf  # the powers are too close to 1 to hold anything: take all from scaled taps
    else:
        smallest, largest = map(math.log2, _magnitudes(x))
        if p * smallest >= math.log2(low):
            low = 0.0  # sums of such powers are never too small
        if p * largest + taps.bit_length() < math.log2(high):
            high = math.inf  # nor too large
    return {
        "p": p,
        "inverse": inverse,
        "correction": _lost(1 / Fraction(p), inverse),
        "low": low,
        "high": high,
        "scale": scale,
    }


def gradient_numbers(p: float, scale: float) -> dict[str, float]:
    """p, p - 1 in two parts, and by what norms are scaled that are no normal numbers."""
    correction = _lost(Fraction(p) - 1, p - 1.0)
    return {"p": p, "exponent": p - 1.0, "correction": correction, "scale": scale}


FORWARD: dict[str, Callable[..., Forward]] = {
    "max": _max,
    "avg": _avg,
    "lp": _lp,
}
