"""The oracle: pooling straight from its definition, window by window, and the error bounds it owes.

It shares nothing with the package. Every window is cut out of the input as a plain slice and
reduced by NumPy, beside which only batch axes are vectorised. Window arithmetic is done in Python
integers, and a window's slice is clipped to the data, so kernels and padding of 10**9 cost nothing.

Sums and powers are taken in `np.longdouble`, whose error is a thousandth of the tightest bound
checked here, where it is wider than float64. `WIDE` tells; elsewhere there is nothing to check by.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

WIDE = np.finfo(np.longdouble).nmant >= 63


def _is_list(value: Any) -> bool:
    return isinstance(value, (tuple, list, np.ndarray))


class NoOutput(ValueError):
    """There is no window at all."""


# --- Geometry -------------------------------------------------------------------------------------


class Axis(NamedTuple):
    """One window axis: its length and the arguments that belong to it."""

    length: int
    kernel: int
    stride: int
    before: int
    after: int
    dilation: int
    outputs: int

    def window(self, i: int) -> tuple[range, int, int]:
        """The taps of window `i` that hold data, where tap 0 lies, and how many are in bounds.

        In bounds means inside the input or its padding.
        """
        start = i * self.stride - self.before
        lo = max(0, -(start // self.dilation))
        hi = min(self.kernel, (self.length - 1 - start) // self.dilation + 1)
        inside = min(self.kernel, (self.length + self.after - 1 - start) // self.dilation + 1)
        return range(lo, max(lo, hi)), start, max(0, inside)


class Window(NamedTuple):
    """One window of an N-D array: where it is in the output, and what it covers of the input."""

    at: tuple[int, ...]
    where: tuple[slice, ...]
    taps: tuple[range, ...]
    count: int
    inside: int


def output_length(
    length: int,
    kernel: int,
    stride: int = 1,
    before: int = 0,
    after: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    """Number of windows along one axis; below 1 where there is none."""
    span = length + before + after - dilation * (kernel - 1) - 1
    outputs = (span + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (outputs - 1) * stride >= length + before:
        outputs -= 1
    return outputs


def window_axes(ndim: int, kernel_size: Any, axis: Any, rank: int | None) -> list[int]:
    """The window axes in the order given; `rank` is that of the fixed-rank functions."""
    if axis is not None:
        return [int(a) % ndim for a in (axis if _is_list(axis) else [axis])]
    if rank is None:
        rank = len(kernel_size) if _is_list(kernel_size) else ndim
    return list(range(ndim - rank, ndim))


def geometry(
    shape: tuple[int, ...],
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    axis: Any = None,
    rank: int | None = None,
) -> dict[int, Axis]:
    """The window axes, in the order of the array's axes."""
    axes = window_axes(len(shape), kernel_size, axis, rank)

    def per_axis(value: Any) -> list[int]:
        return [int(v) for v in value] if _is_list(value) else [int(value)] * len(axes)

    kernels, dilations = per_axis(kernel_size), per_axis(dilation)
    strides = kernels if stride is None else per_axis(stride)
    result = {}
    for i, a in enumerate(axes):
        length, k, s, d = shape[a], kernels[i], strides[i], dilations[i]
        if isinstance(padding, str):
            total = max((-(-length // s) - 1) * s + (k - 1) * d + 1 - length, 0)
            total = 0 if padding == "valid" else total
            before, after = total // 2, total - total // 2
            if padding == "same_lower":
                before, after = after, before
        else:
            pad = padding[i] if _is_list(padding) else padding
            before, after = (int(pad[0]), int(pad[1])) if _is_list(pad) else (int(pad), int(pad))
        outputs = output_length(length, k, s, before, after, d, ceil_mode)
        if outputs < 1:
            raise NoOutput(f"axis {a}: {length=} {k=} {s=} {before=} {after=} {d=} {ceil_mode=}")
        result[a] = Axis(length, k, s, before, after, d, outputs)
    return dict(sorted(result.items()))


def output_shape(shape: tuple[int, ...], *args: Any, **kwargs: Any) -> tuple[int, ...]:
    axes = geometry(shape, *args, **kwargs)
    return tuple(axes[a].outputs if a in axes else n for a, n in enumerate(shape))


def each_window(axes: dict[int, Axis]) -> Iterator[Window]:
    """Every window that holds data, for a block of shape (batch, *window axes)."""
    along = []
    for ax in axes.values():
        places = []
        for i in range(ax.outputs):
            taps, start, inside = ax.window(i)
            if taps:
                first, last = (start + tap * ax.dilation for tap in (taps[0], taps[-1]))
                cut = slice(first, last + 1, ax.dilation)
                places.append((i, cut, taps, len(taps), inside))
        along.append(places)
    for parts in itertools.product(*along):
        at, where, taps, counts, inside = zip(*parts, strict=True)
        yield Window(at, where, taps, math.prod(counts), math.prod(inside))


def tap_numbers(window: Window, axes: dict[int, Axis]) -> np.ndarray:
    """The number in its window, in C order, of each tap that holds data."""
    numbers = np.zeros((), np.uint64)
    for taps, ax in zip(window.taps, axes.values(), strict=True):
        along = np.array(taps, np.uint64)
        numbers = numbers[..., None] * np.uint64(ax.kernel) + along
    return numbers.reshape(-1)


def tap_positions(window: Window, axes: dict[int, Axis]) -> np.ndarray:
    """The flat position in the unpadded input, in C order, of each tap that holds data."""
    positions = np.zeros((), np.int64)
    for cut, ax in zip(window.where, axes.values(), strict=True):
        along = np.arange(ax.length)[cut]
        positions = positions[..., None] * ax.length + along
    return positions.reshape(-1)


def offset_dtype(axes: dict[int, Axis]) -> np.dtype | None:
    """The smallest unsigned type with a number for every tap and one more; None: there is none."""
    taps = math.prod(ax.kernel for ax in axes.values())
    for name in ("uint8", "uint16", "uint32", "uint64"):
        if taps <= np.iinfo(name).max:
            return np.dtype(name)
    return None


def to_block(x: np.ndarray, axes: dict[int, Axis]) -> np.ndarray:
    """`x` in native byte order, as (batch, *window axes), C-contiguous."""
    others = [a for a in range(x.ndim) if a not in axes]
    batch = math.prod(x.shape[a] for a in others)
    moved = x.transpose([*others, *axes]).astype(x.dtype.newbyteorder("="), order="C")
    return moved.reshape(batch, *(x.shape[a] for a in axes))


def from_block(block: np.ndarray, shape: tuple[int, ...], axes: dict[int, Axis]) -> np.ndarray:
    """A block with its axes back in the order of an array of `shape`."""
    others = [a for a in range(len(shape)) if a not in axes]
    moved = block.reshape(*(shape[a] for a in others), *block.shape[1:])
    return moved.transpose(np.argsort([*others, *axes]))


def _shape_of(axes: dict[int, Axis], block: np.ndarray) -> tuple[int, ...]:
    return (block.shape[0], *(ax.outputs for ax in axes.values()))


# --- Forward --------------------------------------------------------------------------------------


class Reference(NamedTuple):
    """What a sum should be, and what its error bound is made of.

    `value`: the exact result; `magnitude`: the sum of the absolute values of its finite
    contributions; `terms`: how many contributions there are. For an average `total` is the sum of
    |x| before the division, and `quotient` is the result rounded once to float64 where the sum is
    exact in any order (else None). For the gradient of an Lp norm `inherited` is what the error of
    a recomputed y makes of the contributions.
    """

    value: np.ndarray
    magnitude: np.ndarray
    terms: np.ndarray
    total: np.ndarray | None = None
    quotient: np.ndarray | None = None
    inherited: np.ndarray | None = None


def lowest(dtype: np.dtype) -> Any:
    if dtype.kind == "b":
        return False
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def max_pool(
    x: np.ndarray, *args: Any, **kwargs: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Values, positions and offsets (None where no type has a number for every tap)."""
    axes = geometry(x.shape, *args, **kwargs)
    block = to_block(x, axes)
    values = np.full(_shape_of(axes, block), lowest(block.dtype), block.dtype)
    positions = np.full(values.shape, -1, np.int64)
    narrow = offset_dtype(axes)
    offsets = None
    if narrow is not None:
        offsets = np.full(values.shape, np.iinfo(narrow).max, narrow)
    for window in each_window(axes):
        data = block[(slice(None), *window.where)].reshape(-1, window.count)
        # The first largest; NumPy's argmax finds the first NaN where there is one.
        best = data.argmax(axis=1)
        at = (slice(None), *window.at)
        values[at] = data[np.arange(len(data)), best]
        positions[at] = tap_positions(window, axes)[best]
        if offsets is not None:
            offsets[at] = tap_numbers(window, axes)[best]
    back = [
        None if b is None else from_block(b, x.shape, axes) for b in (values, positions, offsets)
    ]
    return back[0], back[1], back[2]


def divisor_of(window: Window, count_include_pad: bool, divisor_override: float | None) -> Any:
    number = window.inside if count_include_pad else window.count
    return number if divisor_override is None else divisor_override


def _long(number: Any) -> np.longdouble:
    """`number` as a longdouble; an int through its digits, which float64 might not hold."""
    return np.longdouble(str(number)) if isinstance(number, int) else np.longdouble(number)


@np.errstate(all="ignore")
def avg_pool(
    x: np.ndarray,
    *args: Any,
    count_include_pad: bool = True,
    divisor_override: float | None = None,
    **kwargs: Any,
) -> Reference:
    axes = geometry(x.shape, *args, **kwargs)
    block = to_block(x, axes)
    value = np.zeros(_shape_of(axes, block), np.longdouble)
    magnitude, total, terms = (np.zeros_like(value) for _ in range(3))
    quotient = np.zeros(value.shape, np.float64)
    whole = block.dtype.kind == "b" or (block.dtype.kind in "iu" and block.dtype.itemsize <= 4)
    block = block.astype(np.longdouble)
    sizes = np.where(np.isfinite(block), abs(block), 0)
    for window in each_window(axes):
        at, where = (slice(None), *window.at), (slice(None), *window.where)
        divisor = divisor_of(window, count_include_pad, divisor_override)
        sums = block[where].reshape(-1, window.count).sum(axis=1)
        value[at] = sums / _long(divisor)
        total[at] = sizes[where].reshape(-1, window.count).sum(axis=1)
        magnitude[at] = total[at] / abs(_long(divisor))
        terms[at] = window.count
        # Both operands are exact in float64, so this is the quotient rounded once.
        quotient[at] = sums.astype(np.float64) / float(divisor)
        whole = whole and float(divisor) == divisor
    whole = whole and bool((total < 2**53).all())
    fields = (value, magnitude, terms, total, quotient if whole else None)
    return Reference(*(None if f is None else from_block(f, x.shape, axes) for f in fields))


@np.errstate(all="ignore")
def norm(data: np.ndarray, p: float) -> np.ndarray:
    """The Lp norm of each row; scaled by the largest value, so nothing leaves the range."""
    data = abs(data.astype(np.longdouble))
    largest = data.max(axis=1)
    if p == math.inf:
        return largest
    scale = np.where((largest > 0) & np.isfinite(largest), largest, 1)
    p = np.longdouble(p)
    return scale * ((data / scale[:, None]) ** p).sum(axis=1) ** (1 / p)


def lp_pool(x: np.ndarray, *args: Any, p: float = 2.0, **kwargs: Any) -> Reference:
    axes = geometry(x.shape, *args, **kwargs)
    block = to_block(x, axes)
    value = np.zeros(_shape_of(axes, block), np.longdouble)
    terms = np.zeros_like(value)
    for window in each_window(axes):
        data = block[(slice(None), *window.where)].reshape(-1, window.count)
        at = (slice(None), *window.at)
        value[at] = norm(data, float(p))
        terms[at] = window.count
    value, terms = (from_block(f, x.shape, axes) for f in (value, terms))
    return Reference(value, value, terms)


# --- Backward -------------------------------------------------------------------------------------


class _Gradient:
    """Adds contributions up, and keeps what the bound needs."""

    def __init__(self, shape: tuple[int, ...]):
        self.value = np.zeros(shape, np.longdouble)
        self.magnitude = np.zeros_like(self.value)
        self.terms = np.zeros_like(self.value)
        self.inherited = np.zeros_like(self.value)

    def add(self, where: tuple[Any, ...], contribution: np.ndarray) -> None:
        self.value[where] += contribution
        self.magnitude[where] += np.where(np.isfinite(contribution), abs(contribution), 0)
        self.terms[where] += 1

    def reference(
        self, block: tuple[int, ...], shape: tuple[int, ...], axes: dict[int, Axis]
    ) -> Reference:
        fields = (self.value, self.magnitude, self.terms, self.inherited)
        value, magnitude, terms, inherited = (
            from_block(f.reshape(block), shape, axes) for f in fields
        )
        return Reference(value, magnitude, terms, inherited=inherited)


@np.errstate(all="ignore")
def max_pool_backward(
    grad: np.ndarray, x: np.ndarray, *args: Any, indices: np.ndarray | None = None, **kwargs: Any
) -> Reference:
    axes = geometry(x.shape, *args, **kwargs)
    if indices is None:
        indices = max_pool(x, *args, **kwargs)[1]
    places = to_block(indices, axes)
    marker = -1 if indices.dtype.kind == "i" else np.iinfo(indices.dtype).max
    block, grads = to_block(x, axes), to_block(grad, axes).astype(np.longdouble)
    gradient = _Gradient((len(block), math.prod(block.shape[1:])))
    for window in each_window(axes):
        given = places[(slice(None), *window.at)]
        rows = np.flatnonzero(given != marker)
        flat = tap_positions(window, axes)
        table = flat if indices.dtype.kind == "i" else tap_numbers(window, axes)
        tap = np.searchsorted(table, given[rows])
        assert (table[tap] == given[rows]).all(), "the indices name taps of other windows"
        gradient.add((rows, flat[tap]), grads[(rows, *window.at)])
    return gradient.reference(block.shape, x.shape, axes)


@np.errstate(all="ignore")
def avg_pool_backward(
    grad: np.ndarray,
    x: np.ndarray,
    *args: Any,
    count_include_pad: bool = True,
    divisor_override: float | None = None,
    **kwargs: Any,
) -> Reference:
    axes = geometry(x.shape, *args, **kwargs)
    grads = to_block(grad, axes).astype(np.longdouble)
    shape = (len(grads), *(ax.length for ax in axes.values()))
    gradient = _Gradient(shape)
    for window in each_window(axes):
        divisor = _long(divisor_of(window, count_include_pad, divisor_override))
        share = grads[(slice(None), *window.at)] / divisor
        gradient.add((slice(None), *window.where), share.reshape(-1, *(1 for _ in axes)))
    return gradient.reference(shape, x.shape, axes)


def _recomputed(forward: Reference, p: float, info: np.finfo) -> np.ndarray:
    """The relative error that contributions inherit from a y that had to be recomputed.

    It is a forward result, in float64, and no better than the bound of one where that matters: its
    error grows by |p - 1|. For p >= 1 and a normal y this is no more than the p that the bound of
    the gradient has room for. A y that this puts out of range may be inf, and then anything goes.
    """
    y = forward.value
    if math.isinf(p):
        return np.zeros(y.shape)
    double = np.dtype(np.float64)
    bound = lp_relative(forward, p, double)
    relative = np.where(y < np.finfo(double).tiny, half_unit(y, double) / y, 0)
    relative = relative + (bound if p < 1 else 0)
    inherited = np.expm1(-abs(p - 1) * np.log1p(-np.minimum(relative, 0.5)))
    lost = y * (1 + np.minimum(bound, 2.0**-10)) > info.max
    return np.where(lost, np.inf, np.where(y == 0, 0, inherited))


@np.errstate(all="ignore")
def lp_pool_backward(
    grad: np.ndarray,
    x: np.ndarray,
    *args: Any,
    p: float = 2.0,
    y: np.ndarray | None = None,
    **kwargs: Any,
) -> Reference:
    axes = geometry(x.shape, *args, **kwargs)
    errors = np.zeros(output_shape(x.shape, *args, **kwargs))
    info = np.finfo(working_type(x.dtype, grad.dtype))
    if y is None:
        forward = lp_pool(x, *args, p=p, **kwargs)
        y, errors = forward.value, _recomputed(forward, float(p), info)
    block, grads, ys, errors = (
        to_block(a, axes).astype(np.longdouble) for a in (x, grad, y, errors)
    )
    gradient = _Gradient(block.shape)
    inner = tuple(range(1, block.ndim))
    for window in each_window(axes):
        where, at = (slice(None), *window.where), (slice(None), *window.at)
        data = block[where]
        g, norms, error = (a[at].reshape(-1, *(1 for _ in axes)) for a in (grads, ys, errors))
        if float(p) == math.inf:
            flat = abs(data).reshape(-1, window.count)
            first = np.arange(window.count) == flat.argmax(axis=1)[:, None]
            weight = np.where(first.reshape(data.shape), 1, 0)
            share = np.where(weight == 1, g * np.sign(data), 0)
        else:
            weight = (abs(data) / norms) ** (np.longdouble(float(p)) - 1)
            share = g * np.sign(data) * weight
            # Infinity or 0 times a weight that only leaves the range of the working type: IEEE
            # makes NaN of it where the weight becomes 0, or infinity.
            gone = np.isinf(g) & (weight > 0) & (weight < info.tiny)
            gone |= (g == 0) & (weight > info.max) & np.isfinite(weight)
            gradient.inherited[where] += np.where(gone & (data != 0), np.inf, 0)
        share = np.where((data == 0) | (norms == 0), 0, share)
        gradient.add(where, share)
        error = np.where(np.isfinite(data).all(axis=inner, keepdims=True) & (data != 0), error, 0)
        inherited = np.where(np.isinf(error), np.inf, error * abs(share))
        gradient.inherited[where] += np.where(error == 0, 0, inherited)
    return gradient.reference(block.shape, x.shape, axes)


# --- Bounds ---------------------------------------------------------------------------------------


def working_type(*dtypes: np.dtype) -> np.dtype:
    """The type whose eps the bounds speak of: float16 works in float32, integers in float64."""
    dtypes = [np.dtype(d) for d in dtypes]
    if any(d.kind != "f" for d in dtypes):
        return np.dtype(np.float64)
    return np.dtype(np.float32 if max(d.itemsize for d in dtypes) < 8 else np.float64)


def half_unit(value: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Half a unit in the last place of `value` in `dtype`, subnormals included."""
    if dtype.kind != "f":
        return np.full(value.shape, 0.5, np.longdouble)
    info = np.finfo(dtype)
    exponent = np.frexp(value)[1] - 1
    exponent = np.where(value == 0, info.minexp, np.maximum(exponent, info.minexp))
    return np.ldexp(np.ones(value.shape, np.longdouble), exponent - info.nmant - 1)


def saturated(value: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """`value` rounded half to even to an integer type; NaN gives 0."""
    info = np.iinfo(dtype)
    value = np.where(np.isnan(value), 0, value).astype(np.longdouble)
    return np.clip(np.rint(value), _long(info.min), _long(info.max)).astype(dtype)


@np.errstate(all="ignore")
def violations(
    result: np.ndarray, value: np.ndarray, error: np.ndarray, overflow: np.ndarray
) -> np.ndarray:
    """Where `result` is not `value` within `error` and half a unit in its own last place.

    Where `overflow` is set, what a sum out of range gives (inf, -inf, NaN, or the integers these
    become) will do as well. NaN must be NaN, and an infinite value must be that infinity.
    """
    dtype = result.dtype.newbyteorder("=")
    got = result.astype(np.longdouble)
    if dtype.kind == "f":
        # An infinite result stands for the first number beyond the range, as rounding has it.
        top = np.ldexp(np.longdouble(1), np.finfo(dtype).maxexp)
        bottom = -top
        lost = ~np.isfinite(got)
        nan = np.isnan(value)
        same_nan = np.isnan(got) & nan
        infinite = np.isinf(value) & (got == value)
    else:
        bottom, top = (_long(v) for v in (np.iinfo(dtype).min, np.iinfo(dtype).max))
        lost = (got == top) | (got == bottom) | (got == 0)
        nan = np.isnan(value)
        same_nan = (got == 0) & nan
        infinite = np.isinf(value) & (got == np.where(value > 0, top, bottom))
    clipped = np.clip(value, bottom, top)
    near = abs(np.clip(got, bottom, top) - clipped) <= error + half_unit(clipped, dtype)
    finite = np.isfinite(value)
    return ~(same_nan | infinite | (finite & near) | (overflow & lost))


def log2_ceil(terms: np.ndarray) -> np.ndarray:
    return np.ceil(np.log2(np.maximum(terms, 1)))


def report(name: str, result: np.ndarray, expected: np.ndarray, wrong: np.ndarray) -> None:
    """Raise if anything is wrong, and show the first few places."""
    if wrong.any():
        lines = [
            f"  at {at}: got {result[at]!r}, expected {expected[at]!r}"
            for at in map(tuple, np.argwhere(wrong)[:4].tolist())
        ]
        raise AssertionError(
            f"{name}: {int(wrong.sum())} of {wrong.size} wrong\n" + "\n".join(lines)
        )


def assert_same(name: str, result: np.ndarray, expected: np.ndarray) -> None:
    """Same type and shape, and equal everywhere (0 equals -0, and one NaN another)."""
    assert isinstance(result, np.ndarray), type(result)
    assert (result.dtype, result.shape) == (expected.dtype, expected.shape), (
        f"{name}: got {result.dtype} {result.shape}, expected {expected.dtype} {expected.shape}"
    )
    wrong = (result != expected) & ~((result != result) & (expected != expected))
    report(name, result, expected, wrong)


@np.errstate(all="ignore")
def assert_avg(result: np.ndarray, reference: Reference, dtype: np.dtype) -> None:
    """`result` is an average within the bound; `dtype` is that of x.

    The bound speaks of windows with n taps; n is taken as those that hold data, the stricter way.
    """
    assert result.shape == reference.value.shape, (result.shape, reference.value.shape)
    if reference.quotient is not None:
        if result.dtype.kind == "f":
            expected = reference.quotient.astype(result.dtype)
        else:
            expected = saturated(reference.quotient, result.dtype)
        assert_same("avg (exact sums)", result, expected)
        return
    work = working_type(dtype if dtype.kind != "f" or result.dtype.kind != "f" else result.dtype)
    info = np.finfo(work)
    error = (log2_ceil(reference.terms) + 2) * info.eps * reference.magnitude
    overflow = reference.total > info.max
    wrong = violations(result, reference.value, error, overflow)
    report("avg", result, reference.value, wrong)


def lp_relative(reference: Reference, p: float, work: np.dtype) -> np.ndarray:
    """The relative error that an Lp norm may have."""
    return np.finfo(work).eps * (6 + (log2_ceil(reference.terms) + 8) / np.longdouble(p))


@np.errstate(all="ignore")
def assert_lp(result: np.ndarray, reference: Reference, dtype: np.dtype, p: float) -> None:
    """`result` is an Lp norm within the bound; `dtype` is that of x."""
    assert result.shape == reference.value.shape, (result.shape, reference.value.shape)
    work = working_type(dtype if dtype.kind != "f" else result.dtype)
    relative = lp_relative(reference, float(p), work)
    value = reference.value
    error = np.where((reference.terms == 0) | (value == 0), 0, relative * value)
    wrong = violations(result, value, error, np.zeros(value.shape, bool))
    # Finite where the exact value is representable, also where p makes the bound a wide one.
    largest = np.asarray(np.finfo(result.dtype).max, np.longdouble)
    top = largest + half_unit(largest, result.dtype)
    below = value * (1 + np.minimum(relative, 2.0**-10)) < top
    wrong |= below & ~np.isfinite(result)
    report("lp", result, value, wrong)


@np.errstate(all="ignore")
def assert_backward(
    result: np.ndarray, reference: Reference, grad_dtype: np.dtype, p: float = 0.0
) -> None:
    """`result` is a gradient within the bound; `p` is that of an Lp norm."""
    assert result.shape == reference.value.shape, (result.shape, reference.value.shape)
    info = np.finfo(working_type(result.dtype, grad_dtype))
    slack = 0.0 if math.isinf(p) else float(p)
    error = (reference.terms + 8 + slack) * info.eps * reference.magnitude
    # A contribution below the normal numbers is rounded to the last place there is.
    error += reference.terms * np.longdouble(info.smallest_subnormal) / 2
    if reference.inherited is not None:
        error += reference.inherited
    # What no window passes anything to is zero, not only small.
    error = np.where(reference.terms == 0, 0, error)
    # A single contribution out of range is that infinity; several may cancel into NaN.
    overflow = (reference.magnitude > info.max) & (reference.terms > 1)
    if reference.inherited is not None:
        overflow |= np.isinf(reference.inherited)
    wrong = violations(result, reference.value, error, overflow)
    wrong |= (reference.terms == 0) & (result != 0)
    report("gradient", result, reference.value, wrong)
