"""Kernel distance between the features of two sets of pictures.

After Bińkowski et al., arXiv 1801.01401: the unbiased estimate of the squared maximum mean
discrepancy under the kernel ``(x.y / d + 1)^3``. Unlike a Fréchet distance its mean does not depend
on the number of examples. With the 2048 features of the Inception network of 2015-12-05 this is
KID.
"""

from typing import Any

import clu.metrics
import flax.struct
import numpy as np
from jaxtyping import Float

from segsynth.errors import UserError
from segsynth.metrics.examples import FeatureTables, sorted_rows
from segsynth.metrics.names import Network, collected, figure_of
from segsynth.metrics.segmentation import Entry
from segsynth.types import Array

#: As in section 4 of the paper and in the programs that followed it.
SUBSETS, SUBSET_SIZE = 100, 1000

_DEGREE = 3


def kernel_distance(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]) -> float:
    """Return the unbiased squared MMD of two samples (the paper's eq. 4); it may be negative.

    Raises:
        UserError: a sample of fewer than two.

    """
    if min(len(x), len(y)) < 2:
        raise UserError(
            f"samples of {len(x)} and {len(y)} examples; a kernel distance needs 2 each"
        )
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return float(_within(x) + _within(y) - 2 * _kernel(x, y).mean())


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** _DEGREE


def _within(x: np.ndarray) -> float:
    """Mean of the kernel over pairs of different examples."""
    kernel = _kernel(x, x)
    return (kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1))


def subset_distances(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    subsets: int = SUBSETS,
    size: int = SUBSET_SIZE,
    seed: int = 0,
) -> Float[np.ndarray, " subsets"]:
    """Return `kernel_distance` of subsets drawn without replacement.

    With no more than ``size`` examples in one of the sets, that many are drawn of each; if that is
    all of both, there is one subset.
    """
    size = min(size, len(x), len(y))
    if size == len(x) == len(y):
        return np.array([kernel_distance(x, y)])
    rng = np.random.default_rng(seed)
    draws = [_draw(rng, len(x), len(y), size) for _ in range(subsets)]
    return np.array([kernel_distance(x[i], y[j]) for i, j in draws])


def _draw(rng: np.random.Generator, n: int, m: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.choice(n, size, replace=False), rng.choice(m, size, replace=False)


@flax.struct.dataclass
class KernelDistance(FeatureTables):
    """Kernel distance of two sets of features, over the data set.

    ``compute`` gives ``mean`` and ``std`` over the subsets (0 for one), in float64, on the host.
    """

    subsets: int = flax.struct.field(pytree_node=False, default=SUBSETS)
    size: int = flax.struct.field(pytree_node=False, default=SUBSET_SIZE)
    seed: int = flax.struct.field(pytree_node=False, default=0)

    def compute(self) -> dict[str, Any]:
        """Return ``mean`` and ``std``.

        Raises:
            UserError: fewer than two examples, or more than there is room for.

        """
        sets = [sorted_rows(rows.exact())[0] for rows in (self.real, self.fake)]
        found = subset_distances(*sets, self.subsets, self.size, self.seed)
        return {"mean": found.mean(), "std": found.std()}


def kernel_scores(
    published: str,
    network: Network,
    real: Float[Array, "b d"],
    fake: Float[Array, "b d"],
    valid: Float[Array, " b"],
    capacity: int,
    size: int = SUBSET_SIZE,
) -> dict[str, clu.metrics.Metric]:
    """Return the mean and the deviation over subsets, to put into a collection.

    They are called ``published``, "kid", and ``kid/std`` if ``network``, whose features these are,
    earns it (`segsynth.metrics.names.figure_name`). Each keeps its own table of features and
    computes all. Subsets hold ``size`` examples; the deviation is 0 where that is all of them.

    Raises:
        UserError: ``published`` is another metric's name.

    """
    name = figure_of("kernel", published, network)
    metric = KernelDistance.of(real, fake, valid, capacity).replace(size=size)
    return collected({name: Entry(metric, "mean"), f"{name}/std": Entry(metric, "std")})
