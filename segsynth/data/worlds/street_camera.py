"""The camera of a street and what a street's layers are.

Metres in the world: X to the right, Y up from the road, Z ahead. In the picture x runs to the right
and y down, both in widths of the frame, as `raster` wants them.
"""

import dataclasses

import numpy as np
from jaxtyping import Float64

from segsynth.data.worlds.raster import Contour
from segsynth.data.worlds.textures import Texture

#: Distance in metres at which inverse depth is 1; nearer counts as that near.
NEAREST = 4.0


@dataclasses.dataclass(frozen=True)
class Camera:
    """A level camera above the road.

    Attributes:
        aspect: height of the frame in widths.
        horizon: y of the horizon.
        centre: x of the vanishing point.
        focal: focal length in widths.
        height: of the camera above the road, metres.

    """

    aspect: float
    horizon: float
    centre: float
    focal: float
    height: float

    def scale(self, distance: float) -> float:
        """Widths of the frame per metre at a distance."""
        return self.focal / distance

    def project(
        self, x: np.ndarray | float, y: np.ndarray | float, z: np.ndarray | float
    ) -> Float64[np.ndarray, "*points 2"]:
        """Picture coordinates of points in the world, Z > 0."""
        across, up, ahead = np.broadcast_arrays(x, y, z)
        scale = self.focal / ahead
        return np.stack(
            [self.centre + scale * across, self.horizon + scale * (self.height - up)], -1
        )

    def strip(self, left: float, right: float, near: float, far: float) -> Contour:
        """A rectangle on the ground."""
        return self.project(
            np.array([left, right, right, left]), 0.0, np.array([near, near, far, far])
        )

    def facing(self, outline: Contour, x: float, z: float) -> Contour:
        """An outline in metres, upright at (x, z) and turned to the camera."""
        return self.project(outline[:, 0] + x, outline[:, 1], z)

    def receding(self, x: float, low: float, high: float, near: float, far: float) -> Contour:
        """An upright rectangle along the street, from height ``low`` to ``high``."""
        return self.project(x, np.array([low, low, high, high]), np.array([near, far, far, near]))

    def inverse_depth(self, rows: Float64[np.ndarray, " h"]) -> Float64[np.ndarray, " h"]:
        """`NEAREST` / Z of the ground at the given y, clipped to 0..1."""
        below = np.maximum(rows - self.horizon, 0.0)
        return np.clip(NEAREST * below / (self.focal * self.height), 0.0, 1.0)


@dataclasses.dataclass(frozen=True, eq=False)
class StreetLayer:
    """One surface of a street.

    Attributes:
        class_id: id in `label_sets.CITYSCAPES`.
        instance: id * 1000 + number for what has instances, else 0.
        distance: in metres; of what lies on the ground, None; infinite for the sky.
        contours: its outline in picture coordinates, whole even where hidden.
        texture: its look.

    """

    class_id: int
    instance: int
    distance: float | None
    contours: tuple[Contour, ...]
    texture: Texture
