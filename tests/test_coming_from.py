"""docs/coming-from.md is true: both calls of every row of its tables give the same result."""

import functools
import os
import re
from pathlib import Path

import numpy as np
import pytest

TEXT = (Path(__file__).parent.parent / "docs" / "coming-from.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([^`]+)` \| `([^`]+)` \|$")
SETUP, TORCH_SETUP = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def table_rows():
    """(section, their call, our call) for each row of the page."""
    section = None
    for line in TEXT.splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif line.startswith("| `"):
            match = ROW.match(line)
            assert match, f"not a row of two calls: {line}"
            yield section, *match.groups()


ROWS = list(table_rows())


@functools.cache
def names(with_torch):
    """What the page's code blocks define."""
    namespace = {}
    exec(SETUP, namespace)
    if with_torch:
        exec(TORCH_SETUP, namespace)
    return namespace


def as_arrays(result):
    results = result if isinstance(result, tuple) else (result,)
    return [np.asarray(r.detach() if hasattr(r, "detach") else r) for r in results]


def test_no_row_is_overlooked():
    assert {section for section, _, _ in ROWS} == {
        "scikit-image",
        "scipy.ndimage",
        "OpenCV",
        "NumPy",
        "PyTorch",
    }
    assert len(ROWS) == TEXT.count("\n| `") >= 60


@pytest.mark.parametrize(("section", "theirs", "ours"), ROWS, ids=[row[1] for row in ROWS])
def test_row(section, theirs, ours):
    if section == "PyTorch" and not os.environ.get("NUMPOOL_REQUIRE_TORCH"):
        pytest.importorskip("torch")
    namespace = names(section == "PyTorch")
    expected = as_arrays(eval(theirs, namespace))
    got = as_arrays(eval(ours, namespace))
    assert len(got) == len(expected)
    exact = "numpool.max" in ours or np.issubdtype(got[0].dtype, np.integer)
    tolerance = {"rtol": 0, "atol": 0} if exact else {"rtol": 1e-4, "atol": 1e-5}
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, **tolerance)
