"""How often an edit reaches its target, as a classifier sees it: overall, and in both directions.

The classifier must not be one that the editor was trained against.
"""

from typing import Any

import clu.metrics
import flax.struct
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from segsynth.metrics.exact import ExactSum
from segsynth.types import Array

RESAMPLES = 10_000
#: Percentiles between which 95 % of the resamples lie.
_PERCENTILES = (2.5, 97.5)


@flax.struct.dataclass
class EditingAccuracy(clu.metrics.Metric):
    """Share of edited examples whose classifier decision (logit > 0) equals the target.

    ``compute`` gives, in [0, 1] and NaN of nothing, ``accuracy``; ``to_on`` and ``to_off``, the
    same over the examples with target 1 and 0; ``balanced``, the mean of these two; ``low`` and
    ``high``, the 95 % bootstrap interval of ``accuracy``; and ``n``, ``n_on``, ``n_off``.
    """

    counts: ExactSum
    seed: int = flax.struct.field(pytree_node=False, default=0)

    @classmethod
    def of(
        cls,
        logits: Float[Array, " b"],
        target: Float[Array, " b"] | Int[Array, " b"] | Bool[Array, " b"],
        valid: Float[Array, " b"] | Bool[Array, " b"],
        seed: int = 0,
    ) -> "EditingAccuracy":
        """Take the edited examples where ``valid`` is 1; a logit that is no number is no success.

        Args:
            logits: of the attribute, as the classifier sees the edited picture.
            target: what it was edited to, 1 or 0.
            valid: whether an example counts.
            seed: of the bootstrap.

        """
        on = target > 0
        reached = jnp.where(on, logits > 0, logits <= 0)
        missed_on, on_reached = _count(on & ~reached, valid), _count(on & reached, valid)
        missed_off, off_reached = _count(~on & ~reached, valid), _count(~on & reached, valid)
        cells = jnp.stack([missed_off, off_reached, missed_on, on_reached])
        return cls(counts=ExactSum.of(cells.reshape(2, 2)), seed=seed)

    def merge(self, other: "EditingAccuracy") -> "EditingAccuracy":
        """Add the counts."""
        return self.replace(counts=self.counts + other.counts)

    def compute(self) -> dict[str, Any]:
        """Return the shares, computed on the host."""
        cells = self.counts.exact()
        n_off, n_on = cells.sum(axis=1)
        resampled = resampled_counts(cells, RESAMPLES, self.seed)
        low, high = _interval(accuracy(resampled))
        to_off, to_on = _shares(cells)
        return {
            "accuracy": accuracy(cells),
            "to_on": to_on,
            "to_off": to_off,
            "balanced": balanced_accuracy(cells),
            "low": low,
            "high": high,
            "n": n_off + n_on,
            "n_on": n_on,
            "n_off": n_off,
        }


def _count(chosen: Bool[Array, " b"], valid: Array) -> Int[Array, ""]:
    return (chosen & (valid > 0)).sum(dtype=jnp.int32)


def resampled_counts(
    cells: Int[np.ndarray, "2 2"], resamples: int = RESAMPLES, seed: int = 0
) -> Int[np.ndarray, "r 2 2"]:
    """Return the counts of so many bootstrap resamples of the examples.

    To draw n examples with replacement and count them by cell is to draw a multinomial of n with
    the cells' shares: the same distribution, in memory that does not grow with n.
    """
    total = cells.sum()
    if not total:
        return np.zeros((resamples, 2, 2), np.int64)
    rng = np.random.default_rng(seed)
    return rng.multinomial(total, cells.ravel() / total, resamples).reshape(resamples, 2, 2)


def _shares(cells: Int[np.ndarray, "*r 2 2"]) -> np.ndarray:
    """Share of successes of each direction, the last axis; NaN of nothing."""
    sizes = cells.sum(axis=-1)
    return np.where(sizes > 0, cells[..., 1] / np.maximum(sizes, 1), np.nan)


def accuracy(cells: Int[np.ndarray, "*r 2 2"]) -> Any:
    """Return the share of successes of counts by target and success."""
    sizes = cells.sum(axis=(-2, -1))
    return np.where(sizes > 0, cells[..., 1].sum(axis=-1) / np.maximum(sizes, 1), np.nan)


def balanced_accuracy(cells: Int[np.ndarray, "*r 2 2"]) -> Any:
    """Return the mean of the shares of both directions; NaN where one has no examples."""
    return _shares(cells).mean(axis=-1)


def _interval(values: Float[np.ndarray, " r"]) -> np.ndarray:
    """95 % of the values that are numbers lie inside; NaN where there are none."""
    known = values[~np.isnan(values)]
    return np.percentile(known, _PERCENTILES) if len(known) else np.full(2, np.nan)
