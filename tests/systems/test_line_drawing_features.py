"""What the generator learns through the frozen readers themselves, small ones of random weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawings import build

KEY, SIDE = jax.random.key(3), 32
CLIP_MEAN = jnp.asarray((0.48145466, 0.4578275, 0.40821073)).reshape(1, 1, 1, 3)
CLIP_STD = jnp.asarray((0.26862954, 0.26130258, 0.27577711)).reshape(1, 1, 1, 3)


@functools.cache
def pictures():
    """A drawing and a photograph."""
    keys = zip(jax.random.split(KEY), (1, 3), strict=True)
    return tuple(jax.random.uniform(key, (1, SIDE, SIDE, c)) for key, c in keys)


def made(init):
    """Return variables of the right shapes, without compiling how they are made."""
    random = np.random.default_rng(0)

    def leaf(path, x):
        if path[-1].key in ("scale", "var"):
            return np.ones(x.shape, np.float32)
        deviation = 1 / np.sqrt(max(1, np.prod(x.shape[:-1])))
        return random.normal(0, deviation, x.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(leaf, jax.eval_shape(init, KEY))


def check(loss, by_hand, also=lambda drawing: None):
    """The value is that of the published recipe, and the gradient is its slope; return ``also``."""
    both = jax.jit(lambda x: (*(jax.value_and_grad(f)(x) for f in (loss, by_hand)), also(x)))
    (value, gradient), (expected, slope), more = jax.device_get(both(pictures()[0]))
    assert float(value) == pytest.approx(float(expected), rel=1e-3)
    largest = np.abs(slope).max()
    assert largest > 0
    np.testing.assert_allclose(gradient / largest, slope / largest, atol=0.01)
    return more


def test_meaning_is_read_as_published():
    """Pixels in [0, 1] are normalised by CLIP's numbers, grey in three channels, at 224 px."""
    system = build(loss={"geometry": 0.0}, seg={"mode": "off"})
    meaning, photo = system.networks.meaning, pictures()[1]
    nets = {"clip": made(meaning.init)}

    def features(picture):
        colours = jnp.broadcast_to(picture, (1, SIDE, SIDE, 3))
        large = jax.image.resize(colours, (1, 224, 224, 3), "bicubic")
        pixels = (jnp.clip(large, 0, 1) - CLIP_MEAN) / CLIP_STD
        return meaning.module.apply(nets["clip"], pixels, method="pictures")

    compared = system.objective.compared
    same = check(
        lambda drawing: compared(nets, drawing, photo, KEY),
        lambda drawing: jnp.square(features(drawing) - features(photo)).mean(),
        lambda drawing: compared(nets, drawing, jnp.repeat(drawing, 3, -1), KEY),
    )
    assert same < 1e-10  # a grey photograph means what the same drawing does


@pytest.mark.slow
def test_shape_is_read_as_published():
    """Pixels in [0, 1] as they are, grey in three channels, enlarged to ``features.side``."""
    features = build(loss={"clip": 0.0}, seg={"mode": "off"}).networks.features
    variables = made(features.init)

    def by_hand(picture):
        large = jax.image.resize(picture, (1, 112, 112, 1), "bilinear").repeat(3, -1)
        return features.module.apply(variables, large, ("Mixed_6b",))["Mixed_6b"]

    weights = jax.random.normal(KEY, jax.eval_shape(by_hand, pictures()[0]).shape)
    check(
        lambda drawing: (weights * features(variables, drawing)).sum(),
        lambda drawing: (weights * by_hand(drawing)).sum(),
    )
    # Statistics are those that were published, and not those of a batch.
    two = jnp.concatenate([pictures()[0], 1 - pictures()[0]])
    alone, beside = (jax.jit(features.__call__)(variables, x)[0] for x in (two[:1], two))
    np.testing.assert_allclose(beside, alone, atol=1e-4 * float(jnp.abs(alone).max()))
