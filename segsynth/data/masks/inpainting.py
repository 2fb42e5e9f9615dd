"""The four types of holes that teach an inpainting network what to fill in: object or background.

Class from type: an ``object`` hole is foreground, all others are background. A ``replaced`` hole
has the shape of an object of another picture: it keeps a network from taking object-shaped holes
for objects (PixelHacker, Xu et al. 2025, figure 3).
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8
from scipy import ndimage

from segsynth.data.masks.named import KINDS, draw
from segsynth.data.masks.shapes import random_instance, random_region
from segsynth.data.masks.silhouettes import silhouette
from segsynth.data.masks.strokes import REFERENCE, resize_nearest
from segsynth.errors import UserError

#: Types by id. object: an object of the picture; scene: a connected background region; brush: a
#: free-form mask; replaced: an object mask of another picture.
MASK_TYPES: tuple[str, ...] = ("object", "scene", "brush", "replaced")
#: The types whose holes are to be filled with foreground.
FOREGROUND_TYPES: tuple[str, ...] = ("object",)

#: Draws of a type before it is given up for a brush, and of a brush before it is an error.
_TRIES = 16

Shapes = Callable[[np.random.Generator, int], np.ndarray]


@dataclasses.dataclass(frozen=True)
class InpaintingMasks:
    """Draw the hole of an example, and its type.

    Attributes:
      probs: probabilities of `MASK_TYPES`, up to a factor. Types that the label maps of an example
        cannot give drop out, and the others share their part.
      union: probability that a scene hole is united with a brush, and again with a replaced one
        (PixelHacker, equation 1).
      dilate: probability of a dilation by a square of 3, 5 or 7 pixels at 512, once or twice.
      area: smallest and largest share of the picture; other holes are drawn again.
      brush: names of the generators of brushes (`KINDS`), all equally likely.
      shapes: bank of object masks (size, size, 1) that takes a generator and the index of the
        example, to leave that one out; procedural silhouettes if None.

    Raises:
      UserError: for probabilities, limits or names out of range.

    """

    probs: tuple[float, ...] = (0.30, 0.20, 0.25, 0.25)
    union: float = 0.5
    dilate: float = 0.99
    area: tuple[float, float] = (0.01, 0.95)
    brush: tuple[str, ...] = ("mat_large", "mat_small")
    shapes: Shapes | None = None

    def __post_init__(self) -> None:
        if len(self.probs) != len(MASK_TYPES) or min(self.probs) < 0.0:
            raise UserError(
                f"probs is {self.probs}; expected one number >= 0 for each of {MASK_TYPES}"
            )
        if not 0.0 <= self.area[0] < self.area[1] <= 1.0:
            raise UserError(f"area is {self.area}; expected 0 <= smallest < largest <= 1")
        if not (0.0 <= self.union <= 1.0 and 0.0 <= self.dilate <= 1.0):
            raise UserError(
                f"union is {self.union} and dilate {self.dilate}; both are probabilities in [0, 1]"
            )
        if not self.brush or set(self.brush) - set(KINDS):
            raise UserError(f"brush is {self.brush}; expected some of {', '.join(KINDS)}")

    def __call__(
        self, rng: np.random.Generator, example: dict[str, np.ndarray], index: int
    ) -> tuple[UInt8[np.ndarray, "size size 1"], int]:
        """Draw the hole of one example.

        ``object`` needs the example's ``instance`` map, ``scene`` also its ``segmentation``. The
        type is the first draw. Where 16 draws of it give no hole within the limits of area (a
        picture without objects, say), the hole becomes a brush, and so does the type returned.

        Args:
          rng: source of all randomness.
          example: ``image`` (size, size, 3) and, where it has them, integer maps ``segmentation``
            and ``instance`` (size, size, 1), instance 0 = background.
          index: position of the example in its source.

        Returns:
          ``(mask, type_id)``: {0, 1}, 1 = hole; and a position in `MASK_TYPES`.

        Raises:
          UserError: for a picture that is not square, if no type with a probability can be drawn,
            or if no brush has an area within the limits.

        """
        height, width = example["image"].shape[:2]
        if height != width:
            raise UserError(f"found a picture of {height} x {width}; crop it to a square for masks")
        type_id = int(rng.choice(len(MASK_TYPES), p=self._probabilities(example)))
        for kind in dict.fromkeys((MASK_TYPES[type_id], "brush")):
            for _ in range(_TRIES):
                mask = self._dilated(rng, self._hole(rng, kind, example, index))
                if self.area[0] <= mask.mean() <= self.area[1]:
                    return mask, MASK_TYPES.index(kind)
        raise UserError(
            f"no brush of {', '.join(self.brush)} has an area in {self.area}; widen area"
        )

    def _probabilities(self, example: dict[str, np.ndarray]) -> np.ndarray:
        has_objects = "instance" in example
        possible = (has_objects, has_objects and "segmentation" in example, True, True)
        weights = np.where(possible, self.probs, 0.0)
        if weights.sum() == 0.0:
            raise UserError(
                f"probs {self.probs} allow only types that need label maps, and the example has "
                f"{', '.join(example)}; give brush or replaced a probability"
            )
        return weights / weights.sum()

    def _hole(
        self, rng: np.random.Generator, kind: str, example: dict[str, np.ndarray], index: int
    ) -> np.ndarray:
        size = len(example["image"])
        match kind:
            case "object":
                return random_instance(rng, example["instance"])
            case "scene":
                return self._scene(rng, example, index)
            case "brush":
                return draw(rng, size, str(rng.choice(self.brush)))
            case _:
                return self._replaced(rng, size, index)

    def _scene(
        self, rng: np.random.Generator, example: dict[str, np.ndarray], index: int
    ) -> np.ndarray:
        hole = random_region(rng, example["segmentation"], example["instance"])
        if not hole.any():
            return hole  # without background, a union alone would be no scene hole
        for other in ("brush", "replaced"):
            if rng.random() < self.union:
                hole = hole | self._hole(rng, other, example, index)
        return hole

    def _replaced(self, rng: np.random.Generator, size: int, index: int) -> np.ndarray:
        if self.shapes is None:
            return silhouette(rng, size)
        hole = resize_nearest(self.shapes(rng, index), size)
        return hole[:, ::-1] if rng.random() < 0.5 else hole

    def _dilated(self, rng: np.random.Generator, hole: np.ndarray) -> np.ndarray:
        if rng.random() >= self.dilate:
            return np.ascontiguousarray(hole)
        # k dilations by a square of half-width r are one by half-width k r. It scales with the
        # picture, or the holes of small pictures would swell; below half a pixel there is none.
        reach = int(rng.integers(1, 4)) * int(rng.integers(1, 3))
        side = 2 * round(reach * hole.shape[0] / REFERENCE) + 1
        return ndimage.maximum_filter(hole, size=(side, side, 1), mode="constant")
