"""Tuning of the CRF: which way the gradient points, what is chosen, the file that comes out."""

import json
import pathlib

import jax
import numpy as np
import pytest

from segsynth import config_files, systems
from segsynth.crf.presets import PRESETS, HardLabels, Refinement
from segsynth.crf.tuned import to_json, tuned
from segsynth.errors import UserError
from segsynth.experiment import train_and_evaluate

ROOT = pathlib.Path(__file__).parents[2]
CLASSES = ("dark", "light", "never seen")
SIDE = 24


def build(**more):
    optimizer = {"lr": 0.2, "warmup": 0, "clip": 10.0}
    section = {"name": "crf_tuning", "classes": CLASSES, "judged": 1.0, "optimizer": optimizer}
    return systems.build({**section, "crf": {"appearance_rgb": 20.0}, **more})


def batch(count=2, noise=0.0):
    """Two halves by colour; labels are given far from the border only, and nearer on one side, so
    that the heat map, made to look at positions alone, puts the border in the wrong place.
    """
    rng = np.random.default_rng(0)
    truth = np.zeros((count, SIDE, SIDE, 1), np.uint8)
    truth[:, :, SIDE // 2 :] = 1
    image = np.where(truth, 190, 60) + rng.normal(0, noise, (count, SIDE, SIDE, 3))
    coarse = truth.copy()
    coarse[:, :, 2 : SIDE // 2 + 2] = 255
    return {"image": image.clip(0, 255).astype(np.uint8), "coarse": coarse, "labels": truth}


#: A heat map that hardly sees colour.
POSITIONS = {"rgb": 1e4, "tau": 1.0}


def train(system, steps, given):
    step, rows = jax.jit(system.train_step), []
    state = jax.jit(system.init)(jax.random.key(0))
    for i in range(steps):
        state, scalars = step(state, {}, given, jax.random.key(i))
        rows.append({name: float(value) for name, value in scalars.items()})
    return state, rows


def test_a_weight_that_is_too_low_rises_and_the_loss_falls():
    crf = {"appearance": 0.05, "appearance_xy": 2000.0, "appearance_rgb": 20.0}
    state, rows = train(build(unary=POSITIONS, crf=crf), 12, batch())
    assert rows[-1]["loss"] < 0.7 * rows[0]["loss"]
    assert rows[-1]["appearance"] > 2 * rows[0]["appearance"] > 0.1
    compat = np.asarray(state.params["crf"]["compat"][0])
    assert compat[0, 1] > 1.0, "the two classes must be kept apart"
    np.testing.assert_array_equal(compat, compat.T)
    np.testing.assert_array_equal(np.diagonal(compat), 0)
    assert compat.min() >= 0 and compat[0, 2] == pytest.approx(1.0, abs=1e-3)


def test_a_weight_that_is_too_high_falls_and_so_does_the_loss():
    """A picture of one colour: the kernel over it spreads the larger class, which is wrong."""
    given = batch()
    given["image"][:] = 100
    given["labels"] = np.zeros_like(given["labels"])
    given["labels"][:, :, 18:] = 1
    given["coarse"] = given["labels"].copy()
    given["coarse"][:, :, 15:21] = 255
    crf = {"appearance": 4.0, "appearance_xy": 2000.0}
    _, rows = train(build(unary=POSITIONS, crf=crf), 8, given)
    assert rows[-1]["appearance"] < rows[0]["appearance"] < 4.0
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_only_pixels_that_can_be_won_are_judged():
    system, given = build(), batch()
    params = system.fit.first()
    coarse = np.where(given["coarse"][..., 0] == 255, -1, given["coarse"][..., 0].astype(int))
    truth = given["labels"][..., 0].astype(int)
    truth[0, :5] = 255  # nobody knows
    truth[0, 5:9] = 2  # a class that the coarse map does not have
    coarse[1] = -1  # nothing is given
    drawn = np.ones(truth.shape, bool)
    sums = jax.jit(system.fit.sums)(params, given["image"], coarse, truth, drawn)
    open_columns = SIDE // 2
    np.testing.assert_array_equal(sums.pixels, [(SIDE - 9) * open_columns, 0])
    assert np.isfinite(sums.loss).all() and sums.loss[1, 0] == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(sums.gradient))


def test_the_grid_point_with_the_lowest_running_loss_is_taken():
    """Too wide in colour joins the two halves; fed noise that the narrow one can see through."""
    system = build(appearance_xy=(160.0, 640.0), appearance_rgb=(20.0, 400.0), unary=POSITIONS)
    given = batch(noise=5.0)
    state, rows = train(system, 4, given)
    variables = jax.device_get(state.variables())
    running = variables["model_state"]["crf"]["loss"]
    best = int(running.argmin())
    chosen = system.refinement(variables)
    assert (chosen.crf.appearance_xy, chosen.crf.appearance_rgb) == system.fit.grid[best]
    assert chosen.crf.appearance_rgb == 20.0
    last = [rows[-1][f"loss_{xy:g}_{rgb:g}"] for xy, rgb in system.fit.grid]
    assert int(np.argmin(last)) == best
    swapped = {**variables, "model_state": {"crf": {"loss": -running}}}
    assert system.refinement(swapped).crf.appearance_rgb == 400.0


def test_the_file_gives_the_labels_of_the_tuned_system(tmp_path):
    system = build(appearance_rgb=(10.0, 40.0))
    given = batch(noise=25.0)
    state, _ = train(system, 3, given)
    exported = system.export(state.variables(), {"steps": 3})
    assert exported["origin"]["steps"] == 3 and len(exported["origin"]["grid"]) == 2
    file = tmp_path / "parameters.json"
    file.write_text(json.dumps(exported))
    reader = systems.build({"name": "crf_coarse", "classes": CLASSES, "parameters": str(file)})
    assert reader.refinement == system.refinement(state.variables())
    key, nothing = jax.random.key(0), {"params": {}, "model_state": {}}
    mine = system.predict(state.variables(), {}, given, key)["labels"]
    np.testing.assert_array_equal(reader.predict(nothing, {}, given, key)["labels"], mine)


def test_a_run_writes_the_file(tmp_path):
    overrides = ["phases.tune.train.steps=1", "phases.tune.train.global_batch=2", "mesh.data=1"]
    overrides += ["data.frame=(16,32)", "eval.examples=1", "eval.batch=1"]
    path = f"{ROOT / 'configs' / 'crf_coarse.py'}:smoke"
    config, _ = config_files.load(path, [f"--config.{value}" for value in overrides])
    train_and_evaluate(config, tmp_path)
    file = tmp_path / "tune" / "parameters.json"
    assert tuned(file, config.system.classes).crf.iterations == 2
    origin = json.loads(file.read_text())["origin"]
    assert origin["data"]["source"] == "streets" and origin["steps"] == 1
    assert origin["loss"] == min(point["loss"] for point in origin["grid"]) > 0


@pytest.mark.parametrize("refinement", [PRESETS["coarse"], PRESETS["pydensecrf"]])
def test_a_preset_survives_the_file(tmp_path, refinement):
    file = tmp_path / "parameters.json"
    file.write_text(json.dumps(to_json(refinement, CLASSES, {})))
    assert tuned(file, CLASSES) == refinement
    assert isinstance(tuned(file, CLASSES), Refinement)


def _with(**more):
    return {**to_json(PRESETS["coarse"], CLASSES, {}), **more}


def _section(name, **more):
    return _with(**{name: {**_with()[name], **more}})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no JSON file"),
        ([1], "the file is no table"),
        (_with(weights=1), "the file has no 'weights'"),
        ({"classes": list(CLASSES)}, "the file lacks 'mode'"),
        (_with(classes=["a"]), "made for 1 classes, and this system has 3"),
        (_with(classes=["dark", "pale", "x"]), "1 is 'pale' there and 'light' here"),
        (_with(classes=None), "classes is no list"),
        (_with(mode="fast"), "mode is 'fast'"),
        (_with(compat=[[0.0, 1.0], [1.0, 0.0]]), r"compat of shape \(2, 2\)"),
        (_with(compat=[[0, 1, 1], [1, 0, -1], [1, 1, 0]]), "negative"),
        (_with(compat="Potts"), "could not convert"),
        (_section("crf", depth=3), "crf has no 'depth'"),
        (_section("crf", appearance=-1.0), "appearance=-1.0"),
        (_section("crf", appearance="two"), "crf.appearance is 'two', expected a number"),
        (_section("crf", iterations=2.5), "expected a whole number"),
        (_section("unary", tau=0.0), "unary.tau is 0.0"),
        (_section("unary", reading="farthest"), "unary.reading is 'farthest'"),
        (_with(unary=None), "unary is no table"),
    ],
)
def test_a_malformed_file_is_one_line(tmp_path, content, message):
    file = tmp_path / "parameters.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UserError, match=message) as error:
        tuned(file, CLASSES)
    assert "\n" not in str(error.value) and str(file) in str(error.value)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"cannot read the parameters .*No such file"):
        tuned(tmp_path / "none.json", CLASSES)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"preset": "pydensecrf"}, "has no heat map"),
        ({"classes": ()}, "system.classes is empty"),
        ({"judged": 0.0}, "system.judged is 0.0"),
        ({"appearance_rgb": (0.0,)}, "appearance_rgb=0.0"),
    ],
)
def test_a_section_that_cannot_be_tuned_is_refused(more, message):
    with pytest.raises(UserError, match=message):
        build(**more)


def test_hard_labels_cannot_be_fitted():
    hard = Refinement(HardLabels(), PRESETS["coarse"].crf)
    with pytest.raises(UserError, match="heat map"):
        type(build().fit)(hard, ((160.0, 8.0),), 3)
