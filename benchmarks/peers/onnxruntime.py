"""ONNX Runtime: one node for max and average, a few for Lp pooling.

Its own LpPool takes 154 ms for 16x64x112x112 k3 s2 p1 where squares, average and root take 5.6 ms.
Arrays are bound beforehand; each run makes new outputs.
"""

import math
from functools import partial
from typing import Any

import numpy as np

from benchmarks.cases import Case
from benchmarks.data import Data, batched, unbatched
from benchmarks.peers.peer import Peer, Run
from benchmarks.threads import COUNT

_OPSET = 22


def _supports(case: Case) -> bool:
    if case.backward or case.result or case.indices == "offset":
        return False
    if case.operator == "max":
        return case.dtype in ("float32", "float64", "float16", "uint8")
    return case.dtype in ("float32", "float16")


def _prepare(data: Data) -> Run:
    import onnxruntime

    case = data.case
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = COUNT
    # Nodes that have no fast kernel say so.
    options.log_severity_level = 3
    x = batched(case, data.x)
    model = _model(case, x)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", onnxruntime.OrtValue.ortvalue_from_numpy(x))
    names = [output.name for output in session.get_outputs()]

    def call() -> Any:
        binding.clear_binding_outputs()
        for name in names:
            binding.bind_output(name, "cpu")
        session.run_with_iobinding(binding)
        return binding

    return Run(call, partial(_arrays, case))


def _arrays(case: Case, binding: Any) -> tuple[np.ndarray, ...]:
    values, *indices = (output.numpy() for output in binding.get_outputs())
    plane = math.prod(case.lengths)
    return tuple(unbatched(case, a) for a in (values, *(a % plane for a in indices)))


def _model(case: Case, x: np.ndarray) -> bytes:
    import onnx
    from onnx import helper

    element = helper.np_dtype_to_tensor_dtype(x.dtype)
    outputs = [helper.make_tensor_value_info("y", element, None)]
    if case.indices:
        outputs.append(helper.make_tensor_value_info("indices", onnx.TensorProto.INT64, None))
    inputs = [helper.make_tensor_value_info("x", element, x.shape)]
    constants = {}
    if case.operator == "lp":
        constants = {"p": case.p, "root": 1 / case.p, "taps": float(case.taps)}
    tensors = [
        onnx.numpy_helper.from_array(np.array(value, x.dtype), name)
        for name, value in constants.items()
    ]
    graph = helper.make_graph(_nodes(case), "pooling", inputs, outputs, initializer=tensors)
    versions = [helper.make_opsetid("", _OPSET)]
    return helper.make_model(graph, opset_imports=versions, ir_version=10).SerializeToString()


def _nodes(case: Case) -> list[Any]:
    from onnx.helper import make_node

    mean = partial(_pool, case, "AveragePool")
    largest = partial(_pool, case, "MaxPool")
    if case.operator == "max":
        return [largest("x", ["y", "indices"] if case.indices else ["y"])]
    if case.operator == "avg":
        return [mean("x", ["y"])]
    if case.p == 2:
        first, last = make_node("Mul", ["x", "x"], ["a"]), make_node("Sqrt", ["c"], ["y"])
    else:
        first, last = make_node("Abs", ["x"], ["a"]), make_node("Pow", ["c", "root"], ["y"])
    if case.p == math.inf:
        return [first, largest("a", ["y"])]
    if case.p == 1:
        return [first, mean("a", ["b"]), make_node("Mul", ["b", "taps"], ["y"])]
    power = [] if case.p == 2 else [make_node("Pow", ["a", "p"], ["power"])]
    pooled = mean("a" if case.p == 2 else "power", ["b"])
    return [first, *power, pooled, make_node("Mul", ["b", "taps"], ["c"]), last]


def _pool(case: Case, kind: str, x: str, outputs: list[str]) -> Any:
    from onnx.helper import make_node

    if case.whole and not case.indices and case.dtype == "float32":
        return make_node("Global" + kind, [x], outputs)
    more = {"count_include_pad": 1} if kind == "AveragePool" else {}
    return make_node(
        kind,
        [x],
        outputs,
        kernel_shape=case.kernel_size,
        strides=case.stride,
        pads=case.padding * 2,
        dilations=case.dilation,
        **more,
    )


ONNX_RUNTIME = Peer("onnxruntime", "onnxruntime", COUNT, _supports, _prepare)
