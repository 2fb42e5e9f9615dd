"""Batches from a config: what is opened once, and what is refused before anything compiles."""

import numpy as np
import pytest
from PIL import Image

from segsynth.data import feed
from segsynth.data.feed import DataConfig, Sources
from segsynth.errors import UserError


class Photographer:
    """A reader of pictures."""

    inputs = ("image",)
    targets = ()


def settings(root, **more):
    return {
        "system": {"name": "photographer"},
        "data": {"source": "folder", "root": str(root), "resolution": 8, **more},
        "train": {"global_batch": 2},
        "eval": {"batch": 2},
    }


@pytest.fixture
def folder(tmp_path):
    for i in range(40):
        picture = np.full((9, 9, 3), i, np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{i:02d}.png")
    return tmp_path


def test_phases_share_one_reading_of_a_folder(folder):
    opened = Sources()
    a = opened.open(DataConfig(source="folder", root=str(folder), resolution=8), "train")
    # Masks, crops and workers are nothing that a source would look at.
    more = dict(scale=(0.5, 1.0), flip=0.0, workers=2, mask={"probs": (0.0, 0.0, 1.0, 0.0)})
    b = opened.open(DataConfig(source="folder", root=str(folder), resolution=8, **more), "train")
    assert a is b
    for other in (
        opened.open(DataConfig(source="folder", root=str(folder), resolution=8), "val"),
        opened.open(
            DataConfig(source="folder", root=str(folder), resolution=8, min_side=2), "train"
        ),
    ):
        assert other is not a


def test_evaluation_reads_a_cached_source_once(folder, monkeypatch):
    opened, given = Sources(), settings(folder, cache=True)
    first = [b["image"].tobytes() for b in _evaluate(given, opened)]
    for file in folder.iterdir():
        file.write_bytes(b"gone")  # whoever read again would fail
    assert [b["image"].tobytes() for b in _evaluate(given, opened)] == first


def _evaluate(given, opened):
    with feed.evaluation(given, Photographer(), seed=0, opened=opened) as batches:
        return list(batches)


def test_an_evaluation_of_nothing_is_refused(folder):
    given = settings(folder)
    given["eval"]["examples"] = 0
    with pytest.raises(UserError, match=r"eval\.examples is 0; give a number of examples, or -1"):
        feed.check(given, Photographer(), Sources())
