"""What is launched is what `compile_all` compiles: the same kernels for the same arguments."""

import kinds
import numpy as np
import pytest
from pretended import pretend

import numpool

if kinds.SIMULATED:
    pytest.skip("the simulator compiles nothing", allow_module_level=True)


@pytest.fixture
def launched(monkeypatch, tmp_path):
    """All kernels that are made, by name, on a device that is not there."""
    from numpool._cuda import device, launch, library, steps

    monkeypatch.setattr("numpool._kernel_files.folder", lambda: tmp_path)
    pretend(monkeypatch)
    made = {}
    make = launch.kernel

    def kernel(name, function):
        made[name] = make(name, function)
        return made[name]

    monkeypatch.setattr(launch, "kernel", kernel)
    caches = (library.kernel, steps._step, device.cuda, device.stream, launch._configured)
    for cached in caches:
        cached.cache_clear()
    yield made
    for cached in caches:
        cached.cache_clear()


def test_launches_have_the_signatures_that_are_compiled_ahead(launched):
    from numba import cuda

    from numpool._cuda import compiling, library

    x = cuda.to_device(np.zeros((2, 3, 6, 5), np.float32))
    half = cuda.to_device(np.zeros((2, 3, 6, 5), np.float16))
    y, indices = numpool.max_pool2d(x, 3, 2, 1, return_indices=True)
    numpool.avg_pool2d(half, 3, 2, 1)
    norms = numpool.lp_pool2d(x, 3, 2, 1, p=2.5)
    numpool.max_pool2d_backward(y, x, 3, 2, 1, indices=indices)
    numpool.avg_pool2d_backward(y, x, 3, 2, 1)
    numpool.lp_pool2d_backward(y, x, 3, 2, 1, p=2.5, y=norms)
    kernels = {library.name_of(*kernel): kernel for kernel in compiling.every_kernel()}
    assert len(launched) == 6
    for name, made in launched.items():
        (types,) = made.overloads
        assert tuple(types) == tuple(compiling._signature(kernels[name]))
