"""The sampler against oracles: known pixels exact, holes filled, the known part on its path."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.diffusion import process
from segsynth.diffusion.samplers import ddim
from segsynth.diffusion.schedules import ScaledLinear, ShiftedCosine

SHAPE = (2, 16, 16, 3)
COSINE = ShiftedCosine(-1.39)
LEVELS = [
    (60, ShiftedCosine(-2.77), "v", 0.0),
    (40, COSINE, "v", 0.0),
    (30, COSINE, "v", 0.0),
    (30, COSINE, "eps", 0.0),
    (20, ScaledLinear(), "v", 1.0),
]


def picture():
    return jax.random.uniform(jax.random.key(0), SHAPE, minval=-1.0, maxval=1.0)


def box_hole():
    return jnp.zeros((*SHAPE[:3], 1)).at[:, 4:12, 2:9].set(1.0)


def oracle(x, schedule, param="v"):
    """Predicts what the truth ``x`` implies about any noisy image."""

    def predict(x_t, t):
        alpha, sigma = schedule.alpha_sigma(t)
        eps = (x_t - alpha[:, None, None, None] * x) / sigma[:, None, None, None]
        return process.velocity(x, eps, alpha, sigma) if param == "v" else eps

    return predict


def nan(x_t, t):
    return jnp.full_like(x_t, jnp.nan)


def wander(x_t, t):
    return jnp.roll(x_t, 1, axis=1) * t[:, None, None, None]


def psnr(a, b, mask):
    hole = jnp.broadcast_to(mask > 0.5, a.shape)
    return -10.0 * jnp.log10(jnp.mean((a - b) ** 2, where=hole) / 4.0)


@functools.cache
def sampler(predict, schedule=COSINE, **options):
    """A compiled ``(key, known, mask) -> y``, shared by the tests that use the same network."""
    return jax.jit(functools.partial(ddim, predict, schedule, **options))


def sample(predict, known, mask, *, steps=4, seed=1, **options):
    return sampler(predict, steps=steps, **options)(jax.random.key(seed), known, mask)


@pytest.mark.parametrize(("steps", "schedule", "param", "eta"), LEVELS, ids=str)
def test_oracle_fills_the_hole_with_the_truth(steps, schedule, param, eta):
    x, mask = picture(), box_hole()
    predict = oracle(x, schedule, param)
    known = jnp.where(mask > 0.5, 0.0, x)
    options = dict(schedule=schedule, steps=steps, param=param, eta=eta)
    y = sample(predict, known, mask, **options)
    assert psnr(y, x, mask) > 60.0
    np.testing.assert_array_equal(jnp.where(mask > 0.5, 0.0, y), known)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_nan_network_does_not_poison_known_pixels(eta):
    x, mask = picture(), box_hole()
    hole = jnp.broadcast_to(mask > 0.5, SHAPE)
    y = sample(nan, x, mask, eta=eta)
    np.testing.assert_array_equal(jnp.where(hole, 0.0, y), jnp.where(hole, 0.0, x))
    assert jnp.all(jnp.isnan(y[hole]))


@pytest.mark.parametrize("content", [jnp.nan, 1e30])
def test_content_of_the_hole_does_not_leak(content):
    x, mask = picture(), box_hole()
    clean = sample(wander, x, mask)
    spoilt = sample(wander, jnp.where(mask > 0.5, content, x), mask)
    np.testing.assert_array_equal(clean, spoilt)


def test_empty_and_full_holes():
    x, empty = picture(), jnp.zeros((*SHAPE[:3], 1))
    predict = oracle(-x, COSINE)
    np.testing.assert_array_equal(sample(predict, x, empty), x)
    np.testing.assert_allclose(sample(predict, x, 1.0 - empty), -x, atol=1e-3)


def recorded_path(**options):
    """Every (t, x_t) that the network saw, in order of time."""
    x, seen = picture(), []

    def record(t, x_t):
        seen.append((float(t), np.asarray(x_t)))

    def predict(x_t, t):
        jax.debug.callback(record, t[0], x_t)
        return oracle(x, COSINE)(x_t, t)

    ddim(predict, COSINE, jax.random.key(1), x, box_hole(), **options)
    jax.effects_barrier()
    return sorted(seen, key=lambda row: -row[0])


def implied_noise(t, x_t, x):
    alpha, sigma = COSINE.alpha_sigma(jnp.asarray(t))
    return (x_t - alpha * x) / sigma


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_known_part_rides_one_noising_path(eta):
    path = recorded_path(steps=5, eta=eta)
    np.testing.assert_allclose([t for t, _ in path], [1.0, 0.8, 0.6, 0.4, 0.2], atol=1e-6)
    outside = jnp.broadcast_to(box_hole() < 0.5, SHAPE)
    first, *later = [implied_noise(t, x_t, picture())[outside] for t, x_t in path]
    assert abs(jnp.std(first) - 1.0) < 0.1
    for noise in later:
        np.testing.assert_allclose(noise, first, atol=1e-4)


def test_partial_start_noises_the_first_guess():
    start = 0.5 * picture()
    ((t, x_t), *_) = recorded_path(steps=3, t_start=0.4, start=start)
    np.testing.assert_allclose(t, 0.4, atol=1e-6)
    inside = jnp.broadcast_to(box_hole() > 0.5, SHAPE)
    from_start = implied_noise(t, x_t, start)[inside]
    outside = implied_noise(t, x_t, picture())[~inside]
    assert abs(jnp.std(from_start) - 1.0) < 0.1
    assert abs(jnp.std(outside) - 1.0) < 0.1
    assert abs(jnp.corrcoef(from_start, start[inside])[0, 1]) < 0.2


def test_partial_start_needs_an_image():
    with pytest.raises(ValueError, match="needs start"):
        sample(oracle(picture(), COSINE), picture(), box_hole(), t_start=0.5)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_gaussian_data_keep_their_spread(eta):
    spread = 0.25

    def posterior_mean(x_t, t):
        alpha, sigma = (a[:, None, None, None] for a in COSINE.alpha_sigma(t))
        x0 = alpha * spread**2 / (alpha**2 * spread**2 + sigma**2) * x_t
        return (alpha * x_t - x0) / sigma

    nothing, everything = jnp.zeros(SHAPE), jnp.ones((*SHAPE[:3], 1))
    y = sample(posterior_mean, nothing, everything, steps=400, eta=eta)
    assert jnp.std(y) == pytest.approx(spread, rel=0.05)


def test_randomness_is_the_key():
    x, mask = picture(), box_hole()
    first, again, other = (sample(wander, x, mask, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert jnp.max(jnp.abs(first - other)) > 0.1
