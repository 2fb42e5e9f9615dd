"""From a restorer's logits to the label planes that a generator is fed, with a gradient."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Float

from segsynth.types import Array, PRNGKey

#: "softmax": soft planes in training, one-hot ones afterwards. "straight_through": one-hot planes
#: with the gradient of the softmax. "gumbel_st": the same of a sample, which needs a key.
Bridge = Literal["softmax", "straight_through", "gumbel_st"]


def cross(
    logits: Float[Array, "b h w c"], bridge: Bridge, tau: float, key: PRNGKey
) -> Float[Array, "b h w c"]:
    """Return planes that sum to 1 at each pixel; ``tau`` divides the logits."""
    logits = logits.astype(jnp.float32)
    if bridge == "gumbel_st":
        logits = jax.nn.log_softmax(logits) + jax.random.gumbel(key, logits.shape)
    soft = jax.nn.softmax(logits / tau)
    if bridge == "softmax":
        return soft
    # soft - soft is 0 to the last digit, so the planes are one-hot exactly.
    return hard_planes(soft) + (soft - jax.lax.stop_gradient(soft))


def hard_planes(scores: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Return the one-hot planes of the largest score; no gradient passes."""
    return jax.nn.one_hot(scores.argmax(-1), scores.shape[-1])


def confidence(logits: Float[Array, "b h w c"]) -> Float[Array, "b h w"]:
    """Return 1 - entropy / log(c) of the softmax: 1 = certain, 0 = all classes alike."""
    logs = jax.nn.log_softmax(logits.astype(jnp.float32))
    entropy = -(jnp.exp(logs) * logs).sum(-1)
    return 1.0 - entropy / jnp.log(logits.shape[-1])
