"""A learned perceptual distance of pairs of pictures, as a mean over the data set.

With LPIPS v0.1 on AlexNet (Zhang et al., arXiv 1801.03924) this is LPIPS; the distances come from
`segsynth.pretrained.lpips`. The sum is exact, so no order and no split changes a digit.
"""

from typing import Any

import clu.metrics
import flax.struct
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int32

from segsynth.errors import UserError
from segsynth.metrics.exact import ExactSum
from segsynth.metrics.examples import Examples
from segsynth.metrics.names import Network, collected, figure_of
from segsynth.types import Array

#: Distances are rounded to multiples of 2^-20, below the rounding of the networks behind them.
_STEP = 2.0**-20
#: Distances are below this; rarely above 1.
LARGEST_DISTANCE = 16.0
#: So many of the largest add up below 2^31 steps.
_LARGEST_BATCH = 127


@flax.struct.dataclass
class PerceptualDistance(clu.metrics.Metric):
    """Mean distance over the pairs of a data set.

    ``sums`` are the distances, in steps of 2^-20, and how many; ``broken`` counts those that are no
    number, below 0 or not below 16.
    """

    sums: ExactSum
    broken: Int32[Array, ""]

    @classmethod
    def of(
        cls, distances: Float[Array, " b"], valid: Float[Array, " b"] | Bool[Array, " b"]
    ) -> "PerceptualDistance":
        """Take the pairs where ``valid`` is 1; the others may hold anything, NaN included."""
        counted = valid > 0
        usable = (distances >= 0) & (distances < LARGEST_DISTANCE)  # False for NaN
        steps = jnp.round(jnp.where(counted & usable, distances, 0.0).astype(jnp.float32) / _STEP)
        both = jnp.stack([steps.astype(jnp.int32), counted.astype(jnp.int32)])
        sums = ExactSum.zeros((2,))
        for start in range(0, len(steps), _LARGEST_BATCH):
            sums += ExactSum.of(both[:, start : start + _LARGEST_BATCH].sum(axis=1))
        return cls(sums, (counted & ~usable).sum(dtype=jnp.int32))

    def merge(self, other: "PerceptualDistance") -> "PerceptualDistance":
        """Add the sums."""
        return PerceptualDistance(self.sums + other.sums, self.broken + other.broken)

    def compute(self) -> Any:
        """Return the mean in float64, on the host; NaN of no pairs.

        Raises:
            UserError: distances that are none.

        """
        if broken := int(self.broken):
            raise UserError(
                f"{broken} perceptual distances are no number in [0, {LARGEST_DISTANCE:.0f}); "
                "check the pictures and the weights of the network"
            )
        total, count = self.sums.exact()
        return np.float64(total * _STEP / count if count else np.nan)


def perceptual_scores(
    published: str,
    network: Network,
    distances: Float[Array, " b"],
    valid: Float[Array, " b"] | Bool[Array, " b"],
) -> dict[str, clu.metrics.Metric]:
    """Return the mean and the number of pairs, to put into a collection.

    They are called ``published``, "lpips" with its network in the name unless that is AlexNet, and
    ``<published>/n`` if ``network``, whose distances these are, earns it
    (`segsynth.metrics.names.figure_name`).

    Raises:
        UserError: ``published`` is another metric's name.

    """
    name = figure_of("perceptual", published, network)
    metric = PerceptualDistance.of(distances, valid)
    return collected({name: metric, f"{name}/n": Examples.of(valid)})
