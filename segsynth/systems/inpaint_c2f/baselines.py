"""Fills that need no network: what a trained model has to beat."""

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

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
    """Exact distance transform in two passes: along columns, then each row over all columns."""
    row = _nearest_row(hole)
    distance = (row - jnp.arange(hole.shape[0])[:, None]).astype(jnp.float32) ** 2
    column = jnp.arange(hole.shape[1])
    across = (column[:, None] - column[None, :]).astype(jnp.float32) ** 2

    def best(distance_of_row: Array) -> Int[Array, " w"]:
        return jnp.argmin(across + distance_of_row[None, :], axis=1)

    chosen = jax.lax.map(best, distance)
    return image[jnp.take_along_axis(row, chosen, axis=1), chosen]


def _nearest_row(hole: Array) -> Int[Array, "h w"]:
    """Return for each pixel the row of the nearest known pixel in its column; farther away than any
    pixel of the picture if there is none.
    """
    far = 10 * max(hole.shape)
    rows = jnp.broadcast_to(jnp.arange(hole.shape[0])[:, None], hole.shape)
    above = jax.lax.cummax(jnp.where(hole, -far, rows), axis=0)
    below = jax.lax.cummin(jnp.where(hole, far, rows), axis=0, reverse=True)
    return jnp.where(rows - above <= below - rows, above, below)
