"""The sweep over the paper's 16 models, with networks and trainings of next to nothing.

A compilation for each model, so only with -m slow.
"""

import json
import pathlib

import pytest

from segsynth import config_files, reproduce
from segsynth.systems.msagan.tables import LOSSES, STRUCTURES, phase_of

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).parents[2]
SIZES = ("--config.steps=5", "--config.batch=4", "--config.n_critic=1", "--config.every.log=2")
DATA = ("--config.data.length=16", "--config.data.eval_length=8", "--config.eval.batch=8")


def settings():
    file = str(ROOT / "configs/msagan.py:table")
    config, _ = config_files.load(file, [*SIZES, *DATA])
    with config.unlocked():
        for phase in config.phases.values():
            if phase.system.name == "classifier":
                phase.train.update({"steps": 2, "global_batch": 8})
                phase.system.network.width = 2
            else:
                phase.system.editor.update({"width": 2, "blocks": 1, "stem": 3, "downs": 1})
                phase.system.critic.width = 2
                for judge in phase.system.judges:
                    phase.system.judges[judge].width = 2
    return config


def test_five_updates_of_each_model_fill_the_tables(tmp_path):
    report = reproduce.reproduce(settings(), tmp_path)
    text = report.read_text()
    models = [f"{LOSSES[loss]}, {structure}" for loss in LOSSES for structure in STRUCTURES]
    for model in models:
        row = next(x for x in text.splitlines() if x.startswith(f"| {model} |") and "judged" in x)
        accuracy, minutes = (row.split("|")[i] for i in (2, -4))
        assert 0 <= float(accuracy) <= 100 and float(minutes) > 0
        assert f"- {model}: seed 0, 5 updates: " in text
    for line in ("| SDE | 86.0 |", "| E2D1 | 62.0 |", "No mask 85.8 %, E2D1 80.5 %"):
        assert line in text
    (measured,) = json.loads(report.with_suffix(".json").read_text())["measured"]
    assert set(measured) == {phase_of(x, y) for x in LOSSES for y in STRUCTURES}
    assert not list(tmp_path.glob("seed0-*"))  # too short to be judged, so nothing is repeated
