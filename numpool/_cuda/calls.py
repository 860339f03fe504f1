"""The calls of _calls.py for arrays on a GPU: from arguments to launches.

Nothing is read back, and nothing waits: a result is there when its stream comes to it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from numpool import _rules
from numpool._cuda import arrays, backward, forward, launch
from numpool._cuda.libraries import DeviceArray
from numpool._views import FLOATS, INTEGERS
from numpool._windows import windows_of

# ---------------------------------------------------------------- results


def _outputs(
    x: DeviceArray, shape: tuple[int, ...], rule: _rules.Forward, out: Any
) -> tuple[DeviceArray, DeviceArray | None]:
    """The arrays that a forward pass writes: values, and indices if any."""
    if out is None:
        values = arrays.empty_like(x, shape, rule.dtype)
        indices = None if rule.indices is None else arrays.empty_like(x, shape, rule.indices)
        return values, indices
    if rule.indices is None:
        return arrays.as_output("out", out, shape, rule.dtype), None
    if not isinstance(out, (tuple, list)) or len(out) != 2:
        raise TypeError(f"out must be a pair (values, indices), got {type(out).__name__}")
    values = arrays.as_output("out[0]", out[0], shape, rule.dtype)
    indices = arrays.as_output("out[1]", out[1], shape, rule.indices)
    if arrays.overlap(values, indices):
        raise ValueError("out[0] and out[1] must not overlap in memory")
    return values, indices


def _apart(array: DeviceArray, *results: DeviceArray | None) -> DeviceArray:
    """The array, or a copy of it if a result lies in the same memory."""
    if any(r is not None and arrays.overlap(array, r) for r in results):
        return arrays.copy(array)
    return array


# ---------------------------------------------------------------- forward


def pool(
    operator: str, x: Any, rank: int | None, arguments: tuple, options: tuple, out: Any
) -> Any:
    """A forward pass; see _calls.pool."""
    array = arrays.as_array("x", x)
    windows = windows_of(array.shape, rank, *arguments)
    rule = _rules.FORWARD[operator](array.dtype, windows, *options)
    values, indices = _outputs(array, windows.shape, rule, out)
    arrays.together(x=array, out=values, indices=indices)
    with launch.joined(array, values, indices):
        if out is not None:
            array = _apart(array, values, indices)
        if values.size == 0:
            pass
        elif indices is not None:
            forward.arg_max(array, windows, values, indices)
        elif operator == "max":
            forward.maximum(array, windows, values)
        elif operator == "avg":
            forward.average(array, windows, rule.divisor, values)
        else:
            forward.norm(array, windows, _rules.exponent(options[0]), values)
    if out is not None:
        return out
    return values.owner if indices is None else (values.owner, indices.owner)


# ---------------------------------------------------------------- backward


def _backward(
    compute: Callable[..., None],
    grad_output: Any,
    x: Any,
    rank: int | None,
    arguments: tuple,
    out: Any,
    **others: tuple[Any, str],
) -> Any:
    """Check the arrays of a backward pass. `compute` is given them, x, gradient, windows and
    others, all on x's stream, and writes the result.
    """
    array = arrays.as_array("x", x, FLOATS)
    windows = windows_of(array.shape, rank, *arguments)

    def of_shape(name: str, value: Any, kinds: str) -> DeviceArray:
        found = arrays.as_array(name, value, kinds)
        if found.shape != windows.shape:
            raise ValueError(
                f"{name} must have the forward result's shape {windows.shape}, got {found.shape}"
            )
        return found

    named: dict[str, DeviceArray | None]
    named = {"grad_output": of_shape("grad_output", grad_output, FLOATS)}
    for name, (value, kinds) in others.items():
        named[name] = None if value is None else of_shape(name, value, kinds)
    if out is None:
        result = arrays.empty_like(array, array.shape, array.dtype)
    else:
        result = arrays.as_output("out", out, array.shape, array.dtype)
    arrays.together(x=array, out=result, **named)
    with launch.joined(array, result, *named.values()):
        if result.size:
            found = [a and a._replace(stream=array.stream) for a in (array, *named.values())]
            if out is not None:
                found = [a and _apart(a, result) for a in found]
            compute(*found[:2], windows, *found[2:], result)
    return result.owner if out is None else out


def avg_pool_backward(
    grad_output: Any, x: Any, rank: int | None, arguments: tuple, options: tuple, out: Any
) -> Any:
    """The adjoint of the average."""
    compute = functools.partial(backward.average, divisor=_rules.divisor(*options))
    return _backward(compute, grad_output, x, rank, arguments, out)


def lp_pool_backward(
    grad_output: Any, x: Any, rank: int | None, arguments: tuple, p: Any, y: Any, out: Any
) -> Any:
    """The derivative of the Lp norm."""
    compute = functools.partial(backward.norm, p=_rules.exponent(p))
    return _backward(compute, grad_output, x, rank, arguments, out, y=(y, FLOATS))


def max_pool_backward(
    grad_output: Any, x: Any, rank: int | None, arguments: tuple, indices: Any, out: Any
) -> Any:
    """Each gradient to the input that its index names."""
    given = (indices, INTEGERS)
    return _backward(backward.maximum, grad_output, x, rank, arguments, out, indices=given)
