"""The method is a setting of the config, and so is how its segmenter is trained."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawings import LIGHT, build, start

from segsynth import config_files, experiment, systems
from segsynth.engine import references, sharding
from segsynth.engine.checkpoints import Checkpoints
from segsynth.engine.run import Run, plain
from segsynth.errors import UserError
from segsynth.metrics import clip_score
from segsynth.metrics.readability import COLUMNS, HIGHER
from segsynth.systems.line_drawing.system import LineDrawing

CONFIG = pathlib.Path(__file__).parents[2] / "configs/line_drawing.py"
DRAWING = "--config.phases.drawing"
MODES = ("frozen_photo", "frozen_draw", "warm_joint")


def load(preset, *overrides):
    config, _ = config_files.load(f"{CONFIG}:{preset}", overrides)
    run = Run(pathlib.Path("unused"), plain(config))
    return run, {name: systems.build(run.settings(name)["system"]) for name in run.phases}


@pytest.mark.parametrize(
    ("method", "blocks", "pool", "cycle", "frozen", "mode"),
    [
        ("paper", 3, 0, 0.1, {"features", "clip"}, "joint"),
        ("informative", 3, 0, 0.1, {"features", "clip"}, "off"),
        ("cyclegan", 9, 50, 10.0, set(), "off"),
    ],
)
def test_the_method_of_the_paper_s_config(method, blocks, pool, cycle, frozen, mode):
    alone = ["--config.run=drawing"] if method == "cyclegan" else []
    run, built = load("coco_contour", f"{DRAWING}.system.preset={method}", *alone)
    made = built["drawing"]
    assert (made.networks.drawer.blocks, made.networks.painter.blocks) == (blocks, blocks)
    assert (made.pool, made.objective.weights.cycle) == (pool, cycle)
    assert (set(made.frozen), made.objective.seg.mode) == (frozen, mode)
    assert made.objective.weights.clip == made.objective.weights.geometry == 10.0 * bool(frozen)
    assert made.objective.seg.classes == 182
    references.check(run, "drawing", made) if not frozen else None


def test_what_is_set_counts_more_than_the_method():
    overrides = ("pool=7", "seg.mode=joint", "loss.cycle=3.0", "preset=cyclegan")
    drawing = (f"{DRAWING}.system.{text}" for text in overrides)
    made = load("coco_contour", "--config.generator.blocks=2", *drawing)[1]["drawing"]
    assert (made.pool, made.objective.seg.mode, made.objective.weights.cycle) == (7, "joint", 3.0)
    assert made.networks.drawer.blocks == 2


def test_what_a_phase_does_not_train_need_not_be_there(caplog):
    run, built = load("smoke", f"{DRAWING}.system.loss.geometry=0.0", "--config.run=drawing")
    assert run.settings("drawing")["init_from"] == {"geometry": "phase:depth"}
    found = references.load_initial(run, "drawing", built["drawing"], sharding.plan(data=1))
    assert found == {"params": {}, "model_state": {}}
    assert "init_from.geometry is not used" in caplog.text


@pytest.mark.parametrize("mode", MODES)
def test_a_segmenter_is_trained_beforehand(mode):
    run, built = load(f"smoke+{mode}")
    drawn = mode != "frozen_photo"
    assert run.phases == ("depth", *(["baseline"] if drawn else []), "segmenter", "drawing")
    assert built["drawing"].objective.seg.mode == mode
    assert (built["segmenter"].drawer is not None) == drawn
    if drawn:
        assert built["baseline"].objective.seg.mode == "off"
        assert run.settings("segmenter")["frozen"] == {"drawer": "phase:baseline"}
        assert built["segmenter"].drawer == built["baseline"].networks.drawer
    assert built["segmenter"].network == built["drawing"].networks.segmenter
    for phase, system in built.items():
        references.check(run, phase, system)
    kind = "init_from" if mode == "warm_joint" else "frozen"
    assert run.settings("drawing")[kind]["segmenter"] == "phase:segmenter"


def test_a_warm_start_needs_something_warm():
    run, built = load("smoke+warm_joint")
    cold = run.config["phases"]["drawing"]
    del cold["init_from"]["segmenter"]
    with pytest.raises(UserError, match=r"set phases\.drawing\.init_from\.segmenter to"):
        references.check(run, "drawing", built["drawing"])


def test_modes_are_for_presets_with_one_drawing():
    for preset, said in (("table+frozen_draw", "take '.frozen_draw' out"), ("demo+cold", "'cold'")):
        with pytest.raises(UserError, match=said):
            config_files.load(f"{CONFIG}:{preset}")


def test_tables_show_what_is_measured_with_its_controls():
    run, built = load("table")
    score = "caption_score[standin]"
    columns = {metric for _, _, metric, _ in run.config["table"]["columns"]}
    controls = {f"{row}{score}" for row in clip_score.ROWS}
    assert {"edge_f1", "edge_precision", "edge_recall", *controls} <= columns
    assert "subject" in built["baseline"].targets
    assert "clip_score" in HIGHER and controls <= set(COLUMNS.values())


@pytest.mark.parametrize("preset", ["table", "table_long", "table_paper"])
def test_one_segmenter_that_learned_from_neither_reads_both_methods(preset):
    """It learns from drawings of others: the scenes' own, or those of the published generator."""
    run, built = load(preset)
    frozen = run.settings("outsider")["frozen"]
    for name in ("baseline", "segmentation"):
        assert "outsider" in built[name].panel.judged_by
        assert run.settings(name)["frozen"]["outsider"] == "phase:outsider"
        assert built[name].panel.outsider == built["outsider"].network
    assert run.phases.index("outsider") < run.phases.index("baseline")
    if preset == "table_paper":
        assert frozen == {"drawer": "pretrained:informative_drawings_contour"}
        assert (built["outsider"].drawer.width, built["outsider"].drawer.blocks) == (64, 3)
    else:
        assert frozen == {} and built["outsider"].inputs == ("drawing",)
        assert run.settings("outsider")["data"]["options"]["provides"] == ["drawing", "labels"]


def test_a_phase_goes_on_with_statistics_too(tmp_path):
    """Parameters and running statistics are those of the phase before."""
    system = build(seg={"mode": "warm_joint"}, **LIGHT)
    own = {"init_from": {"segmenter": "phase:segmenter"}}
    config = {"seed": 0, "run": ["segmenter", "drawing"]}
    run = Run.create(tmp_path, {**config, "phases": {"segmenter": {}, "drawing": own}})
    state = start(system)[0]
    before = state.replace(
        step=jnp.asarray(3, jnp.int32),
        params={"segmenter": jax.tree.map(lambda x: x + 1, state.params["segmenter"])},
        model_state=jax.tree.map(lambda x: x + 2, state.model_state),
        opt_state={},
    )
    with Checkpoints(run.directory("segmenter").checkpoints) as checkpoints:
        checkpoints.save(3, before)
    initial = references.load_initial(run, "drawing", system, sharding.plan(data=1))

    class Fresh(LineDrawing):
        def init(self, key):
            return state

    found = experiment._init(Fresh(**vars(system)), jax.random.key(0), initial)
    for kind in ("params", "model_state"):
        expected = {**getattr(state, kind), **getattr(before, kind)}
        jax.tree.map(np.testing.assert_array_equal, getattr(found, kind), expected)
    assert "batch_stats" in found.model_state["segmenter"]


def test_the_outsider_is_what_another_phase_trained(tmp_path):
    """By the name that a segmenter has there, with its statistics."""
    network = {"classes": 3, "width": 4, "levels": 1}
    judged = build(seg={"mode": "off"}, judged_by=["outsider"], outsider=network, **LIGHT)
    learner = systems.build({"name": "segmenter", "sees": "drawing", **network})
    phases = {"others": {}, "baseline": {"frozen": {"outsider": "phase:others"}}}
    run = Run.create(tmp_path, {"seed": 0, "run": list(phases), "phases": phases})
    trained = jax.jit(learner.init)(jax.random.key(1))
    with Checkpoints(run.directory("others").checkpoints) as checkpoints:
        checkpoints.save(3, trained)
    frozen = references.load_frozen(run, "baseline", judged, sharding.plan(data=1))
    expected = {"params": trained.params["segmenter"], **trained.model_state["segmenter"]}
    jax.tree.map(np.testing.assert_array_equal, frozen, {"outsider": expected})
    assert set(expected) == {"params", "batch_stats"}


def test_epochs_are_of_a_phase_s_own_batches():
    """What one phase is given changes no other."""
    phases = config_files.load(f"{CONFIG}:coco_contour+frozen_draw", ())[0].phases
    steps = {name: phases[name].train.steps for name in phases}
    assert steps == {"depth": 25_000, "baseline": 125_000, "drawing": 125_000, "segmenter": 25_000}
    for name, rate in (("drawing", 4), ("baseline", 4), ("segmenter", 2), ("depth", 16)):
        asked = [f"--config.phases.{name}.train.global_batch={rate}"]
        phases = config_files.load(f"{CONFIG}:coco_contour+frozen_draw", asked)[0].phases
        found = {other: phases[other].train.steps for other in phases}
        assert found == {**steps, name: steps[name] * 8 // rate}
        if name in ("drawing", "baseline"):
            assert phases[name].system.optimizer.epoch == 10_000 // rate
    asked = ["--config.phases.baseline.train.steps=50"]
    phases = config_files.load(f"{CONFIG}:coco_contour+frozen_draw", asked)[0].phases
    assert (phases.baseline.train.steps, phases.drawing.train.steps) == (50, 125_000)


def test_a_prompt_is_what_captions_begin_with():
    made = load("smoke", f"{DRAWING}.system.prompt=a photo of")[1]["drawing"]
    assert made.panel.prompt == "a photo of"
    assert load("smoke")[1]["drawing"].panel.prompt == clip_score.PROMPT == "a line drawing of"
