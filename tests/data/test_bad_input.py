"""Every layout and the plain folder against every kind of bad file: the right array or one line."""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import struct
import tempfile
import zipfile
import zlib

import numpy as np
import pytest
from bad_trees import TREES, opened, read
from PIL import Image
from small_trees import HEIGHT, WIDTH, build

from segsynth.data.layouts.camvid import camvid
from segsynth.data.layouts.registry import LAYOUTS
from segsynth.errors import UserError

NOBODY = 65_534


def test_every_layout_is_here():
    assert set(TREES) == {"folder", *LAYOUTS}


@contextlib.contextmanager
def _refused(*words):
    with pytest.raises(UserError) as caught:
        yield
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600, message
    assert all(word in message for word in words), (words, message)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Trees without a fault, to copy."""
    root = tmp_path_factory.mktemp("trees")
    return {name: tree.make(root / name) for name, tree in TREES.items()}


@pytest.fixture
def copy(whole, tmp_path):
    """``(name)``: a fresh copy of a tree."""

    def copied(name):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
        return pathlib.Path(shutil.copytree(whole[name], tmp_path / name))

    return copied


@pytest.mark.parametrize("name", TREES)
def test_a_good_tree_is_read(whole, name):
    tree, examples = TREES[name], read(name, whole[name])
    assert len(examples) in (2, 4, 10)
    assert {key for key, _ in tree.pictures.values()} <= set(examples[0])


def _chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _bomb():
    """20,000 x 20,000 px, black: a greyscale PNG of a few bytes, but for its lines' count."""
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(bytes(20_001)) for _ in range(200)) + packer.flush()
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


#: What a file holds instead, and the words of the line.
SPOILT = {
    "zero bytes": (lambda data: b"", "is empty (0 bytes)"),
    "half": (lambda data: data[: len(data) // 2], "is "),
    "text": (lambda data: b"nothing", "is no picture"),
    "bomb": (lambda data: _bomb(), "decompression bombs"),
}


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("name", TREES)
def test_a_spoilt_file_is_named(copy, name, how):
    change, words = SPOILT[how]
    root = copy(name)
    for file in TREES[name].files():
        data = (root / file).read_bytes()
        (root / file).write_bytes(change(data))
        with _refused(file, words):
            read(name, root)
        (root / file).write_bytes(data)


def _stored(array, **options):
    def write(path):
        suffix = ".jpg" if options.get("format") == "JPEG" else ".png"
        other = path.with_name(f"other{suffix}")
        picture = Image.fromarray(array)
        mode = options.get("mode")
        (picture.convert(mode) if mode else picture).save(
            other, **{k: v for k, v in options.items() if k not in ("mode", "format")}
        )
        other.rename(path)  # what is in a file counts, not how it is called

    return write


_CLEAR = np.full((HEIGHT, WIDTH, 4), 10, np.uint8)
_CLEAR[..., 3] = 0
_GREY = np.full((HEIGHT, WIDTH), 5, np.uint8)
_MODES = {
    "16 bits": _stored(np.full((HEIGHT, WIDTH), 1000, np.uint16)),
    "RGBA": _stored(_CLEAR),
    "grey": _stored(_GREY),
    "CMYK": _stored(np.full((HEIGHT, WIDTH, 3), 250, np.uint8), mode="CMYK", format="JPEG"),
}
_DEEP, _COLOUR = "has more than 8 bits", "is a colour picture"
#: Kind -> how it is stored instead -> the value that is read, or the words of the line.
EXPECTED = {
    "photo": {"16 bits": _DEEP, "RGBA": 255, "grey": 5, "CMYK": 250},
    "drawing": {"16 bits": _DEEP, "RGBA": 255, "grey": 5, "CMYK": 250},
    "part": {"16 bits": _DEEP, "RGBA": 0, "grey": 0, "CMYK": 1},
    "labels": {"16 bits": _DEEP, "RGBA": _COLOUR, "grey": 5, "CMYK": _COLOUR},
    "ids": {"16 bits": 1000, "RGBA": _COLOUR, "grey": 5, "CMYK": _COLOUR},
    "depth": {"16 bits": 1000 / 65535, "RGBA": _COLOUR, "grey": 5 / 255, "CMYK": _COLOUR},
}
#: Numbers that are stored -> those that a layout gives, where these differ.
INSTANCES = {
    "cityscapes": {5: 0},  # below 1000 there is no object
    "bsds": {5: 6, 1000: 1001},  # regions count from 1
    "coco_stuff": {5: 6},  # objects count from 0
}


@pytest.mark.parametrize("mode", _MODES)
@pytest.mark.parametrize("name", TREES)
def test_a_file_of_another_mode(copy, name, mode):
    root = copy(name)
    for file, (key, kind) in TREES[name].files().items():
        data = (root / file).read_bytes()
        _MODES[mode](root / file)
        expected = EXPECTED[kind][mode]
        if key == "segmentation" and mode == "16 bits":
            expected = "holds the value 1000"  # classes end at 254
        if isinstance(expected, str):
            with _refused(file, expected):
                read(name, root)
        else:
            _check_value(read(name, root), name, file, key, expected)
        (root / file).write_bytes(data)


def _check_value(examples, name, file, key, expected):
    if key == "parts":
        bit = 1 if "skin" in file else 2
        assert ((examples[0]["parts"] & bit > 0) == expected).all()
        return
    if key == "instance":
        expected = INSTANCES.get(name, {}).get(expected, expected)
    found = [float(e[key].mean()) for e in examples]
    assert any(abs(value - expected) < 1e-5 + 2 * (expected == 250) for value in found), found


#: Label that is stored -> layouts whose table has it; those without a table take any number.
LEGAL = {255: {"coco_stuff", "photo_depth", "face_synthetics"}, 200: set()}


@pytest.mark.parametrize("label", LEGAL)
@pytest.mark.parametrize("name", TREES)
def test_labels_outside_the_table(copy, name, label):
    root = copy(name)
    for file, (key, _) in TREES[name].files().items():
        if key not in ("labels", "coarse"):
            continue
        data = (root / file).read_bytes()
        _stored(np.full((HEIGHT, WIDTH), label, np.uint8))(root / file)
        if name in LEGAL[label]:
            _check_value(read(name, root), name, file, key, label)
        else:
            with _refused(file, f"holds the label {label}"):
                read(name, root)
        (root / file).write_bytes(data)


@pytest.mark.parametrize("name", TREES)
def test_pictures_turned_by_exif(copy, name):
    root = copy(name)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    for file, (key, _) in TREES[name].files().items():
        data = (root / file).read_bytes()
        upright = np.asarray(Image.open(root / file)).copy()
        upright[:, :6] = upright[0, 0] // 2 if key in ("image", "drawing") else upright[0, 0]
        _stored(np.ascontiguousarray(np.rot90(upright)), exif=exif, format="PNG")(root / file)
        examples = read(name, root)  # of one size with its partners
        assert all(e[key].shape[:2] == (HEIGHT, WIDTH) or name == "anime_sketch" for e in examples)
        if key in ("image", "drawing") and name != "anime_sketch":
            found = examples[0][key][..., 0].astype(int)
            assert any((abs(e[key][..., 0] - upright.astype(int)) <= 1).all() for e in examples), (
                found
            )
        (root / file).write_bytes(data)


@pytest.mark.parametrize("name", TREES)
def test_partners_of_another_size(copy, name):
    tree, root = TREES[name], copy(name)
    keys = {key for key, _ in tree.pictures.values()}
    for file in tree.files() if len(keys) > 1 else ():
        data = (root / file).read_bytes()
        array = np.asarray(Image.open(root / file))
        _stored(np.concatenate([array, array[:1]]))(root / file)
        sizes = (file, f"{HEIGHT + 1} x {WIDTH}", f"{HEIGHT} x {WIDTH}")
        with _refused(*sizes):
            opened(name, root)  # the headers tell
        (root / file).write_bytes(data)
        source = opened(name, root)
        _stored(np.concatenate([array, array[:1]]))(root / file)
        if name != "folder":  # whose pictures nobody compares again
            with _refused(*sizes):
                list(source)
        (root / file).write_bytes(data)


@pytest.mark.parametrize("name", TREES)
def test_opened_without_a_scan(copy, name):
    if name == "folder":
        return
    root = copy(name)
    source = opened(name, root)
    for file in TREES[name].files():
        data = (root / file).read_bytes()
        (root / file).write_bytes(b"")
        unscanned = dataclasses.replace(source, scan=False)
        with _refused(file):
            list(unscanned)
        assert all(file in line for line in unscanned.faults()) and unscanned.faults()
        (root / file).write_bytes(data)


@pytest.mark.parametrize("name", TREES)
def test_two_files_of_one_stem(copy, name):
    root = copy(name)
    before = read(name, root)
    for file in TREES[name].files():
        path = root / file
        other = path.with_suffix(".webp")  # sorted behind the others
        _stored(np.full((HEIGHT, WIDTH), 1, np.uint8), format="JPEG")(other)
        try:
            after = read(name, root)
        except UserError as error:
            assert "\n" not in str(error)
            assert str(path) in str(error) and str(other) in str(error)
        else:  # only one of the two has the name that is published
            assert len(after) == len(before)
            for old, new in zip(before, after, strict=True):
                assert all(np.array_equal(old[key], new[key]) for key in old)
        other.unlink()


@pytest.mark.parametrize("name", TREES)
def test_a_zip_instead_of_the_folder(whole, tmp_path, name):
    with zipfile.ZipFile(tmp_path / "tree.zip", "w") as archive:
        for path in whole[name].rglob("*"):
            archive.write(path, path.relative_to(whole[name]))
    with _refused("tree.zip"):
        read(name, tmp_path / "tree.zip")
    with _refused("nowhere"):
        read(name, tmp_path / "nowhere")


@contextlib.contextmanager
def _without_rights(folder):
    """Inside, a folder may not be read, by root neither."""
    mode = folder.stat().st_mode
    folder.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(mode)


@pytest.fixture
def anywhere():
    """A folder that everybody may enter, unlike those of pytest."""
    folder = pathlib.Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", TREES)
def test_a_folder_without_rights(anywhere, name):
    tree = TREES[name]
    root = tree.make(anywhere / "tree")
    read(name, root)
    folders = {root} | {
        p for file in tree.files() for p in (root / file).parents if root in p.parents
    }
    for folder in sorted(folders):
        with _without_rights(folder), _refused(str(folder)):
            read(name, root)


@pytest.mark.parametrize("name", [name for name, tree in TREES.items() if tree.texts])
def test_damaged_lists_and_tables(copy, name):
    root = copy(name)
    for file in TREES[name].texts:
        data = (root / file).read_bytes()
        for spoilt in (b"\xff\xfe\x00\x80", b"\x89PNG\r\n\x1a\n\x80", b"lost\n"):
            (root / file).write_bytes(spoilt)
            with pytest.raises(UserError) as caught:
                read(name, root)
            message = str(caught.value)
            assert "\n" not in message
            assert file in message or (spoilt == b"lost\n" and "lost" in message)
        (root / file).write_bytes(data)


@pytest.mark.parametrize("name", TREES)
def test_a_removed_file_is_named(copy, name, caplog):
    tree, root = TREES[name], copy(name)
    first = pathlib.Path(next(iter(tree.files()))).stem.removesuffix("_leftImg8bit")
    first = "picture 0 of" if name == "ffhq" else first
    for file in (*tree.files(), *tree.texts):
        if file.startswith(tree.silent):
            continue
        data = (root / file).read_bytes()
        (root / file).unlink()
        caplog.clear()
        try:
            read(name, root)
        except UserError as error:
            assert "\n" not in str(error)
            assert first in str(error) or file in str(error)
        else:
            assert any(first in record.getMessage() for record in caplog.records)
        (root / file).write_bytes(data)


def test_labels_without_their_picture_are_reported(copy, tmp_path, caplog):
    root = copy("camvid")
    (root / "images/a.png").unlink()
    assert len(camvid(root, "all")) == 1
    assert "labels/a.png: no picture belongs to it (1 such files of labels)" in caplog.text
    published = tmp_path / "published"
    for old, new in (("images", "train"), ("labels", "trainannot")):
        shutil.copytree(root / old, published / new)
    caplog.clear()
    assert len(camvid(published)) == 1
    assert "trainannot/a.png: no picture belongs to it" in caplog.text


@pytest.mark.parametrize("name", ["cityscapes", "coco_stuff", "celebamask", "face_synthetics"])
def test_a_misspelt_key_is_named(whole, name):
    with _refused("lables"):
        build(name, whole[name], TREES[name].split, keys=("lables",))
