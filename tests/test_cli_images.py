"""The command line on images: kinds of pixels, volumes, and what has to go along with them."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from cli_runner import average, bad, blocks, good, opened, own_folder, pixels, png, random_numbers  # noqa: F401
from PIL import Image, ImageCms

from numpool import cli


def picture(rng, mode, shape=(6, 9)):
    samples = {"L": (), "LA": (2,), "RGB": (3,), "RGBA": (4,), "I;16": (), "CMYK": (4,)}[mode]
    dtype = np.uint16 if mode == "I;16" else np.uint8
    x = rng.integers(0, np.iinfo(dtype).max, (*shape, *samples), dtype=dtype, endpoint=True)
    image = Image.frombytes(mode, shape[::-1], x.tobytes())
    return x, image


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_images_keep_their_kind(rng, mode, suffix):
    x, image = picture(rng, mode)
    name = f"x.{suffix}"
    image.save(name)
    saved_mode = opened(name)[0]
    good(f"pool {name} max.{suffix} --op max --kernel-size 2 3")
    good(f"pool {name} avg.{suffix} --op avg --kernel-size 2 3")
    for op, expected in [("max", blocks(x, 2, 3).max(axis=-1)), ("avg", average(x, 2, 3))]:
        mode, result = opened(f"{op}.{suffix}")
        assert mode == saved_mode
        assert np.array_equal(result, expected)


def test_averages_round_half_to_even():
    Image.fromarray(np.array([[0, 1, 1, 2, 255, 254]], np.uint8)).save("x.png")
    good("pool x.png y.png --op avg --kernel-size 1 2")
    assert pixels("y.png").tolist() == [[0, 2, 254]]


@pytest.mark.parametrize("mode", ["L", "I;16"])
def test_lp_rounds_and_saturates(mode):
    dtype, top = (np.uint8, 255) if mode == "L" else (np.uint16, 65535)
    x = np.array([[3, 4, top, top, 1, 1, 0, 0, top, 0]], dtype)
    Image.frombytes(mode, x.shape[::-1], x.tobytes()).save("x.png")
    good("pool x.png y.png --op lp --kernel-size 1 2")
    assert pixels("y.png").tolist() == [[5, top, 1, 0, top]]
    good("pool x.png y.png --op lp --kernel-size 1 2 --p 1")
    assert pixels("y.png").tolist() == [[7, top, 2, 0, top]]
    good("pool x.png y.npy --op lp --kernel-size 1 2")
    assert np.load("y.npy").dtype == dtype
    good("pool x.png y.npy --op lp --kernel-size 1 2 --dtype float64")
    np.testing.assert_allclose(np.load("y.npy")[0, 1], top * 2**0.5)


@pytest.mark.parametrize("dtype", [np.int16, np.uint32, np.int32, np.int64, np.uint64])
def test_saturation_of_every_integer(dtype):
    top = np.iinfo(dtype).max
    norms = np.array([0.5, 1.5, 2.5, float(top), 1e30, np.inf])
    assert cli._saturated(norms, np.dtype(dtype)).tolist() == [0, 2, 2, top, top, top]


def test_png_palettes_are_expanded(rng):
    colours = rng.integers(0, 256, (16, 3), dtype=np.uint8)
    x = rng.integers(0, 16, (4, 6), dtype=np.uint8)
    image = Image.frombytes("P", (6, 4), x.tobytes())
    image.putpalette(colours.tobytes())
    image.save("x.png")
    good("pool x.png y.png --op max --kernel-size 2")
    assert opened("y.png")[0] == "RGB"
    assert np.array_equal(pixels("y.png"), blocks(colours[x], 2, 2).max(axis=-1))

    alpha = rng.integers(0, 256, 16, dtype=np.uint8)
    image.save("x.png", transparency=alpha.tobytes())
    good("pool x.png y.png --op max --kernel-size 2")
    assert opened("y.png")[0] == "RGBA"
    expected = np.concatenate([colours[x], alpha[x][..., None]], axis=-1)
    assert np.array_equal(pixels("y.png"), blocks(expected, 2, 2).max(axis=-1))


def test_png_of_few_bits():
    one = np.array([[1, 0, 0, 0, 0, 0, 0, 1]], bool)
    Image.fromarray(one).save("x.png")
    assert opened("x.png")[0] == "1"
    good("pool x.png y.png --op max --kernel-size 1 2")
    assert opened("y.png")[0] == "L"
    assert pixels("y.png").tolist() == [[255, 0, 0, 255]]
    # Grey of 2 bits, 0 1 2 3, the 1 being transparent.
    Path("x.png").write_bytes(png(4, 1, 2, 0, b"\0\x1b", (b"tRNS", b"\0\1")))
    good("pool x.png y.png --op max --kernel-size 1")
    assert opened("y.png")[0] == "LA"
    assert pixels("y.png").tolist() == [[[0, 255], [85, 0], [170, 255], [255, 255]]]


def test_png_transparent_colour_becomes_alpha(rng):
    x, image = picture(rng, "RGB", (2, 2))
    image.save("x.png", transparency=tuple(map(int, x[0, 1])))
    good("pool x.png y.png --op max --kernel-size 1")
    assert np.array_equal(pixels("y.png")[..., :3], x)
    assert pixels("y.png")[..., 3].tolist() == [[255, 0], [255, 255]]


@pytest.mark.parametrize(("colour", "samples"), [(2, 3), (4, 2), (6, 4)])
def test_png_of_16_bit_colour_is_refused(colour, samples):
    Path("x.png").write_bytes(png(2, 1, 16, colour, b"\0" + bytes(4 * samples)))
    assert "16-bit" in bad("pool x.png y.png --op max --kernel-size 1")


def test_animated_png_is_refused(rng):
    frames = [picture(rng, "L")[1] for _ in range(3)]
    frames[0].save("x.png", save_all=True, append_images=frames[1:])
    assert "animated" in bad("pool x.png y.png --op max --kernel-size 2")


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg(rng, mode):
    # Large flat blocks survive JPEG nearly unchanged.
    x = np.kron(picture(rng, mode, (2, 3))[0].T, np.ones((32, 32), np.uint8)).T
    Image.frombytes(mode, (96, 64), np.ascontiguousarray(x).tobytes()).save("x.jpg", quality=98)
    stored = pixels("x.jpg")
    good("pool x.jpg y.jpeg --op avg --kernel-size 2")
    result_mode, result = opened("y.jpeg")
    assert (result_mode, result.shape[:2]) == (mode, (32, 48))
    assert np.abs(result.astype(int) - average(stored, 2, 2)).max() < 10
    good("pool x.jpg y.npy --op avg --kernel-size 2")
    assert np.array_equal(np.load("y.npy"), average(stored, 2, 2))


@pytest.mark.parametrize("target", ["jpg", "png", "tif"])
@pytest.mark.parametrize("source", ["jpg", "png", "tif"])
def test_orientation_and_profile_are_kept(rng, source, target):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    image = picture(rng, "RGB")[1]
    image.save(f"x.{source}", exif=exif, icc_profile=profile)
    good(f"pool x.{source} y.{target} --op max --kernel-size 1 3")
    if target == "tif":
        with tifffile.TiffFile("y.tif") as file:
            page = file.pages[0]
            assert page.tags[34675].value == profile
            assert page.tags[0x0112].value == 6
            assert page.shape == (6, 3, 3)  # as stored: nothing is turned
    else:
        with Image.open(f"y.{target}") as result:
            assert result.info["icc_profile"] == profile
            assert result.getexif()[0x0112] == 6
            assert result.getexif().get(0x010F, "maker") == "maker"
            assert result.size == (3, 6)


def test_tiff_pages_are_a_volume(rng):
    x = rng.integers(0, 65535, (4, 6, 8), dtype=np.uint16)
    tifffile.imwrite("shaped.tif", x, photometric="minisblack")
    with tifffile.TiffWriter("pages.tif") as writer:
        for page in x:
            writer.write(page, metadata=None, photometric="minisblack")
    with tifffile.TiffWriter("series.tif") as writer:
        for page in x:
            writer.write(page, photometric="minisblack")
    for name in ("shaped", "pages", "series"):
        good(f"pool {name}.tif y.tif --op max --kernel-size 2")
        assert np.array_equal(tifffile.imread("y.tif"), blocks(x, 2, 2, 2).max(axis=-1))
        with tifffile.TiffFile("y.tif") as file:
            assert len(file.pages) == 2
    # Two words leave the pages apart; an axis may be chosen.
    good("pool pages.tif y.tif --op max --kernel-size 3 2")
    expected = np.stack([blocks(page, 3, 2).max(axis=-1) for page in x])
    assert np.array_equal(tifffile.imread("y.tif"), expected)
    good("pool pages.tif y.tif --op max --kernel-size 4 --axis 0")
    with tifffile.TiffFile("y.tif") as file:
        assert file.series[0].shape == (1, 6, 8)
    assert np.array_equal(tifffile.imread("y.tif").squeeze(), x.max(axis=0))
    good("pool pages.tif y.npy --op max --kernel-size 2")
    assert np.array_equal(np.load("y.npy"), blocks(x, 2, 2, 2).max(axis=-1))


def test_narrow_volume_is_not_taken_for_colour(rng):
    x = rng.integers(0, 255, (4, 6, 3), dtype=np.uint8)
    tifffile.imwrite("x.tif", x, photometric="minisblack")
    good("pool x.tif y.tif --op max --kernel-size 2 2 1")
    with tifffile.TiffFile("y.tif") as file:
        assert len(file.pages) == 2
    assert np.array_equal(tifffile.imread("y.tif"), blocks(x, 2, 2, 1).max(axis=-1))


def test_tiff_colour_volume(rng):
    x = rng.integers(0, 65535, (2, 4, 6, 3), dtype=np.uint16)
    tifffile.imwrite("x.tif", x, photometric="rgb", compression="zlib")
    good("pool x.tif y.tif --op avg --kernel-size 2")
    assert np.array_equal(tifffile.imread("y.tif").reshape(1, 2, 3, 3), average(x, 2, 2, 2))
    with tifffile.TiffFile("y.tif") as file:
        assert file.pages[0].photometric.name == "RGB"
        assert file.pages[0].compression.name == "ADOBE_DEFLATE"


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int16", "int32", "uint32"])
@pytest.mark.parametrize("op", ["max", "avg"])
def test_tiff_keeps_its_dtype(rng, dtype, op):
    x = (rng.standard_normal((4, 6)) * 1000).astype(dtype)
    tifffile.imwrite("x.tif", x)
    good(f"pool x.tif y.tif --op {op} --kernel-size 2")
    y, taps = tifffile.imread("y.tif"), blocks(x, 2, 2)
    assert y.dtype == dtype
    expected = taps.max(axis=-1) if op == "max" else taps.mean(axis=-1, dtype=float)
    expected = np.rint(expected) if y.dtype.kind in "iu" else expected
    np.testing.assert_allclose(y, expected, rtol=1e-3 if dtype == "float16" else 1e-6, atol=1e-3)


def test_tiff_planes_and_extra_samples(rng):
    x = rng.integers(0, 255, (4, 6, 3), dtype=np.uint8)
    tifffile.imwrite("x.tif", x.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    good("pool x.tif y.tif --op max --kernel-size 2")
    assert np.array_equal(tifffile.imread("y.tif"), blocks(x, 2, 2).max(axis=-1))
    x = rng.integers(0, 255, (4, 6, 5), dtype=np.uint8)
    tifffile.imwrite("x.tif", x, photometric="rgb", planarconfig="contig", extrasamples=[1, 0])
    good("pool x.tif y.tif --op max --kernel-size 2")
    with tifffile.TiffFile("y.tif") as file:
        assert tuple(map(int, file.pages[0].extrasamples)) == (1, 0)
    assert np.array_equal(tifffile.imread("y.tif"), blocks(x, 2, 2).max(axis=-1))


def test_tiff_channels_and_time_stay(rng):
    x = rng.integers(0, 255, (2, 3, 4, 6), dtype=np.uint8)
    for axes in ("TCYX", "CZYX"):
        tifffile.imwrite("x.tif", x, photometric="minisblack", metadata={"axes": axes})
        good("pool x.tif y.tif --op max --kernel-size 2 2")
        expected = np.moveaxis(
            blocks(np.moveaxis(x, (0, 1), (2, 3)), 2, 2).max(axis=-1), (0, 1), (2, 3)
        )
        with tifffile.TiffFile("y.tif") as file:
            assert file.series[0].axes == axes
            assert np.array_equal(file.asarray(), expected)
    good("pool x.tif y.npy --op max --kernel-size 1")  # no words: depth is pooled, channels are not
    tifffile.imwrite("x.tif", x, photometric="minisblack", metadata={"axes": "CZYX"})
    good("pool x.tif y.npy --op max --kernel-size 2")
    assert np.load("y.npy").shape == (2, 1, 2, 3)


def test_tiff_palettes_bits_and_white_is_zero(rng):
    x = rng.integers(0, 256, (4, 6), dtype=np.uint8)
    colours = rng.integers(0, 256, (3, 256), dtype=np.uint16)
    for scale, dtype in [(257, np.uint8), (256, np.uint8), (255, np.uint16)]:
        table = colours * np.uint16(scale)
        tifffile.imwrite("x.tif", x, photometric="palette", colormap=table)
        good("pool x.tif y.tif --op max --kernel-size 2")
        expected = np.moveaxis((colours if dtype == np.uint8 else table)[:, x], 0, -1)
        assert tifffile.imread("y.tif").dtype == dtype
        assert np.array_equal(tifffile.imread("y.tif"), blocks(expected, 2, 2).max(axis=-1))
    Image.fromarray(x > 128).save("x.tif")
    good("pool x.tif y.tif --op max --kernel-size 2")
    assert np.array_equal(
        tifffile.imread("y.tif"), blocks((x > 128) * np.uint8(255), 2, 2).max(axis=-1)
    )
    tifffile.imwrite("x.tif", x, photometric="miniswhite")
    good("pool x.tif y.png --op max --kernel-size 2")
    assert np.array_equal(pixels("y.png"), blocks(255 - x, 2, 2).max(axis=-1))


def test_between_formats(rng):
    x = rng.integers(0, 255, (4, 6, 3), dtype=np.uint8)
    np.save("x.npy", x)
    good("pool x.npy y.png --op max --kernel-size 2 --axis 0 1")
    assert np.array_equal(pixels("y.png"), blocks(x, 2, 2).max(axis=-1))
    good("pool y.png z.tif --op max --kernel-size 1")
    assert np.array_equal(tifffile.imread("z.tif"), pixels("y.png"))
    good("pool z.tif z.npy --op avg --kernel-size 1 --dtype float32")
    assert np.array_equal(np.load("z.npy"), pixels("y.png").astype(np.float32))
    np.save("x.npy", x[..., 0].astype(float))
    good("pool x.npy y.tif --op max --kernel-size 2")
    assert np.array_equal(
        tifffile.imread("y.tif"), blocks(x[..., 0].astype(float), 2, 2).max(axis=-1)
    )
    good("pool x.npy y.png --op avg --kernel-size 2 --dtype uint8")
    assert np.array_equal(pixels("y.png"), average(x[..., 0], 2, 2))


def test_the_colours_themselves_can_be_pooled(rng):
    x, image = picture(rng, "RGB")
    image.save("x.png")
    for target in ("y.png", "y.tif"):
        good(f"pool x.png {target} --op max --kernel-size 3 --axis 2")
        assert opened(target)[0] == "L"
        assert np.array_equal(pixels(target), x.max(axis=2))
