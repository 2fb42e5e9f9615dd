"""The generator never changes, and its gradient reaches every pixel of the map."""

import dataclasses
import functools
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys
from filled import state_of
from restoration import CLASSES, COUNT, ROWS, SIDE, build, frozen_of, scenes, section_of

from segsynth import experiment, systems
from segsynth.data import feed
from segsynth.errors import UserError
from segsynth.networks.planes import edge_plane, label_planes, to_unit
from segsynth.pretrained.spade_features import SpadeFeatures
from segsynth.systems.mask_restoration.frozen_generator import (
    assert_connected,
    assert_differentiable,
)
from segsynth.systems.mask_restoration.judging import pictures

KEY = jax.random.key(0)
BRIDGES = ("softmax", "straight_through", "gumbel_st")


def digest(tree):
    found = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(jax.device_get(tree)):
        found.update(jax.tree_util.keystr(path).encode())
        found.update(np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()


@pytest.fixture(scope="module")
def full():
    """A system with all three losses, its frozen networks and its compiled step."""
    system = build(loss={"vgg": 10.0, "l1": 3.0})
    return system, frozen_of(system), jax.jit(system.train_step, donate_argnums=0)


def test_twenty_steps_leave_every_byte_of_the_frozen_networks(full):
    system, frozen, step = full
    before, state, batch = digest(frozen), state_of(system), scenes()
    first = digest(state.params)
    for i in range(20):
        state, scalars = step(state, frozen, batch, jax.random.key(i))
        summed = scalars["ce"] + 10 * scalars["vgg"] + 3 * scalars["l1"]
        assert float(scalars["loss"]) == pytest.approx(float(summed), rel=1e-6)
    assert set(scalars) == {"loss", "grad_norm", "ce", "vgg", "l1"}
    assert set(state.model_state) == {"restorer", "calibration"}
    assert digest(frozen) == before
    assert digest(state.params) != first
    leaves = len(jax.tree.leaves(state.params["restorer"]))
    moments = [leaf for leaf in jax.tree.leaves(state.opt_state) if leaf.ndim]
    assert set(state.params) == {"restorer"}
    vectors = [leaf for leaf in jax.tree.leaves(state.params) if leaf.ndim]
    assert len(vectors) == leaves and len(moments) == 2 * leaves
    with pytest.raises(RuntimeError, match="deleted"):  # a donated state, not a donated generator
        donated = jax.tree.map(jnp.copy, state)
        step(donated, frozen, batch, KEY)
        jax.block_until_ready(jax.tree.map(lambda x: x + 0, donated.params))


def test_a_generator_in_training_mode_would_be_noticed(full):
    """Were its statistics kept, the bytes would differ."""
    system, frozen, _ = full
    planes = jax.nn.one_hot(scenes()["labels"][..., 0], CLASSES)
    variables = frozen["generator"]
    _, moved = jax.jit(
        lambda v: system.generator.module.apply(v, planes, True, mutable=["batch_stats"])
    )(variables)
    assert digest({**variables, **moved}) != digest(variables)
    _, same = jax.jit(lambda v: system.generator.module.apply(v, planes, mutable=["batch_stats"]))(
        variables
    )
    assert digest({**variables, **same}) == digest(variables)


def others_matter(generator, variables):
    """How much a picture changes when another one is made beside it."""
    planes = jax.nn.softmax(jax.random.normal(KEY, (COUNT, SIDE, SIDE, CLASSES)) * 3)
    picture = jax.jit(lambda r: generator(variables, r))
    return float(jnp.abs(picture(planes)[1:] - picture(planes[1:])).max())


def test_one_picture_does_not_depend_on_the_others(full):
    """But it does where the step's generator is in training mode, which shows what this sees."""
    system, frozen, _ = full
    assert others_matter(system.generator, frozen["generator"]) < 1e-5
    training = build(loss={"vgg": 0.0}, generator_norm="batch").generator
    assert others_matter(training, frozen["generator"]) > 1e-2


@pytest.fixture(scope="module")
def logits():
    return jax.random.normal(KEY, (COUNT, SIDE, SIDE, CLASSES))


@functools.cache
def image_loss(bridge):
    """The losses of pictures as a function of the logits, with its gradient."""
    # What lies between pictures and losses is the same for all of them.
    fewer = {} if bridge == "softmax" else {"vgg": 0.0}
    system = build(bridge=bridge, loss={"ce": 0.0, **fewer})

    @jax.jit
    def compute(frozen, batch, logits):
        def loss(z):
            terms = system._terms(z, frozen, batch, jax.random.key(3))
            assert set(terms) == {"vgg", "l1"} - set(fewer)
            return system.objective.total(terms)

        return jax.value_and_grad(loss)(logits)

    return functools.partial(compute, frozen_of(system), scenes())


@pytest.mark.parametrize("bridge", BRIDGES)
def test_pictures_alone_send_a_gradient_to_every_pixel(logits, bridge):
    value, gradient = image_loss(bridge)(logits)
    assert float(value) > 0 and np.isfinite(gradient).all()
    assert float((gradient != 0).any(-1).mean()) >= 0.99


def test_the_gradient_is_that_of_finite_differences(monkeypatch):
    """Of single logits, with both networks in 64 bits."""
    monkeypatch.setattr(jnp, "float32", jnp.float64)  # where outputs are converted
    module = SpadeFeatures.module.fget
    in_64 = property(lambda features: module(features).clone(dtype=jnp.float64))
    monkeypatch.setattr(SpadeFeatures, "module", in_64)
    with jax.enable_x64(True):
        system = build(loss={"ce": 0.0})
        wide = system.generator.module.clone(dtype=jnp.float64)
        generator = dataclasses.replace(system.generator, module=wide)
        system = dataclasses.replace(system, generator=generator)
        frozen = jax.tree.map(lambda x: np.asarray(x, np.float64), frozen_of(system))
        z = np.random.default_rng(0).normal(size=(1, SIDE, SIDE, CLASSES))
        batch = {name: x[:1] for name, x in scenes().items()}

        @jax.jit
        def compute(z):
            return system.objective.total(system._terms(z, frozen, batch, KEY))

        value, gradient = jax.jit(jax.value_and_grad(compute))(z)
        assert value.dtype == gradient.dtype == np.float64
        for place in np.random.default_rng(1).integers(z.shape, size=(5, 4)):
            step = np.zeros_like(z)
            step[tuple(place)] = 1e-5
            slope = float(compute(z + step) - compute(z - step)) / 2e-5
            assert slope == pytest.approx(float(gradient[tuple(place)]), rel=0.02)


def test_a_generator_that_looks_labels_up_is_refused():
    """CLADE's way: the numbers of the classes index a table."""
    table = jax.random.normal(KEY, (CLASSES, 3))
    shape = (COUNT, SIDE, SIDE, CLASSES)

    def embedded(table, r):
        return jnp.tanh(table[r.argmax(-1)])

    def mixed(table, r):
        return jnp.tanh(r @ table)

    def by_value(picture):
        assert_differentiable(picture, table, shape)

    def by_program(picture):
        planes = jax.ShapeDtypeStruct(shape, jnp.float32)
        assert_connected(functools.partial(picture, table), planes)

    for refuse in (by_value, by_program):
        refuse(mixed)
        with pytest.raises(UserError, match="gives its label planes no gradient"):
            refuse(embedded)
    with pytest.raises(UserError, match="gradient is not finite"):
        by_value(lambda table, r: jnp.sqrt(r * 0.0) @ table)


def test_a_step_refuses_such_a_generator_before_it_runs(full):
    class Embedding:
        """Takes what a generator takes."""

        def __call__(self, variables, planes, instance=None):
            return jnp.tanh(variables[planes.argmax(-1)])

    system = build(loss={"vgg": 0.0})
    object.__setattr__(system, "generator", Embedding())
    state = jax.eval_shape(system.init, KEY)
    frozen = {"generator": jnp.ones((CLASSES, 3))}
    with pytest.raises(UserError, match="gives its label planes no gradient"):
        jax.eval_shape(system.train_step, state, frozen, scenes(), KEY)


class Dead(toys.Plain):
    """Trains a generator whose pictures are grey whatever the map."""

    made = None

    def init(self, key):
        first, made = super().init(key), self.made
        last = jax.tree.map(jnp.zeros_like, made["params"]["last"])
        state = {"generator": {"batch_stats": made["batch_stats"]}, **first.model_state}
        params = {"generator": {**made["params"], "last": last}}
        return first.replace(params=params, model_state=state)

    def train_step(self, state, frozen, batch, key):
        return state.replace(step=state.step + 1), {"loss": jnp.zeros(())}


def test_a_generator_that_has_learned_nothing_is_refused_before_training(tmp_path, monkeypatch):
    monkeypatch.setitem(systems.REGISTRY, "dead", Dead)
    monkeypatch.setattr(Dead, "made", frozen_of(build(loss=ROWS["ce_l1"]))["generator"])
    monkeypatch.setattr(feed, "_check_labels", lambda *_: None)  # of 34 classes, not of 4
    config = toys.config("dead", steps=1, run=("toy", "restoration"))
    config["phases"]["restoration"] = {
        "system": section_of(loss=ROWS["ce_l1"]),
        "train": {"steps": 1, "global_batch": 2},
        "frozen": {"generator": "phase:toy"},
    }
    config["data"]["frame"] = (SIDE, SIDE)
    with pytest.raises(UserError) as refused:
        experiment.train_and_evaluate(config, tmp_path)
    text = str(refused.value)
    assert text.startswith("phase restoration: the frozen generator gives") and "\n" not in text
    assert (tmp_path / "toy/finished.json").exists()
    assert not (tmp_path / "restoration/checkpoints").exists()


def test_the_weights_that_are_loaded_are_fit(full):
    system, frozen, _ = full
    system.check_frozen(frozen)
    system = build(loss=ROWS["ce"])  # no picture is looked at, so any weights will do
    dead = jax.tree.map(jnp.zeros_like, frozen["generator"])
    system.check_frozen({"generator": dead})


def test_diagnosis_tells_what_each_loss_sends_back(full):
    whole, frozen, _ = full
    arguments = state_of(whole), frozen, scenes(), KEY
    names = {f"{what}_{n}" for what in ("grad_norm", "reached") for n in ("ce", "vgg", "l1")}
    assert set(jax.eval_shape(whole.diagnose, *arguments)) == names
    alone = build(loss=ROWS["ce"], generator=None)  # the others compile for longer
    found = jax.jit(alone.diagnose)(arguments[0], {}, *arguments[2:])
    assert float(found["reached_ce"]) >= 0.99 and float(found["grad_norm_ce"]) > 0


def test_the_target_may_be_what_the_generator_makes_of_the_truth(full):
    system, batch = build(loss={"ce": 0.0, "vgg": 0.0}, image_target="synth"), scenes()
    terms = jax.jit(functools.partial(system._terms, frozen=full[1], batch=batch, key=KEY))
    truth = 200.0 * jax.nn.one_hot(batch["labels"][..., 0], CLASSES)
    assert float(terms(truth)["l1"]) < 1e-6
    assert float(terms(truth[:, ::-1])["l1"]) > 0.05


def test_the_plane_of_edges_is_filled_as_told():
    batch = scenes()
    instance = jnp.asarray(batch["labels"], jnp.int32).at[:, 10:20, 10:20].add(1000)
    planes = jax.nn.one_hot(batch["labels"][..., 0], CLASSES)
    made = {}
    for edges in ("true_instance", "from_argmax", "zeros"):
        system = build(edges=edges, loss={"vgg": 0.0, "l1": 0.0})
        assert system.generator.channels == CLASSES + 1
        assert ("instance" in system.inputs) == (edges == "true_instance")
        made[edges] = system.generator._edges(planes, instance)
    assert not made["zeros"].any() and made["from_argmax"].any()
    assert (made["true_instance"] > made["from_argmax"]).any()


def test_the_photograph_is_not_needed_without_a_loss_of_pictures(full):
    system = build(loss={"vgg": 0.0, "l1": 0.0})
    batch = scenes()
    del batch["image"]
    assert set(system._terms(jnp.zeros((COUNT, SIDE, SIDE, CLASSES)), {}, batch, KEY)) == {"ce"}
    assert to_unit(jnp.zeros((1, 1, 1, 3), jnp.uint8)).max() == -1


def test_borders_are_the_last_plane_and_statistics_those_that_were_asked_for(full):
    """As weights that were released for 35 planes of labels and one of borders expect."""
    batch = scenes()
    planes, instance = label_planes(batch["labels"], CLASSES), batch["labels"].astype(jnp.int32)
    system = build(edges="true_instance", loss={"vgg": 0.0})
    variables = frozen_of(system)["generator"]
    apply, every = system.generator.module.apply, [planes, edge_plane(instance)]
    picture = jax.jit(lambda r, borders: system.generator(variables, r, borders))(planes, instance)
    expected = jax.jit(apply)(variables, jnp.concatenate(every, -1))
    np.testing.assert_allclose(picture, expected, atol=1e-5)
    other = jax.jit(apply)(variables, jnp.concatenate(every[::-1], -1))
    assert float(jnp.abs(other - expected).max()) > 1e-2
    system.check_frozen({"generator": variables})

    training = build(generator_norm="batch", loss={"vgg": 0.0}).generator
    variables = full[1]["generator"]
    made = pictures(training, variables, None, {"a": planes, "b": planes[:, ::-1]})
    alone = jax.jit(
        lambda r: training.module.apply(variables, r, train=True, mutable=["batch_stats"])[0]
    )
    for name, each in (("a", planes), ("b", planes[:, ::-1])):
        np.testing.assert_allclose(made[name], alone(each), atol=1e-4)
