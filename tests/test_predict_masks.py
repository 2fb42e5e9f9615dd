"""Restored maps of a folder of label maps alone, through the command line."""

import importlib.util
import json
import pathlib
import sys

import jax
import numpy as np
import pytest

from segsynth import cli, predict, systems
from segsynth.data import label_sets, pictures

ROOT = pathlib.Path(__file__).parents[1]
SIDE, TABLE = 32, label_sets.get("cityscapes")
SPADE = {"width": 1, "hidden": 4, "upsampling": "normal"}
#: Each map of the folder: mostly unlabelled, with a piece of road and one of sky.
NAMES = ("a", "sub/b")


@pytest.fixture(scope="module")
def synthesizer():
    section = {"name": "mask_restoration", "task": "coarse", "frame": (SIDE, SIDE)}
    system = systems.build({**section, "restorer": SPADE, "generator": SPADE})
    specs = {name: spec for name, spec in system.frozen.items() if spec.predicts}
    assert list(specs) == ["generator"]  # nothing that only training compares
    key = jax.random.key(0)
    variables = random_like(jax.eval_shape(lambda: system.init(key).variables()))
    frozen = random_like(jax.eval_shape(lambda: {n: s.init(key) for n, s in specs.items()}))
    made_with = {"run": "masks"}
    return predict.Synthesizer(system, variables, frozen, "cityscapes", made_with, ids="published")


def random_like(shapes):
    """Weights without the compilation of an initialiser; positive, as variances are."""
    random = np.random.default_rng(0)
    return jax.tree.map(lambda x: random.uniform(0.1, 1.0, x.shape).astype(x.dtype), shapes)


@pytest.fixture
def launch(synthesizer, monkeypatch, capsys, tmp_path):
    for i, name in enumerate(NAMES):
        labels = np.zeros((SIDE, SIDE), np.uint8)
        labels[20:, : 8 + i], labels[:6] = 7, 23
        path = tmp_path / "maps" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures.write_png(path, labels)
    monkeypatch.setattr(predict, "load", lambda *_, **__: synthesizer)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    spec = importlib.util.spec_from_file_location("predict_script", ROOT / "launch/predict.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    def run(*arguments):
        start = ["predict.py", "--run", "masks", "--labels", str(tmp_path / "maps")]
        monkeypatch.setattr(sys, "argv", [*start, "--output", str(tmp_path / "out"), *arguments])
        return cli.run(script.main), capsys.readouterr().err.splitlines()

    return run


def listing(tmp_path):
    return [json.loads(line) for line in (tmp_path / "out/manifest.jsonl").read_text().splitlines()]


def read(tmp_path, name, kind="labels"):
    return pictures.read_labels(tmp_path / "out" / kind / f"{name}.png")[..., 0]


def test_maps_alone_are_restored(launch, tmp_path):
    assert launch()[0] == 0
    for name in NAMES:
        found = pictures.read_labels(tmp_path / f"out/{name}.png")
        assert found.shape == (SIDE, SIDE, 1) and found.max() < 35
    assert listing(tmp_path)[1] == {
        "name": "sub/b",
        "inputs": {"coarse": str(tmp_path / "maps/sub/b.png")},
        "outputs": {"labels": "sub/b.png"},
    }


def test_all_that_is_made_of_a_map(launch, tmp_path):
    code, _ = launch("--outputs", "all", "--palette", "--clamp-known", "--confidence")
    assert code == 0
    for entry, name in zip(listing(tmp_path), NAMES, strict=True):
        assert entry["outputs"] == {k: f"{k}/{name}.png" for k in ("labels", "image", "confidence")}
        labels, given = read(tmp_path, name), pictures.read_labels(tmp_path / f"maps/{name}.png")
        known = given[..., 0] > 0
        np.testing.assert_array_equal(labels[known], given[..., 0][known])
        assert read(tmp_path, name, "confidence").max() <= 255
        assert pictures.read_image(tmp_path / f"out/image/{name}.png").shape == (SIDE, SIDE, 3)
        palette = pictures.read_palette(tmp_path / f"out/labels/{name}.png")
        np.testing.assert_array_equal(palette, TABLE.palette())
    before = (tmp_path / "out/manifest.jsonl").read_text()
    (tmp_path / "out/image/a.png").unlink()  # a half-done example is done again
    options = ("--outputs", "all", "--palette", "--clamp-known", "--confidence")
    assert launch(*options)[0] == 0 and (tmp_path / "out/image/a.png").exists()
    assert (tmp_path / "out/manifest.jsonl").read_text() == before
    assert launch("--outputs", "all", "--palette")[0] == 2  # not with the others in one folder


@pytest.mark.parametrize("wrong", [255, 35])
def test_a_number_that_is_no_label_is_refused_by_name(launch, tmp_path, wrong):
    path = tmp_path / "maps/sub/b.png"
    labels = pictures.read_labels(path)
    labels[3, 4] = wrong
    pictures.write_png(path, labels)
    code, lines = launch()
    assert code == 2 and lines[-1].startswith("error: ")
    assert str(path) in lines[-1] and str(wrong) in lines[-1]
    assert not (tmp_path / "out/sub/b.png").exists()
    code, lines = launch("--on-error", "skip")
    assert code == 2 and [entry["name"] for entry in listing(tmp_path)] == ["a"]


def test_one_map_has_a_file_for_each_output(launch, tmp_path):
    one = ("--labels", str(tmp_path / "maps/a.png"), "--output", str(tmp_path / "r.png"))
    assert launch(*one, "--outputs", "image,labels")[0] == 0
    assert (tmp_path / "r.png").is_file() and (tmp_path / "r-image.png").is_file()


def test_an_output_that_there_is_not(launch):
    code, lines = launch("--outputs", "picture")
    assert code == 2 and "this system's output has no 'picture'" in lines[-1]
    code, lines = launch("--outputs", "confidence")  # only with --confidence
    assert code == 2 and "has no 'confidence'" in lines[-1]
