"""From arguments to a result: dtypes, the plan, memory for the result, the launch.

What can be known of a call without looking at data is worked out once for each kind of call and
kept, so that the next call of its kind costs a few microseconds.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable
from fractions import Fraction
from operator import attrgetter, is_
from typing import Any, NamedTuple

import numpy as np

from numpool import _rules
from numpool._cpu import launch
from numpool._cuda.libraries import on_device
from numpool._cut import TASKS
from numpool._match_plans import match_plan
from numpool._passes import in_two_passes
from numpool._pieces import in_pieces
from numpool._planes import PAIRED, PAIRED_PLAIN, PAIRED_POWERS, planned
from numpool._plans import Divisor, FirstPass, Plan, Rows, index_codes, offsets_of, walk_plan
from numpool._scatter_plans import Operands, scatter_plan
from numpool._short_plans import are_short, short_adjoint_plan, short_plan
from numpool._tap_plans import are_columns, are_runs, taps_plan
from numpool._views import (
    FLOATS,
    INTEGERS,
    View,
    as_any_order,
    as_array,
    as_output,
    overlap,
)
from numpool._windows import Windows, windows_of

_KEPT_CALLS = 512


class Results(NamedTuple):
    """The arrays a call gives: the values, and the indices if any."""

    shape: tuple[int, ...]
    dtype: np.dtype
    indices: np.dtype | None

    def like(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """New arrays in x's memory order."""
        values = _empty_like(x, self.shape, self.dtype)
        if self.indices is None:
            return values, None
        return values, _empty_like(x, self.shape, self.indices)

    def checked(self, out: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """`out` as arrays that the results can be written into."""
        if self.indices is None:
            return as_output("out", out, self.shape, self.dtype), None
        if not isinstance(out, (tuple, list)) or len(out) != 2:
            raise TypeError(f"out must be a pair (values, indices), got {type(out).__name__}")
        as_output("out[0]", out[0], self.shape, self.dtype)
        as_output("out[1]", out[1], self.shape, self.indices)
        return self.known(out)

    def known(self, out: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """The same of an `out` that is like one of before: only where it lies is new."""
        if self.indices is None:
            return out, None
        values, indices = out
        if overlap(values, indices):
            raise ValueError("out[0] and out[1] must not overlap in memory")
        return values, indices


class Call(NamedTuple):
    """What all calls of a kind have in common: arguments, plan (None if there is nothing to do),
    and the results to make.
    """

    arguments: tuple
    plan: Plan | None
    results: Results


_calls: OrderedDict[tuple, Call] = OrderedDict()


# Arguments of these types say all that a plan depends on, and never change.
_PLAIN = frozenset(
    (int, float, bool, str, tuple, type(None), type, *(type(np.dtype(c)) for c in "?bBhHiIlLqQefd"))
)
# What a plan depends on of an array. Its data may lie unaligned with the same strides.
_FACTS = ("dtype", "dtype.num", "shape", "strides", "flags.aligned")
_facts = attrgetter(*_FACTS)
_facts_of_output = attrgetter(*_FACTS, "flags.writeable")


def _kinds(arguments: tuple) -> list[type]:
    """The types of arguments, and of what is in them."""
    kinds = list(map(type, arguments))
    for value in arguments:
        if type(value) is tuple:
            kinds += _kinds(value)
    return kinds


def _key(function: Any, arguments: tuple, arrays: tuple, out: Any = None) -> tuple | None:
    """The key of a call, None where one of the arrays is something else."""
    for array in arrays:
        if type(array) is not np.ndarray:
            return None
    key = (function, arguments, *map(_facts, arrays))
    if out is None:
        return key
    # An array and a tuple of one are two keys: what is kept of a call has checked no other form.
    outputs = out if type(out) is tuple else (out,)
    for array in outputs:
        if type(array) is not np.ndarray:
            return None
    return (*key, type(out), *map(_facts_of_output, outputs))


def _kept(key: tuple | None, arguments: tuple) -> Call | None:
    """The call kept under a key."""
    try:
        call = _calls.get(key)  # type: ignore[arg-type]
    except TypeError:  # an argument that has no hash
        return None
    if call is None:
        return None
    # 2, 2.0 and True are one key, but not one argument. Most often arguments are the very same
    # objects, which is four times as quick to see as their types.
    same = all(map(is_, arguments, call.arguments)) or _kinds(arguments) == _kinds(call.arguments)
    return call if same else None


def _keep(key: tuple | None, call: Call) -> None:
    if key is None or not _PLAIN.issuperset(_kinds(call.arguments)):
        return
    _calls[key] = call
    while len(_calls) > _KEPT_CALLS:
        try:
            _calls.popitem(last=False)
        except KeyError:  # another thread was quicker
            break


def _run(
    plan: Plan,
    source: np.ndarray,
    other: np.ndarray | None,
    out: np.ndarray | None,
    extra: np.ndarray | None,
) -> None:
    """Run a plan on its operands."""
    if plan.before is not None:
        _run_in_two_passes(plan, plan.before, source, out, extra)
        return
    found = np.zeros(plan.tasks, np.int64) if plan.matches else extra
    try:
        launch.run(plan.kernel, plan.address, plan.tasks, plan.parallel, source, other, out, found)
    except launch.Unfinished:
        otherwise = plan.otherwise()
        if otherwise is None:
            raise
    else:
        if found is None or found is extra or sum(found.tolist()) == plan.matches:
            return
        otherwise = plan.otherwise()
    assert otherwise is not None
    _run(otherwise, source, other, out, extra)


def _run_in_two_passes(
    plan: Plan,
    before: FirstPass,
    source: np.ndarray,
    out: np.ndarray | None,
    extra: np.ndarray | None,
) -> None:
    first, volumes, size, dtype = before
    between = np.empty(size, dtype)
    for volume in range(volumes):
        tasks = first.tasks // volumes
        launch.run(
            first.kernel, first.address, tasks, first.parallel, source, None, between, None,
            volume * tasks,
        )  # fmt: skip
        tasks = plan.tasks // volumes
        launch.run(
            plan.kernel, plan.address, tasks, plan.parallel, between, None, out, extra,
            volume * tasks,
        )  # fmt: skip


def _empty_like(x: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array in x's memory order."""
    if x.flags.c_contiguous:
        return np.empty(shape, dtype)
    return np.empty_like(x, dtype, "K", False, shape)


def _apart(array: np.ndarray, *results: np.ndarray | None) -> np.ndarray:
    """The array, or a copy of it if a result lies in the same memory."""
    if any(r is not None and overlap(array, r) for r in results):
        return array.copy(order="K")
    return array


@functools.cache
def _gpu() -> Any:
    """The calls for arrays on a GPU, which bring in numba-cuda."""
    from numpool._cuda import device

    device.cuda()  # or an error that says what is missing
    from numpool._cuda import kept

    return kept


# ---------------------------------------------------------------- forward


def pool(
    operator: str, x: Any, rank: int | None, arguments: tuple, options: tuple, out: Any
) -> Any:
    """A forward pass: `arguments` are those of `windows_of` after the rank, `options` those of the
    operator's rule.
    """
    given = (rank, *arguments, *options)
    key = _key(operator, given, (x,), out)
    call = _kept(key, given)
    if call is None:
        if on_device(x):
            return _gpu().pool(operator, x, rank, arguments, options, out)
        array = as_any_order("x", x)
        if array is not x:
            return pool(operator, array, rank, arguments, options, out)
        windows = windows_of(x.shape, rank, *arguments)
        rule = _rules.FORWARD[operator](x.dtype.newbyteorder("="), windows, *options)
        results = Results(windows.shape, rule.dtype, rule.indices)
        if (
            rule.indices is not None
            and rule.indices.kind == "u"
            and windows.taps > _rules.MOST_CODES
        ):
            return _offsets_by_positions(x, rank, arguments, windows, results, out)
        outputs = results.like(x) if out is None else results.checked(out)
        call = Call(given, _forward_plan(x, windows, rule, *outputs), results)
        _keep(key, call)
    elif out is None:
        outputs = call.results.like(x)
    else:
        outputs = call.results.known(out)
    if out is not None:
        array = _apart(x, *outputs)
        if array is not x:
            return pool(operator, array, rank, arguments, options, out)
    if call.plan is not None:
        _run(call.plan, x, None, *outputs)
    if out is not None:
        return out
    return outputs if call.results.indices is not None else outputs[0]


def _offsets_by_positions(
    x: np.ndarray,
    rank: int | None,
    arguments: tuple,
    windows: Windows,
    results: Results,
    out: Any,
) -> Any:
    """Max with offsets in windows of more taps than kernels count."""
    if out is not None:
        results.checked(out)
    values, positions = pool("max", x, rank, arguments, (True,), None)
    offsets = offsets_of(positions, windows)
    if out is None:
        return values, offsets
    out[0][...], out[1][...] = values, offsets
    return out


def _forward_plan(
    x: np.ndarray,
    windows: Windows,
    rule: _rules.Forward,
    values: np.ndarray,
    indices: np.ndarray | None,
) -> Plan | None:
    if 0 in windows.shape:
        return None
    positions = indices is not None and indices.dtype.kind == "i"
    rows = rule.rows._replace(swapped=not x.dtype.isnative)

    def make(view: View, tasks: int) -> Plan:
        codes = None
        if indices is not None:
            offsets = indices.dtype.kind == "u"
            by_taps = taps_plan(view, windows, rows, offsets, tasks)
            if by_taps is not None:
                return by_taps
            codes = index_codes(view, windows, offsets)
        walk = (rule.computed, view, rows, rule.divisor, rule.numbers)
        short = short_plan(*walk, tasks) if codes is None else None
        if short is not None:
            return short
        separate = in_two_passes(*walk, codes) or in_pieces(*walk, codes) if tasks > 1 else None
        return separate or walk_plan(*walk, codes=codes, tasks=tasks)

    operands = (x, None, values, indices)
    runs = not rows.swapped and (rows.taps is not None or rows.source is not None)
    paired = PAIRED
    if rows.source == rule.computed:
        paired = PAIRED_PLAIN if rows.load == ("load", *[rule.computed.name] * 2) else PAIRED_POWERS

    def as_they_are(view: View) -> bool:
        # Whole planes 7 x 7 take half the time so, but for an arg-max.
        if rows.taps:
            return are_columns(view, x.dtype.name) or are_runs(view, x.itemsize, 128)
        if indices is None and are_short(rule.computed, view, rows):
            return True
        return rows.source is not None and are_runs(view, x.itemsize, 32)

    return planned(
        windows, x.shape, operands, lead=0, keep_axes=positions, paired=paired, runs=runs,
        as_they_are=as_they_are, make=make,
    )  # fmt: skip


# ---------------------------------------------------------------- backward


def _kept_backward(
    key: tuple | None, arguments: tuple, x: Any, out: Any, read: tuple
) -> tuple[Plan | None, np.ndarray] | None:
    """The plan kept under a key, and where the result goes; None where there is none, or where the
    result lies in the memory of arrays that are read.
    """
    call = _kept(key, arguments)
    if call is None:
        return None
    if out is None:
        return call.plan, call.results.like(x)[0]
    return None if any(overlap(array, out) for array in read) else (call.plan, out)


class _Backward(NamedTuple):
    """The checked arrays of a backward pass; `out` is where the result goes, made if none was
    given.
    """

    gradient: np.ndarray
    x: np.ndarray
    windows: Windows
    out: np.ndarray


def _backward_arrays(
    grad_output: Any,
    x: Any,
    rank: int | None,
    arguments: tuple,
    out: Any,
    reads_x: bool,
    swapped: bool = False,
) -> _Backward:
    """`reads_x`: whether more of x than its shape, dtype and memory order is needed. `swapped`:
    whether the gradient may be in either byte order.
    """
    x = (as_array if reads_x else as_any_order)("x", x, FLOATS)
    windows = windows_of(x.shape, rank, *arguments)
    gradient = (as_any_order if swapped else as_array)("grad_output", grad_output, FLOATS)
    gradient = _of_shape("grad_output", gradient, windows)
    dtype = x.dtype.newbyteorder("=")
    if out is None:
        out = _empty_like(x, x.shape, dtype)
    else:
        out = as_output("out", out, x.shape, dtype)
        gradient, x = _apart(gradient, out), _apart(x, out) if reads_x else x
    return _Backward(gradient, x, windows, out)


def _of_shape(name: str, array: np.ndarray, windows: Windows) -> np.ndarray:
    if array.shape != windows.shape:
        raise ValueError(
            f"{name} must have the forward result's shape {windows.shape}, got {array.shape}"
        )
    return array


def _gather(
    make_plan: Callable[..., Plan | None],
    grad_output: Any,
    y: Any,
    x: Any,
    rank: int | None,
    arguments: tuple,
    options: tuple,
    out: Any,
) -> np.ndarray:
    """A backward pass in which each input gathers its share of the outputs that it had a part
    in.
    """
    given = (rank, *arguments, *options)
    sources = (grad_output, x) if y is None else (grad_output, x, y)
    key = _key(make_plan, given, sources, out)
    kept = _kept_backward(key, given, x, out, sources)
    if kept is None:
        reads_x = y is not None
        gradient, array, windows, result = _backward_arrays(
            grad_output, x, rank, arguments, out, reads_x, swapped=not reads_x
        )
        norms = y
        if y is not None:
            norms = _apart(_of_shape("y", as_array("y", y, FLOATS), windows), result)
        if gradient is not grad_output or array is not x or norms is not y:
            return _gather(make_plan, gradient, norms, array, rank, arguments, options, out)
        plan = make_plan(windows, gradient, y, x, result, *options)
        _keep(key, Call(given, plan, Results(x.shape, result.dtype, None)))
    else:
        plan, result = kept
    if plan is not None:
        _run(plan, grad_output, y, result, x)
    return result


def _gather_plan(
    windows: Windows,
    shape: tuple[int, ...],
    operands: tuple[np.ndarray | None, ...],
    computed: np.dtype,
    rows: Rows,
    divisor: Divisor,
    numbers: dict[str, float],
    short: Callable[[View, int], Plan | None] = lambda view, tasks: None,
) -> Plan:
    """`short`: the plan for short windows, None if windows are others."""
    result = operands[2]
    assert result is not None
    itemsize = result.itemsize

    def make(view: View, tasks: int) -> Plan:
        quick = short(view, tasks)
        if quick is not None:
            return quick
        return walk_plan(computed, view, rows, divisor, numbers, backward=True, tasks=tasks)

    def as_they_are(view: View) -> bool:
        # Whole planes take 0.3 to 0.6 of the time so.
        return are_runs(view, itemsize, 1) or short(view, TASKS) is not None

    return planned(
        windows, shape, operands, lead=2, keep_axes=False, paired=PAIRED, runs=False,
        as_they_are=as_they_are, make=make,
    )  # fmt: skip


def avg_pool_backward(
    grad_output: Any, x: Any, rank: int | None, arguments: tuple, options: tuple, out: Any
) -> np.ndarray:
    """The adjoint of the average."""
    if on_device(x):
        return _gpu().avg_pool_backward(grad_output, x, rank, arguments, options, out)
    return _gather(_average_gradient_plan, grad_output, None, x, rank, arguments, options, out)


def _average_gradient_plan(
    windows: Windows,
    gradient: np.ndarray,
    y: None,
    x: np.ndarray,
    out: np.ndarray,
    *options: Any,
) -> Plan | None:
    divisor = _rules.divisor(*options)
    if out.size == 0:
        return None
    computed = _rules.average_type(gradient.dtype, x.dtype, divisor)
    rows = Rows(
        ("load_gradient", gradient.dtype.name, computed.name, not gradient.dtype.isnative),
        ("store", computed.name, x.dtype.name),
        ("sum", computed.name),
    )
    operands = (gradient, None, out, None)
    common = divisor.of_all(windows)
    sums = _rules.divided_sums(gradient.dtype, computed, x.dtype)
    if common is None or sums is None:
        return _gather_plan(windows, x.shape, operands, computed, rows, divisor, {})

    def short(view: View, tasks: int) -> Plan | None:
        return short_adjoint_plan(computed, view, sums, common, tasks)

    return _gather_plan(windows, x.shape, operands, computed, rows, divisor, {}, short)


def lp_pool_backward(
    grad_output: Any, x: Any, rank: int | None, arguments: tuple, p: Any, y: Any, out: Any
) -> np.ndarray:
    """The derivative of the Lp norm."""
    if on_device(x):
        return _gpu().lp_pool_backward(grad_output, x, rank, arguments, p, y, out)
    p = _rules.exponent(p)
    if p == np.inf:
        return _largest_magnitude_backward(grad_output, x, rank, arguments, y, out)
    scale = 0.0
    if y is None:
        # Norms that overflow, or would lose digits as subnormal numbers, come scaled: see
        # _operators.scaled_norm.
        scale = 2.0**200
        x = as_array("x", x, FLOATS)
        grad_output = as_array("grad_output", grad_output, FLOATS)
        y = pool("lp", x, rank, arguments, (p, np.float64, scale, grad_output.dtype), None)
    return _gather(_norm_gradient_plan, grad_output, y, x, rank, arguments, (p, scale), out)


def _norm_gradient_plan(
    windows: Windows,
    gradient: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    out: np.ndarray,
    p: float,
    scale: float,
) -> Plan | None:
    if out.size == 0:
        return None
    computed = np.dtype(np.float64)
    names = (gradient.dtype.name, y.dtype.name)
    form = _rules.power_form(Fraction(p) - 1, gradient.dtype, x.dtype)
    rows = Rows(
        ("load_root_gradient", *names, form),
        ("store_root_gradient", *names, x.dtype.name, form),
        ("sum", computed.name),
    )
    numbers = _rules.gradient_numbers(p, scale)
    return _gather_plan(windows, x.shape, (gradient, y, out, x), computed, rows, Divisor(), numbers)


def _largest_magnitude_backward(
    grad_output: Any, x: Any, rank: int | None, arguments: tuple, y: Any, out: Any
) -> np.ndarray:
    """The derivative of the L-inf norm: each gradient to the first tap of largest magnitude."""
    if y is not None:
        x = as_array("x", x, FLOATS)
        _of_shape("y", as_array("y", y, FLOATS), windows_of(x.shape, rank, *arguments))
    return _to_arg_max(grad_output, x, rank, arguments, out, signed=True)


def max_pool_backward(
    grad_output: Any, x: Any, rank: int | None, arguments: tuple, indices: Any, out: Any
) -> np.ndarray:
    """Each gradient to the input that its index names."""
    if on_device(x):
        return _gpu().max_pool_backward(grad_output, x, rank, arguments, indices, out)
    if indices is None:
        return _to_arg_max(grad_output, x, rank, arguments, out)
    given = (rank, *arguments)
    arrays = (grad_output, x, indices)
    key = _key(max_pool_backward, given, arrays, out)
    kept = _kept_backward(key, given, x, out, (grad_output, indices))
    if kept is not None:
        return _scatter_checked(kept[0], grad_output, indices, kept[1], is_new=out is None)
    gradient, x, windows, result = _backward_arrays(
        grad_output, x, rank, arguments, out, reads_x=False
    )
    indices = _of_shape("indices", as_array("indices", indices, INTEGERS), windows)
    indices = _apart(indices, result)
    plan = _scatter_plan(gradient, x, windows, indices, result, False)
    if plan is None:
        marker = np.iinfo(indices.dtype).max if indices.dtype.kind == "u" else -1
        if (indices != marker).any():
            raise ValueError("indices must be those of windows without data, as x is empty")
        return result
    if all(map(is_, (gradient, x, indices), arrays)):
        _keep(key, Call(given, plan, Results(x.shape, result.dtype, None)))
    return _scatter_checked(plan, gradient, indices, result, is_new=out is None)


def _to_arg_max(
    grad_output: Any, x: Any, rank: int | None, arguments: tuple, out: Any, signed: bool = False
) -> np.ndarray:
    """Each gradient to the arg-max of its window, which is found first. If `signed`, to the largest
    magnitude, with its sign.
    """

    def indices_of(x: np.ndarray, kind: str | bool) -> np.ndarray:
        return pool("max", x, rank, arguments, (kind, signed), None)[1]

    given = (rank, *arguments, signed)
    key = _key(_to_arg_max, given, (grad_output, x), out)
    kept = _kept_backward(key, given, x, out, (grad_output, x) if signed else (grad_output,))
    if kept is not None:
        plan, result = kept
        return _scatter(plan, grad_output, indices_of(x, "offset"), result, x if signed else None)
    gradient, array, windows, result = _backward_arrays(
        grad_output, x, rank, arguments, out, reads_x=signed
    )
    # Offsets are less to write and to read.
    small = windows.taps <= _rules.MOST_CODES
    indices = indices_of(array, "offset" if small else True)
    plan = _scatter_plan(gradient, array, windows, indices, result, signed)
    if small and gradient is grad_output and array is x:
        _keep(key, Call(given, plan, Results(array.shape, result.dtype, None)))
    return _scatter(plan, gradient, indices, result, array if signed else None)


def _scatter_plan(
    gradient: np.ndarray,
    x: np.ndarray,
    windows: Windows,
    indices: np.ndarray,
    out: np.ndarray,
    signed: bool,
) -> Plan | None:
    """The plan of a scatter, None if there is nothing to write."""
    if out.size == 0:
        return None
    strides = (gradient.strides, indices.strides, out.strides, x.strides if signed else None)
    operands = Operands(gradient.dtype, indices.dtype, out.dtype, strides, signed)
    plan = match_plan(windows, x.shape, operands)
    return scatter_plan(windows, x.shape, operands) if plan is None else plan


def _scatter(
    plan: Plan | None,
    gradient: np.ndarray,
    indices: np.ndarray,
    out: np.ndarray,
    x: np.ndarray | None = None,
) -> np.ndarray:
    """Scatter gradients, with the sign of `x` if it is there."""
    if plan is not None:
        _run(plan, gradient, indices, out, x)
    return out


def _scatter_checked(
    plan: Plan | None, gradient: np.ndarray, indices: np.ndarray, out: np.ndarray, is_new: bool
) -> np.ndarray:
    """Scatter gradients by the indices a user gave, which are checked on the way; or before, if
    `out` is not new, as nothing is written to it unless they are right.
    """
    assert plan is not None
    _check_indices(plan, gradient, indices, out if is_new else None)
    return out if is_new else _scatter(plan, gradient, indices, out)


def _check_indices(
    plan: Plan, gradient: np.ndarray, indices: np.ndarray, out: np.ndarray | None
) -> None:
    """Check the indices a user gave; in the same run scatter to `out` if it is there."""
    try:
        _run(plan, gradient, indices, out, None)
    except launch.Unfinished:  # or an index is wrong: which one, a second run tells
        plan = plan.otherwise() or plan
        found = np.zeros((plan.tasks, 2), np.int64)
        _run(plan, gradient, indices, None, found)
        if not found.any():
            raise
        wrong = int(found[found[:, 0].argmax(), 1].astype(indices.dtype))
        kind = "offsets (unsigned)" if indices.dtype.kind == "u" else "positions (signed)"
        raise ValueError(
            f"indices must be {kind} of taps that hold data, each of its own window, got {wrong}"
        ) from None
