"""Hatching: nearly straight, nearly parallel strokes over each region, the denser the darker."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int32, Shaped

from segsynth.data.worlds import pen

#: Unit length between two lines where hatching is densest, and between two points of a line.
_GAP, _STEP = 1.0 / 42.0, 1.0 / 128.0
#: Darkness at which the first and the last line of the main strokes and of those across appear.
_MAIN, _CROSS = (0.2, 0.85), (0.6, 1.1)
#: Width and darkness of the lines, and how much harder the pen presses on the dark of a pattern.
_WIDTH, _INK, _GRAIN = 0.8 / 128, 0.56, 3.0

#: Tones of a region on a square grid over the frame, in [0, 1]: 0 = white, 1 = black.
Tones = Float64[np.ndarray, "side side"]


def hatch(
    seen: Int32[np.ndarray, "fine fine"],
    tones: Sequence[tuple[Tones, Tones]],
    rng: np.random.Generator,
) -> pen.Strokes:
    """Hatch every region at a slant of its own.

    Args:
      seen: number of the region at each pixel.
      tones: of each region the smooth tone, which decides how dense lines are, and the tone with
        its pattern, which decides how hard the pen presses.
      rng: draws slants and the hand's irregularities.

    """
    strokes = []
    for region, tone in enumerate(tones):
        # A generator of its own: no region depends on how much of another one is seen.
        child = np.random.default_rng(int(rng.integers(2**32)))
        inside = seen == region
        if inside.any():
            slant = child.uniform(0.0, np.pi)
            across = slant + child.choice([-1.0, 1.0]) * child.uniform(0.9, 1.5)
            strokes.append(_family(inside, tone, slant, _MAIN, child))
            # Most regions are too light to be hatched across.
            if _darkest(inside, tone[0]) > _CROSS[0]:
                strokes.append(_family(inside, tone, across, _CROSS, child))
    return dataclasses.replace(pen.gather(strokes), fades=True)


def _darkest(inside: np.ndarray, smooth: Tones) -> float:
    """The darkest tone in a region, 0 where it is smaller than the grid of tones."""
    step = len(inside) // len(smooth)
    return float(smooth.max(where=inside[step // 2 :: step, step // 2 :: step], initial=0.0))


def _family(
    inside: np.ndarray,
    tone: tuple[Tones, Tones],
    angle: float,
    limits: tuple[float, float],
    rng: np.random.Generator,
) -> pen.Strokes:
    """Lines at one slant across a region, each drawn where it is dark enough for its rank."""
    (smooth, fine), (first, last) = tone, limits
    points, line, place = _lines(inside, angle, rng)
    count = int(line.max(initial=0)) + 1
    rank, phase = _ranks(count, rng)[line], rng.uniform(0.0, 2.0 * np.pi, count)[line]
    dark = _looked_up(smooth, points)
    down = dark > first + (last - first) * rank + 0.03 * np.sin(25.0 * place + phase)
    down &= ~_lifted(place, line, count, rng)
    follows = (np.diff(place) < 1.5 * _STEP) & (np.diff(line) == 0)
    force = rng.normal(1.0, 0.1, count)[line] + _GRAIN * (_looked_up(fine, points) - dark)
    # The ink of a line is width times darkness: the roots keep its mean whatever the pattern is.
    force = np.sqrt(force.clip(0.2, 1.8))
    return pen.along(points, down[1:] & down[:-1] & follows, _WIDTH * force, _INK * force)


def _lines(
    inside: np.ndarray, angle: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points in a region on slightly bent lines across it, their lines, and places along them."""
    middle, reach = _box(inside)
    place = np.arange(-reach, reach + _STEP, _STEP)
    count = int(np.ceil(2.0 * reach / _GAP)) + 1
    across = (np.arange(count) - (count - 1) / 2.0 + rng.normal(0.0, 0.15, count)) * _GAP
    tilt, bow = rng.normal(0.0, [[0.02], [0.04]], (2, count))[..., None]
    across = across[:, None] + tilt * place + bow * place**2
    x = middle[0] + np.cos(angle) * place - np.sin(angle) * across
    y = middle[1] + np.sin(angle) * place + np.cos(angle) * across
    framed = np.flatnonzero((np.minimum(x, y) >= 0.0) & (np.maximum(x, y) < 1.0))
    points = np.stack([x.ravel()[framed], y.ravel()[framed]], axis=-1)
    kept = _looked_up(inside, points)
    line, step = np.divmod(framed[kept], len(place))
    return points[kept], line, place[step]


def _box(inside: np.ndarray) -> tuple[np.ndarray, float]:
    """Middle of the box around a region, and half its diagonal."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    low = np.array([columns[0], rows[0]]) / len(inside)
    high = np.array([columns[-1] + 1, rows[-1] + 1]) / len(inside)
    return (low + high) / 2.0, float(np.linalg.norm(high - low)) / 2.0


def _ranks(count: int, rng: np.random.Generator) -> np.ndarray:
    """Rank of each line in 0..1, so that at any tone the lines drawn are evenly spaced."""
    order = (np.arange(count) + rng.integers(8)) % 8
    reversed_bits = np.array([0, 4, 2, 6, 1, 5, 3, 7])
    return (reversed_bits[order] + rng.uniform(0.0, 1.0, count)) / 8.0


def _lifted(
    place: np.ndarray, line: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Where the pen is off the paper between two strokes of a line."""
    length, start = rng.uniform([[0.2], [0.0]], [[0.5], [0.5]], (2, count))
    return (place + start[line]) % length[line] < 2.0 * _STEP


def _looked_up(
    grid: Shaped[np.ndarray, "side side"], points: Float64[np.ndarray, "points 2"]
) -> Shaped[np.ndarray, " points"]:
    """Values of a grid over the frame at points in it."""
    column, row = (points.T * len(grid)).astype(np.intp)
    return grid[row, column]
