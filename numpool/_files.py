"""The file formats of the command line: arrays and images in, results out beside the old file."""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import logging
import os
import secrets
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_FORMATS = {
    ".npy": "npy",
    ".npz": "npz",
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
_ORIENTATION = 0x0112  # the same tag in EXIF and in TIFF
_ICC_PROFILE = 34675  # TIFF's tag
_UNASSOCIATED_ALPHA = 2  # TIFF's ExtraSamples
_COLOURS = {"grey": 1, "rgb": 3, "cmyk": 4}
_JPEG_SIDE = 65500
# Deflate packs at most 1032 to 1. A file that promises this much more than it holds, and so many
# bytes, is out to fill the memory.
_BOMB_RATIO = 1000
_BOMB_SIZE = 2**30


class Refused(Exception):
    """What was asked for cannot be done; the message is the one line that the user reads."""


class Picture(NamedTuple):
    """An image as an array, and what has to go with it into the next file.

    `axes` has a letter for each axis, as TIFF readers name them: Y and X, S for the samples of a
    pixel (always last), C for channels, T for time, any other letter for pages or depth.
    """

    pixels: np.ndarray
    axes: str = "YX"
    space: str = "grey"
    extra: tuple[int, ...] = ()  # what each sample past the colours is, in TIFF's numbers
    orientation: int = 1
    exif: bytes = b""
    icc: bytes = b""
    packed: bool = False

    @property
    def window_axes(self) -> tuple[int, ...]:
        """The axes in space: those that windows move along unless the user says otherwise."""
        return tuple(i for i, letter in enumerate(self.axes) if letter not in "SCT")

    def holding(self, pixels: np.ndarray) -> Picture:
        """Other pixels along the same axes."""
        picture = self._replace(pixels=pixels)
        if self.axes[-1] != "S" or pixels.shape[-1] == self.pixels.shape[-1]:
            return picture
        # The samples themselves were pooled: what is left has no colours any more.
        if pixels.shape[-1] == 1:
            return picture._replace(
                pixels=pixels[..., 0], axes=self.axes[:-1], space="grey", extra=()
            )
        return picture._replace(space="grey", extra=(0,) * (pixels.shape[-1] - 1))


def format_of(path: Path) -> str:
    """The format that a file's name tells."""
    known = _FORMATS.get(path.suffix.lower())
    if known is None:
        raise Refused(f"{path}: unknown extension {path.suffix!r}; known are {' '.join(_FORMATS)}")
    return known


def _library(format: str) -> Any:
    """The library of the cli extra that a format needs, loaded when a file does."""
    module, package = ("tifffile", "tifffile") if format == "TIFF" else ("PIL.Image", "Pillow")
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Refused(f'{package} is missing ({error}): pip install "numpool[cli]"') from error


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever a decoder raises about the content of a file says that the file cannot be read."""
    try:
        yield
    except (Refused, MemoryError):
        raise
    except OSError as error:
        # Decoders raise OSErrors without a number, or seek to where a broken header sends them.
        if error.errno in (None, errno.EINVAL, errno.EOVERFLOW):
            raise Refused(f"{path}: cannot be read: {error}") from error
        error.filename = error.filename or str(path)
        raise
    except Exception as error:
        raise Refused(f"{path}: cannot be read: {error or type(error).__name__}") from error


def _check_size(path: Path, promised: int, stored: int) -> None:
    if promised > _BOMB_SIZE and promised > _BOMB_RATIO * stored:
        raise Refused(
            f"{path}: a decompression bomb? {stored} bytes promise {promised} bytes of data"
        )


# --- reading --------------------------------------------------------------------------------------


def map_npy(path: Path) -> np.ndarray:
    """The array of a .npy file, mapped: only what is used is ever read."""
    with _reading(path):
        return np.lib.format.open_memmap(path, mode="r")


def npz_members(path: Path) -> Iterator[tuple[str, np.ndarray, int]]:
    """Name, array and compression of each member of a .npz file, one at a time."""
    with contextlib.ExitStack() as stack:
        with _reading(path):
            archive = stack.enter_context(zipfile.ZipFile(path))
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            with _reading(Path(f"{path}: {name}")):
                if name == member.filename:
                    raise Refused(f"{path}: {name} is not an array")
                _check_size(path, member.file_size, member.compress_size)
                with archive.open(member) as file:
                    array = np.lib.format.read_array(file, allow_pickle=False)
            yield name, array, member.compress_type


def read_picture(path: Path) -> Picture:
    """The image of a file, the format being the one that its name tells."""
    return _read_tiff(path) if format_of(path) == "TIFF" else _read_pillow(path)


def _read_pillow(path: Path) -> Picture:
    pil = _library("PNG")
    with _reading(path), pil.open(path, formats=("PNG", "JPEG")) as image:
        depth = 8
        if image.format == "PNG":
            with open(path, "rb") as file:
                depth, colour = file.read(26)[24:]  # of the header chunk, which comes first
            if depth == 16 and colour != 0:
                raise Refused(
                    f"{path}: Pillow would cut the 16-bit samples of this colour or alpha PNG to"
                    " 8 bits; TIFF keeps them"
                )
            if getattr(image, "is_animated", False):
                raise Refused(f"{path}: an animated PNG has more than one picture")
        image.load()
        pixels, mode = _unpalette(image, depth)
        try:
            orientation = image.getexif().get(_ORIENTATION, 1)
        except Exception:
            # Broken EXIF is no reason to refuse a picture: its bytes are handed on as they are.
            orientation = 1
        return Picture(
            pixels,
            axes="YXS"[: pixels.ndim],
            space={"L": "grey", "R": "rgb", "C": "cmyk"}[mode[0]],
            extra=(_UNASSOCIATED_ALPHA,) if mode.endswith("A") else (),
            orientation=_known_orientation(orientation),
            exif=image.info.get("exif") or b"",
            icc=image.info.get("icc_profile") or b"",
        )


def _known_orientation(tag: Any) -> int:
    return tag if tag in range(1, 9) else 1


def _unpalette(image: Any, depth: int) -> tuple[np.ndarray, str]:
    """Pixels and mode of a Pillow image, with no palette, no single bits and no transparent key."""
    key = image.info.get("transparency")
    if image.mode == "P":
        image, key = image.convert("RGB" if key is None else "RGBA"), None
    elif image.mode == "1":
        image = image.convert("L")
    if depth == 16:
        # Its mode depends on the version of Pillow: I or I;16.
        pixels, mode = np.asarray(image).astype(np.uint16), "L"
    elif image.mode in ("L", "LA", "RGB", "RGBA", "CMYK"):
        pixels, mode = np.asarray(image), image.mode
    else:
        raise Refused(f"{image.filename}: images of mode {image.mode} are not supported")
    if key is not None:
        # One grey or colour means transparent; grey of 2 and 4 bits came scaled, its key did not.
        if depth in (2, 4):
            key *= 255 // (2**depth - 1)
        colours = np.atleast_3d(pixels)
        opaque = (colours != np.asarray(key, pixels.dtype)).any(axis=2, keepdims=True)
        alpha = opaque * pixels.dtype.type(np.iinfo(pixels.dtype).max)
        pixels, mode = np.concatenate([colours, alpha], axis=2), mode + "A"
    return pixels, mode


class _Complaints(logging.Handler):
    """Collects what tifffile logs where it goes on with less than the whole picture."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if record.levelno >= logging.ERROR or "zeroed" in message:
            self.messages.append(message)


@contextlib.contextmanager
def _complaints() -> Iterator[list[str]]:
    logger, handler = logging.getLogger("tifffile"), _Complaints()
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield handler.messages
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def _read_tiff(path: Path) -> Picture:
    tifffile = _library("TIFF")
    with _reading(path), _complaints() as complaints, tifffile.TiffFile(path) as file:
        every = file.series
        if not every:
            raise Refused(f"{path}: holds no image")
        first, page = every[0], every[0].keyframe
        kinds = {(s.shape, s.axes, s.dtype) for s in every}
        if len(kinds) > 1 or any(s.is_multifile for s in every):
            raise Refused(f"{path}: its pages differ or are spread over files: not one volume")
        _check_size(path, sum(s.nbytes for s in every), path.stat().st_size)
        _check_whole(path, file)
        pixels, axes = first.asarray(), first.axes
        if len(every) > 1:
            pixels, axes = np.stack([pixels, *(s.asarray() for s in every[1:])]), "I" + axes
        if complaints:
            raise Refused(f"{path}: cannot be read whole: {complaints[0]}")
        if "S" in axes:
            pixels = np.moveaxis(pixels, axes.index("S"), -1)
            axes = axes.replace("S", "") + "S"
        if "Y" not in axes or "X" not in axes:
            raise Refused(f"{path}: axes {axes} are no image")
        picture = Picture(
            pixels,
            axes,
            orientation=_known_orientation(page.tags.valueof(_ORIENTATION)),
            icc=page.tags.valueof(_ICC_PROFILE) or b"",
            packed=page.compression != 1,
        )
        return _colours_of_tiff(path, page, picture)


def _check_whole(path: Path, file: Any) -> None:
    """Nothing of the pixels lies past the end of the file: a lost strip would read as zeros."""
    size = path.stat().st_size
    for page in file.pages:
        for start, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            if start + count > size:
                raise Refused(f"{path}: cannot be read: the file is cut short")


def _colours_of_tiff(path: Path, page: Any, picture: Picture) -> Picture:
    pixels, axes, bits = picture.pixels, picture.axes, page.bitspersample
    photometric = page.photometric.name
    if bits in (1, 2, 4):
        pixels = pixels.astype(np.uint8)
    if photometric == "PALETTE":
        colours = page.colormap
        # Palettes of 8 bits come widened to 16 in one of two ways; what is neither stays 16-bit.
        for factor in (257, 256):
            if not (colours % factor).any():
                colours = (colours // factor).astype(np.uint8)
                break
        return picture._replace(
            pixels=np.moveaxis(colours[:, pixels], 0, -1), axes=axes + "S", space="rgb"
        )
    if bits in (1, 2, 4):
        pixels = pixels * np.uint8(255 // (2**bits - 1))
    if photometric == "MINISWHITE" and pixels.dtype.kind == "u":
        # As every reader of other formats gives it: the larger, the brighter.
        pixels, photometric = np.iinfo(pixels.dtype).max - pixels, "MINISBLACK"
    if photometric == "YCBCR" and page.compression == 7:
        photometric = "RGB"  # tifffile has JPEG decoded to it
    extra = tuple(int(kind) for kind in page.extrasamples) if axes[-1] == "S" else ()
    samples = pixels.shape[-1] if axes[-1] == "S" else 1
    space = {"MINISBLACK": "grey", "RGB": "rgb", "SEPARATED": "cmyk"}.get(photometric)
    if space == "rgb" and samples == 1:
        space = "grey"  # colours in separate channels, which stay separate
    if space is None or samples != _COLOURS[space] + len(extra):
        raise Refused(f"{path}: TIFF of {photometric} with {samples} samples is not supported")
    return picture._replace(pixels=pixels, space=space, extra=extra)


# --- writing --------------------------------------------------------------------------------------


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write beside `path`, put in its place at the end, or removed if anything fails."""
    target = Path(os.path.realpath(path))  # a link stays, what it leads to is replaced
    if not target.parent.is_dir():
        raise Refused(f"{path}: its folder does not exist")
    if target.is_dir():
        raise Refused(f"{path}: is a folder")
    if target.exists() and not os.access(target, os.W_OK):
        raise Refused(f"{path}: is read-only")
    beside = target.with_name(f".numpool-{secrets.token_hex(6)}{target.suffix}")
    try:
        beside.touch(exist_ok=False)
        yield beside
        # Some systems report a full disk only here.
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, beside)
        os.replace(beside, target)
    except OSError as error:
        if error.errno is None:  # NumPy's, where a disk is full: "9 requested and 4 written"
            raise OSError(errno.EIO, str(error), str(path)) from error
        if error.filename in (None, beside, str(beside)):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        beside.unlink(missing_ok=True)


def create_npy(path: Path, shape: tuple[int, ...], dtype: np.dtype, fortran: bool) -> np.ndarray:
    """A mapped .npy file to write a result into."""
    array = np.lib.format.open_memmap(path, "w+", dtype, shape, fortran)
    _reserve(path)
    return array


def _reserve(path: Path) -> None:
    """Take the disk space of a file that has its length.

    Without it a disk that fills up kills the process with SIGBUS, at a write to the mapping.
    """
    size = path.stat().st_size
    if hasattr(os, "posix_fallocate"):
        with open(path, "rb+") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, size)
                return
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                    raise
    if shutil.disk_usage(path.parent).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def add_npz_member(archive: zipfile.ZipFile, name: str, array: np.ndarray, packing: int) -> None:
    """Append an array to a .npz file, packed as its source was."""
    member = zipfile.ZipInfo(f"{name}.npy")
    member.compress_type = packing
    with archive.open(member, "w", force_zip64=True) as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


def picture_of(array: np.ndarray, format: str) -> Picture:
    """An array without a history as an image: a last axis of 3 or 4 bytes or words is colour."""
    small = array.dtype in (np.uint8, np.uint16)
    if array.ndim >= 3 and array.shape[-1] in (3, 4) and small:
        extra = (_UNASSOCIATED_ALPHA,) * (array.shape[-1] - 3)
        return Picture(array, "QYXS"[-array.ndim :], "rgb", extra)
    if array.ndim == 3 and array.shape[-1] == 2 and format != "TIFF":
        return Picture(array, "YXS", "grey", (_UNASSOCIATED_ALPHA,))
    if array.ndim not in (2, 3):
        raise Refused(f"shape {array.shape} is no image: write a .npy file")
    return Picture(array, "QYX"[-array.ndim :])


def check_fits(picture: Picture, format: str) -> None:
    """Refuse, before any work is done, what a format has no room for or no library writes."""
    pixels, dtype = picture.pixels, picture.pixels.dtype
    _library(format)
    if 0 in pixels.shape:
        raise Refused(f"an image of shape {pixels.shape} cannot be written")
    if format == "TIFF":
        if dtype.kind not in "uif":
            raise Refused(f"TIFF has no room for {dtype}")
        return
    if picture.axes not in ("YX", "YXS"):
        raise Refused(f"{format} has no room for shape {pixels.shape}: write TIFF or .npy")
    wide = format == "PNG" and dtype == np.uint16
    if dtype != np.uint8 and not wide:
        depth = "8 and 16" if format == "PNG" else "8"
        raise Refused(
            f"{format} has room for unsigned integers of {depth} bits, not {dtype}:"
            " choose another --dtype, TIFF or .npy"
        )
    if wide and picture.axes != "YX":
        raise Refused("Pillow writes no PNG of 16-bit colour or alpha: write TIFF or .npy")
    alpha = picture.extra and (format == "JPEG" or len(picture.extra) > 1)
    if alpha or (format == "PNG" and picture.space == "cmyk"):
        kind = picture.space + (" and alpha" if picture.extra else "")
        raise Refused(f"{format} has no room for {kind} of shape {pixels.shape}")
    if format == "JPEG" and max(pixels.shape[:2]) > _JPEG_SIDE:
        raise Refused(f"JPEG has no sides over {_JPEG_SIDE} pixels: shape {pixels.shape}")


def write_picture(path: Path, picture: Picture, format: str) -> None:
    """Write an image that `check_fits` let pass."""
    if format == "TIFF":
        _write_tiff(path, picture)
    else:
        _write_pillow(path, picture, format)


def _write_pillow(path: Path, picture: Picture, format: str) -> None:
    pil, pixels = _library(format), picture.pixels
    if pixels.dtype == np.uint16:
        mode, pixels = "I;16", pixels.astype("<u2")
    else:
        mode = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK"}[picture.space] + "A" * len(picture.extra)
    image = pil.frombytes(mode, (pixels.shape[1], pixels.shape[0]), pixels.tobytes())
    options: dict[str, Any] = {"quality": 95, "subsampling": 0} if format == "JPEG" else {}
    exif = picture.exif
    if not exif and picture.orientation != 1:
        tags = pil.Exif()
        tags[_ORIENTATION] = picture.orientation
        exif = tags.tobytes()
    if exif:
        options["exif"] = exif
    if picture.icc:
        options["icc_profile"] = picture.icc
    # By way of memory, since Pillow hides the reason where a write of its own fails.
    encoded = io.BytesIO()
    try:
        image.save(encoded, format, **options)
    except Exception as error:
        raise Refused(f"{format} cannot be written: {error}") from error
    path.write_bytes(encoded.getbuffer())


def _write_tiff(path: Path, picture: Picture) -> None:
    tifffile = _library("TIFF")
    tags: list[tuple[int, int, int, int | bytes, bool]] = []
    if picture.orientation != 1:
        tags.append((_ORIENTATION, 3, 1, picture.orientation, True))  # 3: a short
    if picture.icc:
        tags.append((_ICC_PROFILE, 7, len(picture.icc), picture.icc, True))  # 7: any bytes
    tifffile.imwrite(
        path,
        picture.pixels,
        photometric={"grey": "minisblack", "rgb": "rgb", "cmyk": "separated"}[picture.space],
        planarconfig="contig" if picture.axes[-1] == "S" else None,
        extrasamples=picture.extra or None,
        compression="zlib" if picture.packed else None,
        extratags=tags,
        metadata={"axes": picture.axes},
    )
