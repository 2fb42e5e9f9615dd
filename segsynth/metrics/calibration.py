"""Whether a network is right as often as it says.

The expected calibration error of Guo et al. 2017, "On calibration of modern neural networks",
equation 3: predictions are put into bins by their confidence, the probability of the most probable
class; the error is the mean over the bins, weighted by their sizes, of the distance between the
share of right predictions and the mean confidence.
"""

from typing import Any

import clu.metrics
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Float, Int32, Integer

from segsynth.types import Array

#: As in the paper.
BINS = 15


@flax.struct.dataclass
class CalibrationError(clu.metrics.Metric):
    """The error over all pixels of a data set, 0..1; NaN of none.

    Of each bin: pixels, right ones, and the sum of the confidence. A batch is counted in whole
    numbers; sums over batches are float32, which loses a relative 2^-24 with each.
    """

    pixels: Float[Array, " bins"]
    right: Float[Array, " bins"]
    confidence: Float[Array, " bins"]

    @classmethod
    def of(
        cls,
        logits: Float[Array, "b h w c"],
        truth: Integer[Array, "b h w"],
        valid: Float[Array, " b"],
        bins: int = BINS,
    ) -> "CalibrationError":
        """Take the pixels of the pictures where ``valid`` is 1."""
        share = jax.nn.softmax(logits.astype(jnp.float32)).max(-1)
        right = logits.argmax(-1) == truth
        # Bins are half open from below, as in the paper: (0, 1/15], ..., (14/15, 1].
        place = jnp.clip(jnp.ceil(share * bins).astype(jnp.int32) - 1, 0, bins - 1)
        judged = jnp.broadcast_to(valid[:, None, None] > 0, place.shape)

        def totals(x: Array) -> Float[Array, " bins"]:
            # Row by row first: a float32 that grows by ones stands still at 2^24.
            rows = jax.vmap(jax.vmap(_summed, (0, 0, None)), (0, 0, None))
            return rows(place, jnp.where(judged, x, 0.0), bins).sum((0, 1))

        return cls(
            pixels=totals(jnp.ones_like(share)), right=totals(right), confidence=totals(share)
        )

    def merge(self, other: "CalibrationError") -> "CalibrationError":
        """Add the sums."""
        return jax.tree.map(jnp.add, self, other)

    def compute(self) -> Any:
        """Return the error."""
        return jnp.abs(self.right - self.confidence).sum() / self.pixels.sum()


def _summed(
    place: Int32[Array, " n"], values: Float[Array, " n"], bins: int
) -> Float[Array, " bins"]:
    return jnp.zeros(bins).at[place].add(values)
