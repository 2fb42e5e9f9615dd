"""Whether a photograph is recognised in what was made of it, by features that compare both."""

import clu.metrics
import flax.struct
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from segsynth.errors import UserError
from segsynth.metrics.accumulators import MeanOverExamples
from segsynth.metrics.examples import FeatureTables
from segsynth.metrics.names import Network, collected, figure_of
from segsynth.types import Array


def retrieval(photos: Float[np.ndarray, "n d"], made: Float[np.ndarray, "n d"]) -> float:
    """Return the share of photographs whose own picture has a larger cosine than that of any other
    photograph (R@1).

    Row i of both belongs together. Where two are alike neither is found.

    Raises:
        UserError: fewer than two pairs.

    """
    if len(photos) < 2:
        raise UserError(f"{len(photos)} pair(s); to find one among others takes 2 or more")
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (photos, made)]
    cosines = unit[0].astype(np.float64) @ unit[1].T.astype(np.float64)
    own = np.diagonal(cosines).copy()
    np.fill_diagonal(cosines, -np.inf)
    # Equal pictures differ by rounding errors of their features.
    found = own > cosines.max(axis=1) + 1e-6
    return float(found.mean())


def cosines(photos: Float[Array, "b d"], made: Float[Array, "b d"]) -> Float[Array, " b"]:
    """Return the cosine of each photograph's features and its picture's."""
    unit = [x / jnp.linalg.norm(x, axis=1, keepdims=True) for x in (photos, made)]
    return (unit[0] * unit[1]).sum(axis=1)


@flax.struct.dataclass
class Retrieval(FeatureTables):
    """`retrieval` over the data set, on the host: ``real`` are features of photographs."""

    def compute(self) -> float:
        """Return R@1.

        Raises:
            UserError: fewer than two examples, or more than there is room for.

        """
        return retrieval(self.real.exact(), self.fake.exact())


def retrieval_scores(
    network: Network,
    photos: Float[Array, "b d"],
    made: Float[Array, "b d"],
    valid: Float[Array, " b"],
    capacity: int,
) -> dict[str, clu.metrics.Metric]:
    """Return the mean cosine of pairs, and R@1, to put into a collection; they are called
    ``clip_cosine`` and ``clip_retrieval`` if ``network``, whose features these are, earns it.
    """
    cosine = MeanOverExamples.of(cosines(photos, made), valid)
    recall = Retrieval.of(photos, made, valid, capacity)
    names = {("photo_cosine", "clip_cosine"): cosine, ("retrieval", "clip_retrieval"): recall}
    return collected({figure_of(*name, network): metric for name, metric in names.items()})
