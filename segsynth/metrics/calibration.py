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
from jaxtyping import Float, Integer

from segsynth.metrics.exact import ExactSum
from segsynth.types import Array

#: As in the paper.
BINS = 15


#: Confidence is counted in 2^-24, and in limbs of 8 bits, so that batches of 2^22 pixels fit.
_LIMBS, _BITS = 3, 8
_MOST = 2**22


@flax.struct.dataclass
class CalibrationError(clu.metrics.Metric):
    """The error over all pixels of a data set, 0..1; NaN of none.

    Of each bin: pixels, right ones, and the limbs of the sum of the confidence. Sums are exact.
    """

    counts: ExactSum

    @classmethod
    def of(
        cls,
        logits: Float[Array, "b h w c"],
        truth: Integer[Array, "b h w"],
        valid: Float[Array, " b"],
        bins: int = BINS,
    ) -> "CalibrationError":
        """Take the pixels of the pictures where ``valid`` is 1.

        Raises:
            ValueError: more than 2^22 pixels at once.

        """
        if truth.size > _MOST:
            raise ValueError(f"{truth.shape} are {truth.size} pixels; at most {_MOST} fit")
        share = jax.nn.softmax(logits.astype(jnp.float32)).max(-1)
        right = (logits.argmax(-1) == truth).astype(jnp.int32)
        # Bins are half open from below, as in the paper: (0, 1/15], ..., (14/15, 1].
        place = jnp.clip(jnp.ceil(share * bins).astype(jnp.int32) - 1, 0, bins - 1)
        counted = jnp.round(share * 2.0 ** (_LIMBS * _BITS)).astype(jnp.int32)
        # The last limb has a ninth bit, of certainty.
        limbs = [counted & 255, counted >> _BITS & 255, counted >> 2 * _BITS]
        rows = jnp.stack([jnp.ones_like(right), right, *limbs], axis=-1)
        rows = jnp.where(valid[:, None, None, None] > 0, rows, 0)
        sums = jnp.zeros((bins, rows.shape[-1]), jnp.int32).at[place].add(rows)
        return cls(counts=ExactSum.of(sums))

    def merge(self, other: "CalibrationError") -> "CalibrationError":
        """Add the counts."""
        return CalibrationError(counts=self.counts + other.counts)

    def compute(self) -> Any:
        """Return the error."""
        pixels, right, *limbs = jnp.moveaxis(self.counts.approximate(), -1, 0)
        confidence = sum(x * 2.0 ** (_BITS * (i - _LIMBS)) for i, x in enumerate(limbs))
        return jnp.abs(right - confidence).sum() / pixels.sum()
