"""Outlines as a hand draws them: from vector contours, in strokes that wobble, miss and overshoot.

Hidden lines are left out. What is drawn depends on no size in pixels.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32

from segsynth.data.worlds import pen
from segsynth.data.worlds.scene_plan import Layer

#: Unit length between two points of a line.
_STEP = 1.0 / 160.0
#: A turn of the outline, in radians, at which the pen is put down anew; and its longest stroke.
_CORNER, _LONGEST = 0.35, 0.6


@dataclasses.dataclass(frozen=True)
class Hand:
    """How outlines are drawn; lengths in unit coordinates.

    Attributes:
      passes: times that the hand goes round an outline.
      width: of the line.
      ink: darkness of the line under full pressure, 0..1.
      drift: standard deviation of a stroke's displacement.
      wobble: amplitude of the waves of a stroke.
      overshoot: mean and standard deviation of what a stroke goes too far; below 0 = a gap.

    """

    passes: int
    width: float
    ink: float
    drift: float
    wobble: float
    overshoot: tuple[float, float]


@dataclasses.dataclass(frozen=True, eq=False)
class _Curves:
    """All outlines of a scene on one axis of arc length, cut where the pen is put down.

    Attributes:
      points: (vertices, 2).
      arc: (vertices,), place of the vertices on the axis.
      tangent: (vertices, 2), direction from each vertex to the next.
      cuts: (strokes, 2), first and last place of each stroke.
      layer: (strokes,), position of the layer.

    """

    points: np.ndarray
    arc: np.ndarray
    tangent: np.ndarray
    cuts: np.ndarray
    layer: np.ndarray


def _curves(layers: Sequence[Layer]) -> _Curves:
    pairs = [(k, part) for k, layer in enumerate(layers) if k for part in layer.contours]
    rows, begin = [], 0.0
    for position, contour in pairs:
        points, arc, tangent, cuts = _measured(contour)
        rows.append((points, arc + begin, tangent, cuts + begin, np.full(len(cuts), position)))
        begin += arc[-1] + 1.0
    return _Curves(*(np.concatenate(column) for column in zip(*rows, strict=True)))


def _measured(contour: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices of a closed contour, their arc lengths, directions, and the ends of strokes."""
    edge = np.roll(contour, -1, axis=0) - contour
    before = np.roll(edge, 1, axis=0)
    turn = np.arctan2(
        before[:, 0] * edge[:, 1] - before[:, 1] * edge[:, 0], (before * edge).sum(axis=1)
    )
    corners = np.flatnonzero(np.abs(turn) > _CORNER)
    first = int(corners[0]) if corners.size else 0
    points, edge = np.roll(contour, -first, axis=0), np.roll(edge, -first, axis=0)
    points = np.concatenate([points, points[:1]])
    length = np.sqrt((edge**2).sum(axis=1))
    arc = np.concatenate([[0.0], np.cumsum(length)])
    ends = np.concatenate([[0.0], arc[corners[1:] - first], arc[-1:]])
    parts = np.ceil(np.diff(ends) / _LONGEST).astype(int)
    inner = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    low = np.repeat(ends[:-1], parts) + inner * np.repeat(np.diff(ends) / parts, parts)
    cuts = np.stack([low, np.append(low[1:], arc[-1])], axis=-1)
    tangent = edge / length[:, None]
    return points, arc, np.concatenate([tangent, tangent[-1:]]), cuts


def outlines(
    layers: Sequence[Layer],
    seen: Int32[np.ndarray, "side side 1"],
    hand: Hand,
    rng: np.random.Generator,
) -> pen.Strokes:
    """Draw the outlines of layers, but where a nearer one hides them.

    Args:
      layers: from far to near, at least two; the first one fills the frame and has no outline.
      seen: position of the layer seen at each pixel, whatever the size of the drawing will be.
      hand: how to draw.
      rng: draws the hand's irregularities.

    """
    curves = _curves(layers)
    cuts, layer = np.tile(curves.cuts, (hand.passes, 1)), np.tile(curves.layer, hand.passes)
    begin = cuts[:, 0] - rng.normal(*hand.overshoot, len(cuts))
    end = cuts[:, 1] + rng.normal(*hand.overshoot, len(cuts))
    counts = np.maximum(np.ceil((end - begin) / _STEP), 1.0).astype(int) + 1
    stroke = np.repeat(np.arange(len(cuts)), counts)
    step = np.arange(len(stroke)) - np.repeat(np.cumsum(counts) - counts, counts)
    share = step / (counts - 1)[stroke]
    place = begin[stroke] + share * (end - begin)[stroke]
    points, normal = _placed(curves, place, cuts[stroke])
    shift, pressure = _wobble(rng, hand, place, share, stroke, counts)
    shown = _shown(points, seen[..., 0], layer[stroke])
    joined = shown[1:] & shown[:-1] & (stroke[1:] == stroke[:-1])
    drawn = points + shift[:, None] * normal
    return pen.along(drawn, joined, hand.width * pressure, hand.ink * np.sqrt(pressure).clip(0, 1))


def _placed(curves: _Curves, place: np.ndarray, cuts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points and normals at places on the axis; beyond its ends a stroke goes straight on."""
    inside = np.clip(place, cuts[:, 0], cuts[:, 1] - 1e-9)
    vertex = np.searchsorted(curves.arc, inside, side="right") - 1
    tangent = curves.tangent[vertex]
    points = curves.points[vertex] + (place - curves.arc[vertex])[:, None] * tangent
    return points, tangent[:, ::-1] * [-1.0, 1.0]


def _wobble(
    rng: np.random.Generator,
    hand: Hand,
    place: np.ndarray,
    share: np.ndarray,
    stroke: np.ndarray,
    counts: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Displacement across the line, and pressure (1 on average, less at the ends of a stroke)."""
    count = len(counts)
    offset, slant = rng.normal(0.0, hand.drift, (2, count))
    phase = rng.uniform(0.0, 2.0 * np.pi, (3, count))
    slow, fast, press = rng.uniform([[2.5], [7.0], [1.5]], [[5.0], [12.0], [4.0]], (3, count))
    force = rng.normal(1.0, 0.1, count).clip(0.7, 1.3)

    def wave(frequency: np.ndarray, phase: np.ndarray) -> np.ndarray:
        return np.sin(2.0 * np.pi * frequency[stroke] * place + phase[stroke])

    shift = offset[stroke] + slant[stroke] * (share - 0.5)
    shift += hand.wobble * (0.8 * wave(slow, phase[0]) + 0.3 * wave(fast, phase[1]))
    ends = np.minimum(share, 1.0 - share) * (counts - 1)[stroke] * _STEP
    pressure = force[stroke] * (1.0 + 0.18 * wave(press, phase[2]))
    return shift, pressure * np.minimum(1.0, 0.6 + ends / 0.03)


def _shown(points: np.ndarray, seen: np.ndarray, layer: np.ndarray) -> np.ndarray:
    """Whether points lie in the frame and no nearer layer hides them."""
    column, row = np.floor(points.T * len(seen)).astype(np.intp)
    inside = (np.minimum(column, row) >= 0) & (np.maximum(column, row) < len(seen))
    shown = np.zeros(len(points), bool)
    shown[inside] = seen[row[inside], column[inside]] <= layer[inside]
    return shown
