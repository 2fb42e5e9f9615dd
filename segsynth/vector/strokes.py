"""Strokes of a pen that draw what a drawing shows: the middle of its lines, and how wide they are.

Lines are thinned to one pixel (Zhang and Suen, CACM 1984, as scikit-image has it), followed from
crossing to crossing, and simplified (Douglas and Peucker, 1973).
"""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

from segsynth.vector import lines, skeleton


@dataclasses.dataclass(frozen=True)
class Stroke:
    """One line of constant width.

    Attributes:
        points: x and y of its corners in px; (0.5, 0.5) is the middle of the first pixel. A stroke
            of one point is a dot.
        width: in px.

    """

    points: Float[np.ndarray, "n 2"]
    width: float

    @property
    def length(self) -> float:
        """Of its middle line, px."""
        return float(np.hypot(*np.diff(self.points, axis=0).T).sum())


def strokes(
    drawing: UInt8[np.ndarray, "h w 1"],
    *,
    threshold: int = 128,
    tolerance: float = 0.5,
    shortest: float = 0.0,
) -> list[Stroke]:
    """Return the strokes of a drawing.

    Args:
        drawing: dark ink on light paper.
        threshold: ink is what is darker.
        tolerance: how far in px a simplified line may lie from the middle of the drawn one.
        shortest: shorter lines that end freely are left out, px; dots have length 0. A line goes
            on through crossings, and over changes of its width (`segsynth.vector.lines`).

    """
    from skimage.morphology import skeletonize

    ink = drawing[..., 0] < threshold
    middle = skeletonize(ink)
    # Beyond the border there is paper: else a line along it had no width on that side.
    depth = ndimage.distance_transform_edt(np.pad(ink, 1))[1:-1, 1:-1]
    share = _shares(ink, middle)
    paths = skeleton.paths(middle)
    parts = [
        [_stroke(part, depth, share, tolerance) for part in _by_width(path, depth)]
        for path in paths
    ]
    if shortest > 0 and paths:
        lengths = np.array([sum(stroke.length for stroke in path) for path in parts])
        widths = np.array([max(stroke.width for stroke in path) for path in parts])
        stay = lines.long_or_held(paths, lengths, widths, shortest)
        parts = list(itertools.compress(parts, stay))
    return [stroke for path in parts for stroke in path]


def _by_width(path: skeleton.Path, depth: Float[np.ndarray, "h w"]) -> Iterator[skeleton.Path]:
    """Cut a path where the line becomes another: twice as wide, or half."""
    octaves = np.log2(np.maximum(depth[tuple(path.T)], 1.0))
    start = 0
    for i in range(1, len(path)):
        span = octaves[start : i + 1]
        if span.max() - span.min() > 1.0:
            yield path[start:i]
            start = i - 1  # pieces share a pixel, so that the pen leaves no gap
    yield path[start:]


def _shares(
    ink: Bool[np.ndarray, "h w"], middle: Bool[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w"]:
    """Return how much ink lies nearest to each pixel of the middle, px²."""
    share = np.zeros(ink.shape)
    if middle.any():
        nearest = ndimage.distance_transform_edt(
            ~middle, return_distances=False, return_indices=True
        )
        np.add.at(share, tuple(nearest[:, ink]), 1.0)
    return share


def _stroke(
    path: skeleton.Path,
    depth: Float[np.ndarray, "h w"],
    share: Float[np.ndarray, "h w"],
    tolerance: float,
) -> Stroke:
    from skimage.measure import approximate_polygon

    corners = approximate_polygon(path.astype(np.float64), tolerance) if len(path) > 2 else path
    stroke = Stroke(corners[:, ::-1] + 0.5, 1.0)
    across, ink = (float(np.median(values[tuple(path.T)])) for values in (depth, share))
    # Lines of 2n - 1 and 2n px alike have depth n in their middle; their ink tells them apart.
    per_pixel = stroke.length / max(1, len(path) - 1) or 1.0
    width = min(max(ink / per_pixel, 2 * across - 1), 2 * across)
    return dataclasses.replace(stroke, width=width)
