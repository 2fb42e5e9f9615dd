"""PatchGAN discriminators: a grid of logits, one for each patch, and the features on the way.

Isola et al., arXiv 1611.07004; several scales and all features returned as in Wang et al., arXiv
1711.11585; with the spectral normalisation and padding of SPADE (github.com/NVlabs/SPADE) by
default.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segsynth.networks.spade_blocks import SLOPE, kernel_init
from segsynth.networks.spectral import SpectralConv

_KERNEL = 4
_MAX_FACTOR = 8


class PatchDiscriminator(nn.Module):
    """4x4 convolutions: ``layers`` - 1 of stride 2, then two of stride 1; leaky ReLU 0.2 between.

    Widths double from ``width`` to at most 8 times. All but the first and last are followed by
    instance norm without parameters.

    Attributes:
        width: channels of the first layer.
        layers: layers before the one that makes logits.
        padding: zeros on each side; 2 in SPADE, 1 in pix2pix and CycleGAN.
        spectral: spectral norm on the layers with instance norm, which then have no bias.
        kernel_init: initialiser of kernels; SPADE's, or normal(0.02) in pix2pix and CycleGAN.
        dtype: of convolutions; parameters, statistics and logits are float32.

    """

    width: int = 64
    layers: int = 4
    padding: int = 2
    spectral: bool = True
    kernel_init: Any = kernel_init
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], train: bool = False
    ) -> tuple[Float[Array, "b _ _ _"], ...]:
        """Return the output of every layer; the last one, (b, _, _, 1), holds the logits.

        ``x`` is labels and image side by side; ``train`` updates the spectral norm.
        """
        outputs = [nn.leaky_relu(self._plain(self.width, 2, "conv_0")(x), SLOPE)]
        for i in range(1, self.layers):
            features = self.width * min(2**i, _MAX_FACTOR)
            stride = 1 if i == self.layers - 1 else 2
            outputs.append(self._normalised(outputs[-1], features, stride, f"conv_{i}", train))
        logits = self._plain(1, 1, "logits")(outputs[-1])
        return (*outputs, logits.astype(jnp.float32))

    def _plain(self, features: int, stride: int, name: str) -> nn.Conv:
        return nn.Conv(
            features,
            (_KERNEL, _KERNEL),
            stride,
            padding=self.padding,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name=name,
        )

    def _normalised(self, x: Array, features: int, stride: int, name: str, train: bool) -> Array:
        if self.spectral:
            h = SpectralConv(
                features,
                _KERNEL,
                stride,
                self.padding,
                False,
                self.kernel_init,
                self.dtype,
                name=name,
            )(x, train)
        else:
            h = self._plain(features, stride, name)(x)
        h = nn.InstanceNorm(epsilon=1e-5, use_bias=False, use_scale=False, use_fast_variance=False)(
            h.astype(jnp.float32)
        )
        return nn.leaky_relu(h, SLOPE).astype(self.dtype)


class MultiScaleDiscriminator(nn.Module):
    """Patch discriminators with weights of their own, each on an image half the size of the last.

    5,601,410 parameters for 39 input channels, 5,599,362 for 38.
    """

    scales: int = 2
    width: int = 64
    layers: int = 4
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], train: bool = False
    ) -> tuple[tuple[Float[Array, "b _ _ _"], ...], ...]:
        """Return what each scale's `PatchDiscriminator` returns, the finest scale first."""
        outputs = []
        for i in range(self.scales):
            scale = PatchDiscriminator(self.width, self.layers, dtype=self.dtype, name=f"scale_{i}")
            outputs.append(scale(x, train))
            x = nn.avg_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)), count_include_pad=False)
        return tuple(outputs)
