"""Every mask that needs no example, by name."""

import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8

from segsynth.data.masks.lama import LEVELS as LAMA_LEVELS
from segsynth.data.masks.lama import lama
from segsynth.data.masks.mat import LEVELS as MAT_LEVELS
from segsynth.data.masks.mat import mat
from segsynth.data.masks.silhouettes import silhouette
from segsynth.data.masks.strokes import draw_boxes
from segsynth.errors import UserError

#: Smallest and largest area of a box as a share of the picture, and its largest side ratio.
_BOX_AREA, _BOX_RATIO = (0.10, 0.50), 2.0


def box(rng: np.random.Generator, size: int) -> UInt8[np.ndarray, "{size} {size} 1"]:
    """Draw one box of 10 to 50 % of the picture, sides in a ratio up to 2, at a random place."""
    area = rng.uniform(*_BOX_AREA)
    stretch = np.sqrt(np.exp(rng.uniform(-1.0, 1.0) * np.log(_BOX_RATIO)))
    width = min(size, round(size * np.sqrt(area) * stretch))
    height = min(size, round(size * np.sqrt(area) / stretch))
    left, top = rng.integers(size - width + 1), rng.integers(size - height + 1)
    hole = draw_boxes([(int(left), int(top), width, height)], size)
    return hole.astype(np.uint8)[..., None]


def brush(rng: np.random.Generator, size: int) -> UInt8[np.ndarray, "{size} {size} 1"]:
    """Draw a mask of MAT, large or small with equal chance."""
    return mat(rng, size, "large" if rng.random() < 0.5 else "small")


_GENERATORS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    **{f"mat_{level}": functools.partial(mat, level=level) for level in MAT_LEVELS},
    **{f"lama_{level}": functools.partial(lama, level=level) for level in LAMA_LEVELS},
    "brush": brush,
    "box": box,
    "silhouette": silhouette,
}

#: The names that `draw` knows.
KINDS: tuple[str, ...] = tuple(_GENERATORS)


def draw(rng: np.random.Generator, size: int, kind: str) -> UInt8[np.ndarray, "{size} {size} 1"]:
    """Draw a mask by the name of its generator; 1 = hole.

    Args:
      rng: source of all randomness.
      size: side of the mask in pixels.
      kind: one of `KINDS`.

    Raises:
      UserError: for an unknown kind.

    """
    if kind not in _GENERATORS:
        raise UserError(f"unknown kind of mask {kind!r}; use one of {', '.join(KINDS)}")
    return _GENERATORS[kind](rng, size)
