"""Losses against formulas written out, and where gradients go."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.losses import adversarial, features, labels

RNG = np.random.default_rng(0)
REAL = [jnp.asarray(RNG.normal(0, 2, shape), jnp.float32) for shape in ((2, 3, 3, 1), (2, 2, 2, 1))]
FAKE = [jnp.asarray(RNG.normal(0, 2, x.shape), jnp.float32) for x in REAL]


def by_hand(term, maps):
    return np.mean([np.mean([term(v) for v in np.asarray(x).ravel()]) for x in maps])


@pytest.mark.parametrize(
    ("loss", "real", "fake"),
    [
        (adversarial.hinge_discriminator, lambda v: max(0, 1 - v), lambda v: max(0, 1 + v)),
        (
            adversarial.least_squares_discriminator,
            lambda v: (v - 1) ** 2 / 2,
            lambda v: v**2 / 2,
        ),
        (adversarial.wasserstein_discriminator, lambda v: -v, lambda v: v),
    ],
)
def test_discriminator_losses(loss, real, fake):
    expected = by_hand(real, REAL) + by_hand(fake, FAKE)
    np.testing.assert_allclose(loss(REAL, FAKE), expected, rtol=1e-5)


def test_generator_losses():
    np.testing.assert_allclose(
        adversarial.hinge_generator(FAKE), by_hand(lambda v: -v, FAKE), rtol=1e-5
    )
    squares = by_hand(lambda v: (v - 1) ** 2, FAKE)
    np.testing.assert_allclose(adversarial.least_squares_generator(FAKE), squares, rtol=1e-5)


def test_gradient_penalty_of_a_linear_critic_and_of_a_constant():
    w = jnp.asarray(RNG.normal(0, 1, (4, 4, 3)), jnp.float32)
    pictures = jnp.asarray(RNG.normal(0, 1, (3, 4, 4, 3)), jnp.float32)
    share = jnp.asarray([0.0, 0.5, 1.0])

    def linear(x, w=w):
        return (x * w[None]).sum((1, 2, 3))

    penalty = adversarial.gradient_penalty(linear, pictures, -pictures, share)
    np.testing.assert_allclose(penalty, (np.linalg.norm(w) - 1) ** 2, rtol=1e-6)
    slope = jax.grad(
        lambda s: adversarial.gradient_penalty(
            lambda x: s * x.mean((1, 2, 3)), pictures, pictures, share
        )
    )(0.0)
    assert jnp.isfinite(slope)


def test_gradient_penalty_is_taken_between_the_two():
    real, fake = jnp.zeros((1, 2, 2, 1)), jnp.full((1, 2, 2, 1), 4.0)
    penalty = adversarial.gradient_penalty(
        lambda x: (x**2).sum((1, 2, 3)) / 2, real, fake, jnp.asarray([0.25])
    )
    np.testing.assert_allclose(penalty, (2.0 - 1) ** 2, rtol=1e-6)  # |x| = sqrt(4 * 1)


def test_perceptual_and_feature_matching():
    fake = [jnp.ones((1, 2, 2, 3)), jnp.zeros((1, 1, 1, 4))]
    real = [jnp.zeros((1, 2, 2, 3)), jnp.full((1, 1, 1, 4), 3.0)]
    np.testing.assert_allclose(features.perceptual(fake, real, (0.5, 2.0)), 0.5 + 6.0)
    with pytest.raises(ValueError):
        features.perceptual(fake, real, (1.0,))
    scales = features.feature_matching(
        [(*fake, jnp.zeros((1, 9))), fake], [(*real, jnp.ones((1, 9))), real]
    )
    np.testing.assert_allclose(scales, ((1 + 3) + 1) / 2)
    slope = jax.grad(lambda r: features.perceptual([jnp.ones((1, 3))], [r], (1.0,)))(
        jnp.zeros((1, 3))
    )
    assert not slope.any()


def test_cross_entropy_ignores_and_weighs():
    logits = jnp.asarray(RNG.normal(0, 1, (2, 3, 4, 5)), jnp.float32)
    truth = RNG.integers(0, 5, (2, 3, 4))
    truth[0, 0] = 255
    logs = np.asarray(logits) - np.log(np.exp(np.asarray(logits)).sum(-1, keepdims=True))
    each = [-logs[at][truth[at]] for at in np.ndindex(*truth.shape) if truth[at] < 255]
    found = labels.cross_entropy(logits, jnp.asarray(truth), ignore=(255,))
    np.testing.assert_allclose(found, np.mean(each), rtol=1e-5)
    weights = np.arange(1.0, 6.0)
    w = [weights[t] for t in truth.ravel() if t < 255]
    weighed = labels.cross_entropy(
        logits, jnp.asarray(truth), ignore=(255,), weights=jnp.asarray(weights)
    )
    np.testing.assert_allclose(weighed, np.average(each, weights=w), rtol=1e-5)
    nothing = labels.cross_entropy(logits, jnp.full((2, 3, 4), 255), ignore=(255,))
    assert nothing == 0
