"""The coordinates of a portrait on a grid of pixels, and shapes by signed distance.

A shape is an array of distances to its edge, negative inside, in half heads; where it covers a
pixel follows from the distance and the width of an edge. Only +, -, *, / and square roots are used
on arrays: these round the same way wherever in an array a pixel lies, so that an edit, which moves
windows, cannot change a bit of what it does not touch.
"""

import dataclasses
import functools
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32

from segsynth.data.worlds.portrait_plan import FRAMINGS, Portrait

Distances = Float32[np.ndarray, "height width"]
#: A coordinate of all pixels, or a row or a column of them.
Axis = Float32[np.ndarray, "#height #width"]
Window = tuple[slice, slice]
_NECK = 0.5  # the head rolls around this point below its centre


class Layer(NamedTuple):
    """A shape in a window of the picture.

    Attributes:
        surface: key of the palette; "" is not painted.
        part: published id of the part it belongs to, that of the left one of a pair; 0 = none,
            -1 = it hides all parts.
        window: rows and columns.
        coverage: of the window's pixels, 0..1.
        right: where the right one of a pair is, else None.

    """

    surface: str
    part: int
    window: Window
    coverage: Distances
    right: Bool[np.ndarray, "height width"] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Canvas:
    """Face and body coordinates of the pixels of one portrait.

    Attributes:
        portrait: what is drawn.
        size: side of the picture in pixels.

    """

    portrait: Portrait
    size: int

    @functools.cached_property
    def scale(self) -> float:
        """Half a head in pixels."""
        low, high = FRAMINGS[self.portrait.framing].scale
        return (low + (high - low) * self.portrait.values["size"]) * self.size / 2.0

    @functools.cached_property
    def origin(self) -> tuple[float, float]:
        """Column and row of the middle of the face, were it upright."""
        framing, values = FRAMINGS[self.portrait.framing], self.portrait.values
        across = framing.shift[0] * values["across"]
        down = framing.centre + framing.shift[1] * values["down"]
        return (1.0 + across) * self.size / 2.0, (1.0 + down) * self.size / 2.0

    @functools.cached_property
    def edge(self) -> float:
        """Width of an edge: a pixel, or more where the picture is out of focus."""
        return math.hypot(1.0 / self.scale, max(self.portrait.values["blur"], 0.0))

    @functools.cached_property
    def body(self) -> tuple[Float32[np.ndarray, "1 size"], Float32[np.ndarray, "size 1"]]:
        """Coordinates x of the columns and y of the rows; they do not roll with the head."""
        (column, row), centres = self.origin, np.arange(self.size) + 0.5
        x, y = (centres - column) / self.scale, (centres - row) / self.scale
        return x.astype(np.float32)[None], y.astype(np.float32)[:, None]

    @functools.cached_property
    def face(self) -> tuple[Distances, Distances]:
        """Coordinates u and v of all pixels, rolled with the head."""
        (x, y), roll = self.body, self.portrait.values["roll"]
        cos, sin = math.cos(roll), math.sin(roll)
        y = y - np.float32(_NECK)
        return cos * x + sin * y, (cos * y + _NECK) - sin * x

    def window(self, left: float, right: float, top: float, bottom: float) -> Window:
        """The smallest window around a rectangle in face coordinates, with a margin of an edge."""
        roll = self.portrait.values["roll"]
        cos, sin = math.cos(roll), math.sin(roll)
        u, v = (left + right) / 2.0, (top + bottom) / 2.0 - _NECK
        half_u, half_v = (right - left) / 2.0 + self.edge, (bottom - top) / 2.0 + self.edge
        x, y = cos * u - sin * v, sin * u + cos * v + _NECK
        reach = abs(cos) * half_u + abs(sin) * half_v, abs(sin) * half_u + abs(cos) * half_v
        return self._pixels(x - reach[0], x + reach[0], y - reach[1], y + reach[1])

    def body_window(self, left: float, right: float, top: float, bottom: float) -> Window:
        """The smallest window around a rectangle in body coordinates, with a margin of an edge."""
        edge = self.edge
        return self._pixels(left - edge, right + edge, top - edge, bottom + edge)

    def _pixels(self, left: float, right: float, top: float, bottom: float) -> Window:
        (column, row), scale, size = self.origin, self.scale, self.size
        first = max(0, min(size, math.floor(row + scale * top)))
        start = max(0, min(size, math.floor(column + scale * left)))
        last = max(first, min(size, math.ceil(row + scale * bottom)))
        stop = max(start, min(size, math.ceil(column + scale * right)))
        return slice(first, last), slice(start, stop)

    def cover(self, distance: Distances) -> Distances:
        """Coverage of pixels by a shape; overwrites the distances."""
        distance *= -1.0 / self.edge
        distance += 0.5
        np.maximum(distance, 0.0, out=distance)
        return np.minimum(distance, 1.0, out=distance)

    @functools.cached_property
    def head(self) -> Distances:
        """Distances to the outline of the head; the chin drops as the mouth opens."""
        (u, v), values = self.face, self.portrait.values
        width, height, start = values["head_width"], values["head_height"], self.jaw
        drop = self.portrait.jaw_coupling * self.portrait.level("Mouth_Slightly_Open")
        fall = v - start
        fall *= drop / (height - start)
        np.maximum(fall, 0.0, out=fall)
        np.minimum(fall, drop, out=fall)
        x, y = u * (1.0 / width), v - fall
        y *= 1.0 / height
        x *= x
        lower = np.maximum(y, 0.0)
        y *= y
        lower *= lower
        # Far outside, the product of a square chin would outgrow the sum.
        product = np.minimum(x, 1.5)
        product *= np.minimum(lower, 1.5)
        product *= values["chin"]
        x += y
        x -= product
        np.sqrt(x, out=x)
        x -= 1.0
        x *= 0.5 * (width + height)
        return x

    @property
    def jaw(self) -> float:
        """Height v from which on the chin moves with the mouth: above the upper lip."""
        return self.portrait.values["mouth_line"] - 0.12

    def turn(self, depth: float) -> float:
        """How far a turn of the head moves what lies that far in front of its axis."""
        return depth * math.sin(self.portrait.values["yaw"])


def ellipse(u: Axis, v: Axis, width: float, height: float, square: float = 0.0) -> Distances:
    """Distances to an ellipse around 0; ``square`` in 0..0.8 gives it corners."""
    x, y = u * (1.0 / width), v * (1.0 / height)
    x *= x
    y *= y
    if square:
        # Far outside, the product would outgrow the sum.
        product = np.minimum(x, 1.5)
        product *= np.minimum(y, 1.5)
        product *= square
        x += y
        x -= product
        np.maximum(x, 0.0, out=x)
    else:
        x = x + y  # u and v may be a row and a column
    np.sqrt(x, out=x)
    x -= 1.0
    x *= min(width, height)
    return x


def capsule(
    u: Distances, v: Distances, start: tuple[float, float], end: tuple[float, float], radius: float
) -> Distances:
    """Distances to a line with round ends."""
    along_u, along_v = end[0] - start[0], end[1] - start[1]
    length = along_u**2 + along_v**2
    u, v = u - start[0], v - start[1]
    t = (u * along_u + v * along_v) * (1.0 / length)
    np.maximum(t, 0.0, out=t)
    np.minimum(t, 1.0, out=t)
    u -= t * along_u
    v -= t * along_v
    return np.sqrt(u * u + v * v) - radius
