import dataclasses
import hashlib
import itertools

import numpy as np
import pytest
from scipy import ndimage

from segsynth.data.worlds import contours, raster, scenes, textures
from segsynth.data.worlds.scenes import CLASSES, Scenes, describe

IS_OBJECT = np.array([kind.is_object for kind in CLASSES])
PALETTE = np.array([kind.colour for kind in CLASSES], float)


def test_an_example_depends_on_seed_and_index_alone():
    forward = [Scenes(32, 4, seed=3)[i] for i in range(4)]
    shifted = Scenes(32, 2, seed=3, start=2)
    for name in Scenes(32, 1).provides:
        np.testing.assert_array_equal(shifted[1][name], forward[3][name])
        np.testing.assert_array_equal(shifted[0][name], forward[2][name])
    assert not np.array_equal(forward[0]["image"], Scenes(32, 1, seed=4)[0]["image"])
    assert not np.array_equal(forward[0]["image"], forward[1]["image"])


def test_label_map_is_the_stored_one():
    labels = Scenes(64, 8, seed=7)[3]["segmentation"]
    assert hashlib.sha256(labels.astype("<i4").tobytes()).hexdigest() == (
        "6ef05ea7351c18fbacdb8479c4735cc1cb886f76dfe36e0a2db7cc7794f79b7b"
    )


def test_the_first_modalities_are_the_stored_ones():
    examples = [Scenes(64, 8, seed=7)[i] for i in range(8)]
    digests = {
        key: hashlib.sha256(b"".join(e[key].astype("<i4").tobytes() for e in examples)).hexdigest()
        for key in ("segmentation", "instance")
    }
    assert digests["segmentation"].startswith("1a3d6269355c5166")
    assert digests["instance"].startswith("ce4a57a9c7df743d")
    # Pictures go through single-precision sines, whose last bit depends on the processor.
    np.testing.assert_allclose(
        [example["image"].mean() for example in examples],
        [81.061, 134.902, 105.309, 101.552, 101.469, 113.981, 79.106, 95.621],
        atol=2e-3,
    )
    quarters = [example["image"].reshape(2, 32, 2, 32, 3).mean((1, 3, 4)) for example in examples]
    np.testing.assert_allclose(
        np.ravel(quarters[:2]),
        [82.36, 95.07, 74.02, 72.8, 130.01, 132.43, 144.29, 132.87],
        atol=0.01,
    )


def test_shapes_types_and_length():
    source = Scenes(48, 5)
    example = source[0]
    assert len(source) == 5 and tuple(example) == source.provides
    assert (example["image"].shape, example["image"].dtype) == ((48, 48, 3), np.uint8)
    for name in ("segmentation", "instance"):
        assert (example[name].shape, example[name].dtype) == ((48, 48, 1), np.int32)
    assert list(Scenes(48, 5, provides=("instance",))[0]) == ["instance"]
    for index in (-1, 5):
        with pytest.raises(IndexError, match=r"outside 0\.\.4"):
            source[index]


@pytest.mark.parametrize("size", [16, 64, 128])
def test_sizes_show_the_same_scene(size):
    agreement, error = [], []
    for index in range(8):
        large, small = Scenes(256, 8)[index], Scenes(size, 8)[index]
        pick = (np.arange(size) * 2 + 1) * 256 // (2 * size)
        agreement.append(large["segmentation"][np.ix_(pick, pick)] == small["segmentation"])
        blocks = large["image"].reshape(size, 256 // size, size, 256 // size, 3).mean((1, 3))
        error.append(np.abs(blocks - small["image"]).mean())
    assert np.mean(agreement) > 0.95 and min(map(np.mean, agreement)) > 0.9
    assert np.mean(error) < 4.0


def test_instances_are_objects_of_one_class():
    for index in range(40):
        example = Scenes(64, 40, provides=("segmentation", "instance"))[index]
        labels, instance = example["segmentation"], example["instance"]
        np.testing.assert_array_equal(instance > 0, IS_OBJECT[labels])
        layers = describe(0, index).layers
        for layer in layers:
            if layer.instance:
                assert set(np.unique(labels[instance == layer.instance])) <= {layer.class_id}
        assert set(np.unique(instance)) <= {layer.instance for layer in layers}


def test_image_and_label_map_agree_to_the_pixel():
    scene = describe(1, 5)
    greys = np.linspace(20.0, 230.0, len(scene.layers)).round()
    flat = [
        dataclasses.replace(
            layer,
            texture=dataclasses.replace(
                layer.texture, colours=np.full((2, 3), grey), tint=np.zeros(3), roundness=0.0
            ),
        )
        for layer, grey in zip(scene.layers, greys, strict=True)
    ]
    image = scenes.render_image(scenes.Scene(tuple(flat)), 64)[..., 0]
    seen = scenes.render_layers(scene, 64)[..., 0]
    inner = ndimage.minimum_filter(seen, 3) == ndimage.maximum_filter(seen, 3)
    assert inner.mean() > 0.5
    np.testing.assert_array_equal(image[inner], greys[seen[inner]])


def test_depth_rises_towards_the_front_and_counts_are_in_range():
    for index in range(60):
        layers = describe(2, index).layers
        assert np.all(np.diff([layer.depth for layer in layers]) > 0)
        numbers = [layer.instance for layer in layers if layer.instance]
        assert numbers == list(range(1, len(numbers) + 1)) and 1 <= len(numbers) <= 5
        assert 1 <= len(layers) - len(numbers) <= 3
        for layer in layers[-len(numbers) :]:
            assert 0.04 <= contours.area(layer.contours) <= 0.301


def test_modalities_on_demand():
    names = ("labels", "depth", "drawing", "subject", "name")
    source = Scenes(48, 3, seed=5, start=7, provides=names)
    example, again = source[2], source[2]
    assert tuple(example) == names and "depth" not in Scenes(48, 3)[0]
    for key, dtype in (("labels", np.uint8), ("depth", np.float32), ("drawing", np.uint8)):
        assert (example[key].shape, example[key].dtype) == ((48, 48, 1), dtype)
        np.testing.assert_array_equal(example[key], again[key])
    assert (example["subject"].shape, example["subject"].dtype) == ((), np.int32)
    assert example["name"].dtype == object and str(example["name"]) == "scene_5_00000009"


def test_depth_keeps_the_order_of_the_layers():
    reliefs = []
    for index in range(60):
        scene = describe(4, index)
        depth = scenes.render_depth(scene, 64)
        seen = scenes.render_layers(scene, 64)
        assert 0.0 <= depth.min() and depth.max() <= 1.0
        # The whole surface of each layer, hidden parts too, is behind those in front of it.
        surfaces = [_surface(scene, layer, 64) for layer in scene.layers]
        for behind, front in itertools.pairwise(surfaces):
            assert behind.max(initial=0.0) < front.min(initial=1.0)
        for position, surface in enumerate(surfaces):
            shown = depth[seen == position]
            assert set(shown) <= set(surface)
            reliefs.append(np.ptp(shown) if shown.size > 100 else 0.1)
    # Shape shows: no surface is flat.
    assert min(reliefs) > 0.003 and np.median(reliefs) > 0.04


def _surface(scene, layer, size):
    """Depths of a layer as if nothing were in front of it."""
    alone = scenes.Scene((scene.layers[0], layer))
    return scenes.render_depth(alone, size)[scenes.render_layers(alone, size) == 1]


def test_objects_bulge_and_backgrounds_come_nearer_to_one_side():
    bulges, slopes = 0, 0
    for index in range(20):
        scene = describe(4, index)
        for layer in scene.layers[1:]:
            surface = _surface(scene, layer, 128)
            if layer.instance and CLASSES[layer.class_id].name in ("ellipse", "polygon"):
                assert surface.max() == pytest.approx(layer.depth, abs=2e-3)
                bulges += 1
        far = scenes.render_depth(scenes.Scene(scene.layers[:1]), 128)[..., 0]
        across, down = np.diff(far, axis=1), np.diff(far, axis=0)
        assert np.ptp(np.sign(across)) == 0 and np.ptp(np.sign(down)) == 0
        slopes += int(abs(far[0, 0] - far[-1, -1]) + abs(far[0, -1] - far[-1, 0]) > 0.05)
    assert bulges > 5 and slopes == 20


@pytest.mark.parametrize("size", [32, 64, 256])
def test_labels_lack_patches_of_three_percent(size):
    shares, patches = [], []
    for index in range(40):
        example = Scenes(size, 40, seed=1, provides=("labels", "segmentation"))[index]
        missing = example["labels"] == scenes.UNLABELLED
        kept = (example[name][~missing] for name in ("labels", "segmentation"))
        np.testing.assert_array_equal(*kept)
        shares.append(missing.mean())
        patches.append(ndimage.label(missing[..., 0])[1])
    assert 0.02 < min(shares) and max(shares) < 0.04
    assert np.mean(shares) == pytest.approx(0.03, abs=0.002)
    assert 1 <= min(patches) and max(patches) <= 3


def test_subject_is_the_class_of_the_object_seen_most():
    names = [kind.name for kind in CLASSES if kind.is_object]
    assert scenes.SUBJECTS == tuple(names)
    subjects = []
    for index in range(80):
        subject = Scenes(32, 80, seed=2, provides=("subject",))[index]["subject"]
        large = Scenes(128, 80, seed=2, provides=("subject", "segmentation", "instance"))[index]
        assert subject == large["subject"]
        numbers, areas = np.unique(large["instance"], return_counts=True)
        largest = numbers[1:][areas[1:].argmax()]
        seen = large["segmentation"][large["instance"] == largest][0]
        assert scenes.SUBJECTS[subject] == CLASSES[seen].name
        subjects.append(int(subject))
    assert set(subjects) == set(range(len(names)))


def test_every_class_occurs_and_pictures_are_varied():
    examples = [Scenes(32, 120, seed=5)[i] for i in range(120)]
    seen = np.unique([example["segmentation"] for example in examples])
    np.testing.assert_array_equal(seen, np.arange(len(CLASSES)))
    cover = np.mean([example["instance"] > 0 for example in examples])
    assert 0.15 < cover < 0.5
    assert min(example["image"].std() for example in examples) > 5.0
    assert np.mean([example["image"] for example in examples]) == pytest.approx(120, abs=25)


def _explained_by_class(samples):
    """Largest share of a colour channel's variance that the class explains (eta squared)."""
    ids, colours = np.array([s[0] for s in samples]), np.array([s[1] for s in samples])
    means = np.stack([colours[ids == i].mean(0) for i in range(len(CLASSES))])
    return float((means[ids].var(axis=0) / colours.var(axis=0)).max())


def test_colour_does_not_tell_the_class():
    fair, tied = [], []
    for index in range(250):
        example = Scenes(32, 250, seed=9)[index]
        labels = example["segmentation"][..., 0]
        for i in np.unique(labels):
            colour = example["image"][labels == i].mean(axis=0)
            fair.append((i, colour))
            tied.append((i, 0.75 * colour + 0.25 * PALETTE[i]))
    # 11 degrees of freedom over about 1,100 samples explain 1 % by chance.
    assert _explained_by_class(fair) < 0.03
    assert _explained_by_class(tied) > 0.10


@pytest.mark.parametrize("name", [name for name in textures.PATTERNS if name != "plain"])
def test_patterns_have_zero_mean_and_contrast(name):
    axis = raster.centres(96).astype(np.float32)
    fields = []
    for seed in range(20):
        texture = textures.random_texture(np.random.default_rng(seed), name)
        fields.append(textures.PATTERNS[name](texture, axis, axis))
    assert abs(np.mean(fields)) < 0.05
    assert 0.4 < np.std(fields) < 1.0 and np.abs(fields).max() < 2.0


@pytest.mark.parametrize("name", list(contours.SHAPES))
def test_scaled_shapes_fill_their_area(name):
    for seed in range(6):
        rng = np.random.default_rng(seed)
        shape = contours.scaled(contours.SHAPES[name](rng), 0.2)
        placed = contours.moved(shape, contours.random_centres(rng, shape)[0])
        _, inside = raster.fill(placed, 256)
        assert inside.sum() / 256**2 == pytest.approx(0.2, rel=0.02)


def test_shading_is_neutral_for_every_shape():
    axis = raster.centres(256)
    for name, shape in contours.SHAPES.items():
        outline = contours.scaled(shape(np.random.default_rng(1)), 0.1)
        (rows, columns), inside = raster.fill(contours.moved(outline, np.full(2, 0.5)), 256)
        y, x = axis[rows, None] - 0.5, axis[None, columns] - 0.5
        square = (x**2 + y**2)[inside].mean()
        assert contours.mean_square(outline) == pytest.approx(square, rel=0.02), name


def test_fill_is_exact_at_pixel_centres():
    rng = np.random.default_rng(0)
    axis = raster.centres(48)
    for _ in range(20):
        triangle = rng.uniform(-0.3, 1.3, (3, 2))
        edges = np.roll(triangle, -1, axis=0) - triangle
        offset = np.stack(np.meshgrid(axis, axis), -1)[:, :, None] - triangle
        side = edges[:, 0] * offset[..., 1] - edges[:, 1] * offset[..., 0]
        expected = (side > 0).all(-1) | (side < 0).all(-1)
        window, inside = raster.fill([triangle], 48)
        whole = np.zeros((48, 48), bool)
        whole[window] = inside
        np.testing.assert_array_equal(whole, expected)


def test_fill_outside_the_frame_is_empty():
    square = np.array([[2.0, 2.0], [3.0, 2.0], [3.0, 3.0], [2.0, 3.0]])
    for shift in ([0.0, 0.0], [-5.0, 0.0], [0.0, -1.5], [-1.5, -5.0]):
        assert not raster.fill([square + shift], 32)[1].any()
