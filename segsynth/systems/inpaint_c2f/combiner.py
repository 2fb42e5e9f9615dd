"""The guidance combiner: corrects a lower level's result before it enters the next level.

The paper says only that the combiner "corrects the previous stage's result for consistency"; see
docs/inpaint_c2f.md.
"""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from segsynth.networks.blocks import Conv3x3, ResBlock, ZeroConv3x3, depth_to_space, space_to_depth
from segsynth.systems.inpaint_c2f.pyramid import compose, double
from segsynth.types import Array

Combiner = Literal["none", "analytic", "learned"]

#: Largest correction of a colour channel, in units of [-1, 1] images.
_MAX_CORRECTION = 0.25


def _gaussian(side: int, sigma: float) -> Float[np.ndarray, "n n"]:
    """Return the matrix that blurs an axis of ``side`` px; weights beyond 3 sigma are 0; rows at
    the border sum to less than 1.
    """
    distance = np.abs(np.arange(side)[:, None] - np.arange(side)[None, :])
    weights = np.exp(-0.5 * (distance / sigma) ** 2) * (distance <= 3 * sigma)
    reach = np.arange(-int(3 * sigma), int(3 * sigma) + 1)
    return (weights / np.exp(-0.5 * (reach / sigma) ** 2).sum()).astype(np.float32)


def _blur(x: Float[Array, "b h w c"], sigma: float) -> Float[Array, "b h w c"]:
    rows, cols = _gaussian(x.shape[1], sigma), _gaussian(x.shape[2], sigma)
    return jnp.einsum("ih,bhwc,jw->bijc", rows, x, cols, precision="highest")


def colour_correction(
    upsampled: Float[Array, "b h w 3"],
    image: Float[Array, "b h w 3"],
    mask: Float[Array, "b h w 1"],
    side: int,
) -> Float[Array, "b h w 3"]:
    """Carry the mismatch on the known side into the hole by normalised Gaussian blurs (sigma
    side/64 and side/16).

    It fades where no known pixel is near. ``image`` counts where ``mask`` is 0 only.
    """
    known = jnp.where(mask > 0.5, 0.0, 1.0)
    residual = compose(mask, jnp.zeros_like(image), image - upsampled)
    scales = (side / 64, side / 16)
    weight = sum(_blur(known, sigma) for sigma in scales) + 1e-3
    delta = sum(_blur(residual, sigma) for sigma in scales) / weight
    return jnp.clip(delta, -_MAX_CORRECTION, _MAX_CORRECTION)


def surrounding_colours(
    image: Float[Array, "b h w 3"], mask: Float[Array, "b h w 1"], side: int
) -> Float[Array, "b h w 3"]:
    """Fill the hole with the colours around it: Gaussian means at three scales, the finest that
    reaches a known pixel prevailing; where none does, 0. Known pixels stay. ``side``: the level's.
    """
    known = jnp.where(mask > 0.5, 0.0, 1.0)
    visible = compose(mask, jnp.zeros_like(image), image)
    # A scale counts four times as much as the next coarser one.
    weights = {side / 32: 16.0, side / 16: 4.0, side / 8: 1.0}
    total = sum(w * _blur(visible, sigma) for sigma, w in weights.items())
    reached = sum(w * _blur(known, sigma) for sigma, w in weights.items())
    return compose(mask, total / (reached + 1e-6), visible)


class CombinerNet(nn.Module):
    """The learned residual: four residual blocks of width 64 modulated by the pooled category
    vector.
    """

    patch: int
    width: int = 64

    @nn.compact
    def __call__(
        self,
        corrected: Float[Array, "b h w 3"],
        known: Float[Array, "b h w 3"],
        mask: Float[Array, "b h w 1"],
        delta: Float[Array, "b h w 3"],
        pooled: Float[Array, "b k"],
    ) -> Float[Array, "b h w 3"]:
        """Return sigmoid(a) * Delta, zero at initialisation."""
        e = nn.Dense(128, name="film")(pooled)
        x = jnp.concatenate([corrected, known, mask, delta], axis=-1)
        x = Conv3x3(self.width, name="stem")(space_to_depth(x, self.patch))
        for i in range(4):
            x = ResBlock(self.width, name=f"res{i}")(x, e)
        x = ZeroConv3x3(4 * self.patch**2, name="head")(x)
        residual, gate = jnp.split(depth_to_space(x, self.patch), [3], axis=-1)
        return nn.sigmoid(gate) * residual

    def init_inputs(self, side: int, pooled: Float[Array, "b k"]) -> tuple:
        """Return arguments of the right shapes for ``init``."""
        image = jnp.zeros((pooled.shape[0], side, side, 3))
        return image, image, image[..., :1], image, pooled


def combine(
    lower: Float[Array, "b H W 3"],
    image: Float[Array, "b h w 3"],
    mask: Float[Array, "b h w 1"],
    *,
    side: int,
    mode: Combiner,
    residual: nn.Module | None = None,
    params: dict | None = None,
    pooled: Float[Array, "b k"] | None = None,
    gain: float = 1.0,
) -> Float[Array, "b h w 3"]:
    """Return the condition c of a level from the lower level's output; known pixels equal ``image``
    bit for bit.

    ``residual``, ``params``, ``pooled`` and ``gain`` serve the mode ``"learned"``.
    """
    upsampled = double(lower)
    known = compose(mask, jnp.zeros_like(image), image)
    if mode == "none":
        return compose(mask, upsampled, known)
    delta = colour_correction(upsampled, known, mask, side)
    corrected = compose(mask, jnp.clip(upsampled + delta, -1, 1), known)
    if mode == "analytic":
        return corrected
    added = residual.apply({"params": params}, corrected, known, mask, delta, pooled)
    return compose(mask, jnp.clip(corrected + gain * added, -1, 1), known)
