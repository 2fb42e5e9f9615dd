"""What the benchmarks of line drawings conclude, and from what they start."""

import copy
import pathlib
import runpy
import types

import jax
import numpy as np
import pytest

from segsynth import config_files, experiment
from segsynth.engine import sharding

ROOT = pathlib.Path(__file__).parents[2]
BENCHMARKS, CONFIG = ROOT / "benchmarks", ROOT / "configs/line_drawing.py"
DISTANCE = "kernel[standin]"
FOUND = {
    "measures": [
        {"measure": "binarised/mean_iou", "gain": {"mean": 0.02, "low": 0.01, "high": 0.03}},
        {"measure": "outsider/binarised/mean_iou", "gain": {"mean": 0.1, "low": 0.1, "high": 0.1}},
    ],
    "baseline": {"edge_f1": 0.7, "mid_grey": 0.1, DISTANCE: 0.10, f"{DISTANCE}/std": 0.01},
    "segmentation": {DISTANCE: 0.125, f"{DISTANCE}/std": 0.01},
    "segmenter_baseline": {"mean_recall": 0.3},
    "segmenter_segmentation": {"mean_iou": 0.4, "binarised/mean_iou": 0.35},
}


@pytest.fixture(scope="module")
def verdict():
    return runpy.run_path(str(BENCHMARKS / "line_drawing_long.py"))["verdict"]


def changed(phase, **more):
    found = copy.deepcopy(FOUND)
    found[phase] |= more
    return found


def words(judged):
    return [word for word, _ in judged.values()]


def test_a_verdict_says_what_holds(verdict):
    assert words(verdict(FOUND)) == ["yes"] * 5
    assert words(verdict(changed("segmentation", **{DISTANCE: 0.131}))) == ["yes"] * 4 + ["no"]
    grey = changed("segmenter_segmentation", **{"mean_iou": 0.5})
    assert words(verdict(grey)) == ["yes", "yes", "yes", "no", "yes"]
    for place in range(2):
        none = copy.deepcopy(FOUND)
        none["measures"][place]["gain"]["low"] = -0.001
        expected = ["no" if i == place + 1 else "yes" for i in range(5)]
        assert words(verdict(none)) == expected


@pytest.mark.parametrize("base", [0.01, 0.0, -0.02])
def test_a_distance_within_its_deviation_decides_nothing(verdict, base):
    judged = verdict(changed("baseline", **{DISTANCE: base}))
    assert judged["the style stays"][0] == "undecided"


@pytest.mark.parametrize("short", [{"edge_f1": 0.59}, {"mid_grey": 0.31}])
def test_what_does_not_draw_is_not_judged(verdict, short):
    assert list(verdict(changed("baseline", **short))) == ["too short to judge"]


def test_what_nobody_reads_is_not_judged(verdict):
    """A segmenter that answers one class for all has a mean recall of 1/12."""
    assert words(verdict(changed("segmenter_baseline", mean_recall=0.17)))[0] == "yes"
    unread = verdict(changed("segmenter_baseline", mean_recall=0.16))
    assert list(unread) == ["too short to judge"]


def test_the_deviation_of_the_style_is_not_zero_by_construction():
    """Subsets of the preset hold fewer pictures than it draws, so that they differ."""
    config, _ = config_files.load(f"{CONFIG}:table_long", [])
    for name in ("baseline", "segmentation"):
        assert 2 * config.phases[name].system.style.subset == config.eval.examples


def test_the_untrained_generator_is_that_of_the_run():
    """Its key is the one with which training makes the first state."""
    key_of = runpy.run_path(str(BENCHMARKS / "human_contours.py"))["key_of"]
    plan, run = sharding.plan(data=1), types.SimpleNamespace(config={"seed": 3})
    phase = types.SimpleNamespace(run=run, name="drawing", plan=plan)
    expected = jax.random.key_data(experiment._Phase.key.fget(phase))
    np.testing.assert_array_equal(jax.random.key_data(key_of(3, "drawing")), expected)
