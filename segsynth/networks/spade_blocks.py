"""Normalisation that a label map scales and shifts (SPADE; Park et al., arXiv 1903.07291).

``norm(x) * (1 + gamma(m)) + beta(m)``: norm has no parameters of its own; gamma and beta are
convolutions of the label planes m, taken at the size of x. Facts about layers follow the paper's
appendix A and the published code (github.com/NVlabs/SPADE).
"""

import functools
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segsynth.networks.blocks import Conv3x3
from segsynth.networks.spectral import SpectralConv

Norm = Literal["batch", "instance"]

#: Xavier normal with gain 0.02.
kernel_init = nn.initializers.variance_scaling(0.02**2, "fan_avg", "normal")
#: Slope of the leaky ReLU below zero.
SLOPE = 0.2
_EPSILON = 1e-5
#: New running statistics are 0.9 old + 0.1 batch.
_MOMENTUM = 0.9

Conv = functools.partial(Conv3x3, kernel_init=kernel_init)


def shrink_labels(
    labels: Float[Array, "b h w c"], size: tuple[int, int]
) -> Float[Array, "b h2 w2 c"]:
    """Take the label planes at row ``k * i``, column ``l * j``: PyTorch's "nearest" for whole k, l.

    ``jax.image.resize`` and Pillow take the pixel half a stride further in, which is another map.

    Raises:
        ValueError: a side of ``labels`` is not a multiple of the one wanted.

    """
    height, width = labels.shape[1:3]
    if height % size[0] or width % size[1]:
        raise ValueError(f"labels of {height}x{width}; expected a multiple of {size[0]}x{size[1]}")
    return labels[:, :: height // size[0], :: width // size[1]]


class Spade(nn.Module):
    """One normalisation. ``hidden``: width of the layer that gamma and beta share."""

    norm: Norm = "batch"
    hidden: int = 128
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], labels: Float[Array, "b hl wl k"], train: bool
    ) -> Float[Array, "b h w c"]:
        """Differentiable in the labels, which may be soft and larger than x by whole factors.

        Statistics are float32. With ``train`` batch norm uses those of the batch and updates the
        running ones (biased variance; PyTorch stores the unbiased one).
        """
        planes = shrink_labels(labels, x.shape[1:3]).astype(self.dtype)
        shared = nn.relu(Conv(self.hidden, dtype=self.dtype, name="shared")(planes))
        gamma = Conv(x.shape[-1], dtype=self.dtype, name="gamma")(shared)
        beta = Conv(x.shape[-1], dtype=self.dtype, name="beta")(shared)
        normalised = self._normalised(x.astype(jnp.float32), train).astype(self.dtype)
        return normalised * (1.0 + gamma) + beta

    def _normalised(self, x: Array, train: bool) -> Array:
        plain = dict(epsilon=_EPSILON, use_bias=False, use_scale=False, use_fast_variance=False)
        if self.norm == "instance":
            return nn.InstanceNorm(**plain, name="norm")(x)
        return nn.BatchNorm(
            use_running_average=not train, momentum=_MOMENTUM, **plain, name="norm"
        )(x)


class SpadeBlock(nn.Module):
    """Residual block: twice Spade, leaky ReLU, 3x3 convolution; the narrower width in between.

    Where the width changes, the shortcut is Spade and a 1x1 convolution without bias, with no
    activation. Convolutions outside of Spade have spectral normalisation. Nothing follows the sum.
    """

    features: int
    norm: Norm = "batch"
    hidden: int = 128
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], labels: Float[Array, "b hl wl k"], train: bool
    ) -> Float[Array, "b h w {self.features}"]:
        """``labels`` as in `Spade`."""
        spade = functools.partial(Spade, self.norm, self.hidden, self.dtype)
        conv = functools.partial(SpectralConv, kernel_init=kernel_init, dtype=self.dtype)
        middle = min(x.shape[-1], self.features)
        h = nn.leaky_relu(spade(name="norm_0")(x, labels, train), SLOPE)
        h = conv(middle, 3, padding=1, name="conv_0")(h, train)
        h = nn.leaky_relu(spade(name="norm_1")(h, labels, train), SLOPE)
        h = conv(self.features, 3, padding=1, name="conv_1")(h, train)
        if x.shape[-1] != self.features:
            x = spade(name="norm_s")(x, labels, train)
            x = conv(self.features, 1, use_bias=False, name="conv_s")(x, train)
        return x.astype(self.dtype) + h
