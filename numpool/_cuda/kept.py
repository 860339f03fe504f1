"""Calls on GPU arrays, and what is left of them when one of their kind was made before: results are
made, kernels launched.

The first call of a kind goes the whole way through calls.py, and its steps are written down. If
these touch nothing but the arrays of the call, the next call takes them on its own arrays.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from numpool import _calls
from numpool._cuda import arrays, calls, launch, steps
from numpool._cuda.libraries import DeviceArray, library_of


class Kept(NamedTuple):
    """A kind of call: its arguments, shapes and dtypes of its results, elements and dtypes of its
    intermediates, and its steps.
    """

    arguments: tuple
    results: tuple[tuple[tuple[int, ...], np.dtype], ...]
    intermediates: tuple[tuple[int, np.dtype], ...]
    steps: tuple[Again, ...]


class Again(NamedTuple):
    """A step with the numbers of its operands among the call's inputs, results and intermediates,
    and of the intermediates that are done with after it.
    """

    step: Any
    operands: tuple[int | None, ...]
    done: tuple[int, ...]


def _facts(a: DeviceArray) -> tuple:
    return type(a.owner), a.shape, a.strides, a.dtype, a.device, steps.in_line(a)


def _call(
    make: Callable[..., Any],
    given: tuple,
    inputs: tuple[Any, ...],
    lead: int,
    out: Any,
    rest: tuple,
) -> Any:
    """A call on `inputs`, of which the last may be None; it lays results out as input number
    `lead`, or writes into `out`. `make` goes all the way, from the arguments `rest`.
    """
    try:
        found = [arrays.as_array("", value) for value in inputs if value is not None]
        outs = [arrays.as_array("", value) for value in _each(out)]
    except Exception:
        return make(*rest)  # which tells of it by name, and of the first thing that is wrong
    if not _apart(found, outs):
        return make(*rest)
    lacking = tuple(value is None for value in inputs)
    key = (make, given, lacking, len(outs), *map(_facts, found + outs))
    kept: Any = _calls._kept(key, given)
    if kept is None:
        with steps.recorded() as recording:
            result = make(*rest)
        _keep(key, given, found, result, recording)
        return result
    x = found[lead]
    made = outs or [arrays.empty_like(x, *result) for result in kept.results]
    if not outs and not all(map(steps.in_line, made)):
        return make(*rest)  # as no allocator of a GPU does, but steps may count on it
    operands: list[DeviceArray | None]
    operands = [a if a.stream == x.stream else a._replace(stream=x.stream) for a in found + made]
    operands += [None] * len(kept.intermediates)
    alone = all(a.stream == x.stream for a in found + outs)
    with contextlib.nullcontext() if alone else launch.joined(x, *found, *outs):
        _take(kept, operands, x)
    if out is not None:
        return out
    return made[0].owner if len(made) == 1 else tuple(a.owner for a in made)


def _take(kept: Kept, operands: list[DeviceArray | None], x: DeviceArray) -> None:
    """Take the steps of a call."""
    first = len(operands) - len(kept.intermediates)
    for step, numbers, done in kept.steps:
        for n in numbers:
            if n is not None and operands[n] is None:
                operands[n] = arrays.scratch(x, *kept.intermediates[n - first])
        step.run(tuple(None if n is None else operands[n] for n in numbers))
        for n in done:
            operands[n] = None


def _each(result: Any) -> tuple[Any, ...]:
    """The arrays of a result, or of `out`."""
    if result is None:
        return ()
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


def _apart(found: list[DeviceArray], outs: list[DeviceArray]) -> bool:
    """Whether results can be written without a second thought."""
    return all(
        out.writeable and not any(arrays.overlap(out, a) for a in (*found, *outs[:i]))
        for i, out in enumerate(outs)
    )


def _keep(
    key: tuple, given: tuple, found: list[DeviceArray], result: Any, recording: steps.Recording
) -> None:
    """Keep a call whose steps can be taken again."""
    results = _each(result)
    of = {id(a.owner): number for number, a in enumerate(found)}
    of |= {id(owner): len(found) + number for number, owner in enumerate(results)}
    if len(of) < len(found) + len(results):
        return  # one array in two places
    described = [library_of(owner).describe("the result", owner) for owner in results]
    made = tuple((a.shape, a.dtype) for a in described)
    again: list[Again] = []
    left = set(range(len(of), len(of) + len(recording.intermediates)))
    for step, operands in reversed(recording.steps):
        numbers: list[int | None] = []
        for a in operands:
            if isinstance(a, int):
                numbers.append(len(of) + a)
            elif a is None or id(a.owner) in of:
                numbers.append(None if a is None else of[id(a.owner)])
            else:
                return
        done = left.intersection(numbers)
        left -= done
        again.append(Again(step, tuple(numbers), tuple(done)))
    kept = Kept(given, made, tuple(recording.intermediates), tuple(reversed(again)))
    _calls._keep(key, kept)  # type: ignore[arg-type]


def pool(
    operator: str, x: Any, rank: int | None, arguments: tuple, options: tuple, out: Any
) -> Any:
    """A forward pass; see _calls.pool."""
    rest = (operator, x, rank, arguments, options, out)
    return _call(calls.pool, (operator, rank, *arguments, *options), (x,), 0, out, rest)


def avg_pool_backward(
    grad_output: Any, x: Any, rank: int | None, arguments: tuple, options: tuple, out: Any
) -> Any:
    """The adjoint of the average."""
    rest = (grad_output, x, rank, arguments, options, out)
    given = (rank, *arguments, *options)
    return _call(calls.avg_pool_backward, given, (grad_output, x), 1, out, rest)


def lp_pool_backward(
    grad_output: Any, x: Any, rank: int | None, arguments: tuple, p: Any, y: Any, out: Any
) -> Any:
    """The derivative of the Lp norm."""
    rest = (grad_output, x, rank, arguments, p, y, out)
    given = (rank, *arguments, p)
    return _call(calls.lp_pool_backward, given, (grad_output, x, y), 1, out, rest)


def max_pool_backward(
    grad_output: Any, x: Any, rank: int | None, arguments: tuple, indices: Any, out: Any
) -> Any:
    """Each gradient to the input that its index names."""
    rest = (grad_output, x, rank, arguments, indices, out)
    given = (rank, *arguments)
    return _call(calls.max_pool_backward, given, (grad_output, x, indices), 1, out, rest)
