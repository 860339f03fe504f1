"""`numpool compile --gpu`, on a device that is not there."""

import kinds
import numpy as np
import pytest
from pretended import pretend

import numpool
from numpool import cli

if kinds.SIMULATED:
    pytest.skip("the simulator compiles nothing", allow_module_level=True)

FEW = ("avg_backward", "max_indices", "lp_backward_passed")


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """The folder of kernels, of which there are few."""
    from numpool._cuda import device, launch, library, steps

    monkeypatch.setattr("numpool._kernel_files.folder", lambda: tmp_path)
    monkeypatch.setattr(library, "FAMILIES", {name: library.FAMILIES[name] for name in FEW})
    pretend(monkeypatch)
    caches = (library.kernel, steps._step, device.cuda, device.stream, launch._configured)
    for cached in caches:
        cached.cache_clear()
    yield tmp_path
    for cached in caches:
        cached.cache_clear()


def test_kernels_are_there_for_calls(cache, capsys, caplog):
    assert cli.main(["compile", "--gpu", "--op", "avg", "lp", "--dtype", "float32"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == [
        "avg_backward_float32_float16",
        "avg_backward_float32_float32",
    ]
    assert last == f"kernels are in {cache}"
    assert len(list(cache.glob("numpool-*.kernel"))) == 2
    from numba import cuda

    from numpool._cuda import library

    library.kernel.cache_clear()
    x = cuda.to_device(np.zeros((6, 5), np.float32))
    with caplog.at_level("INFO", "numpool"):
        numpool.avg_pool2d_backward(cuda.to_device(np.zeros((3, 2), np.float32)), x, 2)
    assert "compiling" not in caplog.text


def test_without_a_device_it_says_so(monkeypatch, capsys):
    from numba import cuda

    from numpool._cuda import device

    device.cuda.cache_clear()
    monkeypatch.setattr(cuda, "is_available", lambda: False)
    assert cli.main(["compile", "--gpu"]) == 2
    assert "numba-cuda finds no CUDA device" in capsys.readouterr().err
    device.cuda.cache_clear()


def test_functions_of_kernels_are_made_once():
    from numpool._cuda.scalars import device

    def constant(value):
        return device(lambda: value)

    assert constant(1) is constant(1)
    values = [1, 1.0, True, np.int32(1), 0.0, -0.0, np.float32(0), constant(0), constant(1)]
    assert len({id(constant(value)) for value in values}) == len(values)
