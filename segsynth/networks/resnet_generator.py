"""ResNet generator of image translation: halve twice, residual blocks, double twice.

After Johnson et al., arXiv 1603.08155, and Zhu et al., arXiv 1703.10593; with a sigmoid instead of
tanh as in Chan et al., CVPR 2022 (github.com/carolineec/informative-drawings), where images are in
[0, 1] and 1 is paper. Every convolution is followed by instance norm without parameters and ReLU,
except the last one and the second one of a residual block, after whose sum nothing follows.
"""

import functools
from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segsynth.networks.transposed_conv import ConvTranspose

_init = nn.initializers.normal(0.02)
#: Sides below this leave a 1x1 map somewhere, which instance norm turns into zeros.
_SMALLEST_SIDE = 16

Conv = functools.partial(nn.Conv, kernel_init=_init)

#: Name of a layer -> mean and variance of its maps over space, (b or 1, 1, 1, c) each.
Moments = Mapping[str, tuple[Float[Array, "_ 1 1 _"], Float[Array, "_ 1 1 _"]]]


class ResnetGenerator(nn.Module):
    """One image to another, both in [0, 1].

    4,290,945 parameters from 3 channels to 1, 4,290,947 from 1 to 3, at the defaults.

    Attributes:
        out_channels: 1 for a drawing, 3 for a photo.
        width: channels at full size; four times as many at a quarter of it.
        blocks: residual blocks.
        dtype: of convolutions; parameters, norms and the output are float32.

    """

    out_channels: int
    width: int = 64
    blocks: int = 3
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], moments: Moments | None = None
    ) -> Float[Array, "b h2 w2 {self.out_channels}"]:
        """Return float32; sides rounded up to multiples of 4, as each halving rounds up.

        ``moments`` normalise the layers that they name, in place of the maps' own: so a part of a
        picture can be treated as in the whole. What each instance norm is given is sown into the
        collection "intermediates" as ``<layer>_norm``, for the layers of `norm_layers`.

        Raises:
            ValueError: a side below 16.

        """
        if min(x.shape[1:3]) < _SMALLEST_SIDE:
            raise ValueError(f"image of {x.shape[1]}x{x.shape[2]}; sides of 16 or more are needed")
        moments = moments or {}
        conv = functools.partial(Conv, dtype=self.dtype)
        h = conv(self.width, (7, 7), padding="VALID", name="stem")(reflect_pad(x, 3))
        h = self._activate(h, "stem", moments)
        for i, factor in enumerate((2, 4)):
            h = conv(factor * self.width, (3, 3), 2, padding=1, name=f"down_{i}")(h)
            h = self._activate(h, f"down_{i}", moments)
        for i in range(self.blocks):
            h = self._residual(h, f"block_{i}", moments)
        for i, factor in enumerate((2, 1)):
            h = double(factor * self.width, self.dtype, f"up_{i}")(h)
            h = self._activate(h, f"up_{i}", moments)
        h = conv(self.out_channels, (7, 7), padding="VALID", name="head")(reflect_pad(h, 3))
        return nn.sigmoid(h.astype(jnp.float32))

    def norm_layers(self) -> dict[str, int]:
        """Return the layers with an instance norm, in order, and the stride of their maps."""
        inside = [f"block_{i}_conv_{k}" for i in range(self.blocks) for k in (0, 1)]
        return {
            **{"stem": 1, "down_0": 2, "down_1": 4},
            **dict.fromkeys(inside, 4),
            **{"up_0": 2, "up_1": 1},
        }

    def _activate(self, h: Array, name: str, moments: Moments) -> Array:
        return nn.relu(self._normalised(h, name, moments)).astype(self.dtype)

    def _normalised(self, h: Array, name: str, moments: Moments) -> Array:
        """Instance norm without parameters, float32, in two passes."""
        h = h.astype(jnp.float32)
        self.sow("intermediates", f"{name}_norm", h)
        if name in moments:
            mean, variance = moments[name]
        else:
            mean = h.mean(axis=(1, 2), keepdims=True)
            variance = jnp.square(h - mean).mean(axis=(1, 2), keepdims=True)
        return (h - mean) / jnp.sqrt(variance + 1e-5)

    def _residual(self, x: Array, name: str, moments: Moments) -> Array:
        conv = functools.partial(Conv, x.shape[-1], (3, 3), padding="VALID", dtype=self.dtype)
        first, second = (f"{name}_conv_{k}" for k in (0, 1))
        h = self._activate(conv(name=first)(reflect_pad(x, 1)), first, moments)
        h = conv(name=second)(reflect_pad(h, 1))
        return x + self._normalised(h, second, moments).astype(self.dtype)


def double(features: int, dtype: DTypeLike, name: str) -> ConvTranspose:
    """Return exactly PyTorch's 3x3 transposed convolution of stride 2 with padding 1 and
    output_padding 1; call it inside a module.
    """
    return ConvTranspose(
        features,
        size=3,
        padding=1,
        more=1,
        transpose_kernel=True,
        kernel_init=_init,
        dtype=dtype,
        name=name,
    )


def reflect_pad(x: Float[Array, "b h w c"], pad: int) -> Float[Array, "b h+2*{pad} w+2*{pad} c"]:
    """Mirror at the border, the border pixel not repeated; sides must exceed ``pad``.

    Raises:
        ValueError: a side that is too short, which ``jnp.pad`` would mirror several times.

    """
    if min(x.shape[1:3]) <= pad:
        raise ValueError(f"map of {x.shape[1]}x{x.shape[2]} cannot be mirrored by {pad}")
    return jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect")
