"""Fréchet distance against closed forms, pytorch-fid and torchmetrics; sums that merge exactly."""

import functools
import pathlib

import clu.metrics
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from segsynth.errors import UserError
from segsynth.metrics.frechet import (
    FrechetDistance,
    frechet_distance,
    frechet_scores,
    mean_and_covariance,
)
from segsynth.metrics.moments import FeatureMoments
from segsynth.metrics.names import name_of
from segsynth.pretrained import loading

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "frechet.npz"
CASES = ("wide", "deep", "singular")
COUNT, WIDTH = 24, 6


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


def features(seed=0):
    """Features of a real and a made set, some negative, of several magnitudes."""
    rng = np.random.default_rng(seed)
    scale = 4.0 ** np.arange(-2, WIDTH - 2)
    real, fake = rng.standard_normal((2, COUNT, WIDTH)) * scale
    return real.astype(np.float32), (fake + 0.3).astype(np.float32)


moments = jax.jit(FeatureMoments.of)
score = jax.jit(FrechetDistance.of)
merged = jax.jit(lambda a, b: a.merge(b))


def by_hand(x):
    x = np.float64(x)
    return x.mean(0), np.cov(x, rowvar=False)


def assert_same(ours, theirs):
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("case", CASES)
def test_pytorch_fid_on_given_moments(case, golden):
    real, fake = (by_hand(golden[f"{case}/{kind}"]) for kind in ("real", "fake"))
    assert frechet_distance(*real, *fake) == pytest.approx(golden[f"{case}/frechet"], abs=1e-6)


def test_gaussians_in_closed_form():
    """Covariances with common eigenvectors: the sum of squared differences of the deviations."""
    rng = np.random.default_rng(1)
    axes, _ = np.linalg.qr(rng.standard_normal((9, 9)))
    first, second = rng.uniform(0.1, 3, (2, 9))
    mean1, mean2 = rng.standard_normal((2, 9))
    got = frechet_distance(mean1, axes * first**2 @ axes.T, mean2, axes * second**2 @ axes.T)
    expected = ((mean1 - mean2) ** 2).sum() + ((first - second) ** 2).sum()
    assert got == pytest.approx(expected, abs=1e-10)
    swapped = frechet_distance(mean2, axes * second**2 @ axes.T, mean1, axes * first**2 @ axes.T)
    assert swapped == pytest.approx(got, abs=1e-10)


@pytest.mark.parametrize("examples", [8, 200])
def test_a_set_and_itself(examples):
    """Also with fewer examples than features, where the covariance has no inverse."""
    x = np.abs(np.random.default_rng(2).standard_normal((examples, 64))) * 3
    mean, covariance = by_hand(x)
    assert frechet_distance(mean, covariance, mean, covariance) < 1e-6
    # The control: a thousandth more in each feature.
    apart = frechet_distance(mean, covariance, mean + 1e-3, covariance)
    assert apart == pytest.approx(64e-6, rel=1e-3)


def test_sets_that_share_no_direction():
    """Each in half of the space, but for what rounding leaves in the other half."""
    axes, _ = np.linalg.qr(np.random.default_rng(3).standard_normal((256, 256)))
    first, second = axes[:, :128], axes[:, 128:]
    got = frechet_distance(np.zeros(256), first @ first.T, np.zeros(256), 4 * second @ second.T)
    assert got == pytest.approx(128 + 4 * 128, abs=1e-9)


def test_the_whole_way_against_torchmetrics(golden):
    """Pictures, a network of one layer, batches, moments, distance."""
    weight = golden["toy/weight"]

    @jax.jit
    def step(real, fake):
        real, fake = (
            jax.nn.relu((x.astype(jnp.float32) / 255).reshape(len(x), -1) @ weight)
            for x in (real, fake)
        )
        return FrechetDistance.of(real, fake, jnp.ones(len(real)))

    batches = zip(
        *(golden[f"toy/{kind}"].reshape(5, 8, -1) for kind in ("real", "fake")), strict=True
    )
    total = functools.reduce(merged, [step(real, fake) for real, fake in batches])
    assert float(total.compute()) == pytest.approx(float(golden["toy/frechet"]), abs=1e-3)


def test_moments_against_float64():
    real, _ = features()
    count, mean, products = moments(real, jnp.ones(COUNT)).exact()
    rounded = np.round(np.float64(real) * 2**20) / 2**20
    assert count == COUNT
    np.testing.assert_allclose(mean, rounded.mean(0), rtol=1e-15, atol=1e-15)
    np.testing.assert_allclose(products, rounded.T @ rounded / COUNT, rtol=1e-13, atol=1e-13)
    got = mean_and_covariance(moments(real, jnp.ones(COUNT)))
    np.testing.assert_allclose(got[1], by_hand(rounded)[1], rtol=1e-9, atol=1e-12)


def test_moments_are_whole_numbers_at_the_extremes():
    """The largest features, of both signs, and the largest digits, in more rows than one product
    takes.
    """
    rows = np.full((601, 4), 1024 - 2.0**-14, np.float32)  # the largest below 1024
    rows[:, 1] *= -1
    rows[::3, :2] = 2.0**-20
    rows[:, 2] = 127 * (1 + 2**8 + 2**16) * 2.0**-20
    rows[:, 3] = -128 * (1 + 2**8 + 2**16) * 2.0**-20
    whole = (np.float64(rows) * 2**20).astype(np.int64).astype(object)
    expected = whole.T @ whole
    total = moments(rows, jnp.ones(601))
    for _ in range(20):  # a million times as many
        total = jax.jit(lambda a: a + a)(total)
    low, middle, high = np.asarray(total.limbs).astype(object)
    found = low + middle * 2**30 + high * 2**60
    assert found[:4, :4].tolist() == (expected * 2**20).tolist()
    assert found[4, 4] == 601 * 2**20 * 2**40


@pytest.mark.parametrize("sizes", [(1,) * 24, (5, 19), (7, 8, 9), (24,)])
def test_merging_in_any_split_gives_the_same_bits(sizes):
    real, fake = features()
    valid = (np.arange(COUNT) % 5 > 0).astype(np.float32)
    expected = score(real, fake, valid)
    parts, start = [], 0
    for size in sizes:
        # Padded to one shape, as the last batch of a data set is: fill-ups are not valid.
        rows = np.arange(start, start + COUNT) % COUNT
        used = (valid[rows] * (np.arange(COUNT) < size)).astype(np.float32)
        padded = np.where(used[:, None] > 0, real[rows], np.float32(np.nan))
        parts.append(score(padded, fake[rows], used))
        start += size
    for order in (parts, parts[::-1]):
        total = functools.reduce(merged, order)
        assert_same(total, expected)
    assert float(total.compute()) == float(expected.compute()) > 0.1
    left_out = score(real, fake, np.ones(COUNT, np.float32))
    assert float(left_out.compute()) != float(expected.compute())


def test_eight_devices_equal_one_bit_for_bit():
    real, fake = features()
    valid = (np.arange(COUNT) % 3 > 0).astype(np.float32)
    mesh = Mesh(np.array(jax.devices()), ("data",))
    assert mesh.size == 8
    sharded = jax.device_put((real, fake, valid), NamedSharding(mesh, P("data")))
    assert_same(score(*sharded), score(real, fake, valid))


def test_more_rows_than_one_product_takes():
    real = np.tile(features()[0], (15, 1))  # 360
    whole = moments(real, jnp.ones(len(real)))
    parts = [moments(real[i::3], jnp.ones(120)) for i in range(3)]
    assert_same(functools.reduce(lambda a, b: a + b, parts), whole)
    assert_same(FeatureMoments.empty(WIDTH) + whole, whole)


def test_a_divisor_of_n():
    real, fake = features()
    got = float(score(real, fake, jnp.ones(COUNT)).replace(ddof=0).compute())
    both = [(m, c * (COUNT - 1) / COUNT) for m, c in map(by_hand, (real, fake))]
    assert got == pytest.approx(frechet_distance(*both[0], *both[1]), rel=1e-4)
    assert got != pytest.approx(float(score(real, fake, jnp.ones(COUNT)).compute()), rel=1e-4)


def test_scores_tell_n():
    real, fake = features()
    valid = jnp.asarray(np.arange(COUNT) < 20, jnp.float32)
    network = loading.describe("standin:inception_fid")
    found = frechet_scores("fid", network, jnp.asarray(real), jnp.asarray(fake), valid)
    total = clu.metrics.Collection.create_collection(**found)
    values = {name_of(key): float(x) for key, x in merged(total, total).compute().items()}
    assert set(values) == {"frechet[standin]", "frechet[standin]/n"}
    assert values["frechet[standin]/n"] == 40 and values["frechet[standin]"] > 0
    with pytest.raises(UserError, match="'kid' is no frechet figure; expected fid"):
        frechet_scores("kid", network, jnp.asarray(real), jnp.asarray(fake), valid)


@pytest.mark.parametrize(
    ("counted", "spoilt", "message"),
    [
        (0, None, "no examples were counted"),
        (1, None, "a covariance of 1 example"),
        (9, np.nan, "1 features are no number"),
        (9, -2000.0, "beyond"),
    ],
)
def test_what_has_no_distance(counted, spoilt, message):
    real, fake = features()
    if spoilt is not None:
        fake[3, 2] = spoilt
    valid = (np.arange(COUNT) < counted).astype(np.float32)
    with pytest.raises(UserError, match=message) as caught:
        score(real, fake, valid).compute()
    assert "\n" not in str(caught.value)


def test_moments_that_are_no_numbers():
    mean, covariance = by_hand(features()[0])
    with pytest.raises(UserError, match="not finite"):
        frechet_distance(mean * np.nan, covariance, mean, covariance)
