"""Weight decay, schedules, moving averages, accumulation of gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from segsynth.engine import optimizers

PARAMS = {
    "dense": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)},
    "norm": {"scale": jnp.ones(3)},
    "tables": {"background": jnp.ones((2, 4))},
}


def _moved(tx, gradient, steps=1, params=PARAMS):
    state = tx.init(params)
    for _ in range(steps):
        updates, state = tx.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


def test_weight_decay_shrinks_kernels_only():
    zero = jax.tree.map(jnp.zeros_like, PARAMS)
    after = _moved(optimizers.adamw(lr=0.1, warmup=0, weight_decay=0.5), zero)
    np.testing.assert_allclose(after["dense"]["kernel"], 1 - 0.1 * 0.5, rtol=1e-6)
    for name, leaf in (("dense", "bias"), ("norm", "scale"), ("tables", "background")):
        np.testing.assert_array_equal(after[name][leaf], 1)
    assert optimizers.kernels(PARAMS)["dense"] == {"kernel": True, "bias": False}


def _rates(count, **options):
    """Rates of the first steps: with equal gradients AdamW moves by exactly the rate."""
    params = {"bias": jnp.zeros(())}
    tx = optimizers.adamw(weight_decay=0.0, eps=0.0, **options)
    state, places = tx.init(params), [0.0]
    for _ in range(count):
        updates, state = tx.update({"bias": jnp.ones(())}, state, params)
        params = optax.apply_updates(params, updates)
        places.append(float(params["bias"]))
    return -np.diff(places)


def test_the_rate_rises_linearly_and_stays():
    rates = _rates(7, lr=0.4, warmup=4)
    np.testing.assert_allclose(rates, [0, 0.1, 0.2, 0.3, 0.4, 0.4, 0.4], atol=1e-5)


def test_the_rate_falls_to_zero_along_a_cosine():
    rates = _rates(9, lr=0.4, warmup=2, decay_steps=8)
    falling = [0.2 * (1 + np.cos(np.pi * i / 6)) for i in range(7)]
    np.testing.assert_allclose(rates, [0, 0.2, *falling], atol=1e-5)


def _adam_rates(chain, count):
    """Rates of the first steps: with equal gradients Adam moves by exactly the rate."""
    gradient = {"w": jnp.ones(())}
    state, rates = chain.init(gradient), []
    for _ in range(count):
        updates, state = chain.update(gradient, state)
        rates.append(-float(updates["w"]))
    return rates


def test_the_rate_stays_and_falls_linearly():
    assert _adam_rates(optimizers.adam(lr=2e-4), 3) == pytest.approx([2e-4] * 3, rel=1e-4)
    falling = optimizers.adam(lr=0.4, constant_steps=2, decay_steps=4)
    expected = [0.4, 0.4, 0.4, 0.3, 0.2, 0.1, 0.0, 0.0]
    assert _adam_rates(falling, 8) == pytest.approx(expected, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize(
    ("preset", "rates", "betas"),
    [("ttur", (1e-4, 4e-4), (0.0, 0.9)), ("balanced", (2e-4, 2e-4), (0.5, 0.999))],
)
def test_two_players_have_the_published_rates_and_moments(preset, rates, betas):
    chains = optimizers.players(preset=preset, lr=2e-4, constant_steps=1, decay_steps=2)
    for chain, rate in zip(chains, rates, strict=True):
        expected = [rate, rate, rate / 2, 0.0]
        assert _adam_rates(chain, 4) == pytest.approx(expected, rel=1e-4, abs=1e-9)
        _, state = chain.update({"w": jnp.ones(())}, chain.init({"w": jnp.ones(())}))
        moments = [float(optax.tree.get(state, name)["w"]) for name in ("mu", "nu")]
        assert moments == pytest.approx([1 - betas[0], 1 - betas[1]], rel=1e-4)


def test_gradients_are_clipped_by_their_global_norm():
    tx = optimizers.adamw(clip=1.0)
    state = tx.init(PARAMS)
    huge = jax.tree.map(lambda x: jnp.full_like(x, 1e6), PARAMS)
    _, state = tx.update(huge, state, PARAMS)
    first = optax.tree.get(state, "mu")
    np.testing.assert_allclose(optax.tree.norm(first), 0.1, rtol=1e-4)  # (1 - b1) x norm 1


def test_the_average_forgets_its_beginning_first():
    decays = [float(optimizers.ema_decay(jnp.array(n), 0.9999)) for n in (0, 1, 10, 10**6)]
    np.testing.assert_allclose(decays, [1 / 10, 2 / 11, 11 / 20, 0.9999], rtol=1e-6)
    assert float(optimizers.ema_decay(jnp.array(0), 0.05)) == pytest.approx(0.05)


def test_the_average_moves_by_its_law():
    ema, params = {"w": jnp.array([1.0, 2.0])}, {"w": jnp.array([3.0, 0.0])}
    after = optimizers.update_ema(ema, params, jnp.array(10), 0.9999)
    np.testing.assert_allclose(after["w"], [1 * 0.55 + 3 * 0.45, 2 * 0.55], rtol=1e-6)


def _loss(params, batch):
    error = jnp.square(batch["x"] @ params["w"] - batch["y"])
    return error.mean(), {"loss": error.mean(), "largest": jnp.abs(batch["x"]).mean()}


def _problem():
    keys = jax.random.split(jax.random.key(0), 3)
    batch = {"x": jax.random.normal(keys[0], (12, 5)), "y": jax.random.normal(keys[1], (12,))}
    return {"w": jax.random.normal(keys[2], (5,))}, batch


@pytest.mark.parametrize("parts", [2, 3, 12])
def test_accumulated_gradients_are_those_of_the_whole_batch(parts):
    params, batch = _problem()
    whole = optimizers.accumulate(_loss, params, batch, 1)
    accumulated = jax.jit(lambda p, b: optimizers.accumulate(_loss, p, b, parts))(params, batch)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), accumulated, whole)


def test_accumulation_reads_every_example():
    # Negative control of the test above: one example that differs changes the gradient.
    params, batch = _problem()
    other = {**batch, "x": batch["x"].at[7].add(1.0)}
    before = optimizers.accumulate(_loss, params, batch, 3)[0]["w"]
    after = optimizers.accumulate(_loss, params, other, 3)[0]["w"]
    assert np.abs(before - after).max() > 1e-3
