"""The command line: `numpool pool`, `numpool info` and `numpool compile`."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
import threading
import time
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

import numpool

from . import _files
from ._files import Refused

_OPERATORS = ("max", "avg", "lp")
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_FLOATS = ("float16", "float32", "float64")
_DTYPES = ("bool", *_INTEGERS, *_FLOATS)
_SLAB = 256 * 2**20  # bytes of input and result from one report of progress to the next
_PATIENCE = 1.0  # seconds of work that need no progress
# An OSError of these kinds is about what the user named; any other is about the system.
_NAMED_WRONG = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)

_POOL_EXAMPLES = """\
examples:
  numpool pool photo.jpg half.jpg --op avg --kernel-size 2
  numpool pool batch.npy out.npy --op max --kernel-size 3 3 --stride 2 --padding 1
  numpool pool nhwc.npy out.npy --op max --kernel-size 2 3 --axis 1 2
  numpool pool stack.tif out.tif --op lp --p 3 --kernel-size 3 --stride 1 --padding same
  numpool pool signal.npy out.npy --op max --kernel-size 5 --axis -1 --padding 4,0 --stride 1

files, by their extension: .npy .npz .png .jpg .jpeg .tif .tiff
  A .npy is mapped, read and written, and may be larger than memory. A .npz pools every array
  under its own name, into a .npz. Images pool their height and width, a TIFF of many pages its
  depth too; colour and alpha, and axes that a TIFF labels as channels or time, stay. Whole
  numbers of an image keep their type: averages are rounded, lp is rounded and saturates.
  Palettes and single bits are expanded; EXIF and the ICC profile are kept. JPEG is written with
  quality 95. OUT is replaced only on success.

exit code: 0, 2 if it cannot be done, 1 if the system failed, 130 if interrupted
"""
_INFO_EXAMPLES = """\
example:
  numpool info
"""
_COMPILE_EXAMPLES = """\
examples:
  numpool compile
  numpool compile --op max lp --dtype float32 float64
  NUMBA_CACHE_DIR=/opt/kernels numpool compile
  numpool compile --gpu --dtype float32 float16
  numpool compile --clear
"""
_EXAMPLES = """\
examples:
  numpool pool photo.png half.png --op avg --kernel-size 2
  numpool info
  numpool compile --op max --dtype float32
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after the command's name; by default those of the process.

    Returns
    -------
    int
        The exit code: 0, 2 for what cannot be done, 1 if the system failed, 130 if interrupted.
    """
    code = 0
    try:
        try:
            arguments = _parser().parse_args(argv)
            with warnings.catch_warnings():
                # What matters is an error; the rest would spoil the one line on stderr.
                warnings.simplefilter("ignore")
                arguments.run(arguments)
        except SystemExit as stop:
            # argparse: 0 after --help and --version, 2 after a line about a wrong word.
            code = stop.code if isinstance(stop.code, int) else 2
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:
        return _fail("", 1)  # who read the output has seen enough
    except OSError as error:
        name = "" if error.filename is None else f"{error.filename}: "
        system = not isinstance(error, _NAMED_WRONG)
        return _fail(f"{name}{error.strerror or error}", 1 if system else 2)
    except MemoryError as error:
        return _fail(f"not enough memory: {error}", 1)
    except (Refused, TypeError, ValueError) as error:
        return _fail(str(error), 2)
    except Exception as error:
        return _fail(f"{type(error).__name__}: {error}", 1)
    return code


def _fail(message: str, code: int) -> int:
    if message:
        print("numpool: error:", " ".join(message.split()), file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:
        # The interpreter would try, fail and complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _say(text: str) -> None:
    """Print a line, whatever the terminal can show."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


class _Progress:
    """One line on stderr about work that takes its time; nothing where stderr is no terminal.

    A thread of its own writes it: kernels, decoders and the compiler hold the main one for long.
    """

    def __init__(self) -> None:
        self._text = "loading"
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> _Progress:
        if sys.stderr.isatty():
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()

    def show(self, what: str, part: float | None = None) -> None:
        """Set what the line says."""
        self._text = what if part is None else f"{what} {part:.0%}"

    def _write(self) -> None:
        start, pause, width = time.monotonic(), _PATIENCE, 0
        while not self._done.wait(pause):
            line = f"{self._text}, {time.monotonic() - start:.0f} s"
            sys.stderr.write("\r" + line.ljust(width))
            sys.stderr.flush()
            pause, width = 0.2, max(width, len(line))
        if width:
            sys.stderr.write("\r" + " " * width + "\r")
            sys.stderr.flush()


# --- pool -----------------------------------------------------------------------------------------


def _pool(arguments: argparse.Namespace) -> None:
    source, target = Path(arguments.input), Path(arguments.output)
    formats = _files.format_of(source), _files.format_of(target)
    if "npz" in formats and formats != ("npz", "npz"):
        raise Refused("a .npz file can only be pooled into another .npz file")
    work = {"npz": _pool_npz, "npy": _pool_npy}.get(formats[0], _pool_picture)
    # The work returns before the file is put in place: a mapped file cannot be replaced everywhere.
    with _Progress() as progress, _files.replacing(target) as beside:
        lines = work(source, beside, arguments, progress)
    for line in lines:
        _say(line)


def _pool_npz(
    source: Path, beside: Path, arguments: argparse.Namespace, progress: _Progress
) -> list[str]:
    lines = []
    with zipfile.ZipFile(beside, "w") as archive:
        for name, x, packing in _files.npz_members(source):
            try:
                job = _Job(arguments, x, progress)
                result, line = job.run(x, job.new(x))
            except (Refused, TypeError, ValueError) as error:
                raise Refused(f"{source}: {name}: {error}") from error
            _files.add_npz_member(archive, name, result, packing)
            lines.append(f"{name}: {line}")
    return lines


def _pool_npy(
    source: Path, beside: Path, arguments: argparse.Namespace, progress: _Progress
) -> list[str]:
    x = _files.map_npy(source)
    job = _Job(arguments, x, progress)
    format = _files.format_of(beside)
    if format == "npy":
        out = _files.create_npy(beside, job.shape, job.dtype, _is_fortran(x))
        return [job.run(x, out)[1]]
    _files.check_fits(_files.picture_of(job.ghost(), format), format)
    result, line = job.run(x, job.new(x))
    progress.show("writing")
    _files.write_picture(beside, _files.picture_of(result, format), format)
    return [line]


def _pool_picture(
    source: Path, beside: Path, arguments: argparse.Namespace, progress: _Progress
) -> list[str]:
    progress.show("reading")
    picture = _files.read_picture(source)
    x = picture.pixels
    job = _Job(arguments, x, progress, picture.window_axes)
    format = _files.format_of(beside)
    if format == "npy":
        result, line = job.run(x, job.new(x))
        _files.create_npy(beside, result.shape, result.dtype, fortran=False)[...] = result
        return [line]
    _files.check_fits(picture.holding(job.ghost()), format)
    result, line = job.run(x, job.new(x))
    progress.show("writing")
    _files.write_picture(beside, picture.holding(result), format)
    return [line]


class _Job:
    """One array to pool: which function, with which arguments, to what shape and dtype.

    `space` are the axes in space of an image, whose whole numbers also keep their type.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        x: np.ndarray,
        progress: _Progress,
        space: tuple[int, ...] | None = None,
    ) -> None:
        self.progress = progress
        self.function: Callable[..., np.ndarray] = getattr(numpool, f"{arguments.op}_pool")
        self.windows = _windows(arguments, x.ndim, space)
        self.shape = numpool.output_shape(x.shape, **self.windows)
        self.options = _options(arguments)

        native = x.dtype.newbyteorder("=")
        keeps = arguments.op == "max" or native.kind == "f"
        self.dtype = np.dtype(self.options.get("dtype") or (native if keeps else np.float64))
        self.computed = self.dtype
        if space is not None and native.kind in "iu" and arguments.dtype is None:
            self.dtype = native
            if arguments.op == "avg":
                self.options["dtype"] = self.computed = native

        # One window goes first: it compiles or loads the kernels, so that the time that is printed
        # is that of pooling, and it brings any complaint about dtype and options before all work.
        progress.show("loading kernels")
        self.function(np.zeros((2,) * len(self.windows["axis"]), x.dtype), 2, **self.options)

    def new(self, x: np.ndarray) -> np.ndarray:
        """Make an array for what the function computes."""
        return np.empty(self.shape, self.computed, order="F" if _is_fortran(x) else "C")

    def ghost(self) -> np.ndarray:
        """Shape and dtype of the result as an array that takes no memory."""
        return np.broadcast_to(np.empty((), self.dtype), self.shape)

    def run(self, x: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, str]:
        """Pool into `out`; gives the result, which is `out` unless that is still to be rounded."""
        slabs = _slabs(x, out, self.windows["axis"])
        seconds = 0.0
        for i, slab in enumerate(slabs):
            self.progress.show("pooling", i / len(slabs) if len(slabs) > 1 else None)
            start = time.perf_counter()
            self.function(x[slab], out=out[slab], **self.windows, **self.options)
            seconds += time.perf_counter() - start
        rate = (x.nbytes + out.nbytes) / max(seconds, 1e-9) / 1e9
        line = (
            f"{x.shape} {x.dtype.name} -> {out.shape} {self.dtype.name},"
            f" {seconds:.3g} s, {rate:.3g} GB/s"
        )
        return (out if out.dtype == self.dtype else _saturated(out, self.dtype)), line


def _is_fortran(x: np.ndarray) -> bool:
    return x.flags.f_contiguous and not x.flags.c_contiguous


def _windows(
    arguments: argparse.Namespace, ndim: int, space: tuple[int, ...] | None
) -> dict[str, Any]:
    """Collect the window arguments: one word counts for every axis, several are one each."""
    kernel = _one_or_each(arguments.kernel_size)
    axis = arguments.axis
    if axis is None:
        # The last ones: two words for a volume leave its pages apart.
        axis = range(ndim) if space is None else space
        if isinstance(kernel, tuple):
            if len(kernel) > len(axis):
                raise Refused(f"--kernel-size has {len(kernel)} words for {len(axis)} axes")
            axis = axis[-len(kernel) :]
    if not 1 <= len(axis) <= 3:
        raise Refused(
            f"windows over {len(axis)} axes: 1, 2 or 3 are possible; choose them with --axis,"
            " or the last ones with several words of --kernel-size"
        )
    return {
        "kernel_size": kernel,
        "stride": _one_or_each(arguments.stride),
        "padding": _padding(arguments.padding, len(axis)),
        "dilation": _one_or_each(arguments.dilation),
        "ceil_mode": arguments.ceil_mode,
        "axis": tuple(axis),
    }


def _one_or_each(words: list[int] | None) -> int | tuple[int, ...] | None:
    if words is None:
        return None
    return words[0] if len(words) == 1 else tuple(words)


def _padding(words: list[str], rank: int) -> Any:
    if words[0] in ("valid", "same", "same_lower") and len(words) == 1:
        return words[0]
    try:
        sides = [tuple(map(int, word.split(","))) for word in words]
    except ValueError:
        sides = [()]
    if not all(len(side) in (1, 2) for side in sides):
        raise Refused(
            f"--padding {' '.join(words)}: whole numbers are expected, or pairs as 1,2 (before and"
            " after), or one of valid, same, same_lower"
        )
    pairs = tuple((side[0], side[-1]) for side in sides)
    return pairs * rank if len(pairs) == 1 else pairs


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Collect the arguments that only some operators have."""
    known = {
        "max": (),
        "avg": ("count_include_pad", "divisor_override", "dtype"),
        "lp": ("p", "dtype"),
    }
    options: dict[str, Any] = {}
    for name in ("count_include_pad", "divisor_override", "p", "dtype"):
        value = getattr(arguments, name)
        if value is None:
            continue
        if name not in known[arguments.op]:
            word = "no-count-include-pad" if name == "count_include_pad" else name.replace("_", "-")
            raise Refused(f"--{word} means nothing to --op {arguments.op}")
        options[name] = value
    return options


def _slabs(x: np.ndarray, out: np.ndarray, axis: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """Parts of some hundred megabytes along the outermost batch axis, if there is one."""
    windows = {a % x.ndim for a in axis}
    batch = [a for a in range(x.ndim) if a not in windows and x.shape[a] > 1]
    if not batch:
        return [()]
    outer = max(batch, key=lambda a: abs(x.strides[a]))
    count = x.shape[outer]
    step = max(1, count * _SLAB // max(x.nbytes + out.nbytes, 1))
    return [(slice(None),) * outer + (slice(i, i + step),) for i in range(0, count, step)]


def _saturated(norms: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Norms, which are never negative, rounded half to even; the largest number is the most."""
    norms = np.rint(norms)
    largest = np.iinfo(dtype).max
    beyond = norms >= float(largest)  # their cast would be undefined
    result = np.where(beyond, 0, norms).astype(dtype)
    result[beyond] = largest
    return result


# --- info and compile -----------------------------------------------------------------------------


def _info(_: argparse.Namespace) -> None:
    import numba

    from . import _kernel_files
    from ._cuda import device

    folder = _kernel_files.folder()
    rows = {
        "numpool": numpool.__version__,
        "python": f"{platform.python_version()}, {platform.system()} {platform.machine()}",
        "numpy": np.__version__,
        "numba": f"{numba.__version__}, llvmlite {_version('llvmlite')}",
        "files": f"Pillow {_version('pillow')}, tifffile {_version('tifffile')}",
        "threads": f"{numba.get_num_threads()} of {vars(numba.config)['NUMBA_NUM_THREADS']}",
        "threading layer": _threading_layer(),
        "kernel cache": str(folder) if folder else "none: no folder can be written",
        "cpu": _cpu(),
        "gpu": device.description(),
        "numba-cuda": _version("numba-cuda"),
    }
    for name, value in rows.items():
        _say(f"{name + ':':<17}{value}")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _threading_layer() -> str:
    import numba
    from numba.np.ufunc import parallel

    try:
        parallel._launch_threads()  # numba chooses, and names its choice, only then
        return numba.threading_layer()
    except Exception as error:
        return f"none ({error})"


def _cpu() -> str:
    from llvmlite import binding

    vectors = ("sse4", "avx", "fma", "f16c", "bmi2", "neon", "sve", "fullfp16", "vsx")
    try:
        features = binding.get_host_cpu_features()
    except RuntimeError:  # not every system tells
        features = {}
    names = [name for name, there in sorted(features.items()) if there]
    return " ".join(
        [binding.get_host_cpu_name() + ":", *(n for n in names if n.startswith(vectors))]
    )


def _compile(arguments: argparse.Namespace) -> None:
    from . import _kernel_files
    from ._cpu import library

    folder = _kernel_files.folder()
    if arguments.clear:
        if arguments.op or arguments.dtype or arguments.gpu:
            raise Refused("--clear empties the whole cache: it goes with no other option")
        _say(f"{_kernel_files.clear()} files removed from {folder or 'no folder'}")
        return
    if folder is None:
        raise Refused("no folder for kernels can be written: set NUMBA_CACHE_DIR to one")
    operators = list(dict.fromkeys(arguments.op or ("max", "avg")))
    dtypes = list(dict.fromkeys(arguments.dtype or ("float32", "uint8")))
    kernels = _kernels_of_gpu() if arguments.gpu else library
    count = kernels.warm_count(operators, dtypes)
    for i, (name, seconds) in enumerate(kernels.warm(operators, dtypes), 1):
        _say(f"[{i}/{count}] {name} {seconds:.1f} s")
    _say(f"kernels are in {folder}")


def _kernels_of_gpu() -> Any:
    from ._cuda import device

    try:
        device.cuda()
    except (ImportError, RuntimeError) as error:
        raise Refused(f"--gpu: {error}") from error
    if device.simulated():
        raise Refused("--gpu: numba's simulator (NUMBA_ENABLE_CUDASIM) compiles nothing")
    from ._cuda import compiling

    return compiling


# --- the words ------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="numpool",
        description="Max, average and Lp pooling of array files and images.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"numpool {numpool.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(
        name: str, run: Callable[..., None], text: str, examples: str, usage: str | None = None
    ) -> _Parser:
        added = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            usage=usage and f"numpool {name} {usage}",
        )
        added.set_defaults(run=run)
        return added

    text = "pool an array file or an image into another"
    # Files first: options take as many words as follow them.
    usage = "IN OUT --op {max,avg,lp} --kernel-size N [N ...] [options]"
    _add_pool_words(command("pool", _pool, text, _POOL_EXAMPLES, usage))
    command("info", _info, "show versions, threads, kernel cache, CPU and GPU", _INFO_EXAMPLES)
    text = "fill the kernel cache ahead of time, as for a container image"
    build = command("compile", _compile, text, _COMPILE_EXAMPLES)
    build.add_argument("--op", nargs="+", choices=_OPERATORS, help="operators (max avg)")
    build.add_argument(
        "--dtype", nargs="+", choices=_DTYPES, metavar="DTYPE", help="dtypes (float32 uint8)"
    )
    build.add_argument("--gpu", action="store_true", help="for the GPU at hand, not the CPU")
    build.add_argument("--clear", action="store_true", help="empty the cache instead")
    return parser


def _whole(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        text = f"{word!r} is no whole number (IN and OUT come before the options)"
        raise argparse.ArgumentTypeError(text) from None


def _add_pool_words(pool: argparse.ArgumentParser) -> None:
    add = pool.add_argument
    add("input", metavar="IN", help="file to read")
    add("output", metavar="OUT", help="file to write, which may be IN")
    add("--op", required=True, choices=_OPERATORS, help="the operator")
    each: dict[str, Any] = {"nargs": "+", "type": _whole, "metavar": "N"}
    add("--kernel-size", required=True, **each, help="window: one number, or one an axis")
    add("--stride", **each, help="steps between windows (the window)")
    add("--dilation", **{**each, "default": [1]}, help="steps between taps (1)")
    add(
        "--padding",
        nargs="+",
        default=["0"],
        metavar="N",
        help="numbers, or pairs as 1,2 (before,after), one or one an axis; or one of valid, same,"
        " same_lower (0)",
    )
    add(
        "--axis",
        **each,
        help="axes of the windows (those of an image in space; of an array as many of the last as"
        " --kernel-size has words, or all)",
    )
    add("--ceil-mode", action="store_true", help="let the last window reach past the end")
    add("--p", type=float, metavar="P", help="lp: the power, over 0, or inf (2)")
    add(
        "--dtype",
        choices=_INTEGERS + _FLOATS,
        metavar="DTYPE",
        help="avg, lp: type of the result (that of floats and of images; else float64)",
    )
    add(
        "--no-count-include-pad",
        "--exclude-pad",
        dest="count_include_pad",
        action="store_const",
        const=False,
        help="avg: divide by the number of values, without padding",
    )
    add("--divisor-override", type=float, metavar="D", help="avg: divide by this instead")
