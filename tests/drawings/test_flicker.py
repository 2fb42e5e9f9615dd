"""Flicker of drawings: changes where a film stands still, and only there."""

import math

import numpy as np
import pytest

from segsynth.data import pictures
from segsynth.drawings.flicker import STILL, flicker, flicker_of_film
from segsynth.errors import UserError


def film(count=3, noise=0):
    random = np.random.default_rng(0)
    first = random.integers(20, 200, (8, 10, 3))
    return [(first + noise * (i % 2)).astype(np.uint8) for i in range(count)]


def drawn(*greys):
    return [np.full((8, 10, 1), grey, np.uint8) for grey in greys]


def test_what_changes_in_a_film_that_stands_still():
    found = flicker(zip(film(), drawn(255, 204, 255), strict=True))
    assert found == pytest.approx((0.2, 0.0, 1.0, 2))
    found = flicker(zip(film(), drawn(255, 0, 0), strict=True))
    assert found == pytest.approx((0.5, 0.5, 1.0, 2))
    assert flicker(zip(film(), drawn(7, 7, 7), strict=True)) == (0, 0, 1, 2)


def test_noise_of_a_camera_stands_still_and_more_does_not():
    drawings = drawn(255, 0, 255)
    assert flicker(zip(film(noise=STILL), drawings, strict=True)).change == 1
    moving = flicker(zip(film(noise=STILL + 1), drawings, strict=True))
    assert math.isnan(moving.change) and math.isnan(moving.flips) and moving.still == 0


def test_what_moves_does_not_count():
    """A quarter of the film changes, in one channel, and all of its drawing does."""
    frames, drawings = film(2), drawn(255, 255)
    frames[1][:4, :5, 1] += 50
    drawings[1][:4, :5] = 0
    assert flicker(zip(frames, drawings, strict=True)) == (0, 0, 0.75, 1)


def test_a_folder_in_the_order_of_its_names(tmp_path):
    for i, (frame, drawing) in enumerate(zip(film(4), drawn(0, 255, 255, 255), strict=True)):
        for folder, picture in (("film", frame), ("drawings", drawing)):
            (tmp_path / folder).mkdir(exist_ok=True)
            pictures.write_png(tmp_path / folder / f"{i:03d}.png", picture)
    found = flicker_of_film(tmp_path / "film", tmp_path / "drawings")
    assert found.pairs == 3 and found.flips == pytest.approx(1 / 3)
    (tmp_path / "drawings/002.png").unlink()
    with pytest.raises(UserError, match=r"002\.png has no partner"):
        flicker_of_film(tmp_path / "film", tmp_path / "drawings")


@pytest.mark.parametrize(
    ("frames", "drawings", "said"),
    [
        (film(1), drawn(0), "fewer than two frames"),
        (film(2), [np.zeros((8, 12, 1), np.uint8)] * 2, "10x8 px has a drawing of 12x8 px"),
        (
            [*film(1), np.zeros((8, 12, 3), np.uint8)],
            [*drawn(0), np.zeros((8, 12, 1), np.uint8)],
            "frames of 10x8 and 12x8 px in one film",
        ),
    ],
)
def test_what_is_no_film_is_refused(frames, drawings, said):
    with pytest.raises(UserError, match=said):
        flicker(zip(frames, drawings, strict=True))
