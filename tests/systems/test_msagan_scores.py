"""An evaluation step: what it edits each face to, what it scores, and what it draws."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth import systems
from segsynth.networks.planes import to_bytes, to_unit
from segsynth.systems.msagan.evaluation import Faces, edit_scores

SIDE, COUNT, FLOOR = 16, 4, 0.45
SYSTEM = {
    "name": "msagan",
    "resolution": SIDE,
    "editor": {"width": 4, "downs": 1, "blocks": 1, "stem": 3, "attr_inject": "both"},
    "critic": {"width": 2},
    "judges": {"judge": {"width": 2}, "judge2": {"width": 3}},
    "floor": FLOOR,
    "truth": True,
}


def batch():
    random = np.random.default_rng(0)
    image, truth = random.integers(0, 256, (2, COUNT, SIDE, SIDE, 3)).astype(np.uint8)
    guide = np.zeros((COUNT, SIDE, SIDE, 1), np.uint8)
    guide[:, 8:12, 4:12] = 255
    return {
        "image": image,
        "counterfactual": truth,
        "guide": guide,
        "attributes": np.array([[0], [1], [1], [0]], np.int32),
        "valid": np.array([1, 1, 1, 0], np.float32),
    }


@pytest.fixture(scope="module")
def evaluated():
    """The scores and pictures of a step, and variables of an editor, an average, and judges."""
    system = systems.build(SYSTEM)
    state = jax.jit(system.init)(jax.random.key(0))
    # The average is what edits; it is told apart from the parameters.
    average = jax.tree.map(lambda leaf: 1.5 * leaf, state.params["editor"])
    variables = state.replace(ema={"editor": average}).variables()
    frozen = {name: jax.jit(judge.init)(jax.random.key(0)) for name, judge in system.judges}
    found, drawn = jax.jit(system.eval_step)(variables, frozen, batch(), jax.random.key(0))
    values = {name: float(value) for name, value in found.compute().items()}
    return system, average, frozen, values, jax.device_get(drawn)


@pytest.fixture(scope="module")
def by_hand(evaluated):
    """The edits to the other value and to the same one: attribute image, mask, edited face."""
    system, average, *_ = evaluated
    given = {name: jnp.asarray(value) for name, value in batch().items()}
    image, label = to_unit(given["image"]), given["attributes"].astype(jnp.float32)

    @jax.jit
    def edit(image, label):
        drawn, mask = system.game.editor.apply({"params": average}, image, label)
        mask = jnp.where(mask < FLOOR, 0.0, mask)
        return drawn, mask, image * (1 - mask) + drawn * mask

    return edit(image, 1 - label), edit(image, label)


def test_the_scores_are_those_of_the_edit_to_the_other_value(evaluated, by_hand):
    system, _, frozen, values, _ = evaluated
    (_, mask, edited), (_, kept, _) = by_hand
    given = {name: jnp.asarray(value) for name, value in batch().items()}

    @jax.jit
    def scored(given, edited, masks):
        faces = Faces(
            to_unit(given["image"]),
            1.0 - given["attributes"][:, 0],
            given["guide"] / 255.0,
            given["valid"],
            to_unit(given["counterfactual"]),
        )
        judges = {
            name: functools.partial(judge.logits, frozen[name]) for name, judge in system.judges
        }
        return edit_scores(faces, edited, masks, judges)

    found = scored(given, edited, {"edit": mask, "same": kept})
    expected = {name: float(metric.compute()) for name, metric in found.items()}
    assert values == pytest.approx(expected, rel=1e-3, abs=1e-4, nan_ok=True)
    # What a mix-up would change differs.
    for name in ("coverage", "leakage", "mask_mean"):
        assert abs(expected[name] - expected[f"same_{name}"]) > 1e-3, name


def test_each_picture_is_the_one_of_its_name(evaluated, by_hand):
    system, *_, pictures = evaluated
    (drawn, mask, edited), (_, kept, _) = by_hand
    given = batch()
    assert set(pictures) == set(system.pictures)
    np.testing.assert_array_equal(pictures["input"], given["image"])
    np.testing.assert_array_equal(pictures["truth"], given["counterfactual"])
    expected = {
        "mask": np.repeat(np.asarray(255 * mask), 3, axis=-1),
        "attribute_image": to_bytes(drawn),
        "edit": to_bytes(edited),
    }
    for name, picture in expected.items():
        np.testing.assert_allclose(pictures[name], np.asarray(picture, float), atol=1.01)
        assert pictures[name].dtype == np.uint8
    assert np.abs(255 * (np.asarray(mask) - np.asarray(kept))).max() > 3


def test_a_user_gets_the_same_edit_and_what_it_is_made_of(evaluated, by_hand):
    system, average, *_ = evaluated
    (drawn, mask, edited), _ = by_hand
    given = batch()
    inputs = {
        "image": given["image"],
        "value": 1 - given["attributes"][:, 0],
        "strength": np.ones(COUNT, np.float32),
    }
    variables = {"params": {"editor": average}, "model_state": {}}
    found = jax.jit(system.predict)(variables, {}, inputs, jax.random.key(0))
    expected = {
        "image": to_bytes(edited),
        "attention": 255 * mask,
        "attribute_image": to_bytes(drawn),
    }
    assert set(found) == set(expected) == set(system.outputs)
    for name, picture in expected.items():
        values = np.asarray(found[name], float)
        np.testing.assert_allclose(values, np.asarray(picture, float), atol=1.01)
