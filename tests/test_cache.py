"""Compiled kernels on disk: found again by other processes, never stale, never trusted damaged."""

import concurrent.futures
import hashlib
import json
import logging
import os
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import numpool

PACKAGE = Path(numpool.__file__).parent


# ---------------------------------------------------------------------------------------------
# What a process of its own does
# ---------------------------------------------------------------------------------------------


def taps(x, count=3):
    """The windows of some neighbours along a line, for NumPy to reduce."""
    return np.lib.stride_tricks.sliding_window_view(x, count, axis=-1)


def scatter():
    """A backward pass whose kernels are compiled in a second or two."""
    grad = np.arange(1, 1001, dtype=np.float32)
    positions = np.arange(1000) * 2 + np.arange(1000) % 2
    result = numpool.max_pool_backward(grad, np.zeros(2000, np.float32), 2, indices=positions)
    expected = np.zeros(2000, np.float32)
    expected[positions] = grad
    return [(result, expected)]


def walk():
    """Forward passes on one thread and on several, of rows that lie dense and that do not."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((300, 700)).astype(np.float32)
    cases = [x[:3], x, x[:, ::-1], x[::2, ::2], np.asfortranarray(x)]
    return [(numpool.max_pool1d(c, 3, 1), taps(c).max(axis=-1)) for c in cases]


def larger():
    """Windows of more columns, over rows of any length."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((60, 700)).astype(np.float32)
    return [
        (numpool.max_pool2d(c, 9, 1), taps(taps(c, 9).max(axis=-1).T, 9).max(axis=-1).T)
        for c in (x, x[:, :50])
    ]


def upgraded(*, formula):
    """Maxima of three taps far apart, by a changed formula, or of windows that lost their last."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3, 700)).astype(np.float32)
    parts = np.stack((x[:, :-6], x[:, 3:-3], x[:, 6:]))
    expected = parts.min(axis=0) if formula else parts[:2].max(axis=0)
    return [(numpool.max_pool1d(x, 3, 1, dilation=3), expected)]


def lose_folder():
    """The folder goes while the process runs."""
    pairs = scatter()
    shutil.rmtree(os.environ["NUMBA_CACHE_DIR"])
    grad, offsets = np.arange(1.0, 11.0), np.arange(10, dtype=np.uint8) % 2
    result = numpool.max_pool_backward(grad, np.zeros(20), 2, indices=offsets)
    expected = np.zeros(20)
    expected[np.arange(10) * 2 + offsets] = grad
    return [*pairs, (result, expected)]


JOBS = {
    "scatter": scatter,
    "walk": walk,
    "larger": larger,
    "formula": lambda: upgraded(formula=True),
    "windows": lambda: upgraded(formula=False),
    "lose": lose_folder,
}


class Messages(logging.Handler):
    """The messages that the package logs."""

    def __init__(self):
        super().__init__()
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


def report(*jobs):
    """Print what was compiled and whether results were right, as JSON."""
    messages = Messages()
    logger = logging.getLogger("numpool")
    logger.addHandler(messages)
    logger.setLevel(logging.INFO)
    pairs = [pair for job in jobs for pair in JOBS[job]()]
    right = all(np.array_equal(result, expected) for result, expected in pairs)
    words = [text.split() for text in messages.texts]
    compiled = [w[1] for w in words if w[0] == "compiling"]
    print(json.dumps({"package": str(PACKAGE), "compiled": compiled, "right": right}))


def run(folder, *jobs, **environment):
    """The kernels that a process compiles, whose results have to be right."""
    from cli_runner import process

    if folder is not None:
        environment["NUMBA_CACHE_DIR"] = str(folder)
    done = process(*jobs, program=[__file__], env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["right"]
    root = environment.get("PYTHONPATH", PACKAGE.parent)
    assert Path(found["package"]) == Path(root, "numpool")
    return found["compiled"]


# ---------------------------------------------------------------------------------------------
# Found again
# ---------------------------------------------------------------------------------------------


def kernels(folder):
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


@pytest.fixture(scope="module", name="filled")
def filled_folder(tmp_path_factory):
    """A folder of kernels and the names of those that each job needs; not to be written to."""
    folder = tmp_path_factory.mktemp("kernels")
    names = {"scatter": run(folder, "scatter")}
    names["walk"] = run(folder, "walk")
    both = names["scatter"] + names["walk"]
    assert names["scatter"] and names["walk"]
    assert len(set(both)) == len(both) == len(kernels(folder))
    names["both"] = both
    return folder, names


@pytest.fixture(name="folder")
def copied_folder(filled, tmp_path):
    """A copy of the filled folder."""
    return Path(shutil.copytree(filled[0], tmp_path / "kernels"))


@pytest.mark.slow
def test_a_second_process_compiles_nothing(filled):
    assert run(filled[0], "scatter", "walk") == []
    assert run(filled[0], "walk", "scatter", NUMBA_NUM_THREADS="1") == []


LOADED = """
import sys
import numba, numpy, numpool
before = set(sys.modules)
numpool.max_pool1d(numpy.zeros((3, 700), numpy.float32), 3, 1)
loaded = set(sys.modules) - before
print("numpool._calls" in loaded, "numba.np.linalg" in loaded)
"""


@pytest.mark.slow
def test_a_kernel_from_disk_needs_no_compiler(filled):
    """Numba's registries, which are half of a first call, are for what is compiled."""
    from cli_runner import process

    done = process("-c", LOADED, program=(), env={"NUMBA_CACHE_DIR": str(filled[0])})
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "True False\n")


@pytest.mark.slow
def test_processes_that_fill_the_cache_at_once(tmp_path, filled):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        compiled = list(pool.map(lambda _: run(tmp_path, "scatter"), range(2)))
    assert {name for names in compiled for name in names} == set(filled[1]["scatter"])
    assert run(tmp_path, "scatter") == []
    # Whoever came second replaced a file; nobody left one behind that is none.
    assert len(kernels(tmp_path)) == len(filled[1]["scatter"])


@pytest.mark.slow
def test_a_first_call_after_numpool_compile_compiles_nothing(tmp_path):
    from cli_runner import process

    line = ["compile", "--op", "max", "--dtype", "float32"]
    done = process(*line, env={"NUMBA_CACHE_DIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert run(tmp_path, "walk", "larger") == []


# ---------------------------------------------------------------------------------------------
# Folders that cannot be written
# ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["a file", "under a file", "not there", "read-only"])
def test_a_folder_that_cannot_be_written(kind, tmp_path, filled):
    file = tmp_path / "file"
    file.write_text("not a folder")
    folder = {"a file": file, "under a file": file / "kernels", "not there": Path("/proc/kernels")}
    folder = folder.get(kind, tmp_path / "read-only")
    if kind == "not there" and not sys.platform.startswith("linux"):
        pytest.skip("needs a file system in which nothing can be made")
    if kind == "read-only":
        if os.name != "posix" or os.geteuid() == 0:
            pytest.skip("needs a user whom permissions hold back")
        folder.mkdir(mode=0o500)
    assert sorted(run(folder, "scatter")) == sorted(filled[1]["scatter"])
    assert not folder.exists() or folder.is_file() or not kernels(folder)
    assert file.read_text() == "not a folder"


def copied_package(folder):
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(PACKAGE, folder / "numpool", ignore=ignored))


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the user's folder is named otherwise")
@pytest.mark.parametrize("home", ["home", "home/under/a/file"])
def test_a_package_that_cannot_be_written(home, tmp_path, filled):
    """Without NUMBA_CACHE_DIR kernels lie beside the sources, else in the user's cache folder."""
    copy = copied_package(tmp_path)
    (copy / "_cpu" / "__pycache__").write_text("not a folder")
    if home != "home":
        (tmp_path / "home").write_text("not a folder")
    names = ("HOME", "XDG_CACHE_HOME")
    environment = {name: str(tmp_path / home) for name in names} | {"PYTHONPATH": str(tmp_path)}
    environment |= {"NUMBA_CACHE_DIR": "", "PYTHONDONTWRITEBYTECODE": "1"}
    assert sorted(run(None, "scatter", **environment)) == sorted(filled[1]["scatter"])
    if home == "home":
        assert len(kernels(tmp_path / home)) == len(filled[1]["scatter"])
        assert run(None, "scatter", **environment) == []


@pytest.mark.slow
def test_a_folder_that_goes_while_a_process_runs(tmp_path, filled):
    names = run(tmp_path / "kernels", "lose")
    assert names[: len(filled[1]["scatter"])] == filled[1]["scatter"]
    assert len(names) > len(filled[1]["scatter"])


# ---------------------------------------------------------------------------------------------
# Damaged files
# ---------------------------------------------------------------------------------------------


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


def sealed(payload):
    """A payload with the right checksum, which is no kernel."""
    return hashlib.sha256(payload).digest() + payload


DAMAGES = {
    "empty": lambda content: b"",
    "one byte": lambda content: content[:1],
    "half a checksum": lambda content: content[:16],
    "a checksum alone": lambda content: content[:32],
    "cut after the checksum": lambda content: content[:40],
    "cut in half": lambda content: content[: len(content) // 2],
    "last byte lost": lambda content: content[:-1],
    "more at the end": lambda content: content + b"\0",
    "zeros": lambda content: bytes(len(content)),
    "garbage": lambda content: np.random.default_rng(5).bytes(len(content)),
    "a flipped bit": flipped,
    "a pickle cut short": lambda content: sealed(content[32:-100]),
    "something else": lambda content: sealed(pickle.dumps(("not", "a kernel"))),
    "no pickle": lambda content: sealed(b"not a pickle"),
}


def file_of(folder, name):
    """The file of a kernel."""
    (path,) = (p for p in kernels(folder) if p.name.startswith(f"numpool-{name}-"))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_built_again(damage, folder, filled):
    # The smallest, since it is the quickest to build.
    paths = {n: file_of(folder, n) for n in filled[1]["scatter"]}
    name = min(paths, key=lambda n: paths[n].stat().st_size)
    path = paths[name]
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert run(folder, "scatter") == [name]


@pytest.mark.slow
def test_folders_in_the_place_of_files(folder, filled):
    names = filled[1]["scatter"]
    for name in names:
        path = file_of(folder, name)
        path.unlink()
        path.mkdir()
    assert run(folder, "scatter") == names


@pytest.mark.slow
def test_all_files_damaged(folder, filled):
    """Engines and drivers too are built again, and stay."""
    ways = list(DAMAGES.values())
    for i, name in enumerate(filled[1]["both"]):
        path = file_of(folder, name)
        path.write_bytes(ways[i % len(ways)](path.read_bytes()))
    assert sorted(run(folder, "scatter", "walk")) == sorted(filled[1]["both"])
    assert run(folder, "scatter", "walk") == []


# ---------------------------------------------------------------------------------------------
# Kernels of other sources and options
# ---------------------------------------------------------------------------------------------

SMALLER = """

def larger(builder, dtype, a, b):
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)
"""


@pytest.mark.slow
def test_a_changed_formula_runs_no_old_kernel(folder, tmp_path):
    copy = copied_package(tmp_path)
    with open(copy / "_cpu" / "vectors.py", "a", encoding="utf-8") as source:
        source.write(SMALLER)
    assert "max-float32" in run(folder, "formula", PYTHONPATH=str(tmp_path))


@pytest.mark.slow
def test_changed_windows_run_no_old_kernel(folder, tmp_path):
    copy = copied_package(tmp_path)
    path = copy / "_cpu" / "windowing.py"
    source = path.read_text(encoding="utf-8")
    last = "part(level, last * lag, size)"
    assert last in source, "the tap to take away is gone: name another"
    path.write_text(source.replace(last, "part(level, width * lag, size)"), encoding="utf-8")
    assert "max-float32" in run(folder, "windows", PYTHONPATH=str(tmp_path))


@pytest.mark.slow
def test_the_same_sources_elsewhere_compile_nothing(folder, tmp_path):
    """It is the content that counts, not the path and not the time."""
    copy = copied_package(tmp_path)
    for path in copy.rglob("*.py"):
        os.utime(path)
    assert run(folder, "scatter", "walk", PYTHONPATH=str(tmp_path)) == []


@pytest.mark.slow
def test_checked_kernels_are_others(folder, filled):
    checked = run(folder, "scatter", NUMBA_BOUNDSCHECK="1")
    assert sorted(checked) == sorted(filled[1]["scatter"])
    assert run(folder, "scatter", NUMBA_BOUNDSCHECK="1") == []
    assert run(folder, "scatter") == []


# ---------------------------------------------------------------------------------------------
# Before the first call
# ---------------------------------------------------------------------------------------------

IMPORT = """
import sys
import numpy
before = set(sys.modules)
import numpool
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(loaded - set(sys.stdlib_module_names)))
print(numpool.output_shape((4, 6), 2), "numba" in sys.modules)
"""


def test_importing_loads_numpy_alone():
    from cli_runner import process

    done = process("-c", IMPORT, program=())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n") == ["numpool", "(2, 3) False", ""]


if __name__ == "__main__":
    report(*sys.argv[1:])
