"""How densely the labelled pixels of a class lie around each pixel: sums of a Gaussian kernel."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from segsynth.crf import features
from segsynth.crf.lattice import build_lattice, default_capacity
from segsynth.crf.nearest_cells import blockwise


def density(
    image: np.ndarray | Array,
    labels: Int[np.ndarray, "h w"],
    classes: int,
    *,
    xy: float,
    rgb: float,
) -> Float[np.ndarray, "h w {classes}"]:
    """sum_j exp(-d_ij^2 / 2) over the pixels j of each class, by one lattice filter.

    d_ij^2 = |p_i - p_j|^2 / xy^2 + |I_i - I_j|^2 / rgb^2. The sums come out
    times a factor that is nearly the same everywhere, about one half, and 0 beyond about 3 sd.

    Args:
      image: [H, W, 3], RGB in 0..255.
      labels: 0 .. classes - 1, negative where unlabelled.
      classes: how many there are, at least 1.
      xy: standard deviation in position, pixels, > 0.
      rgb: standard deviation in colour, levels, > 0.

    """
    xy, rgb = max(xy, features.NARROWEST), max(rgb, features.NARROWEST)
    capacity = default_capacity(labels.size)
    while True:
        out, overflow = _filtered(
            jnp.asarray(image), jnp.asarray(labels), classes, xy, rgb, capacity
        )
        if not bool(overflow):
            return np.asarray(out)
        capacity *= 2


@functools.partial(jax.jit, static_argnums=(2, 3, 4, 5))
def _filtered(image, labels, classes, xy, rgb, capacity):
    height, width = labels.shape
    lattice = build_lattice(
        features.bilateral(image, xy, rgb),
        bounds=features.bilateral_bounds(height, width, xy, rgb),
        capacity=capacity,
        with_rows=False,
    )
    ones = jnp.ones(labels.size, jnp.float32)
    field = lattice.collect_labels(labels.reshape(-1), ones, classes)
    out = lattice.read(lattice.spread(field), ones)
    return out.reshape(height, width, classes), lattice.overflow


def density_exact(
    queries: Float[np.ndarray, "m d"],
    points: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    classes: int,
) -> Float[np.ndarray, "m {classes}"]:
    """The sums at queries by comparing every query with every point: m n distances."""
    return blockwise(queries, points, labels, classes, lambda d: np.exp(-0.5 * d**2).sum(axis=1))
