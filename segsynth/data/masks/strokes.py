"""Strokes and boxes as holes, in pixels of the grid: pixel i of an axis lies at coordinate i.

A stroke of width w is every pixel within w / 2 of its segment, so its ends are discs and its joints
are round.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float64, Integer, UInt8

#: The side at which masks are drawn before they are resized: the widths of MAT and LaMa are pixels
#: of a 512 px picture and do not scale.
REFERENCE = 512


def draw_strokes(
    starts: Float64[np.ndarray, "strokes 2"],
    ends: Float64[np.ndarray, "strokes 2"],
    widths: Float64[np.ndarray, " strokes"],
    size: int,
) -> Bool[np.ndarray, "{size} {size}"]:
    """Rasterise strokes; True = hole.

    Args:
      starts: (x, y) of one end of each segment, pixels.
      ends: the other ends; equal to the start for a disc.
      widths: full widths, pixels.
      size: side of the mask; strokes are cut off at its border.

    """
    first, last = _spans(starts, ends, widths / 2.0, size)
    stroke, row = np.nonzero(first <= last)
    first, last = first[stroke, row], last[stroke, row]
    # +1 where a span begins, -1 behind its end: the running sum counts the strokes over a pixel.
    changes = np.zeros(size * (size + 1), np.int16)
    np.add.at(changes, row * (size + 1) + first, np.int16(1))
    np.add.at(changes, row * (size + 1) + last + 1, np.int16(-1))
    depth = np.cumsum(changes.reshape(size, size + 1)[:, :size], axis=1, dtype=np.int16)
    return depth > 0


def _spans(
    starts: np.ndarray, ends: np.ndarray, radii: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """First and last column of each stroke in each row, (strokes, size); first > last for none.

    A stroke is convex and the union of two discs and a rectangle, so its span in a row is the hull
    of their spans.
    """
    rows = np.arange(size, dtype=np.float64)
    radii = radii[:, None]
    parts = [_disc(starts, radii, rows), _disc(ends, radii, rows), _band(starts, ends, radii, rows)]
    low = np.minimum.reduce([part[0] for part in parts])
    high = np.maximum.reduce([part[1] for part in parts])
    # Clipped before the cast: a span that does not exist is infinite.
    first = np.clip(np.ceil(low), 0, size).astype(np.intp)
    last = np.clip(np.floor(high), -1, size - 1).astype(np.intp)
    return first, last


def _disc(
    centres: np.ndarray, radii: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    x, y = centres[:, :1], centres[:, 1:]
    square = radii**2 - (rows - y) ** 2
    half = np.sqrt(np.maximum(square, 0.0))
    return np.where(square < 0.0, np.inf, x - half), np.where(square < 0.0, -np.inf, x + half)


def _band(
    starts: np.ndarray, ends: np.ndarray, radii: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The rectangle around each segment: in a row, where two pairs of parallel lines overlap."""
    x, y = starts[:, :1], starts[:, 1:]
    dx, dy = ends[:, :1] - x, ends[:, 1:] - y
    length = np.hypot(dx, dy)
    # Lines parallel to a row meet it nowhere or everywhere; a slope of 1e-9 does the same within
    # any picture.
    dx, dy = _away_from_zero(dx), _away_from_zero(dy)
    below = rows - y
    along = (-below * dy / dx, (length**2 - below * dy) / dx)
    across = ((below * dx - radii * length) / dy, (below * dx + radii * length) / dy)
    low = np.maximum(np.minimum(*along), np.minimum(*across))
    high = np.minimum(np.maximum(*along), np.maximum(*across))
    # A disc (length 0) and a row that the rectangle misses have none.
    empty = (low > high) | (length == 0.0)
    return np.where(empty, np.inf, x + low), np.where(empty, -np.inf, x + high)


def _away_from_zero(values: np.ndarray) -> np.ndarray:
    return np.where(np.abs(values) < 1e-9, 1e-9, values)


def walk(
    start: Integer[np.ndarray, " 2"], steps: Float64[np.ndarray, "steps 2"], size: int
) -> Float64[np.ndarray, "vertices 2"]:
    """Whole-pixel vertices of a path, the start first; each step ends where the frame stops it."""
    # Each vertex depends on the one before: plain numbers are much faster here than small arrays.
    x, y = (int(value) for value in start)
    path = [(x, y)]
    for dx, dy in steps.tolist():
        x, y = min(max(int(x + dx), 0), size), min(max(int(y + dy), 0), size)
        path.append((x, y))
    return np.array(path, np.float64)


def draw_boxes(
    boxes: Iterable[tuple[int, int, int, int]], size: int
) -> Bool[np.ndarray, "{size} {size}"]:
    """Rasterise boxes (left, top, width, height), pixels, cut off at the border; True = hole."""
    mask = np.zeros((size, size), bool)
    for left, top, width, height in boxes:
        mask[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = True
    return mask


def resize_nearest(mask: np.ndarray, size: int) -> UInt8[np.ndarray, "{size} {size} 1"]:
    """Resize a square mask (side, side) or (side, side, 1) to the nearest pixel; 1 = non-zero."""
    pick = (np.arange(size) * 2 + 1) * mask.shape[0] // (2 * size)
    return (mask.reshape(mask.shape[:2])[np.ix_(pick, pick)] != 0).astype(np.uint8)[..., None]
