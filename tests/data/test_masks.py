import numpy as np
import pytest

from segsynth.data.masks import (
    FOREGROUND_TYPES,
    KINDS,
    MASK_TYPES,
    InpaintingMasks,
    InstanceShapes,
    draw,
)
from segsynth.data.masks.lama import lama
from segsynth.data.masks.mat import mat
from segsynth.data.masks.strokes import draw_boxes, draw_strokes, resize_nearest, walk
from segsynth.data.worlds.scenes import Scenes
from segsynth.errors import UserError

OBJECT, SCENE, BRUSH, REPLACED = range(4)

#: Mean and sd of the hole's share at 512, and how far a mean may be off. MAT: an independent
#: implementation, 4,000 masks; LaMa: its procedure drawn with OpenCV, 2,000 masks.
STATISTICS = {
    "mat_large": (0.401, 0.174, 0.015),
    "mat_small": (0.220, 0.142, 0.015),
    "mat_large256": (0.407, 0.189, 0.015),
    "mat_small256": (0.218, 0.147, 0.015),
    "mat_comodgan": (0.647, 0.179, 0.015),
    "lama_thin": (0.292, 0.139, 0.02),
    "lama_medium": (0.287, 0.149, 0.02),
    "lama_thick": (0.423, 0.233, 0.02),
}


def shares(kind, count, size=512):
    rng = np.random.default_rng(12)
    return np.array([draw(rng, size, kind).mean() for _ in range(count)])


def only(kind, **options):
    return InpaintingMasks(tuple(float(name == kind) for name in MASK_TYPES), **options)


@pytest.fixture(scope="module")
def examples():
    source = Scenes(64, 12, seed=1)
    return [source[i] for i in range(12)]


@pytest.mark.parametrize("kind", list(STATISTICS))
def test_hole_shares(kind):
    mean, sd, tolerance = STATISTICS[kind]
    values = shares(kind, 150)
    # Two standard errors of 150 draws on top of what 4,000 draws are granted.
    assert values.mean() == pytest.approx(mean, abs=tolerance + 2 * sd / np.sqrt(150))
    assert values.std() == pytest.approx(sd, abs=0.02 + 2 * sd / np.sqrt(300))


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(STATISTICS))
def test_hole_shares_of_4000_draws(kind):
    mean, sd, tolerance = STATISTICS[kind]
    values = shares(kind, 4000)
    assert values.mean() == pytest.approx(mean, abs=tolerance)
    assert values.std() == pytest.approx(sd, abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_binary_reproducible_and_the_same_at_every_size(kind):
    at_512, at_1024, at_64 = (shares(kind, 12, size) for size in (512, 1024, 64))
    np.testing.assert_allclose(at_1024, at_512, atol=0.005)
    np.testing.assert_allclose(at_64, at_512, atol=0.04)
    first, again = (draw(np.random.default_rng(3), 96, kind) for _ in range(2))
    assert (first.shape, first.dtype) == ((96, 96, 1), np.uint8)
    assert first.tobytes() == again.tobytes() and set(np.unique(first)) == {0, 1}


def test_unknown_names_list_the_known_ones():
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match=r"'free_form'.*mat_large.*lama_thin.*box"):
        draw(rng, 64, "free_form")
    with pytest.raises(UserError, match="large, small"):
        mat(rng, 64, "huge")
    with pytest.raises(UserError, match="thin, medium, thick"):
        lama(rng, 64, "huge")


@pytest.mark.parametrize("size", [17, 128])
def test_box_and_silhouette_areas(size):
    boxes, silhouettes = shares("box", 200, size), shares("silhouette", 200, size)
    slack = 2.0 / size
    assert 0.10 - slack < boxes.min() < 0.15 and 0.45 < boxes.max() < 0.50 + slack
    assert 0.05 - slack < silhouettes.min() < 0.07 and 0.27 < silhouettes.max() < 0.30 + slack


def test_strokes_are_the_pixels_within_half_a_width():
    rng = np.random.default_rng(0)
    starts, ends = rng.uniform(-10.0, 74.0, (2, 40, 2))
    ends[0], ends[1, 0], ends[2, 1] = starts[0], starts[1, 0], starts[2, 1]
    widths = rng.uniform(1.0, 20.0, 40)
    pixels = np.stack(np.meshgrid(np.arange(64.0), np.arange(64.0)), -1)
    for start, end, width in zip(starts, ends, widths, strict=True):
        step = end - start
        along = np.clip((pixels - start) @ step / max(step @ step, 1e-12), 0.0, 1.0)
        distance = np.linalg.norm(pixels - start - along[..., None] * step, axis=-1)
        drawn = draw_strokes(start[None], end[None], np.array([width]), 64)
        np.testing.assert_array_equal(drawn, distance <= width / 2.0)
    together = draw_strokes(starts[:9], ends[:9], widths[:9], 64)
    apart = [draw_strokes(starts[k, None], ends[k, None], widths[k, None], 64) for k in range(9)]
    np.testing.assert_array_equal(together, np.any(apart, axis=0))


def test_walks_stop_at_the_frame():
    steps = np.array([[3.7, -9.0], [-1.2, 2.0], [20.0, 0.0]])
    path = walk(np.array([2, 4]), steps, 8)
    np.testing.assert_array_equal(path, [[2, 4], [5, 0], [3, 2], [8, 2]])


def test_boxes_are_cut_off_at_the_border():
    mask = draw_boxes([(-2, 6, 4, 9), (3, 1, 2, 1), (-9, 0, 3, 8)], 8)
    expected = np.zeros((8, 8), bool)
    expected[6:, :2] = expected[1, 3:5] = True
    np.testing.assert_array_equal(mask, expected)


def test_nearest_resizing_takes_the_middle_pixel():
    mask = np.eye(9, dtype=bool)
    np.testing.assert_array_equal(resize_nearest(mask, 3)[..., 0], np.eye(3))
    np.testing.assert_array_equal(resize_nearest(mask[..., None], 18)[::2, ::2, 0], np.eye(9))


def test_classes_follow_from_types():
    assert MASK_TYPES == ("object", "scene", "brush", "replaced")
    assert FOREGROUND_TYPES == ("object",)


def test_types_come_in_their_shares_and_areas_in_their_limits(examples):
    masks, rng = InpaintingMasks(), np.random.default_rng(0)
    drawn = [masks(rng, examples[i % 12], i % 12) for i in range(1200)]
    share = np.bincount([type_id for _, type_id in drawn], minlength=4) / 1200
    # Four standard errors, and some objects and scenes that end as a brush.
    np.testing.assert_allclose(share, masks.probs, atol=0.055)
    areas = np.array([mask.mean() for mask, _ in drawn])
    assert areas.min() >= 0.01 and areas.max() <= 0.95
    assert all(mask.dtype == np.uint8 and mask.shape == (64, 64, 1) for mask, _ in drawn)


def test_object_hole_is_one_instance(examples):
    masks, rng = only("object", dilate=0.0), np.random.default_rng(0)
    for index in range(60):
        example = examples[index % 12]
        mask, type_id = masks(rng, example, index % 12)
        assert type_id == OBJECT
        ids = np.unique(example["instance"][mask == 1])
        assert ids.size == 1 and ids[0] > 0
        np.testing.assert_array_equal(mask == 1, example["instance"] == ids[0])


def test_scene_hole_is_one_background_region(examples):
    masks, rng = only("scene", dilate=0.0, union=0.0), np.random.default_rng(0)
    for index in range(60):
        example = examples[index % 12]
        mask, type_id = masks(rng, example, index % 12)
        assert type_id == SCENE and not example["instance"][mask == 1].any()
        assert np.unique(example["segmentation"][mask == 1]).size == 1


def test_scene_hole_is_united_half_the_time_with_each_of_the_others(examples):
    masks, rng = only("scene", dilate=0.0), np.random.default_rng(0)
    example = examples[0]
    pure = np.mean(
        [
            not example["instance"][mask == 1].any()
            and np.unique(example["segmentation"][mask == 1]).size == 1
            for mask, _ in (masks(rng, example, 0) for _ in range(300))
        ]
    )
    assert pure == pytest.approx(0.25, abs=0.11)


def test_dilation_scales_with_the_picture():
    hole = np.zeros((512, 512, 1), np.int32)
    hole[200:300, 200:300] = 1
    for size, most in ((512, 12), (256, 6), (32, 0)):
        step = 512 // size
        example = {
            "image": np.zeros((size, size, 3), np.uint8),
            "instance": hole[::step, ::step],
        }
        masks, rng = only("object", dilate=1.0), np.random.default_rng(0)
        sides = {int(masks(rng, example, 0)[0].any(0).sum()) for _ in range(60)}
        core = int(example["instance"].any(0).sum())
        assert min(sides) >= core and max(sides) == core + most
        assert len(sides) == (1 if most == 0 else len(sides)) and (most == 0 or len(sides) > 2)


class Numbered:
    """Example i holds one object: row i."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        instance = np.zeros((8, 8, 1), np.int32)
        instance[index] = 1
        return {"instance": instance}


def test_replaced_holes_never_come_from_the_same_example():
    masks = only("replaced", dilate=0.0, shapes=InstanceShapes(Numbered()))
    image, rng = {"image": np.zeros((8, 8, 3), np.uint8)}, np.random.default_rng(0)
    for own in (0, 3, 7):
        drawn = [masks(rng, image, own) for _ in range(200)]
        assert {type_id for _, type_id in drawn} == {REPLACED}
        rows = {int(mask[:, 0, 0].argmax()) for mask, _ in drawn}
        assert rows == set(range(8)) - {own}


def test_shape_bank_resizes_and_needs_other_objects():
    bank = InstanceShapes(Scenes(32, 6, provides=("instance",)))
    image = {"image": np.zeros((96, 96, 3), np.uint8)}
    mask, type_id = only("replaced", shapes=bank)(np.random.default_rng(0), image, 0)
    assert mask.shape == (96, 96, 1) and type_id == REPLACED
    with pytest.raises(UserError, match="at least 2"):
        InstanceShapes(Scenes(32, 1))
    with pytest.raises(UserError, match="no object in 64 examples"):
        InstanceShapes(Scenes(16, 4, provides=("segmentation",)))(np.random.default_rng(0), 0)


def test_types_without_labels_are_disabled():
    masks, rng = InpaintingMasks(), np.random.default_rng(0)
    image = {"image": np.zeros((32, 32, 3), np.uint8)}
    ids = np.bincount([masks(rng, image, 0)[1] for _ in range(400)], minlength=4) / 400
    assert ids[OBJECT] == ids[SCENE] == 0.0 and ids[BRUSH] == pytest.approx(0.5, abs=0.1)
    unlabelled = image | {"instance": np.ones((32, 32, 1), np.int32)}
    ids = {masks(rng, unlabelled, 0)[1] for _ in range(60)}
    assert SCENE not in ids


def test_a_type_that_the_picture_cannot_give_ends_as_a_brush():
    empty = {
        "image": np.zeros((32, 32, 3), np.uint8),
        "instance": np.zeros((32, 32, 1), np.int32),
        "segmentation": np.zeros((32, 32, 1), np.int32),
    }
    mask, type_id = only("object")(np.random.default_rng(0), empty, 0)
    assert type_id == BRUSH and 0.01 <= mask.mean() <= 0.95
    # The whole picture is one region, more than the limit of 95 %.
    assert only("scene")(np.random.default_rng(0), empty, 0)[1] == BRUSH


def test_same_seed_gives_the_same_bytes(examples):
    masks = InpaintingMasks(shapes=InstanceShapes(Scenes(64, 12, seed=1, provides=("instance",))))
    for index, example in enumerate(examples):
        (first, kind), (again, same) = (
            masks(np.random.default_rng(index), example, index) for _ in range(2)
        )
        assert first.tobytes() == again.tobytes() and kind == same


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probs": (0.5, 0.5)}, "probs"),
        ({"probs": (1.0, -1.0, 0.5, 0.5)}, "probs"),
        ({"area": (0.5, 0.2)}, "area"),
        ({"union": 1.5}, "union"),
        ({"brush": ("charcoal",)}, "mat_large"),
        ({"brush": ()}, "brush"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        InpaintingMasks(**options)


def test_examples_that_masks_cannot_serve_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match="32 x 48"):
        InpaintingMasks()(rng, {"image": np.zeros((32, 48, 3), np.uint8)}, 0)
    square = {"image": np.zeros((32, 32, 3), np.uint8)}
    with pytest.raises(UserError, match="label maps"):
        only("object")(rng, square, 0)
    with pytest.raises(UserError, match="widen area"):
        only("brush", area=(0.9990, 0.9999))(rng, square, 0)
