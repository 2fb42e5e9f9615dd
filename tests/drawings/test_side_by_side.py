"""Differences in red and blue, and a photograph with its drawings in a row."""

import numpy as np
import pytest

from segsynth.data import pictures
from segsynth.data.captions import caption
from segsynth.drawings import side_by_side
from segsynth.errors import UserError


def page(*ink, grey=0):
    drawing = np.full((4, 6, 1), 255, np.uint8)
    for place in ink:
        drawing[place] = grey
    return drawing


def test_added_is_red_and_removed_is_blue():
    found = side_by_side.diff_map(page((0, 0), (1, 1)), page((0, 0), (2, 2)))
    assert found[2, 2].tolist() == [255, 0, 0]
    assert found[1, 1].tolist() == [0, 0, 255]
    assert found[0, 0].tolist() == [170, 170, 170]
    assert found[3, 3].tolist() == [255, 255, 255]


def test_a_weaker_difference_is_paler():
    found = side_by_side.diff_map(page(), page((2, 2), grey=155))
    assert found[2, 2].tolist() == [255, 155, 155]


def test_folders_are_compared_picture_by_picture(tmp_path):
    for folder, drawing in (("base", page((1, 1))), ("ours", page((2, 2)))):
        (tmp_path / folder / "x").mkdir(parents=True)
        pictures.write_png(tmp_path / folder / "x/a.png", drawing)
    (written,) = side_by_side.diff_maps(*(tmp_path / n for n in ("base", "ours", "out")))
    expected = side_by_side.diff_map(page((1, 1)), page((2, 2)))
    assert written == tmp_path / "out/x/a.png"
    np.testing.assert_array_equal(pictures.read_image(written), expected)


def test_drawings_of_two_sizes_are_named(tmp_path):
    for folder, drawing in (("base", page()), ("ours", page()[:3])):
        (tmp_path / folder).mkdir()
        pictures.write_png(tmp_path / folder / "a.png", drawing)
    with pytest.raises(UserError, match=r"base/a\.png with .*ours/a\.png.*6x4 and 6x3 px"):
        side_by_side.diff_maps(*(tmp_path / n for n in ("base", "ours", "out")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no pictures"):
        side_by_side.diff_maps(tmp_path / "base", tmp_path / "empty", tmp_path / "out")


def test_a_strip_keeps_the_order_of_its_steps():
    drawings = {f"step {i}": np.full((120, 100, 1), i, np.uint8) for i in (7, 90, 100)}
    strip = side_by_side.epoch_strip(np.full((120, 100, 3), 50, np.uint8), drawings)
    top = caption("photo", 100).shape[0]
    assert strip.shape == (top + 120 + 4, 4 * 100 + 3 * 4, 3)
    assert strip[top + 60, 50::104, 0].tolist() == [50, 7, 90, 100]
    np.testing.assert_array_equal(strip[:top, 104:204], caption("step 7", 100))
