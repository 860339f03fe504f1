"""The calls of _calls.py for arrays on a GPU: from arguments to launches.

Nothing is read back, and nothing waits: a result is there when its stream comes to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from numpool import _rules
from numpool._cuda import arrays, launch, library, passes, steps, tables
from numpool._cuda.libraries import DeviceArray, strides_of
from numpool._cuda.plan import Numbers
from numpool._cuda.steps import Way
from numpool._plans import Divisor
from numpool._views import FLOATS, INTEGERS
from numpool._windows import Windows, windows_of

_DOUBLE = np.dtype(np.float64)
# Within these, a gradient times the reciprocal is one over the divisor.
_DIVISORS = (2.0**-1000, 2.0**1000)


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


def _scratch(x: DeviceArray, shape: tuple[int, ...], dtype: np.dtype) -> DeviceArray:
    """Memory for an intermediate of a shape, in x's memory order."""
    order = sorted(range(x.ndim), key=lambda axis: (-abs(x.strides[axis]), axis))
    flat = arrays.scratch(x, math.prod(shape), dtype)
    return flat._replace(shape=shape, strides=strides_of(shape, order, dtype.itemsize))


def _convert(source: DeviceArray, out: DeviceArray) -> None:
    """Write a result that was computed in another dtype."""
    computed = _rules.average_type(source.dtype, out.dtype, Divisor())
    _elementwise(("avg_forward", (source.dtype, computed, out.dtype)), source, out)


def _elementwise(kernel: tuple, source: DeviceArray, out: DeviceArray) -> None:
    nothing = Windows((), (), source.shape)
    steps.run(kernel, nothing, source.shape, Way(), source, out)


def _converted(array: DeviceArray, dtype: np.dtype) -> DeviceArray:
    """The array in a float dtype that is no narrower."""
    if array.dtype == dtype:
        return array
    wider = _scratch(array, array.shape, dtype)
    _convert(array, wider)
    return wider


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
        if operator == "max":
            _max(array, windows, values, indices)
        elif operator == "avg":
            _average(array, windows, rule.divisor, values)
        else:
            _norm(array, windows, options[0], values)
    if out is not None:
        return out
    return values.owner if indices is None else (values.owner, indices.owner)


def _max(
    x: DeviceArray, windows: Windows, values: DeviceArray, indices: DeviceArray | None
) -> None:
    if indices is None:
        source, last = x, passes.forward(windows, x.shape)
        for window in last[:-1]:
            between = _scratch(x, window.shape, x.dtype)
            steps.run(("max_forward", (x.dtype,)), window, source.shape, Way(), source, between)
            source = between
        steps.run(("max_forward", (x.dtype,)), last[-1], source.shape, Way(), source, values)
        return
    way = Way(codes=(indices.dtype.kind == "u", False))
    steps.run(
        ("max_forward_indices", (x.dtype, indices.dtype)), windows, x.shape, way, x, values,
        extra=indices,
    )  # fmt: skip


def _average(x: DeviceArray, windows: Windows, divisor: Divisor, out: DeviceArray) -> None:
    if out.size == 0:
        return
    computed = _rules.average_type(x.dtype, out.dtype, divisor)
    *first, last = passes.forward(windows, x.shape)
    way, numbers = Way(include_pad=divisor.count_include_pad), Numbers()
    if divisor.override is not None:
        way, numbers = Way(), Numbers(divisor=divisor.override)
    source = x
    if first:
        share = _one_share(windows, divisor)
        for window in first if share is not None else (*first, last):
            between = _scratch(x, window.shape, computed)
            kernel = ("avg_forward", (source.dtype, computed, computed))
            steps.run(kernel, window, source.shape, Way(), source, between)
            source = between
        if share is not None:
            way, numbers = Way(), Numbers(divisor=share)
        else:
            last, way = windows, way._replace(shares=True)

    def run(result: DeviceArray) -> None:
        kernel = ("avg_forward", (source.dtype, computed, result.dtype))
        shape = x.shape if way.shares else source.shape
        steps.run(kernel, last, shape, way, source, result, numbers=numbers)

    _in_two_steps("avg_forward", (source.dtype, computed), run, x, computed, out)


def _in_two_steps(
    family: str,
    arguments: tuple,
    run: Callable[[DeviceArray], None],
    x: DeviceArray,
    computed: np.dtype,
    out: DeviceArray,
) -> None:
    """Run a step that writes a dtype which it may have no kernel for: then what it computes in
    comes first.
    """
    if library.has(family, (*arguments, out.dtype)):
        run(out)
        return
    if out.size:
        between = _scratch(x, out.shape, computed)
        run(between)
        _convert(between, out)


def _norm(x: DeviceArray, windows: Windows, p: Any, out: DeviceArray, scale: float = 0.0) -> None:
    p = _rules.exponent(p)
    numbers = Numbers(**_rules.lp_numbers(p, x.dtype, scale))
    family = "lp_forward_largest" if p == np.inf else "lp_forward"

    def run(result: DeviceArray) -> None:
        arguments: tuple = (x.dtype, result.dtype)
        if p != np.inf:
            arguments += (library.norm_form(p, *arguments),)
        steps.run((family, arguments), windows, x.shape, Way(), x, result, numbers=numbers)

    if out.dtype in (x.dtype, _DOUBLE):
        run(out)
    elif out.size:
        between = _scratch(x, out.shape, _DOUBLE)
        run(between)
        _convert(between, out)


# ---------------------------------------------------------------- backward


class _Backward:
    """The checked arrays of a backward pass, and where the result goes."""

    def __init__(
        self,
        grad_output: Any,
        x: Any,
        rank: int | None,
        arguments: tuple,
        out: Any,
        **others: tuple[Any, str],
    ) -> None:
        self.x = arrays.as_array("x", x, FLOATS)
        self.windows = windows_of(self.x.shape, rank, *arguments)
        self.gradient = self._of_shape("grad_output", grad_output, FLOATS)
        self.others = {
            name: None if value is None else self._of_shape(name, value, kinds)
            for name, (value, kinds) in others.items()
        }
        self.given = out
        if out is None:
            self.out = arrays.empty_like(self.x, self.x.shape, self.x.dtype)
        else:
            self.out = arrays.as_output("out", out, self.x.shape, self.x.dtype)
        arrays.together(x=self.x, grad_output=self.gradient, out=self.out, **self.others)
        self.joined = launch.joined(self.x, self.gradient, self.out, *self.others.values())

    def _of_shape(self, name: str, value: Any, kinds: str) -> DeviceArray:
        array = arrays.as_array(name, value, kinds)
        if array.shape != self.windows.shape:
            raise ValueError(
                f"{name} must have the forward result's shape {self.windows.shape}, "
                f"got {array.shape}"
            )
        return array

    def part(self) -> None:
        """Copy what the result would overwrite."""
        if self.given is not None:
            self.x, self.gradient = _apart(self.x, self.out), _apart(self.gradient, self.out)
            for name, array in self.others.items():
                if array is not None:
                    self.others[name] = _apart(array, self.out)

    def run(
        self, kernel: tuple, way: Way, other: DeviceArray | None, numbers: Numbers | None = None,
        gradient: DeviceArray | None = None, x: DeviceArray | None = None,
    ) -> None:  # fmt: skip
        """Launch a kernel, from the input's places."""
        gradient = self.gradient if gradient is None else gradient
        # On x's stream, whatever the gradient's is.
        gradient = gradient._replace(stream=self.x.stream)
        steps.run(
            kernel, self.windows, self.x.shape, way, gradient, self.out, other=other, extra=x,
            numbers=numbers,
        )  # fmt: skip

    def result(self) -> Any:
        return self.out.owner if self.given is None else self.given

    def at_least(self, array: DeviceArray, dtype: np.dtype) -> DeviceArray:
        """An array on x's stream, in a float dtype if its own is narrower."""
        array = array._replace(stream=self.x.stream)
        return _converted(array, dtype) if array.itemsize < dtype.itemsize else array


def avg_pool_backward(
    grad_output: Any, x: Any, rank: int | None, arguments: tuple, options: tuple, out: Any
) -> Any:
    """The adjoint of the average."""
    divisor = _rules.divisor(*options)
    call = _Backward(grad_output, x, rank, arguments, out)
    with call.joined:
        if call.out.size:
            call.part()
            _spread_average(call, divisor)
    return call.result()


def _spread_average(call: _Backward, divisor: Divisor) -> None:
    gradient = call.at_least(call.gradient, call.x.dtype)
    share = _one_share(call.windows, divisor)
    computed = _rules.average_type(gradient.dtype, call.x.dtype, divisor)
    if share is None or computed != library.computed_gradient(gradient.dtype, call.x.dtype):
        shares = _scratch(gradient, gradient.shape, computed)
        override = 1.0 if divisor.override is None else divisor.override
        include = divisor.count_include_pad if divisor.override is None else None
        steps.run(
            ("avg_forward", (gradient.dtype, computed, computed)), call.windows, call.x.shape,
            Way(include_pad=include, shares=True), gradient, shares,
            numbers=Numbers(divisor=override),
        )  # fmt: skip
        gradient, share = shares, 1.0
    *first, last = passes.backward(call.windows)
    numbers = Numbers(inverse=1.0 / share)
    for window in first:
        wider = library.computed_gradient(gradient.dtype, call.x.dtype)
        between = _scratch(call.x, window.shape, wider)
        kernel = ("avg_backward", (gradient.dtype, wider))
        steps.run(
            kernel, window, window.shape, Way(backward=True), gradient, between, numbers=numbers
        )
        gradient, numbers = between, Numbers(inverse=1.0)
    kernel = ("avg_backward", (gradient.dtype, call.x.dtype))
    steps.run(kernel, last, call.x.shape, Way(backward=True), gradient, call.out, numbers=numbers)


def _one_share(windows: Windows, divisor: Divisor) -> float | None:
    """The divisor that all windows have in common, if its reciprocal is as good."""
    if divisor.override is not None:
        low, high = _DIVISORS
        return divisor.override if low < abs(divisor.override) < high else None
    share = 1.0
    for axis in windows.windows:
        entries = tables.forward(axis, divisor.count_include_pad).entries[:, 2]
        if (entries != entries[0]).any():
            return None
        share *= float(entries[0])
    return share


def lp_pool_backward(
    grad_output: Any, x: Any, rank: int | None, arguments: tuple, p: Any, y: Any, out: Any
) -> Any:
    """The derivative of the Lp norm."""
    p = _rules.exponent(p)
    call = _Backward(grad_output, x, rank, arguments, out, y=(y, FLOATS))
    with call.joined:
        if call.out.size:
            call.part()
            if p == np.inf:
                _to_largest(call, magnitude=True)
            else:
                _norm_gradient(call, p)
    return call.result()


def _norm_gradient(call: _Backward, p: float) -> None:
    x, y, scale = call.x, call.others["y"], 0.0
    if y is None:
        # Norms that overflow, or would lose digits as subnormal numbers, come scaled: see
        # _operators.scaled_norm.
        scale = 2.0**200
        y = _scratch(x, call.windows.shape, _DOUBLE)
        _norm(x, call.windows, p, y, scale)
    gradient = call.gradient
    if not gradient.dtype == y.dtype == x.dtype:
        y = call.at_least(y, _DOUBLE)
        if gradient.dtype != x.dtype:
            gradient = call.at_least(gradient, _DOUBLE)
    form = library.gradient_form(p)
    kernel = ("lp_backward", (gradient.dtype, y.dtype, x.dtype, form))
    numbers = Numbers(**_rules.gradient_numbers(p, scale))
    call.run(kernel, Way(backward=True), y, numbers, gradient, x)


def max_pool_backward(
    grad_output: Any, x: Any, rank: int | None, arguments: tuple, indices: Any, out: Any
) -> Any:
    """Each gradient to the input that its index names."""
    call = _Backward(grad_output, x, rank, arguments, out, indices=(indices, INTEGERS))
    with call.joined:
        if call.out.size:
            call.part()
            given = call.others["indices"]
            if given is None:
                _to_largest(call, magnitude=False)
            else:
                _to_indices(call, given, signed=False)
    return call.result()


def _to_largest(call: _Backward, magnitude: bool) -> None:
    """Each gradient to the largest tap of its window, or that of largest `magnitude`."""
    small = call.windows.taps <= np.iinfo(library.BYTE).max
    indices = _scratch(call.x, call.windows.shape, library.BYTE if small else library.LONG)
    kernel = ("max_forward_places", (call.x.dtype, indices.dtype, magnitude))
    way = Way(codes=(small, False))
    steps.run(kernel, call.windows, call.x.shape, way, call.x, indices)
    _to_indices(call, indices, signed=magnitude)


def _to_indices(call: _Backward, indices: DeviceArray, signed: bool) -> None:
    offsets = indices.dtype.kind == "u"
    indices = indices._replace(stream=call.x.stream)
    if indices.dtype not in library.INDICES:
        wider = _scratch(indices, indices.shape, library.LONG)
        _elementwise(("max_backward_widened", (indices.dtype,)), indices, wider)
        indices = wider
    gradient = call.at_least(call.gradient, call.x.dtype)
    kernel = ("max_backward", (gradient.dtype, indices.dtype, call.x.dtype, signed))
    way = Way(backward=True, codes=(offsets, True))
    call.run(kernel, way, indices, gradient=gradient, x=call.x if signed else None)
