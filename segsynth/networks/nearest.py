"""Where the nearest pixel of a region is: an exact Euclidean distance transform."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int


def nearest_pixel(
    outside: Bool[Array, "h w"],
) -> tuple[Int[Array, "h w"], Int[Array, "h w"]]:
    """Return row and column of the pixel at the smallest Euclidean distance that is not
    ``outside``; (0, 0) everywhere if all are.

    Two passes: the nearest pixel of each column, then for each row the best column.
    """
    height, width = outside.shape
    far = 10 * (height + width)  # farther away than any pixel
    rows = jnp.arange(height)[:, None]
    above = jax.lax.cummax(jnp.where(outside, -far, rows), axis=0)
    below = jax.lax.cummin(jnp.where(outside, far, rows), axis=0, reverse=True)
    row = jnp.where(rows - above <= below - rows, above, below)
    columns = jnp.arange(width)
    across = (columns[:, None] - columns[None, :]) ** 2
    # A row at a time: h x w x w numbers would not fit.
    column = jax.lax.map(lambda down: jnp.argmin(across + down[None, :], axis=1), (row - rows) ** 2)
    row = jnp.take_along_axis(row, column, axis=1)
    nothing = outside.all()
    return jnp.where(nothing, 0, row), jnp.where(nothing, 0, column)
