"""The pixels of a centreline as paths: a walk from each end or crossing to the next one."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Int

Pixel = tuple[int, int]
Path = Int[np.ndarray, "_ 2"]

_STRAIGHT = ((0, 1), (1, 0), (0, -1), (-1, 0))
_DIAGONAL = ((1, 1), (1, -1), (-1, -1), (-1, 1))


def paths(skeleton: Bool[np.ndarray, "h w"]) -> list[Path]:
    """Return the paths of a skeleton one pixel wide, as (row, column) of their pixels in order.

    A path runs between ends and crossings without another one between; a closed one begins and
    ends at the same pixel, and a pixel by itself is a path of one. Each link of neighbouring
    pixels lies on one path.
    """
    graph = _graph(skeleton)
    nodes = [pixel for pixel, near in graph.items() if len(near) != 2]
    walked: set[frozenset[Pixel]] = set()
    found = [[pixel] for pixel in nodes if not graph[pixel]]
    for start in (*nodes, *graph):  # then what is left: loops without a crossing
        for step in graph[start]:
            if frozenset((start, step)) not in walked:
                found.append(list(_walk(graph, start, step, walked)))
    return [np.array(path) for path in found]


def _graph(skeleton: np.ndarray) -> dict[Pixel, list[Pixel]]:
    """Return the neighbours of each pixel.

    Diagonal ones count only where no straight step leads there: else a corner were a crossing.
    """
    ink = set(zip(*(axis.tolist() for axis in np.nonzero(skeleton)), strict=True))
    return {(y, x): list(_neighbours(y, x, ink)) for y, x in sorted(ink)}


def _neighbours(y: int, x: int, ink: set[Pixel]) -> Iterator[Pixel]:
    for dy, dx in _STRAIGHT:
        if (y + dy, x + dx) in ink:
            yield y + dy, x + dx
    for dy, dx in _DIAGONAL:
        if (y + dy, x + dx) in ink and not {(y + dy, x), (y, x + dx)} & ink:
            yield y + dy, x + dx


def _walk(
    graph: dict[Pixel, list[Pixel]], start: Pixel, step: Pixel, walked: set[frozenset[Pixel]]
) -> Iterator[Pixel]:
    """Yield pixels from ``start`` over ``step`` to the next end or crossing, or to ``start``."""
    yield start
    before, here = start, step
    while True:
        walked.add(frozenset((before, here)))
        yield here
        if here == start or len(graph[here]) != 2:
            return
        onward = [pixel for pixel in graph[here] if pixel != before]
        before, here = here, onward[0]
