"""Restorations that need no network: what a trained one has to beat."""

import jax
import jax.numpy as jnp

from segsynth.networks.nearest import nearest_pixel
from segsynth.systems.mask_restoration.degradations import Labels, LowResolution, Mask
from segsynth.types import Array


def nearest_label(labels: Labels, missing: Mask) -> Labels:
    """Give each missing pixel the label of the nearest one that has any (Euclidean distance); a map
    without any stays as it is.
    """
    return jax.vmap(_nearest)(labels, missing)


def _nearest(labels: Array, missing: Array) -> Array:
    found = labels[nearest_pixel(missing)]
    return jnp.where(missing & ~missing.all(), found, labels)


def bilinear_argmax(damaged: Labels, kind: LowResolution, classes: int) -> Labels:
    """Interpolate the one-hot planes of the sampled pixels between where they were taken, and take
    the largest.
    """
    low = jnp.pad(kind.sampled(damaged), ((0, 0), (1, 1), (1, 1)), mode="edge")
    # From the middle of a block to its sampled pixel, and back over what was added.
    shift = kind.offset + 0.5 - kind.factor / 2 - kind.factor
    planes = jax.image.scale_and_translate(
        jax.nn.one_hot(low.astype(jnp.int32), classes),
        (*damaged.shape, classes),
        (1, 2),
        jnp.full(2, float(kind.factor)),
        jnp.full(2, shift),
        method="linear",
        antialias=False,
    )
    return planes.argmax(-1).astype(jnp.uint8)
