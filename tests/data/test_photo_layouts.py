"""Places365, FFHQ and CelebA-HQ: trees of a few pixels, every bad file."""

import pickle

import pytest
from small_trees import DAMAGES, build, check_damaged, number, photo, stem_of, text

from segsynth.data import pipeline
from segsynth.data.layouts import celeba_splits, ffhq, joined, places
from segsynth.errors import UserError

TRAIN = ("a/airfield/00000001", "a/airfield/00000002", "b/bow_window/indoor/00000001")


def _places(root, train="data_256", val="val_256", test="test_256"):
    for i, name in enumerate(TRAIN):
        photo(root / train / f"{name}.jpg", i)
    for i in (1, 2):
        photo(root / val / f"Places365_val_0000000{i}.jpg", i)
    if test:
        photo(root / test / "Places365_test_00000001.jpg", 1)
    return root


def _ffhq(root, name="images1024x1024/{:05d}/{:05d}.png", numbers=(0, 1, 1000, 59_999, 60_000)):
    for i, n in enumerate((*numbers, 69_999)):
        photo(root / name.format(n // 1000 * 1000, n), i)
    return root


def _hq(root, name="CelebA-HQ-img/{}.jpg", numbers=(0, 2, 10, 27_999, 28_000, 29_999)):
    for i, n in enumerate(numbers):
        photo(root / name.format(n), i)
    return root


@pytest.mark.parametrize(
    ("folders", "variant"),
    [
        ({}, "256"),
        ({"train": "data_256_standard"}, "256"),
        ({"train": "data_large", "val": "val_large", "test": "test_large"}, "large"),
        ({"train": "data_large_challenge", "val": "val_large", "test": "test_large"}, ""),
        ({"train": "train", "val": "val", "test": ""}, "easyformat"),
        ({"train": "places365_standard/train", "val": "places365_standard/val", "test": ""}, ""),
    ],
)
def test_places_variants(tmp_path, folders, variant, caplog):
    root = _places(tmp_path / "places", **folders)
    train = folders.get("train", "data_256")
    for place in (root, root / train.split("/")[0], root / train):
        source = build("places", place, "train")
        assert source.names == TRAIN and source.provides == ("image", "name")
        assert [number(e) for e in source] == [0, 1, 2]
        assert build("places", place, "val").names[1] == "Places365_val_00000002"
    published = 8_026_628 if "challenge" in train else 1_803_460
    assert f"3 pictures in train, and {published} are published" in caplog.text
    if folders.get("test") == "":
        with pytest.raises(UserError, match="has the variant 'easyformat', but not a split 'test'"):
            build("places", root, "test", variant=variant)
    else:
        assert len(build("places", root, "test", variant=variant)) == 1


def test_places_published_counts():
    assert places.PUBLISHED == {"train": 1_803_460, "val": 36_500, "test": 328_500}


def test_a_variant_that_is_not_clear_is_asked_for(tmp_path):
    root = _places(tmp_path)
    _places(tmp_path, "data_large", "val_large", "test_large")
    for split in ("train", "val"):
        with pytest.raises(UserError, match=r"the variants 256 and large. Say which with data.opt"):
            build("places", root, split)
        assert (
            build("places", root, split, variant="large")
            .paths(build("places", root, split, variant="large").names[0])[0]
            .parts[len(root.parts)]
            .endswith("large")
        )
    # The folder of one of them says which.
    assert "val_256" in str(build("places", root / "data_256", "val").files["image"].folder)
    with pytest.raises(UserError, match="variant is '512', expected one of 256, large"):
        build("places", root, "train", variant="512")
    with pytest.raises(UserError, match=r"no Places365 tree of the variant 'easyformat'.*train/"):
        build("places", root, "train", variant="easyformat")


def test_file_lists_say_what_belongs_to_a_split(tmp_path):
    root = _places(tmp_path)
    archive = root / "filelist_places365-standard"
    archive.mkdir()
    (archive / "places365_train_standard.txt").write_text(f"/{TRAIN[2]}.jpg 1\n/{TRAIN[0]}.jpg 0\n")
    (root / "places365_val.txt").write_text("Places365_val_00000002.jpg 165\n")
    train = build("places", root, "train")
    assert train.names == (TRAIN[2], TRAIN[0]) and [number(e) for e in train] == [2, 0]
    assert build("places", root, "val").names == ("Places365_val_00000002",)
    (root / "data_256" / f"{TRAIN[0]}.jpg").unlink()
    words = rf"train_standard\.txt lists {TRAIN[0]} \(1 such\), for which there is no picture"
    with pytest.raises(UserError, match=words):
        build("places", root, "train")


def test_challenge_lists_count_the_challenge(tmp_path, caplog):
    root = _places(tmp_path)
    (root / "places365_train_challenge.txt").write_text(f"/{TRAIN[1]}.jpg 0\n")
    assert build("places", root, "train").names == TRAIN[1:2]
    assert "1 pictures in train, and 8026628 are published" in caplog.text


def test_places_without_a_scan(tmp_path, monkeypatch):
    root = _places(tmp_path)
    text(root / "data_256" / f"{TRAIN[1]}.jpg")
    with pytest.raises(UserError, match=r"00000002\.jpg is no picture"):
        build("places", root, "train")
    monkeypatch.setattr(places, "SCAN_LIMIT", 2)
    source = build("places", root, "train")
    assert len(source.faults()) == 1 and f"{TRAIN[1]}.jpg is no picture" in source.faults()[0]
    copy = pickle.loads(pickle.dumps(source))
    assert number(copy[2]) == 2 and copy.names == TRAIN
    with pytest.raises(UserError, match=r"00000002\.jpg is no picture") as caught:
        copy[1]
    assert "\n" not in str(caught.value)


def test_paths_are_made_when_asked_for(tmp_path):
    below = places.Below(tmp_path, {"a/1": None})
    assert below["a/1"] == tmp_path / "a/1.jpg" and "a/2" not in below and len(below) == 1
    with pytest.raises(KeyError):
        below["a/2"]
    assert joined.SCAN_LIMIT == 200_000


@pytest.mark.parametrize(
    "name", ["images1024x1024/{:05d}/{:05d}.png", "{:05d}/{:05d}.png", "{1:05d}.png"]
)
def test_ffhq_splits_by_number(tmp_path, name, caplog):
    root = _ffhq(tmp_path, name)
    train, val = build("ffhq", root, "train"), build("ffhq", root, "val")
    assert train.names == ("00000", "00001", "01000", "59999")
    assert val.names == ("60000", "69999") and [number(e) for e in val] == [4, 5]
    assert len(build("ffhq", root, "all")) == 6 and train.provides == ("image", "name")
    assert "picture 2 of the split train is not there" in caplog.text
    assert "2 pictures in val, and 10000 are published" in caplog.text


def test_ffhq_sizes(tmp_path):
    root = _ffhq(tmp_path, "thumbnails128x128/{:05d}/{:05d}.png")
    with pytest.raises(UserError, match=r"images1024x1024 is not a folder; .* the size 128"):
        build("ffhq", root, "train")
    assert len(build("ffhq", root, "train", size=128)) == 4
    _ffhq(tmp_path, numbers=(5,))
    assert build("ffhq", root, "train").names == ("00005",)
    with pytest.raises(UserError, match=r"size is 256, expected one of 1024, 128"):
        build("ffhq", root, "train", size=256)
    assert [len(numbers) for numbers in ffhq.SPLITS.values()] == [60_000, 10_000, 70_000]


def test_pictures_that_are_not_called_by_a_number_are_named(tmp_path):
    for i, bad in enumerate(("70000.png", "me.png", "-1.png", "²2.png")):
        photo(_ffhq(tmp_path / f"{i}", "{1:05d}.png") / bad, 1)
        with pytest.raises(UserError, match=rf"{bad} is not called by a number 0\.\.69999"):
            build("ffhq", tmp_path / f"{i}", "val")
    root = _ffhq(tmp_path / "twice", "{1:05d}.png")
    photo(root / "60000/60000.png", 1)
    with pytest.raises(UserError, match=r"60000\.png and .*60000\.png have one number"):
        build("ffhq", root, "train")


def test_celeba_hq_by_number_and_by_list(tmp_path, caplog):
    for i, name in enumerate(("CelebA-HQ-img/{}.jpg", "{:05d}.png")):
        root = _hq(tmp_path / f"{i}", name)
        stems = [stem_of(name.format(n)) for n in (0, 2, 10, 27_999, 28_000, 29_999)]
        train, val = build("celeba_hq", root, "train"), build("celeba_hq", root, "val")
        assert [*train.names, *val.names] == stems and len(val) == 2
        assert [number(e) for e in build("celeba_hq", root, "all")] == list(range(6))
        assert "4 pictures in train, and 28000 are published" in caplog.text
        with pytest.raises(UserError, match=r"'inpainting' has no split 'test', expected .* val"):
            build("celeba_hq", root, "test")
        assert len(build("celeba_hq", root, "test", partition="msagan")) == 3
        (root / "lists").mkdir()
        (root / "lists/train.txt").write_text("10.jpg\nCelebA-HQ-img/00002.jpg\n0\n")
        assert [number(e) for e in build("celeba_hq", root, "train", lists="lists")] == [2, 1, 0]
        with pytest.raises(UserError, match=r"lists/val\.txt does not exist"):
            build("celeba_hq", root, "val", lists="lists")
        (root / "lists/val.txt").write_text("7.jpg\n")
        with pytest.raises(UserError, match=r"val\.txt lists 7 \(1 such\), for which there is no"):
            build("celeba_hq", root, "val", lists="lists")
        with pytest.raises(UserError, match="partition is 'half', expected one of celeba"):
            build("celeba_hq", root, "val", partition="half")


def test_celeba_hq_follows_the_mapping_where_it_is(tmp_path):
    root = _hq(tmp_path, numbers=(0, 1, 2))
    rows = "\n".join(("0 182637 182638.jpg", "1\t0\t000001.jpg", "2 162770   162771.jpg"))
    (root / celeba_splits.MAPPING).write_text(f"idx orig_idx orig_file\n{rows}\n")
    splits = {split: build("celeba_hq", root, split).names for split in ("train", "val", "test")}
    assert splits == {"train": ("1",), "val": ("2",), "test": ("0",)}
    assert build("celeba_hq", root, "train", partition="inpainting").names == ("0", "1", "2")
    photo(root / "CelebA-HQ-img/3.jpg", 3)
    with pytest.raises(UserError, match=r"mapping\.txt has no row for .*img/3\.jpg \(1 such\)"):
        build("celeba_hq", root, "train")


def _everything(name, *splits):
    return lambda root: [list(build(name, root, split)) for split in splits]


@pytest.mark.parametrize("damage", DAMAGES[:3])  # nothing beside a picture to differ from in size
def test_each_damaged_file_is_named(tmp_path, damage):
    for make, opened in (
        (_places, _everything("places", "train", "val", "test")),
        (_ffhq, _everything("ffhq", "train", "val")),
        (_hq, _everything("celeba_hq", "train", "val")),
    ):
        check_damaged(make, opened, tmp_path / make.__name__, damage)


def test_a_missing_picture_is_counted_and_numbered(tmp_path, caplog):
    (_ffhq(tmp_path) / "images1024x1024/00000/00000.png").unlink()
    build("ffhq", tmp_path, "train")
    assert "picture 0 of the split train is not there" in caplog.text
    assert "3 pictures in train, and 60000 are published" in caplog.text


@pytest.mark.parametrize("name", ["places", "ffhq", "celeba_hq"])
def test_wrong_trees_and_splits_are_named(tmp_path, name):
    with pytest.raises(UserError, match=f"{name} has no split 'dev', expected one of train, val"):
        build(name, tmp_path, "dev")
    words = {"places": "is no Places365 tree: it holds none of data_256_standard/"}
    for root in (tmp_path, tmp_path / "none"):
        expected = words.get(name, "has no picture of the split 'train'|is not a folder")
        with pytest.raises(UserError, match=expected) as caught:
            build(name, root, "train")
        assert "\n" not in str(caught.value)
    (tmp_path / "data_256").mkdir()
    with pytest.raises(UserError, match=r"data_256 holds no <name>.jpg. Check the path"):
        build("places", tmp_path, "train")


def test_through_a_pipeline(tmp_path):
    source = build("celeba_hq", _hq(tmp_path), "val")
    with pipeline.eval_batches(source, [], batch=2, seed=0, keys=("image", "name")) as batches:
        first = next(batches)
    assert first["name"].tolist() == ["28000", "29999"] and first["image"].shape == (2, 6, 12, 3)
