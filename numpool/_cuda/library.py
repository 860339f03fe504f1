"""All kernels, by name."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from numpool._cuda import launch, norms, operators, strips, vectors, warps
from numpool._cuda.gather import make_gather
from numpool._cuda.scalars import NARROW, WIDE, stored_dtype

_HALF, _SINGLE, _DOUBLE = (np.dtype(c) for c in "efd")
_FLOATS = (_HALF, _SINGLE, _DOUBLE)
_WIDE_INTEGERS = tuple(np.dtype(c) for c in ("int64", "uint64"))
_INTEGERS = tuple(np.dtype(f"{kind}{bits}") for kind in ("int", "uint") for bits in (8, 16, 32, 64))
_REAL = (np.dtype(np.bool_), *_INTEGERS, *_FLOATS)
# The types of indices that kernels read and write; others are converted.
BYTE, LONG = np.dtype(np.uint8), np.dtype(np.int64)
INDICES = (BYTE, LONG)
# What most arrays hold that maxima are taken of.
_COMMON = (BYTE, *_FLOATS)


class Family(NamedTuple):
    """Kernels that are made by one function: `operands` gives the dtypes of source, other, out and
    extra from its arguments, `all` the arguments of each.
    """

    make: Callable[..., Any]
    operands: Callable[..., tuple[np.dtype | None, ...]]
    all: Callable[[], Iterable[tuple]]


def _averages() -> Iterator[tuple]:
    """Results of the dtype that is computed in, of the own dtype, and from what is computed in to
    any: other pairs take two kernels.
    """
    yield from ((dtype, _DOUBLE, _DOUBLE) for dtype in _REAL)
    yield from ((_HALF, _SINGLE, _HALF), (_SINGLE, _SINGLE, _SINGLE), (_HALF, _SINGLE, _SINGLE))
    yield from ((_DOUBLE, _DOUBLE, dtype) for dtype in (_HALF, _SINGLE, *_INTEGERS))
    yield (_SINGLE, _SINGLE, _HALF)
    yield (BYTE, _DOUBLE, BYTE)


def _no_wider() -> Iterator[tuple[np.dtype, np.dtype]]:
    """Dtypes of a gradient and a result that is no wider."""
    for gradient, result in itertools.product(_FLOATS, _FLOATS):
        if result.itemsize <= gradient.itemsize:
            yield gradient, result


def computed_gradient(gradient: np.dtype, result: np.dtype) -> np.dtype:
    """The dtype that gradients are summed up in."""
    return np.result_type(gradient, result, _SINGLE)


def _norms() -> Iterator[tuple]:
    for dtype in _REAL:
        results = {_DOUBLE, dtype} if dtype.kind == "f" else {_DOUBLE}
        for result in sorted(results, key=lambda d: d.itemsize):
            for p in (1, 2, 3) if dtype.kind == "f" else (3,):
                yield dtype, result, norm_form(p, dtype, result)


def _norm_gradients() -> Iterator[tuple]:
    for x in _FLOATS:
        for g, y in sorted({(x, x), (x, _DOUBLE), (_DOUBLE, _DOUBLE)}, key=str):
            for form in ("one", "itself", "power"):
                yield g, y, x, form


_ROOTS = {"itself": "itself", "square": "square_root"}
# Elements that norms in passes are taken of; others are converted.
LIFTED = (_SINGLE, _DOUBLE)


def norm_form(p: float, dtype: np.dtype, result: np.dtype) -> str:
    """The form of the power of a norm."""
    if dtype.kind == "f" and p in (1, 2):
        return "itself" if p == 1 else "square"
    return "power" if _DOUBLE in (dtype, result) else "short_power"


def lift_form(p: float) -> str:
    """The form of the power of a norm in passes."""
    return {1.0: "itself", 2.0: "square", np.inf: "itself"}.get(p, "power")


def gradient_form(p: float) -> str:
    """The form of the power p - 1."""
    return {1.0: "one", 2.0: "itself"}.get(p, "power")


def _make_norm(arithmetic: Any, dtype: np.dtype, result: np.dtype, lift: str) -> Any:
    # Sums of these powers stay in the range of float64.
    exact = lift not in _ROOTS or dtype == _DOUBLE
    root = _ROOTS.get(lift, lift)
    return norms.make_norm(arithmetic, dtype, result, lift, root, exact)


def _of_any_size(make: Callable[..., Any], **options: bool) -> Callable[..., Any]:
    """A function that makes kernels for windows of any size."""
    return lambda arithmetic, *args: make_gather(arithmetic, make(arithmetic, *args, **options))


def _of_known_size(make: Callable[..., Any]) -> Callable[..., Any]:
    """A function that makes kernels for windows of a size and stride that it is given last."""
    return lambda arithmetic, *args: strips.make_strips(
        arithmetic, make(arithmetic, *args[:-2]), *args[-2:]
    )


def _of_vectors(make: Callable[..., Any]) -> Callable[..., Any]:
    """A function that makes operators of several neighbours."""
    return lambda arithmetic, *args: vectors.make_vectors(
        arithmetic, make(arithmetic, *args), args[0]
    )


def _of_lines(make: Callable[..., Any]) -> Callable[..., Any]:
    """A function that makes kernels for windows along lines, several a thread; it is given last
    what vectors.LINES has.
    """

    def of_lines(arithmetic: Any, *args: Any) -> Any:
        *these, rows, columns, stride, before = args
        operator = vectors.make_vectors(
            arithmetic, make(arithmetic, *these), args[0], columns, stride, before
        )
        return strips.make_strips(arithmetic, operator, rows, min(rows, stride), columns=1)

    return of_lines


def _of_warps(make: Callable[..., Any]) -> Callable[..., Any]:
    """A function that makes kernels for long windows that lie apart."""
    return lambda arithmetic, *args: warps.make_warps(arithmetic, make(arithmetic, *args))


def _sized(arguments: Iterable[tuple]) -> Iterator[tuple]:
    """Arguments with each size and stride of windows."""
    return ((*these, *sizes) for these in arguments for sizes in strips.SIZES)


def _indices() -> Iterator[tuple]:
    """From and to the types of indices that kernels read and write."""
    others = [dtype for dtype in _INTEGERS if dtype not in INDICES]
    yield from ((dtype, LONG) for dtype in others)
    yield from ((LONG, dtype) for dtype in others if dtype.kind == "u")


def _make_average_gradient(
    arithmetic: Any, gradient: np.dtype, result: np.dtype, further: bool = False
) -> Any:
    computed = computed_gradient(gradient, result)
    return operators.make_spread_average(arithmetic, gradient, computed, result, further)


def _make_to_index(
    arithmetic: Any, gradient: np.dtype, indices: np.dtype, result: np.dtype, signed: bool
) -> Any:
    computed = computed_gradient(gradient, result)
    return operators.make_to_index(arithmetic, gradient, indices, computed, result, signed)


FAMILIES = {
    "max_forward": Family(
        _of_any_size(operators.make_max),
        lambda x: (x, None, x, None),
        lambda: ((x,) for x in _REAL),
    ),
    "max_forward_indices": Family(
        _of_any_size(operators.make_arg_max),
        lambda x, indices: (x, None, x, indices),
        lambda: itertools.product(_REAL, INDICES),
    ),
    "max_forward_places": Family(
        _of_any_size(operators.make_arg_code),
        lambda x, indices, magnitude: (x, None, indices, None),
        lambda: itertools.product(_FLOATS, INDICES, (False, True)),
    ),
    "max_backward": Family(
        _of_any_size(_make_to_index),
        lambda g, indices, x, signed: (g, indices, x, x if signed else None),
        lambda: (
            (g, indices, x, signed)
            for g, x in _no_wider()
            for indices in INDICES
            for signed in (False, True)
        ),
    ),
    "max_indices": Family(
        _of_any_size(operators.make_index),
        lambda given, indices: (given, None, indices, None),
        _indices,
    ),
    "avg_forward": Family(
        _of_any_size(operators.make_average), lambda x, computed, y: (x, None, y, None), _averages
    ),
    "avg_backward": Family(
        _of_any_size(_make_average_gradient), lambda g, x: (g, None, x, None), _no_wider
    ),
    "lp_forward": Family(_of_any_size(_make_norm), lambda x, y, lift: (x, None, y, None), _norms),
    "lp_forward_largest": Family(
        _of_any_size(norms.make_largest_magnitude),
        lambda x, y: (x, None, y, None),
        lambda: dict.fromkeys((x, y) for x, y, _ in _norms()),
    ),
    "lp_backward": Family(
        _of_any_size(norms.make_norm_gradient),
        lambda g, y, x, form: (g, y, x, x),
        _norm_gradients,
    ),
}


# Later passes of large windows, from what the passes before have found; and the first and the last
# pass of norms and of their gradients, between which powers are summed up as for averages.
FAMILIES |= {
    "max_forward_indices_further": Family(
        _of_any_size(operators.make_arg_max, further=True),
        lambda x, indices: (x, indices, x, indices),
        lambda: itertools.product(_REAL, INDICES),
    ),
    "avg_forward_further": Family(
        _of_any_size(operators.make_average, further=True),
        lambda x, computed, y: (x, None, y, x),
        lambda: ((dtype,) * 3 for dtype in (_SINGLE, _DOUBLE)),
    ),
    "avg_backward_further": Family(
        _of_any_size(_make_average_gradient, further=True),
        lambda g, x: (g, None, x, x),
        lambda: ((dtype,) * 2 for dtype in (_SINGLE, _DOUBLE)),
    ),
    "lp_forward_powers": Family(
        _of_any_size(norms.make_powers),
        lambda x, lift: (x, None, _DOUBLE, None),
        lambda: itertools.product(LIFTED, map(lift_form, (1.0, 2.0, 3.0))),
    ),
    "lp_forward_root": Family(
        _of_any_size(norms.make_root),
        lambda x: (x, None, _DOUBLE, _DOUBLE),
        lambda: ((x,) for x in LIFTED),
    ),
    "lp_backward_passed": Family(
        _of_any_size(norms.make_passed),
        lambda form: (_DOUBLE, _DOUBLE, _DOUBLE, None),
        lambda: (("one",), ("power",)),
    ),
    "lp_backward_from_passed": Family(
        _of_any_size(norms.make_from_passed),
        lambda x, form: (_DOUBLE, _DOUBLE, _DOUBLE, x),
        lambda: itertools.product(LIFTED, ("one", "power")),
    ),
}


_MAXIMA = [(x,) for x in _COMMON]
_AVERAGES = [(x, np.result_type(x, _SINGLE), x) for x in _FLOATS]


def _for_layouts(family: str, make: Callable[..., Any], all_of: list[tuple]) -> dict[str, Family]:
    """Kernels that do the same in fewer instructions, where layout and windows allow it."""
    operands = FAMILIES[family].operands
    floats = [these for these in all_of if these[0] != BYTE]
    singles = [these for these in floats if these[0] == _SINGLE]

    def sized(*args: Any) -> tuple[np.dtype | None, ...]:
        return operands(*args[:-2])

    return {
        f"{family}_strips": Family(_of_known_size(make), sized, functools.partial(_sized, all_of)),
        f"{family}_vectors": Family(_of_any_size(_of_vectors(make)), operands, floats.copy),
        f"{family}_vectors_strips": Family(
            _of_known_size(_of_vectors(make)), sized, functools.partial(_sized, singles)
        ),
        f"{family}_lines": Family(
            _of_lines(make),
            lambda *args: operands(*args[:-4]),
            lambda: ((*these, *line) for these in floats for line in vectors.lines_of(these[0])),
        ),
    }


def _by_warps(family: str, make: Callable[..., Any], all_of: list[tuple]) -> dict[str, Family]:
    """Kernels whose warps take an output each."""
    return {f"{family}_warps": Family(_of_warps(make), FAMILIES[family].operands, all_of.copy)}


FAMILIES |= _for_layouts("max_forward", operators.make_max, _MAXIMA)
FAMILIES |= _for_layouts("avg_forward", operators.make_average, _AVERAGES)
FAMILIES |= _by_warps("max_forward", operators.make_max, _MAXIMA)
FAMILIES |= _by_warps("avg_forward", operators.make_average, _AVERAGES)
FAMILIES |= _by_warps(
    "max_forward_indices", operators.make_arg_max, list(itertools.product(_COMMON, INDICES))
)
FAMILIES |= _by_warps("lp_forward", _make_norm, [a for a in _norms() if a[0] == a[1]])


def name_of(family: str, arguments: tuple, wide: bool) -> str:
    """The name of a kernel: its operator, direction, dtypes and forms, and `wide` for 64 bits."""
    parts = [str(a) for a in arguments if not isinstance(a, bool)]
    parts += ["signed" if family == "max_backward" else "magnitude"] * any(
        a is True for a in arguments
    )
    return "_".join([family, *parts, *(["wide"] if wide else [])])


def function_of(family: str, arguments: tuple, wide: bool) -> Callable[..., None]:
    """A kernel as a function that is to be compiled."""
    arithmetic = WIDE if wide else NARROW
    function = FAMILIES[family].make(arithmetic, *arguments)
    function.__name__ = function.__qualname__ = name_of(family, arguments, wide)
    return function


def operands_of(family: str, arguments: tuple, wide: bool) -> list[np.dtype]:
    """The dtypes of a kernel's operands in memory; those it has not are tables."""
    table = np.dtype(np.int64 if wide else np.int32)
    dtypes = FAMILIES[family].operands(*arguments)
    return [table if d is None else stored_dtype(d) for d in dtypes] + [table]


def is_narrow(family: str) -> bool:
    """Whether a family has no kernels that count in 64 bits."""
    return family.endswith(("_strips", "_vectors", "_lines", "_warps"))


@functools.cache
def has(family: str, arguments: tuple) -> bool:
    """Whether there is a kernel for some arguments."""
    return arguments in set(FAMILIES[family].all())


def variant(kernel: tuple, name: str, *sizes: int) -> tuple | None:
    """The kernel that does the same as another in a way of its own, if there is one."""
    family, arguments = kernel
    known = (f"{family}_{name}", (*arguments, *sizes))
    return known if known[0] in FAMILIES and has(*known) else None


@functools.cache
def kernel(family: str, arguments: tuple, wide: bool) -> Any:
    """A compiled kernel."""
    function = function_of(family, arguments, wide)
    return launch.kernel(function.__name__, function)
