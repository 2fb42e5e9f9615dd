"""The losses of line drawings on values worked out by hand, and the guards of the segmenter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.errors import UserError
from segsynth.losses.adversarial import least_squares_discriminator, least_squares_generator
from segsynth.systems.line_drawing import losses
from segsynth.systems.line_drawing.optimizers import adams, falling
from segsynth.systems.line_drawing.segmentation import Segmentation, accuracy

ZEROS, ONES = jnp.zeros((2, 3, 3, 1)), jnp.ones((2, 3, 3, 1))
GREY = jnp.full((2, 8, 8, 1), 0.5)


def labels(value=0):
    return jnp.full((2, 4, 4), value, jnp.int32)


def test_the_adversarial_losses():
    both = least_squares_generator([ZEROS]) + least_squares_generator([ZEROS])
    assert both == 2.0 and least_squares_discriminator([ZEROS], [ZEROS]) == 0.5
    assert least_squares_generator([ONES]) == 0.0
    assert least_squares_discriminator([ONES], [ONES]) == 0.5


def test_the_depth_loss():
    depth = jax.random.uniform(jax.random.key(0), (2, 3, 3, 1))
    assert losses.geometry(jnp.zeros((2, 3, 3, 3)), depth) == pytest.approx(np.log(2), abs=1e-6)
    far = losses.geometry(jnp.full((2, 3, 3, 3), -200.0), ONES)
    assert far == pytest.approx(200.0)  # log of a rounded probability would be infinite
    assert losses.geometry(jnp.zeros((2, 3, 3, 3)), ONES, "l1") == 0.5


def test_the_loss_of_meaning():
    a, b = jnp.asarray([[3.0, 4.0]]), jnp.asarray([[0.0, 0.0]])
    assert losses.meaning(a, b) == 12.5 and losses.meaning(a, a) == 0
    assert losses.meaning(a, b, "l2") == pytest.approx(5.0)
    assert losses.meaning(a, 2 * a, "cosine") == pytest.approx(0.0, abs=1e-6)
    assert losses.meaning(a, jnp.asarray([[-4.0, 3.0]]), "cosine") == pytest.approx(1.0)
    assert np.isfinite(jax.grad(lambda x: losses.meaning(x, a, "l2"))(a)).all()
    to_photo = jax.grad(lambda x: losses.meaning(a, x))(b)
    np.testing.assert_array_equal(to_photo, 0)


def test_the_cycle_of_what_comes_back_is_0():
    assert losses.cycle(GREY, GREY) == 0 and losses.cycle(GREY + 0.25, GREY) == 0.25


@pytest.mark.parametrize(("classes", "nats"), [(182, 5.2040), (171, 5.1417)])
def test_the_segmentation_loss_of_equal_logits(classes, nats):
    seg = Segmentation(classes=classes)
    assert seg.loss(jnp.zeros((2, 4, 4, classes)), labels(7)) == pytest.approx(nats, abs=1e-4)


def test_unlabelled_pixels_count_for_nothing():
    seg = Segmentation(classes=3)
    logits = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
    value, slope = jax.value_and_grad(seg.loss)(logits, labels(255))
    assert value == 0 and not slope.any()
    some = labels(1).at[0, 0, 0].set(255)
    other = logits.at[0, 0, 0, 2].add(9.0)
    assert seg.loss(logits, some) == seg.loss(other, some)
    assert seg.loss(logits, some) != seg.loss(logits.at[0, 0, 1, 2].add(9.0), some)
    assert accuracy(logits, labels(255)) == 0
    assert accuracy(jax.nn.one_hot(some, 3), some) == 1


def test_terms_with_a_weight_are_weighted_and_others_left_out():
    terms = {"adversarial": 2.0, "cycle": 3.0, "geometry": 5.0, "clip": 7.0, "other": 100.0}
    found = losses.Weights().weighted({k: jnp.float32(v) for k, v in terms.items()})
    expected = {"adversarial": 2.0, "cycle": 0.3, "geometry": 50.0, "clip": 70.0}
    assert {k: float(v) for k, v in found.items()} == pytest.approx(expected)


def test_the_least_that_the_depth_loss_can_be():
    depth = jnp.asarray([0.0, 1.0, 0.5, 0.2]).reshape(1, 2, 2, 1)
    entropies = [0, 0, np.log(2), -0.2 * np.log(0.2) - 0.8 * np.log(0.8)]
    floor = losses.geometry_floor(depth)
    np.testing.assert_allclose(floor, np.mean(entropies), rtol=1e-6)
    sure = jnp.asarray([-40.0, 40.0, 0.0, np.log(0.25)]).reshape(1, 2, 2, 1)
    np.testing.assert_allclose(losses.geometry(sure, depth), floor, rtol=1e-6)


def test_crops_are_at_the_same_place_of_both():
    places = jnp.arange(20 * 24.0).reshape(1, 20, 24, 1).repeat(3, 0)
    key = jax.random.key(1)
    a, b = losses.crops(places, key, 8), losses.crops(2 * places, key, 8)
    np.testing.assert_array_equal(2 * a, b)
    assert a.shape == (3, 8, 8, 1) and len({float(x) for x in a[:, 0, 0, 0]}) > 1
    np.testing.assert_array_equal(a[0, 1, :, 0] - a[0, 0, :, 0], 24)
    assert losses.crops(places, key).shape == (3, 20, 20, 1)


def test_what_the_segmenter_sees():
    key, drawing = jax.random.key(0), jax.random.uniform(jax.random.key(1), (2, 8, 8, 1))
    np.testing.assert_array_equal(Segmentation().guarded(drawing, key), drawing)
    noisy = Segmentation(noise=0.05).guarded(drawing, key)
    assert 0.03 < (noisy - drawing).std() < 0.06 and 0 <= noisy.min() <= noisy.max() <= 1
    crisp = Segmentation(binarised=True)
    np.testing.assert_allclose(crisp.guarded(drawing, key), drawing >= 0.5, atol=1e-6)
    slope = jax.grad(lambda x: crisp.guarded(x, key).sum())(drawing)
    np.testing.assert_array_equal(slope, 1)
    weak = Segmentation(gradient=0.25)
    np.testing.assert_array_equal(weak.guarded(drawing, key), drawing)
    np.testing.assert_array_equal(jax.grad(lambda x: weak.guarded(x, key).sum())(drawing), 0.25)


def test_the_weight_rises_over_the_warm_up():
    steps = jnp.arange(6)
    risen = jax.vmap(Segmentation(weight=2.0, warmup=4).weight_at)(steps)
    np.testing.assert_allclose(risen, [0.5, 1, 1.5, 2, 2, 2])
    assert Segmentation(weight=2.0).weight_at(jnp.int32(0)) == 2


def test_too_many_classes_are_refused():
    with pytest.raises(UserError, match="classes is 256"):
        Segmentation(classes=256)


def test_the_rate_falls_from_epoch_to_epoch():
    factor = falling(epoch=10, constant=50, decay=50)
    epochs = {0: 1.0, 49: 1.0, 50: 1.0, 75: 0.5, 99: 0.02}
    for epoch, expected in epochs.items():
        for step in (10 * epoch, 10 * epoch + 9):
            assert float(factor(jnp.int32(step))) == pytest.approx(expected, abs=1e-6)
    assert factor(jnp.int32(10_000)) == 0 and falling(0, 1, 1)(jnp.int32(10_000)) == 1


def test_helpers_have_a_rate_of_their_own():
    tx, _ = adams(lr=0.1, epoch=1, constant=0, decay=4, segmenter=0.5)
    params = {name: jnp.zeros(()) for name in ("drawer", "geometry", "segmenter")}
    gradient = jax.tree.map(jnp.ones_like, params)
    state, rates = tx.init(params), []
    for _ in range(4):
        updates, state = tx.update(gradient, state, params)
        rates.append([-float(updates[name]) for name in ("drawer", "geometry", "segmenter")])
    expected = [[0.1 * f, 0.1, 0.05] for f in (1, 0.75, 0.5, 0.25)]
    np.testing.assert_allclose(rates, expected, rtol=1e-5)
