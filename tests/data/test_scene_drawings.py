"""Line drawings of scenes: where the ink lies, how dark it is, and what it must not tell."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from segsynth.data.worlds import outlining, pen, scenes
from segsynth.data.worlds.scene_drawings import HANDS, LAYERS_SIDE, draw
from segsynth.data.worlds.scenes import CLASSES, Scene, Scenes, describe
from segsynth.errors import UserError

STYLES = tuple(HANDS)
#: Tolerance of edges in pixels at 128: 0.0075 of the diagonal, as in the BSDS benchmark.
TOLERANCE = 0.0075 * 128 * 2**0.5


def _drawings(style, count, size=128, seed=3):
    source = Scenes(size, count, seed=seed, provides=("drawing",), style=style)
    return [source[i]["drawing"][..., 0] for i in range(count)]


def _seen(index, size=128, seed=3):
    return scenes.render_layers(describe(seed, index), size)[..., 0]


def _edges(ids):
    """Pixels with another id beside them."""
    return ndimage.minimum_filter(ids, 3) != ndimage.maximum_filter(ids, 3)


def _near(points, targets):
    """Share of the points that lie within the tolerance of a target."""
    return (ndimage.distance_transform_edt(~targets)[points] <= TOLERANCE).mean()


@pytest.mark.parametrize("style", STYLES)
def test_a_drawing_depends_on_seed_index_and_style_alone(style):
    first, second = _drawings(style, 2)
    again = Scenes(128, 1, 3, start=1, provides=("name", "drawing", "image"), style=style)[0]
    np.testing.assert_array_equal(again["drawing"][..., 0], second)
    assert again["drawing"].shape == (128, 128, 1) and again["drawing"].dtype == np.uint8
    assert (first != second).any() and (first != _drawings(style, 1, seed=4)[0]).any()
    other = _drawings(STYLES[1 - STYLES.index(style)], 1)[0]
    assert (first != other).any()


def test_an_unknown_style_is_refused():
    with pytest.raises(UserError, match=r"style 'ink'; expected contour or sketch\."):
        Scenes(32, 1, style="ink")
    with pytest.raises(UserError, match="style 'ink'"):
        draw(describe(0, 0), "ink", 32, scenes.render_layers(describe(0, 0), LAYERS_SIDE))


@pytest.mark.parametrize(("style", "least"), [("contour", 0.99), ("sketch", 0.97)])
def test_sizes_show_the_same_drawing(style, least):
    large, small = _drawings(style, 6, 256), _drawings(style, 6, 128)
    for i in range(6):
        halved = large[i].reshape(128, 2, 128, 2).mean((1, 3)).ravel()
        assert np.corrcoef(halved, small[i].ravel())[0, 1] > least
        assert np.corrcoef(halved, small[i - 1].ravel())[0, 1] < 0.5


@pytest.mark.parametrize("size", [16, 100, 512])
@pytest.mark.parametrize("style", STYLES)
def test_any_size_is_mostly_paper(style, size):
    drawing = _drawings(style, 1, size)[0]
    assert drawing.max() > 240 and drawing.min() < 60
    assert np.median(drawing) > 180


@pytest.mark.parametrize("style", STYLES)
def test_every_boundary_is_drawn(style):
    recall, elsewhere = [], []
    for i, drawing in enumerate(_drawings(style, 25)):
        ids = np.array([layer.class_id for layer in describe(3, i).layers])[_seen(i)]
        recall.append(_near(_edges(ids), drawing < 128))
        elsewhere.append(_near(_edges(ids), np.rot90(drawing) < 128))
    assert min(recall) > 0.9
    # Ink all over would find every boundary too.
    assert np.mean(elsewhere) < 0.5


def test_contours_lie_on_what_is_seen():
    for i, drawing in enumerate(_drawings("contour", 25)):
        edges, ink = _edges(_seen(i)), drawing < 128
        precision, recall = _near(ink, edges), _near(edges, ink)
        assert 2 * precision * recall / (precision + recall) > 0.95 and precision > 0.9


def test_outlines_of_a_sketch_lie_on_what_is_seen():
    for i in range(25):
        scene, rng = describe(3, i), np.random.default_rng(i)
        lines = outlining.outlines(
            scene.layers, scenes.render_layers(scene, LAYERS_SIDE), HANDS["sketch"], rng
        )
        edges, ink = _edges(_seen(i)), pen.draw([lines], 128)[..., 0] < 128
        precision, recall = _near(ink, edges), _near(edges, ink)
        assert precision > 0.9 and recall > 0.9
        # They are drawn firmly, the hatching between them is not.
        sketch = scenes.render_drawing(scene, 128, "sketch")[..., 0]
        assert sketch[edges].mean() < sketch[~edges].mean() - 40


def test_what_is_hidden_leaves_no_ink():
    scene = describe(3, 0)
    front = max(scene.layers, key=lambda layer: np.ptp(layer.contours[0][:, 0]) * layer.instance)
    middle = front.texture.centre
    inner = tuple(middle + 0.5 * (part - middle) for part in front.contours)
    behind = dataclasses.replace(front, contours=inner)

    def drawing(*layers):
        hidden = Scene((scene.layers[0], *layers))
        return scenes.render_drawing(hidden, 128, "contour")[..., 0]

    inside = scenes.render_layers(Scene((scene.layers[0], front)), 128)[..., 0] == 1
    inside = ndimage.binary_erosion(inside, iterations=4)
    assert inside.sum() > 200
    assert (drawing(behind, front)[inside] == 255).all()
    assert (drawing(front, behind)[inside] < 128).any()


def test_hatching_is_denser_where_it_is_darker():
    ink, dark, shading = [], [], []
    source = Scenes(128, 60, seed=9, provides=("image", "drawing"), style="sketch")
    for i in range(60):
        example, seen = source[i], _seen(i, seed=9)
        lines = 1.0 - example["drawing"][..., 0] / 255.0
        tone = 1.0 - example["image"].mean(axis=-1) / 255.0
        inner = ndimage.distance_transform_edt(~_edges(seen)) > 3
        for k in np.unique(seen[inner]):
            region = (seen == k) & inner
            ink.append(lines[region].mean())
            dark.append(tone[region].mean())
            # The brightest regions are left white.
            if region.sum() > 1500 and lines[region].any():
                weight = ndimage.gaussian_filter(region.astype(float), 4.0)[region]
                pair = [ndimage.gaussian_filter(a * region, 4.0)[region] for a in (lines, tone)]
                shading.append(np.corrcoef(pair[0] / weight, pair[1] / weight)[0, 1])
    assert np.corrcoef(ink, dark)[0, 1] > 0.8
    # Within a region too: its dark side has more ink.
    assert len(shading) > 60 and np.mean(shading) > 0.3


def test_ink_does_not_tell_the_class():
    ids, ink = [], []
    for i in range(150):
        scene = describe(9, i)
        seen = scenes.render_layers(scene, 64)[..., 0]
        inner = ndimage.distance_transform_edt(~_edges(seen)) > 2
        lines = 1.0 - scenes.render_drawing(scene, 64, "sketch")[..., 0] / 255.0
        for k in np.unique(seen[inner]):
            region = (seen == k) & inner
            if region.sum() > 40:
                ids.append(scene.layers[k].class_id)
                ink.append(lines[region].mean())
    ids, ink = np.array(ids), np.array(ink)
    tied = ink + 0.5 * ink.std() * (ids % 3 - 1)
    # 11 degrees of freedom over about 660 samples explain 1.7 % by chance, 3.5 % once in 100 times.
    assert ids.size > 600 and _explained(ids, ink) < 0.035
    assert _explained(ids, tied) > 0.08


def _explained(ids, values):
    """Share of the variance of values that the class explains (eta squared)."""
    means = np.array([values[ids == i].mean() for i in range(len(CLASSES))])
    return means[ids].var() / values.var()


def test_a_pattern_of_other_colours_leaves_contours_alone():
    scene = describe(3, 1)
    repainted = dataclasses.replace(scene, layers=tuple(_inverted(layer) for layer in scene.layers))
    before, after = (scenes.render_drawing(s, 96, "contour") for s in (scene, repainted))
    np.testing.assert_array_equal(before, after)
    before, after = (scenes.render_drawing(s, 96, "sketch") for s in (scene, repainted))
    assert (before != after).any()


def _inverted(layer):
    colours = 255.0 - layer.texture.colours
    return dataclasses.replace(layer, texture=dataclasses.replace(layer.texture, colours=colours))


def test_a_bright_scene_is_drawn_without_hatching():
    scene = describe(3, 2)
    white = np.full((2, 3), 255.0)
    layers = tuple(
        dataclasses.replace(
            layer,
            texture=dataclasses.replace(
                layer.texture, colours=white, tint=np.zeros(3), roundness=0.0
            ),
        )
        for layer in scene.layers
    )
    drawing = scenes.render_drawing(dataclasses.replace(scene, layers=layers), 128, "sketch")
    inner = ndimage.distance_transform_edt(~_edges(_seen(2))) > 4
    assert (drawing[..., 0][inner] == 255).all() and drawing.min() < 60


def test_a_pen_line_has_its_width_and_its_place():
    line = pen.Strokes(
        np.array([[0.1, 0.5]]), np.array([[0.9, 0.5]]), np.array([4.0 / 64]), np.array([0.8])
    )
    drawing = pen.draw([line], 64)[..., 0]
    np.testing.assert_array_equal(drawing[30:34, 10:54], 255 - round(0.8 * 255))
    assert (drawing[:30] == 255).all() and (drawing[34:] == 255).all()
    assert (drawing[:, :3] == 255).all() and (drawing[:, 61:] == 255).all()
    # Beyond the frame there is no paper: nothing wraps around.
    right = np.array([0.5, 0.0])
    away = dataclasses.replace(line, start=line.start + right, stop=line.stop + right)
    assert (pen.draw([away], 64)[:, :35] == 255).all()


def test_a_line_too_thin_for_a_pixel_widens_or_fades():
    line = pen.Strokes(
        np.array([[0.0, 0.515625]]), np.array([[1.0, 0.515625]]), np.array([0.25 / 32]), np.ones(1)
    )
    wide = pen.draw([line], 32)[16, 4:28, 0]
    faint = pen.draw([dataclasses.replace(line, fades=True)], 32)[16, 4:28, 0]
    np.testing.assert_array_equal(wide, 0)
    np.testing.assert_array_equal(faint, round(0.75 * 255))
