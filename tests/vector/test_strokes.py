"""Strokes show what the drawing shows, and the file that is written holds them."""

import xml.etree.ElementTree

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from segsynth.data import pictures
from segsynth.data.worlds.scenes import Scenes
from segsynth.vector import skeleton
from segsynth.vector.strokes import strokes
from segsynth.vector.svg import svg

_LINE, _GROUP = (f"{{http://www.w3.org/2000/svg}}{name}" for name in ("polyline", "g"))


def rasterised(text, size):
    """Draw the lines of an SVG file with Pillow, as ink or not."""
    picture = Image.new("L", (size[1], size[0]), 255)
    pen = ImageDraw.Draw(picture)
    group = xml.etree.ElementTree.fromstring(text).find(_GROUP)
    # Round ends are what is drawn below, and what makes a viewer show a line of no length.
    assert {group.get(f"stroke-line{end}") for end in ("cap", "join")} == {"round"}
    for line in xml.etree.ElementTree.fromstring(text).iter(_LINE):
        width = float(line.get("stroke-width"))
        pairs = (pair.split(",") for pair in line.get("points").split())
        points = [(float(x) - 0.5, float(y) - 0.5) for x, y in pairs]
        pen.line(points, fill=0, width=max(1, round(width)))
        r = (width - 1) / 2
        for x, y in points:
            pen.ellipse((x - r, y - r, x + r, y + r), fill=0)
    return np.asarray(picture) < 128


def agreement(found, truth):
    """F1 of two sets of ink pixels that may lie one pixel apart."""
    near = [ndimage.binary_dilation(ink, np.ones((3, 3))) for ink in (found, truth)]
    precision, recall = (found & near[1]).sum() / found.sum(), (truth & near[0]).sum() / truth.sum()
    return 2 * precision * recall / (precision + recall)


def drawn(*lines, size=(60, 80), width=1):
    picture = Image.new("L", (size[1], size[0]), 255)
    for line in lines:
        ImageDraw.Draw(picture).line(line, fill=0, width=width)
    return np.asarray(picture)[..., None]


@pytest.mark.parametrize("style", ["contour", "sketch"])
def test_the_file_shows_the_drawing(style):
    scenes = Scenes(128, 10, seed=3, style=style, provides=("drawing",))
    for i in range(10):
        drawing = scenes[i]["drawing"]
        found = rasterised(svg(strokes(drawing), (128, 128)), (128, 128))
        assert agreement(found, drawing[..., 0] < 128) >= 0.95


@pytest.mark.parametrize("name", ["penguin", "mouse"])
def test_the_file_shows_what_a_hand_drew(name, test_data):
    path = test_data / "drawings_misc/clean_line" / f"{name}.png"
    if not path.is_file():
        pytest.skip(f"no {path}")
    drawing = pictures.read_drawing(path)
    found = rasterised(svg(strokes(drawing), drawing.shape[:2]), drawing.shape[:2])
    assert agreement(found, drawing[..., 0] < 128) >= 0.95


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 9])
def test_wide_lines_keep_their_width(width):
    drawing = drawn((10, 30, 70, 30), width=width)
    (stroke,) = strokes(drawing)
    assert stroke.width == pytest.approx(width, abs=0.1) and len(stroke.points) <= 3
    found = rasterised(svg([stroke], drawing.shape[:2]), drawing.shape[:2])
    assert agreement(found, drawing[..., 0] < 128) >= 0.95


def test_a_blot_at_the_end_of_a_thin_line_is_another_stroke():
    picture = Image.fromarray(drawn((10, 30, 50, 30))[..., 0])
    ImageDraw.Draw(picture).ellipse((48, 20, 68, 40), fill=0)
    drawing = np.asarray(picture)[..., None]
    found = strokes(drawing)
    assert min(s.width for s in found) == 1 and max(s.width for s in found) >= 17
    assert agreement(rasterised(svg(found, (60, 80)), (60, 80)), drawing[..., 0] < 128) >= 0.95


def test_lines_meet_where_they_cross():
    cross = drawn((10, 30, 70, 30), (40, 5, 40, 55))
    found = strokes(cross)
    assert len(found) == 4
    ends = [tuple(end) for stroke in found for end in (stroke.points[0], stroke.points[-1])]
    assert ends.count((40.5, 30.5)) == 4


def test_a_ring_is_one_closed_stroke():
    picture = Image.new("L", (80, 60), 255)
    ImageDraw.Draw(picture).ellipse((20, 10, 60, 50), outline=0, width=2)
    (stroke,) = strokes(np.asarray(picture)[..., None])
    np.testing.assert_array_equal(stroke.points[0], stroke.points[-1])
    assert 110 < stroke.length < 135


def test_dots_are_kept_unless_short_strokes_are_not_wanted():
    drawing = drawn((10, 30, 70, 30))
    drawing = drawing.copy()
    drawing[5, 5] = 0
    dot, line = sorted(strokes(drawing), key=lambda stroke: stroke.length)
    assert dot.points.tolist() == [[5.5, 5.5]] and dot.length == 0
    assert rasterised(svg([dot], (60, 80)), (60, 80)).nonzero()[0].tolist() == [5]
    (only,) = strokes(drawing, shortest=5.0)
    np.testing.assert_array_equal(only.points, line.points)


def ink_of(drawing, shortest):
    """Return how much is drawn, px, of each of some rows."""
    found = rasterised(svg(strokes(drawing, shortest=shortest), (60, 80)), (60, 80))
    return found.sum(axis=1)


@pytest.mark.parametrize("width", [1, 3])
def test_a_line_goes_on_through_what_crosses_it(width):
    ticks = [(x, 24, x, 35) for x in range(8, 72, 7)]
    rows = ink_of(drawn((4, 30, 73, 30), *ticks, width=width), 14.0)
    assert rows[30] >= 68 and rows[26] == rows[34] == 0
    every = ink_of(drawn((4, 30, 73, 30), *ticks, width=width), 5.0)
    assert every[30] >= 68 and every[26] >= 9 * width


@pytest.mark.parametrize("slope", [0, 4])
def test_slanting_lines_go_on_too(slope):
    ticks = [(x - 6, 24, x + 6, 36) for x in range(12, 70, 8)]
    drawing = drawn((4, 30 - slope, 75, 30 + slope), *ticks)
    found = rasterised(svg(strokes(drawing, shortest=25.0), (60, 80)), (60, 80))
    assert found.any(axis=0).sum() >= 68 and not found[:25].any() and not found[36:].any()
    assert strokes(drawing, shortest=80.0) == []


def test_what_holds_two_lines_together_stays():
    ladder = drawn((4, 20, 73, 20), (4, 26, 73, 26), *((x, 20, x, 26) for x in (20, 40, 60)))
    rows = ink_of(ladder, 10.0)
    assert rows[23] == 3 and rows[20] == rows[26] == 70
    # Until one of them is gone: then it is a short end like others.
    hook = drawn((4, 20, 73, 20), (40, 20, 40, 26), (38, 26, 45, 26))
    rows = ink_of(hook, 12.0)
    assert rows[20] == 70 and rows[23] == rows[26] == 0


def test_a_ring_has_no_end_and_a_blot_is_part_of_its_line():
    picture = Image.fromarray(drawn((10, 30, 50, 30))[..., 0])
    pen = ImageDraw.Draw(picture)
    pen.ellipse((48, 20, 68, 40), fill=0)
    pen.ellipse((20, 5, 26, 11), outline=0)
    drawing = np.asarray(picture)[..., None]
    assert len(strokes(drawing, shortest=30.0)) == len(strokes(drawing))


def test_beyond_the_border_there_is_paper():
    (blot,) = strokes(np.zeros((9, 9, 1), np.uint8))
    assert 7 <= blot.width <= 9


def test_an_empty_page_has_no_strokes():
    assert strokes(np.full((9, 9, 1), 255, np.uint8)) == []
    assert _LINE not in [e.tag for e in xml.etree.ElementTree.fromstring(svg([], (9, 9))).iter()]


def test_every_link_is_walked_once():
    random = np.random.default_rng(0)
    ink = random.random((40, 40)) < 0.3
    links = [
        frozenset((tuple(a), tuple(b)))
        for path in skeleton.paths(ink)
        for a, b in zip(path[:-1].tolist(), path[1:].tolist(), strict=True)
    ]
    assert len(links) == len(set(links)) > 100
    seen = {tuple(p) for path in skeleton.paths(ink) for p in path.tolist()}
    assert seen == set(zip(*(a.tolist() for a in ink.nonzero()), strict=True))


def test_colours_of_ink_and_paper():
    light = svg([], (9, 12), ink="white", paper="black")
    assert 'stroke="white"' in light and 'fill="black"' in light and 'viewBox="0 0 12 9"' in light
    assert "rect" not in svg([], (9, 12), paper="")
