"""The SPADE generator: from planes of labels to an image, or to the logits of other planes.

```
labels (b, H, W, k) -> taken at (H, W) / 2^n -> conv 3x3 -> 16 * width channels
head_0 | x2 middle_0 | (x2) middle_1 | x2 up_0 | x2 up_1 | x2 up_2 | x2 up_3 | (x2 up_4)
leaky ReLU, conv 3x3 -> tanh, or logits
```

n = 5 "normal", 6 "more" (the first bracket), 7 "most" (both). Every block sees the labels again
through its normalisations. Park et al., arXiv 1903.07291, without the image encoder; layers as in
github.com/NVlabs/SPADE. At width 64, "more", 3 output channels: 93,018,051 parameters with 35 label
channels, 93,048,003 with 36.
"""

from typing import Literal

import einops
import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segsynth.networks.spade_blocks import SLOPE, Conv, Norm, SpadeBlock, shrink_labels

Upsampling = Literal["normal", "more", "most"]

#: How often the start is doubled.
DOUBLINGS: dict[str, int] = {"normal": 5, "more": 6, "most": 7}


def start_size(size: tuple[int, int], upsampling: Upsampling) -> tuple[int, int]:
    """Return height and width of the first feature map.

    Raises:
        ValueError: a side is not a multiple of 2^n; the output would have another size.

    """
    factor = 2 ** DOUBLINGS[upsampling]
    if any(side < factor or side % factor for side in size):
        raise ValueError(
            f"output of {size[0]}x{size[1]} with upsampling {upsampling!r}; "
            f"choose multiples of {factor}"
        )
    return size[0] // factor, size[1] // factor


def block_plan(width: int, upsampling: Upsampling) -> tuple[tuple[str, int, bool], ...]:
    """Return name, output channels and whether the map is doubled before it, for each block."""
    plan = [("head_0", 16, False), ("middle_0", 16, True)]
    plan += [("middle_1", 16, upsampling != "normal")]
    plan += [(f"up_{i}", 8 // 2**i, True) for i in range(4)]
    blocks = [(name, factor * width, double) for name, factor, double in plan]
    if upsampling == "most":
        blocks.append(("up_4", width // 2, True))
    return tuple(blocks)


class SpadeGenerator(nn.Module):
    """Makes an image from label planes, or completes label planes.

    Frozen use: ``apply(variables, labels)`` reads running statistics and stored vectors, changes
    nothing, and is differentiable in the labels.

    Attributes:
        label_channels: planes of the input.
        out_hw: height and width of input and output, multiples of 2^n.
        out_channels: 3 for an image, else the number of classes.
        final: "tanh" for an image in [-1, 1], "logits" for none.
        width: unit of width; the widest layers have 16 times as many channels.
        upsampling: n, see the top of the file.
        norm: "batch", over the whole global batch under ``jit``; or "instance".
        hidden: width inside the normalisations.
        remat: recompute each block in the backward pass instead of storing its activations; the
            variables are the same either way.
        dtype: of convolutions; parameters, statistics and the output are float32.

    """

    label_channels: int
    out_hw: tuple[int, int]
    out_channels: int = 3
    final: Literal["tanh", "logits"] = "tanh"
    width: int = 64
    upsampling: Upsampling = "more"
    norm: Norm = "batch"
    hidden: int = 128
    remat: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, labels: Float[Array, "b h w c"], train: bool = False
    ) -> Float[Array, "b h w {self.out_channels}"]:
        """Map planes in [0, 1], one-hot or soft, to an image or to logits.

        Args:
            labels: (b, *out_hw, label_channels).
            train: batch statistics, and one power iteration of each spectral norm; needs
                "batch_stats" mutable.

        Raises:
            ValueError: labels of another shape, or an ``out_hw`` that n does not divide.

        """
        size = start_size(self.out_hw, self.upsampling)
        if labels.shape[1:] != (*self.out_hw, self.label_channels):
            raise ValueError(
                f"labels of {labels.shape[1:]}; expected {(*self.out_hw, self.label_channels)}"
            )
        start = shrink_labels(labels, size).astype(self.dtype)
        h = Conv(16 * self.width, dtype=self.dtype, name="start")(start)
        for name, features, double in block_plan(self.width, self.upsampling):
            if double:
                h = einops.repeat(h, "b h w c -> b (h p) (w q) c", p=2, q=2)
            h = self._block(features, name)(h, labels, train)
        h = nn.leaky_relu(h, SLOPE)
        h = Conv(self.out_channels, dtype=self.dtype, name="last")(h).astype(jnp.float32)
        return jnp.tanh(h) if self.final == "tanh" else h

    def _block(self, features: int, name: str) -> nn.Module:
        # Explicit names: nn.remat would otherwise change them. Argument 3, ``train``, is static.
        block = nn.remat(SpadeBlock, static_argnums=(3,)) if self.remat else SpadeBlock
        return block(features, self.norm, self.hidden, self.dtype, name=name)
