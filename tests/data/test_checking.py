"""A check names every fault of a tree, whatever else is wrong with it, and says what is there."""

import numpy as np
import pytest

from segsynth.data import checking, pictures
from segsynth.data.folder import Folder
from segsynth.data.layouts import joined
from segsynth.data.layouts.camvid import camvid
from segsynth.data.layouts.cityscapes import cityscapes
from segsynth.data.layouts.joined import Joined
from segsynth.data.layouts.readers import Photo, Row
from segsynth.errors import UserError

NAMES = tuple("abcdefghij")


def _write(path, value, channels=1, height=6):
    path.parent.mkdir(parents=True, exist_ok=True)
    dtype = np.int32 if channels == 1 else np.uint8
    pictures.write_png(path, np.full((height, 8, channels), value, dtype))


def _tree(root):
    for i, name in enumerate(NAMES):
        _write(root / f"images/{name}.png", i, 3)
        _write(root / f"labels/{name}.png", i % 3)
        _write(root / f"coarse/{name}.png", 11 if i else 5)
    (root / "train.txt").write_text("\n".join(NAMES))
    return root


def _check(root, **options):
    with joined.unchecked():
        source = camvid(root, **options)
    return checking.check(source, "train", jobs=3)


def test_a_sound_tree_is_described(tmp_path):
    root = _tree(tmp_path)
    _write(root / "images/c.png", 0, 3, height=9)
    for folder in ("labels", "coarse"):
        _write(root / folder / "c.png", 7, height=9)
    report = _check(root)
    assert report.faults == [] and report.examples == 10
    assert report.sizes == {(6, 8): 9, (9, 8): 1}
    assert report.labels == {"labels": {0, 1, 2, 7}, "coarse": {5, 7, 11}}
    assert report.lines() == [
        "train: 10 examples, 0 faults",
        "  size: 6 x 8 to 9 x 8, 2 different",
        "  image: 10 PNG RGB",
        "  labels: 10 PNG L",
        "  coarse: 10 PNG L",
        "  ids in labels: 0..2, 7",
        "  ids in coarse: 5, 7, 11",
    ]


#: What is done to a file, and what its line says.
DAMAGE = {
    "images/a.png": (lambda path: path.write_bytes(b""), "is empty (0 bytes)"),
    "labels/b.png": (lambda path: path.unlink(), "has no partner for 'labels'"),
    "coarse/b.png": (lambda path: path.write_text("text"), "is no picture whatever"),
    "labels/c.png": (lambda path: path.write_bytes(path.read_bytes()[:45]), "truncated or dam"),
    "coarse/d.png": (lambda path: _write(path, 34), "holds the label 34"),
    "labels/e.png": (lambda path: _write(path, 1, height=7), "is 7 x 8, but its picture"),
    "labels/f.png": (lambda path: _write(path, 0, 3), "is a colour picture"),
    "labels/g.png": (lambda path: _write(path, 300), "has more than 8 bits a pixel"),
}


def _damaged(root):
    for name, (damage, _) in DAMAGE.items():
        damage(root / name)
    return root


def test_every_fault_has_a_line(tmp_path):
    report = _check(_damaged(_tree(tmp_path)))
    assert report.examples == 10
    for name, (_, words) in DAMAGE.items():
        where = tmp_path / (name if "partner" not in words else "images/b.png")
        lines = [line for line in report.faults if line.startswith(str(where)) and words in line]
        assert len(lines) == 1, (name, report.faults)
        assert "\n" not in lines[0]
    assert len(report.faults) == len(DAMAGE)


def test_opening_still_refuses_the_first_fault(tmp_path):
    _damaged(_tree(tmp_path))
    with pytest.raises(UserError, match=r"a.png is empty.* \(5 such files"):
        camvid(tmp_path)
    with joined.unchecked():
        camvid(tmp_path)
    with pytest.raises(UserError, match="is empty"):
        camvid(tmp_path)


def test_each_example_counts_once(tmp_path):
    calls = []
    with joined.unchecked():
        source = camvid(_tree(tmp_path))
    checking.check(source, "train", jobs=2, advance=lambda: calls.append(1))
    assert len(calls) == 10


def test_values_outside_a_modality_are_faults(tmp_path):
    _write(tmp_path / "x.png", 3, 3)
    source = Joined(
        {"image": {"x": tmp_path / "x.png"}, "attributes": {"x": [1, 2]}, "subject": {"x": [1]}},
        {"image": Photo(), "attributes": Row(), "subject": Row()},
    )
    faults = checking.check(source, "train").faults
    assert len(faults) == 2
    assert faults[0].startswith("'attributes' of x: attributes holds the value 2")
    assert faults[1].startswith("'subject' of x: Batch key 'subject' is int32[1, 1]")


def test_files_of_no_example_are_noted(tmp_path):
    root = _tree(tmp_path)
    (root / "train.txt").write_text("\n".join(NAMES[:6]))
    (root / "val.txt").write_text("\n".join(NAMES[6:]))
    _write(root / "coarse/stray.png", 1)
    both = {split: camvid(root, split) for split in ("train", "val")}
    assert checking.strays(both) == [
        f"1 coarse belong to no example of train, val, as {root}/coarse/stray.png"
    ]
    lines = checking.strays({"train": both["train"]})
    assert [line.split(",")[0] for line in lines] == [
        "4 labels belong to no example of train",
        "5 coarse belong to no example of train",
    ]


def test_splits_of_cityscapes_differ(tmp_path):
    _write(tmp_path / "leftImg8bit/test/berlin/berlin_000000_000019_leftImg8bit.png", 3, 3)
    report = checking.check(cityscapes(tmp_path, "test"), "test")
    assert report.lines() == [
        "test: 1 examples, 0 faults",
        "  size: 6 x 8",
        "  image: 1 PNG RGB",
    ]


def test_any_source_is_read(tmp_path):
    for i in range(4):
        _write(tmp_path / f"images/{i}.png", i, 3)
        _write(tmp_path / f"segmentation/{i}.png", 255 if i == 2 else i)
    path = tmp_path / "images/1.png"
    whole = pictures.picture_size(path)
    path.write_bytes(path.read_bytes()[:45])
    report = checking.check(Folder(tmp_path, "all"), "all", jobs=2)
    assert report.examples == 4 and report.sizes == {whole: 2}
    assert len(report.faults) == 2
    assert report.faults[0].startswith(f"{path} is truncated")
    assert f"{tmp_path / 'segmentation/2.png'} holds the value 255" in report.faults[1]


@pytest.mark.parametrize(("ids", "text"), [({3}, "3"), ({0, 1, 2, 9, 11, 12}, "0..2, 9, 11..12")])
def test_ranges_of_numbers(ids, text):
    assert checking._ranges(ids) == text
