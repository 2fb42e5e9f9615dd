"""Several attributes in one editor: what it is told, what its critic sees, how each is scored."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from segsynth import systems
from segsynth.errors import UserError
from segsynth.metrics.names import name_of
from segsynth.predict import Synthesizer
from segsynth.systems.msagan.training import Faces, faces_of, told

SIDE = 16
#: A collection of metrics takes no name that begins with a digit.
NAMES = ("Mouth_Slightly_Open", "Eyeglasses", "5_o_Clock_Shadow")
TINY = {
    "name": "msagan",
    "attributes": NAMES,
    "resolution": SIDE,
    "editor": {"width": 4, "downs": 1, "blocks": 1, "stem": 3, "attr_inject": "both"},
    "critic": {"width": 4, "conv_impl": "matmul"},
    "optimizer": {"lr": 1e-3},
    "n_critic": 1,
    "judges": {"judge": {"width": 2}, "judge2": {"width": 3}},
}


@pytest.fixture(scope="module")
def started():
    system = systems.build(TINY)
    return system, jax.device_get(jax.jit(system.init)(jax.random.key(0)))


def batch(count=6):
    random = np.random.default_rng(0)
    return {
        "image": random.integers(0, 256, (count, SIDE, SIDE, 3)).astype(np.uint8),
        "attributes": random.integers(0, 2, (count, 3)).astype(np.int32),
        "attribute": (np.arange(count) % 3).astype(np.int32),
        "guide": np.full((count, SIDE, SIDE, 1), 200, np.uint8),
        "value": np.ones(count, np.int32),
        "strength": np.ones(count, np.float32),
        "valid": np.ones(count, np.float32),
    }


def test_only_the_edited_attribute_is_told():
    value, which = jnp.array([1.0, 0.0]), jnp.array([2, 0])
    np.testing.assert_array_equal(told(value, which, 3), [[0, 0, 1], [-1, 0, 0]])
    np.testing.assert_array_equal(told(value, jnp.zeros(2, int), 1), [[1], [0]])  # as published


def test_the_target_keeps_the_other_attributes():
    label = jnp.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    faces = Faces(jnp.zeros((2, 4, 4, 3)), label, jnp.zeros((2, 4, 4, 1)), jnp.array([0, 1]))
    np.testing.assert_array_equal(faces.value, [1, 0])
    np.testing.assert_array_equal(faces.target(), [[0, 0, 1], [0, 1, 1]])


def test_what_excludes_the_attribute_goes():
    label = jnp.array([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    which = jnp.array([1, 1, 2])  # set, taken away, set
    faces = Faces(jnp.zeros((3, 4, 4, 3)), label, jnp.zeros((3, 4, 4, 1)), which)
    np.testing.assert_array_equal(faces.target(((0, 1),)), [[0, 1, 1], [1, 0, 0], [1, 0, 1]])
    with pytest.raises(UserError, match=r"system\.exclusive.* has no 'Blond_Hair'"):
        systems.build({**TINY, "exclusive": (("Eyeglasses", "Blond_Hair"),)})


def test_a_step_judges_all_attributes_of_an_edit(started):
    _, state = started
    system = systems.build({**TINY, "exclusive": (NAMES[1:],)})
    given = batch(6)
    # Part 1 has examples 1, 3 and 5, which edit attributes 1, 0 and 2.
    given["attributes"][1::2] = [[1, 0, 1], [1, 1, 0], [0, 1, 0]]
    after, scalars = jax.jit(system.train_step)(state, {}, given, jax.random.key(0))
    first, last = (
        faces_of({name: jnp.asarray(x[i::2]) for name, x in given.items()}, 3) for i in (0, 1)
    )
    target = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]], np.float32)  # what is excluded is gone

    def entropy(logits, wanted):
        # The sum over attributes: the edited one counts as if it were alone.
        return optax.sigmoid_binary_cross_entropy(logits, wanted).sum(axis=1).mean()

    @jax.jit
    def classes(editor, critic, before):
        edit = system.game.edit(editor, {}, last.image, last.told(1 - last.value))
        logits = system.game.critic.apply({"params": critic}, edit.image)[1]
        assert logits.shape == (3, 3)
        real = system.game.critic.apply({"params": before}, first.image)[1]
        return entropy(logits, target), entropy(real, first.label)

    expected = classes(state.params["editor"], after.params["critic"], state.params["critic"])
    assert float(scalars["classes"]) == pytest.approx(float(expected[0]), rel=1e-4)
    assert float(scalars["critic_classes"]) == pytest.approx(float(expected[1]), rel=1e-4)


def test_each_attribute_has_its_own_shares(started):
    system, state = started
    judge = dict(system.judges)["judge"]
    frozen = {name: jax.jit(one.init)(jax.random.key(1)) for name, one in system.judges}
    given = batch(6)
    scored = jax.jit(system.eval_step)
    metrics, _ = scored(state.variables(), frozen, given, jax.random.key(0))
    found = {name_of(name): float(value) for name, value in metrics.compute().items()}
    assert [found[f"{name}/n"] for name in NAMES] == [2, 2, 2] and found["n"] == 6
    for key in ("accuracy", "judge2", "identity/accuracy", "identity/judge2"):
        mean = np.mean([found[f"{name}/{key}"] for name in NAMES])
        assert found[key] == pytest.approx(mean), key
    assert found["collapsed"] == max(found[f"{name}/collapsed"] for name in NAMES)
    assert "| 5_o_Clock_Shadow, identity |" in system.report(found)
    values = given["attributes"][np.arange(6), given["attribute"]]
    logits = judge.logits(frozen["judge"], jnp.asarray(given["image"], jnp.float32) / 127.5 - 1)
    decided = np.asarray(logits)[np.arange(6), given["attribute"]] > 0
    assert found["identity/accuracy"] == pytest.approx((decided != (values > 0)).mean())


def test_a_user_names_the_attribute(started):
    system, state = started
    editor = Synthesizer(system, state.variables(), {})
    assert editor.inputs == ("image", "value", "strength", "attribute", "landmarks")
    image = batch(1)["image"][0]
    found = [editor(image=image, attribute=name)["image"] for name in NAMES]
    assert (found[0] != found[1]).any() and (found[1] != found[2]).any()
    np.testing.assert_array_equal(editor(image=image, attribute=1)["image"], found[1])
    with pytest.raises(UserError, match="attribute not given; bring --attribute"):
        editor(image=image)
    with pytest.raises(UserError, match="attribute has no 'Smiling'"):
        editor(image=image, attribute="Smiling")


def test_other_attributes_than_the_examples_have(started):
    system, state = started
    given = {**batch(), "attributes": np.zeros((6, 1), np.int32)}
    with pytest.raises(UserError, match="have 1 attributes and 3 can be edited"):
        jax.eval_shape(system.train_step, state, {}, given, jax.random.key(0))
    with pytest.raises(UserError, match=r"system\.attributes is empty"):
        systems.build({**TINY, "attributes": ()})


def test_a_mask_that_cannot_know_the_attribute():
    def build(**editor):
        return systems.build({**TINY, "editor": {**TINY["editor"], **editor}})

    with pytest.raises(UserError, match="E2D2, whose mask would be the same for all of Mouth"):
        build(structure="E2D2")
    assert build(structure="E2D2", mask_sees_attr=True).attributes == NAMES
    assert build(structure="E2D1").attributes == NAMES  # its decoder sees both encoders
