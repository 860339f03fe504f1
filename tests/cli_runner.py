"""Runs the command line for the tests, and makes what they give to it."""

import contextlib
import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import numpool
from numpool import cli

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and limits")


@pytest.fixture(name="rng")
def random_numbers():
    return np.random.default_rng(7)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """A test runs in a folder of its own, and no temporary file outlives a command."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.rglob(".numpool-*"))


def run(line):
    """Run the command in this process: its exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(line.split())
    return code, out.getvalue(), err.getvalue()


def good(line):
    """Run a command that works, and give what it printed."""
    code, out, err = run(line)
    assert (code, err) == (0, ""), err
    return out


def bad(line, code=2):
    """Run a command that fails with one line on stderr, and give that line."""
    got, out, err = run(line)
    assert (got, out) == (code, ""), err
    assert err.count("\n") == 1 and err.endswith("\n")
    assert err.startswith("numpool") and ": error: " in err and "Traceback" not in err
    return err


def process(*words, program=("-m", "numpool"), env=(), stdout=subprocess.PIPE, **options):
    """Run `python -m numpool`, as users do, or another program of Python."""
    # The tests work in folders of their own, so the package must be found from anywhere.
    root = str(Path(numpool.__file__).parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **dict(env)}
    command = [sys.executable, *program, *words]
    pipes = {"stdout": stdout, "stderr": subprocess.PIPE, "text": True}
    return subprocess.run(command, env=environment, timeout=250, **pipes, **options)


def blocks(x, *sizes):
    """Blocks of the first axes of x: the taps of each window in a last axis of their own."""
    shape = []
    for length, size in zip(x.shape, sizes, strict=False):
        shape += [length // size, size]
    rank = len(sizes)
    x = x[tuple(slice(n // k * k) for n, k in zip(x.shape, sizes, strict=False))]
    x = x.reshape(*shape, *x.shape[rank:])
    outer, inner = range(0, 2 * rank, 2), range(1, 2 * rank, 2)
    x = x.transpose(*outer, *range(2 * rank, x.ndim), *inner)
    return x.reshape(*x.shape[: x.ndim - rank], -1)


def average(x, *sizes):
    """Block averages of whole numbers as whole numbers."""
    return np.rint(blocks(x, *sizes).mean(axis=-1)).astype(x.dtype)


def png(width, height, depth, colour, rows, *chunks):
    """The bytes of a PNG, for kinds that Pillow does not write."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *(chunk(*c) for c in chunks),
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
    )


def pixels(path):
    return opened(path)[1]


def opened(path):
    """Mode and pixels of an image file."""
    with Image.open(path) as image:
        return image.mode, np.asarray(image)
