"""The parity tests once more under NVIDIA's compute-sanitizer, which sees every access to memory
that is outside of an array, and every result that hangs on a race.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import kinds
import pytest

_ROOT = Path(__file__).parents[2]
_TOOL = shutil.which("compute-sanitizer", path=f"{os.environ['PATH']}:/usr/local/cuda/bin")


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("check", ["memcheck", "racecheck"])
def test_kernels_stay_within_their_arrays(check):
    if kinds.SIMULATED:
        pytest.skip("the simulator has no memory of its own")
    if _TOOL is None:
        pytest.skip("needs compute-sanitizer")
    reason = kinds.lacking(kinds.KINDS[0])
    if reason:
        pytest.skip(reason)
    # Numba's arrays are allocations of their own: what lies beside them belongs to nobody.
    tests = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-k", "numba"]
    done = subprocess.run(
        [_TOOL, "--tool", check, "--error-exitcode", "9", *tests, "tests/cuda/test_parity.py"],
        cwd=_ROOT,
        env=os.environ | {"NUMPOOL_EXAMPLES": "10"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "passed" in done.stdout
