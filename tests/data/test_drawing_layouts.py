"""Sources of drawings: trees of a few pixels, every kind of bad file."""

import pickle

import numpy as np
import pytest
from PIL import Image
from small_trees import (
    DAMAGES,
    HEIGHT,
    STEP,
    WIDTH,
    build,
    check_damaged,
    check_missing,
    number,
    photo,
    save,
    write,
)

from segsynth.data import modalities
from segsynth.data.layouts import anime_sketch, contour_drawing
from segsynth.errors import UserError


def _contours(root):
    """Photograph i has drawings that say i in their brightness, and k and the width in a pixel."""
    lists = {"train": ("b", "a"), "val": ("c",), "test": ("d",)}
    (root / "list").mkdir(parents=True)
    for split, ids in lists.items():
        (root / f"list/{split}.txt").write_text("".join(f"{i}\n" for i in ids))
        for name in ids:
            which = "abcd".index(name) + 1
            photo(root / f"image/{name}.jpg", which)
            for width in (1, 5):
                for k in range(1, 6):
                    array = np.full((HEIGHT, WIDTH), which * STEP, np.uint8)
                    array[0, 0] = 10 * width + k
                    save(root / f"sketch-rendered/width-{width}/{name}_{k:02}.png", array)
    return root


def _anime(root, folder="data/"):
    for split, numbers in (("train", (1, 2, 10)), ("val", (3,))):
        for i in numbers:
            array = np.full((HEIGHT, 2 * HEIGHT, 3), i * STEP, np.uint8)
            array[:, :HEIGHT] = (250, 120, 60)
            save(root / f"{folder}{split}/{i}.png", array)
    return root


def _bsds(root):
    for i, name in enumerate(("135", "22", "8"), 1):
        photo(root / f"images/{name}.jpg", i)
        for k in range(3):
            ink = np.ones((HEIGHT, WIDTH), bool)
            ink[: i + k] = False  # i + k rows of ink
            save(root / f"contours/{name}_{k}.png", ink)
            if k < 2:
                write(
                    root / f"segments/{name}_{k}.png", (i, 300)[k], dtype=(np.uint8, np.uint16)[k]
                )
    (root / "train.txt").write_text("8\n135\n")
    (root / "val.txt").write_text("22\n")
    return root


def _plain(root):
    for i in range(1, 6):
        write(root / f"{'more/' if i > 3 else ''}{i}.png", i * STEP)
    (root / "val.txt").write_text("4\n")
    return root


def test_contour_drawings(tmp_path, caplog):
    root = _contours(tmp_path)
    source = build("contour_drawing", root, "train")
    assert source.provides == ("drawing", "name")
    assert source.names == tuple(f"{i}_{k:02}" for i in "ba" for k in range(1, 6))
    assert [number(e, "drawing") for e in source] == [2] * 5 + [1] * 5
    assert [int(e["drawing"][0, 0, 0]) for e in source] == [51, 52, 53, 54, 55] * 2
    assert source[0]["drawing"].dtype == np.uint8
    assert source[0]["drawing"].shape == (HEIGHT, WIDTH, modalities.get("drawing").channels)
    thin = build("contour_drawing", root, "val", width=1)
    assert [int(e["drawing"][0, 0, 0]) for e in thin] == [11, 12, 13, 14, 15]
    paired = build("contour_drawing", root, "all", paired=True)
    assert paired.provides == ("image", "drawing", "name") and len(paired) == 20
    assert all(number(e) == number(e, "drawing") for e in paired)
    assert len(pickle.loads(pickle.dumps(paired))) == 20
    assert "2 pictures in train, and 800 are published" in caplog.text
    assert dict(contour_drawing.PUBLISHED) == {"train": 800, "val": 100, "test": 100}


def test_what_contour_drawings_refuse(tmp_path):
    root = _contours(tmp_path)
    with pytest.raises(UserError, match="width is 2, expected one of 1, 3, 5"):
        build("contour_drawing", root, "train", width=2)
    with pytest.raises(UserError, match="width-3 is not a folder"):
        build("contour_drawing", root, "train", width=3)
    (root / "list/val.txt").write_text("c\nc\n")
    with pytest.raises(UserError, match=r"list/val\.txt lists c twice"):
        build("contour_drawing", root, "val")
    (root / "list/val.txt").write_text("\n")
    with pytest.raises(UserError, match=r"list/val\.txt is empty"):
        build("contour_drawing", root, "all")
    (root / "list/train.txt").unlink()
    with pytest.raises(UserError, match=r"list/train\.txt does not exist"):
        build("contour_drawing", root, "train")


def test_anime_sketches(tmp_path, caplog):
    for root in (_anime(tmp_path / "a"), _anime(tmp_path / "b", "")):
        source = build("anime_sketch", root, "train")
        assert source.provides == ("drawing", "name") and source.names == ("1", "10", "2")
        assert [number(e, "drawing") for e in source] == [1, 10, 2]
        assert all(e["drawing"].shape == (HEIGHT, HEIGHT, 1) for e in source)
        assert len(build("anime_sketch", root, "val")) == 1
    assert len(pickle.loads(pickle.dumps(source))) == 3
    assert "3 pictures in train, and 14224 are published" in caplog.text
    assert dict(anime_sketch.PUBLISHED) == {"train": 14_224, "val": 3_545}
    with pytest.raises(
        UserError, match=r"val/3\.png has colours in its left half .*saturation 0\.7"
    ):
        list(build("anime_sketch", root, "val", half="left"))
    array = np.asarray(Image.open(root / "val/3.png"))
    Image.fromarray(array[:, ::-1]).save(root / "val/3.png")
    with pytest.raises(UserError, match=r"val/3\.png has colours in its right half"):
        list(build("anime_sketch", root, "val"))
    assert number(build("anime_sketch", root, "val", half="left")[0], "drawing") == 3
    with pytest.raises(UserError, match="half is 'whole', expected 'left' or 'right'"):
        build("anime_sketch", root, "val", half="whole")


@pytest.mark.parametrize(("tint", "allowed"), [(4, True), (6, False)])
def test_how_much_colour_a_sketch_may_have(tmp_path, tint, allowed):
    root = _anime(tmp_path)
    array = np.full((HEIGHT, 2 * HEIGHT, 3), 250, np.uint8)
    array[..., 2] -= tint  # saturation tint / 250
    Image.fromarray(array).save(root / "data/val/3.png")
    source = build("anime_sketch", root, "val")
    if allowed:
        assert source[0]["drawing"].shape == (HEIGHT, HEIGHT, 1)
    else:
        with pytest.raises(UserError, match=r"mean saturation 0\.024\), expected a sketch"):
            source[0]


def test_contours_of_bsds(tmp_path):
    root = _bsds(tmp_path)
    source = build("bsds", root, "train")
    assert source.names == tuple(f"{i}_{k}" for i in (8, 135) for k in range(3))
    assert source.provides == ("drawing", "name")
    rows = [int((e["drawing"] == 0).sum()) // WIDTH for e in source]
    assert rows == [3, 4, 5, 1, 2, 3] and set(np.unique(source[0]["drawing"])) == {0, 255}
    paired = build("bsds", root, "all", paired=True, segments=True)
    assert paired.provides == ("image", "drawing", "instance", "name") and len(paired) == 6
    assert paired.names == ("8_0", "8_1", "135_0", "135_1", "22_0", "22_1")
    assert [number(e) for e in paired] == [3, 3, 1, 1, 2, 2]
    assert [int(e["instance"].max()) for e in paired] == [4, 301, 2, 301, 3, 301]
    assert paired[0]["instance"].dtype == np.int32
    assert len(pickle.loads(pickle.dumps(build("bsds", root, "val")))) == 3
    with pytest.raises(UserError, match=r"test\.txt does not exist"):
        build("bsds", root, "test")
    (root / "train.txt").write_text("9\n")
    with pytest.raises(UserError, match=r"contours/9_0\.png does not exist.*\(3 such files.\)"):
        build("bsds", root, "train")
    for name in ("train.txt", "val.txt"):
        (root / name).unlink()
    with pytest.raises(UserError, match=r"no train\.txt, val\.txt or test\.txt"):
        build("bsds", root, "all")


def test_a_pen_widens_the_contours_of_bsds(tmp_path):
    root = _bsds(tmp_path)
    for i in (8, 135):
        page = np.full((HEIGHT, WIDTH), 255, np.uint8)
        page[5, 7] = page[0, 0] = 0
        for k in range(3):
            Image.fromarray(page).save(root / "contours" / f"{i}_{k}.png")
    expected = np.full((HEIGHT, WIDTH), 255, np.uint8)
    expected[4:7, 6:9] = expected[:2, :2] = 0
    np.testing.assert_array_equal(
        build("bsds", root, "train", pen=3)[0]["drawing"][..., 0], expected
    )
    thin = build("bsds", root, "train")[0]["drawing"]
    np.testing.assert_array_equal(build("bsds", root, "train", pen=1)[0]["drawing"], thin)
    with pytest.raises(UserError, match="pen is 0, expected a width"):
        build("bsds", root, "train", pen=0)


def test_a_plain_folder_of_drawings(tmp_path):
    root = _plain(tmp_path)
    source = build("drawings", root, "all")
    assert source.provides == ("drawing", "name") and source.names == ("1", "2", "3", "4", "5")
    assert [number(e, "drawing") for e in source] == [1, 2, 3, 4, 5]
    assert build("drawings", root, "train").names == ("1", "2", "3", "5")
    assert build("drawings", root, "val").names == ("4",)
    (root / "val.txt").unlink()
    parts = [build("drawings", root, s, val_share=0.5).names for s in ("train", "val")]
    assert all(parts) and sorted(parts[0] + parts[1]) == list("12345")
    ink = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    ink[:2, :, 3] = 255  # black on nothing
    Image.fromarray(ink).save(root / "1.png")
    drawing = build("drawings", root, "all")[0]["drawing"]
    assert (drawing[:2] == 0).all() and (drawing[2:] == 255).all()
    ink[:2, :, 0] = 200  # red on nothing
    Image.fromarray(ink).save(root / "1.png")
    coloured = build("drawings", root, "all", colour=True)
    assert coloured.provides == ("colour_drawing", "name")
    drawing = coloured[0]["colour_drawing"]
    assert (drawing[:2] == (200, 0, 0)).all() and (drawing[2:] == 255).all()
    write(root / "more/1.png", 0)
    with pytest.raises(UserError, match=r"1\.png have one stem"):
        build("drawings", root, "all")


#: Source -> the tree, its splits, options, pictures that have no partner.
TREES = {
    "contour_drawing": (_contours, ("train", "val", "test"), {"paired": True}, ("none",)),
    "anime_sketch": (_anime, ("train", "val"), {}, ("none",)),
    "bsds": (_bsds, ("train", "val"), {"paired": True, "segments": True}, ("none",)),
    "drawings": (_plain, ("all",), {}, ("more", "1", "2", "3")),
}
#: Files that the options above do not ask for.
UNREAD = ("sketch-rendered/width-1", *(f"contours/{i}_2" for i in (135, 22, 8)))


def _opened(name):
    _, splits, options, _ = TREES[name]
    return lambda root: [list(build(name, root, split, **options)) for split in splits]


@pytest.mark.parametrize("name", ["contour_drawing", "bsds"])
def test_each_missing_file_is_named(tmp_path, name, caplog):
    check_missing(TREES[name][0], _opened(name), tmp_path, caplog, first="none", unread=UNREAD)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", TREES)
def test_each_damaged_file_is_named(tmp_path, name, damage):
    make, _, _, alone = TREES[name]
    check_damaged(make, _opened(name), tmp_path, damage, alone=alone, unread=UNREAD)


@pytest.mark.parametrize(
    ("name", "split", "words"),
    [
        ("contour_drawing", "train", r"sketch-rendered/width-5 is not a folder"),
        ("contour_drawing", "dev", "no split 'dev', expected one of train, val, test, all"),
        ("anime_sketch", "val", "val is not a folder"),
        ("anime_sketch", "all", "no split 'all', expected one of train, val"),
        ("bsds", "train", "contours is not a folder"),
        ("bsds", "dev", "no split 'dev'"),
        ("drawings", "all", r"holds no drawings, expected \*\.jpg"),
        ("drawings", "test", "no split 'test', expected one of train, val, all"),
    ],
)
def test_wrong_trees_and_splits_are_named(tmp_path, name, split, words):
    with pytest.raises(UserError, match=words) as caught:
        build(name, tmp_path, split)
    assert "\n" not in str(caught.value)


def test_the_real_contours_of_bsds(test_data):
    root = test_data / "photos_bsds"
    for split, count, ink, pixels in (
        ("train", 300, 788715, 46320300),
        ("val", 120, 326350, 18528120),
    ):
        source = build("bsds", root, split, paired=True)
        assert len(source) == count == 3 * len({name[:-2] for name in source.names})
        drawings = [source.readers["drawing"].read(p) for p in source.files["drawing"].values()]
        assert sum(int((d == 0).sum()) for d in drawings) == ink
        assert sum(d.size for d in drawings) == pixels and 0.017 < ink / pixels < 0.018
    assert len(build("bsds", root, "all")) == 420
    # A person's contours lie on the borders of the same person's regions.
    source = build("bsds", root, "val", paired=True, segments=True)
    example, other = source[0], source[1]
    assert example["image"].shape[:2] == example["drawing"].shape[:2]
    assert _on_borders(example, example) > 0.8 > 0.7 > _on_borders(example, other)


def _on_borders(drawn, segmented):
    """Share of the ink of one example that lies on or beside a border of another's regions."""
    regions, ink = segmented["instance"][..., 0], drawn["drawing"][..., 0] == 0
    border = np.zeros(ink.shape, bool)
    border[:, :-1] |= regions[:, 1:] != regions[:, :-1]
    border[:-1] |= regions[1:] != regions[:-1]
    near = border.copy()
    near[:, 1:] |= border[:, :-1]
    near[1:] |= border[:-1]
    return (ink & near).sum() / ink.sum()


def test_the_real_clean_drawings(test_data):
    source = build("drawings", test_data / "drawings_misc/clean_line", "all")
    assert len(source) == 11 and source.names[0] == "banana_tree"
    assert all(0.9 < e["drawing"].mean() / 255 < 1 for e in source)  # mostly paper
    (example,) = build(
        "drawings", test_data / "drawings_misc/informative_drawings/train/drawings", "all"
    )
    assert example["drawing"].shape == (350, 464, 1) and example["drawing"].min() == 0
