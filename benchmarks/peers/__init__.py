"""The table of peers: who is compared with numpool. Each module says how its library works."""

from benchmarks.peers import blocks, filters, jax, onnxruntime, opencv, openvino, torch
from benchmarks.peers.peer import Peer

PEERS: list[Peer] = [
    torch.TORCH,
    torch.CHANNELS_LAST,
    torch.ONEDNN,
    torch.REDUCTION,
    onnxruntime.ONNX_RUNTIME,
    openvino.OPENVINO,
    jax.JAX,
    opencv.OPENCV,
    filters.SCIPY,
    filters.BOTTLENECK,
    filters.NUMBAGG,
    blocks.SKIMAGE,
    blocks.NUMPY,
]


def installed() -> list[Peer]:
    """The peers whose library is here."""
    return [peer for peer in PEERS if peer.version]
