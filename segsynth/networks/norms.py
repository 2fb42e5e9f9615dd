"""Normalisation in float32, whatever the compute type of the layers around it.

The mean of a bfloat16 activation with a large offset has no digits left for the variance, and the
one-pass formula ``E[x^2] - E[x]^2`` cancels even in float32: on data of 100 +- 0.01 it returns a
standard deviation of 7.88 instead of 0.995. Every norm here therefore computes in float32 and in
two passes, and returns float32; the caller casts to its compute type.
"""

import functools

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

#: Groups of a GroupNorm (Wu and He, arXiv 1803.08494, use 32 throughout).
MAX_GROUPS = 32
#: Channels that share one group where a layer is too narrow for 32 groups.
MIN_GROUP_WIDTH = 4

#: LayerNorm over the last axis, with scale and bias, float32.
LayerNorm = functools.partial(
    nn.LayerNorm, epsilon=1e-5, dtype=jnp.float32, use_fast_variance=False
)

#: RMSNorm over the last axis, one scale per channel, float32. On ``(b, n, heads, d)`` it normalises
#: each head by itself and all heads share the scale: the query-key norm that keeps attention logits
#: bounded.
HeadRMSNorm = functools.partial(nn.RMSNorm, epsilon=1e-6, dtype=jnp.float32)


def group_count(channels: int) -> int:
    """Number of GroupNorm groups for a layer: 32, or ``channels / 4`` where that is fewer."""
    return max(1, min(MAX_GROUPS, channels // MIN_GROUP_WIDTH))


class GroupNorm(nn.Module):
    """GroupNorm with the number of groups taken from the input's width.

    Epsilon is 1e-5. Raises flax's ``ValueError`` where the groups do not divide the channels:
    choose widths that are multiples of 32, or of 4 below 128.
    """

    @nn.compact
    def __call__(self, x: Float[Array, "b *space c"]) -> Float[Array, "b *space c"]:
        """Normalise over space and the channels of each group; float32 in any case."""
        return nn.GroupNorm(
            num_groups=group_count(x.shape[-1]),
            epsilon=1e-5,
            dtype=jnp.float32,
            use_fast_variance=False,
            name="norm",
        )(x)
