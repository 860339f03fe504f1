"""OpenCV, on one image of up to four interleaved channels: resize by areas, dilate, blur."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.cases import Case
from benchmarks.data import Data, result_dtype
from benchmarks.peers.peer import Peer, Run
from benchmarks.threads import COUNT


def _supports(case: Case) -> bool:
    image = len(case.shape) == 2 or (len(case.shape) == 3 and case.shape[2] <= 4)
    if not image or max(case.axis) > 1 or case.backward or case.indices or case.p != 2:
        return False
    if case.dtype in ("float16", "float64") or result_dtype(case) != case.dtype:
        return False
    if case.operator == "avg" and case.apart:
        return True
    if case.operator == "max" and max(case.stride) == 1 and not case.dense:
        return all(
            2 * p == (k - 1) * d
            for p, k, d in zip(case.padding, case.kernel_size, case.dilation, strict=True)
        )
    return case.centred or case.sliding


def _prepare(data: Data) -> Run:
    import cv2

    cv2.setNumThreads(COUNT)
    case = data.case
    x = np.require(data.x, data.x.dtype.newbyteorder("="), ["C", "A"])
    rows, columns = (case.kernel_size[case.axis.index(a)] if a in case.axis else 1 for a in (0, 1))
    if case.operator == "avg" and case.apart:
        x = np.ascontiguousarray(x[: x.shape[0] // rows * rows, : x.shape[1] // columns * columns])
        size = (x.shape[1] // columns, x.shape[0] // rows)
        return _run(case, lambda: cv2.resize(x, size, interpolation=cv2.INTER_AREA), (0, 0))
    inside = (rows // 2, columns // 2) if case.sliding else (0, 0)
    ends = (x.shape[0] - (rows - 1 - inside[0]), x.shape[1] - (columns - 1 - inside[1]))
    if not case.sliding:
        ends = x.shape[:2]
    if case.operator == "max":
        element = np.zeros([(k - 1) * d + 1 for k, d in _axes(case)], np.uint8)
        element[tuple(slice(None, None, d) for _, d in _axes(case))] = 1
        return _run(case, lambda: cv2.dilate(x, element), inside, ends)
    edge = cv2.BORDER_CONSTANT
    if case.operator == "avg":
        return _run(case, lambda: cv2.blur(x, (columns, rows), borderType=edge), inside, ends)

    def norm() -> Any:
        squares = cv2.sqrBoxFilter(x, -1, (columns, rows), normalize=False, borderType=edge)
        return cv2.sqrt(squares, squares)

    return _run(case, norm, inside, ends)


def _axes(case: Case) -> list[tuple[int, int]]:
    """Kernel size and dilation of rows and columns."""
    known = dict(zip(case.axis, zip(case.kernel_size, case.dilation, strict=True), strict=True))
    return [known.get(axis, (1, 1)) for axis in (0, 1)]


def _run(
    case: Case,
    call: Callable[[], Any],
    starts: tuple[int, int],
    ends: tuple[int, ...] = (None, None),  # type: ignore[assignment]
) -> Run:
    """A call whose result is cut down to the windows that lie within the image."""
    inner = tuple(slice(start, end) for start, end in zip(starts, ends, strict=True))
    return Run(call, lambda result: (result[inner],))


OPENCV = Peer("OpenCV", "opencv-python-headless", COUNT, _supports, _prepare, running=True)
