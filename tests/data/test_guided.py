"""The guide of an attribute from a source's parts, and what a mirror does on the way to a batch."""

import dataclasses

import numpy as np
import pytest
from bad_trees import TREES

from segsynth.data import feed, guides, sources, transforms
from segsynth.data.cache import Cached
from segsynth.data.guided import Guided
from segsynth.data.label_sets import CELEBAMASK
from segsynth.data.worlds.portraits import Portraits
from segsynth.errors import UserError


@dataclasses.dataclass(frozen=True)
class Face:
    """One face: part k covers row k."""

    provides: tuple[str, ...] = ("parts",)
    label_set = CELEBAMASK

    def __len__(self):
        return 1

    def __getitem__(self, index):
        rows = np.arange(20).reshape(20, 1, 1)
        bits = np.where((rows > 0) & (rows < 19), 1 << np.maximum(rows - 1, 0), 0)
        return {"parts": np.broadcast_to(bits, (20, 8, 1)).astype(np.int32)}


@pytest.mark.parametrize(
    ("attribute", "names"),
    [
        ("Big_Lips", ("mouth", "u_lip", "l_lip")),
        ("Narrow_Eyes", ("l_eye", "r_eye")),
        ("Wearing_Necklace", ("neck_l", "neck")),
        ("Wearing_Necktie", ("cloth", "neck")),
    ],
)
def test_a_guide_covers_its_parts(attribute, names):
    numbers = {row.name: row.id for row in CELEBAMASK.classes}
    guide = Guided(Face(), attribute)[0]["guide"]
    assert guide.dtype == np.uint8 and guide.shape == (20, 8, 1)
    covered = np.flatnonzero((guide == 255).all((1, 2)))
    assert covered.tolist() == sorted(numbers[name] for name in names)
    assert set(np.unique(guide)) == {0, 255}


def test_what_is_refused():
    with pytest.raises(UserError, match=r"provides image\. Choose one with parts"):
        Guided(Face(provides=("image",)), "Smiling")
    with pytest.raises(UserError, match="no guide for 'Freckles'"):
        Guided(Face(), "Freckles")
    config = {"source": "scenes", "resolution": 32, "length": 1, "eval_length": 1, "seed": 0}
    with pytest.raises(UserError, match="Choose one with parts"):
        sources.build(config | {"guide": "Smiling"}, "train")


def test_guides_of_a_published_tree(tmp_path):
    root = TREES["celebamask"].make(tmp_path)
    options = {"keys": ("parts",)}  # its attributes are others
    config = {"source": "celebamask", "root": str(root), "guide": "Big_Nose", "options": options}
    example = sources.build(config, "train")[0]
    assert (example["guide"] == 255).all()
    parts = {"nose": np.ones(example["parts"].shape[:2], np.float32)}
    np.testing.assert_array_equal(example["guide"], guides.draw(guides.get("Big_Nose"), parts))


class _Reader:
    inputs, targets = ("labels", "parts", "guide"), ("name",)


@pytest.mark.parametrize("cache", [False, True])
def test_a_batch_of_mirrored_faces(cache):
    settings = {
        "system": {"name": "reader"},
        "data": {
            "source": "portraits",
            "resolution": 32,
            "guide": "Smiling",
            "length": 4,
            "eval_length": 4,
            "cache": cache,
        },
        "train": {"global_batch": 4},
        "eval": {"batch": 4},
    }
    batches = []
    for flip in (0.0, 1.0):
        settings["data"]["flip"] = flip
        with feed.training(settings, _Reader(), seed=0, start_step=0) as read:
            batches.append(next(read))
    plain, mirrored = batches
    assert plain["name"].tolist() == mirrored["name"].tolist()
    table = np.arange(256, dtype=np.uint8)
    for left, right in ((4, 5), (6, 7), (8, 9)):
        table[[left, right]] = right, left
    np.testing.assert_array_equal(mirrored["labels"], table[plain["labels"][:, :, ::-1]])
    np.testing.assert_array_equal(mirrored["guide"], plain["guide"][:, :, ::-1])
    assert np.isin(plain["labels"], (4, 5, 6, 7)).any()  # there is something to swap
    for k in range(1, 19):
        np.testing.assert_array_equal(
            mirrored["parts"] >> (int(table[k]) - 1) & 1,
            plain["parts"][:, :, ::-1] >> (k - 1) & 1,
        )


def test_who_wraps_a_source_keeps_its_table():
    portraits = Portraits(size=32, length=1)
    for source in (portraits, Cached(portraits), Guided(portraits, "Smiling")):
        assert feed.swaps(source) == CELEBAMASK.mirrored == ((4, 5), (6, 7), (8, 9))
        assert source.attribute_names == portraits.attribute_names
        assert transforms.Flip(1.0, feed.swaps(source)).swaps
    assert feed.swaps(Face(provides=("parts",))) == CELEBAMASK.mirrored
