"""Sweeps that really train: killed in and between rows, continued, and the papers' presets."""

import json
import pathlib

import pytest

from segsynth import config_files, experiment, reproduce
from segsynth.engine.run import plain
from segsynth.paired import compare

ROOT = pathlib.Path(__file__).parents[1]


class Killed(BaseException):
    """The host went away."""


def load(name, *overrides):
    return config_files.load(f"{ROOT}/configs/{name}", list(overrides))[0]


def judges():
    """Two small classifiers as rows; the second one starts where the first one ended."""
    config = plain(load("msagan.py:smoke"))
    second = {**config["phases"]["judge"], "init_from": {"judge": "phase:judge"}}
    config["phases"] = {"judge": config["phases"]["judge"], "again": second}
    config["eval"] |= {"examples": 8, "batch": 8}
    config["run"] = ["judge", "again"]
    config["table"] = {
        "paper": "msagan",
        "data": "celebamask",
        "rows": [["classifier", "judge"], ["trained on", "again", "", "ours"], ["SDE", None]],
        "columns": [["editing accuracy %", "accuracy %", "accuracy", 100.0]],
    }
    return config


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
        for path in folder.rglob("*.json")
        if path.name == "finished.json"
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    reproduce.reproduce(judges(), folder, seeds=2, command="the command")
    return folder


def test_the_report_of_a_sweep(whole):
    text = (whole / "report.md").read_text()
    rows = {line.split(" | ")[0][2:]: line.split(" | ") for line in text.splitlines()}
    assert "±" in rows["classifier"][-1] and rows["classifier"][1] == "93.4"
    assert rows["trained on (ours)"][1] == "-" and "±" in rows["trained on (ours)"][-1]
    assert rows["SDE"][1] == "86.0" and rows["SDE"][-1] == "- |"
    assert "2 seeds; mean ± half of the 95 % interval, Student's t (seed 0, 1)" in text
    assert "examples that are judged, n: 8" in text and "**other data**" in text
    assert "config sha256 " in text and ", jax " in text and "`the command`" in text
    measured = json.loads((whole / "report.json").read_text())["measured"]
    assert "[report.json](report.json)" in text and len(measured) == 2
    assert all(seed[row]["accuracy"] >= 0 for seed in measured for row in ("judge", "again"))
    grids = [line.split("](")[1].rstrip(")") for line in text.splitlines() if line[:2] == "!["]
    assert len(grids) == 2 and all((whole / grid).is_file() for grid in grids)


@pytest.mark.parametrize(
    ("method", "phase"), [("open", "again"), ("_evaluate", "again"), ("_evaluate", "judge")]
)
def test_a_killed_sweep_continues_to_the_same_report(whole, tmp_path, monkeypatch, method, phase):
    monkeypatch.setattr(experiment._Phase, method, dying(method, phase))
    with pytest.raises(Killed):
        reproduce.reproduce(judges(), tmp_path, seeds=2, command="the command")
    monkeypatch.undo()
    before = files(tmp_path)
    assert list(before) == (["seed0/judge/finished.json"] if phase == "again" else [])
    reproduce.reproduce(judges(), tmp_path, seeds=2, command="the command")
    for name in ("report.md", "report.json"):
        assert (tmp_path / name).read_text() == (whole / name).read_text()
    after = files(tmp_path)
    assert len(after) == 4 and before.items() <= after.items()


def dying(method, phase):
    """A method of a phase that one of them does not survive."""
    real = getattr(experiment._Phase, method)

    def either(*arguments):
        name = arguments[1] if method == "open" else arguments[0].name
        if name == phase:
            raise Killed
        return real(*arguments)

    return either


def test_what_is_finished_is_not_run_again(whole, monkeypatch):
    monkeypatch.setattr(experiment._Phase, "open", dying("open", "judge"))
    before = (whole / "report.md").read_text(), files(whole)
    reproduce.reproduce(judges(), whole, seeds=2, command="the command")
    assert ((whole / "report.md").read_text(), files(whole)) == before


@pytest.mark.slow
def test_rows_of_restored_masks(tmp_path, monkeypatch):
    """One row of each task, on the image generator that both share."""
    config = load("mask_restoration.py:table_smoke", "--config.eval.examples=8")
    with config.unlocked():
        for name in [name for name in config.phases if name.endswith(("_l1", "_vgg"))]:
            del config.phases[name]
        config.run = ("synthesis", "sparse_ce", "sr8_ce")
        rows = [(row[0], row[1].replace("ce_vgg_l1", "ce"), *row[2:]) for row in config.table.rows]
        config.table.rows = tuple(row for row in rows if row[1] in config.run)
    monkeypatch.setattr(experiment._Phase, "open", dying("open", "sr8_ce"))
    with pytest.raises(Killed):
        reproduce.reproduce(config, tmp_path / "killed")
    monkeypatch.undo()
    texts = [reproduce.reproduce(config, tmp_path / name).read_text() for name in ("killed", "one")]
    assert texts[0] == texts[1]
    rows = {
        line.split(" | ")[0][2:]: line.rstrip(" |").split(" | ") for line in texts[0].splitlines()
    }
    head = rows["- "] if "- " in rows else texts[0].splitlines()[4].split(" | ")
    assert "Fréchet (stand-in)" in head and "FID (paper)" in head
    for name in ("synthesis", "sparse, none", "sparse, CE", "x8, none", "x8, CE"):
        assert float(rows[name][4]) > 0, name  # the Fréchet distance
    for name in ("sparse, nearest label (ours)", "x8, bilinear, largest (ours)"):
        assert rows[name][4] == "-" and float(rows[name][6]) > 0
    assert "**stand-ins**" in texts[0] and "inception = standin:inception_fid" in texts[0]


@pytest.mark.slow
def test_a_cascade_beside_a_single_stage(tmp_path):
    config = load("inpaint_c2f.py:table_smoke")
    text = reproduce.reproduce(config, tmp_path).read_text()
    rows = {line.split(" | ")[0][2:]: line.rstrip(" |").split(" | ") for line in text.splitlines()}
    for name in (
        "proposed (C2F)",
        "single stage, as many steps (ours)",
        "mean known colour (ours)",
    ):
        assert float(rows[name][7]) > 0, name
    assert rows["PixelHacker"][1:] == [
        "2.640",
        "0.177",
        "1.060",
        "0.142",
        "4.890",
        "0.198",
        *"----",
    ]


@pytest.mark.slow
def test_both_ways_to_draw_and_all_who_read_them(tmp_path):
    """Every phase hands on what the next ones ask for, up to the report and the comparison."""
    sizes = {"side": 16, "generator.width": 4, "generator.blocks": 1, "head.width": 1}
    sizes |= {"unet.width": 4, "unet.levels": 2, "data.length": 16, "eval.examples": 8}
    sizes |= {"eval.batch": 8}
    config = load("line_drawing.py:table", *(f"--config.{k}={v}" for k, v in sizes.items()))
    for phase in config.phases.values():
        phase.train.steps = 2
    text = reproduce.reproduce(config, tmp_path).read_text()
    lines = {line.split(" | ")[0][2:]: line.rstrip(" |").split(" | ") for line in text.splitlines()}
    rows = lines["ours"]
    read = {
        who: {name: cell for name, cell in zip(rows, lines[f"auto: mIoU by {who}"], strict=True)}
        for who in ("a segmenter of these drawings", "a segmenter of others' drawings")
    }
    drawn = {"baseline", "segmentation"}
    for who, cells in read.items():
        numbers = {name for name, cell in cells.items() if cell != "-"} - {"| ours"}
        own = {"drawings of others (ours)", *(f"{name}, read by a new segmenter" for name in drawn)}
        assert numbers == (own if "these" in who else drawn)
    judged = {row.measure for row in compare(tmp_path / "seed0")}
    assert {"edge_f1", "binarised/mean_iou", "outsider/binarised/mean_iou"} <= judged
