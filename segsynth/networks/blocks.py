"""Building blocks of convolutional diffusion networks.

Every block computes in its ``dtype`` with float32 parameters; norms compute in float32
(`segsynth.networks.norms`).
"""

import functools

import einops
import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segsynth.networks.norms import GroupNorm

#: 3x3 convolution, zero padding, output of the input's size (halved with ``strides=2``).
Conv3x3 = functools.partial(nn.Conv, kernel_size=(3, 3), padding=((1, 1), (1, 1)))
#: The same, starting at zero: a residual branch that is silent at initialisation.
ZeroConv3x3 = functools.partial(Conv3x3, kernel_init=nn.initializers.zeros)

#: Scalars in [0, 1] are stretched to the range of the 1,000-step tables for which the frequencies
#: were chosen.
_EMBEDDING_SCALE = 1000.0
_MAX_PERIOD = 10_000.0
_FEED_FORWARD_RATIO = 2


def sinusoidal_embedding(value: Float[Array, " b"], width: int) -> Float[Array, "b {width}"]:
    """Sines and cosines of a scalar at geometrically spaced frequencies.

    After Vaswani et al., arXiv 1706.03762, section 3.5.

    Args:
      value: a time or an augmentation level in [0, 1]; multiplied by 1000, so the fastest sine
        separates steps of 1/1000 and the slowest spans more than the interval.
      width: an even number of features.

    Returns:
      float32, values in [-1, 1]: first all cosines, then all sines.

    """
    half = width // 2
    frequency = jnp.exp(-jnp.log(_MAX_PERIOD) * jnp.arange(half, dtype=jnp.float32) / half)
    angle = _EMBEDDING_SCALE * value.astype(jnp.float32)[:, None] * frequency[None, :]
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)


def space_to_depth(
    x: Float[Array, "b h w c"], patch: int
) -> Float[Array, "b h//{patch} w//{patch} c*{patch}**2"]:
    """Fold squares of side p into channels: ``(b, h, w, c) -> (b, h/p, w/p, p*p*c)``."""
    return einops.rearrange(x, "b (h p) (w q) c -> b h w (p q c)", p=patch, q=patch)


def depth_to_space(
    x: Float[Array, "b h w c"], patch: int
) -> Float[Array, "b h*{patch} w*{patch} c//{patch}**2"]:
    """Inverse of `space_to_depth`: ``(b, h, w, p*p*c) -> (b, h*p, w*p, c)``."""
    return einops.rearrange(x, "b h w (p q c) -> b (h p) (w q) c", p=patch, q=patch)


class MLP(nn.Module):
    """Dense, SiLU, Dense: turns a raw embedding into one term of the conditioning vector."""

    width: int

    @nn.compact
    def __call__(self, x: Float[Array, "b i"]) -> Float[Array, "b {self.width}"]:
        """Both layers have ``width`` outputs; float32, as this is one vector per example."""
        x = nn.silu(nn.Dense(self.width, name="hidden")(x))
        return nn.Dense(self.width, name="out")(x)


class ResBlock(nn.Module):
    """Residual block whose second norm is scaled and shifted by a conditioning vector.

    GroupNorm, SiLU, conv 3x3; GroupNorm * (1 + s) + b with (s, b) = Dense(SiLU(e)), SiLU, conv 3x3
    starting at zero; plus the input, through a 1x1 convolution where the width changes (Dhariwal
    and Nichol, arXiv 2105.05233).
    """

    channels: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w i"], e: Float[Array, "b e"]
    ) -> Float[Array, "b h w {self.channels}"]:
        """Map ``(b, h, w, i)`` to ``(b, h, w, channels)``; ``e`` is the conditioning vector."""
        h = nn.silu(GroupNorm(name="norm1")(x)).astype(self.dtype)
        h = Conv3x3(self.channels, dtype=self.dtype, name="conv1")(h)
        film = nn.Dense(2 * self.channels, dtype=self.dtype, name="film")(nn.silu(e))
        scale, shift = jnp.split(film.astype(jnp.float32)[:, None, None, :], 2, axis=-1)
        h = nn.silu(GroupNorm(name="norm2")(h) * (1.0 + scale) + shift).astype(self.dtype)
        h = ZeroConv3x3(self.channels, dtype=self.dtype, name="conv2")(h)
        if x.shape[-1] != self.channels:
            x = nn.Conv(self.channels, (1, 1), dtype=self.dtype, name="shortcut")(x)
        return x.astype(self.dtype) + h


class Downsample(nn.Module):
    """Halve both sides by a 3x3 convolution of stride 2; the width stays."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h//2 w//2 c"]:
        """Sides must be even."""
        return Conv3x3(x.shape[-1], strides=2, dtype=self.dtype, name="conv")(x)


class Upsample(nn.Module):
    """Double both sides by repetition and a 3x3 convolution; the width stays.

    A transposed convolution would do the same with checkerboard artefacts, and XLA compiles it far
    more slowly.
    """

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b 2*h 2*w c"]:
        """Nearest neighbour, then the convolution."""
        x = einops.repeat(x, "b h w c -> b (h p) (w q) c", p=2, q=2)
        return Conv3x3(x.shape[-1], dtype=self.dtype, name="conv")(x)


class GatedFF(nn.Module):
    """SwiGLU feed-forward on the last axis (Shazeer, arXiv 2002.05202, eq. 6)."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*batch c"]) -> Float[Array, "*batch c"]:
        """The hidden layer is twice as wide as the input; no residual."""
        hidden = nn.Dense(2 * _FEED_FORWARD_RATIO * x.shape[-1], dtype=self.dtype, name="hidden")(x)
        gate, value = jnp.split(hidden, 2, axis=-1)
        return nn.Dense(x.shape[-1], dtype=self.dtype, name="out")(nn.silu(gate) * value)
