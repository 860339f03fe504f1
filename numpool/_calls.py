"""From arguments to a result: dtypes, the plan, memory for the result, the launch.

What can be known of a call without looking at data is worked out once for each kind of call and
kept, so that the next call of its kind costs a few microseconds.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np

from numpool import _rules
from numpool._cpu import launch
from numpool._plans import Divisor, Plan, Rows, position_steps, scatter_plan, walk_plan
from numpool._views import FLOATS, INTEGERS, as_array, as_output, canonical, overlap
from numpool._windows import Windows, windows_of

_KEPT_CALLS = 512


class Results(NamedTuple):
    """The arrays a call gives: the values, and the indices if any."""

    shape: tuple[int, ...]
    dtype: np.dtype
    indices: np.dtype | None

    def like(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        """New arrays in x's memory order."""
        values = _empty_like(x, self.shape, self.dtype)
        if self.indices is None:
            return (values,)
        return values, _empty_like(x, self.shape, self.indices)

    def checked(self, out: Any) -> tuple[np.ndarray, ...]:
        """`out` as arrays that the results can be written into."""
        if self.indices is None:
            return (as_output("out", out, self.shape, self.dtype),)
        if not isinstance(out, (tuple, list)) or len(out) != 2:
            raise TypeError(f"out must be a pair (values, indices), got {type(out).__name__}")
        values = as_output("out[0]", out[0], self.shape, self.dtype)
        indices = as_output("out[1]", out[1], self.shape, self.indices)
        if overlap(values, indices):
            raise ValueError("out[0] and out[1] must not overlap in memory")
        return values, indices


class Call(NamedTuple):
    """A plan (None if the result is empty), and the results to make for it."""

    plan: Plan | None
    results: Results


_calls: OrderedDict[tuple, Call] = OrderedDict()


# Arguments of these types say all that a plan depends on, and never change.
_PLAIN = frozenset(
    (int, float, bool, str, type(None), type, *(type(np.dtype(c)) for c in "?bBhHiIlLqQefd"))
)


def _key(*arguments: Any) -> tuple | None:
    """A key for arguments that are plain values and tuples of them; None for others.

    It holds their types, since 2, 2.0 and True are equal as keys but not as arguments.
    """
    kinds: list[Any] = []
    for value in arguments:
        kind = type(value)
        kinds.append(kind)
        if kind is tuple:
            for entry in value:
                if type(entry) is tuple:
                    kinds.extend(map(type, entry))
                else:
                    kinds.append(type(entry))
    if _PLAIN.issuperset(kind for kind in kinds if kind is not tuple):
        return (*kinds, *arguments)
    return None


def _kept(key: tuple | None, array: np.ndarray) -> Call | None:
    """The call kept under a key, if the array lies in memory as kernels read it."""
    call = _calls.get(key) if key is not None else None
    if call is not None and not array.flags.aligned:
        return None
    return call


def _keep(key: tuple | None, call: Call) -> None:
    if key is not None:
        _calls[key] = call
        while len(_calls) > _KEPT_CALLS:
            try:
                _calls.popitem(last=False)
            except KeyError:  # another thread was quicker
                break


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def _run(plan: Plan, *operands: np.ndarray | None) -> None:
    """Run a plan on (source, other, out, extra)."""
    source, other, out, extra = (0 if a is None else _address(a) for a in operands)
    launch.run(plan.kernel, plan.address, source, other, out, extra, plan.tasks, plan.parallel)


def _empty_like(x: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array in x's memory order."""
    if x.flags.c_contiguous:
        return np.empty(shape, dtype)
    return np.empty_like(x, dtype, "K", False, shape)


def _strides(*arrays: np.ndarray | None) -> list[tuple[int, ...] | None]:
    return [None if a is None else a.strides for a in arrays]


def _apart(array: np.ndarray, *results: np.ndarray | None) -> np.ndarray:
    """The array, or a copy of it if a result lies in the same memory."""
    if any(r is not None and overlap(array, r) for r in results):
        return array.copy(order="K")
    return array


# ---------------------------------------------------------------- forward


def pool(
    operator: str, x: Any, rank: int | None, arguments: tuple, options: tuple, out: Any
) -> Any:
    """A forward pass: `arguments` are those of `windows_of` after the rank, `options` those of the
    operator's rule.
    """
    key = None
    if out is None and type(x) is np.ndarray:
        key = _key(operator, rank, x.shape, x.strides, x.dtype, *arguments, *options)
        call = _kept(key, x)
        if call is not None:
            return _pooled(call, x, call.results.like(x))
    array = as_array("x", x)
    windows = windows_of(array.shape, rank, *arguments)
    rule = _rules.FORWARD[operator](array.dtype, windows, *options)
    results = Results(windows.shape, rule.dtype, rule.indices)
    if out is None:
        outputs = results.like(array)
    else:
        outputs = results.checked(out)
        array = _apart(array, *outputs)
    call = Call(_forward_plan(array, windows, rule, outputs), results)
    if array is x:
        _keep(key, call)
    result = _pooled(call, array, outputs)
    return result if out is None else out


def _forward_plan(
    x: np.ndarray, windows: Windows, rule: _rules.Forward, outputs: tuple[np.ndarray, ...]
) -> Plan | None:
    if 0 in windows.shape:
        return None
    values, indices = outputs if len(outputs) == 2 else (*outputs, None)
    steps = None if indices is None else position_steps(windows)
    view = canonical(windows, x.shape, _strides(x, None, values, indices), 0, steps is not None)
    return walk_plan(
        rule.kernel, rule.computed, view, rule.rows, rule.divisor, rule.numbers, steps=steps
    )


def _pooled(call: Call, x: np.ndarray, outputs: tuple[np.ndarray, ...]) -> Any:
    if call.plan is not None:
        values, indices = outputs if len(outputs) == 2 else (*outputs, None)
        _run(call.plan, x, None, values, indices)
    return outputs if len(outputs) == 2 else outputs[0]


# ---------------------------------------------------------------- backward


class _Backward(NamedTuple):
    """The checked arrays of a backward pass; `out` is where the result goes, made if none was
    given.
    """

    gradient: np.ndarray
    x: np.ndarray
    windows: Windows
    out: np.ndarray


def _backward_arrays(
    grad_output: Any, x: Any, rank: int | None, arguments: tuple, out: Any
) -> _Backward:
    x = as_array("x", x, FLOATS)
    windows = windows_of(x.shape, rank, *arguments)
    gradient = _of_shape("grad_output", as_array("grad_output", grad_output, FLOATS), windows)
    if out is None:
        out = _empty_like(x, x.shape, x.dtype)
    else:
        out = as_output("out", out, x.shape, x.dtype)
        gradient, x = _apart(gradient, out), _apart(x, out)
    return _Backward(gradient, x, windows, out)


def _of_shape(name: str, array: np.ndarray, windows: Windows) -> np.ndarray:
    if array.shape != windows.shape:
        raise ValueError(
            f"{name} must have the forward result's shape {windows.shape}, got {array.shape}"
        )
    return array


def avg_pool_backward(
    grad_output: Any, x: Any, rank: int | None, arguments: tuple, options: tuple, out: Any
) -> np.ndarray:
    """The adjoint of the average."""
    gradient, x, windows, out = _backward_arrays(grad_output, x, rank, arguments, out)
    divisor = _rules.divisor(*options)
    if out.size == 0:
        return out
    computed = _rules.average_type(gradient.dtype, x.dtype, divisor)
    rows = Rows(
        load=("load_gradient", gradient.dtype.name, None, computed.name),
        store=("store", computed.name, x.dtype.name),
    )
    view = canonical(windows, x.shape, _strides(gradient, None, out, None), 2, False)
    kernel = ("sum", computed.name)
    _run(
        walk_plan(kernel, computed, view, rows, divisor, {}, backward=True),
        gradient,
        None,
        out,
        None,
    )
    return out


def lp_pool_backward(
    grad_output: Any, x: Any, rank: int | None, arguments: tuple, p: Any, y: Any, out: Any
) -> np.ndarray:
    """The derivative of the Lp norm."""
    p = _rules.exponent(p)
    gradient, x, windows, out = _backward_arrays(grad_output, x, rank, arguments, out)
    if out.size == 0:
        return out
    if y is not None:
        y = _apart(_of_shape("y", as_array("y", y, FLOATS), windows), out)
    if p == np.inf:
        indices = pool("argmagnitude", x, rank, arguments, (), None)[1]
        return _scatter(gradient, x, windows, indices, out, signed=True)
    scale = 0.0
    if y is None:
        # Norms that overflow, or would lose digits as subnormal numbers, come scaled: see
        # _operators.scaled_norm.
        scale = 2.0**200
        y = pool("lp", x, rank, arguments, (p, np.float64, scale), None)
    computed = np.dtype(np.float64)
    names = (gradient.dtype.name, y.dtype.name)
    rows = Rows(
        load=("load_gradient", *names, computed.name),
        finish=("root_gradient", *names, x.dtype.name),
        store=("store", computed.name, x.dtype.name),
    )
    view = canonical(windows, x.shape, _strides(gradient, y, out, x), 2, False)
    plan = walk_plan(
        ("sum", computed.name),
        computed,
        view,
        rows,
        Divisor(),
        _rules.gradient_numbers(p, scale),
        backward=True,
    )
    _run(plan, gradient, y, out, x)
    return out


def max_pool_backward(
    grad_output: Any, x: Any, rank: int | None, arguments: tuple, indices: Any, out: Any
) -> np.ndarray:
    """Each gradient to the input that its index names."""
    gradient, x, windows, out = _backward_arrays(grad_output, x, rank, arguments, out)
    if indices is None:
        indices = pool("max", x, rank, arguments, (True,), None)[1]
        return _scatter(gradient, x, windows, indices, out)
    indices = _of_shape("indices", as_array("indices", indices, INTEGERS), windows)
    return _scatter(gradient, x, windows, _apart(indices, out), out, check=True)


def _scatter(
    gradient: np.ndarray,
    x: np.ndarray,
    windows: Windows,
    indices: np.ndarray,
    out: np.ndarray,
    signed: bool = False,
    check: bool = False,
) -> np.ndarray:
    computed = np.result_type(gradient.dtype, x.dtype, np.float32)
    names = (indices.dtype.name, indices.dtype.kind == "u")
    rows = Rows(
        load=("load", gradient.dtype.name, computed.name),
        load_other=("load_places", *names),
        store=("store", computed.name, x.dtype.name),
    )
    if out.size == 0:
        if check and (indices != (np.iinfo(indices.dtype).max if names[1] else -1)).any():
            raise ValueError("indices must be those of windows without data, as x is empty")
        return out
    view = canonical(windows, x.shape, _strides(gradient, indices, out, x), 2, True)
    if check:
        plan = scatter_plan(("check", *names), computed, view, Rows(), windows, indices.dtype)
        found = np.zeros((plan.tasks, 2), np.int64)
        _run(plan, gradient, indices, None, found)
        if found[:, 0].any():
            wrong = int(found[found[:, 0].argmax(), 1].astype(indices.dtype))
            kind = "offsets (unsigned)" if names[1] else "positions (signed)"
            raise ValueError(
                f"indices must be {kind} of taps that hold data, each of its own window, "
                f"got {wrong}"
            )
    kernel = ("scatter", computed.name, x.dtype.name if signed else None)
    plan = scatter_plan(kernel, computed, view, rows, windows, indices.dtype)
    _run(plan, gradient, indices, out, x)
    return out
