"""CamVid and Cityscapes trees of a few pixels: counts, pairs, splits, every kind of bad file."""

import pickle

import numpy as np
import pytest
from PIL import Image

from segsynth.data import feed, pictures, pipeline, sources, transforms
from segsynth.data.label_sets import CAMVID
from segsynth.data.layouts.camvid import camvid
from segsynth.data.layouts.cityscapes import CITIES, PUBLISHED, cityscapes
from segsynth.errors import UserError

HEIGHT, WIDTH = 6, 12


def _write(path, value, channels=1, height=HEIGHT):
    path.parent.mkdir(parents=True, exist_ok=True)
    dtype = np.int32 if channels == 1 else np.uint8
    pictures.write_png(path, np.full((height, WIDTH, channels), value, dtype))


def _camvid(root):
    """Five frames whose picture, labels and coarse labels all say their number."""
    for i, stem in enumerate(("b_1", "a_2", "a_10", "c", "d")):
        _write(root / f"images/{stem}.png", i, 3)
        _write(root / f"labels/{stem}.png", i)
        _write(root / f"coarse/{stem}.png", 11 if i == 1 else i)
    (root / "train.txt").write_text("b_1\na_10\nc\n")
    (root / "val.txt").write_text("d\na_2\n")
    return root


def _published(root):
    for i, part in enumerate(("train", "train", "val", "test")):
        _write(root / f"{part}/x{i}.png", i, 3)
        _write(root / f"{part}annot/x{i}.png", i)
    (root / "val.txt").write_text("/SegNet/CamVid/val/x2.png /SegNet/CamVid/valannot/x2.png\n")
    return root


NAMES = {
    "train": ("aachen_000000_000019", "zurich_000001_000019"),
    "val": ("munster_000000_000019",),
    "test": ("berlin_000000_000019",),
    "train_extra": ("bayreuth_000000_000019",),
}


def _cityscapes(root):
    for split, names in NAMES.items():
        for i, name in enumerate(names):
            stem = f"{split}/{name.split('_')[0]}/{name}"
            _write(root / f"leftImg8bit/{stem}_leftImg8bit.png", 7 + i, 3)
            if split != "train_extra":
                _write(root / f"gtFine/{stem}_gtFine_labelIds.png", 7 + i)
                _write(root / f"gtFine/{stem}_gtFine_instanceIds.png", (26000 + i, 7)[i])
                _write(root / f"gtFine/{stem}_gtFine_color.png", 7, 3)
                (root / f"gtFine/{stem}_gtFine_polygons.json").touch()
            if split != "test":
                _write(root / f"gtCoarse/{stem}_gtCoarse_labelIds.png", (7, 0)[i])
                _write(root / f"gtCoarse/{stem}_gtCoarse_instanceIds.png", 7)
    return root


def test_camvid_splits_and_pairs(tmp_path):
    root = _camvid(tmp_path)
    assert camvid(root).names == ("b_1", "a_10", "c") and camvid(root, "val").names == ("d", "a_2")
    source = camvid(root, "all")
    assert isinstance(source, sources.Source) and len(source) == 5
    assert source.provides == ("image", "labels", "coarse", "name")
    for example in source:
        assert example["image"].shape == (HEIGHT, WIDTH, 3)
        assert example["labels"].dtype == example["coarse"].dtype == np.uint8
        assert (example["labels"] == example["image"][..., :1]).all()
        assert (example["coarse"] == example["labels"]).all() or (example["coarse"] == 11).all()
    assert [str(e["name"]) for e in source] == ["a_10", "a_2", "b_1", "c", "d"]
    with pytest.raises(IndexError):
        source[5]
    mapped = camvid(root, "val", "train")[1]
    assert (mapped["coarse"] == 255).all() and (mapped["labels"] == 1).all()
    assert len(pickle.loads(pickle.dumps(source))) == 5


def test_camvid_as_published(tmp_path):
    root = _published(tmp_path)
    counts = {split: len(camvid(root, split)) for split in ("train", "val", "test", "all")}
    assert counts == {"train": 2, "val": 1, "test": 1, "all": 4}
    source = camvid(root, "all")
    assert source.provides == ("image", "labels", "name")
    assert all((e["labels"] == e["image"][..., :1]).all() for e in source)


def test_cityscapes_splits_and_pairs(tmp_path, caplog):
    root = _cityscapes(tmp_path)
    for split, names in NAMES.items():
        assert cityscapes(root, split).names == names
    assert "2 pictures in train, and 2975 are published" in caplog.text
    assert cityscapes(root, "test").provides == ("image", "name")
    assert cityscapes(root, "train_extra").provides == ("image", "coarse", "name")
    assert cityscapes(root, keys=("coarse",)).provides == ("image", "coarse", "name")
    source = cityscapes(root)
    assert source.provides == ("image", "labels", "coarse", "instance", "name")
    assert [int(e["labels"].max()) for e in source] == [7, 8]
    assert [int(e["coarse"].max()) for e in source] == [7, 0]
    assert [int(e["instance"].max()) for e in source] == [26000, 0]
    assert source[0]["instance"].dtype == np.int32
    train = cityscapes(root, ids="train")
    assert [int(e["labels"].max()) for e in train] == [0, 1]
    assert [int(e["coarse"].max()) for e in train] == [0, 255]


def test_cities_and_counts_are_the_published_ones():
    assert [len(cities) for cities in CITIES.values()] == [18, 3, 6]
    assert len(set().union(*CITIES.values())) == 27
    assert PUBLISHED["train"] + PUBLISHED["val"] == 3475 and sum(PUBLISHED.values()) == 24998


def _files(make, root):
    make(root)
    return sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*.png")
        if "color" not in path.name and "gtCoarse_instance" not in path.name
    )


def _open(root):
    """Reads every example of every split."""
    if (root / "leftImg8bit").is_dir():
        return [list(cityscapes(root, split)) for split in NAMES]
    return list(camvid(root, "all" if (root / "images").is_dir() else "train"))


def test_each_missing_file_is_named(tmp_path):
    for k, make in enumerate((_camvid, _cityscapes)):
        for i, name in enumerate(_files(make, tmp_path / f"{k}")):
            if name.startswith(("images", "leftImg8bit", "gtFine/test")):
                continue  # without its picture an example is not there at all
            root = make(tmp_path / f"{k}-{i}")
            (root / name).unlink()
            stem = name.split("/")[-1].split(".")[0].split("_gt")[0]
            with pytest.raises(UserError, match=rf"{stem}.*\.png has no partner for") as caught:
                _open(root)
            assert "\n" not in str(caught.value)


def test_a_listed_picture_that_is_missing_is_named(tmp_path):
    (_camvid(tmp_path) / "images/c.png").unlink()
    with pytest.raises(UserError, match=r"train\.txt lists c \(1 such\)"):
        camvid(tmp_path)


def _truncate(path):
    path.write_bytes(path.read_bytes()[:45])  # the header is whole, the pixels are not


def _empty(path):
    path.write_bytes(b"")


def _text(path):
    path.write_text("nothing")


def _taller(path):
    array = np.asarray(Image.open(path))
    Image.fromarray(np.concatenate([array, array[:1]])).save(path)


@pytest.mark.parametrize("damage", [_truncate, _empty, _text, _taller])
def test_each_damaged_file_is_named(tmp_path, damage):
    for k, make in enumerate((_camvid, _published, _cityscapes)):
        for i, name in enumerate(_files(make, tmp_path / f"{k}")):
            if name.startswith(("gtFine/test", "val/", "valannot", "testannot", "test/")):
                continue
            if damage is _taller and name.startswith("leftImg8bit/test"):
                continue  # has no labels to differ from
            root = make(tmp_path / f"{k}-{i}")
            damage(root / name)
            stem = name.split("/")[-1].split("_left")[0].split("_gt")[0]
            with pytest.raises(UserError, match=rf"{stem}") as caught:
                _open(root)
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((HEIGHT, WIDTH), 300, np.uint16), "more than 8 bits a pixel"),
        (np.full((HEIGHT, WIDTH, 3), 3, np.uint8), "colour picture .mode RGB"),
        (np.full((HEIGHT, WIDTH), 34, np.uint8), "holds the label 34 .72 of 72"),
        (np.full((HEIGHT, WIDTH), 255, np.uint8), "holds the label 255"),
    ],
)
def test_labels_of_another_kind_are_named(tmp_path, array, words):
    name = "aachen_000000_000019_gtFine_labelIds.png"
    path = _cityscapes(tmp_path / "city") / "gtFine/train/aachen" / name
    Image.fromarray(array).save(path)
    with pytest.raises(UserError, match=rf"{name} .*{words}") as caught:
        _open(tmp_path / "city")
    assert "\n" not in str(caught.value)
    Image.fromarray(array).save(_camvid(tmp_path / "cam") / "coarse/c.png")
    with pytest.raises(UserError, match=rf"coarse/c\.png .*{words}"):
        _open(tmp_path / "cam")


def test_palette_labels_are_indices(tmp_path):
    picture = Image.fromarray(np.full((HEIGHT, WIDTH), 3, np.uint8)).convert("P")
    picture.putdata([3] * (HEIGHT * WIDTH))
    picture.putpalette(CAMVID.palette().ravel().tolist())
    picture.save(_camvid(tmp_path) / "labels/c.png")
    assert (camvid(tmp_path)[2]["labels"] == 3).all()


def test_wrong_trees_and_options_are_named(tmp_path):
    with pytest.raises(UserError, match=r"no CamVid tree.*images/ nor trainannot/"):
        camvid(tmp_path)
    with pytest.raises(UserError, match=r"leftImg8bit/train is not a folder"):
        cityscapes(tmp_path)
    for layout in (camvid, cityscapes):
        with pytest.raises(UserError, match="no split 'dev'"):
            layout(tmp_path, "dev")
    with pytest.raises(UserError, match=r"ids is 'names', expected 'published' or 'train'"):
        camvid(_camvid(tmp_path), ids="names")
    (tmp_path / "val.txt").unlink()
    with pytest.raises(UserError, match=r"val\.txt does not exist"):
        camvid(tmp_path, "val")


def test_a_city_in_the_wrong_split_is_named(tmp_path):
    stem = "leftImg8bit/val/aachen/aachen_000000_000019_leftImg8bit.png"
    _write(_cityscapes(tmp_path) / stem, 7, 3)
    with pytest.raises(UserError, match=r"aachen.*belongs to the split 'train', not to 'val'"):
        cityscapes(tmp_path, "val")


def test_by_name_and_through_a_pipeline(tmp_path):
    config = {"source": "camvid", "root": str(_camvid(tmp_path / "cam")), "ids": "train"}
    source = sources.build(config, "val")
    assert (source[1]["coarse"] == 255).all()
    with pytest.raises(UserError, match="no folder of camvid is set"):
        sources.build({"source": "camvid", "root": ""}, "val")
    city = {"source": "cityscapes", "root": str(_cityscapes(tmp_path / "city"))}
    assert len(sources.build(city, "train")) == 2
    keys = ("image", "labels", "coarse", "name")
    with pipeline.eval_batches(source, [], batch=2, seed=0, keys=keys) as batches:
        first = next(batches)
    assert first["labels"].shape == (2, HEIGHT, WIDTH, 1) and first["labels"].dtype == np.uint8
    assert first["name"].tolist() == ["d", "a_2"]


def test_the_real_camvid_folder(test_data):
    root = test_data / "street_camvid"
    train, val = camvid(root), camvid(root, "val")
    assert (len(train), len(val), len(camvid(root, "all"))) == (170, 60, 230)
    assert not set(train.names) & set(val.names)
    labels, coarse, right = np.zeros(12, int), np.zeros(12, int), 0
    for example in val:
        assert example["image"].shape == (360, 480, 3)
        known = example["coarse"] < 11
        right += int((example["coarse"] == example["labels"])[known].sum())
        labels += np.bincount(example["labels"].ravel(), minlength=12)
        coarse += np.bincount(example["coarse"].ravel(), minlength=12)
    assert labels.tolist() == [
        *(949825, 2700144, 58392, 2996897, 903078, 1690836, 92270, 319200, 183384),
        *(66571, 230415, 176988),
    ]
    assert coarse[11] == 2929888 and right / coarse[:11].sum() > 0.9999
    # Pictures and labels are aligned: edges of the picture lie where labels change.
    edges = np.mean([_edge_strength(val[i]) for i in range(0, 60, 10)], axis=0)
    assert edges[0] > 1.3 * edges[1:].max()


def _edge_strength(example):
    """Mean brightness step where the labels change, for labels shifted by 0, -8 and 8 columns."""
    grey, labels = example["image"].mean(-1), example["labels"][..., 0]
    step = np.abs(grey[:, 2:] - grey[:, :-2])
    return [
        step[(np.roll(labels, k, 1)[:, 2:] != np.roll(labels, k, 1)[:, :-2])].mean()
        for k in (0, -8, 8)
    ]


class _Reader:
    inputs, targets = ("image", "coarse"), ("labels", "name")


def test_whole_frames_through_a_feed(tmp_path):
    data = {"source": "camvid", "root": str(_camvid(tmp_path)), "ids": "train"}
    settings = {
        "system": {"name": "reader"},
        "data": data | {"resolution": 4, "frame": (HEIGHT, WIDTH), "flip": 0.0},
        "train": {"global_batch": 2},
        "eval": {"batch": 1},
    }
    with feed.evaluation(settings, _Reader(), seed=0) as batches:
        found = list(batches)
    assert [batch["name"].tolist() for batch in found] == [["d"], ["a_2"]]
    np.testing.assert_array_equal(
        found[0]["labels"][0], camvid(tmp_path, "val", "train")[0]["labels"]
    )
    settings["data"]["frame"] = (3, 6)
    with feed.training(settings, _Reader(), seed=0, start_step=0) as batches:
        batch = next(batches)
    assert batch["image"].shape == (2, 3, 6, 3) and batch["coarse"].shape == (2, 3, 6, 1)
    settings["data"]["frame"] = (3,)
    with pytest.raises(UserError, match=r"data.frame is \(3,\), expected \(height, width\)"):
        feed.evaluation(settings, _Reader(), seed=0)


def test_resized_frames_keep_their_labels_aligned():
    rows, columns = np.mgrid[:40, :80].astype(np.uint8)
    image = np.stack([rows, columns, rows], -1)
    example = {"image": image, "labels": columns[..., None] // 10}
    out = transforms.Resize((20, 40))(example, np.random.default_rng(0))
    assert out["image"].shape == (20, 40, 3) and out["labels"].shape == (20, 40, 1)
    np.testing.assert_array_equal(
        out["labels"], np.broadcast_to((np.arange(40) // 5)[None, :, None], (20, 40, 1))
    )
    assert np.abs(out["image"][5:15, 5:35, 1] - (2.0 * np.arange(5, 35) + 0.5)).max() <= 1
    assert transforms.Resize((40, 80))(example, np.random.default_rng(0)) is example
    with pytest.raises(UserError, match="height and width >= 1"):
        transforms.Resize((0, 4))
