"""Run directories: resumed or refused, settings of a phase, weights by reference."""

import copy
import dataclasses
import json
import math
import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.engine import references, sharding
from segsynth.engine.checkpoints import Checkpoints
from segsynth.engine.run import FREE, Run, write_json
from segsynth.errors import UserError
from segsynth.system import FrozenSpec, TrainState

CONFIG = {
    "name": "tiny",
    "seed": 0,
    "data_root": "",
    "mesh": {"data": -1, "fsdp": 1},
    "run": ("first", "second"),
    "system": {"name": "net", "width": 4, "optimizer": {"lr": 0.1, "warmup": 5}},
    "data": {"source": "scenes", "resolution": 8, "workers": 0},
    "every": {"log": 1},
    "eval": {"best": "psnr", "best_mode": "max"},
    "phases": {
        "first": {"system": {"train": "first"}, "train": {"steps": 3}},
        "second": {
            "system": {"optimizer": {"lr": 0.2}},
            "frozen": {"net": "phase:first"},
            "init_from": {"net": "phase:first"},
        },
    },
}


def _changed(path, value):
    config = copy.deepcopy(CONFIG)
    *sections, key = path.split(".")
    section = config
    for name in sections:
        section = section[name]
    section[key] = value
    return config


def test_a_run_keeps_its_config_and_opens_again(tmp_path):
    run = Run.create(tmp_path / "run", CONFIG)
    assert run.path.is_absolute() and run.phases == ("first", "second")
    again = Run.open(tmp_path / "run")
    assert again == Run.create(tmp_path / "run", CONFIG)
    assert json.loads((tmp_path / "run" / "config.json").read_text()) == again.config


def begun(run):
    """Give a run something to lose."""
    (run.directory("first").checkpoints / "1").mkdir(parents=True)
    return run


def test_a_config_that_trained_nothing_yet_may_be_mended(tmp_path):
    Run.create(tmp_path, CONFIG)
    assert Run.create(tmp_path, {**CONFIG, "seed": 5}).config["seed"] == 5
    assert Run.open(tmp_path).config["seed"] == 5


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("seed", 1, r"\(seed: 0 -> 1\)"),
        ("system.optimizer.lr", 0.5, r"\(system.optimizer.lr: 0.1 -> 0.5\)"),
        ("phases.first.train.steps", 9, r"\(phases.first.train.steps: 3 -> 9\)"),
        ("system.extra", "x", r"\(system.extra: None -> x\)"),
    ],
)
def test_another_config_is_refused_and_the_difference_named(tmp_path, path, value, message):
    begun(Run.create(tmp_path, CONFIG))
    with pytest.raises(UserError, match=f"another config {message}; give another --workdir"):
        Run.create(tmp_path, _changed(path, value))
    assert Run.open(tmp_path).config["seed"] == 0


def test_several_differences_are_counted(tmp_path):
    begun(Run.create(tmp_path, CONFIG))
    with pytest.raises(UserError, match=r"\(name: tiny -> other and 1 more\)"):
        Run.create(tmp_path, {**CONFIG, "seed": 1, "name": "other"})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("mesh", {"data": 2, "fsdp": 4}),
        ("data_root", "/elsewhere"),
        ("data.root", "/elsewhere"),
        ("data.workers", 4),
        ("every.log", 100),
        ("tensorboard", True),
        ("run", ("first",)),
    ],
)
def test_how_a_run_runs_may_change(tmp_path, path, value):
    assert path.split(".")[0] in FREE or path.split(".")[-1] in FREE
    begun(Run.create(tmp_path, CONFIG))
    assert Run.create(tmp_path, _changed(path, value)).config == Run.open(tmp_path).config


def test_what_was_trained_protects_the_config_even_if_it_is_not_run_again(tmp_path):
    begun(Run.create(tmp_path, CONFIG))
    Run.create(tmp_path, {**CONFIG, "run": ("second",)})
    with pytest.raises(UserError, match="another config"):
        Run.create(tmp_path, {**CONFIG, "run": ("second",), "seed": 7})


def test_phases_may_be_one_string(tmp_path):
    assert Run.create(tmp_path, {**CONFIG, "run": ("first,second",)}).phases == ("first", "second")


@pytest.mark.parametrize("below", ["", "run"])
def test_a_workdir_that_cannot_be_written_is_refused(tmp_path, below):
    file = tmp_path / "file"
    file.write_text("not a folder")
    with pytest.raises(UserError, match=r"cannot write to workdir .*; give another one"):
        Run.create(file / below, CONFIG)


@pytest.mark.parametrize("make", [True, False])
def test_what_is_no_run_is_refused(tmp_path, make):
    folder = tmp_path / "folder"
    if make:
        folder.mkdir()
    with pytest.raises(UserError, match=r"is no run directory \(it has no config.json\)"):
        Run.open(folder)


def test_a_phase_lies_over_what_all_share(tmp_path):
    run = Run.create(tmp_path, CONFIG)
    second = run.settings("second")
    assert second["system"] == {
        "name": "net",
        "width": 4,
        "optimizer": {"lr": 0.2, "warmup": 5},
    }
    assert second["train"] == {} and second["frozen"] == {"net": "phase:first"}
    assert run.settings("first")["frozen"] == {}
    assert run.settings("first")["system"]["optimizer"]["lr"] == 0.1


def test_an_unknown_phase_names_the_nearest(tmp_path):
    run = Run.create(tmp_path, CONFIG)
    with pytest.raises(UserError, match=r"this run has no 'frist'; did you mean 'first'\?"):
        run.settings("frist")


def test_the_last_trained_phase_is_the_last_with_a_checkpoint(tmp_path):
    run = Run.create(tmp_path, CONFIG)
    with pytest.raises(UserError, match="holds no checkpoint yet"):
        run.last_trained()
    (run.directory("first").checkpoints / "3").mkdir(parents=True)
    (run.directory("second").checkpoints / "3.orbax-checkpoint-tmp").mkdir(parents=True)
    assert run.last_trained() == "first"
    (run.directory("second").checkpoints / "3").mkdir()
    assert run.last_trained() == "second"


def test_a_finished_phase_is_remembered(tmp_path):
    folder = Run.create(tmp_path, CONFIG).directory("first")
    assert folder.finished() is None
    folder.finish({"step": 3, "metrics": {}})
    assert folder.finished() == {"step": 3, "metrics": {}}
    folder.finish({"step": 3, "metrics": {"plate/iou": math.nan, "car/iou": 0.5}})
    found = folder.finished()["metrics"]  # JSON has no NaN
    assert math.isnan(found["plate/iou"]) and found["car/iou"] == 0.5


@dataclasses.dataclass(frozen=True)
class OneNet:
    """As much of a system as references ask for."""

    net: nn.Module = nn.Dense(4)

    @property
    def frozen(self):
        return {"net": FrozenSpec(lambda key: self.net.init(key, jnp.zeros((1, 2))), "a net")}

    def init(self, key):
        params = {"net": self.net.init(key, jnp.zeros((1, 2)))["params"]}
        return TrainState.create(params=params, opt_state={}, ema=jax.tree.map(jnp.copy, params))

    # The protocols ask for these too; references read none of them.
    inputs = targets = outputs = pictures = ()
    on_host = False
    predict = eval_step = remarks = synthesize = train_step = init


def _save(run, phase, step, seed, score=0.0):
    state = OneNet().init(jax.random.key(seed))
    with Checkpoints(run.directory(phase).checkpoints, keep=9, best="psnr") as checkpoints:
        checkpoints.save(step, state, {"psnr": score})
    return state


def _kernel(tree):
    return np.asarray(tree["net"]["params"]["kernel"])


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "run", CONFIG)


@pytest.mark.parametrize(
    "reference", ["first", "phase:zeroth", "run:dir", "pretrained:vgg", "https://x/y", ""]
)
def test_an_unknown_kind_of_reference_is_refused(run, reference):
    with pytest.raises(UserError, match=rf"cannot resolve the weights '{reference}'; expected"):
        references.resolve(reference, run)


def test_references_name_a_phase_of_this_run_or_of_another(run, tmp_path):
    assert references.resolve("phase:first", run) == (run, "first")
    other = Run.create(tmp_path / "other", CONFIG)
    assert references.resolve(f"run:{tmp_path}/other#second", run) == (other, "second")
    with pytest.raises(UserError, match="no run directory"):
        references.resolve(f"run:{tmp_path}/nowhere#second", run)


def test_a_missing_reference_says_what_to_set(run):
    with pytest.raises(UserError, match=r"set phases.first.frozen.net to 'phase:<name>'"):
        references.load_frozen(run, "first", OneNet(), sharding.plan(data=1))


def test_a_reference_to_a_phase_without_a_checkpoint_is_refused(run):
    with pytest.raises(UserError, match="train this phase first"):
        references.load_frozen(run, "second", OneNet(), sharding.plan(data=1))


def test_a_phase_keeps_the_frozen_weights_that_it_began_with(run):
    plan = sharding.plan()
    state = _save(run, "first", 3, seed=0)
    frozen = references.load_frozen(run, "second", OneNet(), plan)
    np.testing.assert_array_equal(_kernel(frozen), state.ema["net"]["kernel"])
    record = run.directory("second").frozen()["net"]
    assert record["step"] == 3 and record["reference"] == "phase:first"
    assert record["sha256"] == references.digest(frozen["net"]) and len(record["sha256"]) == 64
    _save(run, "first", 4, seed=1)  # a newer step does not change what this phase reads
    again = references.load_frozen(run, "second", OneNet(), plan)
    np.testing.assert_array_equal(_kernel(again), _kernel(frozen))


def test_other_frozen_weights_are_refused_by_their_hash(run):
    plan = sharding.plan(data=1)
    _save(run, "first", 3, seed=0)
    references.load_frozen(run, "second", OneNet(), plan)
    run.directory("first").checkpoints.rename(run.path / "old")
    _save(run, "first", 3, seed=1)
    with pytest.raises(UserError, match=r"phase second began with net of sha256 .* bring the old"):
        references.load_frozen(run, "second", OneNet(), plan)


def test_the_hash_sees_names_types_shapes_and_values():
    def digest(tree):
        return references.digest(jax.device_put(tree, sharding.plan().replicated))

    value = jnp.arange(6, dtype=jnp.float32)
    trees = [
        {"a": value},
        {"b": value},
        {"a": value.at[3].add(1e-6)},
        {"a": value.reshape(2, 3)},
        {"a": value.astype(jnp.int32)},
    ]
    assert len({digest(tree) for tree in trees}) == len(trees)
    assert digest(trees[0]) == digest({"a": jnp.arange(6, dtype=jnp.float32)})


def test_a_phase_starts_from_what_an_earlier_one_trained(run):
    state = _save(run, "first", 3, seed=5)
    initial = references.load_initial(run, "second", OneNet(), sharding.plan(data=1))
    np.testing.assert_array_equal(initial["params"]["net"]["kernel"], state.ema["net"]["kernel"])
    none = references.load_initial(run, "first", OneNet(), sharding.plan(data=1))
    assert none == {"params": {}, "model_state": {}}


@pytest.mark.parametrize(("step", "seed"), [("newest", 3), ("best", 2), (1, 1), ("1", 1)])
def test_a_trained_phase_is_read_at_the_step_asked_for(run, step, seed):
    states = {i: _save(run, "first", i, seed=i, score=[0.1, 0.9, 0.5][i - 1]) for i in (1, 2, 3)}
    variables, found = references.load_trained(run, "first", OneNet(), sharding.plan(data=1), step)
    assert found == seed
    np.testing.assert_array_equal(
        variables["params"]["net"]["kernel"], states[seed].ema["net"]["kernel"]
    )


def test_hosts_that_write_one_file_at_once_do_not_meet(tmp_path, monkeypatch):
    real, others = pathlib.Path.replace, [{"host": 1}]

    def replace(self, target):
        if others:  # another one writes all of it in between
            write_json(tmp_path / "config.json", others.pop())
        return real(self, target)

    monkeypatch.setattr(pathlib.Path, "replace", replace)
    write_json(tmp_path / "config.json", {"host": 0})
    assert json.loads((tmp_path / "config.json").read_text()) == {"host": 0}
    assert [file.name for file in tmp_path.iterdir()] == ["config.json"]
