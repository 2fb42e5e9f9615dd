"""Regions of pixels to polygons: outlines along the pixel edges, and fewer vertices for them."""

import numpy as np
from jaxtyping import Bool, Float64

#: Steps along pixel edges, clockwise with y down: right, down, left, up.
_STEPS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])


def trace(inside: Bool[np.ndarray, "height width"]) -> list[Float64[np.ndarray, "_ 2"]]:
    """Return the closed outlines of a region, the region on the right hand of every step.

    Vertices are pixel corners (x, y) at the turns; pixel (row, column) is the unit square at
    (column, row). Outer outlines run clockwise as seen with y down, holes the other way; pixels
    that touch in a corner only are apart.
    """
    start, direction = _edges(inside)
    if len(start) == 0:
        return []
    following = _following(start, direction, inside.shape[1] + 1)
    order, loops = _loops(following)
    points, turned = start[order], direction[order]
    outlines = []
    for first, last in loops:
        turn = turned[first:last] != np.roll(turned[first:last], 1)
        outlines.append(points[first:last][turn].astype(float))
    return outlines


def _edges(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start corner and direction of every pixel edge between inside and outside."""
    padded = np.pad(inside, 1)
    core = padded[1:-1, 1:-1]
    beyond = (padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2])
    corner = ((0, 0), (1, 0), (1, 1), (0, 1))
    starts, directions = [], []
    for k in range(4):
        rows, columns = np.nonzero(core & ~beyond[k])
        starts.append(np.stack([columns, rows], -1) + corner[k])
        directions.append(np.full(len(rows), k))
    return np.concatenate(starts), np.concatenate(directions)


def _following(start: np.ndarray, direction: np.ndarray, stride: int) -> np.ndarray:
    """The edge that goes on from the end of each edge: a right turn if there is one."""
    leaving = np.full(((start[:, 1].max() + 1) * stride, 4), -1)
    leaving[start[:, 1] * stride + start[:, 0], direction] = np.arange(len(start))
    end = start + _STEPS[direction]
    choices = leaving[end[:, 1] * stride + end[:, 0]]
    each = np.arange(len(start))
    following = choices[each, (direction + 1) % 4]
    for turn in (0, 3):
        following = np.where(following < 0, choices[each, (direction + turn) % 4], following)
    return following


def _loops(following: np.ndarray) -> tuple[list[int], list[tuple[int, int]]]:
    """Edges in the order of the walk, and where each loop starts and ends in it."""
    after, seen = following.tolist(), [False] * len(following)
    order: list[int] = []
    loops = []
    for edge in range(len(after)):
        first = len(order)
        while not seen[edge]:
            seen[edge] = True
            order.append(edge)
            edge = after[edge]
        if len(order) > first:
            loops.append((first, len(order)))
    return order, loops


def simplify(
    outline: Float64[np.ndarray, "vertices 2"], tolerance: float
) -> Float64[np.ndarray, "_ 2"]:
    """Return the fewest-first vertices of a closed polygon within ``tolerance`` of all of them.

    Douglas and Peucker 1973, from the vertex 0 and the one farthest from it. The result has at
    least two vertices; with two, the polygon has no inside.
    """
    count = len(outline)
    closed = np.concatenate([outline, outline[:1]])
    far = int(((outline - outline[0]) ** 2).sum(axis=1).argmax())
    kept = np.zeros(count + 1, bool)
    kept[[0, far, count]] = True
    spans = [(0, far), (far, count)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        distance = _distances(closed[first + 1 : last], closed[first], closed[last])
        worst = int(distance.argmax())
        if distance[worst] > tolerance:
            middle = first + 1 + worst
            kept[middle] = True
            spans += [(first, middle), (middle, last)]
    return outline[kept[:count]]


def _distances(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Distances from a segment."""
    along = end - start
    share = np.clip((points - start) @ along / max(along @ along, 1e-12), 0.0, 1.0)
    return np.sqrt(((start + share[:, None] * along - points) ** 2).sum(axis=1))
