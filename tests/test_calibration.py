"""Statistics estimated once training has ended, whatever happens on the way there."""

import json

import jax
import numpy as np
import pytest
from toys import Calibrated, Plain, config

from segsynth import experiment, systems
from segsynth.engine import sharding
from segsynth.engine.checkpoints import Checkpoints
from segsynth.engine.run import PhaseDirectory, Run
from segsynth.engine.writers import read_jsonl
from segsynth.errors import UserError

STEPS, CALIBRATION = 5, 3


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(systems.REGISTRY, "plain", Plain)
    monkeypatch.setitem(systems.REGISTRY, "calibrated", Calibrated)


def train(workdir, steps=STEPS, calibration=CALIBRATION):
    return experiment.train_and_evaluate(
        config("calibrated", steps=steps, calibration=calibration), workdir
    )["toy"]


def final_state(workdir):
    run = Run.open(workdir)
    abstract = sharding.plan(data=1).abstract(jax.eval_shape(Calibrated().init, jax.random.key(0)))
    with Checkpoints(run.directory("toy").checkpoints, read_only=True) as checkpoints:
        return jax.device_get(checkpoints.restore(abstract))


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run that nothing disturbed."""
    workdir = tmp_path_factory.mktemp("straight")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(systems.REGISTRY, "calibrated", Calibrated)
        record = train(workdir)
    return workdir, record, final_state(workdir)


def test_it_comes_after_the_last_step_on_the_batches_that_follow(straight, tmp_path):
    _, _, state = straight
    memory = state.model_state["net"]
    assert state.step == STEPS and memory["calibrated"] == CALIBRATION
    train(tmp_path, steps=STEPS + CALIBRATION, calibration=0)
    longer = final_state(tmp_path).model_state["net"]
    np.testing.assert_array_equal(memory["batches"], longer["batches"])
    seen = memory["batches"][: STEPS + CALIBRATION]
    assert (seen > 0).all() and not memory["batches"][STEPS + CALIBRATION :].any()
    assert len(set(seen[STEPS:].tolist())) == CALIBRATION
    assert len(set(memory["keys"][: STEPS + CALIBRATION].tolist())) == STEPS + CALIBRATION
    np.testing.assert_array_equal(state.params["net"]["w"], STEPS)  # nothing is trained by it


def test_it_comes_before_the_final_evaluation_and_before_no_other(straight):
    workdir, record, _ = straight
    assert record["metrics"]["calibrated"] == CALIBRATION
    lines = read_jsonl(workdir / "toy/metrics.jsonl")
    found = {x["step"]: x["eval/calibrated"] for x in lines if "eval/calibrated" in x}
    assert found == {2: 0.0, 4: 0.0, STEPS: CALIBRATION}


def test_a_finished_run_is_not_calibrated_again(straight):
    workdir, record, state = straight
    assert train(workdir) == record
    assert_same(final_state(workdir), state)


class Killed(BaseException):
    """What no handler of ours catches."""


def _killed(*_, **__):
    raise Killed


@pytest.mark.parametrize(
    ("owner", "name", "newest"),
    [
        (experiment._Phase, "_calibrated", 4),
        (experiment._Phase, "_evaluate", 4),
        (PhaseDirectory, "finish", STEPS),
    ],
    ids=["before", "before the checkpoint", "after the checkpoint"],
)
def test_a_kill_near_the_end_changes_nothing(straight, tmp_path, owner, name, newest):
    real, calls = getattr(owner, name), []

    def until_the_end(self, *arguments):
        calls.append(arguments)
        last = name != "_evaluate" or arguments[-1] == STEPS
        return _killed() if last else real(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, until_the_end)
        with pytest.raises(Killed):
            train(tmp_path)
    steps = [int(p.name) for p in (tmp_path / "toy/checkpoints").iterdir() if p.name.isdigit()]
    assert calls and max(steps) == newest
    assert not (tmp_path / "toy/finished.json").exists()
    assert train(tmp_path) == straight[1]
    assert_same(final_state(tmp_path), straight[2])
    assert json.loads((tmp_path / "toy/finished.json").read_text()) == straight[1]


def test_a_system_without_statistics_is_refused(tmp_path):
    with pytest.raises(UserError, match="calibration is 2, and plain has no statistics to est"):
        experiment.train_and_evaluate(config("plain", steps=1, calibration=2), tmp_path)
    assert not (tmp_path / "toy").exists()


def test_weights_that_a_system_cannot_learn_through_are_refused(tmp_path, monkeypatch):
    class Picky(Plain):
        def check_frozen(self, frozen):
            raise UserError("these weights will not do; take others")

    monkeypatch.setitem(systems.REGISTRY, "picky", Picky)
    with pytest.raises(UserError, match=r"^phase toy: these weights will not do; take others$"):
        experiment.train_and_evaluate(config("picky", steps=1), tmp_path)
    assert not (tmp_path / "toy/checkpoints").exists()
