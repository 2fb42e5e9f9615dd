"""Fills that need no network, against NumPy and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from segsynth.systems.inpaint_c2f import baselines


def hole_examples(height, width):
    rng = np.random.default_rng(7)
    mask = np.zeros((5, height, width, 1), np.float32)
    mask[0, height // 4 : -1, : width // 2] = 1
    mask[1] = rng.random((height, width, 1)) < 0.95
    mask[2] = 1
    mask[2, -1, width // 3] = 0  # one known pixel
    mask[3, 0, 0] = 1
    return mask  # the last one has no hole


@pytest.mark.parametrize("shape", [(16, 16), (9, 23), (2, 60)])
def test_nearest_known_is_the_nearest(shape):
    """The picture holds its own coordinates, so a fill tells which pixel it took."""
    mask = hole_examples(*shape)
    place = np.stack(np.indices(shape), axis=-1).astype(np.float32)
    image = np.broadcast_to(place, (len(mask), *shape, 2))
    poisoned = np.where(mask > 0.5, np.float32(np.nan), image)
    fill = np.asarray(jax.jit(baselines.nearest_known)(poisoned, mask))
    for m, taken in zip(mask[..., 0], fill, strict=True):
        distance = np.linalg.norm(taken - place, axis=-1)
        expected = ndimage.distance_transform_edt(m)
        np.testing.assert_allclose(distance, expected, rtol=1e-6)
        rows, columns = taken.astype(int)[..., 0], taken.astype(int)[..., 1]
        assert (m[rows, columns] == 0).all()  # it is a known pixel that was taken


def test_mean_colour_against_numpy():
    mask = hole_examples(9, 23)
    image = np.random.default_rng(8).uniform(-1, 1, (5, 9, 23, 3)).astype(np.float32)
    poisoned = np.where(mask > 0.5, np.float32(np.nan), image)
    fill = np.asarray(jax.jit(baselines.mean_colour)(poisoned, mask))
    for m, x, got in zip(mask[..., 0] > 0.5, image, fill, strict=True):
        expected = np.where(m[..., None], x[~m].mean(axis=0), x)
        np.testing.assert_allclose(got, expected, atol=1e-6)
        assert got[~m].tobytes() == x[~m].tobytes()


@pytest.mark.parametrize("fill", [baselines.mean_colour, baselines.nearest_known])
def test_nothing_known_gives_grey(fill):
    image, mask = jnp.full((1, 4, 4, 3), jnp.nan), jnp.ones((1, 4, 4, 1))
    assert not np.asarray(fill(image, mask)).any()
