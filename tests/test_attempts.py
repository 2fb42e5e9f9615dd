"""Sweeps whose rows may collapse: those are trained again, with the same judges, and all shown."""

import json
import pathlib

import pytest

from segsynth import attempts, config_files, reproduce
from segsynth.engine.run import plain, write_json
from segsynth.errors import UserError

ROOT = pathlib.Path(__file__).parents[1]
FILE = str(ROOT / "configs/msagan.py:table")
GOOD = dict.fromkeys(("accuracy", "to_on", "to_off", "judge2"), 0.9) | {"collapsed": 0.0}
IDENTITY = dict.fromkeys(("accuracy", "to_on", "to_off", "judge2"), 0.02) | {"collapsed": 1.0}


@pytest.fixture
def trained(monkeypatch):
    """What is trained instead of networks: (seed, phase, frozen); no mask with E2D1 collapses."""
    found = []

    def train(settings, folder):
        for phase in settings["run"]:
            if (folder / phase / "finished.json").exists():
                continue
            found.append((settings["seed"], phase, settings["phases"][phase].get("frozen", {})))
            bad = phase == "none_e2d1" or (phase == "mae_e2d1" and settings["seed"] == 0)
            metrics = IDENTITY if bad else GOOD
            write_json(folder / phase / "finished.json", {"step": 1500, "metrics": metrics})
            rows = [{"step": i, "train/examples_per_second": 64.0 / i} for i in (1, 2, 3)]
            (folder / phase / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))

    monkeypatch.setattr(reproduce, "train_and_evaluate", train)
    monkeypatch.setattr(reproduce, "_PAUSE", 0.01)
    return found


def settings(**changes):
    config = plain(config_files.load(FILE)[0])
    return {**config, "table": {**config["table"], **changes}}


def test_what_collapses_is_trained_again_and_shown(trained, tmp_path):
    report = reproduce.reproduce(settings(), tmp_path)
    text = report.read_text()
    again = [(seed, phase) for seed, phase, _ in trained if seed]
    assert sorted(again) == [(1000, "mae_e2d1"), (1000, "none_e2d1"), (2000, "none_e2d1")]
    frozen = next(frozen for seed, _, frozen in trained if seed)
    assert frozen["judge"] == f"run:{tmp_path / 'seed0'}#judge"  # judged as the others are
    lines = text.splitlines()
    listed = {line.split(":")[0]: line for line in lines if line.startswith("- ")}
    tries = listed["- No mask, E2D1"]
    assert all(f"seed {seed}, 1500 updates: 2.0 %, returns" in tries for seed in (0, 1000, 2000))
    assert "seed 0, 1500 updates: 2.0 %" in listed["- MAE, E2D1"]
    assert listed["- MAE, E2D1"].endswith("seed 1000, 1500 updates: 90.0 %, edits")
    row = next(line for line in lines if line.startswith("| No mask, E2D1 |") and "| yes |" in line)
    assert row.endswith("| 41.7 | yes | 3 |")  # 1,250 steps of 2 seconds, in minutes
    assert "No mask 85.8 %, E2D1 80.5 %" in text
    fewer = next(line for line in lines if line.startswith("| No mask |"))
    assert fewer.split("|")[2:5] == [" 66.0 ", " 68.0 ", " 90.0 "] and fewer.endswith("1 of 4 |")
    kept = json.loads(report.with_suffix(".json").read_text())["measured"][0]
    assert kept["mae_e2d1"]["accuracy"] == 0.9  # the try that is kept
    assert cells(text, "MAE, E2D1")[:4] == ["1.000", "1.000", "0.000", "90.0"]  # paper, 1st, kept
    assert cells(text, "No mask, E2D1")[:4] == ["1.000", "1.000", "1.000", "2.000"]
    assert cells(text, "SDE, E1D1")[:4] == ["0.000", "0.000", "0.000", "90.0"]
    assert "- first tries collapsed: 2 of 16; kept ones: 1 of 16\n" in text
    count = len(trained)
    reproduce.reproduce(settings(), tmp_path)
    assert len(trained) == count  # nothing is done twice


def cells(text, name):
    """What stands in a row of the first table of a report."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("| ").split("|")][1:]


def test_further_tries_that_have_ended_are_only_read(trained, tmp_path, monkeypatch):
    """Where a sweep has been moved, their configs name judges that are elsewhere now."""
    reproduce.reproduce(settings(), tmp_path / "there")
    (tmp_path / "there").rename(tmp_path / "here")
    asked = []
    monkeypatch.setattr(reproduce, "train_and_evaluate", lambda _, folder: asked.append(folder))
    reproduce.reproduce(settings(), tmp_path / "here")
    assert asked == [tmp_path / "here/seed0"]


def test_the_time_of_a_step_by_settings_that_all_rows_share(tmp_path):
    shared = {"train": {"global_batch": 8}, "phases": {"row": {}}}
    assert attempts._seconds(shared, "row", tmp_path) is None
    (tmp_path / "row").mkdir()
    line = json.dumps({"step": 1, "train/examples_per_second": 4.0})
    (tmp_path / "row/metrics.jsonl").write_text(f'{line}\n{{"step": 2, "tra')  # torn by a kill
    assert attempts._seconds(shared, "row", tmp_path) == 2.0


def test_seeds_of_tries_are_not_those_of_other_runs(trained, tmp_path):
    """So that a sweep may be given more seeds later."""
    reproduce.reproduce(settings(), tmp_path)
    reproduce.reproduce(settings(), tmp_path, seeds=2)
    seeds = sorted(seed for seed, phase, _ in trained if phase == "none_e2d1")
    assert seeds == [0, 1, 1000, 1001, 2000, 2001]
    text = (tmp_path / "report.md").read_text()
    assert "## Seed 1" in text  # where the mean absolute error does not collapse
    assert "- first tries collapsed: 3 of 32; kept ones: 2 of 32\n" in text


def test_hosts_repeat_their_own_rows(trained, tmp_path):
    for judge in ("judge", "judge2"):  # the first host's
        write_json(tmp_path / "seed0" / judge / "finished.json", {"step": 1, "metrics": {}})
    reproduce.reproduce(settings(), tmp_path, share=reproduce.Share(1, 2))
    again = [(seed, phase) for seed, phase, _ in trained if seed]
    assert sorted(again) == [(1000, "mae_e2d1"), (1000, "none_e2d1"), (2000, "none_e2d1")]
    trained.clear()
    report = reproduce.reproduce(settings(), tmp_path, share=reproduce.Share(0, 2))
    assert len(trained) == 8 and not any(seed for seed, _, _ in trained)
    assert "seed 2000, 1500 updates" in report.read_text()


def test_short_trainings_are_not_judged_and_not_repeated(trained, tmp_path):
    changed = settings(retries={"most": 3, "min_updates": 2000})
    text = reproduce.reproduce(changed, tmp_path).read_text()
    assert {seed for seed, _, _ in trained} == {0}
    rate = "- first tries collapsed: 0 of 0 (16 not judged); kept ones: 0 of 0 (16 not judged)\n"
    assert rate in text
    # In the table of models, the list of tries and both tables of means, which count none as 0.
    assert text.replace(rate, "").count("not judged") == 16 + 16 + 4 + 4
    assert "| 0 of 4 |" not in text
    assert cells(text, "MAE, E2D1")[:4] == ["1.000", "-", "-", "2.000"]


def test_rows_that_nothing_judges(trained, tmp_path, monkeypatch):
    monkeypatch.delitem(GOOD, "collapsed")
    with pytest.raises(UserError, match=r"seed0/none_e2d2 has no metric 'collapsed'"):
        reproduce.reproduce(settings(), tmp_path)


def test_other_settings(trained, tmp_path):
    assert attempts.limits({"table": {}}) is None
    with pytest.raises(UserError, match=r"table\.retries has no 'max'"):
        attempts.limits({"table": {"retries": {"max": 3}}})
    reproduce.reproduce(settings(retries=None), tmp_path)
    assert {seed for seed, _, _ in trained} == {0}
