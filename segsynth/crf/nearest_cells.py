"""How far each pixel is from the nearest labelled pixel of each class, in position and colour.

Pixels whose position and colour are alike are merged into cells first: a k-d tree then holds tens
of thousands of points instead of millions, and is asked once a cell.
"""

import math

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

#: Side of a cell in units of the distance: 0.02 of the image's width and 5 levels by default.
CELL = 0.2
#: Pairs of pixels compared at a time by `blockwise`.
_PAIRS = 2**24
_LARGEST = 2**62


def nearest_by_cells(
    queries: Float[np.ndarray, "m d"],
    points: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    classes: int,
    cell: float = CELL,
) -> Float[np.ndarray, "m {classes}"]:
    """Distance from each query to about the nearest point of each class.

    The cell of the query picks, for each class, the cell whose mean is nearest to its own mean; the
    distance is from the query itself to that mean. Merging changes distances by a fraction of
    ``cell``.

    Args:
      queries: positions and colours in units of the distance.
      points: of labelled pixels, likewise.
      labels: class of each point, each of 0 .. classes - 1 at least once.
      classes: how many there are.
      cell: side of a cell; the time falls about as its square.

    """
    means, mine = merge(queries, cell)
    out = np.empty((len(queries), classes), np.float32)
    for number in range(classes):
        targets, _ = merge(points[labels == number], cell)
        _, found = KDTree(targets).query(means)
        # One array at a time: five of them side by side do not fit a cache.
        square = sum(
            (queries[:, j] - targets[found, j][mine]) ** 2 for j in range(queries.shape[1])
        )
        out[:, number] = np.sqrt(square)
    return out


def merge(
    points: Float[np.ndarray, "n d"], cell: float
) -> tuple[Float[np.ndarray, "m d"], Int[np.ndarray, " n"]]:
    """Means of the points of each cell of a regular grid, and the number of each point's cell."""
    codes, size = np.zeros(len(points), np.int64), 1
    for column in points.T:
        steps = np.floor(column.astype(np.float64) / cell).astype(np.int64)
        steps -= steps.min()
        more = int(steps.max()) + 1
        if size * more >= _LARGEST:
            codes = np.unique(codes, return_inverse=True)[1]
            size = int(codes.max()) + 1
        codes, size = codes * more + steps, size * more
    _, mine, count = np.unique(codes, return_inverse=True, return_counts=True)
    sums = [np.bincount(mine, column, minlength=len(count)) for column in points.T]
    return (np.stack(sums, axis=1) / count[:, None]).astype(np.float32), mine


def nearest_exact(
    queries: Float[np.ndarray, "m d"],
    points: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    classes: int,
) -> Float[np.ndarray, "m {classes}"]:
    """`nearest_by_cells` by comparing every query with every point: m n distances."""
    return blockwise(queries, points, labels, classes, lambda distance: distance.min(axis=1))


def blockwise(queries, points, labels, classes, reduce) -> np.ndarray:
    """``reduce`` of the distances [block, n_c] from queries to the points of each class."""
    out = np.empty((len(queries), classes), np.float64)
    for number in range(classes):
        targets = points[labels == number]
        block = max(1, _PAIRS // len(targets))
        for i in range(math.ceil(len(queries) / block)):
            rows = slice(i * block, (i + 1) * block)
            out[rows, number] = reduce(cdist(queries[rows], targets))
    return out
