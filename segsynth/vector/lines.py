"""Lines as a pen draws them: paths of a centreline that go straight on through crossings are one.

So a line that ticks cross is as long as it looks, and what is short can be told from what is short
between two crossings.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from segsynth.vector.skeleton import Path

#: A line goes on where it turns by less than this, seen over so many px from the crossing.
_TURN, _SIGHT = math.radians(60), 6
#: One end of a path: its number, and whether it is the last pixel.
End = tuple[int, bool]


def long_or_held(
    paths: Sequence[Path],
    lengths: Float[np.ndarray, " n"],
    widths: Float[np.ndarray, " n"],
    shortest: float,
) -> list[bool]:
    """Return which paths stay when lines shorter than ``shortest`` that end freely are left out.

    An end is free that touches nothing which stays. Dots, whose length is 0, are left out, too.

    Args:
        paths: of `segsynth.vector.skeleton.paths`.
        lengths: of each, px.
        widths: of the drawn lines, px; crossings that lie no farther apart are one.
        shortest: px.

    """
    crossings = _crossings(paths, lengths, widths)
    ends = [(i, last) for i, path in enumerate(paths) for last in (False, True)]
    at = {end: crossings[_pixel(paths, end)] for end in ends}
    links = {i for i in range(len(paths)) if len(paths[i]) > 1 and _is_link(i, at, paths)}
    lines = _lines(paths, at, links)
    stay = set(lines)
    while True:
        arms = Counter(at[i, last] for line in stay for i in line for last in (False, True))
        gone = {
            line
            for line in stay
            if sum(lengths[i] for i in line) < shortest and _is_loose(line, paths, at, arms)
        }
        if not gone:
            break
        stay -= gone
    kept = {i for line in stay for i in line}
    return [i in kept or (i in links and arms[at[i, False]] > 0) for i in range(len(paths))]


def _pixel(paths: Sequence[Path], end: End) -> tuple[int, int]:
    y, x = paths[end[0]][-1 if end[1] else 0].tolist()
    return y, x


def _is_loose(line: tuple[int, ...], paths: Sequence[Path], at: dict, arms: Counter) -> bool:
    """Whether a line is a dot or has an end that touches nothing else."""
    if len(paths[line[0]]) == 1:
        return True
    return any(arms[at[i, last]] == 1 for i in line for last in (False, True))


def _crossings(
    paths: Sequence[Path], lengths: np.ndarray, widths: np.ndarray
) -> dict[tuple[int, int], tuple[int, int]]:
    """Return for each end's pixel the pixel that stands for its crossing.

    Thinned lines cross in two places with a short link between, which are one.
    """
    every = [_pixel(paths, (i, last)) for i in range(len(paths)) for last in (False, True)]
    degree, parent = Counter(every), {pixel: pixel for pixel in every}

    def root(pixel: tuple[int, int]) -> tuple[int, int]:
        while parent[pixel] != pixel:
            pixel = parent[pixel]
        return pixel

    for i, (length, width) in enumerate(zip(lengths, widths, strict=True)):
        first, last = (_pixel(paths, (i, end)) for end in (False, True))
        if length <= width + 1 and min(degree[first], degree[last]) > 2 and first != last:
            parent[root(first)] = root(last)
    return {pixel: root(pixel) for pixel in every}


def _is_link(i: int, at: dict, paths: Sequence[Path]) -> bool:
    """Whether a path lies within one crossing; a loop, which is longer, does not."""
    apart = _pixel(paths, (i, False)) != _pixel(paths, (i, True))
    return apart and at[i, False] == at[i, True]


def _lines(paths: Sequence[Path], at: dict, links: set[int]) -> list[tuple[int, ...]]:
    """Return the paths of each line; links belong to none."""
    meeting: dict[tuple[int, int], list[End]] = {}
    for end, place in at.items():
        if end[0] not in links:
            meeting.setdefault(place, []).append(end)
    line = {i: [i] for i in range(len(paths)) if i not in links}
    for ends in meeting.values():
        for (a, _), (b, _) in _straight(paths, ends):
            if line[a] is not line[b]:
                line[a].extend(line[b])
                for i in line[b]:
                    line[i] = line[a]
    return list({id(found): tuple(found) for found in line.values()}.values())


def _straight(paths: Sequence[Path], ends: Sequence[End]) -> Iterator[tuple[End, End]]:
    """Yield pairs of ends that go on in each other, the straightest first."""
    away = {end: _direction(paths, end) for end in ends}
    pairs = [(float(away[a] @ away[b]), a, b) for a, b in itertools.combinations(ends, 2)]
    free = set(ends)
    for turn, a, b in sorted(pairs, key=lambda pair: pair[0]):
        if turn < -math.cos(_TURN) and {a, b} <= free:
            free -= {a, b}
            yield a, b


def _direction(paths: Sequence[Path], end: End) -> Float[np.ndarray, " 2"]:
    """Return the direction in which a path leaves an end, of length 1."""
    path = paths[end[0]][:: -1 if end[1] else 1]
    step = (path[min(_SIGHT, len(path) - 1)] - path[0]).astype(np.float64)
    return step / max(float(np.hypot(*step)), 1e-9)
