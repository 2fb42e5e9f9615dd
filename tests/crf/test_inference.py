import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.crf import features, inference
from segsynth.crf.inference import infer, infer_batch
from segsynth.crf.lattice import build_lattice, default_capacity
from segsynth.crf.mean_field import mean_field
from segsynth.crf.parameters import Crf
from segsynth.errors import UserError

SIZE = (16, 21)
CRF = Crf(4.0, 8.0, 20.0, 1.0, 3.0, iterations=2)


def scene(height, width, classes=3, seed=0, noise=12):
    rng = np.random.default_rng(seed)
    regions = (np.arange(width) * classes // width)[None] + np.zeros((height, 1), int)
    colours = rng.integers(0, 256, (classes, 3))
    image = np.clip(colours[regions] + rng.normal(0, noise, (height, width, 3)), 0, 255)
    labels = np.where(rng.random((height, width)) < 0.5, regions, -1)
    heat = np.where(labels[..., None] < 0, 1 / classes, np.eye(classes)[labels])
    heat = np.clip(heat, 1e-5, 1)
    return image.astype(np.uint8), -np.log(heat).astype(np.float32), labels, regions


@pytest.fixture(scope="module")
def golden(test_data):
    path = test_data / "crf_pydensecrf" / "golden" / "small_symmetric.npz"
    if not path.is_file():
        pytest.skip("no crf_pydensecrf/golden/small_symmetric.npz in the test data")
    stored = np.load(path)
    unary, q = (stored[k].reshape(11, 90, 120).transpose(1, 2, 0) for k in ("unary", "Q"))
    return stored["image"], unary, q


@pytest.fixture(scope="module")
def golden_full(golden):
    return np.asarray(infer(*golden[:2], Crf(10.0, 20.0, 13.0, 3.0, 3.0)))


def test_two_lattices_are_pydensecrf(golden):
    image, unary, expected = golden

    @jax.jit
    def run(image, unary):
        bounds = features.bilateral_bounds(90, 120, 20.0, 13.0)
        points = features.bilateral(image, 20.0, 13.0), features.positions(90, 120, 3.0)
        capacity = default_capacity(10800)
        a = build_lattice(points[0], bounds=bounds, capacity=capacity)
        b = build_lattice(points[1], bounds=((0, 119 / 3), (0, 89 / 3)), capacity=capacity)
        return mean_field(unary, [a, b], [10.0, 3.0], iters=5), a.overflow | b.overflow

    q, overflow = run(jnp.asarray(image), jnp.asarray(unary))
    assert not bool(overflow)
    assert np.abs(np.asarray(q) - expected).max() <= 1e-4
    assert (np.asarray(q).argmax(-1) == expected.argmax(-1)).mean() >= 0.9999


def test_half_resolution_smoothing_changes_almost_no_label(golden, golden_full):
    assert (golden_full.argmax(-1) == golden[2].argmax(-1)).mean() >= 0.9995


def test_coarse_to_fine_agrees_with_full(golden, golden_full):
    q = infer(*golden[:2], Crf(10.0, 20.0, 13.0, 3.0, 3.0), mode="coarse_to_fine")
    assert (np.asarray(q).argmax(-1) == golden_full.argmax(-1)).mean() >= 0.99


def test_pinned_keeps_labels_and_agrees_with_full_elsewhere():
    image, unary, labels, regions = scene(*SIZE)
    full, pinned, fast = (
        np.asarray(infer(image, unary, CRF, mode=mode, labels=labels))
        for mode in ("full", "pinned", "fast")
    )
    known = labels >= 0
    for q in (pinned, fast):
        np.testing.assert_array_equal(q[known], np.eye(3)[labels[known]])
        np.testing.assert_allclose(q.sum(-1), 1.0, atol=1e-5)
    np.testing.assert_allclose(pinned[~known], full[~known], atol=1e-3)
    assert (fast.argmax(-1) == full.argmax(-1)).mean() >= 0.992
    assert (full.argmax(-1) == regions).mean() > 0.98
    assert (unary.argmin(-1) == regions).mean() < 0.9


def test_fast_without_labels_is_coarse_to_fine_and_pinned_needs_them():
    image, unary, labels, _ = scene(*SIZE)
    a, b = (infer(image, unary, CRF, mode=m) for m in ("fast", "coarse_to_fine"))
    np.testing.assert_array_equal(a, b)
    with pytest.raises(UserError, match="labels"):
        infer(image, unary, CRF, mode="pinned")
    everything = np.maximum(labels, 0)
    q = infer(image, unary, CRF, mode="pinned", labels=everything)
    np.testing.assert_array_equal(np.asarray(q).argmax(-1), everything)


def test_absent_classes_are_left_out():
    image, unary, labels, _ = scene(*SIZE)
    wide = np.full((*SIZE, 6), -np.log(1e-5), np.float32)
    wide[..., [0, 2, 5]] = unary
    compat = np.random.default_rng(0).random((6, 6)).astype(np.float32)
    kept = np.ix_([0, 2, 5], [0, 2, 5])
    a = np.asarray(infer(image, wide, CRF, compat=compat))
    b = np.asarray(infer(image, unary, CRF, compat=compat[kept]))
    np.testing.assert_array_equal(a[..., [0, 2, 5]], b)
    assert (a[..., [1, 3, 4]] == 0).all()
    renamed = np.where(labels < 0, -1, np.take([0, 2, 5], labels))
    a = np.asarray(infer(image, wide, CRF, mode="pinned", labels=renamed))
    b = np.asarray(infer(image, unary, CRF, mode="pinned", labels=labels))
    np.testing.assert_array_equal(a[..., [0, 2, 5]], b)
    one = np.full((*SIZE, 3), 1e9, np.float32)
    one[..., 1] = 0
    assert (np.asarray(infer(image, one, CRF))[..., 1] == 1).all()


@pytest.mark.parametrize("mode", ["full", "fast"])
def test_batches_are_singles_bit_for_bit_and_devices_share_them(mode):
    scenes = [scene(*SIZE, seed=i) for i in range(4)]
    images, unaries, labels = (np.stack(part) for part in list(zip(*scenes, strict=True))[:3])
    batch = np.asarray(infer_batch(images, unaries, CRF, mode=mode, labels=labels))
    singles = [
        np.asarray(infer(i, u, CRF, mode=mode, labels=t))
        for i, u, t in zip(images, unaries, labels, strict=True)
    ]
    np.testing.assert_array_equal(batch, np.stack(singles))
    mesh = jax.make_mesh((3,), ("data",), devices=jax.devices()[:3])
    spread = infer_batch(images, unaries, CRF, mode=mode, labels=labels, mesh=mesh)
    assert len({shard.device for shard in spread.addressable_shards}) > 1
    np.testing.assert_array_equal(np.asarray(spread), batch)


def test_padding_under_a_mask_does_not_reach_the_image():
    image, unary, _, _ = scene(*SIZE)
    padded, wide = np.zeros((20, 24, 3), np.uint8), np.zeros((20, 24, 3), np.float32)
    padded[:16, :21], wide[:16, :21] = image, unary
    mask = np.zeros((20, 24), bool)
    mask[:16, :21] = True
    q = np.asarray(infer(padded, wide, CRF, mask=mask))[:16, :21]
    np.testing.assert_allclose(q, infer(image, unary, CRF), atol=2e-2)
    assert (q.argmax(-1) == np.asarray(infer(image, unary, CRF)).argmax(-1)).mean() > 0.99


def test_one_compilation_per_size():
    for seed in (0, 1):
        infer(*scene(*SIZE, seed=seed)[:2], CRF)
        before, size = inference._solve._cache_size(), seed
    infer(*scene(*SIZE, seed=7, noise=40)[:2], CRF)
    assert inference._solve._cache_size() == before and size == 1


def test_a_lattice_that_is_too_small_is_built_again(monkeypatch):
    image, unary, _, _ = scene(*SIZE)
    expected = infer(image, unary, CRF)
    tried = []
    solve = inference._solve

    def counting(*args, **kwargs):
        tried.append(kwargs["capacity"])
        return solve(*args, **kwargs)

    default = default_capacity(SIZE[0] * SIZE[1])
    monkeypatch.setattr(inference, "default_capacity", lambda points: default // 16)
    monkeypatch.setattr(inference, "_solve", counting)
    np.testing.assert_array_equal(infer(image, unary, CRF), expected)
    assert tried == [default // 16, default // 8, default // 4]


@pytest.mark.parametrize(
    ("size", "rgb", "mode"),
    [
        ((1, 1), 13.0, "full"),
        ((1, 9), 1e-3, "full"),
        ((5, 7), 1e-3, "fast"),
        ((65, 63), 1e3, "full"),
        pytest.param((1, 1), 13.0, "fast", marks=pytest.mark.slow),
        pytest.param((8, 1), 1e3, "coarse_to_fine", marks=pytest.mark.slow),
        pytest.param((65, 63), 0.3, "pinned", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("content", ["noise", "constant"])
def test_odd_sizes_and_widths(size, rgb, mode, content):
    rng = np.random.default_rng(4)
    image = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
    if content == "constant":
        image[:] = 255
    unary = rng.random((*size, 2)).astype(np.float32)
    labels = rng.integers(-1, 2, size)
    crf = Crf(3.0, 5.0, rgb, 1.0, 1e-3 if rgb == 13.0 else 2.0, iterations=2)
    q = np.asarray(infer(image, unary, crf, mode=mode, labels=labels))
    assert q.shape == unary.shape and np.isfinite(q).all()
    np.testing.assert_allclose(q.sum(-1), 1.0, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(image=np.full((4, 5, 3), 0.5, np.float32)), "0..255"),
        (dict(image=np.full((4, 5, 3), np.nan, np.float32)), "without NaN"),
        (dict(image=np.zeros((4, 5), np.uint8)), "height, width, 3"),
        (dict(unary=np.zeros((5, 4, 2), np.float32)), "unary of shape"),
        (dict(unary=np.full((4, 5, 2), np.nan, np.float32)), "NaN"),
        (dict(labels=np.full((4, 5), 2), mode="pinned"), "label 2 of 2"),
        (dict(labels=np.zeros((5, 4), int), mode="fast"), "labels of shape"),
        (dict(compat=np.zeros(3, np.float32)), "compat of shape"),
        (dict(compat=float("nan")), "finite"),
        (dict(mask=np.zeros((5, 4), bool)), "mask of shape"),
    ],
)
def test_mistakes_are_one_line(change, message):
    args = dict(image=np.zeros((4, 5, 3), np.uint8), unary=np.zeros((4, 5, 2), np.float32))
    args |= change
    with pytest.raises(UserError, match=message) as error:
        infer(args.pop("image"), args.pop("unary"), CRF, **args)
    assert "\n" not in str(error.value)


def test_parameters_are_checked():
    for name, value in (("appearance", -1.0), ("smoothness_xy", 0.0), ("appearance_rgb", np.nan)):
        good = dict(zip(Crf.__dataclass_fields__, (1.0, 2.0, 3.0, 4.0, 5.0), strict=False))
        with pytest.raises(UserError, match=name):
            Crf(**(good | {name: value}))
