"""A generator on pictures whose sides it would round up: grown by reflection before, cut after."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from segsynth.networks.resnet_generator import ResnetGenerator
from segsynth.types import Variables

#: Of the sides that a generator keeps, and the least of them, px.
MULTIPLE, SMALLEST = 4, 16


def drawn(
    generator: ResnetGenerator, variables: Variables, photo: Float[Array, "b h w c"]
) -> Float[Array, "b h w _"]:
    """Return what a generator makes of pictures, in their size.

    They grow at the bottom and on the right: what is made does not end in the zeros that a stride
    of 2 meets at an odd border. Pictures of one pixel repeat it.
    """
    height, width = photo.shape[1:3]
    for axis, side in ((1, height), (2, width)):
        more = max(-(-side // MULTIPLE) * MULTIPLE, SMALLEST) - side
        pad = [(0, more) if i == axis else (0, 0) for i in range(4)]
        photo = jnp.pad(photo, pad, mode="reflect" if side > 1 else "edge")
    return generator.apply(variables, photo)[:, :height, :width]
