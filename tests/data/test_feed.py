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


class Draughtsman:
    """A reader of photographs and, unpaired, of drawings."""

    inputs = ("image",)
    targets = ("drawing", "depth")


def _unpaired(**more):
    worlds = {"resolution": 32, "length": 6, "eval_length": 3, "flip": 0.0}
    drawings = {"source": "scenes", "options": {"provides": ("drawing", "name")}, **worlds}
    data = {"source": "scenes", "options": {"provides": ("image", "depth")}, **worlds, **more}
    return {
        "system": {"name": "draughtsman"},
        "data": {**data, "unpaired": {**drawings, "seed": 1, "length": 4}},
        "train": {"global_batch": 2},
        "eval": {"batch": 2, "examples": 3},
    }


def test_unpaired_domains_are_shuffled_on_their_own():
    given = _unpaired()
    with feed.training(given, Draughtsman(), seed=0, start_step=0) as batches:
        taken = [next(batches) for _ in range(12)]
    assert set(taken[0]) == {"image", "depth", "drawing"}
    photos, drawings = (
        [row.tobytes() for batch in taken for row in batch[key]] for key in ("image", "drawing")
    )
    # 24 examples: 4 epochs of 6 photographs, 6 of 4 drawings.
    assert all(len(set(photos[i : i + 6])) == 6 for i in range(0, 24, 6))
    assert all(len(set(drawings[i : i + 4])) == 4 for i in range(0, 24, 4))
    assert len(set(zip(photos, drawings, strict=True))) > 8  # no fixed pairs
    with feed.training(given, Draughtsman(), seed=0, start_step=5) as batches:
        resumed = next(batches)
    assert all((resumed[key] == taken[5][key]).all() for key in resumed)


def test_evaluation_takes_the_other_domain_in_order():
    given = _unpaired()
    given["data"]["unpaired"]["eval_length"] = 2
    with feed.evaluation(given, Draughtsman(), seed=0) as batches:
        rows = [row.tobytes() for batch in batches for row in batch["drawing"]]
    assert rows[0] == rows[2] == rows[3] and rows[0] != rows[1]  # the last one is padding


def test_what_neither_domain_has_is_named():
    given = _unpaired(options={"provides": ("image",)})
    with pytest.raises(UserError, match=r"draughtsman needs depth; source 'scenes with scenes'"):
        feed.check(given, Draughtsman(), Sources())
    given = _unpaired()
    given["data"]["unpaired"]["sorce"] = "scenes"
    with pytest.raises(UserError, match=r"data\.unpaired has no 'sorce'; did you mean 'source'"):
        feed.check(given, Draughtsman(), Sources())


class Labeller:
    """A reader of label maps with a plane for each class."""

    inputs, targets = ("labels",), ()

    def __init__(self, label_limit):
        self.label_limit = label_limit


class Ignorer(Labeller):
    """One that leaves out what nobody labelled, which is 255 to it."""

    ignored_label = 255


@pytest.mark.parametrize(
    ("system", "ids", "message"),
    [
        (
            Labeller(19),
            "published",
            "hold numbers up to 33, and the system has the classes 0 to 18",
        ),
        (Labeller(35), "train", "hold numbers up to 255, and the system has the classes 0 to 34"),
        (Labeller(35), "published", ""),
        (Ignorer(35), "published", "say 0 where nobody labelled, and the system leaves out 255"),
        (Ignorer(18), "train", "hold numbers up to 18, and the system has the classes 0 to 17"),
        (Ignorer(19), "train", ""),
    ],
)
def test_labels_beyond_the_classes_are_refused_before_training(system, ids, message):
    """On the device they would be in no plane, or learned as a class, and nothing would tell."""
    data = {"source": "streets", "frame": (32, 32), "length": 8, "eval_length": 8, "ids": ids}
    given = {**settings(""), "data": data}
    if not message:
        feed.check(given, system, Sources())
        return
    with pytest.raises(UserError, match=message):
        feed.check(given, system, Sources())


def test_what_has_no_other_ids_is_refused_with_a_cure_that_helps():
    data = {"source": "streets", "frame": (32, 32), "length": 8, "eval_length": 8}
    data["regroup"] = "cityscapes_categories"
    with pytest.raises(UserError, match=r"say 8 where nobody labelled.*take data\.regroup out"):
        feed.check({**settings(""), "data": data}, Ignorer(9), Sources())
