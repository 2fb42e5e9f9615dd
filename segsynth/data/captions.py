"""Text as pixels, for the captions of image grids."""

import functools

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def caption(text: str, width: int, size: int = 12) -> UInt8[np.ndarray, "h w 3"]:
    """Return ``text`` in black on a white strip ``width`` px wide, ``size`` + 6 px high; what does
    not fit is cut.
    """
    strip = Image.new("RGB", (width, size + 6), "white")
    ImageDraw.Draw(strip).text((3, 2), text, fill="black", font=_font(size))
    return np.asarray(strip)
