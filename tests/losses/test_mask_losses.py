"""Mask losses against numbers worked out by hand, and the penalty of a critic's gradient."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.losses.adversarial import gradient_penalty
from segsynth.losses.masks import MaskLoss, dilated, guided, total_variation
from segsynth.networks.attribute_discriminator import Conv

GUIDE = jnp.array([1.0, 1.0, 0.0, 0.0]).reshape(1, 2, 2, 1)
MASK = jnp.array([0.2, 1.0, 0.5, 0.0]).reshape(1, 2, 2, 1)
KINDS = {"SDE": 0.2, "MAE": 0.325, "MSE": 0.2225}


@pytest.mark.parametrize(("kind", "expected"), KINDS.items())
def test_the_numbers_of_an_example(kind, expected):
    assert float(guided(kind, MASK, GUIDE)) == pytest.approx(expected, abs=1e-7)
    assert float(guided("none", MASK, GUIDE)) == 0.0
    by_area = float(guided(kind, MASK, GUIDE, "area"))
    assert by_area == pytest.approx(expected * 4 / 2, abs=1e-6)


def test_only_the_uncovered_part_of_the_guide_pulls_at_the_set_difference():
    slope = jax.grad(lambda mask: guided("SDE", mask, GUIDE))(MASK)
    np.testing.assert_allclose(slope.ravel(), [-0.25, 0, 0, 0], atol=1e-7)
    everything = jnp.ones_like(MASK)
    assert float(guided("SDE", everything, GUIDE)) == 0.0
    assert float(guided("MAE", everything, GUIDE)) > 0
    equal = jax.grad(lambda mask: guided("SDE", mask, GUIDE))(GUIDE)  # no pull where they agree
    np.testing.assert_array_equal(equal, np.zeros(equal.shape))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("guide_norm", ["pixels", "area"])
def test_a_face_without_a_guide_costs_nothing(kind, guide_norm):
    nothing = jnp.zeros_like(GUIDE)
    assert float(guided(kind, MASK, nothing, guide_norm)) == 0.0
    slope = jax.grad(lambda mask: guided(kind, mask, nothing, guide_norm))(MASK)
    np.testing.assert_array_equal(slope, np.zeros(slope.shape))
    both = guided(kind, jnp.tile(MASK, (2, 1, 1, 1)), jnp.concatenate([GUIDE, nothing]), guide_norm)
    alone = guided(kind, MASK, GUIDE, guide_norm)
    assert float(both) == pytest.approx(float(alone) / 2, abs=1e-7)


def test_the_weights_belong_to_their_cases():
    masks = {"same": MASK, "cycle": jnp.zeros_like(MASK), "edit": GUIDE}
    cost = {"same": 0.2, "cycle": 0.5, "edit": 0.0}
    paper = MaskLoss(lam_s=10.0, lam_c=100.0)
    expected = 10 * cost["same"] + 100 * cost["cycle"]
    assert float(paper(masks, GUIDE)) == pytest.approx(expected, rel=1e-6)
    masks["edit"] = MASK
    assert float(paper(masks, GUIDE)) == pytest.approx(expected, rel=1e-6)  # the edit is not guided
    ours = MaskLoss(lam_s=10.0, lam_c=100.0, lam_edit=7.0)
    assert float(ours(masks, GUIDE)) == pytest.approx(expected + 7 * 0.2, rel=1e-6)
    assert float(MaskLoss(kind="none", lam_edit=9.0)(masks, GUIDE)) == 0.0


def test_a_gain_asks_for_the_whole_of_pixels_that_lie_partly_inside():
    soft = jnp.array([0.5, 0.25, 0.1, 0.0]).reshape(1, 2, 2, 1)
    masks = dict.fromkeys(("same", "cycle", "edit"), jnp.zeros((1, 2, 2, 1)))
    for gain, whole in ((1.0, 0.85), (4.0, 1.0 + 1.0 + 0.4)):
        loss = MaskLoss(lam_s=1.0, lam_c=0.0, gain=gain)
        assert float(loss(masks, soft)) == pytest.approx(whole / 4, rel=1e-6)


def test_the_terms_that_are_off_by_default():
    wide = jnp.zeros((1, 8, 8, 1)).at[0, 2, 2, 0].set(1.0)
    masks = dict.fromkeys(("same", "cycle", "edit"), jnp.full((1, 8, 8, 1), 0.5))
    none = functools.partial(MaskLoss, kind="none")
    beyond = 64 - 9  # pixels more than 1 px from the guide
    assert float(none(reverse=2.0, margin=1)(masks, wide)) == pytest.approx(
        2 * 0.5 * beyond / 64, rel=1e-6
    )
    assert float(none(reverse=2.0)(masks, jnp.zeros_like(wide))) == 0.0
    assert float(none(lam_area=3.0)(masks, wide)) == pytest.approx(1.5)
    assert float(none(lam_tv=1.0)(masks, wide)) == 0.0
    masks["edit"] = wide
    assert float(none(lam_tv=1.0)(masks, wide)) == pytest.approx(4 / 64, rel=1e-6)
    assert float(total_variation(wide)) == pytest.approx(4 / 64)


def test_widening_takes_the_square_around_each_pixel():
    guide = jnp.zeros((1, 7, 7, 1)).at[0, 3, 1, 0].set(0.4)
    expected = np.zeros((7, 7))
    expected[1:6, 0:4] = 0.4
    np.testing.assert_allclose(dilated(guide, 2)[0, ..., 0], expected, atol=1e-7)


def penalised(discriminator, shape=(3, 8, 8, 3)):
    keys = jax.random.split(jax.random.key(5), 3)
    real, fake = (jax.random.normal(key, shape) for key in keys[:2])
    return gradient_penalty(discriminator, real, fake, jax.random.uniform(keys[2], shape[:1]))


def test_the_penalty_of_a_linear_critic_is_that_of_its_weights():
    w = 0.3 * jax.random.normal(jax.random.key(0), (8, 8, 3))
    expected = (float(jnp.linalg.norm(w)) - 1) ** 2
    found = penalised(lambda x: (x * w[None]).sum((1, 2, 3)))
    assert float(found) == pytest.approx(expected, abs=1e-5)


def test_a_constant_critic_has_a_finite_slope():
    def penalty(scale):
        return penalised(lambda x: scale * jnp.zeros(len(x)) * x.sum((1, 2, 3)))

    value, slope = jax.value_and_grad(penalty)(1.0)
    assert float(value) == pytest.approx(1.0, abs=1e-4) and np.isfinite(slope)


class Critic:
    """Two strided convolutions with a leaky ReLU between, in either implementation."""

    def __init__(self, impl, dtype):
        self.layers = [Conv(4, 4, 2, 1, impl), Conv(1, 4, 2, 1, impl)]
        x = jnp.zeros((1, 8, 8, 3))
        y = jnp.zeros((1, 4, 4, 4))
        trees = [
            self.layers[0].init(jax.random.key(1), x),
            self.layers[1].init(jax.random.key(2), y),
        ]
        self.params = jax.tree.map(lambda leaf: leaf.astype(dtype), trees)

    def __call__(self, params, x):
        h = jax.nn.leaky_relu(self.layers[0].apply(params[0], x), 0.2)
        return self.layers[1].apply(params[1], h)


def penalty_of(critic, dtype):
    """The penalty as a function of parameters, in the precision of ``dtype``."""
    random = np.random.default_rng(3)
    real, fake = (jnp.asarray(random.normal(size=(3, 8, 8, 3)), dtype) for _ in range(2))
    share = jnp.asarray(random.uniform(size=3), dtype)
    return lambda params: gradient_penalty(functools.partial(critic, params), real, fake, share)


@pytest.mark.parametrize("impl", ["conv", "matmul"])
def test_the_penaltys_slope_agrees_with_finite_differences(impl):
    with jax.enable_x64(True):
        critic = Critic(impl, jnp.float64)
        penalty = jax.jit(penalty_of(critic, jnp.float64))
        assert penalty(critic.params).dtype == jnp.float64  # else differences are noise
        slope = jax.jit(jax.grad(penalty_of(critic, jnp.float64)))(critic.params)
        random = np.random.default_rng(0)
        for _ in range(3):
            way = jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=leaf.shape)), slope)
            step = 1e-6
            up, down = (
                float(penalty(jax.tree.map(lambda p, d, s=s: p + s * d, critic.params, way)))
                for s in (step, -step)
            )
            along = sum(
                float((a * b).sum())
                for a, b in zip(jax.tree.leaves(slope), jax.tree.leaves(way), strict=True)
            )
            assert (up - down) / (2 * step) == pytest.approx(along, rel=1e-4)


def test_both_implementations_have_one_penalty_and_one_slope():
    found = []
    for impl in ("conv", "matmul"):
        critic = Critic(impl, jnp.float32)

        def penalty(params, critic=critic):
            return penalised(functools.partial(critic, params))

        found.append(jax.jit(jax.value_and_grad(penalty))(critic.params))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-4), *found)
