"""The nearest pixel against SciPy's distance transform."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from segsynth.networks.nearest import nearest_pixel


@pytest.mark.parametrize("shape", [(16, 16), (9, 23), (2, 60), (40, 3)])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.97])
def test_the_distance_is_scipys_and_the_pixel_is_inside(shape, share):
    outside = np.random.default_rng(1).random(shape) < share
    outside[-1, 1] = False  # one at least is inside
    rows, columns = (np.asarray(x) for x in jax.jit(nearest_pixel)(outside))
    assert not outside[rows, columns].any()
    mine = np.hypot(*(np.stack([rows, columns]) - np.indices(shape)))
    np.testing.assert_allclose(mine, ndimage.distance_transform_edt(outside), rtol=1e-6)


def test_where_all_is_outside_there_is_no_answer():
    rows, columns = nearest_pixel(jnp.ones((3, 5), bool))
    assert not rows.any() and not columns.any()
