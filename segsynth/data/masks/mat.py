"""Free-form masks of MAT (Li et al., "Mask-Aware Transformer ...", CVPR 2022).

Boxes of two sizes and brushes that zigzag across the picture; levels differ in their numbers.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float64, UInt8

from segsynth.data.masks.strokes import REFERENCE, draw_boxes, draw_strokes, resize_nearest, walk
from segsynth.errors import UserError


@dataclasses.dataclass(frozen=True)
class Level:
    """Exclusive upper limits of the counts of one level, and the side at which it is drawn.

    Attributes:
      small_boxes: of boxes with sides below half the picture.
      large_boxes: of boxes with sides below the picture.
      brushes: of brushes.
      side: pixels; brushes are 12 to 47 px wide whatever the side.

    """

    small_boxes: int
    large_boxes: int
    brushes: int
    side: int = REFERENCE


LEVELS: dict[str, Level] = {
    "large": Level(5, 3, 9),
    "small": Level(3, 2, 4),
    # MAT's lower counts for 256 px pictures: there a brush is twice as wide against the picture.
    "large256": Level(4, 2, 8, side=256),
    "small256": Level(2, 2, 3, side=256),
    # The counts of CoModGAN (Zhao et al., ICLR 2021).
    "comodgan": Level(10, 5, 20),
}

#: Mean heading of a brush against the horizontal and its largest deviation, radians.
_HEADING, _DEVIATION = 2.0 * np.pi / 5.0, 2.0 * np.pi / 15.0


def mat(
    rng: np.random.Generator, size: int, level: str = "large"
) -> UInt8[np.ndarray, "{size} {size} 1"]:
    """Draw a MAT mask at the side of its level and resize it to the nearest pixel; 1 = hole.

    Mean share of the hole: large 0.40, small 0.22, large256 0.41, small256 0.22, comodgan 0.65.

    Args:
      rng: source of all randomness.
      size: side of the mask in pixels.
      level: key of `LEVELS`.

    Raises:
      UserError: for an unknown level.

    """
    if level not in LEVELS:
        raise UserError(f"unknown MAT level {level!r}; use one of {', '.join(LEVELS)}")
    while True:
        hole = resize_nearest(_draw(rng, LEVELS[level]), size)
        if 0.0 < hole.mean() < 1.0:
            return hole


def _draw(rng: np.random.Generator, level: Level) -> Bool[np.ndarray, "side side"]:
    side = level.side
    boxes = [_box(rng, side, side // 2) for _ in range(rng.integers(level.small_boxes))]
    boxes += [_box(rng, side, side) for _ in range(rng.integers(level.large_boxes))]
    hole = _brushes(rng, side, int(rng.integers(level.brushes)))
    hole = hole[:: int(rng.choice([1, -1])), :: int(rng.choice([1, -1]))]
    return hole | draw_boxes(boxes, side)


def _box(rng: np.random.Generator, side: int, limit: int) -> tuple[int, int, int, int]:
    """A box with sides below ``limit``, which may hang over the border by half of itself."""
    width, height = (int(length) for length in rng.integers(limit, size=2))
    left = int(rng.integers(-(width // 2), side - width + width // 2))
    top = int(rng.integers(-(height // 2), side - height + height // 2))
    return left, top, width, height


def _brushes(rng: np.random.Generator, side: int, count: int) -> Bool[np.ndarray, "side side"]:
    if count == 0:
        return np.zeros((side, side), bool)
    paths = [_path(rng, side) for _ in range(count)]
    widths = [np.full(len(path) - 1, float(rng.integers(12, 48))) for path in paths]
    starts = np.concatenate([path[:-1] for path in paths])
    ends = np.concatenate([path[1:] for path in paths])
    return draw_strokes(starts, ends, np.concatenate(widths), side)


def _path(rng: np.random.Generator, side: int) -> Float64[np.ndarray, "_ 2"]:
    """Vertices of one brush: 4 to 17 steps, headed up and down in turn, kept inside the frame."""
    count, diagonal = int(rng.integers(4, 18)), side * np.sqrt(2.0)
    low, high = _HEADING + rng.uniform(0.0, _DEVIATION, 2) * [-1.0, 1.0]
    heading = rng.uniform(low, high, count) * np.where(np.arange(count) % 2, 1.0, -1.0)
    length = np.clip(rng.normal(diagonal / 8, diagonal / 16, count), 0.0, diagonal / 4)
    steps = np.stack([length * np.cos(heading), length * np.sin(heading)], axis=-1)
    return walk(rng.integers(side, size=2), steps, side)
