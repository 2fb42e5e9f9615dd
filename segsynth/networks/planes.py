"""Between the bytes of a batch and the planes that image networks take and make."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, UInt8

Bytes = Literal["rounded", "truncated"]


def label_planes(
    labels: Integer[Array, "b h w 1"], classes: int
) -> Float[Array, "b h w {classes}"]:
    """Return a plane for each class, 1 where a pixel is of it.

    A number outside 0 .. classes - 1 is in no plane. One-hot maps are made on the device: at
    256x512 px and 35 classes they hold 140 times the bytes of the numbers.
    """
    return jax.nn.one_hot(labels[..., 0].astype(jnp.int32), classes)


def edge_plane(instance: Integer[Array, "b h w 1"]) -> Float[Array, "b h w 1"]:
    """Return 1 where a pixel's object is not that of one of its four neighbours."""
    edge = jnp.zeros(instance.shape, bool)
    for axis in (1, 2):
        size = instance.shape[axis]
        before = jax.lax.slice_in_dim(instance, 0, size - 1, axis=axis)
        after = jax.lax.slice_in_dim(instance, 1, size, axis=axis)
        apart = before != after
        for side in ((0, 1), (1, 0)):
            edge |= jnp.pad(apart, [side if i == axis else (0, 0) for i in range(4)])
    return edge.astype(jnp.float32)


def to_unit(image: UInt8[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Map bytes to float32 in [-1, 1]; exact both ways for all 256 values."""
    return image.astype(jnp.float32) / 127.5 - 1


def to_bytes(image: Float[Array, "b h w c"], how: Bytes = "rounded") -> UInt8[Array, "b h w c"]:
    """Map [-1, 1] to bytes, "rounded", or "truncated" as by SPADE's own scripts."""
    scaled = (jnp.clip(image, -1, 1) + 1) * 127.5
    return (jnp.round(scaled) if how == "rounded" else scaled).astype(jnp.uint8)
