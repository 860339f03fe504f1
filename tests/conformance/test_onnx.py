"""Run the node test cases of ONNX for pooling through numpool."""

from __future__ import annotations

import functools
import math
import warnings

import numpy as np
import pytest
from differences import DIFFERENCES, NOT_COVERED, Case, Tally

import numpool

onnx = pytest.importorskip("onnx")

# 53 pooling cases, less the two of MaxUnpool
CASES = 51
UNPOOL = ("test_maxunpool_export_with_output_shape", "test_maxunpool_export_without_output_shape")
OPERATORS = {"MaxPool": "max", "AveragePool": "avg", "LpPool": "lp"}
GLOBAL = {"GlobalMaxPool": "max", "GlobalAveragePool": "avg", "GlobalLpPool": "lp"}
AUTO_PAD = {b"VALID": "valid", b"SAME_UPPER": "same", b"SAME_LOWER": "same_lower"}


@functools.cache
def _pooling_cases():
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        # making the cases of every other operator overflows casts and uses what numpy deprecates
        warnings.simplefilter("ignore")
        cases = load_model_tests(kind="node")
    return {case.name: case for case in cases if "pool" in case.name}


def _attributes(node) -> dict:
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def _call(node, x: np.ndarray):
    """The case, and the numpool call, that one node stands for."""
    given = _attributes(node)
    rank = x.ndim - 2
    if node.op_type in GLOBAL:
        op, kernel = GLOBAL[node.op_type], x.shape[2:]
    else:
        op, kernel = OPERATORS[node.op_type], tuple(given.pop("kernel_shape"))
    stride = tuple(given.pop("strides", (1,) * rank))
    dilation = tuple(given.pop("dilations", (1,) * rank))
    pads = given.pop("pads", (0,) * (2 * rank))
    padding = tuple(zip(pads[:rank], pads[rank:], strict=True))
    padding = AUTO_PAD.get(given.pop("auto_pad", b"NOTSET"), padding)
    options = {"ceil_mode": bool(given.pop("ceil_mode", 0))}
    if op == "avg":
        options["count_include_pad"] = bool(given.pop("count_include_pad", 0))
    elif op == "lp":
        options["p"] = given.pop("p", 2)
    else:
        given.pop("storage_order", None)
        options["return_indices"] = len(node.output) == 2
    assert not given, f"attributes not understood: {given}"
    raw = _attributes(node) | {
        "indices": len(node.output) == 2,
        "global": node.op_type in GLOBAL,
    }
    # the paddings of a case are only for predicates that ONNX does not need
    case = Case("ONNX", op, x, kernel, stride, (0,) * rank, dilation, raw=raw)
    function = getattr(numpool, f"{op}_pool{rank}d")
    return case, functools.partial(function, x, kernel, stride, padding, dilation, **options)


def _onnx_indices(indices: np.ndarray, plane: tuple[int, ...], storage_order: int) -> np.ndarray:
    """Positions within planes as ONNX counts them: through the tensor, maybe down the columns."""
    if storage_order:
        indices = np.ravel_multi_index(np.unravel_index(indices, plane), plane, order="F")
    planes = math.prod(indices.shape[:2])
    offset = np.arange(planes).reshape(indices.shape[:2] + (1,) * len(plane)) * math.prod(plane)
    return indices + offset


def _compare(node, call, inputs, expected, rtol, atol) -> None:
    result = call()
    if len(expected) == 2:
        result, indices = result
        plane = inputs[0].shape[2:]
        found = _onnx_indices(indices, plane, _attributes(node).get("storage_order", 0))
        np.testing.assert_array_equal(found, expected[1], strict=True)
    assert result.dtype == expected[0].dtype
    assert result.shape == expected[0].shape
    np.testing.assert_allclose(result, expected[0], rtol=rtol, atol=atol)


def test_node_cases(capsys):
    """All of them, at their own tolerances, indices exactly."""
    tally = Tally("ONNX node cases")
    left_out = set()
    for name, model in _pooling_cases().items():
        (node,) = model.model.graph.node
        if node.op_type not in OPERATORS and node.op_type not in GLOBAL:
            left_out.add(name)
            continue
        ((inputs, expected),) = model.data_sets
        case, call = _call(node, inputs[0])

        def compare(case, known, node=node, call=call, data=(inputs, expected), model=model):
            _compare(node, call, *data, model.rtol, model.atol)

        tally.check(case, compare)
    tally.finish(capsys, CASES)
    assert tally.run == CASES
    assert left_out == set(UNPOOL)


def test_what_is_left_out_is_named():
    """The two MaxUnpool cases stand in the list of what is not covered."""
    named = " ".join(NOT_COVERED)
    assert all(name in named for name in UNPOOL)


def _show_index_origin():
    case = _pooling_cases()["test_maxpool_with_argmax_2d_precomputed_strides"]
    ((inputs, expected),) = case.data_sets
    _, ours = numpool.max_pool2d(inputs[0], 2, return_indices=True)
    assert ours[0, 0].tolist() == [[6, 8], [16, 18]]
    # the same positions of a 5x5 plane, counted down its columns
    assert expected[1][0, 0].tolist() == [[6, 16], [8, 18]]


def _show_defaults():
    cases = _pooling_cases()
    ((inputs, expected),) = cases["test_averagepool_1d_default"].data_sets
    assert expected[0].shape[-1] == inputs[0].shape[-1] - 1
    assert numpool.avg_pool1d(inputs[0], 2).shape[-1] == inputs[0].shape[-1] // 2
    ((inputs, expected),) = cases["test_averagepool_2d_precomputed_pads"].data_sets
    padded = numpool.avg_pool2d(inputs[0], 5, 1, 2)
    assert expected[0][0, 0, 0, 0] == 7
    assert padded[0, 0, 0, 0] == pytest.approx(7 * 9 / 25)


SHOWN = {"onnx-index-origin": _show_index_origin, "onnx-defaults": _show_defaults}


@pytest.mark.parametrize("key", [d.key for d in DIFFERENCES if d.peer == "ONNX"])
def test_difference_is_real(key):
    """Both sides of each line, so that a line ONNX outgrows is noticed."""
    SHOWN[key]()
