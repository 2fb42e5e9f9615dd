"""Labelled image grids: one row an example, one captioned column a picture."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Integer, UInt8

from segsynth.data.captions import caption
from segsynth.data.modalities import MODALITIES

#: Columns narrower than this are enlarged by a whole factor, so that captions fit and pixels stay
#: visible.
MIN_COLUMN = 96
_GAP = 4


def palette(count: int = 256) -> UInt8[np.ndarray, "n 3"]:
    """Return the PASCAL VOC colour map: neighbouring ids get unlike colours, id 0 is black."""
    ids = np.arange(count)
    colours = np.zeros((count, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((ids >> (3 * bit + channel)) & 1) << (7 - bit)).astype(
                np.uint8
            )
    return colours


def drawable(picture: Integer[np.ndarray, "h w c"], name: str = "") -> UInt8[np.ndarray, "h w 3"]:
    """Turn a picture into RGB: uint8 of 3 channels as it is, grey where ``name`` is a modality that
    is drawn so, else uint8 of 1 channel {0,1} black and white, labels by palette.
    """
    if picture.shape[-1] == 3:
        return picture.astype(np.uint8)
    if picture.dtype == np.uint8:
        if name in MODALITIES and MODALITIES[name].draw == "grey":
            return np.repeat(picture, 3, axis=-1)
        return np.repeat(np.where(picture > 0, 255, 0).astype(np.uint8), 3, axis=-1)
    return palette()[picture[..., 0] % 256]


def grid(columns: Mapping[str, Integer[np.ndarray, "n h w c"]]) -> UInt8[np.ndarray, "H W 3"]:
    """Lay pictures out: ``columns[name][row]``, each column under its caption. Columns may differ
    in size; a modality's name decides how its pictures are drawn.
    """
    width = max(MIN_COLUMN, *(p.shape[2] for p in columns.values()))
    drawn = [_column(name, pictures, width) for name, pictures in columns.items()]
    gap = np.full((drawn[0].shape[0], _GAP, 3), 255, np.uint8)
    return np.concatenate([part for column in drawn for part in (column, gap)][:-1], axis=1)


def _column(name: str, pictures: np.ndarray, width: int) -> np.ndarray:
    cells = [caption(name.replace("_", " "), width)]
    for picture in pictures:
        cells += [_fit(drawable(picture, name), width), np.full((_GAP, width, 3), 255, np.uint8)]
    return np.concatenate(cells, axis=0)


def _fit(picture: np.ndarray, width: int) -> np.ndarray:
    """Enlarge to ``width`` by nearest pixels; all columns of a row keep one height because they
    share an aspect.
    """
    height = round(picture.shape[0] * width / picture.shape[1])
    rows = np.arange(height) * picture.shape[0] // height
    cols = np.arange(width) * picture.shape[1] // width
    return picture[rows][:, cols]
