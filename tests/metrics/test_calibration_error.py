"""The expected calibration error against a loop, and where it must be 0."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.metrics.calibration import CalibrationError

of = jax.jit(CalibrationError.of)


def logits_of(shares):
    """Logits of two classes, the first with that probability."""
    shares = np.asarray(shares, np.float64)
    return jnp.asarray(np.stack([np.log(shares), np.log1p(-shares)], -1), jnp.float32)


def test_against_a_loop():
    random = np.random.default_rng(0)
    logits = random.normal(size=(4, 6, 8, 5)).astype(np.float32) * 2
    truth = random.integers(0, 5, (4, 6, 8))
    valid = np.array([1, 1, 0, 1], np.float32)
    share = np.exp(logits[valid > 0].astype(np.float64))
    share = (share / share.sum(-1, keepdims=True)).max(-1).ravel()
    right = (logits.argmax(-1) == truth)[valid > 0].ravel()
    expected = 0.0
    for i in range(15):
        inside = (share > i / 15) & (share <= (i + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - share[inside].mean())
    assert float(of(logits, truth, valid).compute()) == pytest.approx(expected, rel=1e-5)
    parts = [of(logits, truth, valid * np.eye(4, dtype=np.float32)[i]) for i in range(4)]
    whole = parts[0].merge(parts[1]).merge(parts[2]).merge(parts[3])
    assert float(whole.compute()) == pytest.approx(expected, rel=1e-5)


def test_who_is_right_as_often_as_said_has_no_error():
    logits = logits_of(np.full((1, 4, 5), 0.75))
    truth = np.zeros((1, 4, 5), np.int32)
    truth[0, 0] = 1
    assert float(of(logits, truth, jnp.ones(1)).compute()) == pytest.approx(0.0, abs=1e-6)
    overconfident = of(logits_of(np.full((1, 4, 5), 0.999)), truth, jnp.ones(1))
    assert float(overconfident.compute()) == pytest.approx(0.249, abs=1e-4)


def test_errors_of_different_bins_do_not_cancel():
    logits = logits_of([[[0.9, 0.9, 0.6, 0.6]]])
    truth = np.array([[[0, 1, 0, 0]]])
    found = of(logits, truth, jnp.ones(1)).compute()
    assert float(found) == pytest.approx((abs(0.5 - 0.9) + abs(1 - 0.6)) / 2, abs=1e-5)


def test_no_pixel_has_no_error():
    logits, truth = logits_of(np.full((1, 1, 1), 0.75)), np.zeros((1, 1, 1), np.int32)
    assert np.isnan(of(logits, truth, jnp.zeros(1)).compute())


def test_more_pixels_than_its_counts_hold_are_refused():
    """2^22 whose predictions are certain and right have no error; one row more would overflow."""
    side, valid = 2048, jnp.ones(1)
    many = jnp.broadcast_to(jnp.zeros(()), (1, side, side))
    certain = of(many[..., None], many.astype(jnp.int32), valid)
    assert float(certain.compute()) == 0.0
    row = jax.ShapeDtypeStruct((1, side + 1, side), jnp.int32)
    logits = jax.ShapeDtypeStruct((*row.shape, 1), jnp.float32)
    with pytest.raises(ValueError, match="at most 4194304 fit"):
        jax.eval_shape(CalibrationError.of, logits, row, valid)
