"""U-Net of two convolutions a level (Ronneberger et al., arXiv 1505.04597), for label maps.

Zero padding keeps the size, as in the common PyTorch version (github.com/milesial/Pytorch-UNet),
whose layout and numbers of parameters it has.
"""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segsynth.networks.geometry_head import batch_norm
from segsynth.networks.norms import GroupNorm
from segsynth.networks.transposed_conv import ConvTranspose


class SegmentationUNet(nn.Module):
    """Logits of the class of each pixel.

    31,048,246 parameters for one channel and 182 classes at the defaults.

    Attributes:
        classes: channels of the logits.
        width: channels at full size, doubled at each halving.
        levels: halvings.
        norm: "batch", or "group" for batches of a few pictures.
        dtype: of convolutions; parameters, norms and logits are float32.

    """

    classes: int
    width: int = 64
    levels: int = 4
    norm: Literal["batch", "group"] = "batch"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, pictures: Float[Array, "b h w c"], train: bool = False
    ) -> Float[Array, "b h w {self.classes}"]:
        """Return float32 logits of the pictures' size, which is any: they are padded by their last
        row and column to multiples of ``2 ** levels``, and the logits cut back.

        ``train``: normalise by the batch, and update the running statistics (``norm="batch"``).
        """
        height, width = pictures.shape[1:3]
        more = [(0, -n % 2**self.levels) for n in (height, width)]
        x = jnp.pad(pictures.astype(self.dtype), ((0, 0), *more, (0, 0)), mode="edge")
        skips = []
        for level in range(self.levels):
            skips.append(self._twice(x, level, train, f"down_{level}"))
            x = nn.max_pool(skips[-1], (2, 2), (2, 2))
        x = self._twice(x, self.levels, train, "bottom")
        for level in reversed(range(self.levels)):
            up = ConvTranspose(
                self.width * 2**level, size=2, dtype=self.dtype, name=f"up_{level}_double"
            )(x)
            x = jnp.concatenate([skips[level], up], axis=-1)
            x = self._twice(x, level, train, f"up_{level}")
        logits = nn.Conv(self.classes, (1, 1), dtype=self.dtype, name="head")(x)
        return logits[:, :height, :width].astype(jnp.float32)

    def _twice(self, x: Array, level: int, train: bool, name: str) -> Array:
        for i in range(2):
            x = nn.Conv(
                self.width * 2**level,
                (3, 3),
                padding=1,
                use_bias=False,
                kernel_init=nn.initializers.he_normal(),
                dtype=self.dtype,
                name=f"{name}_conv_{i}",
            )(x)
            x = nn.relu(self._normalised(x, train, f"{name}_norm_{i}")).astype(self.dtype)
        return x

    def _normalised(self, x: Array, train: bool, name: str) -> Array:
        if self.norm == "group":
            return GroupNorm(name=name)(x)
        return batch_norm(train, name)(x)
