"""Depth from photographs and from drawings."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth import systems
from segsynth.errors import UserError

SIDE, COUNT, KEY = 32, 2, jax.random.key(0)
TINY = {
    "name": "depth",
    "features": {"network": "standin", "side": 112},
    "head": {"width": 1, "blocks": 1},
    "optimizer": {"lr": 1e-2, "warmup": 0, "weight_decay": 0.0},
}


@functools.cache
def build(drawn=False):
    drawer = {"drawer": {"width": 4, "blocks": 1}} if drawn else {}
    return systems.build({**TINY, **drawer})


def start(system):
    def make(key):
        return system.init(key), {name: spec.init(key) for name, spec in system.frozen.items()}

    return jax.jit(make)(KEY)


def batch(seed=0):
    """Pictures that grow brighter towards one side, and so does depth."""
    random = np.random.default_rng(seed)
    slope = np.linspace(0, 1, SIDE)[None, None, :, None].repeat(SIDE, 1).repeat(COUNT, 0)
    noise = random.random((COUNT, SIDE, SIDE, 3))
    image = (255 * (0.9 * slope + 0.1 * noise)).astype(np.uint8)
    return {"image": jnp.asarray(image), "depth": jnp.asarray(slope, jnp.float32)}


def test_the_published_head():
    system = systems.build({"name": "depth"})
    params = jax.eval_shape(system.init, KEY).params
    assert set(system.frozen) == {"features"}
    assert sum(x.size for x in jax.tree.leaves(params["geometry"])) == 32_413_379


@pytest.fixture(scope="module")
def trained():
    system = build()
    state, frozen = start(system)
    step, losses = jax.jit(system.train_step), []
    for _ in range(8):
        state, scalars = step(state, frozen, batch(), KEY)
        losses.append(float(scalars["loss"]))
    return system, settled(system, state, frozen), frozen, losses


def settled(system, state, frozen):
    """Return the state whose running statistics are those of the batch, as after long training."""
    features = jax.jit(system.features)(frozen["features"], batch()["image"] / 255.0)
    params = {"params": state.params["geometry"]}

    @jax.jit
    def move(moved):
        return system.head.apply({**params, **moved}, features, True, mutable=["batch_stats"])[1]

    moved = state.model_state["geometry"]
    for _ in range(100):
        moved = move(moved)
    return state.replace(model_state={"geometry": moved})


def test_the_loss_is_that_of_the_predicted_depth_and_falls(trained):
    *_, losses = trained
    assert losses[0] == pytest.approx(0.25, abs=0.05)  # half everywhere, against a ramp
    assert losses[-1] < 0.8 * losses[0]


def test_predict_answers_in_the_pictures_size(trained):
    system, state, frozen, _ = trained
    predict = jax.jit(system.predict)
    answer = lambda _, inputs, key: predict(state.variables(), frozen, inputs, key)  # noqa: E731
    picture = np.asarray(batch()["image"][0])[:, :27]
    depth = system.synthesize(answer, {"image": picture}, KEY)["depth"]
    assert depth.shape == (SIDE, 27, 1) and depth.dtype == np.float32
    assert 0 <= depth.min() < depth.max() <= 1


def test_the_scores_are_those_of_the_prediction(trained):
    system, state, frozen, _ = trained
    given = {**batch(), "valid": jnp.asarray([1.0, 0.0])}
    metrics, drawn = jax.jit(system.eval_step)(state.variables(), frozen, given, KEY)
    values = {name: float(value) for name, value in metrics.compute().items()}
    found = jax.jit(system.predict)(state.variables(), frozen, given, KEY)["depth"]
    expected = np.abs(found - given["depth"])[0].mean()
    assert values["l1"] == pytest.approx(float(expected), rel=1e-3)
    assert values["aligned_error"] <= 0.2 and values["order"] > 0.6
    assert set(drawn) == set(system.pictures)
    np.testing.assert_array_equal(drawn["image"], given["image"])
    np.testing.assert_array_equal(drawn["truth"][..., 0], np.round(given["depth"][..., 0] * 255))


def test_drawings_are_read_in_place_of_photographs():
    system = build(drawn=True)
    assert set(system.frozen) == {"features", "drawer"}
    state, frozen = jax.eval_shape(lambda: start(system))
    given = batch()
    shown = jax.eval_shape(system._seen, frozen, given["image"])
    assert shown.shape == (COUNT, SIDE, SIDE, 1)
    after, _ = jax.eval_shape(system.train_step, state, frozen, given, KEY)
    assert set(after.params) == {"geometry"}


def test_small_pictures_are_refused_in_one_line():
    system = systems.build({**TINY, "features": {"network": "standin", "side": 0}})
    state, frozen = jax.eval_shape(lambda: start(system))
    with pytest.raises(UserError, match=r"32x32 px; expected 43 px or more: set system\.features"):
        jax.eval_shape(system.train_step, state, frozen, batch(), KEY)
