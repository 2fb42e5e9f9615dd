"""Generators on pictures of any sides."""

import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.networks.any_side import drawn
from segsynth.networks.resnet_generator import ResnetGenerator


class Copying(ResnetGenerator):
    """A generator that gives back the first channel."""

    def apply(self, variables, photo):
        variables["seen"] = np.asarray(photo)
        return photo[..., :1]


@pytest.mark.parametrize(
    ("side", "grown"), [((16, 20), (16, 20)), ((18, 33), (20, 36)), ((5, 1), (16, 16))]
)
def test_pictures_grow_by_reflection_and_come_back(side, grown):
    photo, variables = np.random.default_rng(0).random((2, *side, 3), np.float32), {}
    found = drawn(Copying(1), variables, jnp.asarray(photo))
    np.testing.assert_array_equal(found, photo[..., :1])
    assert variables["seen"].shape == (2, *grown, 3)
    more = [(0, 0), *((0, b - a) for a, b in zip(side, grown, strict=True)), (0, 0)]
    columns = np.pad(photo, [*more[:2], (0, 0), (0, 0)], mode="reflect")
    expected = np.pad(
        columns, [(0, 0), (0, 0), more[2], (0, 0)], "reflect" if side[1] > 1 else "edge"
    )
    np.testing.assert_array_equal(variables["seen"], expected)
