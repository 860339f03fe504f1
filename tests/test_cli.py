"""The command line: arrays in and out, how results are put in place, progress, and the commands."""

import contextlib
import errno
import io
import os
import sys
import threading
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from cli_runner import average, blocks, good, own_folder, pixels, posix, process, random_numbers  # noqa: F401
from PIL import Image

import numpool
from numpool import cli


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64", "bool"])
def test_npy_max(rng, dtype):
    x = rng.integers(0, 100, (3, 6, 8)).astype(dtype)
    np.save("x.npy", x)
    out = good("pool x.npy y.npy --op max --kernel-size 2 2")
    y = np.load("y.npy")
    assert y.dtype == x.dtype
    assert np.array_equal(y, x.reshape(3, 3, 2, 4, 2).max(axis=(2, 4)))
    assert out.count("\n") == 1
    for part in (f"(3, 6, 8) {dtype} -> (3, 3, 4) {dtype}", " s, ", "GB/s"):
        assert part in out


def test_npy_avg_dtypes(rng):
    x = rng.integers(0, 256, (6, 8)).astype(np.uint8)
    np.save("x.npy", x)
    mean = blocks(x, 2, 2).mean(axis=-1)
    good("pool x.npy y.npy --op avg --kernel-size 2")
    assert np.load("y.npy").dtype == np.float64
    assert np.array_equal(np.load("y.npy"), mean)
    good("pool x.npy y.npy --op avg --kernel-size 2 --dtype float32")
    assert np.load("y.npy").dtype == np.float32
    good("pool x.npy y.npy --op avg --kernel-size 2 --dtype uint8")
    assert np.load("y.npy").dtype == np.uint8
    assert np.array_equal(np.load("y.npy"), np.rint(mean))


def test_npy_lp(rng):
    x = rng.standard_normal((4, 6)).astype(np.float32)
    np.save("x.npy", x)
    taps = np.abs(blocks(x.astype(float), 2, 2))
    for words, expected in [
        ("", np.sqrt((taps**2).sum(axis=-1))),
        ("--p 3", np.cbrt((taps**3).sum(axis=-1))),
        ("--p inf", taps.max(axis=-1)),
    ]:
        good(f"pool x.npy y.npy --op lp --kernel-size 2 {words}")
        assert np.load("y.npy").dtype == np.float32
        np.testing.assert_allclose(np.load("y.npy"), expected, rtol=1e-5)


def test_windows(rng):
    x = rng.integers(0, 1000, (5, 12))
    np.save("x.npy", x)

    def pool(words):
        good(f"pool x.npy y.npy --op max {words}")
        return np.load("y.npy")

    def slide(before, after, reach, step=1, dilation=1):
        padded = np.pad(x, ((0, 0), (before, after)), constant_values=-1)
        taps = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=1)[
            :, ::step, ::dilation
        ]
        return taps.max(axis=-1)

    row = "--axis 1 --kernel-size 3"
    assert np.array_equal(pool(f"{row} --stride 1"), slide(0, 0, 3))
    assert np.array_equal(pool(f"{row} --stride 2 --dilation 2"), slide(0, 0, 5, 2, 2))
    assert np.array_equal(pool(f"{row} --stride 1 --padding 1"), slide(1, 1, 3))
    assert np.array_equal(pool(f"{row} --stride 1 --padding 2,0"), slide(2, 0, 3))
    assert np.array_equal(pool(f"{row} --stride 1 --padding same"), slide(1, 1, 3))
    assert np.array_equal(pool(f"{row} --padding valid"), slide(0, 0, 3, 3))
    assert np.array_equal(
        pool("--axis -1 --kernel-size 2 --padding same --stride 1"), slide(0, 1, 2)
    )
    assert np.array_equal(
        pool("--axis -1 --kernel-size 2 --padding same_lower --stride 1"), slide(1, 0, 2)
    )
    assert np.array_equal(pool("--axis 1 --kernel-size 5 --ceil-mode"), slide(0, 3, 5, 5))
    # A pair alone counts for every axis, numbers and pairs mix.
    assert pool("--kernel-size 2 3 --stride 1 --padding 1,0").shape == (5, 11)
    assert pool("--kernel-size 2 3 --stride 1 --padding 0 1,1").shape == (4, 12)
    assert pool("--kernel-size 2 3 --stride 1 --padding 0 1").shape == (4, 12)
    assert pool("--kernel-size 2 3 --stride 1 2 --dilation 1 2").shape == (4, 4)


def test_average_options():
    np.save("x.npy", np.array([1.0, 2.0, 4.0]))
    words = "pool x.npy y.npy --op avg --kernel-size 2 --stride 1 --padding 1"
    for more, expected in [
        ("", [0.5, 1.5, 3.0, 2.0]),
        ("--no-count-include-pad", [1.0, 1.5, 3.0, 4.0]),
        ("--exclude-pad", [1.0, 1.5, 3.0, 4.0]),
        ("--divisor-override 0.5", [2.0, 6.0, 12.0, 8.0]),
    ]:
        good(f"{words} {more}")
        assert np.load("y.npy").tolist() == expected


def test_axes(rng):
    x = rng.integers(0, 1000, (2, 4, 6, 3))
    np.save("x.npy", x)
    good("pool x.npy y.npy --op max --kernel-size 2 3 --axis 1 2")
    assert np.array_equal(np.load("y.npy"), x.reshape(2, 2, 2, 2, 3, 3).max(axis=(2, 4)))
    good("pool x.npy y.npy --op max --kernel-size 3 2 --axis 2 -3")
    assert np.array_equal(np.load("y.npy"), x.reshape(2, 2, 2, 2, 3, 3).max(axis=(2, 4)))
    np.save("x.npy", x[0, 0])
    good("pool x.npy y.npy --op max --kernel-size 3")  # every axis, as the functions do
    assert np.array_equal(np.load("y.npy"), x[0, 0].reshape(2, 3, 3).max(axis=(1, 2))[:, None])


def test_npy_is_mapped_both_ways(rng, monkeypatch):
    x = rng.random((3, 6, 8))
    np.save("x.npy", x)
    mapped = []

    def spy(x, *words, _pool=numpool.max_pool, **options):
        if "out" in options:
            mapped.extend(isinstance(a, np.memmap) for a in (x, options["out"]))
        return _pool(x, *words, **options)

    monkeypatch.setattr(numpool, "max_pool", spy)
    good("pool x.npy y.npy --op max --kernel-size 2 2")
    assert mapped == [True, True]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold to the limit")
def test_npy_larger_than_memory():
    resource = pytest.importorskip("resource")
    # Zeros that take no disk space, twice what the process may hold; a mapping does not count.
    x = np.lib.format.open_memmap("x.npy", "w+", np.float32, (4, 5000, 10000))
    x[-1, -1, -1] = 1
    x.flush()
    limit = x.nbytes // 2
    result = process(
        *["pool", "x.npy", "y.npy", "--op", "max", "--kernel-size", "10", "10"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )
    assert (result.returncode, result.stderr) == (0, "")
    y = np.load("y.npy")
    assert y.shape == (4, 500, 1000) and y[-1, -1, -1] == y.sum() == 1


@pytest.mark.parametrize("order", ["C", "F"])
def test_slabs_change_nothing(rng, monkeypatch, order):
    x = np.asarray(rng.random((5, 4, 6)), order=order)
    np.save("x.npy", x)
    words = "pool x.npy y.npy --op avg --kernel-size 3 --stride 1 --padding 1 --axis 1"
    good(words)
    whole, calls = np.load("y.npy"), []

    def spy(x, *words, _pool=numpool.avg_pool, **options):
        if "out" in options:
            calls.append(x.shape)
        return _pool(x, *words, **options)

    monkeypatch.setattr(numpool, "avg_pool", spy)
    monkeypatch.setattr(cli, "_SLAB", 1)
    good(words)
    # Slabs are cut along the axis that is outermost in memory.
    assert calls == ([(1, 4, 6)] * 5 if order == "C" else [(5, 4, 1)] * 6)
    assert np.array_equal(np.load("y.npy"), whole)


def test_memory_order_and_byte_order(rng):
    x = rng.integers(0, 1000, (4, 6)).astype(">i4")
    np.save("x.npy", np.asfortranarray(x))
    good("pool x.npy y.npy --op max --kernel-size 2")
    y = np.load("y.npy")
    assert y.flags.f_contiguous and y.dtype.isnative
    assert np.array_equal(y, x.reshape(2, 2, 3, 2).max(axis=(1, 3)))


def test_empty_batch():
    np.save("x.npy", np.empty((0, 4, 4), np.float32))
    good("pool x.npy y.npy --op max --kernel-size 2 2")
    assert np.load("y.npy").shape == (0, 2, 2)


def test_npz(rng):
    arrays = {"a": rng.random((4, 6)), "größe": rng.integers(0, 9, (2, 8)), "deep/er": np.eye(4)}
    np.savez_compressed("x.npz", **arrays)
    out = good("pool x.npz y.npz --op max --kernel-size 2")
    with np.load("y.npz") as y:
        assert set(y.files) == set(arrays)
        for name, x in arrays.items():
            assert np.array_equal(y[name], blocks(x, 2, 2).max(axis=-1))
    assert out.count("\n") == 3 and "größe: (2, 8)" in out
    with zipfile.ZipFile("y.npz") as archive:
        assert {m.compress_type for m in archive.infolist()} == {zipfile.ZIP_DEFLATED}


@pytest.mark.parametrize("suffix", ["npy", "npz", "png", "tif"])
def test_out_may_be_in(suffix):
    x, name = np.arange(48, dtype=np.uint8).reshape(6, 8), f"x.{suffix}"
    if suffix == "npy":
        np.save(name, x)
    elif suffix == "npz":
        np.savez(name, x=x)
    else:
        Image.fromarray(x).save(name)
    good(f"pool {name} {name} --op max --kernel-size 2")
    y = np.load(name) if suffix[:2] == "np" else pixels(name)
    y = y["x"] if suffix == "npz" else y
    assert np.array_equal(y, blocks(x, 2, 2).max(axis=-1))


@posix
def test_mode_and_links_of_out_stay():
    np.save("x.npy", np.eye(4))
    os.mkdir("there")
    Path("there/y.npy").write_bytes(b"old")
    os.chmod("there/y.npy", 0o640)
    os.symlink("there/y.npy", "y.npy")
    good("pool x.npy y.npy --op max --kernel-size 2")
    assert os.path.islink("y.npy")
    assert os.stat("there/y.npy").st_mode & 0o777 == 0o640
    assert np.array_equal(np.load("there/y.npy"), np.eye(2))
    good("pool x.npy new.npy --op max --kernel-size 2")
    mask = os.umask(0)
    os.umask(mask)
    assert os.stat("new.npy").st_mode & 0o777 == 0o666 & ~mask


def test_extensions_in_capitals():
    np.save("x.npy", np.eye(4, dtype=np.uint8))
    os.rename("x.npy", "X.NPY")
    good("pool X.NPY Y.PNG --op max --kernel-size 2")
    assert np.array_equal(pixels("Y.PNG"), np.eye(2))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def pool_on(monkeypatch, terminal, patience):
    np.save("x.npy", np.ones((50, 4, 4)))
    monkeypatch.setattr(cli, "_SLAB", 1)
    monkeypatch.setattr(cli, "_PATIENCE", patience)

    def slow(*words, _pool=numpool.max_pool, **options):
        time.sleep(0.01)
        return _pool(*words, **options)

    monkeypatch.setattr(numpool, "max_pool", slow)
    threads = threading.active_count()
    with contextlib.redirect_stderr(terminal):
        assert cli.main(["pool", "x.npy", "y.npy", "--op=max", "--kernel-size", "2", "2"]) == 0
    assert threading.active_count() == threads
    return terminal.getvalue()


def test_progress(monkeypatch):
    text = pool_on(monkeypatch, Terminal(), 0.05)
    lines = text.split("\r")
    assert lines[0] == "" and any("pooling" in line and "%" in line for line in lines)
    assert lines[-1] == "" and not lines[-2].strip(), "the line is cleared at the end"
    assert "\n" not in text


def test_no_progress_of_short_work(monkeypatch):
    assert pool_on(monkeypatch, Terminal(), 60.0) == ""


def test_no_progress_without_a_terminal(monkeypatch):
    assert pool_on(monkeypatch, io.StringIO(), 0.05) == ""


def test_module_is_the_command():
    result = process("--version")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"numpool {numpool.__version__}\n"


@pytest.mark.parametrize("command", ["", "pool", "info", "compile"])
def test_help_shows_examples(command):
    out = good(f"{command} --help")
    assert "example" in out and f"numpool {command}".strip() in out.split("example")[1]


def test_nothing_heavy_is_imported():
    program = (
        "import sys, numpool.cli\n"
        "numpool.cli.main(['pool', '--help'])\n"
        "print(*{'numba', 'llvmlite', 'PIL', 'tifffile'} & set(sys.modules), file=sys.stderr)\n"
    )
    result = process(program=("-c", program))
    assert result.stderr.strip() == ""


@posix
def test_closed_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    result = process("info", stdout=writer)
    assert (result.returncode, result.stderr) == (1, "")
    assert process("--help", stdout=writer).stderr == ""  # argparse itself may pass over it
    os.close(writer)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_output_that_cannot_be_written():
    with open("/dev/full", "w") as full:
        result = process("info", stdout=full)
    assert result.returncode == 1
    assert result.stderr == f"numpool: error: {os.strerror(errno.ENOSPC)}\n"


def test_warnings_do_not_reach_the_user(monkeypatch):
    np.save("x.npy", np.ones((4, 4)))

    def noisy(*words, _pool=numpool.max_pool, **options):
        warnings.warn("beware", stacklevel=1)
        return _pool(*words, **options)

    monkeypatch.setattr(numpool, "max_pool", noisy)
    good("pool x.npy y.npy --op max --kernel-size 2")


def test_info():
    out = good("info")
    for name in ("numpool", "python", "numpy", "numba", "files", "threads", "threading layer"):
        assert f"\n{name}:" in "\n" + out
    assert f"numpool: {numpool.__version__}" in " ".join(out.split())
    for name in ("kernel cache", "cpu", "gpu"):
        assert out.split(f"{name}:")[1].split("\n")[0].strip()


@pytest.mark.slow
def test_compile_and_clear(tmp_path):
    def compile(*words):
        result = process("compile", *words, env={"NUMBA_CACHE_DIR": str(tmp_path / "kernels")})
        assert (result.returncode, result.stderr) == (0, "")
        return result.stdout.splitlines()

    lines = compile("--op", "max", "--dtype", "float32")
    count = len(lines) - 1
    assert [line.split()[0] for line in lines[:-1]] == [
        f"[{i}/{count}]" for i in range(1, count + 1)
    ]
    assert all(line.endswith(" s") for line in lines[:-1])
    files = [path for path in (tmp_path / "kernels").rglob("*") if path.is_file()]
    assert files and str(tmp_path / "kernels") in lines[-1]
    removed = compile("--clear")[0]
    assert int(removed.split()[0]) > 0
    assert not [path for path in (tmp_path / "kernels").rglob("*") if path.is_file()]
    assert compile("--clear")[0].startswith("0 files")
