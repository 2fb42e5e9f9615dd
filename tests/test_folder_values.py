"""The figures of two folders against NumPy and SciPy, from the pictures and the features alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize
from test_folders import arrays, features, noisy, scored, small, write  # noqa: F401

from segsynth.metrics.frechet import frechet_distance
from segsynth.pretrained import loading

COUNT = 12


@pytest.fixture(scope="module")
def both():
    """Two sets that share nothing: a support vector machine tells them apart, but not all."""
    return arrays(COUNT, seed=1), arrays(COUNT, seed=51)


def folders(tmp_path, real, fake, names=None):
    return write(tmp_path / "real", real), write(tmp_path / "fake", fake, names)


def mean_over_pairs(x, y):
    """Mean of the kernel over pairs of rows, one by one; of pairs of different rows if x is y."""
    pairs = [(a, b) for i, a in enumerate(x) for j, b in enumerate(y) if x is not y or i != j]
    return np.mean([(a @ b / len(a) + 1) ** 3 for a, b in pairs])


def test_frechet_and_kernel_distances(both, tmp_path):
    found = scored(folders(tmp_path, *both), tmp_path, metrics=("frechet", "kid"))
    real, fake = map(features, both)
    moments = [(x.mean(0), np.cov(x, rowvar=False)) for x in (real, fake)]
    expected = frechet_distance(*moments[0], *moments[1])
    assert found["frechet[standin]"] == pytest.approx(expected, rel=1e-3)
    parts = [mean_over_pairs(*pair) for pair in ((real, real), (fake, fake), (real, fake))]
    expected = parts[0] + parts[1] - 2 * parts[2]
    assert abs(expected) > 1e-3
    assert found["kernel[standin]"] == pytest.approx(expected, rel=1e-3)
    assert found["kernel[standin]/std"] == 0  # one subset of all


def test_subsets_of_the_larger_folder(both, tmp_path):
    """With 12 and 8 pictures 100 draws of 8: their mean is near that of all, and they differ."""
    pair = folders(tmp_path, both[0], both[1][:8])
    found = scored(pair, tmp_path, metrics=["kid"], paired=False)
    real, fake = features(both[0]), features(both[1][:8])
    parts = [mean_over_pairs(*pair) for pair in ((real, real), (fake, fake), (real, fake))]
    spread = found["kernel[standin]/std"]
    assert spread > 1e-3
    expected = parts[0] + parts[1] - 2 * parts[2]
    assert abs(found["kernel[standin]"] - expected) < 4 * spread / 10


def test_psnr(both, tmp_path):
    fake = noisy(both[0])
    found = scored(folders(tmp_path, both[0], fake), tmp_path, metrics=["psnr"])
    errors = ((np.float64(both[0]) - fake) ** 2).mean((1, 2, 3))
    assert found["psnr"] == pytest.approx((10 * np.log10(255**2 / errors)).mean(), abs=1e-4)


def test_ssim(both, tmp_path):
    fake = noisy(both[0])
    found = scored(folders(tmp_path, both[0], fake), tmp_path, metrics=["ssim"])
    line = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2

    def mean(x):
        seen = np.lib.stride_tricks.sliding_window_view(x, (11, 11), axis=(1, 2))
        return (seen * window).sum((-2, -1))

    x, y = np.float64(both[0]), np.float64(fake)
    mx, my, c1, c2 = mean(x), mean(y), (0.01 * 255) ** 2, (0.03 * 255) ** 2
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    similar = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert 0.3 < similar.mean() < 0.95
    assert found["ssim"] == pytest.approx(similar.mean(), abs=1e-5)


@pytest.mark.parametrize("name", ["lpips_alex", "lpips_squeeze"])
def test_lpips(both, tmp_path, name):
    """The network on pictures in [-1, 1], one pair after the other."""
    fake = noisy(both[0])
    reference = "" if name == "lpips_alex" else f"standin:{name}"
    pair = folders(tmp_path, both[0][:5], fake[:5])
    found = scored(pair, tmp_path, metrics=["lpips"], lpips=reference)
    apply = jax.jit(loading.standin(name).apply)
    scaled = [jnp.asarray(np.float32(x[:5]) / 127.5 - 1) for x in (both[0], fake)]
    distances = [float(apply(x[None], y[None])[0]) for x, y in zip(*scaled, strict=True)]
    assert np.mean(distances) > 1e-3
    assert found["perceptual[standin]"] == pytest.approx(np.mean(distances), rel=1e-4)


def decisions(real, fake):
    """Of a support vector machine that a general minimiser found for the function written out."""
    table = np.concatenate([real, fake])
    table = np.concatenate([table, np.ones((len(table), 1))], axis=1)
    labels = np.repeat([1.0, -1.0], len(real))

    def loss(w):
        short = np.maximum(1 - labels * (table @ w), 0)
        return w @ w / 2 + short @ short, w - 2 * table.T @ (labels * short)

    found = optimize.minimize(loss, np.zeros(table.shape[1]), jac=True, method="BFGS", tol=1e-9)
    return np.split(table @ found.x, 2)


def test_fooling_rates(both, tmp_path):
    found = scored(folders(tmp_path, *both), tmp_path, metrics=["pids"])
    of_real, of_fake = decisions(*map(features, both))
    # No decision is so near that rounding could turn it.
    assert min(np.abs(of_real - of_fake).min(), np.abs([of_real, of_fake]).min()) > 1e-3
    paired = (of_fake > of_real).mean()
    unpaired = ((of_real < 0).sum() + (of_fake > 0).sum()) / (2 * COUNT)
    assert 0 < paired < unpaired < 0.5
    assert found["paired_fooling[standin]"] == paired
    assert found["unpaired_fooling[standin]"] == unpaired


def test_who_is_whose_partner_matters_to_paired_fooling_alone(both, tmp_path):
    names = [f"{(i + 1) % COUNT:02}" for i in range(COUNT)]
    found = scored(folders(tmp_path, *both, names), tmp_path, metrics=["pids"])
    of_real, of_fake = decisions(*map(features, both))
    turned = (np.roll(of_fake, 1) > of_real).mean()
    assert turned != (of_fake > of_real).mean()
    assert found["paired_fooling[standin]"] == turned
    unpaired = ((of_real < 0).sum() + (of_fake > 0).sum()) / (2 * COUNT)
    assert found["unpaired_fooling[standin]"] == unpaired


def test_exchanging_the_folders_changes_no_figure(both, tmp_path):
    """No metric here has a side: a support vector machine of exchanged labels is minus the first,
    so even the share of pairs that fool it stays.
    """
    metrics = ("frechet", "kid", "psnr", "ssim", "pids")
    pair = folders(tmp_path, *both)
    there = scored(pair, tmp_path, metrics=metrics)
    back = scored(pair[::-1], tmp_path, metrics=metrics)
    assert back == pytest.approx(there, rel=1e-4)
