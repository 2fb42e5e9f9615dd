import dataclasses

import brute_force
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.crf import features, inference
from segsynth.crf.exact import Exact
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


def test_exact_is_the_dense_kernel(golden):
    image, unary, _ = (part[20:60, 30:80] for part in golden)
    crf = Crf(10.0, 20.0, 13.0, 3.0, 3.0)
    found = np.asarray(infer(image, unary, crf, mode="exact"))
    kernels = (
        Exact(features.bilateral(jnp.asarray(image), 20.0, 13.0)),
        Exact(features.positions(40, 50, 3.0)),
    )
    dense = np.asarray(mean_field(jnp.asarray(unary), kernels, [10.0, 3.0], iters=5))
    assert (found.argmax(-1) == dense.argmax(-1)).mean() >= 0.999
    lattice = np.asarray(infer(image, unary, crf))
    assert np.abs(found - dense).mean() < 0.5 * np.abs(lattice - dense).mean()


def test_coarse_to_fine_agrees_with_full(golden, golden_full):
    q = infer(*golden[:2], Crf(10.0, 20.0, 13.0, 3.0, 3.0), mode="coarse_to_fine")
    assert (np.asarray(q).argmax(-1) == golden_full.argmax(-1)).mean() >= 0.99


@pytest.mark.parametrize(
    ("crf", "least"),
    [
        (Crf(0.5, 20.0, 8.0, 3.0, 3.0), 0.998),
        # Ten times the pull of the appearance kernel: the lattice's own error shows.
        (Crf(10.0, 20.0, 13.0, 3.0, 3.0), 0.99),
    ],
    ids=["light", "pydensecrf's example"],
)
def test_a_photograph_s_crop_agrees_with_the_dense_kernel(golden, crf, least):
    crop = slice(22, 67), slice(30, 90)
    image, q = golden[0][crop], golden[2][crop]
    # Scores as of a network: the true class ahead, and noise.
    scores = 2.0 * np.eye(11)[q.argmax(-1)] + np.random.default_rng(0).normal(0, 1, q.shape)
    unary = -np.log(brute_force.softmax(scores))
    widths = (crf.appearance_xy, crf.appearance_rgb), (crf.smoothness_xy, 1e6)
    dense = [brute_force.kernel(brute_force.bilateral(image, *pair)) for pair in widths]
    weights, potts = [crf.appearance, crf.smoothness], 1.0 - np.eye(11)
    expected = brute_force.mean_field(unary, dense, weights, [potts, potts], crf.iterations)
    found = np.asarray(infer(image, unary, crf)).argmax(-1)
    assert (unary.argmin(-1) != expected.argmax(-1)).mean() > 0.2
    assert (found == expected.argmax(-1)).mean() >= least


@pytest.mark.slow
def test_fast_modes_agree_with_full_at_native_texture(test_data):
    """Specification, check 4: 1024x512 of photographs at their own scale, not enlarged."""
    Image = pytest.importorskip("PIL.Image")
    folder = test_data / "street_camvid"
    if not folder.is_dir():
        pytest.skip("no street_camvid in the test data")
    stems = (folder / "val.txt").read_text().split()[:60:10]

    def mosaic(part, kind):
        tiles = [np.asarray(Image.open(folder / part / f"{stem}.{kind}")) for stem in stems]
        rows = [np.concatenate(tiles[at : at + 3], axis=1) for at in (0, 3)]
        return np.concatenate(rows)[:512, :1024]

    image, coarse = mosaic("images", "jpg"), mosaic("coarse", "png").astype(int)
    labels = np.where(coarse < 11, coarse, -1)
    given = labels >= 0
    heat = np.where(given[..., None], 0.7 * np.eye(11)[labels] + 0.3 / 11, 1 / 11)
    crf, unary = Crf(10.0, 80.0, 13.0, 3.0, 3.0), -np.log(heat)
    full = np.asarray(infer(image, unary, crf)).argmax(-1)
    coarse_to_fine = np.asarray(infer(image, unary, crf, mode="coarse_to_fine")).argmax(-1)
    assert (coarse_to_fine == full).mean() >= 0.992
    fast = np.asarray(infer(image, unary, crf, mode="fast", labels=labels)).argmax(-1)
    assert (fast == np.where(given, labels, full)).mean() >= 0.992
    assert (fast == full)[~given].mean() >= 0.98


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


@pytest.mark.parametrize("mode", ["full", "pinned", "fast"])
def test_one_compilation_per_size_and_share(mode):
    def run(seed, noise, labels):
        infer(*scene(*SIZE, seed=seed, noise=noise)[:2], CRF, mode=mode, labels=labels)
        return inference._solve._cache_size()

    most = np.full(SIZE, -1)
    most[:2, :2] = 1
    once = run(0, 12, most)
    # A quarter of the pixels has no label, but every sampled one: the larger share counts.
    samples = np.zeros(SIZE, int)
    samples[1::4, ::2] = samples[2::4, 1::2] = -1
    sampled = np.asarray(features.sample(jnp.asarray(samples)))
    assert (sampled < 0).mean() > 0.9 and (samples < 0).mean() < 0.3
    assert run(1, 12, samples) == once
    assert run(7, 40, most[::-1]) == once


def test_few_lengths_of_lists_whatever_is_labelled(monkeypatch):
    seen = set()

    def solve(arrays, compat, **static):
        _, unary, _, free, samples, _ = arrays
        seen.add((free.shape, samples.shape))
        return jnp.zeros_like(unary), jnp.zeros(1, bool)

    monkeypatch.setattr(inference, "_solve", solve)
    image, unary, *_ = scene(*SIZE)
    rng = np.random.default_rng(0)
    for _ in range(60):
        labels = np.where(rng.random(SIZE) < rng.random(), -1, 0)
        labels[1::4, ::2] = labels[2::4, 1::2] = rng.integers(-1, 1)
        infer(image, unary, CRF, mode="fast", labels=labels)
    assert 4 < len(seen) <= inference._SHARES == 8


def test_a_capacity_that_was_found_is_remembered(monkeypatch):
    tried = []

    def solve(arrays, compat, *, capacity, **static):
        tried.append(capacity)
        return jnp.zeros_like(arrays[1]), jnp.full(1, capacity < 4 * default)

    default = default_capacity(SIZE[0] * SIZE[1])
    monkeypatch.setattr(inference, "_solve", solve)
    monkeypatch.setattr(inference, "_found_capacities", {})
    monkeypatch.setattr(inference, "_REMEMBERED", 2)
    image, unary, *_ = scene(*SIZE)
    search = [default, 2 * default, 4 * default]
    others = [dataclasses.replace(CRF, appearance=float(n)) for n in (1, 2)]
    for crf, expected in ((CRF, search), (CRF, search[2:]), *((o, search) for o in others)):
        tried.clear()
        infer(image, unary, crf)
        assert tried == expected
    assert len(inference._found_capacities) == 2
    tried.clear()
    infer(image, unary, CRF)
    assert tried == search  # the oldest of three was forgotten


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
    monkeypatch.setattr(inference, "_found_capacities", {})
    for _ in range(2):
        np.testing.assert_array_equal(infer(image, unary, CRF), expected)
    assert tried == [default // 16, default // 8, default // 4, default // 4]


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


@pytest.mark.slow
def test_any_size_width_and_content(monkeypatch):
    """Specification, check 11; every vertex that was dropped is reported."""
    overflows = []
    solve = inference._solve

    def watched(*args, **kwargs):
        q, overflow = solve(*args, **kwargs)
        overflows.append(bool(overflow.any()))
        return q, overflow

    monkeypatch.setattr(inference, "_solve", watched)
    rng = np.random.default_rng(11)
    sizes = [(1, 1), (65, 63), *rng.integers(1, (66, 64), (10, 2))]
    for number, size in enumerate(sizes):
        widths = 10.0 ** rng.uniform(-3, 3, 3)
        crf = Crf(3.0, *widths[:2], 1.0, widths[2], iterations=1)
        image = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
        if number % 3 == 2:
            image[:] = image[0, 0]
        unary = rng.random((*size, 2)).astype(np.float32)
        labels = rng.integers(-1, 2, size)
        mode = ("full", "pinned", "coarse_to_fine", "fast")[number % 4]
        q = np.asarray(infer(image, unary, crf, mode=mode, labels=labels))
        what = f"{size} {crf} {mode}"
        assert q.shape == unary.shape and np.isfinite(q).all(), what
        np.testing.assert_allclose(q.sum(-1), 1.0, atol=1e-5, err_msg=what)
        assert not overflows[-1], what


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(image=np.full((4, 5, 3), 257, np.uint16)), "divide its 16 bits by 257"),
        (dict(image=np.full((4, 5, 3), 300, np.int32)), "not in 0..255"),
        (dict(image=np.full((4, 5, 3), -1, np.int16)), "not in 0..255"),
        (dict(image=np.ones((4, 5, 3), bool)), "bool"),
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
