"""Scan conversion: contours in unit coordinates to pixels, exact at the pixel centres.

A contour is a closed polygon, an array (vertices, 2) of (x, y) with x to the right and y down; the
frame is the square [0, 1] x [0, 1]. A contour knows no resolution: every size shows the same shape.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64

Contour = Float64[np.ndarray, "_ 2"]
#: Rows and columns of the smallest box of pixels that a shape touches.
Window = tuple[slice, slice]


def centres(size: int, within: slice = slice(None)) -> Float64[np.ndarray, " count"]:
    """Unit coordinates (i + 1/2) / size of the pixel centres of one axis, for pixels ``within``."""
    return (np.arange(size)[within] + 0.5) / size


def fill(contours: Sequence[Contour], size: int) -> tuple[Window, Bool[np.ndarray, "height width"]]:
    """Rasterise the even-odd interior of closed contours on a grid of ``size`` x ``size`` pixels.

    Args:
      contours: polygons in unit coordinates; parts outside the frame are cut off. A second contour
        inside the first one is a hole.
      size: side of the grid in pixels.

    Returns:
      ``(window, inside)``: the box of pixels around the shape, and for each of its pixels whether
      its centre lies inside. A shape that covers no pixel centre gives an empty window.

    """
    rows, columns = _crossings(contours, size)
    if rows.size == 0:
        return (slice(0, 0), slice(0, 0)), np.zeros((0, 0), bool)
    top, left = rows.min(), columns.min()
    height, width = rows.max() + 1 - top, columns.max() - left
    # Along a row every crossing toggles inside and outside: the parity of their running count.
    toggles = np.zeros(height * (width + 1), np.uint8)
    np.add.at(toggles, (rows - top) * (width + 1) + (columns - left), np.uint8(1))
    counts = np.cumsum(toggles.reshape(height, width + 1)[:, :width], axis=1, dtype=np.uint8)
    window = (slice(int(top), int(top + height)), slice(int(left), int(left + width)))
    return window, (counts & 1).astype(bool)


def _crossings(contours: Sequence[Contour], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and first column to the right of each crossing of an edge with a row of pixel centres."""
    # Shifted by half a pixel, so that pixel centres are the integers.
    start = np.concatenate(contours) * size - 0.5
    end = np.concatenate([np.roll(contour, -1, axis=0) for contour in contours]) * size - 0.5
    lower = max(0, int(np.floor(start[:, 1].min())))
    upper = min(size, int(np.ceil(start[:, 1].max())) + 1)
    row = np.arange(lower, max(lower, upper))
    # Half-open in y: a vertex exactly on a row belongs to one of its two edges only.
    edge, hit = np.nonzero((start[:, 1:] <= row) != (end[:, 1:] <= row))
    row = row[hit]
    (x, y), (dx, dy) = start[edge].T, (end - start)[edge].T
    column = np.ceil(x + (row - y) * dx / dy)
    return row, np.clip(column, 0, size).astype(np.intp)
