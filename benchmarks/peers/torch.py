"""PyTorch, in four ways: contiguous, channels last, through oneDNN, and by its reductions.

Backward passes are the operators that autograd would call, so that no forward pass is timed. Lp
pooling is put together from powers and an average, as its own function is, which has no padding,
makes one pass over the data more to handle signs, and calls pow for squares.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.cases import Case
from benchmarks.data import Data, batched, positions, unbatched
from benchmarks.peers.peer import Peer, Run
from benchmarks.threads import COUNT


def supports(case: Case) -> bool:
    if case.result or (case.indices == "offset" and not case.backward):
        return False
    if any(2 * p > k for p, k in zip(case.padding, case.kernel_size, strict=True)):
        return False
    if case.dtype == "float32" or case.dtype == "float64":
        return case.operator == "max" or case.dense
    if case.dtype == "float16":
        return case.dense and (case.operator == "max" or case.rank < 3)
    return case.operator == "max" and case.rank > 1


def supports_channels_last(case: Case) -> bool:
    channels = len(case.shape) > case.rank  # without, it is the same layout
    return supports(case) and channels and case.rank > 1 and np.dtype(case.dtype).kind == "f"


def _supports_onednn(case: Case) -> bool:
    plain = case.operator in ("max", "avg") and not case.indices and not case.backward
    usual = case.dtype == "float32" or (case.dtype == "uint8" and case.operator == "max")
    return plain and usual and case.rank == 2 and case.dense and not case.result


def supports_reduction(case: Case) -> bool:
    if not case.whole or (case.backward and (case.operator == "lp" or not case.indices)):
        return case.whole and case.backward and case.operator == "avg"
    return supports(case) and np.dtype(case.dtype).kind == "f"


def _tensor(a: np.ndarray) -> Any:
    import torch

    torch.set_num_threads(COUNT)
    return torch.from_numpy(a)


def _single(case: Case, result: Any) -> tuple[np.ndarray, ...]:
    tensors = result if isinstance(result, tuple) else (result,)
    shapes = [tensor.shape[:2] + tensor.shape[-case.rank :] for tensor in tensors]
    pairs = zip(tensors, shapes, strict=True)
    return tuple(unbatched(case, t.detach().reshape(shape).cpu().numpy()) for t, shape in pairs)


def prepare(data: Data, layout: Callable[[Any], Any]) -> Run:
    case = data.case
    tensor = lambda a: layout(_tensor(batched(case, a)))  # noqa: E731
    x = tensor(data.x)
    if not case.backward:
        call = _forward(case, x)
    elif case.operator == "lp":
        call = _lp_backward(case, x, tensor(data.grad))
    elif case.operator == "avg":
        call = _avg_backward(case, x, tensor(data.grad))
    elif data.indices is None:
        call = _max_gradient(case, x, tensor(data.grad))
    else:
        found = layout(_tensor(positions(case, data.indices)))
        call = _max_backward(case, x, tensor(data.grad), found)
    return Run(call, partial(_single, case))


def _contiguous(tensor: Any) -> Any:
    return tensor


def channels_last(tensor: Any) -> Any:
    import torch

    form = torch.channels_last if tensor.ndim == 4 else torch.channels_last_3d
    return tensor.contiguous(memory_format=form)


def _forward(case: Case, x: Any) -> Callable[[], Any]:
    pool = _function(case)
    return lambda: pool(x)


def _function(case: Case) -> Callable[[Any], Any]:
    """A forward pass, as a function of a tensor."""
    import torch

    functional = torch.nn.functional
    window = (case.kernel_size, case.stride, case.padding)
    largest = getattr(functional, f"max_pool{case.rank}d")
    mean = getattr(functional, f"avg_pool{case.rank}d")
    if case.operator == "max":
        indices = bool(case.indices)
        return lambda x: largest(x, *window, case.dilation, return_indices=indices)
    if case.operator == "avg":
        return lambda x: mean(x, *window)
    if case.p == math.inf:
        return lambda x: largest(x.abs(), *window, case.dilation)
    if case.p == 1:
        return lambda x: mean(x.abs(), *window) * case.taps
    if case.p == 2:
        return lambda x: (mean(x * x, *window) * case.taps).sqrt()
    return lambda x: (mean(x.abs().pow(case.p), *window) * case.taps).pow(1 / case.p)


def _planes(case: Case, tensors: tuple[Any, ...]) -> tuple[tuple[Any, ...], list[tuple[int, ...]]]:
    """One axis as the second of two, since backward operators exist for two and three."""
    window = [case.kernel_size, case.stride, case.padding, case.dilation]
    if case.rank > 1:
        return tensors, window
    filled = [(fill, *value) for fill, value in zip((1, 1, 0, 1), window, strict=True)]
    return tuple(tensor.unsqueeze(-2) for tensor in tensors), filled


def _max_backward(case: Case, x: Any, grad: Any, found: Any) -> Callable[[], Any]:
    import torch

    (x, grad, found), (kernel, stride, padding, dilation) = _planes(case, (x, grad, found))
    backward = getattr(torch.ops.aten, f"max_pool{max(case.rank, 2)}d_with_indices_backward")
    return lambda: backward(grad, x, kernel, stride, padding, dilation, False, found)


def _max_gradient(case: Case, x: Any, grad: Any) -> Callable[[], Any]:
    """The backward pass from x alone, which has to find the indices first."""
    import torch

    (x, grad), window = _planes(case, (x, grad))
    rank = max(case.rank, 2)
    forward = getattr(torch.ops.aten, f"max_pool{rank}d_with_indices")
    backward = getattr(torch.ops.aten, f"max_pool{rank}d_with_indices_backward")

    def call() -> Any:
        _, found = forward(x, *window)
        return backward(grad, x, *window, False, found)

    return call


def _avg_backward(case: Case, x: Any, grad: Any) -> Callable[[], Any]:
    import torch

    (x, grad), (kernel, stride, padding, _) = _planes(case, (x, grad))
    backward = getattr(torch.ops.aten, f"avg_pool{max(case.rank, 2)}d_backward")
    return lambda: backward(grad, x, kernel, stride, padding, False, True, None)


def _lp_backward(case: Case, x: Any, grad: Any) -> Callable[[], Any]:
    """Autograd's backward pass, from a graph that is kept."""
    import torch

    x = x.requires_grad_()
    y = _function(case)(x)
    return lambda: torch.autograd.grad(y, x, grad, retain_graph=True)[0]


def _prepare_onednn(data: Data) -> Run:
    case = data.case
    x = _tensor(batched(case, data.x)).to_mkldnn()
    return Run(_forward(case, x), lambda result: _single(case, result.to_dense()))


def prepare_reduction(data: Data, layout: Callable[[Any], Any] = _contiguous) -> Run:
    """One window over everything is a reduction of the last axis."""
    import torch

    case = data.case
    tensor = lambda a: layout(_tensor(a)).flatten(2)  # noqa: E731
    x = tensor(batched(case, data.x))
    if not case.backward:
        reduce = _reduction(case)

        def call() -> Any:
            return reduce(x)

    elif case.operator == "avg":
        grad = tensor(batched(case, data.grad))

        def call() -> Any:
            return (grad / case.taps).expand(x.shape).contiguous()

    else:
        grad = tensor(batched(case, data.grad))
        found = tensor(positions(case, data.indices))

        def call() -> Any:
            return torch.zeros_like(x).scatter_(2, found, grad)

    shape = (*x.shape[:2], *(case.lengths if case.backward else (1,) * case.rank))

    def arrays(result: Any) -> tuple[np.ndarray, ...]:
        tensors = result if isinstance(result, tuple) else (result,)
        return _single(case, tuple(tensor.reshape(shape) for tensor in tensors))

    return Run(call, arrays)


def _reduction(case: Case) -> Callable[[Any], Any]:
    import torch

    if case.operator == "avg":
        return lambda x: x.mean(2)
    if case.operator == "lp":
        return lambda x: torch.linalg.vector_norm(x, case.p, 2)
    if case.indices:
        return lambda x: tuple(x.max(2))
    return lambda x: x.amax(2)


TORCH = Peer("torch", "torch", COUNT, supports, partial(prepare, layout=_contiguous))
CHANNELS_LAST = Peer(
    "torch channels last",
    "torch",
    COUNT,
    supports_channels_last,
    partial(prepare, layout=channels_last),
)
ONEDNN = Peer("torch oneDNN", "torch", COUNT, _supports_onednn, _prepare_onednn)
REDUCTION = Peer("torch reduction", "torch", COUNT, supports_reduction, prepare_reduction)
