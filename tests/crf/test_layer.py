import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scenes import coarse_scene

from segsynth.crf import Crf, CRFLayer, infer
from segsynth.crf.learnable import before_softplus, log_marginals

CRF = Crf(2.0, 6.0, 40.0, 1.0, 2.0, iterations=2)
HEIGHT, WIDTH, CLASSES = 12, 16, 3


@pytest.fixture(scope="module")
def batch():
    """Pictures, truth, and noisy scores that are right more often than not."""
    scenes = [coarse_scene(HEIGHT, WIDTH, CLASSES, seed, noise=10) for seed in (0, 1)]
    images = jnp.asarray(np.stack([image for image, *_ in scenes]))
    truth = np.stack([truth for _, truth, _ in scenes])
    noise = np.random.default_rng(0).normal(0, 1.0, (2, HEIGHT, WIDTH, CLASSES))
    return images, jnp.asarray(truth), jnp.asarray(np.eye(CLASSES)[truth] + noise, jnp.float32)


def test_weights_pass_the_softplus_unchanged_and_logarithms_are_finite():
    for weight in (1e-3, 1.0, 30.0, 300.0):
        np.testing.assert_allclose(jax.nn.softplus(before_softplus(weight)), weight, rtol=1e-4)
    np.testing.assert_allclose(jax.nn.softplus(before_softplus(0.0)), 1e-4, rtol=1e-3)
    found = log_marginals(jnp.asarray([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(found, np.log([1e-12, 0.5, 1.0]), rtol=1e-5)


def made(batch, crf=CRF, **kwargs):
    images, _, logits = batch
    layer = CRFLayer(crf, **kwargs)
    return layer, layer.init(jax.random.key(0), logits, images)


@pytest.fixture(scope="module")
def exact(batch):
    return made(batch, kernel="exact", learn_widths=True)


@pytest.fixture(scope="module")
def lattice(batch):
    return made(batch)


def loss(layer, params, batch):
    images, truth, logits = batch
    out = layer.apply(params, logits, images)
    return optax.softmax_cross_entropy_with_integer_labels(out, truth).mean()


def test_at_the_start_it_is_the_crf_of_its_settings(batch, lattice):
    images, truth, logits = batch
    layer, params = lattice
    out = jax.jit(layer.apply)(params, logits, images)
    unary = -jax.nn.log_softmax(logits[0])
    np.testing.assert_allclose(np.exp(out[0]), infer(images[0], unary, CRF), atol=1e-5)
    np.testing.assert_allclose(np.exp(out).sum(-1), 1, atol=1e-5)
    assert (out.argmax(-1) == truth).mean() > (logits.argmax(-1) == truth).mean() + 0.05


def test_exact_and_lattice_agree(batch, exact, lattice):
    images, _, logits = batch
    a, b = (
        jnp.exp(jax.jit(layer.apply)(params, logits, images)) for layer, params in (exact, lattice)
    )
    assert jnp.abs(a - b).mean() < 0.02
    assert (a.argmax(-1) == b.argmax(-1)).mean() > 0.97


def test_gradients_of_exact_kernels_are_finite_differences(batch, exact):
    layer, variables = exact
    params = variables["params"]
    value = jax.jit(jax.value_and_grad(lambda p: loss(layer, {"params": p}, batch)))
    grads, step = value(params)[1], 0.05
    for name in ("appearance", "smoothness", "appearance_xy", "appearance_rgb", "smoothness_xy"):
        up, down = (float(value(params | {name: params[name] + s})[0]) for s in (step, -step))
        assert abs(grads[name]) > 1e-5
        assert float(grads[name]) == pytest.approx((up - down) / (2 * step), rel=0.05, abs=2e-5)


def test_gradients_reach_logits_weights_and_compatibility(batch, lattice):
    layer, params = lattice
    images, truth, logits = batch

    def value(params, logits):
        return loss(layer, params, (images, truth, logits))

    weights, scores = jax.jit(jax.grad(value, argnums=(0, 1)))(params, logits)
    assert set(weights["params"]) == {"appearance", "smoothness", "compat"}
    for leaf in jax.tree.leaves((weights, scores)):
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 1e-6
    assert weights["params"]["compat"].shape == (CLASSES, CLASSES)


def test_vmap_is_the_batch(batch, exact):
    images, _, logits = batch
    layer, params = exact
    single = jax.vmap(lambda x, im: layer.apply(params, x[None], im[None])[0])
    np.testing.assert_allclose(
        jax.jit(single)(logits, images), jax.jit(layer.apply)(params, logits, images), atol=1e-4
    )


def test_training_lowers_the_loss_and_gives_a_crf(batch, exact):
    layer, variables = exact
    optimizer = optax.adam(0.1)
    params = variables["params"]
    state = optimizer.init(params)

    @jax.jit
    def step(params, state):
        value, grads = jax.value_and_grad(lambda p: loss(layer, {"params": p}, batch))(params)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state, value

    losses = []
    for _ in range(12):
        params, state, value = step(params, state)
        losses.append(float(value))
    assert losses[-1] < 0.9 * losses[0]
    learnt, compat = layer.learnt(params)
    assert learnt.iterations == 2 and learnt.appearance > 0
    assert abs(learnt.appearance_rgb - CRF.appearance_rgb) > 0.1
    assert np.abs(compat - (1 - np.eye(CLASSES))).max() > 0.05
    start, _ = layer.learnt(variables["params"])
    for name in ("appearance", "appearance_xy", "appearance_rgb", "smoothness", "smoothness_xy"):
        assert getattr(start, name) == pytest.approx(getattr(CRF, name), rel=1e-4)


def test_dropped_vertices_are_reported(batch):
    images, _, logits = batch
    for capacity, dropped in ((16, True), (None, False)):
        layer, params = made(batch, dataclasses.replace(CRF, iterations=0), capacity=capacity)
        assert set(params) == {"params"}
        _, sown = jax.jit(functools.partial(layer.apply, mutable=["crf"]))(params, logits, images)
        assert bool(sown["crf"]["overflow"][0]) is dropped


def test_a_lattice_cannot_learn_widths(batch):
    with pytest.raises(ValueError, match="exact"):
        made(batch, learn_widths=True)
