"""Draw docs/pooled.png: a photograph, max and average pooled, and dilated.

Run from the root of the repository: python docs/make_picture.py
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import numpool

ROOT = Path(__file__).parent.parent
LABEL, GAP = 30, 12  # pixels
PAPER, INK = (255, 255, 255), (40, 40, 40)


def panels(photo):
    """Return what is shown as (label, image) pairs; pooled images are small, and enlarged later."""
    axis = (0, 1)
    return [
        ("photograph", photo),
        ("max, 10 x 10", numpool.max_pool2d(photo, 10, axis=axis)),
        ("average, 10 x 10", numpool.avg_pool2d(photo, 10, axis=axis, dtype=np.uint8)),
        (
            "max, 9 x 9, stride 1: dilation",
            numpool.max_pool2d(photo, 9, stride=1, padding="same", axis=axis),
        ),
    ]


def main(photo=ROOT / "examples" / "photo.png", out=ROOT / "docs" / "pooled.png"):
    """Write the picture and return it."""
    with Image.open(photo) as file:
        pixels = np.asarray(file.convert("RGB"))[:360, 105:465]
    size = pixels.shape[0]
    shown = panels(pixels)
    sheet = Image.new("RGB", (len(shown) * (size + GAP) - GAP, size + LABEL), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=15)
    for number, (label, image) in enumerate(shown):
        left = number * (size + GAP)
        enlarged = Image.fromarray(image).resize((size, size), Image.Resampling.NEAREST)
        sheet.paste(enlarged, (left, LABEL))
        draw.text((left + size / 2, LABEL / 2), label, fill=INK, font=font, anchor="mm")
    sheet.save(out, optimize=True)
    return sheet


if __name__ == "__main__":
    main(*sys.argv[1:])
