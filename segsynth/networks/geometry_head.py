"""From features of a picture to its depth: the geometry network of Chan, Durand, Isola (CVPR 2022).

informative-drawings calls it ``GlobalGenerator2``: one doubling, residual blocks, three more
doublings, batch norm after every hidden convolution.
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segsynth.networks.resnet_generator import double, reflect_pad
from segsynth.networks.transposed_conv import ConvTranspose

_init = nn.initializers.normal(0.02)
#: Pixels of the depth map for one cell of the features, which the head widens by two cells.
_DOUBLINGS = 3


class GeometryHead(nn.Module):
    """Logits of inverse depth, 16 times as fine as the features.

    32,413,379 parameters at the defaults, for 768 channels of features.

    Attributes:
        width: channels of the output's resolution; eight times as many at the features'.
        blocks: residual blocks.
        channels: of the output; the published head repeats depth three times.
        dtype: of convolutions; parameters, norms and logits are float32.

    """

    width: int = 64
    blocks: int = 9
    channels: int = 3
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, features: Float[Array, "b h w c"], train: bool = False
    ) -> Float[Array, "b 16*(h+2) 16*(w+2) {self.channels}"]:
        """Return float32 logits; their sigmoid is the published head's ``(tanh + 1) / 2``.

        ``train``: normalise by the batch, and update the running statistics.

        Raises:
            ValueError: features of fewer than 5 cells a side, of pictures of less than 112 px.

        """
        conv = functools.partial(nn.Conv, kernel_init=_init, padding="VALID", dtype=self.dtype)
        x = reflect_pad(features.astype(self.dtype), 4)
        x = self._activate(conv(8 * self.width, (7, 7), name="stem")(x), train, "stem_norm")
        x = self._activate(double_4x4(4 * self.width, self.dtype, "first")(x), train, "first_norm")
        for i in range(self.blocks):
            x = self._residual(x, train, f"block_{i}")
        for i in range(_DOUBLINGS):
            x = double(self.width * max(1, 2 >> i), self.dtype, f"up_{i}")(x)
            x = self._activate(x, train, f"up_{i}_norm")
        x = conv(self.channels, (7, 7), name="head")(reflect_pad(x, 3))
        return 2.0 * x.astype(jnp.float32)  # (tanh(z) + 1) / 2 = sigmoid(2 z)

    def _residual(self, x: Array, train: bool, name: str) -> Array:
        conv = functools.partial(nn.Conv, x.shape[-1], (3, 3), padding="VALID", dtype=self.dtype)
        conv = functools.partial(conv, kernel_init=_init)
        h = conv(name=f"{name}_conv_0")(reflect_pad(x, 1))
        h = self._activate(h, train, f"{name}_norm_0")
        h = conv(name=f"{name}_conv_1")(reflect_pad(h, 1))
        return x + batch_norm(train, f"{name}_norm_1")(h).astype(self.dtype)

    def _activate(self, x: Array, train: bool, name: str) -> Array:
        return nn.relu(batch_norm(train, name)(x)).astype(self.dtype)


def batch_norm(train: bool, name: str) -> Callable[[Float[Array, "..."]], Float[Array, "..."]]:
    """Return PyTorch's batch norm, computed in float32; call it inside a module."""
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        epsilon=1e-5,
        dtype=jnp.float32,
        use_fast_variance=False,
        name=name,
    )


def double_4x4(features: int, dtype: DTypeLike, name: str) -> ConvTranspose:
    """Return exactly PyTorch's 4x4 transposed convolution of stride 2 with padding 1; call it
    inside a module.
    """
    return ConvTranspose(
        features,
        size=4,
        padding=1,
        transpose_kernel=True,
        kernel_init=_init,
        dtype=dtype,
        name=name,
    )


def resized(logits: Float[Array, "b h w c"], size: tuple[int, int]) -> Float[Array, "b h2 w2 c"]:
    """Bring the head's logits to the size of a depth map, bilinearly with antialiasing.

    The head makes multiples of 16 that depend on the features: 304 px for a picture of 299.
    """
    if logits.shape[1:3] == size:
        return logits
    return jax.image.resize(logits, (len(logits), *size, logits.shape[-1]), "bilinear")
