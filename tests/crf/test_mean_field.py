import functools

import brute_force
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.crf import features
from segsynth.crf.energy import energy, kl_divergence
from segsynth.crf.exact import Exact
from segsynth.crf.gaussian import separable
from segsynth.crf.lattice import build_lattice, default_capacity
from segsynth.crf.mean_field import mean_field
from segsynth.crf.unary import unary_from_heatmap, unary_from_labels, unary_from_logits
from segsynth.errors import UserError

SIZE = (10, 12)
CLASSES = 4
POTTS = 1.0 - np.eye(CLASSES)
MATRIX = np.abs(np.random.default_rng(9).normal(1, 0.5, (CLASSES, CLASSES)))


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(0)
    image = np.clip(
        90 * (np.arange(12) // 4)[None, :, None] + rng.integers(0, 20, (10, 12, 3)), 0, 255
    )
    unary = rng.normal(0, 1, (*SIZE, CLASSES)).astype(np.float32) ** 2
    return image, unary


@pytest.fixture(scope="module")
def exact(scene):
    f = [brute_force.bilateral(scene[0], 4.0, 30.0), brute_force.bilateral(scene[0], 2.0, 1e6)]
    kernels = [Exact(jnp.asarray(x, jnp.float32)) for x in f]
    return kernels, [brute_force.kernel(x) for x in f]


@pytest.mark.parametrize("norm", ["symmetric", "before", "after", "none"])
@pytest.mark.parametrize(
    ("compat", "mu"),
    [
        (1.7, 1.7 * POTTS),
        (np.float32([0.2, 1, 0.5, 2]), np.diag([0.2, 1, 0.5, 2])),
        (MATRIX.astype(np.float32), MATRIX),
    ],
    ids=["potts", "diagonal", "matrix"],
)
def test_agrees_with_numpy(scene, exact, norm, compat, mu):
    compat = jnp.asarray(compat)
    mine = mean_field(jnp.asarray(scene[1]), exact[0], [2.0, 1.0], compat, iters=3, norm=norm)
    expected = brute_force.mean_field(scene[1], exact[1], [2.0, 1.0], [mu, mu], 3, norm)
    np.testing.assert_allclose(mine, expected, atol=1e-5)


def test_potts_is_a_matrix_and_kernels_may_differ(scene, exact):
    run = functools.partial(mean_field, jnp.asarray(scene[1]), exact[0], [2.0, 1.0], iters=3)
    potts = run(1.5)
    np.testing.assert_allclose(potts, run(jnp.asarray(1.5 * POTTS, jnp.float32)), atol=1e-5)
    np.testing.assert_allclose(run(), run(1.0), atol=1e-7)
    mine = run((1.5, jnp.asarray(MATRIX, jnp.float32)))
    mus = [1.5 * POTTS, MATRIX]
    expected = brute_force.mean_field(scene[1], exact[1], [2.0, 1.0], mus, 3)
    np.testing.assert_allclose(mine, expected, atol=1e-5)
    assert np.abs(np.asarray(mine) - np.asarray(potts)).max() > 0.01


@pytest.mark.parametrize("norm", ["symmetric", "none"])
def test_masked_pixels_listen_but_do_not_speak(scene, exact, norm):
    mask = np.random.default_rng(1).random(SIZE) < 0.7
    run = functools.partial(mean_field, kernels=exact[0], weights=[2.0, 1.0], iters=3, norm=norm)
    mine = run(jnp.asarray(scene[1]), mask=jnp.asarray(mask))
    mus = [POTTS, POTTS]
    expected = brute_force.mean_field(
        scene[1], exact[1], [2.0, 1.0], mus, 3, norm, mask.astype(float)
    )
    np.testing.assert_allclose(mine, expected, atol=1e-5)
    other = np.where(mask[..., None], scene[1], 5 - scene[1])
    np.testing.assert_allclose(
        run(jnp.asarray(other), mask=jnp.asarray(mask))[mask], np.asarray(mine)[mask], atol=1e-6
    )


def test_many_updates_are_scanned_to_the_same_result(scene, exact):
    run = functools.partial(mean_field, jnp.asarray(scene[1]), exact[0], [1.0, 0.5])
    expected = brute_force.mean_field(scene[1], exact[1], [1.0, 0.5], [POTTS, POTTS], 12)
    np.testing.assert_allclose(run(iters=12), expected, atol=2e-5)
    np.testing.assert_allclose(run(iters=0), brute_force.softmax(-scene[1]), atol=1e-6)


def test_gradients_follow_the_exact_kernel():
    rng = np.random.default_rng(2)
    size = (24, 32)
    regions = (np.arange(32) // 11)[None] + (np.arange(24) // 13)[:, None]
    target = jnp.asarray(regions)
    image = jnp.asarray(np.clip(60 * regions[..., None] + rng.normal(30, 8, (*size, 3)), 0, 255))
    unary = jnp.asarray(rng.normal(0, 1.2, (*size, 4)) - 1.5 * np.eye(4)[regions], jnp.float32)
    points = features.bilateral(image, 8.0, 25.0), features.positions(*size, 3.0)
    bounds = features.bilateral_bounds(*size, 8.0, 25.0)
    ours = [
        build_lattice(points[0], bounds=bounds, capacity=default_capacity(24 * 32)),
        separable(size, 3.0),
    ]
    assert not bool(ours[0].overflow)

    @jax.jit
    def loss(unary, weights, kernels):
        q = mean_field(unary, kernels, list(weights), iters=3)
        return -jnp.take_along_axis(jnp.log(q + 1e-9), target[..., None], -1).mean()

    gradient = jax.jit(jax.grad(loss, (0, 1)))
    weights = jnp.asarray([1.0, 0.5])
    mine, reference = (
        gradient(unary, weights, kernels) for kernels in (ours, [Exact(p) for p in points])
    )
    a, b = (np.asarray(g[0]).ravel() for g in (mine, reference))
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) >= 0.999
    np.testing.assert_allclose(mine[1], reference[1], rtol=0.1)
    step = jnp.asarray([0.02, 0.0])
    slope = (loss(unary, weights + step, ours) - loss(unary, weights - step, ours)) / 0.04
    np.testing.assert_allclose(mine[1][0], slope, rtol=0.02)


def test_widths_of_the_exact_kernel_are_differentiable(scene):
    base = jnp.asarray(brute_force.bilateral(scene[0], 1.0, 1.0), jnp.float32)

    @jax.jit
    def loss(widths):
        sds = jnp.concatenate([jnp.full(2, widths[0]), jnp.full(3, widths[1])])
        q = mean_field(jnp.asarray(scene[1]), [Exact(base / sds[None])], [3.0], iters=3)
        return (q[..., 1] * jnp.arange(12.0)[None]).sum()

    at = np.float32([4.0, 30.0])
    gradient = np.asarray(jax.grad(loss)(jnp.asarray(at)))
    for i, step in enumerate((0.1, 1.0)):
        move = step * np.eye(2, dtype=np.float32)[i]
        difference = (loss(at + move) - loss(at - move)) / (2 * step)
        np.testing.assert_allclose(gradient[i], difference, rtol=0.02)


def test_energy_counts_each_pair_once(scene, exact):
    labels = np.random.default_rng(3).integers(0, CLASSES, SIZE)
    flat = labels.ravel()
    mine = energy(jnp.asarray(scene[1]), jnp.asarray(labels), exact[0], [2.0, 1.0], 1.5)
    expected = np.take_along_axis(scene[1], labels[..., None], -1).sum()
    for w, k in zip((2.0, 1.0), exact[1], strict=True):
        k = brute_force.normalised(k, "symmetric")
        expected += 0.5 * w * 1.5 * (k * (flat[:, None] != flat[None])).sum()
    np.testing.assert_allclose(mine, expected, rtol=1e-5)
    hot = jax.nn.one_hot(jnp.asarray(labels), CLASSES)
    at = kl_divergence(hot, jnp.asarray(scene[1]), exact[0], [2.0, 1.0], 1.5)
    np.testing.assert_allclose(at, expected, rtol=1e-5)


def test_updates_lower_the_free_energy(scene, exact):
    unary = jnp.asarray(scene[1])
    kernels, weights = exact[0], [1.0, 1.0]
    values = []
    for t in range(4):
        q = mean_field(unary, kernels, weights, iters=t)
        values.append(float(kl_divergence(q, unary, kernels, weights)))
    assert values == sorted(values, reverse=True) and values[0] - values[-1] > 0.1


def test_modes_name_what_they_lack(scene, exact):
    unary = jnp.asarray(scene[1])
    with pytest.raises(ValueError, match="labels"):
        mean_field(unary, exact[0], [1.0, 1.0], iters=1, mode="pinned")
    with pytest.raises(ValueError, match="readers"):
        mean_field(unary, exact[0], [1.0, 1.0], iters=1, mode="coarse_to_fine")
    with pytest.raises(ValueError, match="2 kernels"):
        mean_field(unary, exact[0], [1.0], iters=1)
    labels = jnp.zeros(SIZE, int).at[0].set(-1)
    free = dict(labels=labels, free=jnp.arange(12), free_samples=jnp.arange(6))
    for mode in ("pinned", "coarse_to_fine"):
        with pytest.raises(ValueError, match="Exact"):
            mean_field(unary, exact[0], [1.0, 1.0], iters=1, mode=mode, readers=exact[0], **free)


def test_unaries():
    labels = jnp.asarray([[0, 2, -1, 255]])
    p = np.exp(-np.asarray(unary_from_labels(labels, 3, 0.7)))
    np.testing.assert_allclose(
        p[0], [[0.7, 0.15, 0.15], [0.15, 0.15, 0.7], [1 / 3] * 3, [1 / 3] * 3]
    )
    np.testing.assert_allclose(unary_from_labels(labels, 1), 0.0)
    heat = unary_from_heatmap(jnp.asarray([0.0, 1.0, np.nan]))
    np.testing.assert_allclose(heat, [-np.log(1e-5), 0.0, -np.log(1e-5)], rtol=1e-6)
    logits = jnp.asarray([[1.0, 2.0]])
    np.testing.assert_allclose(jnp.exp(-unary_from_logits(logits)).sum(), 1.0, rtol=1e-6)
    for bad in (0.0, 1.0, 1.5):
        with pytest.raises(UserError, match="gt_prob"):
            unary_from_labels(labels, 3, bad)
