"""Tests on a GPU, or in numba's CUDA simulator where NUMBA_ENABLE_CUDASIM=1 is set.

A test that takes `kind` runs in the simulator, or with `-m gpu` on a device, with the arrays of
each library that is installed. Modules that import `kinds` are skipped without numba-cuda.
"""

from typing import Any

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests that take `kind` with each of them."""
    if "kind" in metafunc.fixturenames:
        import kinds

        found = [
            pytest.param(kind, id=kind.name, marks=[] if kinds.SIMULATED else [pytest.mark.gpu])
            for kind in kinds.KINDS
        ]
        metafunc.parametrize("kind", found, indirect=True, scope="session")


@pytest.fixture(scope="session")
def kind(request: pytest.FixtureRequest) -> Any:
    """A library's arrays."""
    import kinds

    reason = kinds.lacking(request.param)
    if reason:
        pytest.skip(reason)
    return request.param


@pytest.fixture(scope="session")
def simulator() -> None:
    """What tests ask for that work on the simulator's arrays only."""
    import kinds

    if not kinds.SIMULATED:
        pytest.skip("needs numba's CUDA simulator: NUMBA_ENABLE_CUDASIM=1")
