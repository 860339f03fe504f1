"""OpenVINO: one operation for max and average, a few for Lp pooling.

It writes into new arrays at each call; by itself it would give the same memory each time.
"""

import math
from functools import cache, partial
from typing import Any

import numpy as np

from benchmarks.cases import Case
from benchmarks.data import Data, batched, unbatched
from benchmarks.peers.peer import Peer, Run
from benchmarks.threads import COUNT


def _supports(case: Case) -> bool:
    if case.backward or case.indices == "offset":
        return False
    if case.operator == "max":
        return case.dtype in ("float32", "uint8", "int16")
    if case.dtype == "uint8":
        return case.result == "uint8" and case.operator == "avg"
    return case.dtype == "float32" and case.dense


@cache
def _core() -> Any:
    import openvino

    return openvino.Core()


def _prepare(data: Data) -> Run:
    import openvino

    case = data.case
    x = batched(case, data.x)
    options = {
        "INFERENCE_NUM_THREADS": COUNT,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    model = _core().compile_model(_model(case, x), "CPU", options)
    request = model.create_infer_request()
    tensor = openvino.Tensor(x, shared_memory=True)
    request.set_input_tensor(tensor)
    kinds = [(tuple(port.shape), port.element_type.to_dtype()) for port in model.outputs]
    call = partial(_infer, request, kinds, tensor)
    return Run(call, lambda results: tuple(unbatched(case, a) for a in results))


def _infer(request: Any, kinds: list[tuple[Any, Any]], kept: Any) -> list[np.ndarray]:
    """`kept` is the input, whose memory the request refers to without owning it."""
    import openvino

    results = [np.empty(shape, dtype) for shape, dtype in kinds]
    for i, result in enumerate(results):
        request.set_output_tensor(i, openvino.Tensor(result, shared_memory=True))
    request.infer()
    return results


def _model(case: Case, x: np.ndarray) -> Any:
    import openvino
    from openvino import opset1, opset8

    source = opset8.parameter(x.shape, x.dtype)
    window = [*case.stride], [*case.padding], [*case.padding], [*case.kernel_size]
    steps, before, after, kernel = window

    def number(value: float) -> Any:
        return opset1.constant(value, x.dtype)

    def largest(node: Any) -> Any:
        return opset8.max_pool(
            node, steps, [*case.dilation], before, after, kernel, index_element_type="i64", axis=2
        )

    def mean(node: Any) -> Any:
        return opset1.avg_pool(node, steps, before, after, kernel, False, "floor")

    if case.operator == "max":
        pooled = largest(source)
    elif case.operator == "avg":
        pooled = mean(source)
    elif case.p == math.inf:
        pooled = largest(opset1.absolute(source))
    else:
        powers = opset1.multiply(source, source) if case.p == 2 else opset1.absolute(source)
        if case.p not in (1, 2):
            powers = opset1.power(powers, number(case.p))
        pooled = opset1.multiply(mean(powers), number(case.taps))
        if case.p == 2:
            pooled = opset1.sqrt(pooled)
        elif case.p != 1:
            pooled = opset1.power(pooled, number(1 / case.p))
    return openvino.Model(pooled.outputs()[: 2 if case.indices else 1], [source])


OPENVINO = Peer("OpenVINO", "openvino", COUNT, _supports, _prepare)
