"""Losses of label maps."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def cross_entropy(
    logits: Float[Array, "b h w c"],
    labels: Int[Array, "b h w"],
    *,
    ignore: int | None = None,
    weights: Float[Array, " c"] | None = None,
) -> Float[Array, ""]:
    """Mean of -log softmax(logits)[label] over the pixels that count, nats; 0 where none does.

    Args:
        logits: of c classes.
        labels: 0 .. c - 1, checked on the host: others would pass unnoticed.
        ignore: label of the pixels that do not count; None = all count.
        weights: of each class; the mean is weighted by them.

    """
    counted = jnp.ones(labels.shape, jnp.float32)
    if ignore is not None:
        counted = (labels != ignore).astype(jnp.float32)
        labels = jnp.where(labels == ignore, 0, labels)
    if weights is not None:
        counted = counted * weights[labels]
    logs = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    chosen = jnp.take_along_axis(logs, labels[..., None], axis=-1)[..., 0]
    total = counted.sum()
    return -(chosen * counted).sum() / jnp.where(total > 0, total, 1.0)
