"""With NUMBA_BOUNDSCHECK=1 a kernel that reaches beyond a line fails, and never in silence."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import numpool

PACKAGE = Path(numpool.__file__).parent


# ---------------------------------------------------------------------------------------------
# What a process of its own does
# ---------------------------------------------------------------------------------------------


def average():
    x = np.arange(40, dtype=np.float32)
    # Both ways of walking a line: levels of three, and a literal stride.
    levels = numpool.avg_pool(x, 9, 1)
    literal = numpool.avg_pool(x, 2)
    return [*levels, *literal], [*range(4, 36), *np.arange(0.5, 40, 2)]


def scatter():
    gradient = np.arange(1, 21, dtype=np.float16)
    indices = np.arange(20, dtype=np.int64) * 2
    result = numpool.max_pool_backward(gradient, np.zeros(40, np.float16), 2, indices=indices)
    expected = np.zeros(40)
    expected[::2] = gradient
    return list(result), list(expected)


def report(job):
    """Print where the package was found, what was wrong and what was raised, as JSON."""
    unraisable, raised, right = [], None, False
    sys.unraisablehook = lambda args: unraisable.append(args.exc_type.__name__)
    try:
        result, expected = {"average": average, "scatter": scatter}[job]()
        right = [float(v) for v in result] == [float(v) for v in expected]
    except Exception as error:
        raised = type(error).__name__
    found = {"package": str(PACKAGE), "right": right, "raised": raised, "unraisable": unraisable}
    print(json.dumps(found))


def run(job, **environment):
    from cli_runner import process

    environment["NUMBA_BOUNDSCHECK"] = "1"
    done = process(job, program=[__file__], env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# ---------------------------------------------------------------------------------------------
# Tests
# ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("job", ["average", "scatter"])
def test_the_package_stays_in_bounds(job):
    found = run(job)
    assert found == {"package": str(PACKAGE), "right": True, "raised": None, "unraisable": []}


OVERRUNS = [
    # A loop one too long, in the engine and in a row function; a piece of a line one too long.
    (
        "average",
        "_cpu/vector_loops.py",
        "size = lines[0][1]",
        "size = builder.add(lines[0][1], number(1))",
    ),
    ("average", "_cpu/windowing.py", "(taps - wider) * lag", "(taps - wider) * lag + 1"),
    ("scatter", "_cpu/scatter_lines.py", "in range(target.size)", "in range(target.size + 1)"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("job", "file", "old", "new"), OVERRUNS)
def test_an_overrun_is_found(job, file, old, new, tmp_path):
    ignored = shutil.ignore_patterns("__pycache__")
    copy = shutil.copytree(PACKAGE, tmp_path / "numpool", ignore=ignored)
    source = (copy / file).read_text(encoding="utf-8")
    assert old in source, "the place to plant the overrun in is gone: name another"
    (copy / file).write_text(source.replace(old, new), encoding="utf-8")
    # Faulty kernels stay out of the folder of all others.
    found = run(job, PYTHONPATH=str(tmp_path), NUMBA_CACHE_DIR=str(tmp_path / "kernels"))
    assert found["package"] == str(copy)
    assert "IndexError" in [found["raised"], *found["unraisable"]]


if __name__ == "__main__":
    report(*sys.argv[1:])
