"""A classifier of pictures that a CPU trains in a minute."""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

Head = Literal["flatten", "mean"]


class SmallClassifier(nn.Module):
    """Three convolutions with ReLU, each halving the picture, and a head.

    Two of different ``side``, ``width`` and ``head`` are of different architecture, and are not
    fooled alike.

    Attributes:
        outputs: logits.
        width: channels of the first convolution; 2 and 4 times as many follow.
        side: of the kernels; odd.
        head: "flatten" = a hidden layer of 4 ``width`` that sees where features are, after
            convolutions that are halved by their largest values; "mean" = their mean over the
            picture, after convolutions of stride 2.

    """

    outputs: int = 1
    width: int = 16
    side: int = 3
    head: Head = "flatten"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 3"]) -> Float[Array, "b {self.outputs}"]:
        """Return the logits of pictures in [-1, 1], float32."""
        stride = 2 if self.head == "mean" else 1
        for i in range(3):
            features, side = self.width * 2**i, (self.side, self.side)
            x = nn.relu(nn.Conv(features, side, stride, name=f"conv_{i}")(x))
            if stride == 1:
                x = nn.max_pool(x, (2, 2), (2, 2))
        if self.head == "mean":
            x = x.mean(axis=(1, 2))
        else:
            x = nn.relu(nn.Dense(4 * self.width, name="hidden")(x.reshape(len(x), -1)))
        return nn.Dense(self.outputs, name="logits")(x).astype(jnp.float32)
