"""Photographs with depth and label maps: three trees of a few pixels, every kind of bad file."""

import numpy as np
import pytest
from small_trees import (
    DAMAGES,
    HEIGHT,
    WIDTH,
    build,
    check_damaged,
    check_missing,
    number,
    photo,
    write,
)

from segsynth.data.layouts import photo_depth
from segsynth.errors import UserError


def _depths(root, image="photos/{}", depth="depth/{}", seg="seg/{}", splits=("train", "val")):
    for split in splits:
        for i in (1, 2):
            photo(root / image.format(split) / f"p{i}.jpg", i)
            write(root / depth.format(split) / f"p{i}.png", 6553 * i, dtype=np.uint16)
            if seg:
                write(root / seg.format(split) / f"p{i}.png", 90 + i)
    return root


def _informative(root):
    _depths(root, "{}/photos", "{}/depthmaps", None, ("train",))
    photo(root / "test/bridge.png", 3)
    write(root / "train/drawings/cat.png", 255)
    return root


def test_photographs_with_depth_in_three_trees(tmp_path):
    informative = _informative(tmp_path / "informative")
    assert build("photo_depth", informative, "train").provides == ("image", "depth", "name")
    assert [number(e) for e in build("photo_depth", informative, "test")] == [3]
    parts = _depths(tmp_path / "parts")
    flat = _depths(tmp_path / "flat", "photos", "depth", "seg", ("train",))
    (flat / "val.txt").write_text("p2\n")
    for root, names in ((parts, ("p1", "p2")), (flat, ("p1",))):
        source = build("photo_depth", root, "train")
        assert source.provides == ("image", "depth", "labels", "name") and source.names == names
        for example in source:
            i = number(example)
            assert example["depth"].dtype == np.float32 and (example["labels"] == 90 + i).all()
            np.testing.assert_allclose(example["depth"], 6553 * i / 65535, rtol=1e-6)
    assert build("photo_depth", flat, "val").names == ("p2",)
    assert len(build("photo_depth", flat, "all")) == 2
    assert len(build("photo_depth", parts, "val")) == 2


def test_photographs_without_labels(tmp_path):
    root = _depths(tmp_path)
    (root / "seg/train/p1.png").unlink()
    with pytest.raises(UserError, match=r"photos/train/p1\.jpg has no partner for 'labels'"):
        build("photo_depth", root, "train")
    source = build("photo_depth", root, "train", allow_unlabelled=True)
    assert [np.unique(e["labels"]).tolist() for e in source] == [[255], [92]]
    assert source[0]["labels"].shape == (HEIGHT, WIDTH, 1) and source.unlabelled == 255
    assert source[0]["labels"].dtype == np.uint8 and len(source.paths("p1")) == 2
    streets = build("photo_depth", root, "train", label_set="camvid", allow_unlabelled=True)
    assert (streets[0]["labels"] == 11).all()
    with pytest.raises(UserError, match=r"seg/train/p2\.png holds the label 92"):
        streets[1]
    plain = _informative(tmp_path / "plain")
    bare = build("photo_depth", plain, "train", "train", allow_unlabelled=True)
    assert bare.provides == ("image", "depth", "labels", "name")
    assert all((e["labels"] == 255).all() for e in bare)


def test_two_folders_of_depth_are_refused(tmp_path):
    root = _depths(tmp_path)
    (root / "depthmaps").mkdir()
    with pytest.raises(UserError, match=r"depthmaps and .*depth both hold depth"):
        build("photo_depth", root, "train")
    with pytest.raises(UserError, match="Unknown label set 'ade'"):
        photo_depth.photo_depth(root, label_set="ade")


#: The tree and its splits.
TREES = {
    "by split": (_depths, ("train", "val")),
    "informative": (_informative, ("train", "test")),
}
IMAGES = ("photos", "train/photos")
UNREAD = ("train/drawings",)


def _opened(tree):
    return lambda root: [list(build("photo_depth", root, split)) for split in TREES[tree][1]]


@pytest.mark.parametrize("tree", TREES)
def test_each_missing_file_is_named(tmp_path, tree, caplog):
    make, opened = TREES[tree][0], _opened(tree)
    check_missing(make, opened, tmp_path, caplog, first=IMAGES, alone=("test",), unread=UNREAD)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("tree", TREES)
def test_each_damaged_file_is_named(tmp_path, tree, damage):
    check_damaged(TREES[tree][0], _opened(tree), tmp_path, damage, alone=("test",), unread=UNREAD)


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ("train", r"neither train/photos/ nor photos/train/ nor photos/"),
        ("dev", "no split 'dev'"),
    ],
)
def test_wrong_trees_and_splits_are_named(tmp_path, split, words):
    with pytest.raises(UserError, match=words) as caught:
        build("photo_depth", tmp_path, split)
    assert "\n" not in str(caught.value)


def test_the_real_informative_drawings(test_data):
    root = test_data / "drawings_misc/informative_drawings"
    source = build("photo_depth", root, "train")
    means = {"cat": 17927.88, "donut": 18463.58, "icecream": 13211.09, "river": 22781.12}
    assert source.names == tuple(means) and len(build("photo_depth", root, "test")) == 3
    for example, mean in zip(source, means.values(), strict=True):
        assert example["image"].shape[:2] == example["depth"].shape[:2]
        assert (example["depth"].min(), example["depth"].max()) == (0, 1)
        assert abs(float(example["depth"].mean(dtype=np.float64)) * 65535 - mean) < 0.01
        assert len(np.unique(example["depth"])) > 256  # more than 8 bits
