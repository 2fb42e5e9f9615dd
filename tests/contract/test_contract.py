"""What every system of the registry owes to the loop, each shown on a tiny config."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import BATCH, TINY, Case, On

from segsynth import systems
from segsynth.data import modalities
from segsynth.engine import sharding
from segsynth.engine.checkpoints import Checkpoints
from segsynth.errors import UserError
from segsynth.system import Predictor, System
from segsynth.systems import REGISTRY


@pytest.fixture(scope="module", params=sorted(REGISTRY))
def case(request):
    assert request.param in TINY, f"give {request.param} a row in TINY"
    return Case(request.param)


@pytest.fixture(scope="module")
def learner(case):
    if not hasattr(case.system, "train_step"):
        pytest.skip(f"{case.name} learns nothing")
    return case


@pytest.fixture(scope="module")
def light(learner):
    return Case(learner.name, light=True) if TINY[learner.name]["light"] else learner


def _same(a, b):
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(a), jax.device_get(b))


def _close(a, b, atol=1e-5):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, atol=atol, rtol=1e-4),
        jax.device_get(a),
        jax.device_get(b),
    )


def _still(before, after):
    """Return the paths of the leaves that did not change."""
    pairs = zip(
        jax.tree_util.tree_leaves_with_path(jax.device_get(before)),
        jax.tree.leaves(jax.device_get(after)),
        strict=True,
    )
    return [jax.tree_util.keystr(path) for (path, a), b in pairs if np.array_equal(a, b)]


def test_every_system_has_a_row():
    assert set(TINY) == set(REGISTRY)


def test_the_protocols_hold(case):
    assert isinstance(case.system, Predictor)
    assert isinstance(case.system, System) == hasattr(case.system, "train_step")
    for name in (*case.system.inputs, *case.system.targets):
        modalities.get(name)
    hash(case.system)  # `segsynth.load` keeps one compiled function per system


def test_an_unknown_key_of_the_section_is_refused(case):
    with pytest.raises(UserError, match="system has no 'nonsense'"):
        systems.build(case.section(nonsense=1))


def test_init_has_the_shapes_that_it_promises(learner):
    state = learner.first
    assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == jax.tree.map(
        lambda x: (x.shape, x.dtype), learner.abstract
    )
    assert state.step == 0 and set(state.ema) <= set(state.params)
    assert not set(state.params) & set(learner.system.frozen)


def test_the_step_is_deterministic_and_follows_its_key(learner):
    (a, rows_a), (b, rows_b) = learner.one.run(2), learner.one.run(2)
    _same(a, b)
    _same(rows_a, rows_b)
    assert a.step == 2
    _, other = learner.one.step(learner.one.state(), 99)
    same = float(other["loss"]) == float(rows_a[0]["loss"])
    assert same != TINY[learner.name].get("draws", True)


def test_a_step_moves_all_that_is_trained_and_nothing_that_is_frozen(learner):
    frozen = jax.device_get(learner.one.frozen)
    after, rows = learner.one.run(TINY[learner.name]["moving"])
    assert all(np.isfinite(value) for row in rows for value in row.values())
    assert "loss" in rows[0]
    rest = TINY[learner.name].get("rest", ())
    still = _still(learner.first.params, after.params)
    assert [path for path in still if not path.endswith(rest)] == []
    assert _still(learner.first.ema, after.ema) == []
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.device_get(after.params)))
    _same(frozen, learner.one.frozen)


def test_the_average_is_no_alias_of_the_parameters(learner):
    after, _ = learner.one.run(TINY[learner.name]["moving"])
    for name, average in after.ema.items():
        assert _still(average, after.params[name]) == []
    leaves = [leaf for leaf in jax.tree.leaves(after) if leaf.size]
    assert len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == len(leaves)


def test_a_restored_state_continues_bit_exactly(learner, tmp_path):
    state, _ = learner.one.run(2)
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(2, state)
    with Checkpoints(tmp_path / "c", read_only=True) as checkpoints:
        restored = checkpoints.restore(learner.one.plan.abstract(learner.abstract))
    _same(state, restored)
    _same(learner.one.step(restored, 2), learner.one.step(state, 2))


@pytest.mark.parametrize(
    "mesh",
    [pytest.param({"data": 8}, marks=pytest.mark.slow), {"data": 2, "fsdp": 4}],
    ids=["data8", "fsdp4"],  # the second one splits batches and parameters
)
def test_any_devices_agree_with_one(light, monkeypatch, mesh):
    monkeypatch.setattr(sharding, "MIN_SHARDED_ELEMENTS", 64)
    steps = TINY[light.name].get("steps", 2)
    one, rows = light.one.run(steps)
    many, scalars = On(light, sharding.plan(**mesh)).run(steps)
    _close(scalars, rows)
    _close(many.params, one.params)
    _close(many.ema, one.ema)
    _close(many.model_state, one.model_state)  # running statistics are those of the whole batch
    _close(many.opt_state, one.opt_state)  # its first moments are the gradients
    leaves = jax.tree.leaves(many.params)
    sharded = [x for x in leaves if x.addressable_shards[0].data.size < x.size]
    assert bool(sharded) == ("fsdp" in mesh)
    assert all(len(x.sharding.device_set) == 8 for x in leaves)


@pytest.mark.slow
def test_frozen_networks_and_evaluation_agree_on_any_devices(case, monkeypatch):
    if case.system.on_host:
        pytest.skip(f"{case.name} works on the host")
    monkeypatch.setattr(sharding, "MIN_SHARDED_ELEMENTS", 64)
    plan, key = sharding.plan(data=2, fsdp=4), jax.random.key(3)
    if hasattr(case.system, "train_step"):
        one, rows = case.one.run(2)
        many, scalars = On(case, plan).run(2)
        _close(scalars, rows)
        _close(many.params, one.params)
    variables = case.variables
    batch = {**case.batch, "valid": np.arange(BATCH) % 3 > 0}
    batch["valid"] = batch["valid"].astype(np.float32)
    judge = jax.jit(case.system.eval_step)
    on_one, _ = judge(variables, case.frozen, batch, key)
    everywhere = jax.device_put((variables, case.frozen, key), plan.replicated)
    on_eight, _ = judge(*everywhere[:2], plan.put_batch(batch), everywhere[2])
    _close(on_eight.compute(), on_one.compute(), atol=1e-4)


def test_the_agreement_would_see_another_batch(light):
    one, _ = light.one.run(1)
    batch = light.make((*light.system.inputs, *light.system.targets), seed=1)
    other, _ = light.one.step(light.one.state(), 0, light.one.plan.put_batch(batch))
    with pytest.raises(AssertionError):
        _close(other.opt_state, one.opt_state)


def test_accumulated_gradients_are_those_of_the_whole_batch(light):
    key = TINY[light.name].get("microbatches")
    if key is None:
        pytest.skip(f"{light.name} does not accumulate gradients")
    halves = systems.build(light.section(**{key: 2}))
    state, rows = On(light, sharding.plan(data=1), halves).run(1)
    whole, expected = light.one.run(1)
    _close(rows, expected)
    _close(state.opt_state, whole.opt_state)


def test_a_step_keeps_every_shape_and_type(learner):
    # What would compile a second program for the second step.
    key = jax.random.key(0)
    after, _ = jax.eval_shape(
        learner.system.train_step, learner.abstract, learner.frozen, learner.batch, key
    )
    assert jax.tree.map(_kind, after) == jax.tree.map(_kind, learner.abstract)


def test_nothing_is_compiled_after_the_second_step(learner):
    state, sizes = learner.one.state(), []
    for i in range(4):
        state, _ = learner.one.step(state, i)
        sizes.append(learner.one.compiled._cache_size())
    assert sizes[1:] == [sizes[1]] * 3


def _kind(x):
    return x.shape, x.dtype, getattr(x, "weak_type", False)


@pytest.fixture(scope="module")
def answer(case):
    """The inputs and what ``predict`` makes of them."""
    inputs = {name: case.make((name,))[name] for name in case.system.inputs}
    outputs = case.predict(case.variables, case.frozen, inputs, jax.random.key(0))
    return case.variables, inputs, jax.device_get(outputs)


def test_predict_gives_its_declared_outputs_in_range(case, answer):
    outputs = answer[2]
    assert set(outputs) == set(case.system.outputs)
    for name, value in outputs.items():
        assert len(value) == BATCH, name
        known = modalities.MODALITIES.get(name)
        allowed = ("uint8", "int32", *((known.dtype,) if known else ()))
        assert value.dtype in allowed, f"{name} is {value.dtype}"
        assert len(np.unique(value)) > 1, f"{name} is constant"
    first = case.system.outputs[0]  # what launch/predict.py writes
    modalities.check({first: outputs[first]}, [first])


def test_predict_needs_no_more_than_its_declared_inputs(case, answer):
    _, inputs, _ = answer
    for name in inputs:
        fewer = {key: value for key, value in inputs.items() if key != name}
        with pytest.raises((KeyError, UserError), match=name):
            case.outputs(fewer)
    more = {**inputs, **case.make(case.system.targets)}
    assert case.outputs(more) == set(case.system.outputs)


def test_eval_step_judges_valid_examples_only(case, answer):
    variables, inputs, _ = answer
    batch = {**inputs, **case.make(case.system.targets), "valid": np.ones(BATCH, np.float32)}
    eval_step = case.eval_step
    key = jax.random.key(0)
    metrics, drawn = eval_step(variables, case.frozen, batch, key)
    values = {name: float(value) for name, value in metrics.compute().items()}
    assert values and all(np.isfinite(value) for value in values.values()), values
    for name, picture in drawn.items():
        assert picture.ndim == 4 and len(picture) == BATCH, name
        assert jnp.issubdtype(picture.dtype, jnp.integer), name
    half = {**batch, "valid": np.repeat([1, 0], BATCH // 2).astype(np.float32)}
    first = eval_step(variables, case.frozen, half, key)[0]
    other = {**half, "valid": 1 - half["valid"]}
    rest = eval_step(variables, case.frozen, other, key)[0]
    merged = {name: float(value) for name, value in first.merge(rest).compute().items()}
    assert merged == pytest.approx(values, rel=1e-4)
    halves = {name: float(value) for name, value in first.compute().items()}
    assert halves != pytest.approx(values, rel=1e-4), "valid is not looked at"
