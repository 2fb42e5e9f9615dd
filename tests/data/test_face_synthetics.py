"""Face Synthetics: trees of a few pixels, every bad file, and the real sample."""

import pickle

import numpy as np
import pytest
from PIL import Image
from small_trees import (
    DAMAGES,
    HEIGHT,
    WIDTH,
    build,
    check_damaged,
    check_missing,
    number,
    photo,
    save,
    write,
)

from segsynth.data import label_sets
from segsynth.data.label_sets import CELEBAMASK, FACE_SYNTHETICS
from segsynth.data.layouts.celeba_tables import attribute_table
from segsynth.data.layouts.celebamask_parts import PARTS
from segsynth.errors import UserError


def _synthetic(root, photos="aligned256", classes="aligned256_seg", count=19):
    """Face i has class i on its left half; the right half is outside the frame."""
    for i in range(count):
        photo(root / photos / f"{i:06d}.jpg", i % 12)
        labels = np.full((HEIGHT, WIDTH), 255, np.uint8)
        labels[:, :6] = i
        save(root / classes / f"{i:06d}.png", labels)
    rows = [f"{i:06d}.jpg {1 if i < 7 else -1} -1" for i in range(count)]
    (root / "list_attr.txt").write_text("\n".join([f"{count}", "Smiling Male", *rows]))
    return root


def test_classes_become_parts_by_name(tmp_path):
    source = build("face_synthetics", _synthetic(tmp_path), "all")
    assert source.provides == ("image", "labels", "parts", "attributes", "name")
    names = ["", "skin", "nose", "r_eye", "l_eye", "r_brow", "l_brow", "r_ear", "l_ear", "mouth"]
    names += ["u_lip", "l_lip", "neck", "hair", "skin", "cloth", "eye_g", "hat", ""]
    for i, (example, name) in enumerate(zip(source, names, strict=True)):
        assert number(example) == i % 12 and example["parts"].dtype == np.int32
        assert (example["parts"][:, 6:] == 0).all() and (example["labels"][:, 6:] == 255).all()
        assert (example["parts"][:, :6] == (1 << (PARTS[name] - 1) if name else 0)).all()
        assert (example["labels"][:, :6] == i).all()
        assert example["attributes"].tolist() == [int(i < 7), 0]
    assert len(pickle.loads(pickle.dumps(source))) == 19


def test_the_table_of_face_synthetics():
    assert label_sets.get("face_synthetics") is FACE_SYNTHETICS
    assert [row.id for row in FACE_SYNTHETICS.classes] == [*range(19), 255]
    assert len(FACE_SYNTHETICS.trained) == 19
    names = {row.id: row.name for row in FACE_SYNTHETICS.classes}
    for left, right in FACE_SYNTHETICS.mirrored:
        assert names[left].replace("right", "left") == names[right] != names[left]
    assert len(FACE_SYNTHETICS.mirrored) == 3 == len(CELEBAMASK.mirrored)


def test_splits_of_face_synthetics(tmp_path):
    root = _synthetic(tmp_path)
    train, val = (build("face_synthetics", root, split) for split in ("train", "val"))
    assert sorted(train.names + val.names) == [f"{i:06d}" for i in range(19)]
    assert 0 < len(val) < 10
    (root / "val.txt").write_text("000003\n")
    assert build("face_synthetics", root, "val").names == ("000003",)
    assert build("face_synthetics", root, "val", attributes=("Male",)).attribute_names == ("Male",)
    large = _synthetic(tmp_path / "large", "images", "segments")
    assert len(build("face_synthetics", large, "all", size="images")) == 19
    with pytest.raises(UserError, match="aligned256 is not a folder"):
        build("face_synthetics", large, "all")
    with pytest.raises(UserError, match=r"size is 'tiny' and keys are .*expected one of"):
        build("face_synthetics", large, "all", size="tiny")
    with pytest.raises(UserError, match=r"keys are labels, depth; expected .* and some of image"):
        build("face_synthetics", large, "all", keys=("labels", "depth"))


def _few(root):
    return _synthetic(root, count=3)


def _all_synthetic(root):
    return list(build("face_synthetics", root, "all"))


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damaged_file_of_face_synthetics_is_named(tmp_path, damage):
    check_damaged(_few, _all_synthetic, tmp_path, damage)


def test_each_missing_file_of_face_synthetics_is_named(tmp_path, caplog):
    check_missing(_few, _all_synthetic, tmp_path, caplog, first="aligned256/")


def test_colours_instead_of_classes_are_named(tmp_path):
    path = _synthetic(tmp_path) / "aligned256_seg/000003.png"
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 3, np.uint8)).save(path)
    with pytest.raises(UserError, match=r"000003\.png is a colour picture"):
        _all_synthetic(tmp_path)
    write(path, 19)
    for key in ("labels", "parts"):
        with pytest.raises(UserError, match=r"000003\.png holds the label 19"):
            build("face_synthetics", tmp_path, "all", keys=(key,))[3]


def test_wrong_trees_and_splits_are_named(tmp_path):
    with pytest.raises(UserError, match="face_synthetics has no split 'test', expected one of tr"):
        build("face_synthetics", tmp_path, "test")
    with pytest.raises(UserError, match="aligned256 is not a folder"):
        build("face_synthetics", tmp_path, "train")
    (tmp_path / "aligned256").mkdir()
    (tmp_path / "aligned256_seg").mkdir()
    with pytest.raises(UserError, match=r"aligned256 has no picture of 'train'\. Check the path"):
        build("face_synthetics", tmp_path, "train")


def test_the_real_faces(test_data):
    root = test_data / "faces_synthetics"
    source = build("face_synthetics", root, "all")
    assert len(source) == 100
    assert (
        len(build("face_synthetics", root, "train")) + len(build("face_synthetics", root, "val"))
        == 100
    )
    totals, with_guide, contrast = np.zeros(4, int), 0, []
    guide = sum(1 << (PARTS[name] - 1) for name in ("mouth", "u_lip", "l_lip"))
    for example in source:
        labels, parts = example["labels"][..., 0], example["parts"][..., 0]
        assert example["image"].shape == (256, 256, 3) and labels.shape == (256, 256)
        totals += example["attributes"]
        with_guide += bool((parts & guide).any())
        # How Mouth_Slightly_Open was made from the classes.
        assert ((labels == 9).sum() > 60) == bool(example["attributes"][0])
        np.testing.assert_array_equal((parts & guide) > 0, (labels >= 9) & (labels <= 11))
        contrast.append(_redness(example["image"], labels))
    assert source.attribute_names == (
        *("Mouth_Slightly_Open", "Eyeglasses", "Wearing_Hat", "No_Beard"),
    )
    assert totals.tolist() == [38, 9, 8, 62] and with_guide == 99
    # Classes lie on their pictures: lips are redder than skin, and less so when they are moved.
    here, moved = np.nanmean(contrast, axis=0)
    assert here > 1.3 * moved > 0


def _redness(image, labels):
    """How much redder than skin the lips are, with the classes in place and moved by 12 rows."""
    red = image[..., 0] - image[..., 1:].mean(-1)
    return [
        red[np.isin(at, (10, 11))].mean() - red[at == 1].mean()
        if np.isin(at, (10, 11)).any()
        else np.nan
        for at in (labels, np.roll(labels, 12, axis=0))
    ]


def test_the_real_faces_as_rendered(test_data):
    source = build("face_synthetics", test_data / "faces_synthetics", "all", size="images")
    example = source[0]
    assert example["image"].shape == (512, 512, 3) and len(source) == 100
    assert set(np.unique(example["labels"])) <= FACE_SYNTHETICS.ids


def test_the_real_table_of_attributes(test_data):
    table = attribute_table(test_data / "faces_synthetics" / "list_attr.txt")
    assert len(table.rows) == 100 and table.rows["000000"].tolist() == [1, 0, 0, 1]
