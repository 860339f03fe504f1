"""Random configurations: every argument, dtype, memory layout and content a call can have.

`draw_case` takes a function that draws an integer of a range, so that hypothesis and a seeded
`random.Random` share one generator. A `Case` is plain data whose repr is Python code; `build` turns
it into the arrays and arguments of a call.
"""

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import oracle

FLOATS = ("float16", "float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = ("bool", *INTEGERS, *FLOATS)
LAYOUTS = ("C", "F", "permuted", "sliced", "negative", "mixed", "gaps", "broadcast", "sliding")
LAYOUTS += ("readonly", "swapped", "unaligned", "memmap", "list")
OUT_LAYOUTS = ("C", "F", "permuted", "sliced", "negative", "mixed", "gaps", "unaligned")
USUAL_LAYOUTS = ("C", "gaps", "gaps", "permuted")
CONTENTS = ("normal", "ties", "nan", "inf", "special", "subnormal", "neighbours", "scales")
CONTENTS += ("largest",)
MILD = ("normal", "ties", "nan", "inf", "neighbours")
HUGE = (10**9, 10**9 + 7, 2**31 - 1, 2**31, 2**32 + 1, 10**12, 2**53 + 1, 2**62, 2**63 - 1)
COMMON_P = (1, 2, 2.0, 3, 0.5, 1.5, 2.5, 4.0, 10, 100.0, 0.1, math.inf, np.float32(2.5))
RARE_P = (1e-2, 1e-3, 1e3, 1e6, 1e-20, 1e20, 1e-300, 1e300)
DIVISORS = (1, 2, 3, -3, 7, 0.5, 7.3, -1e-3, 1e6, 1e30, 1e60, 1e-60, 10**20, np.float32(0.1))
DIVISORS += (np.int64(5), 255, 1e300)


def examples(usual: int) -> int:
    """How many examples a property test draws: the usual number, or NUMPOOL_EXAMPLES."""
    return int(os.environ.get("NUMPOOL_EXAMPLES", usual))


class Layout(NamedTuple):
    """How an array lies in memory.

    `order`: its axes from the outermost to the innermost; `steps`: elements of the base array from
    one element to the next along each axis; `margin`: elements of the base before and after.
    """

    kind: str
    order: tuple[int, ...]
    steps: tuple[int, ...]
    margin: int = 0


class Case(NamedTuple):
    """One call; `rank` is that of a fixed-rank function (`max_pool2d`), or None."""

    op: str
    direction: str
    rank: int | None
    shape: tuple[int, ...]
    dtype: str
    content: str
    layout: Layout
    window: dict[str, Any]
    options: dict[str, Any]
    positional: int
    padding_form: str
    possible: bool = True
    grad_dtype: str = "float64"
    grad_content: str = "normal"
    grad_layout: Layout | None = None
    helper: str | None = None
    out: tuple[Layout, ...] | None = None
    overlap: str | None = None
    seed: int = 0

    @property
    def geometry(self) -> dict[str, Any]:
        """The arguments that say where the windows lie, as the oracle takes them."""
        more = {"ceil_mode": self.options["ceil_mode"]} if "ceil_mode" in self.options else {}
        return {**self.window, **more, "rank": self.rank}


class Dice:
    """What a case is drawn with; `integer(lo, hi)` includes both ends."""

    def __init__(self, integer: Callable[[int, int], int]):
        self.integer = integer

    def pick(self, choices: Sequence[Any]) -> Any:
        return choices[self.integer(0, len(choices) - 1)]

    def chance(self, percent: int) -> bool:
        return self.integer(0, 99) >= 100 - percent

    def order(self, n: int) -> tuple[int, ...]:
        left = list(range(n))
        return tuple(left.pop(self.integer(0, len(left) - 1)) for _ in range(n))


# --- Drawing --------------------------------------------------------------------------------------


def draw_layout(dice: Dice, rank: int, kinds: Sequence[str] = LAYOUTS) -> Layout:
    kind = dice.pick(kinds)
    order, steps, margin = tuple(range(rank)), (1,) * rank, 0
    if kind == "F":
        order = order[::-1]
    elif kind in ("permuted", "mixed", "readonly", "swapped", "unaligned", "negative", "memmap"):
        order = dice.order(rank)
    if kind == "sliced":
        steps = (2,) * rank
    elif kind == "gaps":
        # Rows are dense, and no axis continues another.
        steps = (*(dice.integer(2, 3) for _ in range(rank - 1)), 1)[:rank]
    elif kind == "negative":
        steps = tuple(dice.pick((-1, -1, 1, -2)) for _ in range(rank))
    elif kind == "mixed" or (kind in ("readonly", "swapped", "unaligned") and dice.chance(50)):
        steps = tuple(dice.pick((1, 1, 2, -1, 3, -3)) for _ in range(rank))
        margin = dice.integer(0, 2)
    elif kind == "broadcast":
        # Here the steps say which axes have stride 0.
        steps = tuple(dice.integer(0, 1) for _ in range(rank))
    return Layout(kind, order, steps, margin)


def draw_huge(dice: Dice, lengths: list[int]) -> dict[str, Any]:
    """Kernels, strides, dilations and padding far beyond the data, with few outputs an axis."""
    if dice.chance(20):
        n = dice.pick(HUGE[:6])
        return {"kernel_size": n, "stride": n, "padding": n, "dilation": 1}
    kernels, strides, pads, dilations = [], [], [], []
    for length in lengths:
        kernel, dilation, before, after = dice.integer(1, 3), dice.integer(1, 2), 0, 0
        which = dice.pick(("kernel", "dilation", "padding", "stride", "none"))
        if which == "kernel":
            kernel = dice.pick(HUGE[:7])
        elif which == "dilation":
            dilation = dice.pick(HUGE[:7])
        elif which == "padding":
            before, after = dice.pick(HUGE[:7]), dice.integer(0, 3)
        reach = dilation * (kernel - 1) + 1
        if dice.chance(50):
            before, after = after, before
        need = max(0, reach - length - before - after)
        share = dice.pick((0, need, need // 2, dice.integer(0, min(need, 12))))
        before, after = before + share, after + need - share + dice.integer(0, 3)
        span = length + before + after - reach
        stride = max(1, span // dice.integer(1, 4) + dice.integer(-1, 1))
        if which == "stride":
            stride = dice.pick(HUGE)
        kernels.append(kernel)
        strides.append(stride)
        pads.append((before, after))
        dilations.append(dilation)
    window = {"kernel_size": kernels, "stride": strides, "padding": pads, "dilation": dilations}
    return {name: tuple(value) for name, value in window.items()}


def draw_window(dice: Dice, lengths: list[int]) -> tuple[dict[str, Any], str]:
    """Kernel size, stride, padding and dilation, and which form the padding has."""
    n = len(lengths)
    if dice.chance(6):
        return draw_huge(dice, lengths), "huge"

    def each(draw: Callable[[int], Any]) -> Any:
        """One value for all axes, or a tuple or list of one an axis."""
        if dice.chance(50):
            values = [draw(i) for i in range(n)]
            return tuple(values) if dice.chance(75) else values
        return draw(lengths.index(min(lengths)))

    form = dice.pick(("int", "ints", "pairs", "pairs", "valid", "same", "same_lower"))
    most = 12 if dice.chance(15) else 3
    pads = [(dice.integer(0, most), dice.integer(0, most)) for _ in range(n)]
    if form == "int":
        padding: Any = pads[0][0]
        pads = [(padding, padding)] * n
    elif form == "ints":
        padding = tuple(before for before, _ in pads)
        pads = [(before, before) for before in padding]
    elif form == "pairs":
        padding = tuple(pads) if dice.chance(75) else [list(pad) for pad in pads]
    else:
        padding = form
        pads = [(0, 0)] * n if form == "valid" else [(20, 20)] * n
    dilation = each(lambda i: dice.pick((1, 1, 1, 1, 2, 3)))

    def kernel(i: int) -> int:
        step = dilation if isinstance(dilation, int) else max(dilation)
        room = 1 + (lengths[i] + sum(pads[i]) - 1) // step
        most = 40 if lengths[i] > 40 else 5
        if dice.chance(10):
            return max(1, room + dice.integer(-1, 1))
        return dice.integer(1, max(1, min(most, room)))

    kernel_size = each(kernel)
    most = 20 if max(lengths) > 40 else 4
    stride = None if dice.chance(30) else each(lambda i: dice.integer(1, most))
    if dice.chance(5) and isinstance(kernel_size, int):
        kernel_size = dice.pick((np.int64, np.int16, np.uint8)[: 3 if kernel_size < 256 else 2])(
            kernel_size
        )
    window = {"kernel_size": kernel_size, "padding": padding, "dilation": dilation}
    if stride is not None or dice.chance(20):
        window["stride"] = stride
    if window["padding"] == 0 and dice.chance(50):
        del window["padding"]
    if window["dilation"] == 1 and dice.chance(50):
        del window["dilation"]
    return window, form


def draw_usual(dice: Dice, rank: int) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Shape and window of what most calls are: few neighbours of long rows, of batches that may
    have several axes.
    """
    n = dice.pick((1, 0, 2, 3, 4, 4))
    batch = [dice.integer(1, (4, 4, 4, 3, 2)[n]) for _ in range(n)]
    lengths = [dice.integer(1, 5) for _ in range(rank - 1)]
    kernel = [min(n, dice.integer(1, 5)) for n in lengths] + [dice.integer(1, 5)]
    window: dict[str, Any] = {"kernel_size": tuple(kernel)}
    if dice.chance(70):
        window["stride"] = tuple(dice.pick((1, 2, 2, 3)) for _ in range(rank))
    if dice.chance(70):
        window["padding"] = tuple(dice.integer(0, n // 2) for n in kernel)
    return (*batch, *lengths, dice.integer(10, 90)), window


def draw_shape(dice: Dice, rank: int) -> tuple[tuple[int, ...], Any, list[int], bool]:
    """Shape, `axis`, lengths of the window axes as `axis` gives them, and whether rank is fixed."""
    extra = dice.pick((1, 0, 2, 1, 3))
    most = (12, 12, 8, 6)[rank]
    lengths = [dice.integer(1, most) for _ in range(rank)]
    if dice.chance(12):
        lengths[-1] = dice.integer(13, 300 if rank == 1 else 90)
        lengths[:-1] = [min(n, 4) for n in lengths[:-1]]
    elif dice.chance(1):
        lengths[dice.integer(0, rank - 1)] = 0
    batch = [dice.integer(1, 4) for _ in range(extra)]
    if extra and dice.chance(20):
        batch[-1] = dice.integer(5, 40)
    if extra and dice.chance(3):
        batch[dice.integer(0, extra - 1)] = 0
    fixed = dice.chance(50)
    if dice.chance(40):
        return (*batch, *lengths), None, lengths, fixed
    ndim = rank + extra
    axes = dice.order(ndim)[:rank]
    shape = []
    rest = iter(batch)
    for a in range(ndim):
        shape.append(lengths[axes.index(a)] if a in axes else next(rest))
    signed = [a - ndim if dice.chance(50) else a for a in axes]
    axis: Any = tuple(signed) if dice.chance(80) else signed
    if rank == 1 and dice.chance(50):
        axis = signed[0]
    return tuple(shape), axis, lengths, fixed


def draw_options(dice: Dice, op: str, direction: str, dtype: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if dice.chance(50):
        options["ceil_mode"] = dice.chance(70)
    if op == "avg":
        if dice.chance(50):
            options["count_include_pad"] = not dice.chance(70)
        if dice.chance(25):
            options["divisor_override"] = dice.pick(DIVISORS)
    if op == "lp" and dice.chance(85):
        options["p"] = dice.pick(RARE_P) if dice.chance(8) else dice.pick(COMMON_P)
    if op != "max" and direction == "forward" and dice.chance(50):
        name = dice.pick(FLOATS if op == "lp" else (*FLOATS, *DTYPES[1:]))
        options["dtype"] = name if dice.chance(50) else np.dtype(name)
    if direction in ("indices", "offset"):
        options["return_indices"] = True if direction == "indices" else "offset"
    return options


def draw_case(
    integer: Callable[[int, int], int], op: str | None = None, direction: str | None = None
) -> Case | None:
    """A configuration, or None where the draw came out too large to check."""
    dice = Dice(integer)
    op = op or dice.pick(("max", "avg", "lp"))
    if direction is None:
        direction = dice.pick(("forward", "backward", "forward"))
        if op == "max" and direction == "forward":
            direction = dice.pick(("forward", "indices", "offset"))
    backward = direction == "backward"
    rank = dice.pick((2, 1, 2, 3))
    usual = dice.chance(30)
    if usual:
        shape, window = draw_usual(dice, rank)
        axis, lengths, fixed, form = None, list(shape[-rank:]), dice.chance(50), "ints"
    else:
        shape, axis, lengths, fixed = draw_shape(dice, rank)
        window, form = draw_window(dice, lengths)
    if axis is not None:
        window["axis"] = axis
    elif not fixed and not isinstance(window["kernel_size"], (tuple, list)) and rank != len(shape):
        fixed = True
    if 0 in lengths and str(window.get("padding")).startswith("same"):
        return None
    dtype = dice.pick(FLOATS if backward or dice.chance(50) else DTYPES)
    options = draw_options(dice, op, direction, dtype)
    rank = rank if fixed else None
    geometry = {**window, "ceil_mode": options.get("ceil_mode", False), "rank": rank}
    try:
        axes = oracle.geometry(shape, **geometry)
        result = oracle.output_shape(shape, **geometry)
    except oracle.NoOutput:
        plain = Layout("C", tuple(range(len(shape))), ())
        return Case(
            op, direction, rank, shape, dtype, "ties", plain, window, options, 0, form, False
        )
    if any(n >= 2**63 for ax in axes.values() for n in ax):
        return None
    windows = math.prod(ax.outputs for ax in axes.values())
    if windows > 400 or math.prod(shape) > 4000 or math.prod(result) > 6000:
        return None
    narrow = oracle.offset_dtype(axes)
    if narrow is None and (direction == "offset" or (op == "max" and backward)):
        return None
    kinds = LAYOUTS if dice.chance(60) else LAYOUTS[:7]
    if usual:
        kinds = USUAL_LAYOUTS
    layout = draw_layout(dice, len(shape), kinds)
    if layout.kind == "list":
        # Python numbers come back as these.
        dtype = {"f": "float64", "b": "bool"}.get(np.dtype(dtype).kind, "int64")
        if 0 in shape:
            layout = layout._replace(kind="C")
    content = "normal" if dice.chance(30) else dice.pick(CONTENTS)
    count, seed = dice.integer(0, 4), dice.integer(0, 2**31)
    case = Case(
        op, direction, rank, shape, dtype, content, layout, window, options, count, form, seed=seed
    )
    if backward:
        grad_layout = draw_layout(dice, len(shape), kinds)
        grad_dtype = dtype if usual else dice.pick(FLOATS)
        if grad_layout.kind == "list":
            grad_dtype = "float64"
            if 0 in result:
                grad_layout = grad_layout._replace(kind="C")
        case = case._replace(
            grad_dtype=grad_dtype,
            grad_content=dice.pick(MILD),
            grad_layout=grad_layout,
            helper=draw_helper(dice, op, axes, options),
        )
    if dice.chance(35):
        return draw_out(dice, case, layout)
    return case


def strategy(op: str, direction: str) -> Any:
    """The configurations of an operator and direction as a hypothesis strategy."""
    from hypothesis import assume, strategies

    @strategies.composite
    def configurations(draw: Any) -> Case:
        case = draw_case(lambda lo, hi: draw(strategies.integers(lo, hi)), op, direction)
        assume(case is not None)
        return case

    return configurations()


def draw_helper(dice: Dice, op: str, axes: dict[int, Any], options: dict[str, Any]) -> str | None:
    """What a backward call is given beside x: an index type, or how y is made."""
    if op == "avg" or dice.chance(40):
        return None
    if op == "lp":
        return dice.pick(("y", "y", "other y"))
    if dice.chance(40):
        return "int64"
    positions = math.prod(ax.length for ax in axes.values())
    taps = math.prod(ax.kernel for ax in axes.values())
    enough = [d for d in ("int8", "int16", "int32", "int64") if positions <= np.iinfo(d).max]
    enough += [d for d in INTEGERS if d.startswith("u") and taps <= np.iinfo(d).max]
    return dice.pick(enough)


def draw_out(dice: Dice, case: Case, layout: Layout) -> Case:
    ndim = len(case.shape)
    pair = case.direction in ("indices", "offset")
    out = tuple(draw_layout(dice, ndim, OUT_LAYOUTS) for _ in range(2 if pair else 1))
    overlap = None
    if dice.chance(50) and layout.kind in OUT_LAYOUTS:
        overlap = dice.pick(("x", "values" if pair else "same", "grad"))
        if overlap == "grad" and (
            case.direction != "backward" or case.grad_layout.kind not in OUT_LAYOUTS
        ):
            overlap = "x"
    return case._replace(out=out, overlap=overlap)


# --- Building -------------------------------------------------------------------------------------


def contents(
    kind: str, dtype: np.dtype, shape: tuple[int, ...], rng: np.random.Generator
) -> np.ndarray:
    if dtype.kind == "b":
        return rng.random(shape) < 0.4
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        if kind in ("ties", "nan", "inf"):
            return rng.integers(0, 4, shape).astype(dtype)
        if kind in ("special", "largest"):
            edges = np.array([info.min, info.max, 0, 1, info.max - 1, info.min + 1], dtype)
            return edges[rng.integers(0, len(edges), shape)]
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    info = np.finfo(dtype)
    if kind == "ties":
        return rng.integers(-2, 3, shape).astype(dtype)
    if kind == "subnormal":
        return (rng.integers(-9, 10, shape) * np.longdouble(info.smallest_subnormal)).astype(dtype)
    if kind == "special":
        edges = [0, -0.0, np.nan, np.inf, -np.inf, 1, -1, 3, info.tiny, -info.tiny, info.max]
        edges += [info.min, info.smallest_subnormal, -info.smallest_subnormal, 0, 2, -2]
        return np.array(edges, dtype)[rng.integers(0, len(edges), shape)]
    values = rng.standard_normal(shape)
    if kind == "nan":
        values[rng.random(shape) < 0.15] = np.nan
    elif kind == "inf":
        values = np.where(rng.random(shape) < 0.1, np.inf * np.sign(values), values)
    elif kind == "neighbours":
        huge = {2: 6e4, 4: 1e30, 8: 1e300}[dtype.itemsize]
        values = np.where(rng.random(shape) < 0.1, huge * np.sign(values), values)
    elif kind == "scales":
        span = {2: 3, 4: 37, 8: 307}[dtype.itemsize]
        values = values * 10.0 ** rng.uniform(-span, span, shape)
    elif kind == "largest":
        values = rng.uniform(-1, 1, shape) * float(info.max)
    with np.errstate(over="ignore"):
        return values.astype(dtype)


def _base_shape(shape: tuple[int, ...], layout: Layout) -> list[int]:
    return [n * abs(s) + 2 * layout.margin for n, s in zip(shape, layout.steps, strict=True)]


def extent(shape: tuple[int, ...], dtype: np.dtype, layout: Layout) -> int:
    """Bytes that an array of this layout needs."""
    return math.prod(_base_shape(shape, layout)) * dtype.itemsize + 1


def carve(
    buffer: np.ndarray, offset: int, shape: tuple[int, ...], dtype: np.dtype, layout: Layout
) -> np.ndarray:
    """An array of this layout in a buffer of bytes."""
    base_shape = _base_shape(shape, layout)
    offset += layout.kind == "unaligned"
    base = np.ndarray([base_shape[a] for a in layout.order], dtype, buffer, offset)
    base = base.transpose(np.argsort(layout.order))
    cuts = []
    for n, step in zip(shape, layout.steps, strict=True):
        inner = slice(layout.margin, layout.margin + n * abs(step), abs(step))
        cuts.append(inner)
    view = base[tuple(cuts)]
    return view[tuple(slice(None, None, -1 if s < 0 else 1) for s in layout.steps)]


def junk(size: int, dtype: np.dtype) -> np.ndarray:
    """Bytes that show when they are read: NaN in a float, and large in an integer."""
    return np.full(size, 0x7F if dtype.kind != "f" else 0xFF, np.uint8)


class Placed(NamedTuple):
    """An array as a call gets it, the bytes below it, and its values apart from both."""

    given: Any
    base: np.ndarray | None
    values: np.ndarray


def place(values: np.ndarray, layout: Layout, base: np.ndarray | None, offset: int = 0) -> Placed:
    """Lay `values` out in memory (broadcast and sliding layouts change them)."""
    kind, dtype = layout.kind, values.dtype
    if kind == "list":
        return Placed(values.tolist(), None, values)
    if kind == "broadcast":
        small = values[tuple(slice(0, 1) if s == 0 else slice(None) for s in layout.steps)].copy()
        given = np.broadcast_to(small, values.shape)
        return Placed(given, small.reshape(-1).view(np.uint8), given.copy())
    if kind == "sliding" and values.size:
        flat = values.reshape(-1).copy()
        strides = (dtype.itemsize,) * values.ndim
        given = np.lib.stride_tricks.as_strided(flat, values.shape, strides, writeable=False)
        return Placed(given, flat.view(np.uint8), given.copy())
    if kind == "memmap" and values.size:
        with tempfile.TemporaryFile() as file:
            file.write(values.transpose(layout.order).tobytes())
            file.flush()
            shape = tuple(values.shape[a] for a in layout.order)
            mapped = np.memmap(file, dtype, "r", shape=shape)
        return Placed(mapped.transpose(np.argsort(layout.order)), None, values)
    if kind == "swapped":
        dtype = dtype.newbyteorder()
    if layout.steps == ():
        layout = layout._replace(steps=(1,) * values.ndim)
    if base is None:
        base = junk(offset + extent(values.shape, dtype, layout), values.dtype)
    given = carve(base, offset, values.shape, dtype, layout)
    given[...] = values
    if kind == "readonly":
        given.flags.writeable = False
    return Placed(given, base, values)


class Call(NamedTuple):
    """A case as arrays and arguments."""

    function: str
    positional: tuple[Any, ...]
    keywords: dict[str, Any]
    x: Placed
    grad: Placed | None
    helper: Placed | None
    out: tuple[Placed, ...] | None


def make_helper(case: Case, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Indices of random taps, not only of the largest ones; or y, as forward or out of the blue."""
    axes = oracle.geometry(x.shape, **case.geometry)
    if case.op == "lp":
        y = oracle.lp_pool(x, **case.geometry, p=case.options.get("p", 2.0)).value
        with np.errstate(all="ignore"):
            if case.helper == "other y" and case.options.get("p") != math.inf:
                y = y * rng.uniform(0.5, 2, y.shape) * (rng.random(y.shape) < 0.9)
            return y.astype(x.dtype)
    dtype = np.dtype(case.helper)
    batch = math.prod(n for a, n in enumerate(x.shape) if a not in axes)
    block = np.empty((batch, *(ax.outputs for ax in axes.values())), dtype)
    block[...] = np.array(-1).astype(dtype)
    for window in oracle.each_window(axes):
        number = oracle.tap_positions if dtype.kind == "i" else oracle.tap_numbers
        table = number(window, axes).astype(dtype)
        chosen = table[rng.integers(0, window.count, batch)]
        keep = rng.random(batch) < 0.9
        block[(keep, *window.at)] = chosen[keep]
    return np.ascontiguousarray(oracle.from_block(block, x.shape, axes))


def result_types(case: Case) -> list[np.dtype]:
    dtype = np.dtype(case.dtype)
    if case.op == "max" and case.direction != "backward":
        if case.direction == "forward":
            return [dtype]
        axes = oracle.geometry(case.shape, **case.geometry)
        offsets = case.direction == "offset"
        return [dtype, oracle.offset_dtype(axes) if offsets else np.dtype(np.int64)]
    if case.direction == "backward":
        return [dtype]
    chosen = case.options.get("dtype", dtype if dtype.kind == "f" else np.float64)
    return [np.dtype(chosen)]


def build(case: Case) -> Call:
    rng = np.random.default_rng(case.seed)
    backward = case.direction == "backward"
    values = contents(case.content, np.dtype(case.dtype), case.shape, rng)
    dtypes = result_types(case)
    outer = oracle.output_shape(case.shape, **case.geometry)
    shape = case.shape if backward else outer
    # An `out` that shares memory is carved out of the same bytes, a few elements apart.
    shared = {}
    if case.overlap is not None:
        source = np.dtype(case.grad_dtype if case.overlap == "grad" else case.dtype)
        from_shape, layout = case.shape, case.layout
        if case.overlap == "grad":
            from_shape, layout = outer, case.grad_layout
        size = extent(from_shape, source, layout)
        size = max(size, *(extent(shape, d, o) for d, o in zip(dtypes, case.out, strict=True)))
        base = junk(size + 64, source)
        shared = {"base": base, "offset": 8 * int(rng.integers(0, 8))}
    x = place(
        values, case.layout, **(shared if case.overlap != "grad" and shared else {"base": None})
    )
    grad = helper = None
    if backward:
        values = contents(case.grad_content, np.dtype(case.grad_dtype), outer, rng)
        at = shared if case.overlap == "grad" else {"base": None}
        grad = place(values, case.grad_layout, **at)
        if case.helper is not None:
            values = make_helper(case, x.values, rng)
            layout = case.grad_layout
            if layout.kind in ("list", "broadcast", "sliding"):
                # These would change an index into one of another window.
                layout = Layout("C", tuple(range(len(outer))), ())
            helper = place(values, layout, None)
    outs = None
    if case.out is not None:
        outs = ()
        for i, (layout, dtype) in enumerate(zip(case.out, dtypes, strict=True)):
            mine = shared if shared and i == len(case.out) - 1 else {}
            if case.overlap == "values":
                mine = shared if i == 0 else {}
            base = mine.get("base")
            offset = 8 * int(rng.integers(0, 8)) if mine else 0
            if case.overlap == "same" and (shape, dtype) == (case.shape, np.dtype(case.dtype)):
                outs += (Placed(x.given, base, x.values),)
                continue
            if base is None:
                base = junk(extent(shape, dtype, layout), dtype)
            outs += (Placed(carve(base, offset, shape, dtype, layout), base, base.copy()),)
    return _call(case, x, grad, helper, outs)


def _call(case: Case, x: Placed, grad: Placed | None, helper: Placed | None, outs: Any) -> Call:
    """The names and arguments of the call."""
    name = f"{case.op}_pool"
    if case.rank:
        name += f"{case.rank}d"
    arrays = (x.given,)
    keywords = {**case.window, **case.options}
    if case.direction == "backward":
        name += "_backward"
        arrays = (grad.given, x.given)
        if helper is not None:
            keywords["y" if case.op == "lp" else "indices"] = helper.given
    if outs is not None:
        given = tuple(o.given for o in outs)
        keywords["out"] = given if len(given) > 1 else given[0]
    positional = []
    for key in ("kernel_size", "stride", "padding", "dilation")[: case.positional]:
        if key not in keywords:
            break
        positional.append(keywords.pop(key))
    return Call(name, (*arrays, *positional), keywords, x, grad, helper, outs)
