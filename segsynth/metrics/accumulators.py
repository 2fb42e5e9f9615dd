"""Mergeable sums behind most metrics: a mean over examples, and a ratio of two totals."""

from collections.abc import Mapping
from typing import Any

import clu.metrics
import flax.struct
import jax.numpy as jnp
from jaxtyping import Bool, Float

from segsynth.types import Array


@flax.struct.dataclass
class MeanOverExamples(clu.metrics.Metric):
    """Mean of one number per example; NaN when no example counted."""

    total: Float[Array, ""]
    count: Float[Array, ""]

    @classmethod
    def empty(cls) -> "MeanOverExamples":
        """Return the neutral element of ``merge``."""
        return cls(total=jnp.zeros(()), count=jnp.zeros(()))

    @classmethod
    def of(
        cls, values: Float[Array, " b"], counts: Float[Array, " b"] | Bool[Array, " b"]
    ) -> "MeanOverExamples":
        """Take the examples where ``counts`` is 1; the others may hold anything, NaN included."""
        counted = counts.astype(jnp.float32)
        return cls(total=jnp.where(counted > 0, values, 0.0).sum(), count=counted.sum())

    def merge(self, other: "MeanOverExamples") -> "MeanOverExamples":
        """Add both sums."""
        return type(self)(total=self.total + other.total, count=self.count + other.count)

    def compute(self) -> Any:
        """Return total / count."""
        return jnp.where(self.count > 0, self.total / jnp.maximum(self.count, 1e-9), jnp.nan)


def finite_means(
    values: Mapping[str, Float[Array, " b"]], valid: Float[Array, " b"]
) -> dict[str, clu.metrics.Metric]:
    """Return the mean of each over the examples with ``valid`` = 1 that have a number."""
    return {
        name: MeanOverExamples.of(value, (valid > 0) & jnp.isfinite(value))
        for name, value in values.items()
    }


@flax.struct.dataclass
class RatioOfTotals(clu.metrics.Metric):
    """Sum of one quantity over the data set divided by the sum of another; NaN when the latter is
    0.
    """

    numerator: Float[Array, ""]
    denominator: Float[Array, ""]

    @classmethod
    def empty(cls) -> "RatioOfTotals":
        """Return the neutral element of ``merge``."""
        return cls(numerator=jnp.zeros(()), denominator=jnp.zeros(()))

    @classmethod
    def of(
        cls,
        numerator: Float[Array, " b"],
        denominator: Float[Array, " b"],
        counts: Float[Array, " b"],
    ) -> "RatioOfTotals":
        """Take the examples where ``counts`` is 1."""
        return cls(
            numerator=jnp.where(counts > 0, numerator, 0.0).sum(),
            denominator=jnp.where(counts > 0, denominator, 0.0).sum(),
        )

    def merge(self, other: "RatioOfTotals") -> "RatioOfTotals":
        """Add both sums."""
        return type(self)(
            numerator=self.numerator + other.numerator,
            denominator=self.denominator + other.denominator,
        )

    def compute(self) -> Any:
        """Return numerator / denominator."""
        return jnp.where(
            self.denominator > 0, self.numerator / jnp.maximum(self.denominator, 1e-9), jnp.nan
        )
