"""Contours of the object classes: random closed polygons around the origin, of no size or place.

Every function of `SHAPES` maps a generator to a tuple of contours (see `raster`). Inner contours
run the other way round, so that signed areas add up to the area of the shape.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float64

from segsynth.data.worlds.raster import Contour

Contours = tuple[Contour, ...]

#: Vertices of a smooth contour: at 512 px the polygon is within 0.05 px of the curve.
_SMOOTH = 128
#: r(theta) never falls below this share of r0, or a contour would cross itself at the centre.
_WAIST = 0.2


def _polar(angles: np.ndarray, radii: np.ndarray | float) -> np.ndarray:
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=-1)


def _circle(count: int) -> np.ndarray:
    return np.linspace(0.0, 2.0 * np.pi, count, endpoint=False)


def rotate(
    points: Float64[np.ndarray, "vertices 2"], angle: float
) -> Float64[np.ndarray, "vertices 2"]:
    """Rotate points around the origin by ``angle`` radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack(
        [points[:, 0] * cos - points[:, 1] * sin, points[:, 0] * sin + points[:, 1] * cos], -1
    )


def _turned(rng: np.random.Generator, *contours: np.ndarray) -> Contours:
    angle = rng.uniform(0.0, 2.0 * np.pi)
    return tuple(rotate(contour, angle) for contour in contours)


def ellipse(rng: np.random.Generator) -> Contours:
    """An ellipse with axes in a ratio of 0.45 to 0.9."""
    return _turned(rng, _polar(_circle(_SMOOTH), 1.0) * [1.0, rng.uniform(0.45, 0.9)])


def polygon(rng: np.random.Generator) -> Contours:
    """A convex polygon of 3 to 6 corners on a circle, unevenly spaced."""
    count = int(rng.integers(3, 7))
    jitter = rng.uniform(-0.2, 0.2, count) * 2.0 * np.pi / count
    return _turned(rng, _polar(_circle(count) + jitter, 1.0))


def star(rng: np.random.Generator) -> Contours:
    """A star of 4 to 7 points."""
    count = int(rng.integers(4, 8))
    radii = np.where(np.arange(2 * count) % 2, rng.uniform(0.4, 0.6), 1.0)
    return _turned(rng, _polar(_circle(2 * count), radii))


def blob(rng: np.random.Generator, spread: float = 0.25) -> Contours:
    """A closed curve r(theta) = 1 + sum_{k=1..5} a_k cos(k theta + b_k).

    a_k ~ N(0, (spread / k)^2) and b_k is uniform. Radii are kept above 0.2, so the curve is simple.
    """
    order = np.arange(1, 6)
    amplitude = rng.normal(0.0, spread / order)
    phase = rng.uniform(0.0, 2.0 * np.pi, order.size)
    angles = _circle(_SMOOTH)
    waves = amplitude * np.cos(angles[:, None] * order + phase)
    return (_polar(angles, np.maximum(1.0 + waves.sum(axis=1), _WAIST)),)


def ring(rng: np.random.Generator) -> Contours:
    """An elliptic ring whose hole has 0.4 to 0.65 of its diameter."""
    outer = _polar(_circle(_SMOOTH), 1.0) * [1.0, rng.uniform(0.7, 1.0)]
    return _turned(rng, outer, rng.uniform(0.4, 0.65) * outer[::-1])


def cross(rng: np.random.Generator) -> Contours:
    """A cross of two equal bars, each 0.25 to 0.45 of its length wide."""
    arm = rng.uniform(0.25, 0.45)
    quarter = np.array([[1.0, -arm], [1.0, arm], [arm, arm]])
    return _turned(rng, np.concatenate([rotate(quarter, k * np.pi / 2) for k in range(4)]))


#: Shape by object class.
SHAPES: dict[str, Callable[[np.random.Generator], Contours]] = {
    "ellipse": ellipse,
    "polygon": polygon,
    "star": star,
    # Stronger waves than a silhouette's, or many a blob would pass for an ellipse.
    "blob": lambda rng: blob(rng, spread=0.45),
    "ring": ring,
    "cross": cross,
}


def area(contours: Sequence[Contour]) -> float:
    """Area inside contours whose holes run the other way round (shoelace formula)."""
    return 0.5 * abs(sum(float(_fan(contour).sum()) for contour in contours))


def mean_square(contours: Sequence[Contour]) -> float:
    """Mean squared distance from the origin over the inside; holes run the other way round."""
    moment = 0.0
    for contour in contours:
        after = np.roll(contour, -1, axis=0)
        squares = np.sum(contour**2 + contour * after + after**2, axis=1)
        moment += float(np.sum(_fan(contour) * squares)) / 12.0
    return abs(moment) / area(contours)


def _fan(contour: np.ndarray) -> np.ndarray:
    """Twice the signed area of the triangle from the origin to each edge."""
    (x, y), (u, v) = contour.T, np.roll(contour, -1, axis=0).T
    return x * v - u * y


def scaled(contours: Contours, share: float) -> Contours:
    """Scale contours to an area of ``share`` of the frame, their bounding box around the origin."""
    factor = np.sqrt(share / area(contours))
    points = np.concatenate(contours)
    middle = (points.min(axis=0) + points.max(axis=0)) / 2.0
    return tuple((contour - middle) * factor for contour in contours)


def extent(contours: Contours) -> Float64[np.ndarray, " 2"]:
    """Half the width and height of the bounding box of centred contours."""
    return np.abs(np.concatenate(contours)).max(axis=0)


def random_centres(
    rng: np.random.Generator, contours: Contours, count: int = 1
) -> Float64[np.ndarray, "count 2"]:
    """Centres that keep the bounding box inside the frame; an axis that is too long is centred."""
    margin = np.minimum(extent(contours), 0.5)
    return rng.uniform(margin, 1.0 - margin, size=(count, 2))


def moved(contours: Contours, centre: Float64[np.ndarray, " 2"]) -> Contours:
    """Translate contours by ``centre``."""
    return tuple(contour + centre for contour in contours)
