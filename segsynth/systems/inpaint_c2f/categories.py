"""Latent categories guidance (LCG): learned rows for background and foreground, and the level
network that reads them.

Classes follow the mask type: an object hole is foreground; scene, random and replaced holes are
  background.
"""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Float, Int

from segsynth.networks.attention import Attention, FeatureMap
from segsynth.networks.norms import LayerNorm
from segsynth.networks.unet import UNet
from segsynth.systems.inpaint_c2f.levels import Level
from segsynth.types import Array

BACKGROUND, FOREGROUND = 0, 1
CATEGORIES = ("background", "foreground")
#: Id of the mask type "object" (`segsynth.data.masks`), the only one whose class is foreground.
OBJECT_MASK = 0


def category_of(mask_type: Int[Array, " b"]) -> Int[Array, " b"]:
    """Return the class of each mask type."""
    return jnp.where(mask_type == OBJECT_MASK, FOREGROUND, BACKGROUND)


class CategoryTables(nn.Module):
    """Three tables of ``tokens x dim``: background, foreground, and null for classifier-free
    guidance.
    """

    tokens: int = 10
    dim: int = 1024

    @nn.compact
    def __call__(
        self, category: Int[Array, " b"], null: Float[Array, " b"]
    ) -> Float[Array, "b tokens dim"]:
        """Return the rows of each example's class, or the null rows where ``null`` is 1."""
        shape, normal = (self.tokens, self.dim), nn.initializers.normal(1.0)
        names = ("background", "foreground", "null")
        tables = jnp.stack([self.param(name, normal, shape) for name in names])
        return tables[jnp.where(null > 0.5, 2, category)]


class LevelNet(nn.Module):
    """The denoiser of one level with its projection of the category rows."""

    level: Level
    dtype: DTypeLike = jnp.float32
    attn: Attention = "linear"
    feature_map: FeatureMap = "swish_shift"

    def setup(self):
        """Name the parts."""
        level = self.level
        self.projection = nn.Dense(min(768, max(level.widths)), use_bias=False)
        self.norm = LayerNorm()
        self.unet = UNet(
            side=level.side,
            patch=level.patch,
            widths=level.widths,
            blocks=level.blocks,
            attn_grids=level.attention,
            gain=level.gain,
            remat=level.remat,
            dtype=self.dtype,
            attn=self.attn,
            feature_map=self.feature_map,
        )

    def project(self, rows: Float[Array, "b tokens dim"]) -> Float[Array, "b tokens width"]:
        """Convert table rows to this level's attention input, K = LayerNorm(E P)."""
        return self.norm(self.projection(rows))

    def pool(self, rows: Float[Array, "b tokens dim"]) -> Float[Array, "b width"]:
        """Return the mean projected row, the pooled path into the network and the combiner."""
        return self.project(rows).mean(axis=1)

    def __call__(
        self,
        x_t: Float[Array, "b h w 3"],
        known: Float[Array, "b h w 3"],
        mask: Float[Array, "b h w 1"],
        lower: Float[Array, "b h w 3"] | None,
        t: Float[Array, " b"],
        aug: Float[Array, " b"] | None,
        rows: Float[Array, "b tokens dim"],
    ) -> Float[Array, "b h w 3"]:
        """Return the raw prediction (v or eps).

        ``known`` is zero in the hole; ``lower`` and ``aug`` are the noised combiner output and its
        augmentation level, absent at the lowest level.
        """
        x = jnp.concatenate([x_t, known, mask] + ([] if lower is None else [lower]), axis=-1)
        k = self.project(rows)
        return self.unet(x, t, k, k.mean(axis=1), aug)

    def init_inputs(self, rows: Float[Array, "b tokens dim"]) -> tuple:
        """Return arguments of the right shapes for ``init``."""
        side, b = self.level.side, rows.shape[0]
        image, mask, scalar = (jnp.zeros(s) for s in ((b, side, side, 3), (b, side, side, 1), (b,)))
        lower, aug = (None, None) if self.level.index == 1 else (image, scalar)
        return image, image, mask, lower, scalar, aug, rows


def negative_rows(
    tables: CategoryTables,
    params: dict,
    category: Int[Array, " b"],
    seen: Int[Array, "2"],
    kind: Literal["opposite", "null"],
) -> Float[Array, "b tokens dim"]:
    """Return the rows of the negative branch of guidance.

    ``"opposite"`` contrasts the two classes as PixelHacker does. A class of which training saw no
    example (``seen`` counts them) has an untrained table, and then the null rows stand in: an
    untrained opposite is noise.
    """
    null = jnp.ones(category.shape)
    if kind == "opposite":
        null = null * (seen.min() < 1)
    return tables.apply({"params": params}, 1 - category, null)
