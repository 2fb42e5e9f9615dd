"""Losses of label maps."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def cross_entropy(
    logits: Float[Array, "b h w c"],
    labels: Int[Array, "b h w"],
    *,
    ignore: Sequence[int] = (),
    weights: Float[Array, " c"] | None = None,
) -> Float[Array, ""]:
    """Mean of -log softmax(logits)[label] over the pixels that count, nats; 0 where none does.

    Args:
        logits: of c classes.
        labels: 0 .. c - 1, checked on the host: others would pass unnoticed.
        ignore: labels of the pixels that do not count.
        weights: of each class; the mean is weighted by them.

    """
    counted = jnp.ones(labels.shape, jnp.float32)
    for passed_over in ignore:
        counted = jnp.where(labels == passed_over, 0.0, counted)
    labels = jnp.where(counted > 0, labels, 0)
    if weights is not None:
        counted = counted * weights[labels]
    logs = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    chosen = jnp.take_along_axis(logs, labels[..., None], axis=-1)[..., 0]
    total = counted.sum()
    return -(chosen * counted).sum() / jnp.where(total > 0, total, 1.0)


def balanced(labels: Int[Array, "b h w"], classes: int) -> Float[Array, " classes"]:
    """Return weights by which each class that occurs counts alike, whatever its area."""
    area = jnp.zeros(classes).at[labels].add(1.0)
    return jnp.where(area > 0, labels.size / jnp.maximum(area, 1.0), 0.0)
