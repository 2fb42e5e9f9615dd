"""Inputs that are no pictures in a folder of pictures: numbers, and text files beside them."""

import json
import os

import numpy as np
import pytest
import toys

from segsynth import predict, predict_files, systems
from segsynth.data import pictures
from segsynth.errors import UserError


class Shifted(toys.Plain):
    """Adds its first landmark, and how many pictures there are, to the picture."""

    on_host = True
    inputs = ("image", "value")
    outputs = ("image", "picture")
    optional = ("landmarks",)

    @property
    def choices(self):
        return {}

    def survey(self, predict, examples):
        return {"count": len(list(examples))}

    def synthesize(self, predict, inputs, key):
        image = inputs["image"] + np.uint8(inputs["landmarks"][0, 0] + inputs.get("count", 0))
        return {"image": image, "picture": image}


@pytest.fixture
def synthesizer(monkeypatch):
    monkeypatch.setitem(systems.REGISTRY, "shifted", Shifted)
    monkeypatch.delattr(toys.Plain, "train_step")
    return predict.from_config({"system": {"name": "shifted"}})


@pytest.fixture
def faces(tmp_path, monkeypatch):
    """Two photographs of one name in two folders, and their landmarks."""
    monkeypatch.chdir(tmp_path)
    for i, name in enumerate(("x/face", "y/face")):
        for folder in ("faces", "points"):
            (tmp_path / folder / name).parent.mkdir(parents=True)
        pictures.write_png(tmp_path / f"faces/{name}.png", np.zeros((2, 2, 3), np.uint8))
        (tmp_path / f"points/{name}.txt").write_text(f"{10 * (i + 1)} 0\n" * 5)
    return {"image": "faces", "landmarks": "points", "value": "0"}


def shades(written):
    return [int(pictures.read_image(path).max()) for path in written]


def test_each_picture_has_the_text_of_its_own_path(synthesizer, faces, tmp_path):
    assert shades(predict_files.predict_files(synthesizer, faces, "out")) == [12, 22]
    noted = json.loads((tmp_path / "out/predictions.json").read_text())["inputs"]
    assert noted == {name: str(tmp_path / faces[name]) for name in ("image", "landmarks")} | {
        "value": "0"
    }
    assert predict_files.predict_files(synthesizer, faces, "out") == []
    (tmp_path / "points/y/face.txt").write_text("30 0\n" * 5)
    newer = (tmp_path / "out/y/face.png").stat().st_mtime + 10
    os.utime(tmp_path / "points/y/face.txt", (newer, newer))
    assert shades(predict_files.predict_files(synthesizer, faces, "out")) == [32]
    (tmp_path / "points/y/face.txt").unlink()
    with pytest.raises(UserError, match=r"cannot read the landmarks points/y/face\.txt"):
        predict_files.predict_files(synthesizer, faces, "out")


def test_one_text_for_all(synthesizer, faces):
    given = {**faces, "landmarks": "points/x/face.txt"}
    assert shades(predict_files.predict_files(synthesizer, given, "out")) == [12, 12]


def test_one_picture_is_no_folder_whatever_else_is_one(synthesizer, faces, tmp_path):
    (tmp_path / "0").mkdir()  # as the value
    given = {**faces, "image": "faces/x/face.png", "landmarks": "points/x"}
    (path,) = predict_files.predict_files(synthesizer, given, tmp_path / "edited.png")
    assert path.is_file() and shades([path]) == [10]
    assert [file.name for file in tmp_path.glob("*.json*")] == []


def test_texts_alone_are_not_enough(synthesizer, faces):
    with pytest.raises(UserError, match="image not given; bring --image"):
        predict_files.predict_files(synthesizer, {"landmarks": "points/x"}, "edited.png")


def test_what_cannot_be_read_does_not_stop_a_survey(synthesizer, faces, tmp_path):
    (tmp_path / "faces/x/face.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"x/face\.png"):
        predict_files.predict_files(synthesizer, faces, "out")
    with pytest.raises(UserError, match=r"1 of 2 pictures were skipped, first: .*x/face\.png"):
        predict_files.predict_files(synthesizer, faces, "out", on_error="skip")
    assert shades([tmp_path / "out/y/face.png"]) == [21]  # of the one that was counted
    (tmp_path / "faces/y/face.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"y/face\.png"):
        predict_files.predict_files(synthesizer, faces, "none", on_error="skip")


def test_answers_never_replace_what_they_are_made_from(synthesizer, faces, tmp_path):
    (tmp_path / "faces").rename(tmp_path / "image")
    given = {**faces, "image": "image"}
    with pytest.raises(UserError, match=r"--output \. is the folder of --image, or writes into it"):
        predict_files.predict_files(synthesizer, given, ".", outputs=("all",))
    assert pictures.read_image(tmp_path / "image/x/face.png").max() == 0
