"""What reads drawings of its pictures reads those that users get."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from segsynth import systems
from segsynth.networks import any_side
from segsynth.networks.resnet_generator import ResnetGenerator

READERS = {
    "depth": {"features": {"network": "standin", "side": 112}, "head": {"width": 1, "blocks": 1}},
    "segmenter": {"classes": 3, "width": 4, "levels": 1, "names": ["a", "b", "c"]},
}


def test_every_rest_of_both_sides_is_grown_and_cut_at_the_same_end():
    """What copies a picture gives it back, whatever its sides leave when divided by 4."""

    class Copying(ResnetGenerator):
        def apply(self, variables, photo):
            assert all(side % 4 == 0 and side >= 16 for side in photo.shape[1:3])
            return photo

    whole = np.random.default_rng(0).random((1, 20, 20, 3)).astype(np.float32)
    for height in (13, 16, 18, 19):
        for width in (14, 15, 17, 20):
            photo = jnp.asarray(whole[:, :height, :width])
            np.testing.assert_array_equal(any_side.drawn(Copying(3), {}, photo), photo)


@pytest.mark.parametrize("name", sorted(READERS))
def test_pictures_of_any_side_are_drawn_as_for_users(name):
    """Those of other sides than multiples of 4 grow by reflection first."""
    seen = []

    class Copying(ResnetGenerator):
        def apply(self, variables, photo):
            seen.append(photo.shape)
            return photo[..., :1]

    drawer = {"width": 4, "blocks": 1}
    system = systems.build({"name": name, **READERS[name], "drawer": drawer})
    system = dataclasses.replace(system, drawer=Copying(1))
    found = system._seen({"drawer": {}}, jnp.full((1, 18, 33, 3), 51, jnp.uint8))
    assert seen == [(1, 20, 36, 3)] and found.shape == (1, 18, 33, 1)
    np.testing.assert_allclose(found, 0.2, rtol=1e-6)
