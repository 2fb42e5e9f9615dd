"""Masks of LaMa (Suvorov et al., "Resolution-robust Large Mask Inpainting", WACV 2022).

A mask is a set of broken lines or a set of boxes; levels differ in how many, how wide, how long.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float64, UInt8

from segsynth.data.masks.strokes import REFERENCE, draw_boxes, draw_strokes, resize_nearest, walk
from segsynth.errors import UserError


@dataclasses.dataclass(frozen=True)
class Level:
    """Limits of one level, in pixels at 512.

    Attributes:
      lines: least and largest number of broken lines.
      width: spread of the widths of their segments, 5 + [0, width).
      length: spread of the lengths of their segments, 10 + [0, length).
      boxes: least and largest number of boxes; (0, 0) for lines alone.
      side: least side of a box, and one more than the largest.
      margin: distance of boxes from the border.

    """

    lines: tuple[int, int]
    width: int
    length: int
    boxes: tuple[int, int] = (0, 0)
    side: tuple[int, int] = (30, 150)
    margin: int = 0


LEVELS: dict[str, Level] = {
    "thin": Level((4, 70), 20, 100),
    "medium": Level((4, 10), 100, 200, (1, 5), (30, 150)),
    "thick": Level((1, 5), 250, 450, (1, 4), (30, 300), margin=10),
}

#: Probability of boxes: lines and boxes have the weights 1 and 0.3.
_BOXES = 0.3 / 1.3
#: OpenCV, with which LaMa draws, covers about a pixel more than the width it is asked for.
_EXCESS = 1.0


def lama(
    rng: np.random.Generator, size: int, level: str = "medium"
) -> UInt8[np.ndarray, "{size} {size} 1"]:
    """Draw a LaMa mask at 512 px and resize it to the nearest pixel; 1 = hole.

    Mean share of the hole: thin 0.29, medium 0.29, thick 0.42 (LaMa's evaluation caps it at 0.5).

    Args:
      rng: source of all randomness.
      size: side of the mask in pixels.
      level: key of `LEVELS`.

    Raises:
      UserError: for an unknown level.

    """
    if level not in LEVELS:
        raise UserError(f"unknown LaMa level {level!r}; use one of {', '.join(LEVELS)}")
    limits = LEVELS[level]
    while True:
        boxes = limits.boxes[1] > 0 and rng.random() < _BOXES
        hole = resize_nearest(_boxes(rng, limits) if boxes else _lines(rng, limits), size)
        if 0.0 < hole.mean() < 1.0:
            return hole


def _boxes(rng: np.random.Generator, limits: Level) -> Bool[np.ndarray, "side side"]:
    boxes, room = [], REFERENCE - limits.margin
    for _ in range(rng.integers(limits.boxes[0], limits.boxes[1] + 1)):
        width, height = rng.integers(*limits.side, size=2)
        left = rng.integers(limits.margin, room - width + 1)
        top = rng.integers(limits.margin, room - height + 1)
        boxes.append((int(left), int(top), int(width), int(height)))
    return draw_boxes(boxes, REFERENCE)


def _lines(rng: np.random.Generator, limits: Level) -> Bool[np.ndarray, "side side"]:
    """Broken lines of 1 to 5 segments, each with a heading, a length and a width of its own."""
    lines = int(rng.integers(limits.lines[0], limits.lines[1] + 1))
    paths = [_path(rng, limits.length, mirrored=line % 2 == 0) for line in range(lines)]
    starts = np.concatenate([path[:-1] for path in paths])
    ends = np.concatenate([path[1:] for path in paths])
    widths = 5.0 + _EXCESS + rng.integers(limits.width, size=len(starts))
    return draw_strokes(starts, ends, widths, REFERENCE)


def _path(rng: np.random.Generator, length: int, mirrored: bool) -> Float64[np.ndarray, "_ 2"]:
    count = int(rng.integers(1, 6))
    # LaMa takes the integers 0..3 for radians, so lines have eight headings only. Kept: its
    # published masks look like this.
    angle = (0.01 + rng.integers(4, size=count)) * (-1.0 if mirrored else 1.0)
    steps = (10.0 + rng.integers(length, size=count)) * np.stack([np.sin(angle), np.cos(angle)])
    return walk(rng.integers(REFERENCE, size=2), steps.T, REFERENCE)
