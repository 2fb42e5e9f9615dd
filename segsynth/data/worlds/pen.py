"""Ink on paper: short strokes in unit coordinates to an antialiased drawing of any size."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

#: Longest part of a line that is drawn at once, pixels: short ones touch few pixels.
_PART = 1.0
#: Narrowest line, pixels: a thinner one would turn grey where it falls between two pixels.
_NARROWEST = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Strokes:
    """Straight pieces of lines, in unit coordinates as in `raster`; parts may leave the frame.

    Attributes:
      start: (pieces, 2), x and y of one end of each piece.
      stop: (pieces, 2), of the other end.
      width: (pieces,), share of the frame.
      ink: (pieces,), how dark the line is: 0 = paper, 1 = black.
      fades: whether a line too narrow for a small drawing becomes paler, so that the tone of many
        of them stays; else it becomes wider, so that each stays visible.

    """

    start: Float64[np.ndarray, "pieces 2"]
    stop: Float64[np.ndarray, "pieces 2"]
    width: Float64[np.ndarray, " pieces"]
    ink: Float64[np.ndarray, " pieces"]
    fades: bool = False


def along(
    points: Float64[np.ndarray, "points 2"],
    joined: Bool[np.ndarray, " steps"],
    width: Float64[np.ndarray, " points"],
    ink: Float64[np.ndarray, " points"],
) -> Strokes:
    """Pieces between neighbouring points, where ``joined`` says that the pen was down."""
    start = np.flatnonzero(joined)
    return Strokes(points[start], points[start + 1], width[start], ink[start])


def gather(strokes: Sequence[Strokes]) -> Strokes:
    """All pieces in one."""
    fields = [(each.start, each.stop, each.width, each.ink) for each in strokes]
    return Strokes(*(np.concatenate(field) for field in zip(*fields, strict=True)))


def draw(strokes: Sequence[Strokes], size: int) -> UInt8[np.ndarray, "{size} {size} 1"]:
    """Black ink on white paper, 0..255; where lines cross, the darker one shows."""
    paper = np.zeros((size, size), np.float32)
    for each in strokes:
        np.maximum(paper, _coverage(each, size), out=paper)
    return np.rint(255.0 * (1.0 - paper)).astype(np.uint8)[..., None]


def _coverage(strokes: Strokes, size: int) -> Float32[np.ndarray, "{size} {size}"]:
    """Share of ink in each pixel: by the distance from the line, with edges one pixel soft."""
    middle, half, reach, ink = _cut(strokes, size)
    length = np.sqrt((half**2).sum(axis=1))
    side = int(np.floor(2.0 * (reach + length).max(initial=0.0))) + 1
    low = np.ceil(middle - (reach + length)[:, None])
    inside = ((low > -side) & (low < size)).all(axis=1)
    low, away, half, length = low[inside], (low - middle)[inside], half[inside], length[inside]
    distance = _distance(away, half, length, side)
    shade = np.clip(reach[inside, None, None] - distance, 0.0, 1.0) * ink[inside, None, None]
    # A margin takes up what the pieces at the frame lay outside of it.
    column, row = (low.T.astype(np.intp) + side)[:, :, None] + np.arange(side)
    wide = size + 2 * side
    canvas = np.zeros(wide * wide, np.float32)
    cells = row[:, :, None] * wide + column[:, None]
    np.maximum.at(canvas, cells.ravel(), shade.ravel())
    return canvas.reshape(wide, wide)[side:-side, side:-side]


def _cut(
    strokes: Strokes, size: int
) -> tuple[
    Float32[np.ndarray, "parts 2"],
    Float32[np.ndarray, "parts 2"],
    Float32[np.ndarray, " parts"],
    Float32[np.ndarray, " parts"],
]:
    """Parts of at most `_PART`: middle, half a length, how far ink reaches, how dark it is."""
    # Single precision is far finer than the ink's 256 shades, and twice as fast.
    start = strokes.start.astype(np.float32) * np.float32(size)
    stop = strokes.stop.astype(np.float32) * np.float32(size)
    step = stop - start
    count = max(1, int(np.ceil(np.sqrt((step**2).sum(axis=1).max(initial=0.0)) / _PART)))
    share = (np.arange(count, dtype=np.float32) + np.float32(0.5)) / np.float32(count)
    middle = (start[:, None] + share[:, None] * step[:, None]).reshape(-1, 2)
    width = strokes.width * size
    ink = strokes.ink * np.minimum(width / _NARROWEST, 1.0) if strokes.fades else strokes.ink
    reach = (np.maximum(width, _NARROWEST) + 1.0) / 2.0
    shades = np.stack([reach, ink]).astype(np.float32)
    half = np.repeat(step / np.float32(2 * count), count, axis=0)
    # Pixel centres are the integers.
    return middle - np.float32(0.5), half, *np.repeat(shades, count, axis=1)


def _distance(away: np.ndarray, half: np.ndarray, length: np.ndarray, side: int) -> np.ndarray:
    """Distance of each part from the ``side`` x ``side`` pixels that begin ``away`` from it."""
    pixel = np.arange(side, dtype=np.float32)
    x, y = (away[:, axis, None] + pixel for axis in (0, 1))
    unit = half / np.maximum(length, np.float32(1e-6))[:, None]
    along = (unit[:, 1, None] * y)[:, :, None] + (unit[:, 0, None] * x)[:, None]
    square = (y**2)[:, :, None] + (x**2)[:, None]
    # Across the line, and past its ends.
    square -= along**2
    square += np.maximum(np.abs(along) - length[:, None, None], 0.0) ** 2
    return np.sqrt(np.maximum(square, 0.0))
