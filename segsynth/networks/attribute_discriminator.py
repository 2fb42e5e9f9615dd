"""The critic of an editing network, which says whether a face is real and what attributes it has.

Strided convolutions without norm down to 2x2, as github.com/elvisyjlin/SpatialAttentionGAN has
them; its classes take a map of 2x2, so the number of layers follows from the size of the pictures.
"""

from typing import Literal

import einops
import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from segsynth.networks.blocks import space_to_depth
from segsynth.networks.editing import INITS, Init

ConvImpl = Literal["conv", "matmul"]

_SLOPE = 0.2
_SMALLEST_SIDE = 8


class AttributeDiscriminator(nn.Module):
    """4x4 convolutions of stride 2 and leaky ReLU 0.2 down to 2x2; float32 throughout.

    11,190,754 parameters for 128 px and one attribute at the defaults.

    Attributes:
        attributes: how many the second head judges.
        width: channels of the first layer; they double with each.
        max_width: the most channels of a layer.
        conv_impl: "conv" for XLA's convolutions; "matmul" for the same sums as products of
            matrices. On CPU the gradient of a gradient penalty is then an order of magnitude
            faster.
        kernel_init: of kernels, "fan_in", or "normal", N(0, 0.02), as published.

    Raises:
        ValueError: pictures whose side is no power of two from 8 on.

    """

    attributes: int = 1
    width: int = 32
    max_width: int = 1024
    conv_impl: ConvImpl = "conv"
    kernel_init: Init = "fan_in"

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w 3"]
    ) -> tuple[Float[Array, "b 2 2 1"], Float[Array, "b {self.attributes}"]]:
        """Return the map of the critic, and the attributes' logits, of pictures in [-1, 1]."""
        height, width = x.shape[1:3]
        if height != width or height < _SMALLEST_SIDE or height & (height - 1):
            raise ValueError(f"pictures of {height}x{width}; a power of two from 8 on is needed")
        for i in range(height.bit_length() - 2):
            features = min(self.width * 2**i, self.max_width)
            x = nn.leaky_relu(self._conv(features, 4, 2, 1, f"down_{i}")(x), _SLOPE)
        source = self._conv(1, 3, 1, 1, "source")(x)
        return source, self._conv(self.attributes, 2, 1, 0, "classes")(x)[:, 0, 0, :]

    def _conv(self, features: int, side: int, stride: int, padding: int, name: str) -> "Conv":
        return Conv(features, side, stride, padding, self.conv_impl, self.kernel_init, name=name)


class Conv(nn.Module):
    """A convolution of stride 1 or 2 with bias, in either implementation: same parameters."""

    features: int
    side: int
    stride: int
    padding: int
    impl: ConvImpl = "conv"
    kernel_init: Init = "fan_in"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b _ _ {self.features}"]:
        """Pad with zeros."""
        shape = (self.side, self.side, x.shape[-1], self.features)
        kernel = self.param("kernel", INITS[self.kernel_init], shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        pads = ((0, 0), (self.padding,) * 2, (self.padding,) * 2, (0, 0))
        x = jnp.pad(x, pads)
        if self.impl == "matmul":
            out = shifted_products(x, kernel, self.stride)
        else:
            out = jax.lax.conv_general_dilated(
                x, kernel, (self.stride,) * 2, "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
        return out + bias[None, None, None, :]


def shifted_products(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k k c o"], stride: int
) -> Float[Array, "b _ _ o"]:
    """Convolve without padding: the sum over the kernel's places of a product of matrices.

    Stride 2 becomes stride 1 by folding squares of 2x2 pixels into channels; sides and kernel must
    be even.
    """
    if stride == 2:
        x = space_to_depth(x, 2)
        kernel = einops.rearrange(kernel, "(a p) (b q) c o -> a b (p q c) o", p=2, q=2)
    side = kernel.shape[0]
    height, width = x.shape[1] - side + 1, x.shape[2] - side + 1
    products = [
        x[:, a : a + height, b : b + width] @ kernel[a, b] for a in range(side) for b in range(side)
    ]
    return sum(products[1:], start=products[0])
