"""Launches, streams and copies as far as numba-cuda's calls of the driver, on a device that is not
there.
"""

import logging
import warnings
from typing import NamedTuple

import kinds
import numpy as np
import pytest
from pretended import OWN_STREAM, pretend

import numpool
from numpool import _calls, _kernel_files
from numpool._cuda import arrays, device, launch, library, steps
from numpool._cuda.libraries import DeviceArray

if kinds.SIMULATED:
    pytest.skip("the simulator has no driver", allow_module_level=True)

FLOAT32 = np.dtype(np.float32)


class Numbers(NamedTuple):
    """Arguments in one."""

    count: np.int32
    factor: np.float64


@pytest.fixture
def log(monkeypatch, tmp_path):
    monkeypatch.setattr("numpool._kernel_files.folder", lambda: tmp_path)
    found = pretend(monkeypatch)
    caches = (library.kernel, steps._step, device.cuda, device.stream, launch._configured)
    for cached in caches:
        cached.cache_clear()
    yield found
    for cached in caches:
        cached.cache_clear()
    _calls._calls.clear()


def new(shape, stream=None, dtype=FLOAT32):
    """An array of numba's on a stream."""
    from numba import cuda

    stream = cuda.external_stream(stream) if stream else 0
    return arrays.as_array("x", cuda.device_array(shape, dtype, stream=stream))


def scaled(name="scale"):
    from numba import cuda

    double = cuda.jit(device=True, inline="always")(lambda a: a * 2)

    def kernel(x, y, first, numbers):
        i = cuda.grid(1)
        if i < numbers.count:
            y[first + i] = double(x[i]) * numbers.factor

    return launch.kernel(name, kernel)


def test_arrays_of_numba_as_they_are(log):
    x = new((3, 4))
    assert (x.shape, x.strides, x.device, x.stream) == ((3, 4), (16, 4), 0, None)
    assert new((3, 4), 77).stream == 77
    turned = x.owner[::-1, 1:]
    described = arrays.as_array("x", turned)
    assert (described.address, described.strides) == (x.address + 36, (-16, 4))
    memory, offset = arrays.flat(described)
    assert memory.__cuda_array_interface__["data"] == (x.address + 4, False)
    assert (memory.shape, offset) == ((11,), 8)
    half = new((3,), dtype=np.dtype(np.float16))
    assert arrays.flat(half)[0].dtype == np.uint16


def test_results_beside_arrays_of_numba(log):
    from numba import cuda

    x = new((2, 3, 4), 77)
    result = arrays.empty_like(x, (2, 3, 2), np.dtype(np.int64))
    assert isinstance(result.owner, cuda.cudadrv.devicearray.DeviceNDArray)
    assert result.owner.stream is x.owner.stream
    assert (result.stream, result.strides) == (77, (48, 16, 8))
    log.clear()
    arrays.scratch(x, 5, FLOAT32)
    assert log == [("enter", 0), ("leave", 0)]


def test_results_beside_arrays_of_other_libraries(log):
    memory = np.zeros((2, 3), np.float32)

    class Other:
        """With nothing but the interface, and made on a stream."""

        __cuda_array_interface__ = {  # noqa: RUF012
            "shape": (2, 3),
            "typestr": "<f4",
            "data": (memory.ctypes.data, True),
            "stream": 99,
            "version": 3,
        }

    other = Other()
    x = arrays.DeviceArray(other, memory.ctypes.data, (2, 3), (12, 4), FLOAT32, False, 1, 99)
    result = arrays.empty_like(x, (2, 3), FLOAT32)
    assert (result.device, result.stream) == (1, 99)
    assert result.owner.__cuda_array_interface__["stream"] == 99
    assert ("enter", 1) in log


def test_copies_are_made_on_the_stream_of_the_array(log):
    x = new((5,), 77)
    np.frombuffer((np.ctypeslib.ctypes.c_float * 5).from_address(x.address), FLOAT32)[...] = 3
    log.clear()
    copied = arrays.copy(x)
    assert ("cuMemcpyDtoDAsync", 20, 77) in log
    held = (np.ctypeslib.ctypes.c_float * 5).from_address(copied.address)
    assert list(held) == [3] * 5
    assert not any(entry[0] == "synchronize" for entry in log)


def test_tables_are_there_for_every_stream(log):
    values = np.arange(4, dtype=np.int32)
    table = launch.table(values, 1)
    copied = [("cuMemcpyHtoDAsync", 16, OWN_STREAM), ("synchronize", OWN_STREAM)]
    assert log == [("enter", 1), *copied, ("leave", 1)]
    assert table.dtype == np.int32


def test_a_first_call_may_do_what_captures_forbid(log):
    x = new((4, 4), 77)
    log.clear()
    numpool.max_pool2d(x.owner, 2)
    modes = [i for i, entry in enumerate(log) if entry[0] == "capture mode"]
    first, last = modes
    assert (log[first][1], log[last][1]) == ("RELAXED", "GLOBAL")
    assert {"cuMemcpyHtoDAsync", "launch"} <= {entry[0] for entry in log[first:last]}
    assert not any(entry[0].startswith("cuMemcpy") for entry in log[:first] + log[last:])


def run(kernel, grid, stream, count=4):
    x, y = new((6,)), new((6,))
    numbers = Numbers(np.int32(count), np.float64(2))
    arguments = (arrays.flat(x)[0], arrays.flat(y)[0], np.int32(1), numbers)
    launch.run(kernel, grid, 32, 0, stream, arguments)
    return x, y


def test_a_launch_goes_to_its_stream_with_its_arguments(log):
    kernel = scaled()
    log.clear()
    x, y = run(kernel, 3, 77)
    (entry,) = (entry for entry in log if entry[0] == "launch")
    _, stream, grid, block, arguments = entry
    assert (stream, grid, block) == (77, (3, 1, 1), (32, 1, 1))
    # Of an array: two for its owner, size and size of an element, address, shape, strides.
    assert arguments[:7] == (0, 0, 6, 4, x.address, 6, 4)
    assert arguments[7:14] == (0, 0, 6, 4, y.address, 6, 4)
    assert [number.value for number in arguments[14:]] == [1, 4, 2.0]
    assert log[-1] == ("leave", 0)
    (types,) = kernel.overloads
    assert str(types[2]) == "int32"
    assert not any(entry[0] == "synchronize" for entry in log)


@pytest.mark.parametrize(("stream", "pointer"), [(None, 0), (1, 1), (2, 2)])
def test_default_streams(log, stream, pointer):
    run(scaled(), 1, stream)
    assert [entry[1] for entry in log if entry[0] == "launch"] == [pointer]


def test_small_grids_are_no_reason_for_a_warning(log):
    kernel = scaled()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        run(kernel, 1, None)
        assert warnings.filters == before


def test_kernels_are_compiled_once_and_kept_on_disk(log, tmp_path, caplog):
    caplog.set_level(logging.INFO, "numpool")
    kernel = scaled()
    run(kernel, 1, None)
    run(kernel, 2, 77)
    assert [record.message for record in caplog.records] == ["compiling scale"]
    (file,) = tmp_path.iterdir()
    (compiled,) = kernel.overloads.values()
    again = scaled()
    run(again, 1, None)
    assert len(caplog.records) == 1
    (loaded,) = again.overloads.values()
    assert loaded._codelibrary.get_asm_str() == compiled._codelibrary.get_asm_str()
    assert loaded._codelibrary.get_cubin().code == compiled._codelibrary.get_cubin().code
    assert "launch" in [entry[0] for entry in log][-2:]
    content = file.read_bytes()
    for damaged in (content[:-7], content[: len(content) // 2], b"", content[:40] + b"x" * 40):
        file.write_bytes(damaged)
        run(scaled(), 1, None)
        assert _kernel_files.read(file)  # written anew
    assert len(caplog.records) == 9  # each is said to be damaged, and compiled


def test_other_names_types_and_sources_are_other_kernels(log, tmp_path, monkeypatch):
    run(scaled("scale"), 1, None)
    run(scaled("scale_again"), 1, None)
    assert len(list(tmp_path.iterdir())) == 2
    kernel = scaled("scale")
    x = new((6,), dtype=np.dtype(np.float64))
    numbers = Numbers(np.int32(1), np.float64(2))
    launch.run(kernel, 1, 32, 0, None, (arrays.flat(x)[0],) * 2 + (np.int32(1), numbers))
    assert len(list(tmp_path.iterdir())) == 3
    monkeypatch.setattr("numpool._cuda.cache._digest", lambda: "of other sources")
    run(scaled("scale"), 1, None)
    assert len(list(tmp_path.iterdir())) == 4


def test_without_a_folder_kernels_are_compiled(log, monkeypatch):
    monkeypatch.setattr("numpool._kernel_files.folder", lambda: None)
    run(scaled(), 1, None)
    assert "launch" in [entry[0] for entry in log]


def on(stream):
    return DeviceArray(None, 0, (1,), (4,), FLOAT32, True, 1, stream)


def test_one_stream_waits_for_nothing(log):
    with launch.joined(on(7), on(7), None, on(7)):
        log.append(("work",))
    assert log == [("work",)]


def test_streams_wait_for_each_other_before_and_after(log):
    with launch.joined(on(7), on(7), on(8), None, on(8)):
        log.append(("work",))
    there = [entry for entry in log if entry[0] not in ("enter", "leave")]
    assert there == [("record", 8), ("wait", 7), ("work",), ("record", 7), ("wait", 8)]
    assert {entry[1] for entry in log if entry[0] in ("enter", "leave")} == {1}


def test_streams_are_joined_again_when_work_fails(log):
    with pytest.raises(MemoryError), launch.joined(on(None), on(8)):
        raise MemoryError
    assert [entry for entry in log if entry[0] == "wait"] == [("wait", 0), ("wait", 8)]


def test_devices_in_words(log):
    there = "Pretended (compute capability 9.0)"
    assert device.description() == f"{there}, {there}"


def test_without_a_device_the_reason_is_given(monkeypatch):
    from numba import cuda

    device.cuda.cache_clear()
    monkeypatch.setattr(cuda, "is_available", lambda: False)
    monkeypatch.setattr(cuda, "cuda_error", lambda: "no driver\nis here")
    with pytest.raises(RuntimeError, match="no CUDA device that it can use: no driver is here"):
        device.cuda()
    assert device.description().startswith("none: numba-cuda finds no CUDA device")


def test_without_numba_cuda_it_is_said_what_to_install(monkeypatch):
    device.cuda.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "numpool\[cuda\]"'):
        device.cuda()
