"""Shrink a photograph to a thumbnail by averaging blocks of pixels.

Run: python examples/thumbnail.py [PHOTO [THUMBNAIL]]
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import numpool

PHOTO = Path(__file__).with_name("photo.png")


def thumbnail(photo, size):
    """Average an (H, W) or (H, W, 3) uint8 image down until neither side exceeds `size`.

    Where the block does not divide the image, `ceil_mode` keeps the last, partial block, and
    without `count_include_pad` it is the mean of the pixels that it really has. `dtype` asks for
    rounded 8-bit pixels instead of the float64 that averages of integers are by default.
    """
    block = -(-max(photo.shape[:2]) // size)
    return numpool.avg_pool2d(
        photo, block, axis=(0, 1), ceil_mode=True, count_include_pad=False, dtype=np.uint8
    )


def main(photo=PHOTO, out=None, size=96):
    """Return the thumbnail of a file, and write it to `out` if that is given."""
    with Image.open(photo) as file:
        pixels = np.asarray(file.convert("RGB"))
    small = thumbnail(pixels, size)
    print(f"{pixels.shape} -> {small.shape}")
    if out is not None:
        Image.fromarray(small).save(out)
    return small


if __name__ == "__main__":
    main(*sys.argv[1:])
