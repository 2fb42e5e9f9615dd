"""The classifier that judges edits: it learns, moves pictures about, and is kept under its name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth import systems
from segsynth.errors import UserError
from segsynth.metrics.names import name_of
from segsynth.pretrained.attribute_classifier import AttributeClassifier
from segsynth.systems.classifier import shifted

SIDE, COUNT = 16, 16
SMALL = {"network": "small", "width": 4, "resolution": SIDE}


def build(**more):
    section = {"name": "classifier", "network": SMALL, "called": "judge", "shift": 1}
    optimizer = {"lr": 1e-2, "warmup": 1, "weight_decay": 0.0}
    return systems.build({**section, "optimizer": optimizer, **more})


def batch(seed=0, attributes=1):
    """Faces whose attributes are bright stripes: row i + 1 of the picture tells attribute i."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, (COUNT, attributes)).astype(np.int32)
    image = random.integers(0, 100, (COUNT, SIDE, SIDE, 3)).astype(np.uint8)
    for i in range(attributes):
        image[:, 5 * i + 2 : 5 * i + 4] += (100 * labels[:, i]).astype(np.uint8)[
            :, None, None, None
        ]
    return {"image": image, "attributes": labels, "valid": np.ones(COUNT, np.float32)}


def trained(system, steps=40, **more):
    state = jax.jit(system.init)(jax.random.key(0))
    step = jax.jit(system.train_step)
    for i in range(steps):
        state, scalars = step(state, {}, batch(i, **more), jax.random.key(i))
    return state, scalars


@pytest.mark.parametrize("head", ["flatten", "mean"])
def test_it_learns_and_is_scored_by_direction(head):
    system = build(network={**SMALL, "head": head})
    state, scalars = trained(system)
    assert float(scalars["loss"]) < 0.3
    judged = jax.jit(system.eval_step)
    found, drawn = judged(state.variables(), {}, batch(99), jax.random.key(0))
    values = {name: float(value) for name, value in found.compute().items()}
    assert values["accuracy"] >= 0.9 and set(drawn) == set(system.pictures)
    assert values["low"] <= values["accuracy"] <= values["high"]
    assert values["balanced"] == pytest.approx((values["with_it"] + values["without_it"]) / 2)
    given = batch(99)
    inputs = {"image": given["image"]}
    answer = jax.jit(system.predict)
    decided = answer(state.variables(), {}, inputs, jax.random.key(0))["attributes"]
    assert (np.asarray(decided) == given["attributes"]).mean() == pytest.approx(values["accuracy"])


def test_several_attributes_have_a_score_each():
    names = ("Smiling", "5_o_Clock_Shadow")
    system = build(attributes=names)
    state, _ = trained(system, attributes=2, steps=60)
    judged = jax.jit(system.eval_step)
    given = batch(99, attributes=2)
    found = judged(state.variables(), {}, given, jax.random.key(0))[0].compute()
    found = {name_of(name): value for name, value in found.items()}
    assert {f"{name}/accuracy" for name in names} < set(found)
    mean = np.mean([float(found[f"{name}/accuracy"]) for name in names])
    assert float(found["accuracy"]) == pytest.approx(mean) and mean > 0.8
    with pytest.raises(
        UserError, match=r"examples have 1 attributes where system\.attributes names 2"
    ):
        jax.eval_shape(judged, state.variables(), {}, batch(), jax.random.key(0))


def test_a_run_keeps_it_under_the_name_by_which_others_take_it():
    state = jax.eval_shape(build(called="judge2").init, jax.random.key(0))
    assert set(state.params) == {"judge2"} and state.model_state == {}
    expected = jax.eval_shape(AttributeClassifier(**SMALL).init, jax.random.key(0))["params"]
    assert jax.tree.map(jnp.shape, state.params["judge2"]) == jax.tree.map(jnp.shape, expected)


def test_resnet50_has_one_logit_and_moving_statistics():
    system = build(network={"network": "resnet50", "resolution": 32, "divisor": 16})
    state = jax.eval_shape(system.init, jax.random.key(0))
    assert set(state.model_state["judge"]) == {"batch_stats"}
    assert state.params["judge"]["fc"]["kernel"].shape == (2048 // 16, 1)
    given = {
        "image": jnp.zeros((2, 32, 32, 3), jnp.uint8),
        "attributes": jnp.ones((2, 1), jnp.int32),
    }
    after, _ = jax.eval_shape(system.train_step, state, {}, given, jax.random.key(0))
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
    full = AttributeClassifier(network="resnet50", resolution=128)
    params = jax.eval_shape(full.init, jax.random.key(0))["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 23_510_081  # ResNet50 with 1 logit


def test_pictures_move_by_at_most_the_shift():
    image = jnp.arange(4 * 6 * 6, dtype=jnp.uint8).reshape(4, 6, 6, 1)
    many = jnp.tile(image[:1], (64, 1, 1, 1))
    moved = np.asarray(shifted(many, jax.random.key(0), 2))
    padded = np.pad(np.asarray(image[0]), ((2, 2), (2, 2), (0, 0)), mode="edge")
    allowed = {padded[i : i + 6, j : j + 6].tobytes(): (i, j) for i in range(5) for j in range(5)}
    places = [allowed[picture.tobytes()] for picture in moved]
    assert len(set(places)) > 12 and {i for i, _ in places} == set(range(5))
    np.testing.assert_array_equal(shifted(many, jax.random.key(0), 0), many)


def test_a_picture_of_another_size_is_refused():
    picture = {"image": np.zeros((20, 16, 3), np.uint8)}
    with pytest.raises(UserError, match="the picture is 16x20 px; expected 16x16"):
        build().synthesize(lambda *_: {}, picture, jax.random.key(0))
    assert build().remarks({}, {}, picture)
    with pytest.raises(UserError, match=r"system\.attributes is empty"):
        build(attributes=())
