"""SPADE image synthesis: published sizes, order of the two players, what a step computes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from filled import state_of

from segsynth import systems
from segsynth.errors import UserError
from segsynth.networks.planes import edge_plane, label_planes, to_bytes, to_unit
from segsynth.networks.statistics import running_mean
from segsynth.systems.image_synthesis import Weights

SIDE, CLASSES, COUNT = 32, 3, 4
TINY = {
    "name": "image_synthesis",
    "classes": CLASSES,
    "frame": (SIDE, SIDE),
    "generator": {"width": 1, "hidden": 4, "upsampling": "normal"},
    "discriminator": {"width": 4, "layers": 2},
    "loss": {"vgg": 0.0},
}


def build(**more):
    return systems.build({**TINY, **more})


def batch(seed=0, shape=(SIDE, SIDE)):
    random = np.random.default_rng(seed)
    return {
        "labels": random.integers(0, CLASSES, (COUNT, *shape, 1)).astype(np.uint8),
        "image": random.integers(0, 256, (COUNT, *shape, 3)).astype(np.uint8),
    }


def planes_of(given):
    return label_planes(jnp.asarray(given["labels"]), CLASSES)


@pytest.fixture(scope="module")
def started():
    system = build()
    return system, state_of(system)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def longest_step(before, after):
    return max(
        jax.tree.leaves(jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), before, after))
    )


@pytest.mark.parametrize(
    ("edges", "generator", "discriminator"),
    [(False, 93_018_051, 5_599_362), (True, 93_048_003, 5_601_410)],
)
def test_the_published_numbers_of_parameters(edges, generator, discriminator):
    system = systems.build({"name": "image_synthesis", "edges": edges})
    state = jax.eval_shape(system.init, jax.random.key(0))
    assert count(state.params["generator"]) == generator
    assert count(state.params["discriminator"]) == discriminator


def test_a_label_outside_the_classes_is_in_no_plane():
    planes = label_planes(jnp.array([[[[0], [2], [3], [255]]]], jnp.uint8), 3)
    np.testing.assert_array_equal(planes[0, 0], [[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]])


def test_edges_are_where_a_neighbour_is_another_object():
    instance = np.zeros((1, 5, 6, 1), np.int32)
    instance[0, 1:3, 2:5] = 26_001
    expected = np.zeros((5, 6), bool)
    for y in range(5):
        for x in range(6):
            for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= v < 5 and 0 <= u < 6:
                    expected[y, x] |= instance[0, y, x, 0] != instance[0, v, u, 0]
    np.testing.assert_array_equal(edge_plane(jnp.asarray(instance))[0, ..., 0], expected)


def test_bytes_survive_the_way_there_and_back():
    every = jnp.arange(256, dtype=jnp.uint8).reshape(1, 16, 16, 1)
    np.testing.assert_array_equal(to_bytes(to_unit(every)), every)
    assert to_unit(every).min() == -1 and to_unit(every).max() == 1


def test_the_generator_has_a_plane_for_edges():
    assert build().inputs == ("labels",)
    assert build(edges=True).inputs == ("labels", "instance")
    assert build(edges=True).generator.label_channels == CLASSES + 1


@functools.cache
def compiled_parts():
    """The two networks in training mode."""
    system = build()
    g, d = system.generator, system.discriminator

    @jax.jit
    def make(params, stats, planes):
        both = {"params": params, "batch_stats": stats}
        out, moved = g.apply(both, planes, True, mutable=["batch_stats"])
        return out, moved["batch_stats"]

    @jax.jit
    def judge(params, stats, fake, planes, real):
        both = {"params": params, "batch_stats": stats}
        sides = jnp.concatenate([jnp.concatenate([planes, x], -1) for x in (fake, real)])
        out, moved = d.apply(both, sides, True, mutable=["batch_stats"])
        made = [[x[:COUNT] for x in scale] for scale in out]
        true = [[x[COUNT:] for x in scale] for scale in out]
        return made, true, moved["batch_stats"]

    return make, judge


def parts(planes, real):
    """The same for given planes and photographs."""
    make, judge = compiled_parts()
    return (
        lambda params, stats: make(params, stats, planes),
        lambda params, stats, fake: judge(params, stats, fake, planes, real),
    )


@pytest.mark.parametrize("order", ["sequential", "simultaneous"])
def test_the_step_is_the_published_order_of_play(started, order):
    """Written out again from the networks: who sees what, and how often statistics move."""
    system, state = started
    system = build(order=order)
    given, counted = batch(), {"batches": jnp.int32(3)}
    state = state.replace(model_state={**state.model_state, "calibration": counted})
    after, scalars = jax.jit(system.train_step)(state, {}, given, jax.random.key(0))
    assert int(after.model_state["calibration"]["batches"]) == 0
    # Adam's first step is as long as its rate: that of the generator is a quarter of the other.
    for name, rate in (("generator", 1e-4), ("discriminator", 4e-4)):
        assert longest_step(state.params[name], after.params[name]) == pytest.approx(rate, rel=0.01)

    planes, real = planes_of(given), to_unit(jnp.asarray(given["image"]))
    g_stats = state.model_state["generator"]["batch_stats"]
    d_stats = state.model_state["discriminator"]["batch_stats"]
    make, judge = parts(planes, real)
    fake, g_one = make(state.params["generator"], g_stats)
    made, true, d_one = judge(state.params["discriminator"], d_stats, fake)
    adversarial = -np.mean([scale[-1].mean() for scale in made])
    features = np.mean(
        [
            sum(np.abs(a - b).mean() for a, b in zip(x[:-1], y[:-1], strict=True))
            for x, y in zip(made, true, strict=True)
        ]
    )
    assert float(scalars["adversarial"]) == pytest.approx(adversarial, abs=1e-6)
    assert float(scalars["features"]) == pytest.approx(features, rel=1e-4)
    assert float(scalars["loss"]) == pytest.approx(adversarial + 10 * features, rel=1e-4)
    if order == "sequential":
        fake, g_stats = make(after.params["generator"], g_one)
        d_stats = d_one
    else:
        g_stats = g_one
    made, true, d_stats = judge(state.params["discriminator"], d_stats, fake)
    hinge = np.mean(
        [
            np.maximum(0, 1 - y[-1]).mean() + np.maximum(0, 1 + x[-1]).mean()
            for x, y in zip(made, true, strict=True)
        ]
    )
    assert float(scalars["discriminator"]) == pytest.approx(hinge, rel=1e-5)
    found = after.model_state
    for name, expected in (("generator", g_stats), ("discriminator", d_stats)):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
            found[name]["batch_stats"],
            expected,
        )


def test_only_what_has_a_weight_is_computed(started):
    system, state = started
    assert system.frozen == {} and set(build(loss={}).frozen) == {"vgg"}
    assert build(loss={}).weights == Weights(features=10.0, vgg=10.0, l1=0.0)  # SPADE's
    without = build(loss={"vgg": 0.0, "features": 0.0})
    _, scalars = jax.eval_shape(without.train_step, state, {}, batch(), jax.random.key(0))
    assert set(scalars) == {"loss", "adversarial", "discriminator"}


def test_statistics_are_the_mean_over_the_batches_of_a_calibration(started):
    system, state = started
    still = jax.tree.map(jnp.zeros_like, state.params)  # it is the averages that are estimated for
    state = state.replace(params=still)
    calibrate = jax.jit(system.calibrate)
    batches = [batch(seed) for seed in range(3)]
    found = state
    for given in batches:
        found = calibrate(found, {}, given, jax.random.key(0))
    means = []
    for given in batches:
        stats = state.model_state["generator"]["batch_stats"]
        _, moved = compiled_parts()[0](state.ema["generator"], stats, planes_of(given))
        stored = moved["head_0"]["norm_0"]["norm"]["mean"]
        means.append(np.asarray(stored) / 0.1)  # the running mean began at 0
    ours = found.model_state["generator"]["batch_stats"]["head_0"]["norm_0"]["norm"]
    np.testing.assert_allclose(ours["mean"], np.mean(means, 0), rtol=2e-2, atol=1e-5)
    assert int(found.model_state["calibration"]["batches"]) == 3
    np.testing.assert_array_equal(
        jax.tree.leaves(found.params)[0], jax.tree.leaves(state.params)[0]
    )


def test_a_running_mean_takes_vectors_as_they_come():
    state = {"norm": {"mean": jnp.array([7.0])}, "conv": {"u": jnp.array([1.0])}}

    def run(value):
        def show(before):
            assert float(before["norm"]["mean"][0]) == 0.0
            return {"norm": {"mean": jnp.array([0.1 * value])}, "conv": {"u": jnp.array([value])}}

        return show

    for i, value in enumerate((2.0, 4.0, 9.0)):
        state = running_mean(state, jnp.int32(i), run(value))
    assert float(state["norm"]["mean"][0]) == pytest.approx(5.0)
    assert float(state["conv"]["u"][0]) == 9.0


def test_a_picture_of_any_size_is_padded_and_cut(started):
    system, state = started
    predict = jax.jit(
        lambda inputs: system.predict(state.variables(), {}, inputs, jax.random.key(0))
    )
    labels = batch(shape=(40, 70))["labels"][0]
    seen = {}

    def answer(_, inputs, key):
        seen.update(inputs)
        return predict(inputs)

    image = system.synthesize(answer, {"labels": labels}, jax.random.key(0))["image"]
    assert image.shape == (40, 70, 3) and seen["labels"].shape == (1, 64, 96, 1)
    np.testing.assert_array_equal(seen["labels"][0, 40:, :70], np.repeat(labels[-1:], 24, 0))
    assert system.remarks(state.variables(), {}, {"labels": labels})[0].startswith(
        "the map is 70x40"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame": (48, 64)}, "system.frame: output of 48x64"),
        ({"order": "other"}, "system.order is 'other'"),
        ({"generator": {"wdth": 3}}, "system.generator has no 'wdth'; did you mean 'width'"),
        ({"optimizer": {"preset": "adam"}}, "system.optimizer.preset is 'adam'"),
    ],
)
def test_a_wrong_setting_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        build(**change)


def test_a_label_that_is_no_class_is_refused(started):
    labels = np.full((SIDE, SIDE, 1), CLASSES, np.uint8)
    with pytest.raises(UserError, match="labels hold 3; expected 0 to 2"):
        started[0].synthesize(lambda *_: {}, {"labels": labels}, jax.random.key(0))


def test_bfloat16_computes_in_bfloat16_and_keeps_float32():
    system = build(dtype="bfloat16")
    state = jax.eval_shape(system.init, jax.random.key(0))
    after, scalars = jax.eval_shape(system.train_step, state, {}, batch(), jax.random.key(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(after.params)} == {jnp.dtype("float32")}
    assert scalars["loss"].dtype == jnp.float32
    text = str(jax.make_jaxpr(system.generator.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 3))))
    assert "bf16" in text
    assert isinstance(system.generator_tx, optax.GradientTransformation)
