"""The peers on a GPU: PyTorch in three ways, and CuPy's filters."""

import importlib.metadata
from dataclasses import replace
from functools import partial
from typing import Any

from benchmarks.cases import Case
from benchmarks.data import Data
from benchmarks.gpu import carriers
from benchmarks.peers import filters, torch
from benchmarks.peers.peer import Peer, Run


def _supports(case: Case) -> bool:
    """On a GPU PyTorch pools float16 as it does float32, and no integers."""
    if case.dtype == "float16":
        case = replace(case, dtype="float32")
    return case.dtype in ("float32", "float64") and torch.supports(case)


def _supports_channels_last(case: Case) -> bool:
    return _supports(case) and torch.supports_channels_last(replace(case, dtype="float32"))


def _supports_reduction(case: Case) -> bool:
    return _supports(case) and torch.supports_reduction(replace(case, dtype="float32"))


def _on_gpu(tensor: Any) -> Any:
    return tensor.cuda()


def _channels_last(tensor: Any) -> Any:
    return torch.channels_last(tensor.cuda())


def _prepare_filters(data: Data) -> Run:
    import cupy
    from cupyx.scipy import ndimage

    return filters.filtered(data.case, cupy.asarray(filters.plain(data)), ndimage, cupy.asnumpy)


def _cupy_package() -> str:
    """The name under which CuPy is installed, which has the version of CUDA in it."""
    names = {distribution.name for distribution in importlib.metadata.distributions()}
    found = ("cupy-cuda13x", "cupy-cuda12x", "cupy")
    return next((name for name in found if name in names), "cupy")


PEERS = [
    Peer("torch", "torch", 1, _supports, partial(torch.prepare, layout=_on_gpu)),
    Peer(
        "torch channels last",
        "torch",
        1,
        _supports_channels_last,
        partial(torch.prepare, layout=_channels_last),
    ),
    Peer(
        "torch reduction",
        "torch",
        1,
        _supports_reduction,
        partial(torch.prepare_reduction, layout=_on_gpu),
    ),
    Peer("CuPy", _cupy_package(), 1, filters.supports_scipy, _prepare_filters, running=True),
]


def usable() -> list[Peer]:
    """The peers whose library is here and built for GPUs."""
    there = {"torch": carriers.TORCH.installed, "cupy": carriers.CUPY.installed}
    return [peer for peer in PEERS if there[peer.distribution.split("-")[0]]]
