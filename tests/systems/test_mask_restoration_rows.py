"""The rows of the paper's table: what each computes, published sizes, what a user gets."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from filled import state_of
from restoration import CLASSES, COUNT, ROWS, SIDE, SPADE, build, frozen_of, scenes

from segsynth import systems
from segsynth.errors import UserError
from segsynth.losses.labels import cross_entropy
from segsynth.metrics.restoration import to_byte
from segsynth.networks.planes import label_planes, to_bytes
from segsynth.systems.mask_restoration.answers import Answers
from segsynth.systems.mask_restoration.bridges import confidence

KEY = jax.random.key(0)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def convolutions(program):
    """How many convolutions a program holds, at any depth."""
    found = 0
    for equation in program.eqns:
        found += equation.primitive.name == "conv_general_dilated"
        for value in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_program):
            if _is_program(value):
                found += convolutions(getattr(value, "jaxpr", value))
    return found


def _is_program(value):
    return hasattr(value, "eqns") or hasattr(value, "jaxpr")


def traced(**more):
    """A system without losses of pictures, and the program of its step; nothing is compiled."""
    system = build(loss=ROWS["ce"], **more)
    frozen = {name: jax.eval_shape(spec.init, KEY) for name, spec in system.frozen.items()}
    arguments = jax.eval_shape(system.init, KEY), frozen, scenes(), KEY
    return system, jax.make_jaxpr(system.train_step)(*arguments).jaxpr


@functools.cache
def generator_convolutions():
    """How many convolutions make a picture."""
    generator = build(loss=ROWS["ce_l1"]).generator
    variables = jax.eval_shape(generator.init, KEY)
    planes = jnp.zeros((COUNT, SIDE, SIDE, CLASSES))
    return convolutions(jax.make_jaxpr(generator)(variables, planes).jaxpr)


def test_the_published_number_of_parameters():
    system = systems.build(
        {"name": "mask_restoration", "generator": {"width": 64}, "loss": {"vgg": 0.0}}
    )
    state = jax.eval_shape(system.init, KEY)
    assert count(state.params) == 93_036_515
    assert count(jax.eval_shape(system.frozen["generator"].init, KEY)["params"]) == 93_018_051
    planes = jax.ShapeDtypeStruct((2, 256, 512, 35), jnp.float32)
    variables = {"params": state.params["restorer"], **state.model_state["restorer"]}
    assert jax.eval_shape(system.restorer.module.apply, variables, planes).shape == (
        2,
        256,
        512,
        35,
    )


@pytest.mark.parametrize("row", ROWS)
def test_a_row_logs_its_terms_and_sums_them(row):
    system, names = build(loss=ROWS[row]), set(row.split("_"))
    assert "_".join(system.objective.weights.used) == row
    assert set(system.frozen) == {"generator"} | ({"vgg"} & names)
    frozen = {name: jax.eval_shape(spec.init, KEY) for name, spec in system.frozen.items()}
    logits = jax.ShapeDtypeStruct((COUNT, SIDE, SIDE, CLASSES), jnp.float32)
    trace = jax.make_jaxpr(system._terms, return_shape=True)
    program, found = trace(logits, frozen, scenes(), KEY)
    assert set(found) == names
    more = convolutions(program.jaxpr) - generator_convolutions() * bool({"vgg", "l1"} & names)
    assert more > 0 if "vgg" in names else more == 0
    weights = {"ce": 1.0, "vgg": 10.0, "l1": 3.0}
    weighted = build(loss={**weights, **ROWS[row]}).objective
    terms = {name: jnp.float32(i + 0.25) for i, name in enumerate(sorted(names))}
    expected = sum({**weights, **ROWS[row]}[name] * float(x) for name, x in terms.items())
    assert float(weighted.total(terms)) == pytest.approx(expected, abs=1e-6)


def test_the_row_without_pictures_runs_the_restorer_alone():
    with_generator, program = traced()
    without, other = traced(generator=None)
    assert without.outputs == ("labels",) and with_generator.outputs == ("labels", "image")

    def alone(state, planes, labels):
        def loss(params):
            logits, _ = with_generator.restorer.module.apply(
                {"params": params, **state.model_state["restorer"]},
                planes,
                train=True,
                mutable=["batch_stats"],
            )
            return cross_entropy(logits, labels)

        return jax.value_and_grad(loss)(state.params["restorer"])

    state = jax.eval_shape(with_generator.init, KEY)
    planes = jnp.zeros((COUNT, SIDE, SIDE, CLASSES))
    labels = jnp.zeros((COUNT, SIDE, SIDE), jnp.int32)
    expected = convolutions(jax.make_jaxpr(alone)(state, planes, labels).jaxpr)
    assert expected > 50
    assert convolutions(program) == convolutions(other) == expected


def test_a_perfect_map_costs_nothing_and_is_the_synthesis_picture():
    system, batch = build(loss=ROWS["ce"]), scenes()
    frozen = frozen_of(system)
    logits = 40.0 * jax.nn.one_hot(batch["labels"][..., 0], CLASSES)
    assert float(system._terms(logits, frozen, batch, KEY)["ce"]) < 1e-6
    object.__setattr__(system, "logits", lambda *_: logits)  # a restorer that is always right
    made = jax.jit(lambda: system.predict({}, frozen, {"labels": batch["labels"]}, KEY))()
    np.testing.assert_array_equal(made["labels"], batch["labels"])
    planes = label_planes(batch["labels"], CLASSES)
    synthesis = jax.jit(lambda: to_bytes(system._picture(frozen, batch, planes)))()
    np.testing.assert_array_equal(made["image"], synthesis)


def test_void_pixels_can_be_passed_over():
    batch = scenes()
    batch["labels"] = batch["labels"].at[:, :8].set(0)
    logits = jnp.zeros((COUNT, SIDE, SIDE, CLASSES)).at[:, :8, :, 0].set(-50.0)
    all_, fewer = (build(loss={**ROWS["ce"], "ignore": i}) for i in ((), (0,)))
    assert float(all_._terms(logits, {}, batch, KEY)["ce"]) > 10
    expected = np.log(CLASSES)
    assert float(fewer._terms(logits, {}, batch, KEY)["ce"]) == pytest.approx(expected, rel=1e-4)


def test_classes_may_weigh_alike_whatever_their_area():
    labels = jnp.zeros((1, SIDE, SIDE, 1), jnp.uint8).at[:, :2].set(2)
    logits = jnp.zeros((1, SIDE, SIDE, CLASSES)).at[:, 2:, :, 0].set(4.0)
    right, wrong = -jax.nn.log_softmax(jnp.asarray([4.0, 0, 0, 0]))[0], np.log(CLASSES)
    small = 2 / SIDE
    expected = {False: small * wrong + (1 - small) * right, True: (wrong + right) / 2}
    for balance, value in expected.items():
        system = build(loss={**ROWS["ce"], "balance": balance})
        found = system._terms(logits, {}, {"labels": labels}, KEY)["ce"]
        assert float(found) == pytest.approx(float(value), rel=1e-4)


def test_the_optimizer_is_a_generators_without_a_discriminator():
    for preset, rate in (({}, 2e-4), ({"preset": "ttur"}, 1e-4)):
        chain = build(optimizer=preset).tx
        updates, _ = chain.update({"w": jnp.ones(())}, chain.init({"w": jnp.ones(())}))
        assert -float(updates["w"]) == pytest.approx(rate, rel=1e-4)


def test_statistics_are_estimated_for_the_averaged_restorer():
    system, batch = build(loss=ROWS["ce"], generator=None), scenes()
    state = state_of(system)
    state = state.replace(params=jax.tree.map(jnp.zeros_like, state.params))
    after = jax.jit(system.calibrate)(state, {}, batch, KEY)
    found = after.model_state["restorer"]["batch_stats"]["up_0"]["norm_1"]["norm"]["mean"]
    assert np.abs(found).max() > 1e-2  # what has no weights has no means
    assert int(after.model_state["calibration"]["batches"]) == 1


def test_a_row_without_true_maps_says_that_it_is_an_experiment():
    metrics = {"none/accuracy": 0.5, "restored/accuracy": 0.6}
    with_maps, without = (build(loss=ROWS[row]).report(metrics) for row in ("ce_l1", "vgg_l1"))
    assert "Experimental" not in with_maps
    assert without.splitlines()[0].startswith("| sr8, vgg_l1")
    assert without.splitlines()[-1].startswith("Experimental: trained by photographs alone")


@pytest.fixture(scope="module")
def user():
    """A system with all outputs whose generator is random, and a compiled answer."""
    system = build(confidence=True, clamp_known=True, loss=ROWS["ce_l1"], frame=(64, 64))
    frozen, variables = frozen_of(system), state_of(system).variables()
    compiled = jax.jit(lambda batch: system.predict(variables, frozen, batch, KEY))
    return system, variables, frozen, lambda _, batch, key: compiled(dict(batch))


def test_a_small_map_comes_back_large(user):
    system, variables, _, answer = user
    low = np.random.default_rng(0).integers(0, CLASSES, (8, 8, 1)).astype(np.uint8)
    found = system.synthesize(answer, {"labels": low}, KEY)
    assert found["labels"].shape == (64, 64, 1) and found["image"].shape == (64, 64, 3)
    assert found["confidence"].dtype == np.uint8
    np.testing.assert_array_equal(found["labels"][::8, ::8], low)  # known pixels are kept
    large = low.repeat(8, 0).repeat(8, 1)
    again = system.synthesize(answer, {"labels": large}, KEY)
    np.testing.assert_array_equal(again["labels"], found["labels"])
    assert system.remarks(variables, {}, {"labels": low}) == ()


def test_a_small_map_is_told_from_one_with_repeated_pixels(user):
    system, variables, _, answer = user
    random = np.random.default_rng(0)
    for height, width in ((8, 16), (3, 5)):  # no map of 8x repeated pixels looks like these
        low = random.integers(0, CLASSES, (height, width, 1)).astype(np.uint8)
        found = system.synthesize(answer, {"labels": low}, KEY)["labels"]
        np.testing.assert_array_equal(found[::8, ::8], low)
        remark = system.remarks(variables, {}, {"labels": low})[0]
        assert f"the map is {8 * width}x{8 * height} px and training saw 64x64" in remark


def test_a_user_may_say_whether_pixels_were_repeated(user):
    system, variables, _, answer = user
    plain = np.full((16, 16, 1), 2, np.uint8)
    assert "(--low-resolution)" in system.remarks(variables, {}, {"labels": plain})[-1]
    for said, side in (("auto", 16), ("repeated", 16), ("small", 128)):
        told = system.adjusted(dataclasses.replace(system.options, low_resolution=said))
        assert told.synthesize(answer, {"labels": plain}, KEY)["labels"].shape == (side, side, 1)
    with pytest.raises(UserError, match="low_resolution is 'small' with the task coarse"):
        build(task="coarse", loss=ROWS["ce"]).adjusted(Answers(low_resolution="small"))


def test_the_picture_is_of_the_restored_map_and_confidence_of_its_logits(user):
    system, variables, frozen, answer = user
    given = np.random.default_rng(1).integers(0, CLASSES, (8, 8, 1)).astype(np.uint8)
    found = system.synthesize(answer, {"labels": given}, KEY)
    labels = jnp.asarray(found["labels"][None])
    assert (found["labels"] != given.repeat(8, 0).repeat(8, 1)).any()

    @jax.jit
    def expected(given, labels):
        logits = system.logits(variables, system.task.as_given(given))
        picture = system.generator(frozen["generator"], label_planes(labels, CLASSES))
        return to_bytes(picture), to_byte(confidence(logits))

    image, certain = expected(jnp.asarray(given[None, ..., 0]).repeat(8, 1).repeat(8, 2), labels)
    np.testing.assert_allclose(found["image"], image[0], atol=1)
    np.testing.assert_allclose(found["confidence"][..., 0], certain[0], atol=1)
    assert np.ptp(found["image"]) > 8 and np.ptp(found["confidence"]) > 8


def test_a_generator_of_more_levels_sets_the_multiple():
    """A small restorer under published weights."""
    system, seen = build(generator={**SPADE, "upsampling": "more"}, frame=(64, 64)), {}
    given = np.ones((96, 96, 1), np.uint8)
    found = system.synthesize(
        lambda _, batch, key: seen.update(batch) or batch, {"labels": given}, KEY
    )
    assert seen["labels"].shape == (1, 128, 128, 1) and found["labels"].shape == (96, 96, 1)


def test_a_map_of_any_size_is_padded_and_cut(user):
    system, variables, _, answer = user
    given = np.ones((40, 56, 1), np.uint8)
    found = system.synthesize(answer, {"labels": given}, KEY)
    assert {name: x.shape[:2] for name, x in found.items()} == dict.fromkeys(found, (40, 56))
    assert "training saw 64x64" in system.remarks(variables, {}, {"labels": given})[0]


@pytest.mark.parametrize(
    ("task", "unknown", "value", "message"),
    [
        ("holes", "as_class0", 255, "the map holds 255; expected labels 0 to 3, and 0 where"),
        ("holes", "as_class0", 4, "the map holds 4; expected labels 0 to 3"),
        ("holes", "extra_channel", 4, "labels 0 to 3, and 255 where there is none"),
        ("sr8", "extra_channel", 255, "the map holds 255; expected labels 0 to 3$"),
        ("noisy", "extra_channel", 255, "the map holds 255; expected labels 0 to 3$"),
    ],
)
def test_a_label_that_is_no_class_is_refused(task, unknown, value, message):
    system = build(task=task, unknown=unknown)
    labels = np.full((SIDE, SIDE, 1), value, np.uint8)
    with pytest.raises(UserError, match=message):
        system.synthesize(lambda *_: {}, {"labels": labels}, KEY)


def test_a_coarse_map_without_gaps_is_remarked():
    system = build(task="coarse")
    assert system.inputs == ("coarse",)
    full = np.ones((SIDE, SIDE, 1), np.uint8)
    assert system.remarks({}, {}, {"coarse": full}) == (
        "every pixel has a label already; there is nothing to fill in",
    )
