"""The CRF as a system: what it keeps, how it is judged, the table beside the paper's."""

import json
import pathlib

import jax
import numpy as np
import pytest

from segsynth import config_files, systems
from segsynth.data import pictures
from segsynth.errors import UserError
from segsynth.evaluate import evaluate_config
from segsynth.papers.figures import figures
from segsynth.systems.crf_coarse import CrfCoarse

CLASSES = ("dark", "light road")
ROOT = pathlib.Path(__file__).parents[2]
NOTHING = {"params": {}, "model_state": {}}


def build(**more):
    return systems.build({"name": "crf_coarse", "classes": CLASSES, **more})


def batch(count=3, side=16):
    """Two halves; the border between them, and some more, is not labelled."""
    rng = np.random.default_rng(0)
    truth = np.zeros((count, side, side, 1), np.uint8)
    truth[:, :, side // 2 :] = 1
    image = np.where(truth, 190, 60) + rng.integers(-9, 10, (count, side, side, 3))
    coarse = truth.copy()
    coarse[:, :, 3 : side - 2] = 255
    return {
        "image": image.astype(np.uint8),
        "coarse": coarse,
        "labels": truth,
        "valid": np.ones(count, np.float32),
    }


def test_given_labels_stay_and_the_rest_is_found():
    given = batch()
    given["coarse"][0, 5, 0] = 1  # a wrong label of the annotator: not ours to overrule
    found = build().predict(NOTHING, {}, given, jax.random.key(0))["labels"]
    known = given["coarse"] != 255
    np.testing.assert_array_equal(found[known], given["coarse"][known])
    assert found[0, 5, 0] == 1
    np.testing.assert_array_equal(found[1:], given["labels"][1:])


def test_scores_are_those_of_the_maps():
    given = batch()
    given["valid"][2] = 0
    given["labels"][0, :2] = 255  # not judged
    metrics, drawn = build().eval_step(NOTHING, {}, given, jax.random.key(0))
    values = {name: float(value) for name, value in metrics.compute().items()}
    judged = given["labels"][:2, ..., 0] != 255
    right = (given["coarse"] == given["labels"])[:2, ..., 0]
    expected = np.mean([right[i][judged[i]].mean() for i in range(2)])
    assert values["coarse__accuracy"] == pytest.approx(expected, abs=1e-6)
    dark = (given["labels"] == 0)[:2, ..., 0] & judged
    recall = np.mean([right[i][dark[i]].mean() for i in range(2)])
    assert values["coarse__dark__recall"] == pytest.approx(recall, abs=1e-6)
    assert values["refined__accuracy"] == 1.0 and values["refined_dataset__mean_iou"] == 1.0
    assert set(drawn) == set(CrfCoarse.pictures)


def test_overrides_replace_the_presets_values():
    system = build(crf={"appearance": 4.0}, unary={"tau": 1.0}, fast=True)
    assert system.refinement.crf.appearance == 4.0 and system.refinement.unary.tau == 1.0
    assert system.refinement.crf.iterations == build().refinement.crf.iterations
    assert system.fast
    with pytest.raises(UserError, match=r"system\.crf has no 'apearance'; did you mean 'appear"):
        build(crf={"apearance": 4.0})
    with pytest.raises(UserError, match="preset='fine'"):
        build(preset="fine")


def test_the_report_is_the_papers_table():
    metrics = {}
    for who in ("coarse", "refined"):
        for name in ("road", "sky"):
            for rate in ("recall", "iou"):
                metrics[f"{who}/{name}/{rate}"] = float("nan") if name == "sky" else 0.5
        metrics |= {f"{who}/mean_{rate}": 0.25 for rate in ("recall", "iou")}
        metrics |= {f"{who}_dataset/mean_{rate}": 0.75 for rate in ("recall", "iou")}
        metrics |= {f"{who}/accuracy": 0.9, f"{who}/border_accuracy": 0.4}
    table = build(classes=("road", "sky"), paper="crf_coarse").report(metrics)
    rows = {line.split("|")[1].strip(): line for line in table.splitlines() if "|" in line}
    assert [c.strip() for c in rows["road"].split("|")[2:-1]] == [
        *["0.500"] * 4,
        *("0.870", "0.966", "0.864", "0.861"),
    ]
    assert rows["sky"].split("|")[2].strip() == "-"
    assert [c.strip() for c in rows["mean"].split("|")[6:-1]] == [
        *("0.350", "0.433", "0.343", "0.372"),
    ]
    assert "0.870" not in build(classes=("road", "sky")).report(metrics)


def test_every_class_of_the_paper_has_its_row():
    config, _ = config_files.load(f"{ROOT}/configs/crf_coarse.py:cityscapes")
    rows = figures("crf_coarse")["rows"]
    mean = rows.pop("mean")
    assert set(rows) == set(config.system.classes) and len(config.system.classes) == 19
    means = np.mean([list(row.values()) for row in rows.values()], axis=0)
    np.testing.assert_allclose(means, list(mean.values()), atol=6e-4)


@pytest.fixture
def streets():
    config, _ = config_files.load(
        f"{ROOT}/configs/crf_coarse.py", ["--config.data.frame=(32,64)", "--config.eval.examples=3"]
    )
    return config


def test_evaluation_of_a_config_prints_and_writes(streets, tmp_path, caplog):
    with caplog.at_level("INFO", logger="segsynth"):
        record = evaluate_config(streets, output=tmp_path)
    stored = json.loads((tmp_path / "streets-val/crf_coarse.json").read_text())
    assert stored["n"] == 3 and stored["metrics"].keys() == record["metrics"].keys()
    assert "Acc coarse" in caplog.text
    grid = pictures.read_image(tmp_path / "streets-val/crf_coarse.png")
    assert grid.shape[0] > 32 and len(np.unique(grid)) > 20
    metrics = record["metrics"]
    assert metrics["refined/accuracy"] > metrics["coarse/accuracy"] + 0.1
    assert metrics["refined/mean_recall"] > metrics["coarse/mean_recall"]
    # A class that does not occur has no rate: null in JSON, not a made-up number.
    assert any(value is None for value in stored["metrics"].values())


def test_what_learns_is_not_evaluated_from_its_config(tmp_path):
    config, _ = config_files.load(f"{ROOT}/configs/inpaint_c2f.py:smoke")
    with pytest.raises(UserError, match="inpaint_c2f has to be trained first"):
        evaluate_config(config, output=tmp_path)


@pytest.mark.slow
def test_camvid_is_better_than_its_coarse_labels(test_data, tmp_path):
    config, _ = config_files.load(f"{ROOT}/configs/crf_coarse.py:camvid")
    metrics = evaluate_config(config, output=tmp_path, data_root=str(test_data / "street_camvid"))[
        "metrics"
    ]
    for rate in ("mean_recall", "mean_iou"):
        assert metrics[f"refined/{rate}"] > metrics[f"coarse/{rate}"]
        assert metrics[f"refined_dataset/{rate}"] > metrics[f"coarse_dataset/{rate}"]
    assert metrics["refined_dataset/mean_iou"] >= 0.599


def test_a_frame_that_nobody_labelled_counts_as_it_is():
    given = batch()
    given["coarse"][1] = 255
    metrics, drawn = build().eval_step(NOTHING, {}, given, jax.random.key(0))
    assert (drawn["refined"][1] == 255).all()
    values = {name: float(value) for name, value in metrics.compute().items()}
    assert values["refined__accuracy"] == pytest.approx(2 / 3, abs=1e-6)


def test_a_paper_that_is_not_there_is_refused_at_once():
    with pytest.raises(UserError, match="has no 'crf_coarce'; did you mean 'crf_coarse'"):
        build(paper="crf_coarce")
