"""COCO-Stuff, FiveK and KITTI: trees of a few pixels, every bad file."""

import json
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
    write,
)

from segsynth.data import coco_label_set, label_sets, pipeline
from segsynth.data.label_sets import COCO_STUFF
from segsynth.data.layouts import coco_stuff, fivek, kitti
from segsynth.data.layouts.coco_stuff import NumberedThings
from segsynth.errors import UserError

#: Ids of things that were never annotated.
NEVER = [11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90]
#: Label of picture 1, 2, ...: things, stuff, one of the eleven, unlabelled.
LABELS = (0, 0, 89, 91, 181, 90, 255)


def _coco(root, image="{}2017", labels="stuffthingmaps/{}2017", instance=None):
    for i, split in enumerate(("train",) * 4 + ("val",) * 2, 1):
        name = f"{i:012}"
        photo(root / image.format(split) / f"{name}.jpg", i)
        write(root / labels.format(split) / f"{name}.png", LABELS[i])
        if instance:
            numbered = i if LABELS[i] <= 90 else LABELS[i]  # a thing is object i
            write(root / instance.format(split) / f"{name}.png", numbered)
    return root


def _spade(root):
    return _coco(root, "{}_img", "{}_label", "{}_inst")


def _fivek(root):
    subjects = ("people", "unknown", "animals", "man_made")
    records = {}
    for i, subject in enumerate(subjects, 1):
        photo(root / f"a000{i}-dvf_00{i}.{'png' if i % 2 else 'jpg'}", i)
        records[f"a000{i}-dvf_00{i}"] = {"categories": {"time": "day", "subject": subject}}
    (root / "categories.json").write_text(json.dumps(records))
    (root / "train.txt").write_text("a0003\na0001-dvf_001\n")
    (root / "val.txt").write_text("a0002\n")
    return root


def _semantics(root):
    for i, split in enumerate(("training", "training", "testing"), 1):
        photo(root / split / f"image_2/00000{i}_10.png", i)
        if split == "training":
            write(root / split / f"semantic/00000{i}_10.png", (26, 7)[i - 1])
            stored = np.uint16((26 * 256 + 3, 7 * 256)[i - 1])
            write(root / split / f"instance/00000{i}_10.png", stored, dtype=np.uint16)
            photo(root / split / f"semantic_rgb/00000{i}_10.png", i)
    return root


def test_the_table_of_coco_stuff():
    rows = COCO_STUFF.classes
    assert [row.id for row in rows] == [*range(182), 255] and COCO_STUFF.unlabelled == 255
    assert [row.id for row in rows[:-1] if row.ignored] == NEVER
    assert [row.train_id for row in COCO_STUFF.trained] == list(range(171))
    assert np.flatnonzero(COCO_STUFF.instance_ids()).tolist() == list(range(91))
    named = {0: "person", 90: "hair brush", 91: "banner", 156: "sky-other", 181: "wood"}
    assert all(rows[i].name == name for i, name in named.items())
    assert len({row.name for row in rows}) == len({row.colour for row in rows}) == 183
    assert label_sets.get("coco_stuff") is COCO_STUFF
    # The first colours of the VOC palette: background, aeroplane, bicycle, bird, boat.
    palette = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128)]
    assert [coco_label_set.voc_colour(i) for i in range(5)] == palette
    assert coco_label_set.voc_colour(255) == (224, 224, 192)
    assert [row.colour for row in rows[:4]] == palette[1:] and rows[-1].colour == (0, 0, 0)
    ids = np.array([0, 11, 12, 181, 255])
    assert COCO_STUFF.to_train_ids(ids).tolist() == [0, 255, 11, 170, 255]
    assert COCO_STUFF.to_ids(np.array([11, 170, 255])).tolist() == [12, 181, 255]


def test_coco_stuff_in_both_trees(tmp_path, caplog):
    for tree, provides in ((_coco, ()), (_spade, ("instance",))):
        root = tree(tmp_path / tree.__name__)
        source = build("coco_stuff", root, "train")
        assert source.provides == ("image", "labels", *provides, "name")
        assert source.names == tuple(f"{i:012}" for i in (1, 2, 3, 4)) and source.unlabelled == 255
        assert [number(e) for e in source] == [1, 2, 3, 4]
        assert [int(e["labels"].max()) for e in source] == list(LABELS[1:5])
        val = build("coco_stuff", root, "val", "train")
        assert [int(e["labels"].min()) for e in val] == [255, 255] and len(val) == 2
        assert [int(e["labels"][0, 0, 0]) for e in build("coco_stuff", root, "train", "train")] == [
            *(0, 79, 80, 170)
        ]
        assert all(e["labels"].dtype == np.uint8 for e in source)
        assert len(pickle.loads(pickle.dumps(source))) == 4
    assert [int(e["instance"].max()) for e in source] == [2, 3, 0, 0]
    assert source[0]["instance"].dtype == np.int32
    assert "instance" not in build("coco_stuff", root, "train", keys=["labels"]).provides
    assert "4 pictures in train, and 118287 are published" in caplog.text
    assert dict(coco_stuff.PUBLISHED) == {"train": 118_287, "val": 5_000}


def test_instances_of_spade(tmp_path):
    labels = np.array([[0, 0, 0, 95, 255, 60, 60, 4, 5, 95]], np.uint8)
    stored = np.array([[0, 1, 0, 95, 255, 60, 2, 4, 5, 3]], np.uint8)
    crowd = np.full_like(labels, 7)
    for name, array in (("l", labels), ("i", stored), ("c", crowd), ("z", 0 * crowd)):
        Image.fromarray(array).save(tmp_path / f"{name}.png")

    def read(instances, labels):
        entry = (tmp_path / instances, tmp_path / labels)
        return NumberedThings(COCO_STUFF).read(entry)[0, :, 0]

    # Objects are numbered to 3 at least: 4 may be one more; 5 and 60 are rims of things, and a
    # crowd of sevens is no object.
    assert read("i.png", "l.png").tolist() == [1, 2, 1, 0, 0, 0, 3, 5, 0, 0]
    assert not read("c.png", "c.png").any()
    assert (read("z.png", "z.png") == 1).all()  # a person who is alone


def test_a_fixed_subset_of_coco(tmp_path):
    root = _coco(tmp_path)
    for i in range(10, 40):
        photo(root / f"train2017/{i:012}.jpg", 1)
        write(root / f"stuffthingmaps/train2017/{i:012}.png", 0)
    sets = {k: build("coco_stuff", root, "train", subset=k).names for k in (5, 10)}
    assert [len(names) for names in sets.values()] == [5, 10]
    assert set(sets[5]) < set(sets[10]) and list(sets[10]) == sorted(sets[10])
    assert sets[5] == tuple(f"{i:012}" for i in SUBSET)  # the same on any machine
    assert set(build("coco_stuff", root, "train", subset=5, subset_seed=1).names) != set(sets[5])
    assert len(build("coco_stuff", root, "val", subset=5)) == 2
    for size in (35, -1):
        with pytest.raises(UserError, match=f"34 training pictures, and subset asks for {size}"):
            build("coco_stuff", root, "train", subset=size)


#: The five with the smallest sha256("0/<name>"), by coreutils' sha256sum.
SUBSET = (1, 3, 17, 20, 36)


def test_fivek(tmp_path):
    root = _fivek(tmp_path)
    source = build("fivek", root, "all")
    assert source.provides == ("image", "subject", "name") and len(source) == 4
    assert [number(e) for e in source] == [1, 2, 3, 4]
    assert [fivek.SUBJECTS[e["subject"]] for e in source] == [
        *("people", "unknown", "animals", "man_made")
    ]
    assert source[0]["subject"].dtype == np.int32 and source[0]["subject"].shape == ()
    assert build("fivek", root, "train").names == ("a0003-dvf_003", "a0001-dvf_001")
    assert build("fivek", root, "all", drop_unknown=True).names == tuple(
        f"a000{i}-dvf_00{i}" for i in (1, 3, 4)
    )
    keys = ("image", "subject", "name")
    with pipeline.eval_batches(source, [], batch=4, seed=0, keys=keys) as batches:
        assert next(batches)["subject"].tolist() == [1, 5, 3, 0]
    (root / "categories.json").rename(root / "more.json")
    assert build("fivek", root, "val").provides == ("image", "name")
    (root / "flat.json").write_text('{"a0002": {"subject": "nature"}}')
    assert int(build("fivek", root, "val", categories="flat.json")[0]["subject"]) == 2
    both = build("fivek", root, "all", categories=["more.json", "flat.json"])
    assert [int(e["subject"]) for e in both] == [1, 2, 3, 0]


def test_what_fivek_refuses(tmp_path):
    root = _fivek(tmp_path / "a")
    for name, text, split, words in (
        ("val.txt", "a0001\n", "train", r"a0001 is listed in .*train\.txt and in val\.txt"),
        ("train.txt", "a0009\n", "train", r"train\.txt lists a0009 \(1 such\)"),
        ("categories.json", "{", "all", r"categories\.json is no JSON"),
        ("categories.json", "[]", "all", r"categories\.json holds no categories by id"),
        ("categories.json", '{"a0001": {"subject": "cars"}}', "all", r"gives a0001 .*'cars'"),
        ("categories.json", '{"a0001": {"subject": "people"}}', "all", r"a0002.*no partner.*subj"),
    ):
        (root / name).write_text(text)
        with pytest.raises(UserError, match=words):
            build("fivek", root, split)
        _fivek(root)
    with pytest.raises(UserError, match=r"test\.txt does not exist.*no official split"):
        build("fivek", root, "test")
    with pytest.raises(UserError, match=r"none\.json does not exist"):
        build("fivek", root, "all", categories="none.json")
    photo(root / "a0001-jmac.png", 1)
    with pytest.raises(UserError, match=r"a0001-dvf_001.* versions of one photograph"):
        build("fivek", root, "all")
    raw = tmp_path / "b/raw_photos/HQa1to700/photos/a0001-jmac.dng"
    raw.parent.mkdir(parents=True)
    raw.touch()
    with pytest.raises(UserError, match=r"a0001-jmac\.dng is a raw or 16-bit.*Export.*b/images/"):
        build("fivek", tmp_path / "b", "all")
    with pytest.raises(UserError, match=r"no categories\.json, so no subject can be 'unknown'"):
        photo(tmp_path / "b/images/a0001.png", 1)
        build("fivek", tmp_path / "b", "all", drop_unknown=True)


def test_kitti_in_four_trees(tmp_path, caplog):
    semantics = _semantics(tmp_path / "semantics")
    train = build("kitti", semantics, "train")
    assert train.provides == ("image", "labels", "instance", "name") and len(train) == 2
    assert [number(e) for e in train] == [1, 2]
    assert [int(e["labels"].max()) for e in train] == [26, 7]
    assert [int(e["instance"].max()) for e in train] == [26 * 256 + 3, 0]
    assert [int(e["labels"].max()) for e in build("kitti", semantics, "train", "train")] == [13, 0]
    assert build("kitti", semantics, "test").provides == ("image", "name")
    assert "2 pictures in train, and 200 are published" in caplog.text
    drive = "2011_09_26/2011_09_26_drive_000{}_sync/image_{}/data/0000000005.png"
    for i in (2, 1):
        photo(tmp_path / "object/training/image_2" / f"00000{i}.png", i)
        photo(tmp_path / "raw" / drive.format(i, "02"), i)
        photo(tmp_path / "raw" / drive.format(i, "03"), 9)
        photo(tmp_path / "flat" / f"um_{i}.png", i)
    assert build("kitti", tmp_path / "object", "train").names == ("000001", "000002")
    assert "2 pictures in train, and 7481 are published" in caplog.text
    raw = build("kitti", tmp_path / "raw", "all")
    assert raw.names == tuple(f"2011_09_26_drive_000{i}_sync_0000000005" for i in (1, 2))
    flat = build("kitti", tmp_path / "flat", "all")
    for source in (raw, flat, build("kitti", tmp_path / "object", "train")):
        assert [number(e) for e in source] == [1, 2] and source.provides == ("image", "name")
    assert kitti.PUBLISHED["object"] == {"train": 7481, "test": 7518}
    with pytest.raises(UserError, match=r"flat is not split.*'all', not 'train'"):
        build("kitti", tmp_path / "flat", "train")
    with pytest.raises(UserError, match=r"semantics is split.*'train' or 'test', not 'all'"):
        build("kitti", semantics, "all")


#: Source -> the tree, its splits, pictures that have no partner, files that nobody reads.
TREES = {
    "official": ("coco_stuff", _coco, ("train", "val"), ("none",)),
    "spade": ("coco_stuff", _spade, ("train", "val"), ("none",)),
    "fivek": ("fivek", _fivek, ("all",), ("a000",)),
    "semantics": ("kitti", _semantics, ("train", "test"), ("testing",)),
}
IMAGES = ("train2017", "val2017", "train_img", "val_img", "training/image_2")
UNREAD = ("training/semantic_rgb",)


def _case(tree):
    name, make, splits, alone = TREES[tree]
    return make, lambda root: [list(build(name, root, split)) for split in splits], alone


@pytest.mark.parametrize("tree", TREES)
def test_each_missing_file_is_named(tmp_path, tree, caplog):
    make, opened, alone = _case(tree)
    check_missing(make, opened, tmp_path, caplog, first=IMAGES, alone=alone, unread=UNREAD)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("tree", TREES)
def test_each_damaged_file_is_named(tmp_path, tree, damage):
    make, opened, alone = _case(tree)
    check_damaged(make, opened, tmp_path, damage, alone=alone, unread=UNREAD)


def test_values_outside_the_tables_are_named(tmp_path):
    root = _spade(tmp_path / "coco")
    path = root / "train_label/000000000002.png"
    write(path, 182)
    with pytest.raises(UserError, match=r"train_label/000000000002\.png holds the label 182"):
        list(build("coco_stuff", root, "train"))
    with pytest.raises(UserError, match=r"train_label/000000000002\.png holds the label 182"):
        list(build("coco_stuff", root, "train", keys=["instance"]))
    write(path, 300, dtype=np.uint16)
    with pytest.raises(UserError, match=r"000000000002\.png has more than 8 bits a pixel"):
        build("coco_stuff", root, "train")
    write(path, 0, (HEIGHT + 1, WIDTH))
    with pytest.raises(UserError, match=r"train_inst/000000000002\.png is 6 x 12, but its label"):
        build("coco_stuff", root, "train", keys=["instance"])
    root = _semantics(tmp_path / "kitti")
    write(root / "training/instance/000001_10.png", 34 * 256, dtype=np.uint16)
    with pytest.raises(UserError, match=r"instance/000001_10\.png holds the label 34"):
        list(build("kitti", root, "train"))


@pytest.mark.parametrize(
    ("name", "split", "words"),
    [
        ("coco_stuff", "train", r"no COCO-Stuff tree: .* neither train2017/ nor train_img/"),
        ("coco_stuff", "test", "no split 'test', expected one of train, val"),
        ("fivek", "all", r"holds no pictures, expected \*\.jpg"),
        ("fivek", "dev", "no split 'dev'"),
        ("kitti", "all", "no KITTI tree"),
        ("kitti", "val", "no split 'val', expected one of train, test, all"),
    ],
)
def test_wrong_trees_and_splits_are_named(tmp_path, name, split, words):
    with pytest.raises(UserError, match=words) as caught:
        build(name, tmp_path, split)
    assert "\n" not in str(caught.value)


def test_the_real_coco_stuff_folder(test_data, caplog):
    root = test_data / "photos_coco_stuff"
    facts = {"train": (13, 57, 206843, 1177591, 403124), "val": (8, 62, 16198, 575355, None)}
    for split, (count, classes, nothing, things, people) in facts.items():
        source = build("coco_stuff", root, split)
        assert len(source) == count
        pixels, objects = np.zeros(256, int), 0
        for example in source:
            pixels += np.bincount(example["labels"].ravel(), minlength=256)
            assert not example["instance"][example["labels"] > 90].any()
            objects += int((example["instance"] > 0).sum())
        assert np.count_nonzero(pixels[:182]) == classes and not pixels[NEVER].any()
        assert (pixels[255], pixels[:91].sum()) == (nothing, things)
        assert people in (None, pixels[0])
        assert 0.98 < objects / things <= 1  # what lacks a number is rims of objects
        mapped = build("coco_stuff", root, split, "train")
        share = np.mean([(e["labels"] == 255).mean() for e in mapped])
        assert 0 < share < 0.2


def test_the_real_kitti_frames(test_data):
    source = build("kitti", test_data / "street_kitti", "all")
    assert len(source) == 6 and all(e["image"].shape == (375, 1242, 3) for e in source)
