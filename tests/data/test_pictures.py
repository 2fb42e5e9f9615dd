"""Reading and writing picture files, and the line a user gets for each bad one."""

import os
import pathlib
import warnings
from concurrent import futures

import numpy as np
import pytest
from PIL import Image

from segsynth.data import pictures
from segsynth.errors import UserError


def _noise(height=6, width=9, channels=3, seed=0):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def _save(path, array, mode=None, **options):
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


def test_rgb_is_read_exactly(tmp_path):
    array = _noise()
    np.testing.assert_array_equal(pictures.read_image(_save(tmp_path / "a.png", array)), array)


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "png"), ("P", "png"), ("1", "png"), ("RGBA", "png"), ("CMYK", "jpg")]
)
def test_every_mode_becomes_rgb(tmp_path, mode, suffix):
    path = _save(tmp_path / f"a.{suffix}", np.full((5, 7, 3), 255, np.uint8), mode)
    np.testing.assert_allclose(pictures.read_image(path), np.full((5, 7, 3), 255), atol=2)


def test_transparent_becomes_white(tmp_path):
    array = np.zeros((4, 4, 4), np.uint8)
    array[:2, :, 3] = 255
    image = pictures.read_image(_save(tmp_path / "a.png", array))
    assert (image[:2] == 0).all() and (image[2:] == 255).all()


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_exif_rotation_is_applied(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    array = np.zeros((32, 64, 3), np.uint8)
    array[:, :32] = 255
    path = _save(tmp_path / f"a.{suffix}", array, exif=exif, quality=95)
    image = pictures.read_image(path)
    assert image.shape == (64, 32, 3) and pictures.picture_size(path) == (64, 32)
    assert image[:24].mean() > 250 and image[40:].mean() < 5


def test_16_bit_is_refused_by_name(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((4, 4), 1000, np.uint16)).save(path)
    for read in (pictures.read_image, pictures.read_mask):
        with pytest.raises(UserError, match=r"deep\.png has more than 8 bits"):
            read(path)


def test_16_bit_rgb_is_refused_too(tmp_path):
    # Pillow cannot write one and would read it as 8 bits, so the file is made by hand.
    import struct
    import zlib

    def chunk(kind, body):
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    body = zlib.compress(b"\0" + b"\1\2" * 3)
    path = tmp_path / "deep.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )
    with pytest.raises(UserError, match=r"deep\.png has more than 8 bits"):
        pictures.read_image(path)


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA"])
def test_masks_of_all_modes_and_both_polarities(tmp_path, mode):
    hole = np.zeros((8, 8), np.uint8)
    hole[2:5, 3:7] = 1
    path = _save(tmp_path / "m.png", hole * 255, mode)
    np.testing.assert_array_equal(pictures.read_mask(path)[..., 0], hole)
    np.testing.assert_array_equal(pictures.read_mask(path, "black-hole")[..., 0], 1 - hole)


def test_mask_threshold(tmp_path):
    path = _save(tmp_path / "m.png", np.array([[127, 128]], np.uint8))
    assert pictures.read_mask(path)[0, :, 0].tolist() == [0, 1]


def test_mask_of_zeros_and_ones_is_refused(tmp_path):
    path = _save(tmp_path / "m.png", np.array([[0, 1]], np.uint8))
    with pytest.raises(UserError, match=r"m\.png holds the values 0 and 1.*Multiply"):
        pictures.read_mask(path)


def test_unknown_polarity(tmp_path):
    path = _save(tmp_path / "m.png", np.array([[0, 255]], np.uint8))
    with pytest.raises(UserError, match="polarity 'white', expected 'white-hole'"):
        pictures.read_mask(path, "white")


def test_published_masks_agree_with_their_readme(test_data):
    pairs = test_data / "inpaint_pairs"
    white = pictures.list_pictures(pairs / "edge_connect" / "places2" / "masks")[0]
    black = pictures.list_pictures(pairs / "mat" / "Places" / "masks")[0]
    image = pictures.read_image(white.parent.parent / "images" / white.name)
    hole = pictures.read_mask(white)[..., 0] == 1
    assert 0.02 < hole.mean() < 0.7 and image[hole].mean() > 245  # painted white under the hole
    assert 0.02 < pictures.read_mask(black, "black-hole").mean() < 0.98


@pytest.mark.parametrize("top", [1, 200, 60000])
def test_labels_survive_a_round_trip(tmp_path, top):
    labels = np.random.default_rng(0).integers(0, top + 1, (7, 5, 1), dtype=np.int32)
    pictures.write_png(tmp_path / "l.png", labels)
    np.testing.assert_array_equal(pictures.read_labels(tmp_path / "l.png"), labels)


def test_palette_and_1_bit_labels_are_indices(tmp_path):
    indices = np.array([[0, 3], [2, 1]], np.uint8)
    picture = Image.fromarray(indices).convert("P")
    picture.putdata(indices.ravel().tolist())
    picture.putpalette([9, 9, 9, 80, 0, 0, 0, 70, 0, 0, 0, 60])
    picture.save(tmp_path / "p.png")
    np.testing.assert_array_equal(pictures.read_labels(tmp_path / "p.png")[..., 0], indices)
    _save(tmp_path / "b.png", np.array([[0, 255]], np.uint8), "1")
    assert pictures.read_labels(tmp_path / "b.png")[0, :, 0].tolist() == [0, 1]


def test_coloured_labels_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"c\.png is a colour picture.*greyscale or palette"):
        pictures.read_labels(_save(tmp_path / "c.png", _noise()))


def test_picture_size_reads_no_pixels(tmp_path):
    path = _save(tmp_path / "a.jpg", _noise(300, 400))
    path.write_bytes(path.read_bytes()[:1000])
    assert pictures.picture_size(path) == (300, 400)


def _text(path):
    path.write_text("not a picture")


def _truncated(path):
    jpeg = path.with_name("whole.jpg")
    _save(jpeg, _noise(64, 64, channels=1))
    path.write_bytes(jpeg.read_bytes()[:2000])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "does not exist"),
        (pathlib.Path.touch, r"is empty \(0 bytes\)"),
        (pathlib.Path.mkdir, "is a folder"),
        (_text, "is no picture whatever its name says"),
        (_truncated, "is truncated or damaged"),
    ],
)
def test_bad_files_are_named(tmp_path, make, words):
    path = tmp_path / "bad.png"
    make(path)
    for read in (pictures.read_image, pictures.read_mask, pictures.read_labels):
        with pytest.raises(UserError, match=rf"bad\.png {words}") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_damaged_png_is_named(tmp_path):
    path = _save(tmp_path / "bad.png", _noise(64, 64))
    data = bytearray(path.read_bytes())
    data[200:260] = b"\0" * 60
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"bad\.png is truncated or damaged"):
        pictures.read_image(path)


@pytest.mark.parametrize(
    "limit", [60, 20]
)  # Pillow warns above its limit and raises above twice that
def test_decompression_bombs_are_named(tmp_path, monkeypatch, limit):
    path = _save(tmp_path / "bomb.png", _noise(10, 10))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    for read in (pictures.read_image, pictures.picture_size):
        with pytest.raises(UserError, match=rf"bomb\.png has more than {limit} pixels"):
            read(path)


def test_threads_leave_the_warning_filters_alone(tmp_path):
    path = _save(tmp_path / "a.jpg", _noise(32, 32))
    before = list(warnings.filters)
    with futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(pictures.read_image, [path] * 200))
    assert list(warnings.filters) == before


def test_list_pictures(tmp_path):
    for name in ("b/2.PNG", "b/1.jpg", "a.webp", "notes.txt", "._a.jpg", ".cache/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in pictures.list_pictures(tmp_path)]
    assert found == ["a.webp", "b/1.jpg", "b/2.PNG"]
    with pytest.raises(UserError, match="nowhere is not a folder"):
        pictures.list_pictures(tmp_path / "nowhere")


def test_write_is_atomic_and_leaves_nothing_behind(tmp_path, monkeypatch):
    path, array = tmp_path / "a.png", _noise()
    pictures.write_png(path, array)

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        pictures.write_png(path, 255 - array)
    np.testing.assert_array_equal(pictures.read_image(path), array)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_unwritable_arrays_and_places_are_named(tmp_path):
    with pytest.raises(UserError, match=r"uint8\[2, 2, 5\] as PNG"):
        pictures.write_png(tmp_path / "a.png", np.zeros((2, 2, 5), np.uint8))
    with pytest.raises(UserError, match=r"Cannot write int32"):
        pictures.write_png(tmp_path / "a.png", np.full((2, 2, 1), -1, np.int32))
    with pytest.raises(UserError, match="no folder"):
        pictures.write_png(tmp_path / "none" / "a.png", _noise())
    # Without the checks of types that tests have: a file would hold 0 and 1.
    with pytest.raises(UserError, match=r"Cannot write float32"):
        pictures._storable(np.full((2, 2, 1), 0.5, np.float32))


@pytest.mark.parametrize("top", [1.0, 0.002])  # the second one would fit into 8 bits
def test_depth_survives_a_round_trip(tmp_path, top):
    depth = np.linspace(0, top, 54, dtype=np.float32).reshape(6, 9, 1)
    pictures.write_depth(tmp_path / "a.png", depth)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == "I;16"
    np.testing.assert_allclose(pictures.read_depth(tmp_path / "a.png"), depth, atol=0.51 / 65535)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("wrong", [np.nan, -0.1, 1.1])
def test_what_is_no_depth_is_not_written(tmp_path, wrong):
    depth = np.full((2, 3, 1), 0.5, np.float32)
    depth[1, 1] = wrong
    with pytest.raises(UserError, match=r"a\.png: float32\[2, 3, 1\] is no depth map of \[0, 1\]"):
        pictures.write_depth(tmp_path / "a.png", depth)
    with pytest.raises(UserError, match="no folder"):
        pictures.write_depth(tmp_path / "none/a.png", depth[:1])
    assert not list(tmp_path.iterdir())
