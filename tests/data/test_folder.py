"""The plain folder as a source: layouts, splits, labels joined by stem, and bad files."""

import logging
import pickle

import numpy as np
import pytest

from segsynth.data import pictures, sources, splits
from segsynth.data.folder import Folder
from segsynth.errors import UserError


def _write(path, height=8, width=10, value=0, channels=3):
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures.write_png(path, np.full((height, width, channels), value, np.uint8))
    return path


def _flat_folder(root, count=6, **options):
    for i in range(count):
        _write(root / f"{i}.png", value=i, **options)
    return root


def test_pictures_in_subfolders(tmp_path):
    _write(tmp_path / "00000" / "00000.png")
    _write(tmp_path / "a" / "airfield" / "x.png", value=9)
    folder = Folder(tmp_path, "all")
    assert isinstance(folder, sources.Source) and folder.provides == ("image",)
    assert folder.stems == ("00000/00000", "a/airfield/x") and len(folder) == 2
    assert folder[1]["image"].shape == (8, 10, 3) and (folder[1]["image"] == 9).all()
    with pytest.raises(IndexError):
        folder[2]


def test_hash_split_is_stable_and_complete(tmp_path):
    _flat_folder(tmp_path, 60)
    train, val = Folder(tmp_path), Folder(tmp_path, "val")
    assert sorted(train.stems + val.stems) == sorted(Folder(tmp_path, "all").stems)
    assert 2 <= len(val) <= 12
    _flat_folder(tmp_path, 80)  # new pictures move no old one to the other split
    assert set(train.stems) < set(Folder(tmp_path).stems)
    assert set(val.stems) <= set(Folder(tmp_path, "val").stems)


def test_a_small_folder_has_both_splits(tmp_path):
    _flat_folder(tmp_path, 2)
    assert len(Folder(tmp_path)) == len(Folder(tmp_path, "val")) == 1


@pytest.mark.parametrize("listed", [("train",), ("val",), ("train", "val")])
def test_lists_decide(tmp_path, listed):
    _flat_folder(tmp_path, 4)
    stems = {"train": "0\n1\n2\n\n", "val": "3\n"}
    for split in listed:
        (tmp_path / f"{split}.txt").write_text(stems[split])
    assert Folder(tmp_path).stems == ("0", "1", "2") and Folder(tmp_path, "val").stems == ("3",)
    assert len(Folder(tmp_path, "all")) == 4


def test_wrong_lists_are_named(tmp_path):
    _flat_folder(tmp_path, 3)
    (tmp_path / "train.txt").write_text("0\nlost\n")
    with pytest.raises(UserError, match=r"train\.txt lists lost"):
        Folder(tmp_path)
    (tmp_path / "train.txt").write_text("0\n1\n")
    (tmp_path / "val.txt").write_text("1\n")
    with pytest.raises(UserError, match=r"1 is listed in train\.txt and in val\.txt"):
        Folder(tmp_path, "val")


def test_labels_are_joined_by_stem(tmp_path):
    for i, stem in enumerate(("b", "a", "sub/c")):
        _write(tmp_path / "images" / f"{stem}.png", value=i)
        _write(tmp_path / "segmentation" / f"{stem}.png", value=10 + i, channels=1)
        _write(tmp_path / "instance" / f"{stem}.png", value=20 + i, channels=1)
    _write(tmp_path / "segmentation" / "A_extra.png", channels=1)  # shifts positions, not stems
    folder = Folder(tmp_path, "all")
    assert folder.provides == ("image", "segmentation", "instance")
    for example in folder:
        assert example["segmentation"].dtype == np.int32
        assert (example["segmentation"] == example["image"][..., :1] + 10).all()
        assert (example["instance"] == example["image"][..., :1] + 20).all()


def test_label_folders_are_no_pictures(tmp_path):
    _write(tmp_path / "x.png")
    _write(tmp_path / "segmentation" / "x.png", channels=1)
    assert Folder(tmp_path, "all").stems == ("x",)


def test_missing_and_uneven_labels_are_named(tmp_path):
    _write(tmp_path / "images" / "x.png")
    _write(tmp_path / "images" / "y.png")
    _write(tmp_path / "segmentation" / "x.png", channels=1)
    with pytest.raises(UserError, match=r"images/y\.png has no label map y\.\*"):
        Folder(tmp_path, "all")
    _write(tmp_path / "segmentation" / "y.png", height=9, channels=1)
    with pytest.raises(UserError, match=r"segmentation/y\.png is 9 x 10.*images/y\.png is 8 x 10"):
        Folder(tmp_path, "all")


def test_duplicate_stems_are_named(tmp_path):
    _write(tmp_path / "x.png")
    _write(tmp_path / "x.PNG")
    with pytest.raises(UserError, match=r"x\.PNG and .*x\.png have one stem"):
        Folder(tmp_path)


def test_empty_and_missing_folders(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError, match=r"images holds no pictures, expected \*\.jpg"):
        Folder(tmp_path)
    with pytest.raises(UserError, match="nowhere is not a folder"):
        Folder(tmp_path / "nowhere")


def test_min_side_reports_how_many(tmp_path, caplog):
    _flat_folder(tmp_path, 3)
    _write(tmp_path / "large.png", 32, 40)
    assert Folder(tmp_path, "all", min_side=32).stems == ("large",)
    assert "kept 1 of 4 pictures" in caplog.text
    with pytest.raises(UserError, match=r"All 4 pictures .* below min_side = 64.*never enlarged"):
        Folder(tmp_path, "all", min_side=64)


def test_text_file_named_png(tmp_path, caplog):
    _flat_folder(tmp_path, 3)
    (tmp_path / "1.png").write_text("I am not a picture")
    with pytest.raises(UserError, match=r"1\.png is no picture.*on_error='skip'") as caught:
        Folder(tmp_path, "all")
    assert "\n" not in str(caught.value)
    with caplog.at_level(logging.WARNING):
        assert Folder(tmp_path, "all", on_error="skip").stems == ("0", "2")
    assert len(caplog.records) == 1 and "1.png is no picture" in caplog.text


def _cut(path):
    path.write_bytes(path.read_bytes()[:45])  # the header is whole, the pixels are not


def test_truncated_file_is_named_or_replaced_by_the_next(tmp_path, caplog):
    _flat_folder(tmp_path, 3)
    _cut(tmp_path / "2.png")
    with pytest.raises(UserError, match=r"2\.png is truncated or damaged"):
        Folder(tmp_path, "all")[2]
    folder = pickle.loads(pickle.dumps(Folder(tmp_path, "all", on_error="skip")))
    assert len(folder) == 3
    for _ in range(2):
        assert (folder[2]["image"] == folder[0]["image"]).all()
    assert caplog.text.count("2.png is truncated") == 1  # once per file, not once per reading


def test_all_truncated_ends(tmp_path):
    _flat_folder(tmp_path, 2)
    for i in range(2):
        _cut(tmp_path / f"{i}.png")
    with pytest.raises(UserError, match="None of the 2 pictures"):
        Folder(tmp_path, "all", on_error="skip")[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split": "test"}, "split 'test'"),
        ({"on_error": "ignore"}, "on_error is 'ignore'"),
        ({"val_share": 1.0}, "val_share 1.0"),
        ({"split": "val", "val_share": 0.0}, "left for the split 'val'"),
    ],
)
def test_wrong_options_are_named(tmp_path, options, words):
    _flat_folder(tmp_path, 2)
    with pytest.raises(UserError, match=words):
        Folder(tmp_path, **options)


def test_published_sets(test_data):
    bsds = test_data / "photos_bsds"
    assert (len(Folder(bsds)), len(Folder(bsds, "val"))) == (100, 40)
    assert sorted(Folder(bsds)[0]["image"].shape) == [3, 321, 481]
    kodak = test_data / "photos_kodak"
    assert len(Folder(kodak, "all", min_side=512)) == 16
    assert len(Folder(kodak)) + len(Folder(kodak, "val")) == 16


def test_build_by_name(tmp_path):
    _flat_folder(tmp_path, 4)
    config = {"source": "folder", "root": str(tmp_path), "min_side": 4, "resolution": 8}
    assert len(sources.build(config, "all")) == 4
    with pytest.raises(UserError, match=r"Unknown data\.source 'tape'\. Known: scenes, "):
        sources.build({"source": "tape"}, "train")
    with pytest.raises(UserError, match="no folder of pictures is set"):
        sources.build({"source": "folder", "root": ""}, "train")


def test_scenes_by_name():
    config = dict(source="scenes", resolution=32, length=5, eval_length=3, seed=1)
    train, val = sources.build(config, "train"), sources.build(config, "val")
    assert isinstance(train, sources.Source) and (len(train), len(val)) == (5, 3)
    assert set(train.provides) == {"image", "segmentation", "instance"}
    assert train[0]["image"].shape == (32, 32, 3)
    assert (train[0]["image"] != val[0]["image"]).any()
    with pytest.raises(UserError, match="no split 'all'"):
        sources.build(config, "all")


def test_the_split_by_hash_is_the_same_on_any_machine(tmp_path):
    assert splits.choose(tmp_path, [f"{i}" for i in range(40)], "val", 0.1) == ["9", "39"]


@pytest.mark.parametrize("world", sources.WORLDS)
def test_training_and_validation_of_a_world_never_meet(world):
    config = {"source": world, "resolution": 32, "length": 10_000_000, "eval_length": 2, "seed": 0}
    train, val = (sources.build(config, split) for split in ("train", "val"))
    assert train.start == 0 and len(train) <= val.start and len(val) == 2
    with pytest.raises(UserError, match=r"data\.length is 10000001, expected at most 10000000"):
        sources.build(config | {"length": 10_000_001}, "train")


def test_options_that_are_no_options_are_refused(tmp_path):
    _flat_folder(tmp_path, 2)
    folder = {"source": "folder", "root": str(tmp_path), "min_side": 0}
    world = {"source": "portraits", "resolution": 32, "length": 2, "eval_length": 2, "seed": 0}
    for config, key in ((folder, "min_side"), (world, "start"), (world, "size")):
        with pytest.raises(UserError, match=rf"data\.options\.{key} is not for"):
            sources.build(config | {"options": {key: 5}}, "train")
    with pytest.raises(
        UserError, match=r"data\.options has no 'min_sides'; did you mean 'min_side'"
    ):
        sources.build(folder | {"options": {"min_sides": 5}}, "train")


def test_a_world_with_a_guide_may_render_less():
    config = {"source": "portraits", "resolution": 32, "length": 2, "eval_length": 2, "seed": 0}
    config |= {"guide": "Smiling", "options": {"provides": ("image", "guide")}}
    assert sources.build(config, "train").provides == ("image", "guide")
