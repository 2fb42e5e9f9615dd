"""How much the drawings of a film flicker: what changes where the film stands still."""

import math
import pathlib
from collections.abc import Iterable
from os import PathLike
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from segsynth.data import pictures
from segsynth.drawings.side_by_side import joined
from segsynth.errors import UserError

#: Levels of 255 by which a pixel of a film may change and still stands still: noise of a camera.
STILL = 4

Frame = tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 1"]]


class Flicker(NamedTuple):
    """Means over the pixels of all pairs of neighbouring frames where the film stands still.

    ``change``: of grey, as a share of the range from ink to paper. ``flips``: share that goes from
    ink (below 128) to paper or back. ``still``: share of all pixels that stand still. NaN where
    nothing does. ``pairs``: of frames.
    """

    change: float
    flips: float
    still: float
    pairs: int


def flicker(frames: Iterable[Frame]) -> Flicker:
    """Compare each drawing with that of the frame before.

    Args:
        frames: frames of a film in their order, each with its drawing of the same size, 0 = ink.

    Raises:
        UserError: fewer than two frames, frames of several sizes.

    """
    before, pairs, pixels, still, change, flips = None, 0, 0, 0, 0, 0
    for film, drawing in frames:
        now = film.astype(np.int16), drawing[..., 0].astype(np.int16)
        if now[0].shape[:2] != now[1].shape:
            raise UserError(f"a frame of {_size(film)} px has a drawing of {_size(drawing)} px")
        if before is not None:
            if before[1].shape != now[1].shape:
                raise UserError(f"frames of {_size(before[1])} and {_size(film)} px in one film")
            stands = (np.abs(now[0] - before[0]) <= STILL).all(-1)
            old, new = before[1][stands], now[1][stands]
            pairs, pixels, still = pairs + 1, pixels + stands.size, still + len(new)
            change += int(np.abs(new - old).sum())
            flips += int(((new < 128) != (old < 128)).sum())
        before = now
    if not pairs:
        raise UserError("a film of fewer than two frames; nothing can flicker")
    rates = (change / 255 / still, flips / still) if still else (math.nan, math.nan)
    return Flicker(*rates, still / pixels, pairs)


def flicker_of_film(film: str | PathLike, drawings: str | PathLike) -> Flicker:
    """Return the `flicker` of a folder of frames and one of their drawings, in the order of their
    names.

    Raises:
        UserError: a frame without a drawing or a drawing without a frame, and what `flicker` says.

    """
    found = joined(pathlib.Path(film), pathlib.Path(drawings))
    return flicker(
        (pictures.read_image(frame), pictures.read_drawing(drawing))
        for frame, drawing in tqdm(found.values(), unit="frame", disable=None)
    )


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"
