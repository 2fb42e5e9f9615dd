"""Crops, flips and holes: what is drawn once applies to every spatial key."""

import numpy as np
import pytest
from PIL import Image

from segsynth.data import modalities, transforms
from segsynth.data.mask_transform import InpaintingMask
from segsynth.errors import UserError


def _ramp(height, width):
    """An image that says where each of its pixels came from; labels and depth of the same."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    image = np.stack([rows, columns, np.zeros_like(rows)], -1)
    depth = (rows / 510 + columns / 510)[..., None].astype(np.float32)
    labels = (columns[..., None] // 10).astype(np.int32)
    return {"image": image, "segmentation": labels, "depth": depth}


def test_joint_crop_and_flip_keep_labels_aligned():
    rng = np.random.default_rng(0)
    crop, flip = transforms.CropResize(40, scale=(0.5, 0.5)), transforms.Flip(0.5)
    places = set()
    for _ in range(30):  # the side is 40 = the resolution, so that pixels are copied
        out = flip(crop(_ramp(80, 120), rng), rng)
        assert out["image"].shape == (40, 40, 3) and out["segmentation"].dtype == np.int32
        np.testing.assert_array_equal(out["segmentation"][..., 0], out["image"][..., 1] // 10)
        sums = out["image"].sum(-1) / 510
        np.testing.assert_allclose(out["depth"][..., 0], sums, atol=1e-6)
        places.add(tuple(out["image"][0, 0, :2]))
    assert len(places) > 20


def test_resized_labels_stay_aligned():
    out = transforms.CropResize(32, scale=(0.6, 1.0))(_ramp(80, 120), np.random.default_rng(1))
    # Ten columns a class: half a pixel of misplacement would show at half of the borders.
    expected = out["image"][..., 1].astype(float) / 10
    inside = np.abs(expected - np.round(expected)) > 0.15
    agree = out["segmentation"][..., 0] == np.floor(expected)
    assert agree[:, 2:-2][inside[:, 2:-2]].all()
    # Rows and columns were rounded to bytes, half a level each at most.
    off = out["depth"][..., 0] - out["image"].sum(-1) / 510
    assert np.abs(off[2:-2, 2:-2]).max() <= 1 / 510 + 1e-6


def test_nearest_takes_pixel_centres():
    labels = np.arange(7, dtype=np.int32)[:, None, None] * np.ones((1, 7, 1), np.int32)
    for size in (3, 5, 7, 10):
        expected = [int((i + 0.5) * 7 / size) for i in range(size)]
        assert transforms.nearest(labels, size)[:, 0, 0].tolist() == expected
        theirs = Image.fromarray(labels[..., 0]).resize((size, size), Image.Resampling.NEAREST)
        np.testing.assert_array_equal(transforms.nearest(labels, size)[..., 0], np.array(theirs))


def test_bicubic_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(transforms.filtered(stripes, (0, 0, 64, 64), 16).astype(int) - 127).max() < 30


def test_centre_crop_draws_nothing():
    crop = transforms.CropResize(80, random=False)
    out = crop(_ramp(80, 120), np.random.default_rng(0))
    assert out["image"][0, 0].tolist() == [0, 20, 0]
    np.testing.assert_array_equal(
        out["image"], crop(_ramp(80, 120), np.random.default_rng(9))["image"]
    )


def test_random_crop_reaches_both_ends():
    crop, rng = transforms.CropResize(8), np.random.default_rng(0)
    lefts = {int(crop(_ramp(8, 12), rng)["image"][0, 0, 1]) for _ in range(100)}
    assert lefts == {0, 1, 2, 3, 4}


def test_fitting_example_passes_unchanged():
    example = _ramp(32, 32)
    assert transforms.CropResize(32)(example, np.random.default_rng(0)) is example


def test_draws_do_not_depend_on_the_shape():
    after = []
    for example in (_ramp(32, 32), _ramp(80, 120)):
        rng = np.random.default_rng(0)
        transforms.CropResize(32)(example, rng)
        after.append(rng.random())
    assert after[0] == after[1]


def test_scalars_are_left_alone_and_the_input_is_not_changed():
    example = _ramp(40, 40) | {"index": np.int32(7)}
    before = {name: np.copy(value) for name, value in example.items()}
    out = transforms.Flip(1.0)(example, np.random.default_rng(0))
    assert out["index"] == 7
    np.testing.assert_array_equal(out["image"], before["image"][:, ::-1])
    np.testing.assert_array_equal(example["image"], before["image"])


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_flip_extremes(p):
    rng = np.random.default_rng(0)
    flips = [transforms.Flip(p)(_ramp(4, 4), rng)["image"][0, 0, 1] == 3 for _ in range(50)]
    assert all(flips) if p else not any(flips)


def test_user_errors():
    with pytest.raises(UserError, match="low <= high"):
        transforms.CropResize(32, scale=(0.9, 0.5))
    with pytest.raises(UserError, match="probability"):
        transforms.Flip(1.5)
    uneven = _ramp(40, 40) | {"segmentation": np.zeros((40, 41, 1), np.int32)}
    with pytest.raises(UserError, match="image 40 x 40, segmentation 40 x 41"):
        transforms.CropResize(8)(uneven, np.random.default_rng(0))


def _square(rng, example, index):
    mask = np.zeros((*example["image"].shape[:2], 1), np.uint8)
    mask[rng.integers(4) :, index:] = 1
    return mask, 2


def test_inpainting_mask_adds_the_hole_and_drops_what_nobody_reads():
    example = _ramp(16, 16) | {"index": np.asarray(5, np.int32)}
    out = InpaintingMask(_square, keys=("image", "mask", "mask_type"))(
        example, np.random.default_rng(0)
    )
    assert set(out) == {"image", "mask", "mask_type"}
    assert out["mask"][:, :5].sum() == 0 and out["mask"][-1, 5:].all()
    assert out["mask_type"] == 2 and out["mask_type"].dtype == np.int32
    everything = InpaintingMask(_square)(example, np.random.default_rng(0))
    assert set(everything) == {*example, "mask", "mask_type"}


def test_flip_swaps_left_and_right():
    labels = np.array([[[4], [0], [5]], [[9], [8], [2]]], np.uint8)
    bits = np.where(labels > 0, 1 << (labels.astype(np.int32) - 1) | 1, 0).astype(np.int32)
    example = {"labels": labels, "parts": bits, "image": np.zeros((2, 3, 3), np.uint8)}
    example |= {"coarse": labels, "segmentation": labels.astype(np.int32)}
    flip = transforms.Flip(1.0, ((4, 5), (8, 9)))
    there = flip(example, np.random.default_rng(0))
    for key in ("labels", "coarse", "segmentation"):
        assert there[key][..., 0].tolist() == [[4, 0, 5], [2, 9, 8]]
    assert there["parts"][0, :, 0].tolist() == [0b1001, 0, 0b10001]
    only_labels = transforms.Flip(1.0)(example, np.random.default_rng(0))
    assert (only_labels["labels"] == labels[:, ::-1]).all()
    assert (only_labels["parts"] == there["parts"]).all()  # parts are always CelebAMask-HQ's
    back = flip(there, np.random.default_rng(0))
    assert all((back[key] == example[key]).all() for key in example)


def test_every_filter_keeps_kind_and_constant():
    for method in ("bicubic", "bilinear", "area"):
        for picture in (np.full((9, 12, 3), 77, np.uint8), np.full((9, 12, 1), 0.25, np.float32)):
            small = transforms.filtered(picture, (0, 0, 12, 9), (3, 4), method)
            assert small.shape == (3, 4, picture.shape[-1]) and small.dtype == picture.dtype
            np.testing.assert_allclose(small, picture[0, 0, 0], rtol=1e-6)
    checks = np.indices((4, 4)).sum(0)[..., None] % 2 * np.float32(1)
    np.testing.assert_allclose(transforms.filtered(checks, (0, 0, 4, 4), 2, "area"), 0.5)


@pytest.mark.parametrize("transform", [transforms.CropResize(1), transforms.Resize((1, 1))])
def test_each_modality_is_resampled_by_its_filter(transform):
    numbers = np.array([[0, 1, 0], [1, 3, 1], [0, 1, 1]])
    example = {}
    for name, modality in modalities.MODALITIES.items():
        if modality.spatial:
            scaled = numbers * {"uint8": 60, "float32": 0.25, "int32": 1}[modality.dtype]
            scaled = numbers if name in ("mask", "labels", "coarse") else scaled
            example[name] = scaled[..., None].repeat(modality.channels, -1).astype(modality.dtype)
    out = {k: v[0, 0, 0] for k, v in transform(example, np.random.default_rng(0)).items()}
    for name in ("mask", "segmentation", "instance", "labels", "coarse", "parts"):
        assert out[name] == 3, name  # the pixel in the middle, never a mixture
    assert out["guide"] == round(8 / 9 * 60)  # the mean
    # A triangle and a cubic over three times its radius weigh the middle more.
    weights = np.outer((2, 3, 2), (2, 3, 2)) / 49
    np.testing.assert_allclose(out["depth"], 0.25 * (weights * numbers).sum(), atol=1e-6)
    for name in ("image", "drawing", "counterfactual"):
        assert out[name] not in (180, 53, round(60 * (weights * numbers).sum())), name
