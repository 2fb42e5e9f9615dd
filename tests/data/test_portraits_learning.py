"""Portraits are worth learning from: pixels alone tell little, a small network tells nearly all."""

import numpy as np
import pytest

from segsynth.data.worlds.portraits import Portraits

MOUTH = "Mouth_Slightly_Open"


def _pictures(length, start=0, **more):
    keys = ("image", "attributes", *more.pop("provides", ()))
    source = Portraits(
        32, length, 0, start, framing="tight", attributes=(MOUTH,), provides=keys, **more
    )
    examples = [source[i] for i in range(length)]
    return {key: np.stack([example[key] for example in examples]) for key in keys}


@pytest.fixture(scope="module")
def train():
    return _pictures(4096)


@pytest.fixture(scope="module")
def held_out():
    return _pictures(512, 10_000_000, provides=("counterfactual",), guide=MOUTH)


def _centred(images):
    return images.reshape(len(images), -1).astype(np.float32) / 255.0 - 0.5


def test_the_nearest_portrait_has_another_mouth(train, held_out):
    known, asked = _centred(train["image"]), _centred(held_out["image"])
    nearest = ((known**2).sum(1) - 2.0 * asked @ known.T).argmin(1)
    right = train["attributes"][nearest] == held_out["attributes"]
    assert 0.45 < right.mean() < 0.70


def _classifier(train, epochs):
    """Weights of a network of three convolutions, and its function images -> logits."""
    import flax.linen as nn
    import jax
    import jax.numpy as jnp
    import optax

    class Small(nn.Module):
        @nn.compact
        def __call__(self, x):
            for width in (16, 32, 64):
                x = nn.relu(nn.Conv(width, (3, 3))(x))
                x = nn.max_pool(x, (2, 2), (2, 2))
            return nn.Dense(1)(nn.relu(nn.Dense(64)(x.reshape(len(x), -1))))[:, 0]

    network, batch = Small(), 64
    steps = len(train["image"]) // batch
    optimizer = optax.adam(optax.cosine_decay_schedule(2e-3, epochs * steps))

    def loss(params, image, label):
        logits = network.apply(params, image / 127.5 - 1.0)
        return optax.sigmoid_binary_cross_entropy(logits, label).mean()

    @jax.jit
    def step(params, state, image, label):
        gradient = jax.grad(loss)(params, image.astype(jnp.float32), label.astype(jnp.float32))
        update, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, update), state

    params = network.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    state, rng = optimizer.init(params), np.random.default_rng(0)
    for _ in range(epochs):
        for rows in rng.permutation(steps * batch).reshape(steps, batch):
            image, label = train["image"][rows], train["attributes"][rows, 0]
            mirrored = image[:, :, ::-1] if rng.random() < 0.5 else image
            params, state = step(params, state, mirrored, label)
    logits = jax.jit(lambda image: network.apply(params, image.astype(jnp.float32) / 127.5 - 1.0))
    return lambda images: np.asarray(logits(images)) > 0.0


@pytest.mark.slow
def test_a_small_network_sees_the_mouth_and_its_true_edit(train, held_out):
    """Held-out accuracy, and the share of true edits that the network calls edited (oracle)."""
    says = _classifier(train, epochs=15)
    label = held_out["attributes"][:, 0] == 1
    accuracy = (says(held_out["image"]) == label).mean()
    oracle = (says(held_out["counterfactual"]) == ~label).mean()
    print(f"accuracy {accuracy:.3f}, oracle {oracle:.3f}")
    assert accuracy > 0.97
    assert oracle > 0.97
