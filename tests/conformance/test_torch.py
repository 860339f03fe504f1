"""Run PyTorch's own pooling samples, and a random sweep, through numpool and compare everything.

Tolerances are numpool's documented bounds plus the rounding of PyTorch itself, so each sample is
compared twice: with PyTorch in the sample's dtype, and with PyTorch in float64, whose rounding is
next to nothing beside numpool's bound. The rounding of PyTorch is that of a plain running sum of
n terms, n * eps, and one or two eps for each further operation (see `_Bounds`). Maxima, their
indices and everything that is not finite have to be equal.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import warnings

import numpy as np
import pytest
from differences import DIFFERENCES, NOT_COVERED, Case, Tally

import numpool

try:
    with warnings.catch_warnings():
        # its testing modules load much that PyTorch itself deprecates
        warnings.simplefilter("ignore", DeprecationWarning)
        import torch
        import torch.nn.functional as F
        from torch.testing._internal.common_methods_invocations import op_db
        from torch.testing._internal.common_modules import module_db
except ImportError:
    if os.environ.get("NUMPOOL_REQUIRE_TORCH") == "1":
        raise
    pytest.skip("PyTorch (and expecttest, for its samples) is missing", allow_module_level=True)

# Samples a dtype of each entry, as counted with PyTorch 2.13; fewer means that some went missing.
OPINFO = {
    "nn.functional.max_pool1d": 864,
    "nn.functional.max_pool2d": 1440,
    "nn.functional.max_pool3d": 576,
    "max_pool2d_with_indices_backward": 1440,
    "nn.functional.avg_pool1d": 9,
    "nn.functional.avg_pool2d": 7,
    "nn.functional.avg_pool3d": 8,
    "nn.functional.adaptive_avg_pool1d": 2,
    "nn.functional.adaptive_avg_pool2d": 2,
    "nn.functional.adaptive_avg_pool3d": 4,
    "nn.functional.adaptive_max_pool1d": 4,
    "nn.functional.adaptive_max_pool2d": 8,
    "nn.functional.adaptive_max_pool3d": 8,
}
MODULES = {
    f"nn.{name}Pool{d}d": n
    for name, counts in (("Max", (3, 3, 4)), ("Avg", (4, 7, 15)), ("LP", (3, 3, 3)))
    for d, n in zip((1, 2, 3), counts, strict=True)
}
SAMPLED_DTYPES = (
    *(torch.float16, torch.float32, torch.float64),
    *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
)


@pytest.fixture(autouse=True)
def _seeded():
    threads = torch.get_num_threads()
    # thousands of tiny calls: waiting for a second thread costs 8 ms a call on a busy machine
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20240229)
        yield
    torch.set_num_threads(threads)


# --- calls --------------------------------------------------------------------------------------


def _ours(case: Case, name: str = "", **more):
    """The numpool function of a case, rank-generic or fixed to its rank, with its arguments."""
    if case.op == "avg":
        more |= {
            "count_include_pad": case.count_include_pad,
            "divisor_override": case.divisor_override,
        }
    elif case.op == "lp":
        more["p"] = case.p
    # OpInfo and the modules name a function of fixed rank; the sweeps go the rank-generic way
    rank = f"{case.rank}d" if case.raw else ""
    function = getattr(numpool, f"{case.op}_pool{rank}{name}")
    window = (case.kernel, case.stride, case.padding, case.dilation)
    return functools.partial(function, **more, ceil_mode=case.ceil_mode), window


def _forward(case: Case, x, **more):
    function, window = _ours(case, **more)
    return function(x, *window)


def _backward(case: Case, grad, x, **more):
    function, window = _ours(case, "_backward", **more)
    return function(grad, x, *window)


def _theirs(case: Case):
    """The PyTorch function of a case, taking a tensor alone."""
    k, s, pad, d, ceil = case.kernel, case.stride, case.padding, case.dilation, case.ceil_mode
    if case.op == "max":
        call = getattr(F, f"max_pool{case.rank}d")
        return lambda t: call(t, k, s, pad, d, ceil_mode=ceil, return_indices=True)
    if case.op == "avg":
        call = getattr(F, f"avg_pool{case.rank}d")
        args = (k, s, pad, ceil, case.count_include_pad)
        if case.rank > 1:
            args += (case.divisor_override,)
        return lambda t: call(t, *args)
    call = getattr(F, f"lp_pool{case.rank}d")
    # for one axis the exponent's scale is the kernel size itself, which has to be a number
    return lambda t: call(t, case.p, k if case.rank > 1 else k[0], s, ceil)


def _padded(tensor, pairs, value):
    return F.pad(tensor, [n for pair in reversed(pairs) for n in pair], value=value)


def _split(result):
    return result if isinstance(result, tuple) else (result, None)


# --- comparisons --------------------------------------------------------------------------------


def _same(ours, theirs, what: str) -> None:
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape, f"{what}: shape {ours.shape}, PyTorch's {theirs.shape}"
    assert ours.dtype == theirs.dtype, f"{what}: dtype {ours.dtype}, PyTorch's {theirs.dtype}"
    both_nan = (ours != ours) & (theirs != theirs)
    wrong = np.argwhere((ours != theirs) & ~both_nan)
    if wrong.size:
        at = tuple(wrong[0])
        raise AssertionError(f"{what}: {ours[at]} at {list(map(int, at))}, PyTorch {theirs[at]}")


def _near(ours, theirs, bound, what: str) -> None:
    """Within `bound`, and half a unit in the last place of the result's dtype."""
    wide = np.asarray(theirs, np.float64)
    assert ours.shape == wide.shape, f"{what}: shape {ours.shape}, PyTorch's {wide.shape}"
    most = np.finfo(ours.dtype).max
    # the last but one number has the spacing of the last, whose own is past the range
    size = np.minimum(np.nan_to_num(np.abs(wide), nan=0.0), np.nextafter(most, ours.dtype.type(0)))
    allowed = np.where(np.isfinite(wide), bound, 0) + 0.5 * np.spacing(
        size.astype(ours.dtype)
    ).astype(np.float64)
    with np.errstate(invalid="ignore"):
        error = np.abs(ours.astype(np.float64) - wide)
        # where the exact value may lie past the dtype's range, an infinity is its rounding
        past = (np.abs(wide) + allowed > float(most)) & (ours == np.copysign(math.inf, wide))
        good = np.where(
            np.isfinite(wide),
            (error <= allowed) | past,
            (ours == wide) | (np.isnan(ours) & np.isnan(wide)),
        )
    wrong = np.argwhere(~good)
    if wrong.size:
        at = tuple(wrong[0])
        raise AssertionError(
            f"{what}: {ours[at]!r} at {list(map(int, at))}, PyTorch {wide[at]!r}, off by "
            f"{error[at]:.3g}, allowed {np.broadcast_to(allowed, wide.shape)[at]:.3g}"
        )


def _working_eps(dtype) -> float:
    return float(np.finfo(np.promote_types(dtype, np.float32)).eps)


class _Bounds:
    """How far numpool may be from PyTorch, from what each says or does.

    `ours` is the factor of numpool's contract, `theirs` that of PyTorch's chain of operations,
    both relative to the sum of the magnitudes of the terms (of the result, for lp).
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.taps = math.prod(case.kernel)
        self.levels = math.ceil(math.log2(self.taps))
        # how many windows can share one tap: per axis, taps that differ by a multiple of the stride
        self.shared = math.prod(
            math.ceil(k * math.gcd(s, d) / s)
            for k, s, d in zip(case.kernel, case.stride, case.dilation, strict=True)
        )
        if case.op == "lp":
            size = np.abs(case.x[np.isfinite(case.x) & (case.x != 0)]).astype(np.float64)
            # an exponent rounded to the dtype moves a power by |ln base| * eps / 2
            self.log = float(np.abs(np.log(size)).max(initial=0.0)) + math.log(self.taps)

    def forward(self, eps: float) -> float:
        """numpool's bound in a working type of this eps."""
        if self.case.op == "avg":
            return (self.levels + 2) * eps
        return eps * (6 + (0 if math.isinf(self.case.p) else (self.levels + 8) / self.case.p))

    def forward_theirs(self, eps: float) -> float:
        """A running sum of n terms and a quotient; for lp also two powers and two products."""
        if self.case.op == "avg":
            return (self.taps + 1) * eps
        if math.isinf(self.case.p):
            return 0.0
        return eps * ((self.taps + 5) / self.case.p + 2 + self.log)

    def backward(self, eps: float) -> float:
        extra = self.case.p if self.case.op == "lp" and math.isfinite(self.case.p) else 0
        return (self.shared + 8 + extra) * eps

    def backward_theirs(self, eps: float) -> float:
        """A running sum over the windows, a quotient each; for lp the chain rule's two powers."""
        terms = (self.shared + 2) * eps
        if self.case.op == "lp" and math.isfinite(self.case.p):
            p = self.case.p
            terms += eps * (abs(1 - 1 / p) * (self.taps + 5 + p * self.log) + 12 + p * self.log)
        return terms


def _scattered(indices: np.ndarray, grad: np.ndarray, case: Case) -> np.ndarray:
    """Each gradient added at its index within its plane, in float64; -1 adds nothing."""
    planes = math.prod(case.x.shape[: -case.rank])
    size = math.prod(case.lengths)
    flat = indices.reshape(planes, -1) + np.arange(planes)[:, None] * size
    keep = indices.reshape(planes, -1) >= 0
    total = np.bincount(
        flat[keep], grad.astype(np.float64).reshape(planes, -1)[keep], planes * size
    )
    return total.reshape(case.x.shape)


def _compare_max(case: Case, known, tensor, peer) -> None:
    theirs = tensor
    if known & {"torch-low-volume", "torch-narrow-index"}:
        theirs = tensor.clone(memory_format=torch.contiguous_format)
    values, indices = _split(peer(theirs))
    got = _forward(case, tensor.numpy())
    _same(got, values.numpy(), "values")
    with_indices = _theirs(case)
    if indices is None and tensor.dtype.is_floating_point:
        # the index is still wanted, for the gradient
        indices = with_indices(theirs)[1]
    if "torch-nan-index" in known:
        # PyTorch names the first of equal infinities, so let those stand for the NaN
        assert not (tensor == math.inf).any(), "infinity beside NaN would tie here"
        indices = with_indices(torch.nan_to_num(theirs, math.inf, math.inf, -math.inf))[1]
    if indices is None:
        return
    expected = indices.numpy().copy()
    empty = np.broadcast_to(case.data_taps() == 0, expected.shape)
    if "torch-no-data-index" in known:
        assert (expected[empty] != -1).all(), "PyTorch marks windows without data now"
        expected[empty] = -1
    else:
        assert not empty.any()
    got, found = _forward(case, tensor.numpy(), return_indices=True)
    _same(got, values.numpy(), "values beside indices")
    _same(found, expected, "indices")
    if not tensor.dtype.is_floating_point:
        return

    grad = torch.randn(values.shape, dtype=torch.float64).to(tensor.dtype)
    bounds, eps = _Bounds(case), _working_eps(case.x.dtype)
    g = grad.numpy()
    size = _scattered(expected, np.abs(g), case)
    ours = _backward(case, g, tensor.numpy(), indices=found)
    exact = _scattered(expected, g, case)
    wide = bounds.backward(eps) + bounds.shared * np.finfo(np.float64).eps
    _near(ours, exact, wide * size, "gradient against float64")
    again = _backward(case, g, tensor.numpy())
    assert np.array_equal(again, ours), "gradient without indices differs from that with them"
    if known & {"torch-nan-index", "torch-no-data-index"}:
        return  # PyTorch's gradient goes to its own index, or past the plane
    leaf = theirs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(_split(peer(leaf))[0], leaf, grad)
    near = bounds.backward(eps) + bounds.backward_theirs(torch.finfo(tensor.dtype).eps)
    _near(ours, gradient.numpy(), near * size, "gradient")


def _sum_then_divide(case: Case, tensor):
    """A 3D average of any volume: PyTorch's sums of a padded one, over the divisors counted."""
    if case.divisor_override is not None:
        divisor = np.full(case.data_taps().shape, case.divisor_override)
    else:
        divisor = case.inside_taps() if case.count_include_pad else case.data_taps()
    geometry = zip(case.kernel, case.stride, case.padding, strict=True)
    # zeros add nothing to a sum, so there may be more of them than any window reaches
    padded = _padded(tensor, [(pad, pad + k + s) for k, s, pad in geometry], 0)
    total = F.avg_pool3d(padded, case.kernel, case.stride, divisor_override=1)
    total = total[(..., *(slice(n) for n in divisor.shape))]
    return total / torch.from_numpy(divisor.astype(np.float64))


def _compare_avg(case: Case, known, tensor, peer) -> None:
    got = _forward(case, tensor.numpy())
    if "torch-small-volume" in known:
        peer = functools.partial(_sum_then_divide, case)
    values = peer(tensor)
    bounds = _Bounds(case)
    if "torch-integer-average" in known:
        assert got.dtype == np.float64
        wide = peer(tensor.double()).numpy()
        if "torch-small-volume" not in known:
            _same(np.trunc(wide).astype(np.int64), values.numpy(), "values cut towards zero")
        eps = np.finfo(np.float64).eps
        size = np.abs(peer(tensor.double().abs()).numpy())
        bound = bounds.forward(eps) + bounds.forward_theirs(eps)
        _near(got, wide, bound * size, "values of integers")
        return
    assert got.dtype == case.x.dtype
    own, eps = torch.finfo(tensor.dtype).eps, _working_eps(case.x.dtype)
    eps64 = torch.finfo(torch.float64).eps
    wide = tensor.double()
    # an average of magnitudes, so |divisor|: a sign of the divisor must not cancel the bound
    sign = 1 if case.divisor_override is None else math.copysign(1, case.divisor_override)
    size = sign * peer(wide.abs()).numpy()
    bound = bounds.forward(eps) + bounds.forward_theirs(eps64)
    _near(got, peer(wide).numpy(), bound * size, "values against float64")
    bound = bounds.forward(eps) + bounds.forward_theirs(own)
    _near(got, values.numpy(), bound * size, "values")

    grad = torch.randn(values.shape, dtype=torch.float64).to(tensor.dtype)
    ours = _backward(case, grad.numpy(), tensor.numpy())

    def gradient(leaf, g):
        leaf = leaf.clone().requires_grad_()
        return torch.autograd.grad(peer(leaf), leaf, g)[0].numpy()

    size = sign * gradient(wide, grad.double().abs())
    bound = bounds.backward(eps) + bounds.backward_theirs(eps64)
    _near(ours, gradient(wide, grad.double()), bound * size, "gradient against float64")
    bound = bounds.backward(eps) + bounds.backward_theirs(own)
    _near(ours, gradient(tensor, grad), bound * size, "gradient")


def _compare_lp(case: Case, known, tensor, peer) -> None:
    x = tensor.numpy()
    got = _forward(case, x)
    assert got.dtype == x.dtype
    grad = torch.randn(got.shape, dtype=torch.float64).to(tensor.dtype)
    bounds, eps = _Bounds(case), _working_eps(x.dtype)
    # each gradient with the relative error it starts from
    gradients = {"gradient": (_backward(case, grad.numpy(), x), 0.0)}
    if np.isfinite(got).all():
        # a y given is used as it is, rounded to its dtype, and enters to the power p - 1
        last_place = float((np.spacing(got) / np.where(got == 0, 1, got)).max())
        power = abs(case.p - 1) if math.isfinite(case.p) else 0.0
        inherited = power * (bounds.forward(eps) + last_place)
        gradients["gradient from y"] = (_backward(case, grad.numpy(), x, y=got), inherited)
    scale = np.ones(case.data_taps().shape)
    if "torch-lp-edge" in known:
        scale = (case.data_taps() / math.prod(case.kernel)) ** (1 / case.p)
    scaled = grad.double() * torch.from_numpy(scale)

    # PyTorch on magnitudes, and the sign put back into the gradient, is the norm
    signed = "torch-lp-sign" in known
    data = tensor.abs() if signed else tensor
    wide = data.double()
    expectations = [("float64", wide)]
    if "torch-lp-range" not in known:
        expectations.append(("own dtype", data))
    at_kink = (x == 0) & ("torch-lp-kink" in known)
    leaf = tensor.double().abs().requires_grad_()
    (sizes,) = torch.autograd.grad(peer(leaf), leaf, scaled.abs())
    # a term below the smallest number of the working type may vanish
    smallest = float(np.finfo(np.promote_types(x.dtype, np.float32)).smallest_subnormal)
    floor = bounds.shared * smallest * max(1.0, float(scaled.abs().max()))
    for name, data in expectations:
        their_eps = torch.finfo(data.dtype).eps
        leaf = data.clone().requires_grad_()
        values = peer(leaf)
        expected = values.detach().numpy() * scale
        bound = bounds.forward(eps) + bounds.forward_theirs(their_eps)
        _near(got, expected, bound * np.abs(expected), f"values against {name}")
        if not np.isfinite(x).all():
            continue
        (theirs,) = torch.autograd.grad(values, leaf, scaled.to(data.dtype))
        if signed:
            theirs = theirs * tensor.sign()
        bound = bounds.backward(eps) + bounds.backward_theirs(their_eps)
        expected = np.where(at_kink, 0, theirs.numpy())
        for label, (gradient, inherited) in gradients.items():
            allowed = np.where(at_kink, 0, (bound + inherited) * sizes.numpy() + floor)
            _near(gradient, expected, allowed, f"{label} against {name}")


def _compare(case: Case, known, tensor, peer) -> None:
    {"max": _compare_max, "avg": _compare_avg, "lp": _compare_lp}[case.op](
        case, known, tensor, peer
    )


# --- PyTorch's samples --------------------------------------------------------------------------


def _spelled_out(value, rank: int, default=None) -> tuple[int, ...]:
    """PyTorch's int, one-element tuple or empty tuple as `rank` ints."""
    if value is None or value == ():
        value = default
    if isinstance(value, int):
        value = (value,)
    return tuple(value) * rank if len(value) == 1 else tuple(value)


def _case(op: str, rank: int, x: np.ndarray, raw: dict) -> Case:
    kernel = _spelled_out(raw["kernel_size"], rank)
    return Case(
        "PyTorch",
        op,
        x,
        kernel,
        _spelled_out(raw.get("stride"), rank, kernel),
        _spelled_out(raw.get("padding", 0), rank),
        _spelled_out(raw.get("dilation", 1), rank),
        ceil_mode=bool(raw.get("ceil_mode", False)),
        p=raw.get("norm_type", 2.0),
        count_include_pad=raw.get("count_include_pad", True),
        divisor_override=raw.get("divisor_override"),
        raw=raw,
    )


POSITIONAL = {
    "max": ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    "avg": (
        *("kernel_size", "stride", "padding", "ceil_mode"),
        *("count_include_pad", "divisor_override"),
    ),
    "adaptive": ("output_size", "return_indices"),
}
MODULE_ARGUMENTS = {"norm_type", "dilation", *POSITIONAL["max"], *POSITIONAL["avg"]}


def _from_sample(name: str, sample) -> Case | None:
    """The case of one OpInfo sample, None for an adaptive one with windows of several sizes."""
    op = "max" if "max_pool" in name else "avg"
    rank = int(name[name.index("pool") + 4])
    adaptive = "adaptive" in name
    raw = dict(zip(POSITIONAL["adaptive" if adaptive else op], sample.args, strict=False))
    raw |= sample.kwargs
    x = sample.input.detach().numpy()
    if adaptive:
        lengths = x.shape[-rank:]
        sizes = raw["output_size"]
        sizes = sizes if isinstance(sizes, tuple) else (sizes,) * rank
        sizes = [n if s is None else s for s, n in zip(sizes, lengths, strict=True)]
        if any(s == 0 or n % s for s, n in zip(sizes, lengths, strict=True)):
            return None
        kernel = tuple(n // s for s, n in zip(sizes, lengths, strict=True))
        raw = {"kernel_size": kernel, "return_indices": raw.get("return_indices")}
    return _case(op, rank, x, raw)


def _entries(name: str):
    return [op for op in op_db if op.name == name and not op.variant_test_name]


def _check_sample(case: Case, known, tensor, peer) -> None:
    _compare(case, known, tensor, peer)
    if "torch-one-tuple" in known:
        function, _ = _ours(case)
        names = ("kernel_size", "stride", "padding", "dilation")
        with pytest.raises(ValueError):
            function(case.x, **{n: case.raw[n] for n in names if case.raw.get(n) not in (None, ())})


def _compare_backward_entry(case: Case, known, tensor, peer) -> None:
    """max_pool2d_with_indices_backward sends a gradient of ones."""
    _, found = _forward(case, tensor.numpy(), return_indices=True)
    ones = np.ones(found.shape, case.x.dtype)
    ours = _backward(case, ones, tensor.numpy(), indices=found)
    # sums of ones: exact in every dtype for windows this small
    _same(ours, peer(tensor).numpy(), "gradient of ones")


@pytest.mark.parametrize("name", OPINFO)
def test_opinfo(name, capsys):
    """Every sample of the entry, in every dtype NumPy has, values, indices and gradients."""
    tally = Tally(f"PyTorch {name}")
    (entry,) = _entries(name)
    dtypes = [dtype for dtype in SAMPLED_DTYPES if dtype in entry.dtypes]
    compare = _compare_backward_entry if name.endswith("backward") else _check_sample
    for dtype in dtypes:
        # seeding anew before every sample, its default, takes longer than the comparison
        samples = entry.sample_inputs(
            "cpu", dtype, requires_grad=dtype.is_floating_point, set_seed=False
        )
        for sample in samples:
            case = _from_sample(name, sample)
            if case is None:
                continue

            def peer(t, sample=sample):
                return entry.op(t, *sample.args, **sample.kwargs)

            tensor = sample.input.detach()
            tally.check(case, lambda c, known, t=tensor, f=peer: compare(c, known, t, f))
    tally.finish(capsys, OPINFO[name] * len(dtypes))


@pytest.mark.parametrize("name", MODULES)
def test_modules(name, capsys):
    """The samples of the nn modules, the only ones PyTorch has for lp."""
    tally = Tally(f"PyTorch {name}")
    (entry,) = (m for m in module_db if m.name == name)
    op = {"M": "max", "A": "avg", "L": "lp"}[name[3]]
    for dtype in (torch.float32, torch.float64):
        for sample in entry.module_inputs_func(
            entry, device="cpu", dtype=dtype, requires_grad=True, training=True
        ):
            made = sample.constructor_input
            module = entry.module_cls(*made.args, **made.kwargs)
            (tensor,) = (a.detach() for a in sample.forward_input.args)
            raw = {k: v for k, v in vars(module).items() if k in MODULE_ARGUMENTS}
            case = _case(op, int(name[-2]), tensor.numpy(), raw)
            tally.check(case, lambda c, known, t=tensor, m=module: _check_sample(c, known, t, m))
    tally.finish(capsys, 2 * MODULES[name])


@pytest.mark.parametrize("name", [n for n in OPINFO if "adaptive" not in n and "indices" not in n])
def test_error_inputs(name, capsys):
    """What PyTorch refuses numpool refuses too, or takes as the table of differences says."""
    tally = Tally(f"PyTorch {name}, refused")
    (entry,) = _entries(name)
    op, rank = ("max" if "max" in name else "avg"), int(name[-2])
    for bad in entry.error_inputs("cpu"):
        sample = bad.sample_input
        raw = dict(zip(POSITIONAL[op], sample.args, strict=False)) | sample.kwargs
        case = _case(op, rank, sample.input.detach().numpy(), raw)

        reasons = {"torch-padding-limit": "at most half", "torch-empty-axis": "batch"}
        lifted = [d for d in DIFFERENCES if reasons.get(d.key, "\0") in bad.error_regex]

        def compare(case, known):
            if known:
                result = _forward(case, case.x)
                assert result.shape[: -case.rank] == case.x.shape[: -case.rank]
            else:
                with pytest.raises((TypeError, ValueError)):
                    _forward(case, case.x)

        # by PyTorch's own reason: its other refusals have geometries without any windows
        tally.check(case, compare, frozenset(d.key for d in lifted if d.applies(case)))
    tally.finish(capsys, {"max": 7, "avg": 2}[op])


def test_every_pooling_entry_is_decided():
    """A pooling entry new in PyTorch is either run or named as not covered."""
    left_out = " ".join(NOT_COVERED)
    families = ("unpool", "fractional_max_pool")
    assert all(f in left_out for f in families)
    names = {op.name for op in op_db if "pool" in op.name}
    undecided = {n for n in names if n not in OPINFO and not any(f in n for f in families)}
    assert not undecided


# --- a random sweep -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Sweep:
    op: str
    dtypes: tuple[torch.dtype, ...]
    count: int


SWEEPS = (
    _Sweep("max", SAMPLED_DTYPES, 2000),
    _Sweep("avg", (torch.float16, torch.float32, torch.float64, torch.int64), 1500),
    _Sweep("lp", (torch.float16, torch.float32, torch.float64), 1500),
)
# Upper ends, by rank, of the input's and of the window's length. The large ones are there for what
# small ones do not reach: rows longer than a cache, long windows, work for several threads.
SMALL = {1: (40, 6), 2: (14, 6), 3: (8, 4)}
LARGE = {1: (20000, 200), 2: (120, 24), 3: (30, 9)}
EXPONENTS = (1.0, 2.0, 3.0, 4.0, 1.5, 2.5, 0.5, math.inf)


def _random_tensor(rng, op, dtype, shape, contents):
    if not dtype.is_floating_point:
        info = torch.iinfo(dtype)
        low, high = (info.min, info.max) if op == "max" else (-1000, 1000)
        # a narrow range makes ties, the whole one reaches the lowest value
        low, high = (low, high) if contents == "wide" else (max(low, -2), 3)
        drawn = rng.integers(low, high, shape, dtype=np.int64, endpoint=True)
        return torch.from_numpy(drawn).to(dtype)
    drawn = rng.uniform(0.25, 4.0, shape) * rng.choice((-1.0, 1.0), shape)
    if contents == "ties":
        drawn = rng.integers(-2, 3, shape).astype(np.float64)
    elif contents == "wide":
        reach = 4 if dtype is torch.float16 else 30
        drawn *= 10.0 ** rng.uniform(-reach, reach, shape)
        if op == "avg":  # sums of mixed magnitudes, and still far from the dtype's range
            drawn *= 1e-3
    elif contents == "nan":
        drawn[rng.random(shape) < 0.2] = math.nan
    elif contents == "inf":
        drawn[rng.random(shape) < 0.15] = math.inf
        drawn[rng.random(shape) < 0.15] = -math.inf
    if op == "lp" and rng.random() < 0.4:  # else most samples would need PyTorch's sign rule undone
        drawn = np.abs(drawn)
    with np.errstate(over="ignore"):
        return torch.from_numpy(drawn).to(dtype)


def _random_case(rng, sweep: _Sweep) -> tuple[Case, torch.Tensor]:
    op = sweep.op
    dtype = sweep.dtypes[rng.integers(len(sweep.dtypes))]
    # PyTorch has no 1D maximum of integers and no 3D average of float16
    low = 2 if op == "max" and not dtype.is_floating_point else 1
    high = 2 if op != "max" and dtype is torch.float16 else 3
    rank = int(rng.integers(low, high, endpoint=True))
    longest, widest = (LARGE if rng.random() < 0.05 else SMALL)[rank]
    while True:
        lengths = [int(n) for n in rng.integers(1, longest, rank)]
        kernel = tuple(int(n) for n in rng.integers(1, widest, rank))
        stride = tuple(int(n) for n in rng.integers(1, max(5, widest // 4), rank))
        dilation = tuple(int(n) for n in rng.integers(1, 4, rank)) if op == "max" else (1,) * rank
        reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        padding = (0,) * rank
        if op != "lp":
            padding = tuple(int(rng.integers(0, k // 2, endpoint=True)) for k in kernel)
        if all(n + 2 * pad >= r for n, pad, r in zip(lengths, padding, reach, strict=True)):
            break
    leading = [int(n) for n in rng.integers(1, 4, 2)]
    contents = str(rng.choice(("plain", "ties", "wide", "nan", "inf")))
    tensor = _random_tensor(rng, op, dtype, leading + lengths, contents)
    if rank > 1 and rng.random() < 0.4:
        formats = {2: torch.channels_last, 3: torch.channels_last_3d}
        tensor = tensor.contiguous(memory_format=formats[rank])
    elif rng.random() < 0.3:
        tensor = tensor.transpose(0, 1)
    override = None
    if op == "avg" and rank > 1 and rng.random() < 0.3:
        override = int(rng.choice((-3, 1, 2, 7)))
    case = Case(
        "PyTorch",
        op,
        tensor.numpy(),
        kernel,
        stride,
        padding,
        dilation,
        ceil_mode=bool(rng.integers(2)),
        p=float(rng.choice(EXPONENTS)),
        count_include_pad=bool(rng.integers(2)),
        divisor_override=override,
    )
    return case, tensor


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda s: s.op)
def test_random_sweep(sweep, capsys):
    """Layouts, ceil_mode, divisors, dilation, ties, NaN, infinities and far apart magnitudes."""
    rng = np.random.default_rng(7)
    tally = Tally(f"PyTorch, random {sweep.op}")
    for _ in range(sweep.count):
        case, tensor = _random_case(rng, sweep)
        tally.check(case, lambda c, known, t=tensor: _compare(c, known, t, _theirs(c)))
    tally.finish(capsys, sweep.count)


# --- what PyTorch's pooling lacks, from its padding and its convolution -------------------------


def _pairs(rng, rank: int) -> list[tuple[int, int]]:
    return [(int(a), int(b)) for a, b in rng.integers(0, 7, (rank, 2))]


def test_any_padding_against_explicit_padding(capsys):
    """Uneven padding and padding beyond half the window, against an input padded beforehand."""
    rng = np.random.default_rng(11)
    tally = Tally("PyTorch, explicit padding")
    for _ in range(150):
        rank = int(rng.integers(1, 4))
        lengths = tuple(int(n) for n in rng.integers(1, 9, rank))
        kernel = tuple(int(n) for n in rng.integers(1, 5, rank))
        stride = tuple(int(n) for n in rng.integers(1, 4, rank))
        pairs = _pairs(rng, rank)
        if any(n + a + b < k for n, (a, b), k in zip(lengths, pairs, kernel, strict=True)):
            continue
        tensor = torch.randn((2, 3, *lengths), dtype=torch.float64)
        zeros = (0,) * rank
        case = Case("PyTorch", "max", tensor.numpy(), kernel, stride, zeros, (1,) * rank)

        def compare(case, known, tensor=tensor, pairs=pairs, lengths=lengths):
            peer = _theirs(case)
            values, flat = peer(_padded(tensor, pairs, -math.inf))
            full = [n + a + b for n, (a, b) in zip(lengths, pairs, strict=True)]
            at = np.unravel_index(flat.numpy(), full)
            at = [i - a for i, (a, _) in zip(at, pairs, strict=True)]
            inside = np.logical_and.reduce(
                [(i >= 0) & (i < n) for i, n in zip(at, lengths, strict=True)]
            )
            clipped = [np.clip(i, 0, n - 1) for i, n in zip(at, lengths, strict=True)]
            index = np.where(inside, np.ravel_multi_index(clipped, lengths), -1)
            window = (case.kernel, case.stride, pairs)
            got, found = numpool.max_pool(case.x, *window, return_indices=True)
            _same(got, values.numpy(), "values")
            _same(found, index, "indices")

            average = dataclasses.replace(case, op="avg")
            bounds, eps = _Bounds(average), np.finfo(np.float64).eps
            peer = _theirs(average)
            size = peer(_padded(tensor.abs(), pairs, 0.0)).numpy()
            expected = peer(_padded(tensor, pairs, 0.0)).numpy()
            got = numpool.avg_pool(case.x, *window)
            _near(got, expected, (bounds.forward(eps) + bounds.forward_theirs(eps)) * size, "avg")

            norm = dataclasses.replace(case, op="lp")
            bounds = _Bounds(norm)
            expected = _theirs(norm)(_padded(tensor, pairs, 0.0)).numpy()
            got = numpool.lp_pool(case.x, *window)
            bound = bounds.forward(eps) + bounds.forward_theirs(eps)
            _near(got, expected, bound * expected, "lp")

        beyond = any(max(pair) > k // 2 for pair, k in zip(pairs, kernel, strict=True))
        tally.check(case, compare, frozenset({"torch-padding-limit"} if beyond else ()))
    tally.finish(capsys, 120)


def test_dilated_sums_against_convolution(capsys):
    """Dilated averages and norms, and their gradients, against a convolution with ones."""
    rng = np.random.default_rng(13)
    tally = Tally("PyTorch, convolution")
    eps = np.finfo(np.float64).eps
    for i in range(120):
        rank = int(rng.integers(1, 4))
        lengths = tuple(int(n) for n in rng.integers(3, 10, rank))
        kernel = tuple(int(n) for n in rng.integers(1, 4, rank))
        stride = tuple(int(n) for n in rng.integers(1, 4, rank))
        dilation = tuple(int(n) for n in rng.integers(1, 4, rank))
        padding = tuple(int(n) for n in rng.integers(0, 4, rank))
        geometry = zip(lengths, padding, dilation, kernel, strict=True)
        if any(n + 2 * pad < d * (k - 1) + 1 for n, pad, d, k in geometry):
            continue
        tensor = torch.randn((3, 1, *lengths), dtype=torch.float64)
        window = (kernel, stride, padding, dilation)
        case = Case(
            "PyTorch",
            ("avg", "lp")[i % 2],
            tensor.numpy(),
            *window,
            p=float(rng.choice((1.5, 2.0, 3.0))),
            count_include_pad=bool(rng.integers(2)),
        )

        def compare(case, known, tensor=tensor, rank=rank):
            ones = torch.ones((1, 1, *case.kernel), dtype=torch.float64)
            convolve = getattr(F, f"conv{rank}d")
            summed = functools.partial(
                convolve,
                weight=ones,
                stride=case.stride,
                padding=case.padding,
                dilation=case.dilation,
            )
            # no window is cut without ceil_mode, so every tap is inside input plus padding
            divisor = torch.tensor(float(math.prod(case.kernel)))
            if not case.count_include_pad:
                divisor = summed(torch.ones_like(tensor)).clamp(min=1)

            def peer(t):
                if case.op == "avg":
                    return summed(t) / divisor
                # a window of zeros has no finite gradient in this form: keep the root off 0
                total = summed(t.abs() ** case.p)
                empty = total == 0
                return torch.where(empty, 0.0, torch.where(empty, 1.0, total) ** (1 / case.p))

            bounds = _Bounds(case)
            leaf = tensor.clone().requires_grad_()
            values = peer(leaf)
            grad = torch.randn(values.shape, dtype=torch.float64)
            (gradient,) = torch.autograd.grad(values, leaf, grad)
            positive = tensor.abs().requires_grad_()
            magnitudes = peer(positive)
            (size,) = torch.autograd.grad(magnitudes, positive, grad.abs())
            bound = bounds.forward(eps) + bounds.forward_theirs(eps)
            got = _forward(case, case.x)
            _near(got, values.detach().numpy(), bound * magnitudes.detach().numpy(), "values")
            bound = bounds.backward(eps) + bounds.backward_theirs(eps)
            got = _backward(case, grad.numpy(), case.x)
            _near(got, gradient.numpy(), bound * size.numpy(), "gradient")

        tally.check(case, compare, frozenset())
    tally.finish(capsys, 80)


def test_tensors_are_taken_as_they_are():
    """A CPU tensor is an array to numpool, whatever its layout."""
    x = torch.randn((2, 3, 8, 9)).contiguous(memory_format=torch.channels_last)
    values, indices = numpool.max_pool2d(x, 3, 2, 1, return_indices=True)
    theirs, places = F.max_pool2d(x, 3, 2, 1, return_indices=True)
    _same(np.asarray(values), theirs.numpy(), "values")
    _same(np.asarray(indices), places.numpy(), "indices")


# --- every line of the table is real ------------------------------------------------------------


def _line(*values, dtype=torch.float64):
    return torch.tensor([[values]], dtype=dtype)


def _show_nan_index():
    x = _line(math.nan, 1, math.nan)
    assert F.max_pool1d(x, 3, return_indices=True)[1].item() == 2
    assert numpool.max_pool1d(x.numpy(), 3, return_indices=True)[1].item() == 0


def _show_no_data_index():
    x = _line(5.0)
    assert F.max_pool1d(x, 2, padding=1, dilation=2, return_indices=True)[1].item() == 1
    window = {"padding": 1, "dilation": 2}
    y, i = numpool.max_pool1d(x.numpy(), 2, **window, return_indices=True)
    assert (y.item(), i.item()) == (-math.inf, -1)
    assert not numpool.max_pool1d_backward(np.ones_like(y), x.numpy(), 2, **window).any()


def _show_low_volume():
    x = torch.full((1, 2, 4, 2, 2), -math.inf).contiguous(memory_format=torch.channels_last_3d)
    assert F.max_pool3d(x, 2, return_indices=True)[1][0, 0].flatten().tolist() == [0, 0]
    indices = numpool.max_pool3d(x.numpy(), 2, return_indices=True)[1]
    assert indices[0, 0].flatten().tolist() == [0, 8]


def _show_narrow_index():
    x = torch.ones((1, 2, 12, 12), dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    with pytest.raises(RuntimeError, match="numeric_limits"):
        F.max_pool2d(x, 2)
    assert numpool.max_pool2d(x.numpy(), 2, return_indices=True)[1][0, 0, 5, 5] == 130


def _show_padding_limit():
    x = _line(1, 2, 3)
    with pytest.raises(RuntimeError, match="half"):
        F.max_pool1d(x, 2, 1, 2)
    y = numpool.max_pool1d(x.numpy(), 2, 1, 2)
    assert y[0, 0].tolist() == [-math.inf, 1, 2, 3, 3, -math.inf]


def _show_one_tuple():
    x = torch.ones((1, 1, 4, 4))
    assert F.max_pool2d(x, (2,)).shape == (1, 1, 2, 2)
    with pytest.raises(ValueError):
        numpool.max_pool2d(x.numpy(), (2,))


def _show_empty_axis():
    x = torch.ones((0, 10))
    with pytest.raises(RuntimeError, match="optional 0 dim batch"):
        F.max_pool1d(x, 2)
    assert numpool.max_pool1d(x.numpy(), 2).shape == (0, 5)


def _show_small_volume():
    x = torch.ones((1, 1, 2, 4, 4))
    with pytest.raises(RuntimeError, match="smaller than kernel size"):
        F.avg_pool3d(x, 3, 2, 1)
    assert numpool.avg_pool3d(x.numpy(), 3, 2, 1).shape == (1, 1, 1, 2, 2)


def _show_integer_average():
    x = _line(-1, -2, 3, 4, dtype=torch.int64)
    assert F.avg_pool1d(x, 2)[0, 0].tolist() == [-1, 3]
    y = numpool.avg_pool1d(x.numpy(), 2)
    assert y.dtype == np.float64
    assert y[0, 0].tolist() == [-1.5, 3.5]


def _show_lp_sign():
    x = _line(3, -3)
    assert F.lp_pool1d(x, 1, 2).item() == 0
    assert numpool.lp_pool1d(x.numpy(), 2, p=1).item() == 6


def _show_lp_edge():
    x = _line(1, 1, 1)
    assert F.lp_pool1d(x, 1, 2, ceil_mode=True)[0, 0].tolist() == [2, 2]
    assert numpool.lp_pool1d(x.numpy(), 2, p=1, ceil_mode=True)[0, 0].tolist() == [2, 1]


def _show_lp_range():
    x = _line(3e30, 4e30, dtype=torch.float32)
    assert F.lp_pool1d(x, 2, 2).item() == math.inf
    assert numpool.lp_pool1d(x.numpy(), 2).item() == pytest.approx(5e30, rel=1e-6)


def _show_lp_kink():
    x = _line(0, 2).requires_grad_()
    (gradient,) = torch.autograd.grad(F.lp_pool1d(x, 1, 2).sum(), x)
    assert gradient[0, 0].tolist() == [1, 1]
    ones = np.ones((1, 1, 1))
    ours = numpool.lp_pool1d_backward(ones, x.detach().numpy(), 2, p=1)
    assert ours[0, 0].tolist() == [0, 1]


def _show_lp_exponent():
    x = _line(1, 1)
    assert F.lp_pool1d(x, -1, 2).item() == 0.5
    with pytest.raises(ValueError):
        numpool.lp_pool1d(x.numpy(), 2, p=-1)


SHOWN = {
    "torch-nan-index": _show_nan_index,
    "torch-no-data-index": _show_no_data_index,
    "torch-low-volume": _show_low_volume,
    "torch-narrow-index": _show_narrow_index,
    "torch-padding-limit": _show_padding_limit,
    "torch-one-tuple": _show_one_tuple,
    "torch-empty-axis": _show_empty_axis,
    "torch-small-volume": _show_small_volume,
    "torch-integer-average": _show_integer_average,
    "torch-lp-sign": _show_lp_sign,
    "torch-lp-edge": _show_lp_edge,
    "torch-lp-range": _show_lp_range,
    "torch-lp-kink": _show_lp_kink,
    "torch-lp-exponent": _show_lp_exponent,
}


@pytest.mark.parametrize("key", [d.key for d in DIFFERENCES if d.peer == "PyTorch"])
def test_difference_is_real(key):
    """Both sides of each line, so that a line PyTorch outgrows is noticed."""
    SHOWN[key]()
