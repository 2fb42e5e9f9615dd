"""Labelled grids: sizes, colours, captions."""

import numpy as np
import pytest

from segsynth.data.captions import caption
from segsynth.engine import images


def _pictures(n, side, channels=3, dtype=np.uint8, value=0):
    return np.full((n, side, side, channels), value, dtype)


def test_a_grid_has_a_column_a_picture_and_a_row_an_example():
    height = caption("x", 128).shape[0]
    grid = images.grid({"masked": _pictures(3, 128), "image": _pictures(3, 128)})
    assert grid.dtype == np.uint8
    assert grid.shape == (height + 3 * (128 + 4), 2 * 128 + 4, 3)


def test_small_columns_are_enlarged_to_one_width():
    height = caption("x", images.MIN_COLUMN).shape[0]
    columns = {"level1": _pictures(1, 8, value=10), "image": _pictures(1, 16, value=200)}
    grid = images.grid(columns)
    assert grid.shape == (height + images.MIN_COLUMN + 4, 2 * images.MIN_COLUMN + 4, 3)
    cells = grid[height : height + images.MIN_COLUMN]
    assert (cells[:, : images.MIN_COLUMN] == 10).all()
    assert (cells[:, images.MIN_COLUMN + 4 :] == 200).all()


def test_enlarging_repeats_pixels():
    picture = np.zeros((1, 2, 2, 3), np.uint8)
    picture[0, 0, 1] = picture[0, 1, 0] = 255
    grid = images.grid({"x": picture})
    cell = grid[-images.MIN_COLUMN - 4 : -4]
    half = images.MIN_COLUMN // 2
    assert (cell[:half, half:] == 255).all() and (cell[:half, :half] == 0).all()


def test_a_drawing_keeps_its_greys():
    levels = np.arange(96, dtype=np.uint8).reshape(1, 1, 96, 1).repeat(96, axis=1)
    drawing, mask = (images.grid({name: levels})[-96 - 4 : -4] for name in ("drawing", "mask"))
    np.testing.assert_array_equal(drawing[0, :, 0], np.arange(96))
    assert set(np.unique(mask)) == {0, 255}


def test_captions_name_the_columns():
    lines = caption("truth", 128).shape[0]
    grid = images.grid({"truth": _pictures(1, 128), "hole_mask": _pictures(1, 128)})
    np.testing.assert_array_equal(grid[:lines, :128], caption("truth", 128))
    np.testing.assert_array_equal(grid[:lines, -128:], caption("hole mask", 128))
    assert (grid[:lines, :128] != grid[:lines, -128:]).any()


def test_the_palette_is_that_of_pascal_voc():
    colours = images.palette()
    assert colours.shape == (256, 3) and len(np.unique(colours, axis=0)) == 256
    assert colours[[0, 1, 2, 3, 15, 20]].tolist() == [
        [0, 0, 0],
        [128, 0, 0],
        [0, 128, 0],
        [128, 128, 0],
        [192, 128, 128],
        [0, 64, 128],
    ]


@pytest.mark.parametrize(
    ("picture", "colour"),
    [
        (np.full((2, 2, 3), 7, np.uint8), (7, 7, 7)),
        (np.ones((2, 2, 1), np.uint8), (255, 255, 255)),
        (np.zeros((2, 2, 1), np.uint8), (0, 0, 0)),
        (np.full((2, 2, 1), 1, np.int32), (128, 0, 0)),
        (np.full((2, 2, 1), 257, np.int32), (128, 0, 0)),  # ids beyond the table start over
    ],
)
def test_every_kind_of_picture_becomes_rgb(picture, colour):
    drawn = images.drawable(picture)
    assert drawn.dtype == np.uint8 and drawn.shape == (2, 2, 3)
    assert drawn[0, 0].tolist() == list(colour)
