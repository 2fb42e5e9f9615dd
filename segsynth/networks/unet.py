"""Class-conditional U-Net with linear-cost attention: the denoiser of one pyramid level.

```
x (b, side, side, c) -> space-to-depth p -> stem
  down i, grid side/p/2^i:  [ResBlock, attention at listed grids] x blocks[i]; halve
  middle:                   ResBlock, AttentionBlock, ResBlock
  up i:                     [concat skip, ResBlock, attention] x (blocks[i] + 1); double
GroupNorm, SiLU, conv 3x3 (zero) -> depth-to-space p -> v (b, side, side, 3)
```

Residual U-Net after Dhariwal and Nichol (arXiv 2105.05233); the space-to-depth stem replaces a
latent codec, as in Hoogeboom et al., "simpler diffusion" (arXiv 2410.19324).
"""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segsynth.networks.attention import Attention, AttentionBlock, FeatureMap, class_row_mask
from segsynth.networks.blocks import (
    MLP,
    Conv3x3,
    Downsample,
    ResBlock,
    Upsample,
    ZeroConv3x3,
    depth_to_space,
    sinusoidal_embedding,
    space_to_depth,
)
from segsynth.networks.norms import GroupNorm


class _Context(NamedTuple):
    """What every block may look at."""

    embedding: Float[Array, "b e"]
    tokens: Float[Array, "b r k"]
    class_map: Float[Array, "b h w 1"] | None

    def row_mask(self, grid: tuple[int, int]) -> Array | None:
        if self.class_map is None:
            return None
        return class_row_mask(self.class_map, grid, self.tokens.shape[1])


class UNet(nn.Module):
    """Predicts the velocity of one pyramid level.

    Attributes:
      side: image side in pixels for which ``attn_grids`` is meant. The network is convolutional:
        inputs of other sizes, multiples of ``patch * 2 ** (len(widths) - 1)``, use the same
        parameters at the same depths.
      patch: side of the squares folded into channels by the stem.
      widths: channels per resolution, finest first; even, and multiples of 64 where there is
        attention on more than 64 channels.
      blocks: residual blocks per resolution on the way down; one more on the way up.
      attn_grids: token-grid sides, ``side / patch / 2^i``, where attention follows each residual
        block. The middle always has attention.
      out_channels: channels of the prediction.
      gain: guidance gain of the level, the static factor of what the class rows add.
      remat: recompute each block in the backward pass instead of storing its activations. The
        parameter tree is the same either way.
      dtype: type of convolutions and dense layers; parameters, norms, attention sums and the head
        are float32.
      attn: "linear", or "softmax" as a control on small grids.
      feature_map: feature map of the linear attention.

    """

    side: int
    patch: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    attn_grids: tuple[int, ...]
    out_channels: int = 3
    gain: float = 1.0
    remat: bool = False
    dtype: DTypeLike = jnp.float32
    attn: Attention = "linear"
    feature_map: FeatureMap = "swish_shift"

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b h w c"],
        t: Float[Array, " b"],
        tokens: Float[Array, "b rows k"],
        pooled: Float[Array, "b k"],
        aug: Float[Array, " b"] | None = None,
        class_map: Float[Array, "b h w 1"] | None = None,
    ) -> Float[Array, "b h w {self.out_channels}"]:
        """Predict v from a noisy image and its conditions.

        Args:
          x: the concatenated inputs (noisy image, known image, mask, lower level), images in
            [-1, 1].
          t: diffusion time in [0, 1].
          tokens: the class rows of the level.
          pooled: one vector per example that summarises the rows.
          aug: augmentation level of the lower result in [0, 1]; the parameters of its embedding
            exist only if it is given at ``init``.
          class_map: 0 = background, 1 = foreground per pixel; then ``tokens`` holds the rows of
            both classes, background first, and each token sees the rows of its own class only.

        Returns:
          float32, of the size of ``x``.

        Raises:
          ValueError: a side of ``x`` is not a multiple of the coarsest token, or the attributes
            contradict each other.

        """
        self._check(x.shape[1:3])
        context = _Context(self._embed(t, pooled, aug), tokens, class_map)
        h = space_to_depth(x, self.patch).astype(self.dtype)
        h = Conv3x3(self.widths[0], dtype=self.dtype, name="stem")(h)
        skips = self._down(h, context)
        h = self._middle(skips[-1], context)
        return self._head(self._up(h, skips, context))

    def _grids(self) -> list[int]:
        """Token-grid side of each resolution at the nominal image side."""
        return [self.side // self.patch // 2**level for level in range(len(self.widths))]

    def _check(self, size: tuple[int, ...]) -> None:
        if len(self.blocks) != len(self.widths):
            raise ValueError(f"blocks {self.blocks} for widths {self.widths}; give one of each")
        if not set(self.attn_grids) <= set(self._grids()):
            raise ValueError(f"attn_grids {self.attn_grids}; choose from {self._grids()}")
        coarsest = self.patch * 2 ** (len(self.widths) - 1)
        if any(n % coarsest for n in size):
            raise ValueError(
                f"image of {size[0]}x{size[1]}; pad both sides to multiples of {coarsest}"
            )

    def _embed(self, t: Array, pooled: Array, aug: Array | None) -> Array:
        """The conditioning vector MLP(sin t) + MLP(sin a) + MLP(pooled), 4 w_1 wide."""
        width = 4 * self.widths[0]
        e = MLP(width, name="time")(sinusoidal_embedding(t, self.widths[0]))
        e = e + MLP(width, name="pooled")(pooled.astype(jnp.float32))
        if aug is not None:
            e = e + MLP(width, name="augmentation")(sinusoidal_embedding(aug, self.widths[0]))
        return e

    def _down(self, h: Array, context: _Context) -> list[Array]:
        """The activations that the way up concatenates, finest first; the last is the result."""
        skips = [h]
        for level, count in enumerate(self.blocks):
            for i in range(count):
                skips.append(self._stage(skips[-1], context, level, f"down{level}_{i}"))
            if level < len(self.widths) - 1:
                half = Downsample(self.dtype, name=f"down{level}_half")
                skips.append(half(skips[-1]))
        return skips

    def _middle(self, h: Array, context: _Context) -> Array:
        h = self._residual(h, context, self.widths[-1], "middle_0")
        h = self._attention(h, context, "middle_attention")
        return self._residual(h, context, self.widths[-1], "middle_1")

    def _up(self, h: Array, skips: list[Array], context: _Context) -> Array:
        for level, count in reversed(list(enumerate(self.blocks))):
            for i in range(count + 1):
                h = jnp.concatenate([h, skips.pop()], axis=-1)
                h = self._stage(h, context, level, f"up{level}_{i}")
            if level > 0:
                h = Upsample(self.dtype, name=f"up{level}_double")(h)
        return h

    def _stage(self, h: Array, context: _Context, level: int, name: str) -> Array:
        """One residual block, and attention where the level's grid is listed."""
        h = self._residual(h, context, self.widths[level], name)
        if self._grids()[level] in self.attn_grids:
            h = self._attention(h, context, f"{name}_attention")
        return h

    def _residual(self, h: Array, context: _Context, width: int, name: str) -> Array:
        # Explicit names: nn.remat would otherwise rename ResBlock_0 to CheckpointResBlock_0.
        block = nn.remat(ResBlock) if self.remat else ResBlock
        return block(width, self.dtype, name=name)(h, context.embedding)

    def _attention(self, h: Array, context: _Context, name: str) -> Array:
        block = nn.remat(AttentionBlock) if self.remat else AttentionBlock
        block = block(self.gain, self.attn, self.feature_map, self.dtype, name=name)
        return block(h, context.tokens, context.row_mask(h.shape[1:3]))

    def _head(self, h: Array) -> Array:
        h = nn.silu(GroupNorm(name="head_norm")(h))
        h = ZeroConv3x3(self.out_channels * self.patch**2, name="head")(h)
        return depth_to_space(h, self.patch)
