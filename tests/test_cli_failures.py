"""The command line where it fails: one line, an exit code, and every file as it was."""

import errno
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from cli_runner import bad, own_folder, png, posix, process, random_numbers, run  # noqa: F401
from PIL import Image

import numpool
from numpool import _files


@pytest.fixture
def bad_files(rng):
    """One broken file of each sort, and good ones to misuse."""
    x = rng.integers(0, 255, (40, 60), dtype=np.uint8)
    np.save("x.npy", x)
    np.save("colour.npy", np.zeros((4, 4, 4), np.uint8))
    np.save("five.npy", np.zeros((2,) * 5))
    np.save("complex.npy", np.zeros((4, 4), complex))
    np.save("wide.npy", np.zeros((4, 4), np.uint16))
    np.save("scalar.npy", np.float64(1))
    np.save("pickle.npy", np.array([{}], object), allow_pickle=True)
    np.savez("x.npz", x=x)
    np.savez("scalar.npz", x=x, one=1.0)
    np.savez("pickle.npz", x=x, thing=np.array([{}], object))
    with zipfile.ZipFile("text.npz", "w") as archive:
        archive.writestr("readme.txt", "no array")
    Image.fromarray(x).save("x.png")
    Image.fromarray(x).save("x.jpg")
    Image.fromarray(x).save("x.tif")
    noise = rng.bytes(500)
    for suffix in ("npy", "npz", "png", "jpg", "tif"):
        Path(f"noise.{suffix}").write_bytes(noise)
        Path(f"empty.{suffix}").write_bytes(b"")
        data = Path(f"x.{suffix}").read_bytes()
        Path(f"cut.{suffix}").write_bytes(data[: len(data) * 2 // 3])
    broken = bytearray(Path("x.npz").read_bytes())
    broken[1000] ^= 1  # a wrong checksum
    Path("broken.npz").write_bytes(broken)
    header = b"\x93NUMPY\x01\x00\x46\x00" + b"{'descr':".ljust(69) + b"\n"
    Path("header.npy").write_bytes(header)
    os.mkdir("folder.npy")
    Path("x.txt").write_text("text")
    tifffile.imwrite("complex.tif", np.zeros((4, 4), np.complex64))
    with tifffile.TiffWriter("differ.tif") as writer:
        writer.write(np.zeros((8, 8), np.uint8))
        writer.write(np.zeros((4, 4), np.uint8))
    with tifffile.TiffWriter("chain.tif") as writer:
        for _ in range(3):
            writer.write(x, metadata=None)
    whole = Path("chain.tif").read_bytes()
    Path("chain.tif").write_bytes(whole[: len(whole) // 2])
    rgb = rng.integers(0, 255, (40, 60, 4), dtype=np.uint8)
    Image.fromarray(rgb).save("rgba.png")
    tifffile.imwrite("wide.tif", rgb[..., :3].astype(np.uint16), photometric="rgb")
    tifffile.imwrite("pages.tif", np.zeros((5, 6, 7), np.uint8), photometric="minisblack")
    Image.frombytes("CMYK", (60, 40), rgb.tobytes()).save("cmyk.jpg")
    Path("bomb.png").write_bytes(png(60000, 60000, 8, 0, b"\0"))


M = "--op max --kernel-size 2"
REFUSALS = {
    # Files
    f"missing.npy y.npy {M}": "No such file",
    f"missing.png y.png {M}": "No such file",
    f"missing.npz y.npz {M}": "No such file",
    f"missing.tif y.tif {M}": "No such file",
    f"folder.npy y.npy {M}": "",
    f"x.txt y.npy {M}": "unknown extension '.txt'",
    f"x.npy y {M}": "unknown extension ''",
    f"x.npy nowhere/y.npy {M}": "folder does not exist",
    f"x.npy folder.npy {M}": "is a folder",
    **{
        f"{sort}.{suffix} y.{suffix} {M}": f"{sort}.{suffix}"
        for sort in ("noise", "empty", "cut")
        for suffix in ("npy", "npz", "png", "jpg", "tif")
    },
    f"header.npy y.npy {M}": "header.npy: cannot be read",
    f"broken.npz y.npz {M}": "x: cannot be read",
    f"chain.tif y.tif {M}": "chain.tif",
    f"differ.tif y.tif {M}": "pages differ",
    f"bomb.png y.png {M}": "decompression bomb",
    f"pickle.npy y.npy {M}": "pickle.npy: cannot be read",
    f"pickle.npz y.npz {M}": "thing: cannot be read",
    f"scalar.npz y.npz {M}": "scalar.npz: one: ",
    f"text.npz y.npz {M}": "readme.txt is not an array",
    # What does not fit the format
    f"x.npz y.npy {M}": ".npz",
    f"x.npy y.npz {M}": ".npz",
    f"x.png y.npz {M}": ".npz",
    "x.npy y.png --op avg --kernel-size 2": "float64",
    "x.png y.png --op avg --kernel-size 2 --dtype float32": "float32",
    "x.png y.jpg --op avg --kernel-size 2 --dtype uint16": "uint16",
    f"wide.npy y.jpg {M}": "uint16",
    f"five.npy y.png {M} --axis 1 2": "(2, 1, 1, 2, 2)",
    f"rgba.png y.jpg {M}": "rgb and alpha",
    f"cmyk.jpg y.png {M}": "cmyk",
    f"wide.tif y.png {M}": "16-bit",
    f"wide.tif y.jpg {M}": "uint16",
    f"pages.tif y.png {M}": "(2, 3, 3)",
    f"complex.tif y.tif {M}": "complex64",
    # Arguments
    "x.npy y.npy --op min --kernel-size 2": "invalid choice: 'min'",
    "x.npy y.npy --op max": "--kernel-size",
    "x.npy y.npy --kernel-size 2": "--op",
    "x.npy --op max --kernel-size 2": "OUT",
    "--op max --kernel-size 2 x.npy y.npy": "IN and OUT come before",
    "x.npy y.npy --op max --kernel-size 2.5": "2.5",
    "x.npy y.npy --op max --kernel-size 0": "kernel_size",
    "x.npy y.npy --op max --kernel-size 41 2": "kernel_size",
    "x.npy y.npy --op max --kernel-size 99999999999999999999": "kernel_size",
    "x.npy y.npy --op max --kernel-size 2 2 2": "3 words",
    "x.png y.png --op max --kernel-size 2 2 2": "3 words",
    "five.npy y.npy --op max --kernel-size 2": "--axis",
    "scalar.npy y.npy --op max --kernel-size 2": "--axis",
    f"x.npy y.npy {M} --axis 2": "2",
    f"x.npy y.npy {M} --axis 1 1": "axis",
    f"x.npy y.npy {M} --stride 0": "stride",
    f"x.npy y.npy {M} --stride 1 1 1": "stride",
    f"x.npy y.npy {M} --dilation 0": "dilation",
    f"x.npy y.npy {M} --padding -1": "padding",
    f"x.npy y.npy {M} --padding most": "--padding most",
    f"x.npy y.npy {M} --padding 1,2,3": "--padding 1,2,3",
    f"x.npy y.npy {M} --padding same same": "--padding same same",
    f"x.npy y.npy {M} --p 2": "--p means nothing to --op max",
    f"x.npy y.npy {M} --dtype uint8": "--dtype means nothing to --op max",
    f"x.npy y.npy {M} --exclude-pad": "--no-count-include-pad means nothing",
    "x.npy y.npy --op lp --kernel-size 2 --divisor-override 2": "--divisor-override means",
    "x.npy y.npy --op lp --kernel-size 2 --p nan": "p",
    "x.npy y.npy --op lp --kernel-size 2 --p 0": "p",
    "x.npy y.npy --op lp --kernel-size 2 --dtype uint8": "dtype",
    "x.npy y.npy --op avg --kernel-size 2 --dtype complex64": "complex64",
    "x.npy y.npy --op avg --kernel-size 2 --divisor-override 0": "divisor_override",
    f"complex.npy y.npy {M}": "complex128",
    f"x.npy y.npy {M} --kern 2": "--kern",
}


@pytest.fixture
def before(bad_files):
    """Results that were there before: a failure leaves every file as it was."""
    for suffix in ("npy", "npz", "png", "jpg", "tif"):
        Path(f"y.{suffix}").write_bytes(b"precious")

    def state():
        return {p: p.read_bytes() for p in Path().rglob("*") if p.is_file()}

    first = state()
    yield
    assert state() == first


@pytest.mark.parametrize("line", REFUSALS)
def test_refusals(before, line):
    assert REFUSALS[line] in bad(f"pool {line}")


@pytest.mark.parametrize(
    "line", ["", "push x y", "--nothing", "compile --op min", "compile --clear --op max"]
)
def test_refused_commands(line):
    bad(line)


def test_a_refusal_as_users_see_it(before):
    result = process("pool", "cut.png", "y.png", *M.split())
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1 and "cut.png" in result.stderr


def test_tiff_bomb():
    tifffile.imwrite("x.tif", np.zeros((64, 64), np.uint8), compression="zlib", rowsperstrip=64)
    with tifffile.TiffFile("x.tif", mode="r+") as file:
        for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            file.pages[0].tags[tag].overwrite(60000)
    assert "bomb" in bad(f"pool x.tif y.tif {M}")


def test_npz_bomb(monkeypatch):
    np.savez_compressed("x.npz", x=np.zeros((2000, 2000)))
    monkeypatch.setattr(_files, "_BOMB_SIZE", 10**6)
    monkeypatch.setattr(_files, "_BOMB_RATIO", 500)
    assert "bomb" in bad(f"pool x.npz y.npz {M}")


@pytest.mark.parametrize(
    ("suffix", "module"), [("png", "PIL.Image"), ("jpg", "PIL.Image"), ("tif", "tifffile")]
)
def test_missing_libraries(before, monkeypatch, suffix, module):
    monkeypatch.setitem(sys.modules, module, None)
    for line in (f"pool x.{suffix} y.npy {M}", f"pool x.npy y.{suffix} {M}"):
        assert 'pip install "numpool[cli]"' in bad(line)


@pytest.mark.parametrize("suffix", ["npy", "npz", "png", "tif"])
def test_full_disk(before, monkeypatch, suffix):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if suffix == "npy":
        monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    elif suffix == "npz":
        monkeypatch.setattr(np.lib.format, "write_array", lambda *_, **__: full())
    elif suffix == "png":
        monkeypatch.setattr(Path, "write_bytes", full)
    else:
        monkeypatch.setattr(tifffile, "imwrite", lambda *_, **__: full())
    source = "x.npz" if suffix == "npz" else "x.npy"
    assert f"y.{suffix}: {os.strerror(errno.ENOSPC)}" in bad(f"pool {source} y.{suffix} {M}", 1)


def test_errors_without_a_number(before, monkeypatch):
    def short(*_, **__):
        raise OSError("9 requested and 4 written")

    monkeypatch.setattr(tifffile, "imwrite", short)
    assert "y.tif: 9 requested and 4 written" in bad(f"pool x.npy y.tif {M}", 1)


def test_full_disk_without_fallocate(before, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    usage = type("usage", (), {"free": 100})
    monkeypatch.setattr(_files.shutil, "disk_usage", lambda _: usage)
    assert os.strerror(errno.ENOSPC) in bad(f"pool x.npy y.npy {M}", 1)


@posix
@pytest.mark.parametrize("suffix", ["npy", "npz", "png", "tif"])
def test_files_that_the_system_will_not_take(rng, suffix):
    resource = pytest.importorskip("resource")
    x = rng.integers(0, 255, (1000, 1000), dtype=np.uint8)
    np.save("x.npy", x)
    np.savez("x.npz", x=x)
    target = Path(f"y.{suffix}")
    target.write_bytes(b"precious")
    # No file may grow beyond 100 kB; kernels must come from a cache or do without.
    result = process(
        "pool",
        "x.npz" if suffix == "npz" else "x.npy",
        target.name,
        *M.split(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, 10**5)),
    )
    assert result.returncode == 1, result.stderr
    assert result.stderr.count("\n") == 1 and f"error: {target.name}: " in result.stderr
    assert target.read_bytes() == b"precious"


def test_out_of_memory(before, monkeypatch):
    def large(*_, **__):
        raise MemoryError("Unable to allocate 1 EiB")

    monkeypatch.setattr(numpool, "max_pool", large)
    assert "1 EiB" in bad(f"pool x.npy y.npy {M}", 1)


def test_an_error_nobody_thought_of(before, monkeypatch):
    def wrong(*_, **__):
        raise RuntimeError("one\n  two")

    monkeypatch.setattr(numpool, "max_pool", wrong)
    assert "RuntimeError: one two" in bad(f"pool x.npy y.npy {M}", 1)


@posix
def test_a_folder_that_cannot_be_written(before):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    os.chmod(".", 0o500)
    try:
        assert "y.npy: " in bad(f"pool x.npy y.npy {M}")
    finally:
        os.chmod(".", 0o700)


def test_read_only_out(before, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "read-only" in bad(f"pool x.npy y.npy {M}")


def test_interrupt(before, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(numpool, "max_pool", interrupted)
    assert run(f"pool x.npy y.npy {M}") == (130, "", "numpool: error: interrupted\n")


@posix
def test_interrupt_by_signal(before):
    program = (
        "import os, signal, sys, time, numpool\n"
        "from numpool.cli import main\n"
        "def slow(*words, **options):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(60)\n"
        "numpool.max_pool = slow\n"
        f"sys.exit(main('pool x.npy y.npy {M}'.split()))\n"
    )
    result = process(program=("-c", program))
    assert (result.returncode, result.stdout) == (130, "")
    assert result.stderr == "numpool: error: interrupted\n"
