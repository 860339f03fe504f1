"""Every example on its real data."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name):
    return runpy.run_path(str(EXAMPLES / name))


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_every_example_has_a_test_and_a_line_in_the_readme():
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    tests = Path(__file__).read_text(encoding="utf-8")
    for path in EXAMPLES.iterdir():
        if path.suffix == ".py":
            assert f'load("{path.name}")' in tests
        if path.is_file() and path.name != "README.md":
            assert f"`{path.name}`" in readme


def test_thumbnail(tmp_path):
    small = load("thumbnail.py")["main"](out=tmp_path / "small.png")
    photo = pixels(EXAMPLES / "photo.png")
    assert small.dtype == np.uint8
    assert small.shape == (58, 86, 3)  # 400 = 57 blocks of 7 and one of 1, 600 = 85 of 7 and 5
    assert (small[3, 5] == np.rint(photo[21:28, 35:42].mean(axis=(0, 1)))).all()
    assert (small[-1, -1] == np.rint(photo[399:, 595:].mean(axis=(0, 1)))).all()
    assert (pixels(tmp_path / "small.png") == small).all()


@pytest.mark.parametrize("size", [7, 4])
def test_dilation(tmp_path, size):
    grey, dilated, eroded, edges = load("dilation.py")["main"](out=tmp_path / "d.png", size=size)
    # "same" puts the odd pixel of an even window at the end, ndimage at the start.
    origin = -1 if size % 2 == 0 else 0
    window = {"size": size, "mode": "nearest"}
    assert (dilated == ndimage.maximum_filter(grey, **window, origin=origin)).all()
    assert (eroded == ndimage.minimum_filter(grey, **window)).all()
    assert (edges == dilated.astype(int) - eroded).all()
    assert pixels(tmp_path / "d.png").shape == (400, 4 * 600)


def test_envelope(tmp_path, capsys):
    signal, peak, rms = load("envelope.py")["main"](out=tmp_path / "wave.png")
    assert len(signal) == len(peak) == len(rms) == 3_765_792
    assert "3765792 samples" in capsys.readouterr().out
    magnitude = np.abs(signal)
    # Windows of 441 samples, 220 of them before.
    assert (peak == ndimage.maximum_filter1d(magnitude, 441, mode="nearest")).all()
    assert (rms <= peak * np.float32(1 + 1e-5)).all()
    middle = signal[1_000_000 - 220 : 1_000_000 + 221].astype(np.float64)
    assert rms[1_000_000] == pytest.approx(np.sqrt(np.mean(middle**2)), rel=1e-5)
    drawn = pixels(tmp_path / "wave.png")
    assert drawn.shape == (240, 1195)  # 235,362 samples, 197 a column
    assert (drawn == 40).any(axis=0)[:-1].all()  # every stretch of time has a line


def test_digits():
    assert load("digits.py")["main"]() > 0.95


def test_digits_gradients_are_those_of_the_loss():
    """The whole network against finite differences, pooling layers included."""
    digits = load("digits.py")
    rng = np.random.default_rng(1)
    layers = [
        digits["Conv3x3"](1, 4, rng),
        digits["ReLU"](),
        digits["MaxPool2x2"](),
        digits["Conv3x3"](4, 4, rng),
        digits["ReLU"](),
        digits["AvgPool2x2"](),
        digits["Dense"](16, 3, rng),
    ]
    for layer in layers:
        if layer.parameters:
            layer.weight = layer.weight.astype(np.float64)
            layer.bias = layer.bias.astype(np.float64)
            layer.parameters = [layer.weight, layer.bias]
    images = rng.random((5, 8, 8, 1))
    labels = np.array([0, 1, 2, 1, 0])

    def loss():
        scores = digits["forward"](layers, images)
        scores = scores - scores.max(axis=1, keepdims=True)
        picked = scores[np.arange(5), labels]
        return np.mean(np.log(np.exp(scores).sum(axis=1)) - picked)

    scores = digits["forward"](layers, images)
    digits["backward"](layers, digits["cross_entropy_gradient"](scores, labels))
    for layer in layers:
        for parameter, gradient in zip(layer.parameters, getattr(layer, "grads", []), strict=True):
            position = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
            step = 1e-6
            before = parameter[position]
            parameter[position] = before + step
            above = loss()
            parameter[position] = before - step
            below = loss()
            parameter[position] = before
            assert gradient[position] == pytest.approx((above - below) / (2 * step), rel=1e-3)
