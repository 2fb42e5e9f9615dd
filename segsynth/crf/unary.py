"""Unary terms -log p from logits, from labels, from a heat map."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from segsynth.errors import UserError


def unary_from_logits(logits: Float[Array, "*shape c"]) -> Float[Array, "*shape c"]:
    """-log softmax of a network's class scores."""
    return -jax.nn.log_softmax(logits, axis=-1)


def unary_from_labels(
    labels: Int[Array, "*shape"], num_classes: int, gt_prob: float = 0.7
) -> Float[Array, "*shape {num_classes}"]:
    """Unary of hard labels that are right with probability ``gt_prob``.

    The other classes share the rest evenly, as pydensecrf's function of this name does; there,
    "unknown" is label 0 and known labels begin at 1.

    Args:
      labels: 0 .. num_classes - 1; every other value is unlabelled, and uniform.
      num_classes: C, at least 1.
      gt_prob: in (0, 1).

    Raises:
      UserError: a probability or number of classes out of range.

    """
    if not 0.0 < gt_prob < 1.0:
        raise UserError(f"gt_prob={gt_prob}: a probability between 0 and 1, neither included")
    if num_classes < 1:
        raise UserError(f"num_classes={num_classes}: at least one class is needed")
    if num_classes == 1:
        return jnp.zeros((*labels.shape, 1), jnp.float32)
    known = (labels >= 0) & (labels < num_classes)
    mine = labels[..., None] == jnp.arange(num_classes).reshape((1,) * labels.ndim + (-1,))
    right, wrong = -math.log(gt_prob), -math.log((1.0 - gt_prob) / (num_classes - 1))
    return jnp.where(known[..., None], jnp.where(mine, right, wrong), math.log(num_classes))


def unary_from_heatmap(
    heat: Float[Array, "*shape c"], clip: float = 1e-5
) -> Float[Array, "*shape c"]:
    """-log of probabilities clipped to [clip, 1], so that a 0 stays finite; NaN counts as 0."""
    return -jnp.log(jnp.clip(jnp.nan_to_num(heat, nan=0.0), clip, 1.0))
