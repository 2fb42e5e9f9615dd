"""CelebAMask-HQ: trees of a few pixels, every bad file and line."""

import dataclasses
import pickle

import numpy as np
import pytest
from small_trees import (
    DAMAGES,
    HEIGHT,
    STEP,
    WIDTH,
    build,
    check_damaged,
    number,
    save,
    text,
    truncate,
    write,
)

from segsynth.data import pipeline, transforms
from segsynth.data.label_sets import CELEBAMASK
from segsynth.data.layouts import celeba_splits, celebamask
from segsynth.data.layouts.celebamask import ATTRIBUTES, PART_FOLDER
from segsynth.data.layouts.celebamask_parts import PARTS
from segsynth.errors import UserError

#: Number of a face -> file of its original: both sides of each limit of CelebA.
ORIGINALS = {0: 162_770, 1: 162_771, 2: 182_637, 3: 182_638, 20_000: 2, 25_000: 202_599}
#: Part -> rows and columns that it covers.
SHAPES = {
    "skin": np.s_[1:, 2:10],
    "l_eye": np.s_[2, 3],
    "mouth": np.s_[4, 4:8],
    "u_lip": np.s_[3, 4:8],
    "hair": np.s_[:4, 4],  # hangs over the lip
}
NAMES = ("Male", "Mouth_Slightly_Open", "Smiling")


def _part(root, face, name):
    return root / PART_FOLDER / f"{face // 2000}/{face:05d}_{name}.png"


def _faces(root, originals=ORIGINALS):
    for i, face in enumerate(originals):
        write(root / f"CelebA-HQ-img/{face}.jpg", i * STEP, (2 * HEIGHT, 2 * WIDTH, 3))
        for name, where in SHAPES.items():
            mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            mask[where] = 255
            save(_part(root, face, name), mask)
    _tables(root, originals)
    return root


def _tables(root, originals):
    rows = [f"{face} {original - 1} {original:06d}.jpg" for face, original in originals.items()]
    (root / celeba_splits.MAPPING).write_text("\n".join(["idx orig_idx orig_file", *rows, ""]))
    yes = [f"{face}.jpg  -1 {1 if i % 2 else -1} 1" for i, face in enumerate(originals)]
    (root / ATTRIBUTES).write_text("\n".join([str(len(yes)), " ".join(NAMES), *yes, ""]))


def test_parts_labels_and_attributes(tmp_path):
    source = build("celebamask", _faces(tmp_path), "all")
    assert source.provides == ("image", "parts", "labels", "attributes", "name")
    assert source.attribute_names == NAMES and source.unlabelled == 255
    expected = np.zeros((HEIGHT, WIDTH), np.int32)
    painted = np.zeros((HEIGHT, WIDTH), np.uint8)
    for name, where in SHAPES.items():  # in the order of the parts
        expected[where] |= 1 << (PARTS[name] - 1)
        painted[where] = PARTS[name]
    for i, example in enumerate(source):
        assert number(example) == i and str(example["name"]) == str([*ORIGINALS][i])
        assert example["parts"].dtype == np.int32 and example["labels"].dtype == np.uint8
        np.testing.assert_array_equal(example["parts"][::2, ::2, 0], expected)
        np.testing.assert_array_equal(example["labels"][1::2, 1::2, 0], painted)
        for key in ("parts", "labels"):
            assert example[key].shape == (2 * HEIGHT, 2 * WIDTH, 1)
            np.testing.assert_array_equal(example[key][::2, ::2], example[key][1::2, 1::2])
        assert example["attributes"].tolist() == [0, i % 2, 1]
        assert example["attributes"].dtype == np.int32
    # The lip lies under the hair, and its bit is still there.
    assert painted[3, 4] == PARTS["hair"] and expected[3, 4] >> (PARTS["u_lip"] - 1) & 1
    assert len(pickle.loads(pickle.dumps(source))) == 6
    inside = build("celebamask", _faces(tmp_path / "CelebAMask-HQ").parent, "all")
    assert inside.names == source.names


def test_parts_are_numbered_as_the_table():
    order = "skin nose eye_g l_eye r_eye l_brow r_brow l_ear r_ear mouth u_lip l_lip hair hat ear_r"
    assert [*PARTS] == [*order.split(), "neck_l", "neck", "cloth"]
    assert [*PARTS.values()] == list(range(1, 19))


def test_splits_follow_the_originals(tmp_path, caplog):
    root = _faces(tmp_path)
    found = {split: build("celebamask", root, split).names for split in ("train", "val", "test")}
    assert found == {"train": ("0", "20000"), "val": ("1", "2"), "test": ("3", "25000")}
    assert "2 pictures in train, and 24183 are published" in caplog.text
    by_number = {
        split: build("celebamask", root, split, partition="msagan").names
        for split in ("train", "val", "test")
    }
    assert by_number == {"train": ("0", "1", "2", "3"), "val": ("20000",), "test": ("25000",)}
    (root / "val.txt").write_text("25000.jpg\n3.jpg\n")
    assert build("celebamask", root, "val", lists=".").names == ("25000", "3")
    for sizes in celeba_splits.PUBLISHED.values():
        assert sum(sizes.values()) == celeba_splits.COUNT == 30_000
    (root / "CelebA-HQ-img/1.jpg").unlink()
    assert build("celebamask", root, "val").names == ("2",)
    assert "picture 1 of the split val is not there" in caplog.text


def test_options(tmp_path):
    root = _faces(tmp_path)
    source = build("celebamask", root, "val", attributes=["Smiling", "Mouth_Slightly_Open"])
    assert source.attribute_names == ("Smiling", "Mouth_Slightly_Open")
    assert [e["attributes"].tolist() for e in source] == [[1, 1], [1, 0]]
    (root / ATTRIBUTES).unlink()
    assert build("celebamask", root, "val", keys=("parts",)).provides == ("image", "parts", "name")
    with pytest.raises(UserError, match=rf"{ATTRIBUTES} does not exist"):
        build("celebamask", root, "val")
    with pytest.raises(UserError, match="keys holds 'depth', expected some of image, parts"):
        build("celebamask", root, "val", keys=("depth",))
    with pytest.raises(UserError, match="partition is 'half'"):
        build("celebamask", root, "val", partition="half")
    _tables(root, ORIGINALS)
    with pytest.raises(UserError, match=rf"{ATTRIBUTES} has no attribute 'Bald', expected some of"):
        build("celebamask", root, "val", attributes=("Bald",))


def test_a_part_without_a_file_is_absent(tmp_path):
    root = _faces(tmp_path)
    for name in SHAPES:
        _part(root, 1, name).rename(tmp_path / "away.png")
        bits = build("celebamask", root, "val")[0]["parts"]
        assert not (bits >> (PARTS[name] - 1) & 1).any() and bits.any()
        (tmp_path / "away.png").rename(_part(root, 1, name))


def test_a_face_without_parts_is_named_but_for_the_known_one(tmp_path, caplog):
    root = _faces(tmp_path, ORIGINALS | {4790: 1})
    for name in SHAPES:
        write(_part(root, 4790, name), 0)
    source = build("celebamask", root, "train")
    assert source.names == ("0", "4790", "20000") and source.faults() == []
    assert "4790.jpg has empty parts as published; it is kept" in caplog.text
    assert not source[1]["parts"].any() and not source[1]["labels"].any()
    for name in SHAPES:
        write(_part(root, 0, name), 0)
        _part(root, 4790, name).unlink()
    with pytest.raises(UserError, match=r"/0\.jpg has parts that are all empty: 00000_\*\.png in"):
        build("celebamask", root, "train")
    unscanned = dataclasses.replace(build("celebamask", root, "val"), scan=False)
    for name in SHAPES:
        _part(root, 0, name).unlink()
        write(_part(root, 1, name), 0)
    with pytest.raises(UserError, match=r"/0\.jpg has no partner for 'parts'"):
        build("celebamask", root, "train")
    with pytest.raises(UserError, match=r"/1\.jpg has parts that are all empty"):
        unscanned[0]
    assert len(unscanned.faults()) == 1


def test_large_splits_are_opened_without_a_scan(tmp_path, monkeypatch):
    root = _faces(tmp_path)
    truncate(_part(root, 1, "mouth"))
    text(_part(root, 2, "skin"))
    monkeypatch.setattr(celebamask, "SCAN_LIMIT", 11)
    source = build("celebamask", root, "val")  # two photographs, ten parts
    assert len(source.faults()) == 1 and "00002_skin.png is no picture" in source.faults()[0]
    for i, name in enumerate(("00001_mouth", "00002_skin")):
        with pytest.raises(UserError, match=name):
            source[i]
    monkeypatch.setattr(celebamask, "SCAN_LIMIT", 12)
    with pytest.raises(UserError, match=r"00002_skin\.png is no picture"):
        build("celebamask", root, "val")
    # That a face has no part at all is seen without a scan.
    monkeypatch.setattr(celebamask, "SCAN_LIMIT", 0)
    for name in SHAPES:
        _part(root, 2, name).unlink()
    with pytest.raises(UserError, match=r"/2\.jpg has no partner for 'parts'"):
        build("celebamask", root, "val")


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damaged_file_of_celebamask_is_named(tmp_path, damage):
    def make(root):
        return _faces(root, {0: 1, 2000: 162_771})

    def opened(root):
        return [list(build("celebamask", root, split)) for split in ("train", "val")]

    check_damaged(make, opened, tmp_path, damage)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((HEIGHT, WIDTH), ""),
        ((3 * HEIGHT, 3 * WIDTH), ""),
        ((HEIGHT // 2, WIDTH // 2), "is not a whole multiple"),
        ((2 * HEIGHT, 3 * WIDTH), "is not a whole multiple"),
        ((HEIGHT + 1, WIDTH + 1), "is not a whole multiple"),
    ],
)
def test_sizes_of_photographs(tmp_path, size, words):
    root = _faces(tmp_path, {0: 1})
    write(root / "CelebA-HQ-img/0.jpg", 0, (*size, 3))
    if not words:
        assert build("celebamask", root, "train")[0]["parts"].shape == (*size, 1)
        return
    with pytest.raises(UserError, match=rf"skin\.png is 6 x 12, .*0\.jpg of {size[0]} x .*{words}"):
        build("celebamask", root, "train")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("0/00000_beard.png", r"00000_beard\.png is no part mask, expected <5 digits>_<part>"),
        ("0/0_skin.png", r"0_skin\.png is no part mask"),
        ("1/00000_nose.png", r"1/00000_nose\.png lies in the wrong folder, expected 0/"),
    ],
)
def test_files_that_are_no_part_are_named(tmp_path, file, words):
    write(_faces(tmp_path) / PART_FOLDER / file, 255)
    with pytest.raises(UserError, match=words):
        build("celebamask", tmp_path, "train")


def _edited(path, old, new):
    found = path.read_text()
    assert found.count(old) == 1
    path.write_text(found.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("6\n", "7\n", "line 1 says '7', and 6 rows follow"),
        ("6\n", "", "line 2 .*|line 1 says"),
        ("3.jpg  -1 1 1\n", "", "line 1 says '6', and 5 rows follow"),
        ("3.jpg  -1 1 1\n", "3.jpg  -1 1\n", "line 6 has 2 values for 3 attributes"),
        ("3.jpg  -1 1 1\n", "\n", "line 6 has 0 values for 3 attributes"),
        ("3.jpg  -1 1 1\n", "3.jpg  -1 0 1\n", "line 6 holds '0' for 3.jpg, expected -1 or 1"),
        ("3.jpg  -1 1 1\n", "0.jpg  -1 1 1\n", "line 6 is another row of 0.jpg"),
        ("3.jpg  -1 1 1\n", "4.jpg  -1 1 1\n", r"no row for the picture 3 \(1 such\)"),
        ("Smiling", "Male", "line 2 names no attributes, or one twice"),
        ("Smiling", "", "line 3 has 3 values for 2 attributes"),
    ],
)
def test_a_wrong_line_of_the_attributes_is_named(tmp_path, old, new, words):
    path = _faces(tmp_path) / ATTRIBUTES
    _edited(path, old, new)
    with pytest.raises(UserError, match=rf"{ATTRIBUTES}.*({words})") as caught:
        build("celebamask", tmp_path, "test")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("idx orig_idx", "orig_idx", "line 1 is not 'idx orig_idx orig_file'"),
        ("3 182637 182638.jpg", "3 182637 182637.jpg", "line 5 names 182637.jpg, expected 182638"),
        ("3 182637 182638.jpg", "3 182637", "line 5 is '3 182637', expected"),
        ("3 182637 182638.jpg", "2 182637 182638.jpg", "line 5 is another row of 2"),
        ("3 182637 182638.jpg\n", "", r"has no row for .*/3\.jpg \(1 such\)"),
    ],
)
def test_a_wrong_line_of_the_mapping_is_named(tmp_path, old, new, words):
    path = _faces(tmp_path) / celeba_splits.MAPPING
    _edited(path, old, new)
    with pytest.raises(UserError, match=rf"{celeba_splits.MAPPING}.*{words}"):
        build("celebamask", tmp_path, "val")


def test_missing_and_damaged_tables_are_named(tmp_path):
    for i, name in enumerate((ATTRIBUTES, celeba_splits.MAPPING)):
        for damage, words in (
            (lambda path: path.unlink(), "does not exist"),
            (lambda path: path.write_bytes(b"\xff\xfe\x00"), "cannot be read as text"),
            (lambda path: path.write_bytes(b""), "line [12]"),
        ):
            root = _faces(tmp_path / f"{i}")
            damage(root / name)
            with pytest.raises(UserError, match=rf"{name}.*{words}") as caught:
                build("celebamask", root, "train")
            assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="CelebA has no picture 202600"):
        celeba_splits.original_split(202_600)


def test_wrong_trees_and_splits_are_named(tmp_path):
    with pytest.raises(UserError, match="celebamask has no split 'dev', expected one of train"):
        build("celebamask", tmp_path, "dev")
    with pytest.raises(UserError, match=r"no CelebAMask-HQ tree: it holds no CelebA-HQ-img/"):
        build("celebamask", tmp_path, "train")
    (tmp_path / "CelebA-HQ-img").mkdir()
    _tables(tmp_path, ORIGINALS)
    with pytest.raises(UserError, match=r"has no picture of the split 'train'\. Check the path"):
        build("celebamask", tmp_path, "train")
    write(tmp_path / "CelebA-HQ-img/0.jpg", 0)
    with pytest.raises(UserError, match=rf"{PART_FOLDER} is not a folder, expected the part"):
        build("celebamask", tmp_path, "train")


def test_mirrored_faces_through_a_pipeline(tmp_path):
    source = build("celebamask", _faces(tmp_path), "val")
    flips = [transforms.Flip(1.0, CELEBAMASK.mirrored)]
    keys = ("parts", "labels", "attributes", "name")
    with pipeline.eval_batches(source, flips, batch=2, seed=0, keys=keys) as batches:
        first = next(batches)
    assert first["parts"].shape == (2, 2 * HEIGHT, 2 * WIDTH, 1)
    assert first["attributes"].shape == (2, 3) and first["name"].tolist() == ["1", "2"]
    bits = first["parts"] >> (PARTS["r_eye"] - 1) & 1
    assert np.argwhere(bits[0, ..., 0])[0].tolist() == [4, 2 * (WIDTH - 1 - 3)]
    assert (first["labels"][bits > 0] == PARTS["r_eye"]).all()
