"""Fréchet and kernel distance of several sets of made pictures from one set of true ones."""

from collections.abc import Callable, Mapping

import clu.metrics
import jax.numpy as jnp
from jaxtyping import Float, UInt8

from segsynth.metrics.frechet import frechet_scores
from segsynth.metrics.kernel_distance import SUBSET_SIZE, kernel_scores
from segsynth.metrics.names import Network
from segsynth.types import Array


def set_scores(
    features: Callable[[Array], Array],
    network: Network,
    made: Mapping[str, UInt8[Array, "b h w 3"]],
    real: UInt8[Array, "b h w 3"],
    valid: Float[Array, " b"],
    capacity: int,
    subset: int = SUBSET_SIZE,
) -> dict[str, clu.metrics.Metric]:
    """Return the distances of one batch, on the examples with ``valid`` = 1.

    ``made[row]`` gives ``<row>/fid``, ``<row>/fid/n``, ``<row>/kid`` and ``<row>/kid/std`` (without
    row where it is ""), or what they are called with other weights, to put into a collection.

    Args:
        features: of pictures, (b, h, w, 3) -> (b, d).
        network: whose features these are.
        made: made pictures by row.
        real: the true ones, partners or not.
        valid: whether an example counts.
        capacity: examples of the whole evaluation at most.
        subset: examples of each of the subsets over which kernel distances are averaged.

    """
    # One call, so that the network is compiled once.
    true, *fakes = jnp.split(features(jnp.concatenate([real, *made.values()])), len(made) + 1)
    found: dict[str, clu.metrics.Metric] = {}
    for row, fake in zip(made, fakes, strict=True):
        scores = frechet_scores("fid", network, true, fake, valid)
        scores |= kernel_scores("kid", network, true, fake, valid, capacity, subset)
        found |= {f"{row}__{name}" if row else name: metric for name, metric in scores.items()}
    return found
