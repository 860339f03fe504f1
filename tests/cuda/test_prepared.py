"""Prepared launches: the bytes that the driver gets are numba's own arguments, at the places where
the compiled kernel has its parameters.
"""

import ctypes
import re
import sys
import threading
from types import SimpleNamespace
from typing import NamedTuple

import kinds
import numpy as np
import pytest
from pretended import pretend

from numpool._cuda import arrays, device, launch, prepared

if kinds.SIMULATED:
    pytest.skip("the simulator has no driver", allow_module_level=True)

_SIZES = {"u64": 8, "b64": 8, "f64": 8, "u32": 4, "b32": 4, "f32": 4}


class Numbers(NamedTuple):
    """Arguments of several sizes, which leave gaps."""

    count: np.int32
    factor: np.float64
    offset: np.int32
    large: np.int64


class More(NamedTuple):
    """Arguments within arguments."""

    numbers: Numbers
    step: np.int32


def parameters(ptx):
    """Offset and size of each parameter of a kernel, as the PTX has them."""
    entry = re.search(r"\.entry [^(]*\((.*?)\)", ptx, re.DOTALL)
    found, end = [], 0
    for kind in re.findall(r"\.param \.(\w+)", entry[1]):
        size = _SIZES[kind]
        found.append((-(-end // size) * size, size))
        end = sum(found[-1])
    return found


@pytest.fixture
def driver(monkeypatch, tmp_path):
    """What the driver was given, and what it says of parameters."""
    from cuda.bindings import driver as bindings
    from numba.cuda import codegen

    monkeypatch.setattr("numpool._kernel_files.folder", lambda: tmp_path)
    told = SimpleNamespace(log=pretend(monkeypatch), parameters=[], launches=[], current=0)
    success = bindings.CUresult.CUDA_SUCCESS

    def load(library):
        told.parameters = parameters(library.get_asm_str())
        module = SimpleNamespace(initialized=True)
        return SimpleNamespace(kernel=None, handle=1234, module=module)

    def start(function, gx, gy, gz, bx, by, bz, shared, stream, params, extra):
        assert (int(function), gy, gz, by, bz, shared, params) == (1234, 1, 1, 1, 1, 0, 0)
        words = (ctypes.c_uint64 * 5).from_address(extra)
        assert (words[0], words[2], words[4]) == (1, 2, 0)
        size = ctypes.c_size_t.from_address(words[3]).value
        told.launches.append((gx, bx, stream, ctypes.string_at(words[1], size)))
        return (success,)

    def information(kernel, i):
        assert int(kernel) == 1234
        return (success, *told.parameters[i])

    monkeypatch.setattr(codegen.CUDACodeLibrary, "get_cufunc", load)
    monkeypatch.setattr(bindings, "cuLaunchKernel", start)
    monkeypatch.setattr(bindings, "cuKernelGetParamInfo", information)
    monkeypatch.setattr(bindings, "cuCtxGetDevice", lambda: (success, told.current))
    yield told
    for cached in (device.cuda, device.stream, launch._configured):
        cached.cache_clear()


def made(driver):
    """A kernel, its arguments, and what numba launches it with."""
    from numba import cuda

    def kernel(x, y, first, more):
        i = cuda.grid(1)
        if i < more.numbers.count + more.numbers.large:
            y[i + first] = x[i * more.step] * more.numbers.factor + more.numbers.offset

    compiled = launch.kernel("numbers", kernel)
    pair = [arrays.as_array("x", cuda.device_array(6, np.float32)) for _ in range(2)]
    numbers = Numbers(np.int32(4), np.float64(2.5), np.int32(-3), np.int64(2**40))
    scalars = (np.int32(1), More(numbers, np.int32(7)))
    arguments = (*(arrays.flat(a)[0] for a in pair), *scalars)
    launch.run(compiled, 3, 32, 0, 77, arguments)
    (given,) = (entry[4] for entry in driver.log if entry[0] == "launch")
    return compiled, arguments, given


def read(content, places):
    """The numbers at some places."""
    return [content[offset : offset + size] for offset, size in places]


def test_the_driver_gets_the_arguments_of_numba_where_the_kernel_has_them(driver):
    kernel, arguments, given = made(driver)
    ready = prepared.prepare(kernel, 3, 32, 0, arguments, 2)
    ready.run(77, [111, 222])
    ((grid, block, stream, content),) = driver.launches
    assert (grid, block, stream) == (3, 32, 77)
    assert len(content) == sum(driver.parameters[-1])
    expected = [
        int(value).to_bytes(8, "little") if isinstance(value, int) else bytes(value)
        for value in given
    ]
    expected[4], expected[11] = (number.to_bytes(8, "little") for number in (111, 222))
    assert read(content, driver.parameters) == expected
    # Gaps, or the test would say little.
    assert sum(size for _, size in driver.parameters) < len(content)


def test_each_launch_has_its_own_addresses_and_stream(driver):
    kernel, arguments, _ = made(driver)
    ready = prepared.prepare(kernel, 3, 32, 0, arguments, 2)
    for stream, pair in ((None, [1, 2]), (2, [3, 4]), (9, [5, 6])):
        ready.run(stream, pair)
    places = [driver.parameters[4], driver.parameters[11]]
    found = [
        (stream, [int.from_bytes(b, "little") for b in read(content, places)])
        for _, _, stream, content in driver.launches
    ]
    assert found == [(0, [1, 2]), (2, [3, 4]), (9, [5, 6])]


def test_another_device_is_made_the_current_one(driver):
    kernel, arguments, _ = made(driver)
    ready = prepared.prepare(kernel, 3, 32, 0, arguments, 2)
    driver.log.clear()
    ready.run(None, [1, 2])
    assert driver.log == []
    driver.current = 1
    ready.run(None, [1, 2])
    assert driver.log == [("enter", 0), ("leave", 0)]


@pytest.mark.parametrize("shifted", [0, 5, -1])
def test_where_the_driver_expects_other_places_numba_launches(driver, monkeypatch, shifted):
    kernel, arguments, _ = made(driver)
    from numba.cuda import codegen

    right = codegen.CUDACodeLibrary.get_cufunc

    def load(library):
        found = right(library)
        offset, size = driver.parameters[shifted]
        driver.parameters[shifted] = (offset + size, size)
        return found

    monkeypatch.setattr(codegen.CUDACodeLibrary, "get_cufunc", load)
    assert prepared.prepare(kernel, 3, 32, 0, arguments, 2) is None


def test_a_driver_that_tells_nothing_is_not_trusted(driver, monkeypatch):
    from cuda.bindings import driver as bindings

    kernel, arguments, _ = made(driver)
    invalid = bindings.CUresult.CUDA_ERROR_INVALID_VALUE
    monkeypatch.setattr(bindings, "cuKernelGetParamInfo", lambda kernel, i: (invalid, 0, 0))
    assert prepared.prepare(kernel, 3, 32, 0, arguments, 2) is None


def test_a_launch_that_fails_is_an_error(driver, monkeypatch):
    from cuda.bindings import driver as bindings

    kernel, arguments, _ = made(driver)
    ready = prepared.prepare(kernel, 3, 32, 0, arguments, 2)
    gone = bindings.CUresult.CUDA_ERROR_ILLEGAL_ADDRESS
    monkeypatch.setattr(bindings, "cuLaunchKernel", lambda *given: (gone,))
    with pytest.raises(RuntimeError, match="CUDA_ERROR_ILLEGAL_ADDRESS"):
        ready.run(None, [1, 2])


@pytest.fixture
def eager():
    """Threads that take turns all the time."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_threads_do_not_mix_their_addresses(driver, eager):
    kernel, arguments, _ = made(driver)
    ready = prepared.prepare(kernel, 3, 32, 0, arguments, 2)

    def work(number):
        for _ in range(200):
            ready.run(number, [number, number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    places = [driver.parameters[4], driver.parameters[11]]
    for _, _, stream, content in driver.launches:
        assert [int.from_bytes(b, "little") for b in read(content, places)] == [stream, stream]
    assert len(driver.launches) == 800
