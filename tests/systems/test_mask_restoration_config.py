"""The shipped configs: rows of the paper's Table 1, and what a flag changes."""

import dataclasses
import pathlib

import pytest

from segsynth import config_files, systems
from segsynth.data import feed
from segsynth.data.coarsen import STEADY, Coarsening
from segsynth.engine.run import plain
from segsynth.settings import configure

FILE = str(pathlib.Path(__file__).parents[2] / "configs/mask_restoration.py")
#: Weights of cross-entropy, VGG and L1 of each row, as its name in the paper says.
WEIGHTS = {"CE+VGG+L1": (1, 1, 1), "CE": (1, 0, 0), "CE+VGG": (1, 1, 0), "CE+L1": (1, 0, 1)}
TASKS = {"sparse": "coarse", "x8": "sr8"}


def load(preset="", *overrides):
    return plain(config_files.load(f"{FILE}:{preset}", list(overrides))[0])


@pytest.mark.parametrize(
    "preset", ["table", "table_classes", "table_paper", "table_camvid", "table_smoke"]
)
def test_each_row_is_measured_on_what_its_name_says(preset):
    config = load(preset)
    rows = {title: (unit, key) for title, unit, key, *_ in config["table"]["rows"]}
    assert rows["synthesis"][1] == "synthesis"
    for task, damage in TASKS.items():
        for losses, weights in WEIGHTS.items():
            unit, key = rows[f"{task}, {losses}"]
            phase = config["phases"][unit]
            found = tuple(phase["system"]["loss"][name] for name in ("ce", "vgg", "l1"))
            assert found == weights and phase["system"]["task"] == damage and key == "restored"
            assert phase["frozen"]["generator"] == "phase:synthesis"
            assert phase["system"]["distances"]["network"]
        assert rows[f"{task}, none"][1] == "none"
        assert rows[f"{task}, nearest label"][1] == "nearest"
        assert rows[f"{task}, CE+VGG+L1, known pixels kept"][1] == "clamped"
        assert rows[f"{task}, CE+VGG+L1, soft planes"][1] == "restored_soft"
        for title, (unit, _) in rows.items():
            if title.startswith(task):
                assert config["phases"][unit]["system"]["task"] == damage, title
    assert rows["x8, bilinear, largest"][1] == "bilinear"


@pytest.mark.parametrize(
    ("flag", "holds"),
    [
        ("system.task=sr4", lambda system: system.task.names == ("sr4",)),
        ("system.bridge=straight_through", lambda s: s.objective.bridge == "straight_through"),
        ("system.loss.vgg=0", lambda system: set(system.objective.weights.used) == {"ce", "l1"}),
        ("system.loss.balance=True", lambda system: system.objective.weights.balance),
        ("system.loss.ignore=(0,)", lambda system: system.objective.weights.ignore == (0,)),
    ],
)
def test_a_flag_switches_task_bridge_and_losses(flag, holds):
    before, after = (
        systems.build(load("smoke", *flags)["phases"]["sparse_ce_vgg_l1"]["system"])
        for flags in ([], [f"--config.phases.sparse_ce_vgg_l1.{flag}"])
    )
    assert holds(after) and not holds(before)


def test_a_mixture_by_flags():
    phase = "--config.phases.sparse_ce_vgg_l1.system"
    flags = [f"{phase}.task=mixture", f"{phase}.mixture=('coarse','sr8')", f"{phase}.told=0.5"]
    system = systems.build(load("smoke", *flags)["phases"]["sparse_ce_vgg_l1"]["system"])
    assert system.task.names == ("coarse", "sr8") and system.told == 0.5


def test_a_schedule_of_a_quarter():
    for name in ("synthesis", "sparse_ce"):
        long, short = (load(p)["phases"][name] for p in ("cityscapes", "cityscapes_short"))
        assert long["train"]["steps"] == 4 * short["train"]["steps"]
        optimizer = short["system"]["optimizer"]
        assert optimizer["constant_steps"] + optimizer["decay_steps"] == short["train"]["steps"]


def opened(*load_with):
    return feed.Sources().open(configure(feed.DataConfig, load(*load_with)["data"], "data"), "val")


def test_the_annotator_of_the_demo_is_steady_and_a_setting():
    assert opened().source.source.annotator == STEADY
    assert opened("classes").source.annotator == Coarsening()
    changed = opened("", "--config.data.coarsening.drop=0.2").source.source
    assert changed.annotator == dataclasses.replace(STEADY, drop=0.2)


@pytest.mark.parametrize(("preset", "classes"), [("", 9), ("classes", 35), ("smoke", 9)])
def test_the_demo_has_the_categories_of_cityscapes(preset, classes):
    config, table = load(preset), opened(preset).source.label_set
    assert {phase["system"]["classes"] for phase in config["phases"].values()} == {classes}
    assert table.name == config["data"]["label_set"] and len(table.classes) == classes
