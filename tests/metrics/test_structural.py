"""Structural similarity against scikit-image, on known pictures, and by region."""

import pathlib

import clu.metrics
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.errors import UserError
from segsynth.metrics.structural import MARGIN, image_psnr, ssim, ssim_map, structural_scores

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "structural.npz"
PAIRS = ("alike", "unlike", "flat", "negative")

mapped = jax.jit(ssim_map)
score = jax.jit(structural_scores)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


def pair(golden, name):
    """Two pictures as the library has them: float32 in [-1, 1], with a batch axis."""
    return tuple(jnp.asarray(golden[f"{name}/{z}"] / 127.5 - 1, jnp.float32)[None] for z in "xy")


@pytest.mark.parametrize("name", PAIRS)
def test_scikit_image(name, golden):
    x, y = pair(golden, name)
    found = np.asarray(mapped(x, y))[0]
    assert found.shape == golden[f"{name}/map"].shape
    assert found.mean(dtype=np.float64) == pytest.approx(float(golden[f"{name}/ssim"]), abs=2e-7)
    np.testing.assert_allclose(found, golden[f"{name}/map"], atol=2e-6)
    assert float(image_psnr(x, y)[0]) == pytest.approx(float(golden[f"{name}/psnr"]), abs=1e-4)


@pytest.mark.parametrize("name", PAIRS)
def test_a_picture_and_itself(name, golden):
    x, y = pair(golden, name)
    np.testing.assert_allclose(mapped(x, x), 1.0, atol=1e-6)
    np.testing.assert_allclose(mapped(x, y), mapped(y, x), atol=1e-6)


def test_plain_pictures_in_closed_form():
    """Without variance only the luminance is left."""
    x, y = jnp.full((1, 12, 13, 1), -0.5), jnp.full((1, 12, 13, 1), 0.5)
    expected = (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)
    np.testing.assert_allclose(mapped(x, y), expected, rtol=1e-5)


def test_scores_by_region(golden):
    x, y = (np.concatenate(z) for z in zip(*(pair(golden, n) for n in PAIRS), strict=True))
    region = np.zeros((len(PAIRS), *x.shape[1:3], 1), np.float32)
    region[0, :14, :20] = 1
    region[1] = 1
    region[2, :3] = 1  # inside the picture, but no window's centre
    valid = np.array([1, 1, 1, 0], np.float32)
    x[3] = np.nan
    got = {name: float(m.compute()) for name, m in score(x, y, valid, region).items()}
    maps = [golden[f"{name}/map"].mean(-1) for name in PAIRS]
    chosen = region[:, MARGIN:-MARGIN, MARGIN:-MARGIN, 0] > 0.5
    inside = np.mean([maps[i][chosen[i]].mean() for i in (0, 1)])
    outside = np.mean([maps[i][~chosen[i]].mean() for i in (0, 2)])
    assert got == {
        "ssim": pytest.approx(np.mean([m.mean() for m in maps[:3]]), abs=1e-5),
        "psnr": pytest.approx(np.mean([golden[f"{n}/psnr"] for n in PAIRS[:3]]), abs=1e-4),
        "ssim_in": pytest.approx(inside, abs=1e-5),
        "ssim_out": pytest.approx(outside, abs=1e-5),
    }


def test_changes_inside_a_region_do_not_count_outside():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (2, 40, 40, 3)).astype(np.float32)
    region = np.zeros((2, 40, 40, 1), np.float32)
    region[:, 8:32, 8:32] = 1
    y = x.copy()
    y[:, 15:25, 15:25] *= -1  # no window with its centre outside reaches it
    got = score(x, y, jnp.ones(2), region)
    assert float(got["ssim_out"].compute()) == pytest.approx(1.0, abs=1e-6)
    assert float(got["ssim_in"].compute()) < 0.9


def test_merging_is_a_mean_over_examples(golden):
    parts = [score(*pair(golden, name), jnp.ones(1)) for name in PAIRS]
    assert set(parts[0]) == {"ssim", "psnr"}
    total = clu.metrics.Collection.create_collection(**parts[0])
    for part in parts[1:]:
        total = total.merge(clu.metrics.Collection.create_collection(**part))
    expected = np.mean([golden[f"{name}/ssim"] for name in PAIRS])
    assert float(total.compute()["ssim"]) == pytest.approx(expected, abs=1e-6)


def test_a_gradient_passes():
    x = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (1, 14, 14, 1)), jnp.float32)
    slope = jax.jit(jax.grad(lambda y: ssim(x, y)[0]))(0.5 * x)
    assert np.isfinite(slope).all() and np.abs(slope).max() > 1e-4


def test_pictures_smaller_than_a_window():
    with pytest.raises(UserError, match="10x20 px; windows are 11x11"):
        ssim_map(jnp.zeros((1, 10, 20, 3)), jnp.zeros((1, 10, 20, 3)))
