"""Two phases on the same pictures: each picture's measures, and what they add up to."""

import json
import types

import clu.metrics
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth import paired
from segsynth.engine.run import Run
from segsynth.errors import UserError
from segsynth.metrics.accumulators import MeanOverExamples
from segsynth.metrics.clip_score import ControlledClipScore, clip_scores
from segsynth.metrics.segmentation import Confusion, confusion_counts, scalars
from segsynth.paired import Evaluated


def table(**columns):
    return {name: np.asarray(column, np.float64) for name, column in columns.items()}


def run_of(path, **more):
    config = {"seed": 0, "run": ["b"], "phases": {"a": {}, "b": {}}, **more}
    (path / "config.json").write_text(json.dumps(config))
    return path


def test_a_win_is_counted_in_the_direction_of_the_measure(monkeypatch, tmp_path):
    first = table(edge_f1=[0.1, 0.2, 0.3, np.nan], mid_grey=[0.5, 0.5, 0.5, 0.5], ink=[1, 1, 1, 1])
    second = table(edge_f1=[0.2, 0.2, 0.1, 0.9], mid_grey=[0.1, 0.1, 0.1, 0.9], l1=[1, 1, 1, 1])
    tables = {"a": first, "b": second}
    monkeypatch.setattr(
        paired, "evaluated", lambda run, phase, _: Evaluated(tables[phase], {"kid": 0.5})
    )
    judged = {x.measure: x for x in paired.compare(run_of(tmp_path), [("a", "b")])}
    assert set(judged) == {"edge_f1", "mid_grey"}
    edges = judged["edge_f1"]
    assert (edges.rate.mean, edges.rate.pictures) == (0.5, 3)  # won, drawn, lost
    assert edges.gain.mean == pytest.approx(-0.1 / 3)
    assert (edges.baseline, edges.ours) == pytest.approx((0.2, 0.5 / 3))
    assert judged["mid_grey"].rate.mean == 0.75
    text = (tmp_path / "eval" / "paired.md").read_text()
    assert "| auto: mid_grey | 0.5000 | 0.3000 | -0.2000 [" in text and "| kid | 0.5000" in text
    assert "prefer" not in text
    stored = json.loads((tmp_path / "eval" / "paired.json").read_text())
    assert stored["measures"][0]["gain"]["pictures"] == 3 and stored["b"] == {"kid": 0.5}
    assert {"seed", "config_sha256", "devices", "versions"} <= set(stored)
    assert stored["changes"] == {}


class Known:
    """A system whose measures are what its pictures hold."""

    def eval_step(self, variables, frozen, batch, key):
        value = batch["image"].astype(jnp.float32).mean((1, 2, 3))
        known = (batch["valid"] > 0) & (value > 0)
        metrics = {
            "edge_f1": MeanOverExamples.of(value, known),
            "binarised__mean_iou": MeanOverExamples.of(2 * value, batch["valid"]),
            "other": MeanOverExamples.of(value, batch["valid"]),
        }
        return clu.metrics.Collection.create_collection(**metrics), {}


class Batches(list):
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_measures_are_of_one_picture_each(monkeypatch, tmp_path):
    given = {}

    def pictures(settings, system, *, seed):
        given.update(settings)
        row = {"valid": np.ones(1, np.float32)}
        return Batches([{**row, "image": np.full((1, 2, 2, 3), i, np.uint8)} for i in range(3)])

    monkeypatch.setattr(paired.systems, "build", lambda section: Known())
    monkeypatch.setattr(paired.references, "load_trained", lambda *_: ({}, 0))
    monkeypatch.setattr(paired.references, "load_frozen", lambda *_: {})
    monkeypatch.setattr(paired.feed, "evaluation", pictures)
    run = Run.open(run_of(tmp_path, eval={"batch": 16}, data={"options": {"paired": False}}))
    changes = {"data.options.paired": True, "eval.examples": 3}
    each, whole = paired.evaluated(run, "a", changes)
    assert given["eval"] == {"batch": 1, "examples": 3}
    assert given["data"]["options"] == {"paired": True}
    np.testing.assert_array_equal(each["edge_f1"], [np.nan, 1, 2])
    np.testing.assert_array_equal(each["binarised/mean_iou"], [0, 2, 4])
    assert set(each) == {"edge_f1", "binarised/mean_iou"}
    assert whole == {"edge_f1": 1.5, "binarised/mean_iou": 2.0, "other": 1.0}


def test_a_class_that_a_picture_does_not_hold_is_not_missed():
    truth = jnp.asarray([[[0, 0, 1, 255]]])
    guess = jnp.asarray([[[0, 2, 1, 2]]])  # 2 is nowhere
    scores = scalars(Confusion.of(confusion_counts(guess, truth, 3), jnp.ones(1)))
    found = paired._measures(clu.metrics.Collection.create_collection(**scores))
    assert found == {"mean_iou": pytest.approx((0.5 + 1.0) / 2)}
    unknown = Confusion.of(confusion_counts(guess, 0 * truth + 255, 3), jnp.ones(1))
    none = clu.metrics.Collection.create_collection(**scalars(unknown, prefix="binarised__"))
    assert np.isnan(paired._measures(none)["binarised/mean_iou"])


def test_a_picture_has_a_clip_score():
    """The probability of its own caption; none if it has no subject."""
    clip = types.SimpleNamespace(name="clip_vit_b32", published=True, standin=False)
    p = jnp.asarray([[0.3, 0.7]])
    for label, expected in ((0, 0.3), (1, 0.7), (5, np.nan)):
        metric = ControlledClipScore.of(p, p, p[0], jnp.asarray([label]), jnp.ones(1))
        given = clu.metrics.Collection.create_collection(**clip_scores(clip, metric))
        found = paired._measures(given)
        assert list(found) == ["clip_score"]
        assert found["clip_score"] == pytest.approx(expected, nan_ok=True)


def test_pairs_are_those_of_the_table(monkeypatch, tmp_path):
    asked = []

    def evaluated(run, phase, changes):
        asked.append((phase, changes))
        return Evaluated(table(edge_f1=[1.0]), {})

    monkeypatch.setattr(paired, "evaluated", evaluated)
    path = run_of(tmp_path, table={"pairs": [["a", "b"]]})
    paired.compare(path, examples=-1, changes={"system.pool": "2", "data.source": "fivek"})
    changes = {"eval.examples": -1, "system.pool": 2, "data.source": "fivek"}
    assert asked == [("a", changes), ("b", changes)]
    asked.clear()
    paired.compare(path, [("a", "b"), ("a", "b")])
    assert asked == [("a", {}), ("b", {})]  # each once


def test_what_cannot_be_compared_is_one_line(monkeypatch, tmp_path):
    path = run_of(tmp_path)
    with pytest.raises(UserError, match="says no pairs of phases; give --pair"):
        paired.compare(path)
    with pytest.raises(UserError, match="no 'c'"):
        paired.compare(path, [("c", "a")])
    with pytest.raises(UserError, match="a phase has no 'sytem"):
        paired.compare(path, [("a", "b")], changes={"sytem.pool": "2"})
    monkeypatch.setattr(paired, "evaluated", lambda *_: Evaluated(table(), {}))
    with pytest.raises(UserError, match="have no measure in common"):
        paired.compare(path, [("a", "b")])
