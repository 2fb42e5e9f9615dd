"""The leak-free pyramid: images and hole masks at every level, and the step between levels.

Throughout this folder: images float32 in [-1, 1], masks float32 in {0, 1} with 1 = hole, NHWC,
  lowest level first.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float, Shaped

from segsynth.types import Array


def halve(x: Float[Array, "b h w c"]) -> Float[Array, "b H W c"]:
    """Half the sides by an antialiased triangle filter (four taps an axis)."""
    b, h, w, c = x.shape
    return jax.image.resize(x, (b, h // 2, w // 2, c), "linear", antialias=True)


def double(x: Float[Array, "b h w c"]) -> Float[Array, "b H W c"]:
    """Twice the sides, bilinear: unlike a cubic filter it does not overshoot."""
    b, h, w, c = x.shape
    return jax.image.resize(x, (b, 2 * h, 2 * w, c), "linear")


def halve_mask(mask: Float[Array, "b h w 1"]) -> Float[Array, "b H W 1"]:
    """Call a coarse pixel known only if every tap of its filter is known.

    A 2x2 max-pool would not do: the filter of :func:`halve` is wider than the pool and carries hole
    content in.
    """
    return (halve(1 - mask) < 1 - 1e-6).astype(mask.dtype)


def compose(
    mask: Float[Array, "b h w 1"], hole: Shaped[Array, "b h w c"], known: Shaped[Array, "b h w c"]
) -> Shaped[Array, "b h w c"]:
    """Return ``hole`` in the hole and ``known`` outside, so that a NaN on either side does not
    cross over.
    """
    return jnp.where(mask > 0.5, hole, known)


def build_pyramid(
    image: Float[Array, "b h w c"], mask: Float[Array, "b h w 1"], levels: int
) -> list[tuple[Float[Array, "b _ _ c"], Float[Array, "b _ _ 1"]]]:
    """Return ``(image, mask)`` of each level, lowest first; the last is what was given."""
    pyramid = [(image, mask)]
    for _ in range(levels - 1):
        image, mask = halve(image), halve_mask(mask)
        pyramid.append((image, mask))
    return pyramid[::-1]
