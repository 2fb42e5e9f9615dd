"""The square that FFHQ's alignment cuts around a face, and the way back into the picture."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Num
from scipy import ndimage

from segsynth.errors import UserError

#: Rows of the eyes and of the corners of the mouth among 68 landmarks in iBUG's order.
_EYES, _CORNERS = (slice(36, 42), slice(42, 48)), (48, 54)
_MANY = (68, 70)
_FEW = 5
#: A square with more than so many times the picture's longer side is of other landmarks.
_LARGEST = 4


@dataclasses.dataclass(frozen=True)
class Square:
    """A square of a picture, which may be turned: its middle, and half of its upper side.

    In px; x to the right, y down; (0, 0) is the upper left corner of the picture, so that the
    middle of its first pixel is (0.5, 0.5).
    """

    middle: Float[np.ndarray, "2"]
    half: Float[np.ndarray, "2"]

    @property
    def side(self) -> float:
        """Its side in px."""
        return 2.0 * float(np.hypot(*self.half))

    def cut(self, image: Num[np.ndarray, "h w c"], size: int) -> Float32[np.ndarray, "size size c"]:
        """Sample it with ``size`` px a side, linearly; beyond the picture its border is mirrored.

        No average is taken: of a square larger than ``size``, details alias.
        """
        steps = (np.arange(size) + 0.5) / size * 2 - 1
        right, down = np.meshgrid(steps, steps)
        below = np.array([-self.half[1], self.half[0]])
        points = self.middle + right[..., None] * self.half + down[..., None] * below
        places = points[..., ::-1].transpose(2, 0, 1) - 0.5
        return sampled(image, places, "mirror")

    def places(self, height: int, width: int, size: int) -> Float[np.ndarray, "2 h w"]:
        """Return, for every pixel of a picture, its row and column in the cut of ``size`` px."""
        y, x = np.mgrid[:height, :width] + 0.5
        dx, dy = x - self.middle[0], y - self.middle[1]
        length = float(self.half @ self.half)
        right = (dx * self.half[0] + dy * self.half[1]) / length
        down = (dy * self.half[0] - dx * self.half[1]) / length
        return np.stack([(down + 1) / 2 * size - 0.5, (right + 1) / 2 * size - 0.5])


def sampled(
    image: Num[np.ndarray, "h w c"], places: Float[np.ndarray, "2 a b"], mode: str
) -> Float32[np.ndarray, "a b c"]:
    """Interpolate linearly at rows and columns; ``mode``: beyond the picture, as SciPy names it."""
    planes = [
        ndimage.map_coordinates(image[..., i].astype(np.float32), places, order=1, mode=mode)
        for i in range(image.shape[-1])
    ]
    return np.stack(planes, axis=-1)


def framed(points: Any, height: int, width: int) -> Square:
    """Return the `square` around the face in a picture.

    Raises:
        UserError: ``points`` that are no finite x, y, or of no face; a square whose middle lies
            outside the picture, or that is more than 4 times as large, as landmarks of another
            picture, or of another scale, give it.

    """
    found = np.asarray(points)
    if found.ndim != 2 or found.shape[1] != 2 or not np.isfinite(found).all():
        raise UserError(
            f"landmarks are an array of {found.shape}; expected x and y of each, (n, 2), all finite"
        )
    frame = square(found.astype(np.float64))
    x, y = frame.middle
    inside = 0 <= x <= width and 0 <= y <= height
    if not inside or frame.side > _LARGEST * max(height, width):
        raise UserError(
            f"landmarks give a square of {frame.side:.0f} px around ({x:.0f}, {y:.0f}), and the "
            f"picture has {width}x{height} px; bring those of this picture, in its own px"
        )
    return frame


def square(points: Float[np.ndarray, "n 2"]) -> Square:
    """Return the square around a face (Karras et al., CVPR 2019, the preparation of FFHQ).

    Its upper side is parallel to the mean of the line through the eyes and the upright of the line
    from the eyes to the mouth; half of it is the larger of 2.0 times the distance of the eyes and
    1.8 times that from eyes to mouth.

    Args:
        points: x, y in px; 68 in iBUG's order, 70 with the pupils behind them, or 5: the eye on
            the left of the picture, the other one, the nose, the corners of the mouth.

    Raises:
        UserError: another number of points, or points that are all one.

    """
    if len(points) in _MANY:
        left, right = (points[eye].mean(axis=0) for eye in _EYES)
        corners = points[list(_CORNERS)]
    elif len(points) == _FEW:
        left, right, corners = points[0], points[1], points[3:]
    else:
        raise UserError(
            f"landmarks are {len(points)} points; expected 68 in iBUG's order, 70 with the pupils, "
            "or 5: eyes, nose, corners of the mouth"
        )
    eyes, across = (left + right) / 2.0, right - left
    down = corners.mean(axis=0) - eyes
    half = across + np.array([down[1], -down[0]])
    length = float(np.hypot(*half))
    size = max(2.0 * float(np.hypot(*across)), 1.8 * float(np.hypot(*down)))
    if not (length > 0 and size > 0):
        raise UserError("landmarks of eyes and mouth are one point; expected those of a face")
    return Square(
        np.asarray(eyes + 0.1 * down, np.float64), np.asarray(half / length * size, np.float64)
    )
