"""How often a linear classifier of features takes made pictures for real ones.

The paired and unpaired inception discriminative scores of CoModGAN (Zhao et al., arXiv 2103.10428,
section 4): a linear support vector machine learns to tell the features of real pictures from those
of made ones. U-IDS is its error rate, at most 0.5 where nothing can be learnt; P-IDS is the share
of pairs whose made picture looks more real to it than the real one. Both names belong to the 2048
features of the Inception network of 2015-12-05. The classifier is judged on what it was fitted to,
so with few examples and many features both are 0, and they grow with the number of examples.
"""

import dataclasses
from typing import Any

import clu.metrics
import flax.struct
import numpy as np
from jaxtyping import Float
from scipy import optimize

from segsynth.errors import UserError
from segsynth.metrics.examples import FeatureTables, sorted_rows
from segsynth.metrics.names import Network, collected, figure_of
from segsynth.metrics.segmentation import Entry
from segsynth.types import Array

_MOST_STEPS = 1000
#: The gradient at the solution, relative to the sum of the lengths of what it adds up at 0.
_TOLERANCE = 1e-8


@dataclasses.dataclass(frozen=True)
class _SquaredHinge:
    """What a support vector machine minimises; ``table`` ends in a column of ones."""

    table: np.ndarray
    labels: np.ndarray
    cost: float

    def _short(self, w: np.ndarray) -> np.ndarray:
        """By how much each example falls short of its side of the margin."""
        return np.maximum(1 - self.labels * (self.table @ w), 0)

    def value(self, w: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the value and the gradient."""
        short = self._short(w)
        gradient = w - 2 * self.cost * (self.table.T @ (self.labels * short))
        return w @ w / 2 + self.cost * (short @ short), gradient

    def curvature(self, w: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return the product of the second derivative at ``w`` with ``v``."""
        counted = (self._short(w) > 0) * (self.table @ v)
        return v + 2 * self.cost * (self.table.T @ counted)


def linear_svm(
    features: Float[np.ndarray, "n d"], labels: Float[np.ndarray, " n"], cost: float = 1.0
) -> Float[np.ndarray, " d1"]:
    """Return weights and intercept of a linear support vector machine.

    They minimise ``|w|^2 / 2 + cost sum max(0, 1 - y (w . [x 1]))^2``, the intercept penalised as
    every weight: the problem of liblinear and of scikit-learn's ``LinearSVC`` with its default
    settings (Fan et al. 2008, JMLR 9). It is strictly convex, so its solution is unique; Newton
    steps by conjugate gradients find it, without a random choice.

    Args:
        features: float64.
        labels: 1 or -1.
        cost: of errors against small weights.

    Raises:
        UserError: features that are no numbers, or of which no solution is found.

    """
    if not np.isfinite(features).all():
        raise UserError("features are no numbers; check the pictures and the network's weights")
    table = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    problem = _SquaredHinge(table, labels, cost)
    found = optimize.minimize(
        problem.value,
        np.zeros(table.shape[1]),
        jac=True,
        hessp=problem.curvature,
        method="trust-ncg",
        options={
            "gtol": _TOLERANCE * 2 * cost * np.linalg.norm(table, axis=1).sum(),
            "maxiter": _MOST_STEPS,
        },
    )
    if not found.success:
        raise UserError(f"no support vector machine for these features: {found.message}")
    return found.x


def fooling_rates(
    real: Float[np.ndarray, "n d"], fake: Float[np.ndarray, "n d"]
) -> dict[str, float]:
    """Return ``p_ids`` and ``u_ids``, shares in [0, 1], of pairs of real and made examples.

    Raises:
        UserError: no pairs.

    """
    if not len(real):
        raise UserError("no pairs of real and made examples were counted; take 1 at least")
    real, fake = (np.asarray(x, np.float64) for x in (real, fake))
    labels = np.repeat([1.0, -1.0], len(real))
    weights = linear_svm(np.concatenate([real, fake]), labels)
    of_real, of_fake = (x @ weights[:-1] + weights[-1] for x in (real, fake))
    wrong = (of_real <= 0).sum() + (of_fake > 0).sum()
    return {"p_ids": float((of_fake > of_real).mean()), "u_ids": float(wrong / (2 * len(real)))}


@flax.struct.dataclass
class PairedFooling(FeatureTables):
    """P-IDS and U-IDS of the pairs of a data set; ``compute`` gives ``p_ids`` and ``u_ids``."""

    def compute(self) -> dict[str, Any]:
        """Return `fooling_rates`, on the host.

        Raises:
            UserError: no pairs, or more than there is room for.

        """
        return fooling_rates(*sorted_rows(self.real.exact(), self.fake.exact()))


def fooling_scores(
    p_ids: str,
    u_ids: str,
    network: Network,
    real: Float[Array, "b d"],
    fake: Float[Array, "b d"],
    valid: Float[Array, " b"],
    capacity: int,
) -> dict[str, clu.metrics.Metric]:
    """Return both, to put into a collection.

    They are called as the published names given, "p_ids" and "u_ids", if ``network``, whose
    features these are, earns it (`segsynth.metrics.names.figure_name`). Each keeps its own table of
    features and computes all.

    Raises:
        UserError: ``p_ids`` or ``u_ids`` is another metric's name.

    """
    paired = figure_of("paired_fooling", p_ids, network)
    unpaired = figure_of("unpaired_fooling", u_ids, network)
    metric = PairedFooling.of(real, fake, valid, capacity)
    return collected({paired: Entry(metric, "p_ids"), unpaired: Entry(metric, "u_ids")})
