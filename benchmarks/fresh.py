"""What a new process pays: for its import, and for a first call with kernels on disk or without."""

import os
import subprocess
import sys
import tempfile

from benchmarks.cases import Case

_IMPORT = """
import time
start = time.perf_counter()
import numpool
print(time.perf_counter() - start)
"""
_FIRST_CALL = """
import time
import numpy as np
import numpool
x = np.ones({shape}, {dtype!r})
arguments = {arguments}
start = time.perf_counter()
numpool.{operator}_pool(x, **arguments)
if {backward}:
    y = numpool.{operator}_pool(x, **arguments)
    start = time.perf_counter()
    numpool.{operator}_pool_backward(y, x, **arguments)
print(time.perf_counter() - start)
"""


def import_seconds() -> float:
    """The time `import numpool` takes in a new process, NumPy's part included."""
    return _printed(_IMPORT)


def first_call_seconds(case: Case) -> float:
    """The time of a new process's first call on a case's small shape; kernels come from disk.

    Of a backward pass, it is the first call of that pass, after those of the forward pass.
    """
    return _printed(_first_call(case))


def cold_compile_seconds(case: Case) -> float:
    """The same without any kernel on disk."""
    with tempfile.TemporaryDirectory() as empty:
        return _printed(_first_call(case), NUMBA_CACHE_DIR=empty)


def _first_call(case: Case) -> str:
    small = case.as_test()
    arguments = small.window | ({"p": case.p} if case.operator == "lp" else {})
    return _FIRST_CALL.format(
        shape=small.shape,
        dtype=case.dtype,
        operator=case.operator,
        arguments=arguments,
        backward=case.backward,
    )


def _printed(code: str, **environment: str) -> float:
    with tempfile.TemporaryDirectory() as nowhere:
        # The current folder comes first on the path of `-c`, and may hold another numpool.
        run = subprocess.run(
            [sys.executable, "-c", code],
            cwd=nowhere,
            env=os.environ | environment,
            capture_output=True,
            text=True,
        )
    if run.returncode:
        raise RuntimeError(run.stderr.strip().splitlines()[-1])
    return float(run.stdout)
