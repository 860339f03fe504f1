"""Greyscale morphology with max pooling: dilation, erosion, and the edges between them.

Dilation by a flat square is the maximum over a window around each pixel: max pooling with stride 1
and "same" padding. Padding holds no data and never wins, so the borders need no special care.

Run: python examples/dilation.py [PHOTO [DILATED]]
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import numpool

PHOTO = Path(__file__).with_name("photo.png")


def dilate(image, size):
    """Return the largest value in the size x size window around each pixel."""
    return numpool.max_pool2d(image, size, stride=1, padding="same")


def erode(image, size):
    """Return the smallest: the complement of an unsigned integer turns min into max.

    "same_lower" puts the odd pixel of an even window on the other side, as erosion asks for.
    """
    return ~numpool.max_pool2d(~image, size, stride=1, padding="same_lower")


def main(photo=PHOTO, out=None, size=7):
    """Return grey, dilated, eroded and edge images; write them side by side to `out` if given."""
    with Image.open(photo) as file:
        grey = np.asarray(file.convert("L"))
    dilated = dilate(grey, size)
    eroded = erode(grey, size)
    edges = dilated - eroded  # the morphological gradient; dilated >= eroded, so it cannot wrap
    print(f"{grey.shape}: mean {eroded.mean():.1f} <= {grey.mean():.1f} <= {dilated.mean():.1f}")
    if out is not None:
        Image.fromarray(np.hstack([grey, dilated, eroded, edges])).save(out)
    return grey, dilated, eroded, edges


if __name__ == "__main__":
    main(*sys.argv[1:])
