"""Fréchet distance between the features of two sets of pictures (Heusel et al., arXiv 1706.08500).

With the 2048 features of the Inception network of 2015-12-05 this is FID; with another network it
is another number and has another name. It falls with the number of examples, so n stands beside it.
"""

from typing import Any

import clu.metrics
import flax.struct
import numpy as np
from jaxtyping import Bool, Float

from segsynth.errors import UserError
from segsynth.metrics.examples import Examples
from segsynth.metrics.moments import FeatureMoments
from segsynth.metrics.names import Network, collected, figure_of
from segsynth.types import Array


def frechet_distance(
    mean1: Float[np.ndarray, " d"],
    covariance1: Float[np.ndarray, "d d"],
    mean2: Float[np.ndarray, " d"],
    covariance2: Float[np.ndarray, "d d"],
) -> float:
    """Return ``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))``, float64.

    The trace of the root is the sum of the singular values of ``R1^T R2`` with ``C = R R^T``, which
    is real and finite for any covariances. The root of the product itself, which most programs
    take, is neither where a covariance is singular, that is with fewer examples than features; they
    then add 1e-6 to the diagonals, which this form does not need. At least 0.

    Raises:
        UserError: a mean or a covariance with an entry that is no number.

    """
    inputs = (mean1, covariance1, mean2, covariance2)
    mean1, covariance1, mean2, covariance2 = (np.asarray(x, np.float64) for x in inputs)
    if not all(np.isfinite(x).all() for x in (mean1, covariance1, mean2, covariance2)):
        raise UserError("a mean or a covariance is not finite; check the features behind it")
    overlap = np.linalg.svd(_root(covariance1).T @ _root(covariance2), compute_uv=False).sum()
    apart = ((mean1 - mean2) ** 2).sum()
    return float(max(apart + np.trace(covariance1) + np.trace(covariance2) - 2 * overlap, 0.0))


def _root(covariance: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """Return R with ``R R^T`` = covariance; eigenvalues within rounding of 0 count as 0."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    rounding = len(values) * np.finfo(np.float64).eps * np.abs(values).max()
    return vectors * np.sqrt(np.where(values > rounding, values, 0.0))


def mean_and_covariance(
    moments: FeatureMoments, ddof: int = 1
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "d d"]]:
    """Return both in float64; the covariance is divided by ``n - ddof``.

    Raises:
        UserError: fewer than two examples.

    """
    count, mean, products = moments.exact()
    if count < 2:
        raise UserError(f"a covariance of {count} example; take 2 at least, thousands for a figure")
    return mean, (products - np.outer(mean, mean)) * (count / (count - ddof))


@flax.struct.dataclass
class FrechetDistance(clu.metrics.Metric):
    """Fréchet distance of two sets of features, over the data set.

    ``ddof`` is 1 as in pytorch-fid and torchmetrics; the programs of StyleGAN and MAT divide
    covariances by n, which is 0.
    """

    real: FeatureMoments
    fake: FeatureMoments
    ddof: int = flax.struct.field(pytree_node=False, default=1)

    @classmethod
    def of(
        cls,
        real: Float[Array, "b d"],
        fake: Float[Array, "b d"],
        valid: Float[Array, " b"] | Bool[Array, " b"],
        ddof: int = 1,
    ) -> "FrechetDistance":
        """Take the features of as many real as made pictures, of the rows where ``valid`` is 1."""
        both = FeatureMoments.of(real, valid), FeatureMoments.of(fake, valid)
        return cls(*both, ddof=ddof)

    def merge(self, other: "FrechetDistance") -> "FrechetDistance":
        """Add the sums."""
        return self.replace(real=self.real + other.real, fake=self.fake + other.fake)

    def compute(self) -> Any:
        """Return the distance, computed on the host.

        Raises:
            UserError: fewer than two examples, or features that are no numbers.

        """
        real, fake = (mean_and_covariance(x, self.ddof) for x in (self.real, self.fake))
        return np.float64(frechet_distance(*real, *fake))


def frechet_scores(
    published: str,
    network: Network,
    real: Float[Array, "b d"],
    fake: Float[Array, "b d"],
    valid: Float[Array, " b"],
) -> dict[str, clu.metrics.Metric]:
    """Return the distance and the number of examples, to put into a collection.

    They are called ``published``, "fid", and ``fid/n`` if ``network``, whose features these are,
    earns it (`segsynth.metrics.names.figure_name`).

    Raises:
        UserError: ``published`` is another metric's name.

    """
    name = figure_of("frechet", published, network)
    metric = FrechetDistance.of(real, fake, valid)
    return collected({name: metric, f"{name}/n": Examples.of(valid)})
