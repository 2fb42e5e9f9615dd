"""Laws of the schedules, of the conversions between parameterisations, and of the loss weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.diffusion import process
from segsynth.diffusion.schedules import ScaledLinear, ShiftedCosine, antithetic_times

SCHEDULES = [ShiftedCosine(-2.77), ShiftedCosine(-1.39), ShiftedCosine(), ScaledLinear()]
TIMES = jnp.linspace(0.0, 1.0, 1001)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_variance_is_preserved_and_noise_grows(schedule):
    alpha, sigma = schedule.alpha_sigma(TIMES)
    np.testing.assert_allclose(alpha**2 + sigma**2, 1.0, atol=1e-6)
    log_snr = schedule.log_snr(TIMES)
    inside = jnp.abs(log_snr) < 9.999
    assert jnp.sum(inside) > 900
    assert jnp.all(jnp.diff(log_snr)[inside[1:] & inside[:-1]] < 0.0)
    assert jnp.all(jnp.diff(log_snr) <= 0.0)
    assert jnp.max(jnp.abs(log_snr)) <= 10.0 + 1e-3


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_ends_are_finite_with_finite_gradients(schedule):
    for t in (0.0, 0.5, 1.0):
        for amplitude in schedule.alpha_sigma(jnp.asarray(t)):
            assert amplitude > 0.0
        assert jnp.isfinite(jax.grad(schedule.log_snr)(t))


def test_shift_moves_the_log_snr():
    middle = jnp.linspace(0.1, 0.9, 9)
    difference = ShiftedCosine(-1.39).log_snr(middle) - ShiftedCosine().log_snr(middle)
    np.testing.assert_allclose(difference, -1.39, atol=1e-5)
    np.testing.assert_allclose(ShiftedCosine(-1.39).log_snr(jnp.asarray(0.5)), -1.39, atol=1e-5)


def test_scaled_linear_holds_the_discrete_table():
    alpha_bar = 1.0
    for k, root in enumerate(np.linspace(0.00085**0.5, 0.012**0.5, 1000)):
        alpha_bar *= 1.0 - root**2
        if k in (0, 1, 500, 998, 999):
            alpha, _ = ScaledLinear().alpha_sigma(jnp.asarray(k / 999.0))
            np.testing.assert_allclose(alpha**2, alpha_bar, rtol=1e-4)


def test_antithetic_times_are_even_and_uniform():
    draw = jax.jit(jax.vmap(lambda key: antithetic_times(key, 8)))
    times = draw(jax.random.split(jax.random.key(0), 2000))
    assert jnp.min(times) >= 0.0
    assert jnp.max(times) < 1.0
    np.testing.assert_allclose(jnp.diff(jnp.sort(times, axis=1), axis=1), 1 / 8, atol=1e-5)
    shares, _ = jnp.histogram(times[:, 0], bins=4, range=(0.0, 1.0))
    np.testing.assert_allclose(shares / 2000, 0.25, atol=0.04)


def noisy(batch=5):
    keys = jax.random.split(jax.random.key(2), 2)
    x, eps = (jax.random.normal(key, (batch, 4, 4, 3)) for key in keys)
    alpha, sigma = ShiftedCosine().alpha_sigma(jnp.linspace(0.05, 0.95, batch))
    return x, eps, alpha, sigma, process.add_noise(x, eps, alpha, sigma)


@pytest.mark.parametrize("param", ["v", "eps"])
def test_conversions_cycle(param):
    x, eps, alpha, sigma, x_t = noisy()
    prediction = process.velocity(x, eps, alpha, sigma) if param == "v" else eps
    x0_hat, eps_hat = process.x0_eps_from(prediction, x_t, alpha, sigma, param)
    np.testing.assert_allclose(x0_hat, x, atol=1e-4)
    np.testing.assert_allclose(eps_hat, eps, atol=1e-5)


def test_v_weight_turns_the_error_of_eps_into_that_of_v():
    _, _, alpha, sigma, x_t = noisy()
    guess, truth = jax.random.normal(jax.random.key(3), (2, *x_t.shape))
    eps_of = lambda v: process.x0_eps_from(v, x_t, alpha, sigma, "v")[1]  # noqa: E731
    error_eps = jnp.mean((eps_of(guess) - eps_of(truth)) ** 2, axis=(1, 2, 3))
    error_v = jnp.mean((guess - truth) ** 2, axis=(1, 2, 3))
    weight = process.noise_weight(alpha, sigma, "v")
    np.testing.assert_allclose(weight * error_eps, error_v, rtol=1e-3)


def test_other_weights():
    _, _, alpha, sigma, _ = noisy()
    np.testing.assert_array_equal(process.noise_weight(alpha, sigma, "eps"), 1.0)
    snr = (alpha / sigma) ** 2
    expected = jnp.minimum(snr, 5.0) / snr
    np.testing.assert_allclose(process.noise_weight(alpha, sigma, "minsnr5"), expected, rtol=1e-5)


def test_guidance_interpolates_and_extrapolates():
    positive, negative = jax.random.normal(jax.random.key(4), (2, 1, 2, 2, 3))
    np.testing.assert_allclose(process.guide(positive, negative, 0.0), negative, atol=1e-6)
    np.testing.assert_allclose(process.guide(positive, negative, 1.0), positive, atol=1e-6)
    doubled = process.guide(positive, negative, jnp.asarray(2.0))
    np.testing.assert_allclose(doubled, 2 * positive - negative, atol=1e-6)
