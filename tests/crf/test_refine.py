import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from scenes import coarse_scene

import segsynth
from segsynth import crf
from segsynth.crf import PRESETS, Crf, HardLabels, Heat, Refinement, refine_batch
from segsynth.errors import UserError

HEIGHT, WIDTH, CLASSES = 30, 40, 6


def short(preset, iterations=2):
    """Fewer steps compile in less time."""
    how = PRESETS[preset]
    return dataclasses.replace(how, crf=dataclasses.replace(how.crf, iterations=iterations))


SHORT = short("coarse")


def refine(image, labels, preset=SHORT, **kwargs):
    return crf.refine(image, labels, preset=preset, **kwargs)


@pytest.fixture(scope="module")
def scene():
    """Picture, truth and labels uint8 with 255 = unlabelled; classes 4 and 5 do not occur."""
    image, truth, coarse = coarse_scene(HEIGHT, WIDTH)
    assert 0.1 < (coarse < 0).mean() < 0.9
    return image, truth, np.where(coarse < 0, 255, coarse).astype(np.uint8)


@pytest.fixture(scope="module")
def dense(scene):
    image, _, labels = scene
    return refine(image, labels, num_classes=CLASSES, probabilities=True)


def test_given_labels_stay_and_the_rest_follows_the_picture(scene, dense):
    _, truth, labels = scene
    found, _ = dense
    given = labels < 255
    assert found.dtype == np.uint8 and found.shape == (HEIGHT, WIDTH)
    assert np.array_equal(found[given], labels[given])
    assert (found == truth)[~given].mean() > 0.97


STRONG = Refinement(HardLabels(0.6), Crf(20.0, 500.0, 30.0, 0.0, 3.0, iterations=2), mode="full")


@pytest.mark.parametrize(("preset", "fast"), [(SHORT, False), (SHORT, True), (STRONG, False)])
def test_wrong_labels_stay_too(scene, preset, fast):
    image, _, labels = scene
    given = labels < 255
    wrong = np.where(given, (labels + 1) % 4, 255).astype(np.uint8)
    # A strong CRF, left alone, would repaint one pixel of another label among many.
    wrong[5::5, 5::5] = np.where(given, (wrong + 1) % 4, 255)[5::5, 5::5]
    found = refine(image, wrong, num_classes=CLASSES, preset=preset, fast=fast)
    assert np.array_equal(found[given], wrong[given])


def test_probabilities_belong_to_the_labels(scene, dense):
    _, _, labels = scene
    found, q = dense
    given = labels < 255
    assert q.shape == (HEIGHT, WIDTH, CLASSES) and q.dtype == np.float32
    assert np.array_equal(q.argmax(-1), found)
    assert np.array_equal(q[given], np.eye(CLASSES, dtype=np.float32)[labels[given]])
    np.testing.assert_allclose(q.sum(-1), 1, atol=1e-5)
    assert not q[..., 4:].any() and (q[~given].max(-1) < 1).any()


@pytest.mark.parametrize("fast", [False, True])
def test_ignored_pixels_keep_their_label_and_tell_nothing(scene, fast):
    image, _, labels = scene
    framed = labels.copy()
    framed[:, :6], image_b = 250, image.copy()
    image_b[:, :6] = 255 - image_b[:, :6]
    found, q = (
        refine(i, framed, num_classes=CLASSES, ignore=250, fast=fast, probabilities=True)
        for i in (image, image_b)
    )
    assert (found[0][:, :6] == 250).all() and (found[0][:, 6:] < CLASSES).all()
    assert not found[1][:, :6].any() and found[1][:, 6:].any(-1).all()
    # What lies under the frame has no say.
    np.testing.assert_allclose(found[1][:, 6:], q[1][:, 6:], atol=1e-5)


def test_ignore_and_unlabelled_differ(scene):
    image, _, labels = scene
    with pytest.raises(UserError, match="unlabelled and ignore are both 255"):
        refine(image, labels, num_classes=CLASSES, ignore=255)
    with pytest.raises(UserError, match="or 250, ignore: there is nothing"):
        refine(image, np.full_like(labels, 250), num_classes=CLASSES, ignore=250)


@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.uint16])
def test_types_and_numbers_of_labels_are_free(scene, dense, dtype):
    image, _, labels = scene
    # Class 0 becomes 5, and 0 is unlabelled.
    names = np.zeros(256, dtype)
    names[:4] = [5, 1, 2, 3]
    found = refine(image, names[labels], num_classes=CLASSES, unlabelled=0)
    assert found.dtype == dtype
    assert (found == names[dense[0]]).mean() >= 0.999


def test_negative_unlabelled_jax_arrays_and_views(scene, dense):
    image, _, labels = scene
    signed = np.where(labels == 255, -1, labels.astype(np.int32))
    found = refine(jnp.asarray(image), jnp.asarray(signed), num_classes=4, unlabelled=-1)
    assert np.array_equal(found, dense[0])
    wide = np.repeat(labels, 2, axis=1)[:, ::2]
    assert np.array_equal(refine(image, wide, num_classes=4), dense[0])


@pytest.mark.parametrize(
    "change",
    [np.float32, np.uint16, np.int64, lambda x: x.astype(float)],
    ids=["float32", "uint16", "int64", "float64"],
)
def test_levels_may_have_any_type(scene, dense, change):
    image, _, labels = scene
    assert np.array_equal(refine(change(image), labels, num_classes=CLASSES), dense[0])


def test_grey_pictures_are_grey_rgb(scene):
    image, _, labels = scene
    grey = image[..., 1]
    expected = refine(np.repeat(grey[..., None], 3, -1), labels, num_classes=4)
    assert np.array_equal(refine(grey, labels, num_classes=4), expected)
    assert np.array_equal(refine(grey[..., None], labels, num_classes=4), expected)


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (30, 40)])
def test_one_class_fills_the_map_and_a_full_map_stays(shape):
    image = np.zeros((*shape, 3), np.uint8)
    one = np.full(shape, 255, np.uint8)
    one[0, 0] = 3
    found, q = refine(image, one, num_classes=5, probabilities=True)
    assert (found == 3).all() and found.dtype == np.uint8
    assert (q[..., 3] == 1).all() and q.sum() == found.size
    full = (np.arange(found.size) % 5).reshape(shape).astype(np.int32)
    assert np.array_equal(refine(image, full, num_classes=5), full)


SMALL = np.zeros((4, 6, 3), np.uint8)
SOME = np.array([[0, 1, 2, 255, 255, 255]] * 4, np.uint8)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"labels": np.full((4, 6), 255, np.uint8)}, "nothing to spread"),
        ({"labels": SOME + np.uint8(1)}, "label 3 among"),
        ({"labels": SOME.astype(np.int32) - 1}, "label 254 among"),
        ({"labels": np.where(SOME == 0, -3, SOME.astype(int))}, "label -3 among"),
        ({"num_classes": 2}, "expected 0..1 or 255"),
        ({"labels": SOME[:, :5]}, "6 x 4 pixels, labels of 5 x 4"),
        ({"labels": np.repeat(SOME[..., None], 3, -1)}, "colours"),
        ({"labels": SOME.astype(np.float32)}, "float32"),
        ({"image": SMALL + np.float32(0.5)}, "multiply it by 255"),
        ({"image": SMALL + np.float32(np.nan)}, "not in 0..255"),
        ({"image": SMALL + np.float32(-1)}, "not in 0..255"),
        ({"image": SMALL.astype(np.uint16) + np.uint16(60000)}, "divide its 16 bits by 257"),
        ({"image": np.zeros((4, 6, 4), np.uint8)}, "alpha"),
        ({"image": np.zeros((4, 6, 3), bool)}, "bool"),
        ({"image": np.zeros((0, 6, 3), np.uint8)}, "no pixel"),
        ({"preset": "best"}, "coarse, pydensecrf"),
    ],
)
def test_refusals_are_one_line(change, says):
    arguments = {"image": SMALL, "labels": SOME, "num_classes": 3} | change
    with pytest.raises(UserError) as error:
        refine(**arguments)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_batch_is_its_pictures(scene, dense):
    image, _, labels = scene
    fewer = np.where(labels == 1, 255, labels).astype(np.uint8)
    images = [image, image[:, ::-1], image[::2], image]
    maps = [labels, labels[:, ::-1], labels[::2], fewer]
    found = refine_batch(images, maps, num_classes=CLASSES, probabilities=True, preset=SHORT)
    assert np.array_equal(found[0][0], dense[0])
    np.testing.assert_allclose(found[0][1], dense[1], atol=1e-5)
    for (batched, _), picture, given in zip(found, images, maps, strict=True):
        assert np.array_equal(batched, refine(picture, given, num_classes=CLASSES))
    assert refine_batch([], [], num_classes=3) == []
    with pytest.raises(UserError, match="image 1 of the batch: label 3"):
        refine_batch([SMALL, SMALL], [SOME, SOME + np.uint8(1)], num_classes=3)
    with pytest.raises(UserError, match="2 images and 1 label maps"):
        refine_batch([SMALL, SMALL], [SOME], num_classes=3)


def test_pinning_changes_nothing_but_the_time(scene, dense):
    image, _, labels = scene
    full = dataclasses.replace(SHORT, mode="full")
    found = refine(image, labels, num_classes=CLASSES, preset=full)
    assert (found == dense[0]).mean() >= 0.9999


def test_fast_changes_few_labels(scene, dense):
    image, _, labels = scene
    found = refine(image, labels, num_classes=CLASSES, fast=True)
    assert (found == dense[0]).mean() >= 0.98


def test_widths_follow_the_image_s():
    crf = Refinement(Heat(), Crf(2.0, 160.0, 8.0, 1.0, 6.0)).crf_at(512)
    assert (crf.appearance_xy, crf.smoothness_xy) == (40.0, 1.5)
    assert (crf.appearance, crf.appearance_rgb, crf.smoothness) == (2.0, 8.0, 1.0)


def test_the_crf_of_a_refinement_is_used(scene):
    """Without kernels, labels are those of the unary; a penalty on a class drives it out."""
    image, _, labels = scene
    none = Refinement(HardLabels(0.9), Crf(0.0, 80.0, 13.0, 0.0, 3.0), mode="full")
    _, q = refine(image, labels, num_classes=4, preset=none, probabilities=True)
    np.testing.assert_allclose(q[labels == 255], 0.25, atol=1e-5)
    costly = tuple(tuple(8.0 * (column == 2) for column in range(4)) for _ in range(4))
    drive = dataclasses.replace(SHORT, compat=tuple(zip(*costly, strict=True)))
    gap = labels == 255
    before, after = (
        refine(image, labels, num_classes=4, preset=how)[gap] for how in (SHORT, drive)
    )
    assert (after == 2).sum() < 0.5 * (before == 2).sum()
    with pytest.raises(UserError, match="compat of shape"):
        refine(image, labels, num_classes=5, preset=drive)


@pytest.mark.parametrize("seed", range(3))
def test_any_size_and_any_picture_gives_classes_of_the_map(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 60, 2) if seed else (1, 2)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    if seed == 2:
        image[:] = 77
    labels = rng.choice(np.array([0, 2, 255], np.uint8), (height, width), p=[0.2, 0.2, 0.6])
    labels[0, :2] = [2, 255] if seed else [2, 0]
    found, q = refine(
        image, labels, num_classes=3, preset=short("coarse", 1), probabilities=True, fast=seed == 1
    )
    assert set(np.unique(found)) <= set(np.unique(labels)) - {255}
    assert np.isfinite(q).all()
    assert np.array_equal(found[labels < 255], labels[labels < 255])


def test_the_package_shows_it():
    assert segsynth.crf.refine is crf.refinement.refine
    with pytest.raises(AttributeError):
        _ = segsynth.crf.refined


def miou(found, truth):
    """Over the data set; ids from 11 are no class."""
    known = truth < 11
    hits = [((found == c) & (truth == c)).sum() for c in range(11)]
    sizes = [((found == c) & known).sum() + (truth == c).sum() for c in range(11)]
    return np.mean([h / (s - h) for h, s in zip(hits, sizes, strict=True)])


def street(test_data, count):
    Image = pytest.importorskip("PIL.Image")
    folder = test_data / "street_camvid"
    if not folder.is_dir():
        pytest.skip("no street_camvid in the test data")
    stems = (folder / "val.txt").read_text().split()[::2][:count]
    images = [np.asarray(Image.open(folder / f"images/{s}.jpg").convert("RGB")) for s in stems]
    maps = [
        np.stack([np.asarray(Image.open(folder / part / f"{s}.png")) for s in stems])
        for part in ("labels", "coarse")
    ]
    return images, *maps


def test_streets_gain_on_one_frame(test_data):
    images, truth, coarse = street(test_data, 1)
    half = (slice(None), slice(None, None, 2), slice(None, None, 2))
    found = crf.refine(images[0][::2, ::2], coarse[half][0], num_classes=11, unlabelled=11)
    assert (found == truth[half][0])[truth[half][0] < 11].mean() > 0.9
    assert (coarse == truth)[truth < 11].mean() < 0.8


@pytest.mark.slow
def test_streets_reach_the_published_figure_of_pydensecrf(test_data):
    images, truth, coarse = street(test_data, 30)
    before = miou(coarse, truth)
    for preset, least in (("coarse", 0.599), ("pydensecrf", before + 0.01)):
        found = refine_batch(images, coarse, num_classes=11, unlabelled=11, preset=preset)
        assert miou(np.stack(found), truth) > least
