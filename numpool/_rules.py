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

from numpool._plans import Divisor, Rows
from numpool._views import FLOATS, INTEGERS, is_supported
from numpool._windows import Windows, as_flag

_FLOAT32 = np.dtype(np.float32)
_FLOAT64 = np.dtype(np.float64)
# Divisors in this range have no part in a float32's overflow or underflow.
_FLOAT32_DIVISORS = (2.0**-100, 2.0**100)


class Forward(NamedTuple):
    """How a forward pass is done: kernel, the dtype it computes in, the dtypes of results, row
    functions, numbers.
    """

    kernel: tuple
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


def _computed_max(x: np.dtype) -> np.dtype:
    if x == np.float16:
        return _FLOAT32
    return np.dtype(np.uint8) if x == np.bool_ else x


def offset_dtype(windows: Windows) -> np.dtype:
    """The smallest unsigned type for the offsets of a window and, above them, the marker of no
    data.
    """
    taps = math.prod(w.kernel for w in windows.windows)
    for kind in (np.uint8, np.uint16, np.uint32):
        if taps <= np.iinfo(kind).max:
            return np.dtype(kind)
    if taps < 2**64:
        return np.dtype(np.uint64)
    raise ValueError(f"kernel_size has too many taps for offsets of 64 bits: {taps}")


def _max(x: np.dtype, windows: Windows, return_indices: Any) -> Forward:
    computed = _computed_max(x)
    name = computed.name
    # Bool is loaded as bool, which makes 1 of all true bytes, and stored as the bytes it is.
    stored = name if x == np.bool_ else x.name
    rows = Rows(load=("load", x.name, name), store=("store", name, stored))
    if isinstance(return_indices, str):
        if return_indices != "offset":
            raise ValueError(
                f'return_indices must be True, False or "offset", got {return_indices!r}'
            )
        indices = offset_dtype(windows)
        rows = rows._replace(store_extra=("store_positions", indices.name, True))
    elif as_flag("return_indices", return_indices):
        indices = np.dtype(np.int64)
        rows = rows._replace(store_extra=("store_positions", indices.name, False))
    else:
        return Forward(("max", name), computed, x, None, rows, Divisor(), {})
    return Forward(("argmax", name), computed, x, indices, rows, Divisor(), {})


def _argmagnitude(x: np.dtype, windows: Windows) -> Forward:
    """The largest |x| and its position: where the gradient of the L-inf norm goes."""
    rule = _max(x, windows, True)
    rows = rule.rows._replace(load=("load_power", x.name, rule.computed.name))
    return rule._replace(rows=rows, numbers={"p": math.inf})


def _avg(
    x: np.dtype, windows: Windows, count_include_pad: Any, divisor_override: Any, dtype: Any
) -> Forward:
    result = _result_dtype(dtype, x, INTEGERS + FLOATS, "a floating point or integer dtype")
    by = divisor(count_include_pad, divisor_override)
    computed = average_type(x, result, by)
    rows = Rows(
        load=("load", x.name, computed.name),
        finish=("divide", computed.name),
        store=("store", computed.name, result.name),
    )
    return Forward(("sum", computed.name), computed, result, None, rows, by, {})


def _lp(x: np.dtype, windows: Windows, p: Any, dtype: Any, scale: float = 0.0) -> Forward:
    p = exponent(p)
    result = _result_dtype(dtype, x, FLOATS, "a floating point dtype")
    rows = Rows(
        load=("load_power", x.name, "float64"),
        finish=("root", x.name),
        store=("store", "float64", result.name),
    )
    kernel = ("max" if p == math.inf else "sum", "float64")
    return Forward(kernel, _FLOAT64, result, None, rows, Divisor(), _lp_numbers(p, x, scale))


def _lost(exact: Fraction, rounded: float) -> float:
    """What rounding took from an exponent."""
    return float(exact - Fraction(rounded)) if math.isfinite(rounded) else 0.0


def _smallest(x: np.dtype) -> float:
    """The smallest magnitude of a dtype above 0."""
    return float(np.finfo(x).smallest_subnormal) if x.kind == "f" else 1.0


def _lp_numbers(p: float, x: np.dtype, scale: float) -> dict[str, float]:
    """p, 1 / p in two parts, and the range in which a sum of powers is known to be exact."""
    if p == math.inf:
        return {"p": p, "low": -math.inf, "high": math.inf}
    inverse = 1.0 / p
    # Sums of powers in [low, high] have lost nothing to underflow or overflow, nor their roots.
    low, high = 2.0 ** max(-900.0, -800.0 * p), 2.0 ** min(1000.0, 900.0 * p)
    if p < 0.01:
        low = math.inf  # the powers are too close to 1 to hold anything: take all from scaled taps
    elif p * math.log2(_smallest(x)) >= math.log2(low):
        low = 0.0  # sums of such powers are never too small
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
    "argmagnitude": _argmagnitude,
    "avg": _avg,
    "lp": _lp,
}
