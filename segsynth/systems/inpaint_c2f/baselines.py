"""Fills that need no network: what a trained model has to beat."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from segsynth.networks.nearest import nearest_pixel
from segsynth.systems.inpaint_c2f.pyramid import compose
from segsynth.types import Array


def mean_colour(
    image: Float[Array, "b h w c"], mask: Float[Array, "b h w 1"]
) -> Float[Array, "b h w c"]:
    """Fill the hole with the mean of the known pixels (0 where none is known)."""
    known = compose(mask, jnp.zeros_like(image), image)
    count = jnp.maximum((1 - mask).sum(axis=(1, 2), keepdims=True), 1)
    mean = known.sum(axis=(1, 2), keepdims=True) / count
    return compose(mask, jnp.broadcast_to(mean, image.shape), image)


def nearest_known(
    image: Float[Array, "b h w c"], mask: Float[Array, "b h w 1"]
) -> Float[Array, "b h w c"]:
    """Fill each hole pixel with the known pixel at the smallest Euclidean distance (0 where none is
    known).
    """
    known = compose(mask, jnp.zeros_like(image), image)
    return compose(mask, jax.vmap(_nearest)(known, mask[..., 0] > 0.5), image)


def _nearest(image: Float[Array, "h w c"], hole: Array) -> Float[Array, "h w c"]:
    return image[nearest_pixel(hole)]
