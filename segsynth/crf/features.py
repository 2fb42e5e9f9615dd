"""Features of pixels in standard deviations of a kernel, raster order, and their static bounds."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Num, Shaped

from segsynth.crf.simplex import Bounds

#: One level or pixel is then ten standard deviations, a kernel of exp(-50): narrower widths change
#: nothing but the size of the lattice's keys.
NARROWEST = 0.1

Width = float | Float[Array, ""]


def positions(height: int, width: int, sd: Width) -> Float[Array, "n 2"]:
    """(x, y) of each pixel over ``sd`` pixels."""
    x = jnp.broadcast_to(jnp.arange(width, dtype=jnp.float32)[None], (height, width))
    y = jnp.broadcast_to(jnp.arange(height, dtype=jnp.float32)[:, None], (height, width))
    return jnp.stack([x.reshape(-1), y.reshape(-1)], axis=1) / sd


def bilateral(image: Num[Array, "h w 3"], xy: Width, rgb: Width) -> Float[Array, "n 5"]:
    """(x, y, r, g, b) of each pixel over its width.

    Args:
      image: RGB in 0..255.
      xy: standard deviation of positions, pixels.
      rgb: standard deviation of colours, levels.

    """
    colour = image.reshape(-1, 3).astype(jnp.float32) / rgb
    return jnp.concatenate([positions(*image.shape[:2], xy), colour], axis=1)


def bilateral_bounds(height: int, width: int, xy: float, rgb: float) -> Bounds:
    """Bounds of `bilateral` features of any image of a size."""
    across = tuple((0.0, max(side - 1, 1) / xy) for side in (width, height))
    return (*across, *((0.0, 255.0 / rgb),) * 3)


def sample(x: Shaped[Array, "h w ..."]) -> Shaped[Array, "g v ..."]:
    """One pixel of each 2x2 block, on a quincunx: lower left in even rows of blocks, upper right in
    odd ones.

    Samples keep the image's own colours. Means of blocks have colours that no pixel has, and as
    senders of the kernel disagree with the full sum on two to three times as many pixels.
    """
    height, width = x.shape[:2]
    margin = ((0, height % 2), (0, width % 2)) + ((0, 0),) * (x.ndim - 2)
    x = jnp.pad(x, margin, mode="edge")
    odd = (jnp.arange(x.shape[0] // 2) % 2 == 1).reshape((-1,) + (1,) * (x.ndim - 1))
    return jnp.where(odd, x[::2, 1::2], x[1::2, ::2])
