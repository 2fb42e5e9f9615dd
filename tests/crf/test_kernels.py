import brute_force
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.crf import features, hashing, rows
from segsynth.crf.exact import Exact
from segsynth.crf.gaussian import separable
from segsynth.crf.lattice import blur, build_lattice, default_capacity
from segsynth.crf.simplex import Keys, _lift_matrix, enclosing_simplex
from segsynth.errors import UserError

SIZE = (17, 21)
POINTS = SIZE[0] * SIZE[1]


built = jax.jit(build_lattice, static_argnames=("bounds", "capacity"))


@pytest.fixture(scope="module")
def image():
    rng = np.random.default_rng(0)
    steps = (
        40 * (np.arange(SIZE[1]) // 7)[None, :, None]
        + 60 * (np.arange(SIZE[0]) // 9)[:, None, None]
    )
    return np.clip(steps + rng.integers(0, 30, (*SIZE, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def lattice(image):
    points = features.bilateral(jnp.asarray(image), 6.0, 25.0)
    bounds = features.bilateral_bounds(*SIZE, 6.0, 25.0)
    return built(points, bounds=bounds, capacity=4096)


@pytest.fixture(scope="module")
def x():
    return jnp.asarray(np.random.default_rng(1).random((POINTS, 3)), jnp.float32)


def dense_lattice(lattice):
    """The filter as a product of matrices, written out from the lattice's fields."""
    ids, weights = np.asarray(lattice.ids), np.asarray(lattice.weights, np.float64)
    size = lattice.neighbours.shape[2]
    splat = np.zeros((size, POINTS))
    for row, weight in zip(ids, weights, strict=True):
        np.add.at(splat, (row, np.arange(POINTS)), weight)
    spread = splat
    for side in np.asarray(lattice.neighbours):
        spread = spread + 0.5 * (spread[side[0]] + spread[side[1]])
    return splat.T @ spread / (1 + 2.0**-5)


def test_barycentric_weights_give_back_the_point():
    points = jnp.asarray(np.random.default_rng(2).normal(0, 5, (200, 5)), jnp.float32)
    q, rank, weights = enclosing_simplex(points, jnp.int32(0))
    assert float(weights.min()) > -1e-5
    np.testing.assert_allclose(weights.sum(0), 1.0, atol=1e-5)
    np.testing.assert_array_equal(np.sort(rank, axis=0), np.arange(6)[:, None] * np.ones(200))
    k = np.arange(6)[:, None, None]
    vertex = 6 * (np.asarray(q)[None] - (np.asarray(rank)[None] > 5 - k)) + k
    assert (vertex.sum(1) == 0).all()
    lifted = _lift_matrix(5) @ np.asarray(points).T
    np.testing.assert_allclose((np.asarray(weights)[:, None] * vertex).sum(0), lifted, atol=1e-3)


def test_keys_number_vertices_one_to_one(image):
    # b = 13, 1 and 0.1: one word, two words, three.
    points = np.unique(image.reshape(-1, 3), axis=0)
    for rgb, words in ((13.0, 1), (1.0, 2)):
        bounds = features.bilateral_bounds(*SIZE, 6.0, rgb)
        layout = Keys.from_bounds(bounds)
        assert len(layout.words) == words
        f = features.bilateral(jnp.asarray(image), 6.0, rgb)
        q, rank, _ = enclosing_simplex(f, jnp.int32(0))
        keys = np.stack([np.asarray(word) for word in layout.of_simplex(q, rank, jnp.int32(0))], -1)
        k = np.arange(6)[:, None, None]
        vertex = 6 * (np.asarray(q)[None] - (np.asarray(rank)[None] > 5 - k)) + k
        vertex = vertex.swapaxes(1, 2).reshape(-1, 6)
        keys = keys.reshape(-1, words)
        both = np.concatenate([vertex, keys], 1)
        count = len(np.unique(both, axis=0))
        assert count == len(np.unique(vertex, axis=0)) == len(np.unique(keys, axis=0))
    assert len(points) > 50


def test_bounds_that_float32_cannot_resolve_are_refused():
    with pytest.raises(UserError, match="float32"):
        Keys.from_bounds(((0.0, 1e6), (0.0, 1.0)))


@pytest.mark.parametrize("words", [1, 2])
def test_numbering_agrees_with_numpy(words):
    rng = np.random.default_rng(3)
    most = 950 if words == 1 else 30  # keys enough to meet in a slot
    keys = [rng.integers(0, most, (6, 400)).astype(np.uint32) for _ in range(words)]
    valid = rng.random(400) < 0.8
    numbers, table = hashing.number([jnp.asarray(k) for k in keys], 1024, jnp.asarray(valid))
    flat = np.stack(keys, -1)[:, valid].reshape(-1, words)
    unique, inverse = np.unique(flat, axis=0, return_inverse=True)
    assert int(table.count) == len(unique) and not bool(table.overflow)
    mine = np.asarray(numbers)[:, valid].reshape(-1)
    assert (np.asarray(numbers)[:, ~valid] == 0).all()
    assert len(np.unique(np.stack([mine, inverse.reshape(-1)], -1), axis=0)) == len(unique)
    asked = [jnp.asarray(np.concatenate([k, k + 1000], 1)) for k in keys]
    found = np.asarray(hashing.look_up(asked, table))
    np.testing.assert_array_equal(found[:, :400][:, valid], np.asarray(numbers)[:, valid])
    assert (found[:, 400:] == 0).all()


def test_too_small_a_capacity_is_reported():
    keys = [jnp.arange(600, dtype=jnp.uint32).reshape(6, 100)]
    numbers, table = hashing.number(keys, 128)
    assert bool(table.overflow) and int(numbers.max()) <= 128
    assert not bool(hashing.number(keys, 600)[1].overflow)


def test_filter_is_its_matrices(lattice, x):
    expected = dense_lattice(lattice) @ np.asarray(x, np.float64)
    np.testing.assert_allclose(jax.jit(lambda x: lattice.filter(x))(x), expected, rtol=2e-5)


def test_transpose_of_the_filter_reads_in_reverse_order(lattice, x):
    g = jnp.asarray(np.random.default_rng(4).random((POINTS, 3)), jnp.float32)
    before, after = x[:, 0] + 0.5, x[:, 1] + 0.5
    _, pull = jax.vjp(lambda x: lattice.filter(x, before, after), x)
    matrix = np.asarray(after)[:, None] * dense_lattice(lattice) * np.asarray(before)[None]
    np.testing.assert_allclose(pull(g)[0], matrix.T @ np.asarray(g, np.float64), rtol=5e-5)


def test_rows_hold_every_entry_once_over_many_tiles(monkeypatch):
    monkeypatch.setattr(rows, "_TILE", 32)
    rng = np.random.default_rng(8)
    ids, weights = rng.integers(0, 9, (3, 333)), rng.random((3, 333)).astype(np.float32) + 0.1
    grouped = rows.group(jnp.asarray(ids, jnp.int32), jnp.asarray(weights), 12)
    used = np.asarray(grouped.weights) > 0
    vertex = np.broadcast_to(np.asarray(grouped.vertex)[:, None], used.shape)[used]
    mine = zip(
        vertex, np.asarray(grouped.points)[used], np.asarray(grouped.weights)[used], strict=True
    )
    points = np.broadcast_to(np.arange(333), ids.shape)
    known = ids > 0
    expected = zip(ids[known], points[known], weights[known], strict=True)
    assert sorted(mine) == sorted(expected)
    counts = np.bincount(ids[known], minlength=9)
    assert int(grouped.count) == (-(-counts // rows.WIDTH)).sum()
    assert not used[int(grouped.count) :].any()


def test_blur_reversed_is_the_transpose(lattice):
    rng = np.random.default_rng(5)
    used = jnp.arange(lattice.neighbours.shape[2])[:, None] <= lattice.count
    a, b = (
        jnp.where(used, jnp.asarray(rng.random(used.shape), jnp.float32), 0.0).at[0].set(0.0)
        for _ in range(2)
    )
    forward, back = (b * blur(lattice, a)).sum(), (a * blur(lattice, b, reverse=True)).sum()
    np.testing.assert_allclose(forward, back, rtol=1e-4)


def test_lattice_approximates_the_gaussian(lattice, image, x):
    dense = brute_force.kernel(brute_force.bilateral(image, 6.0, 25.0))
    scale = np.asarray(1 / np.sqrt(lattice.mass(jnp.ones(POINTS))))
    mine = np.asarray(lattice.filter(x, jnp.asarray(scale), jnp.asarray(scale)))
    expected = brute_force.normalised(dense, "symmetric") @ np.asarray(x)
    assert np.linalg.norm(mine - expected) / np.linalg.norm(expected) < 0.05


def test_a_subset_sends_and_receives_as_in_the_whole(lattice, x):
    chosen = jnp.asarray(np.random.default_rng(6).permutation(POINTS)[:99])
    ones = jnp.ones(POINTS)
    sent = jnp.zeros_like(x).at[chosen].set(x[chosen])
    expected = lattice.filter(sent)[chosen]
    part = lattice.at(chosen)
    field = part.collect(x[chosen], ones[:99])
    np.testing.assert_allclose(part.read(part.spread(field), ones[:99]), expected, rtol=1e-5)
    labels = jnp.full(POINTS, -1).at[chosen].set(2)
    hot = jax.nn.one_hot(labels, 4)
    mine = lattice.read(lattice.spread(lattice.collect_labels(labels, ones * 3, 4)), ones)
    np.testing.assert_allclose(mine, 3 * lattice.filter(hot), rtol=1e-5, atol=1e-6)


def test_reading_at_its_own_points_is_slicing(lattice, image):
    reader = lattice.for_reading(features.bilateral(jnp.asarray(image), 6.0, 25.0))
    np.testing.assert_array_equal(reader.ids, lattice.ids)
    np.testing.assert_array_equal(reader.weights, lattice.weights)


def test_padding_points_have_no_vertices(image):
    f = features.bilateral(jnp.asarray(image), 6.0, 25.0)
    bounds = features.bilateral_bounds(*SIZE, 6.0, 25.0)
    mask = jnp.arange(POINTS) < 100
    some = built(f, bounds=bounds, capacity=4096, mask=mask)
    alone = built(f[:100], bounds=bounds, capacity=1024)
    assert int(some.count) == int(alone.count)
    ones = jnp.ones(POINTS)
    np.testing.assert_allclose(some.mass(ones)[:100], alone.mass(ones[:100]), rtol=1e-6)
    assert (some.mass(ones)[100:] == 0).all()


def test_capacity_changes_nothing_but_memory(lattice, image, x):
    f = features.bilateral(jnp.asarray(image), 6.0, 25.0)
    bounds = features.bilateral_bounds(*SIZE, 6.0, 25.0)
    assert default_capacity(POINTS) >= 6 * POINTS
    larger = built(f, bounds=bounds, capacity=16384)
    np.testing.assert_array_equal(larger.filter(x), lattice.filter(x))


@pytest.mark.parametrize("size", [(40, 41), (7, 30)])
def test_half_resolution_gaussian_is_within_a_hundredth(size):
    rng = np.random.default_rng(7)
    # Maps of classes: hard borders, and the soft values that a CRF's first update sees.
    blocks = rng.random((size[0] // 5 + 1, size[1] // 5 + 1)).repeat(5, 0).repeat(5, 1)
    soft = blocks[: size[0], : size[1]].reshape(-1)
    x = np.stack([soft, soft > 0.5], -1).astype(np.float32)
    k = separable(size, 3.0)
    assert k.factor == 2
    scale = jax.lax.rsqrt(k.mass(jnp.ones(x.shape[0])))
    mine = np.asarray(k.filter(jnp.asarray(x), scale, scale))
    y, xs = np.mgrid[: size[0], : size[1]]
    dense = brute_force.kernel(np.stack([xs, y], -1).reshape(-1, 2) / 3.0)
    expected = brute_force.normalised(dense, "symmetric") @ x
    assert np.linalg.norm(mine - expected) / np.linalg.norm(expected) < 0.01
    points = jnp.asarray(rng.permutation(x.shape[0])[:20])
    field = k.spread(k.collect(jnp.asarray(x), scale))
    np.testing.assert_allclose(k.at(points).read(field, scale[points]), mine[points], rtol=1e-5)


def test_gaussian_wider_than_the_image_is_flat_and_no_larger_program():
    k = separable((6, 9), 900.0)
    ones = jnp.ones(54)
    x = jnp.asarray(np.random.default_rng(0).random((54, 2)), jnp.float32)
    found = np.asarray(k.filter(x, ones, 1.0 / k.mass(ones)))
    np.testing.assert_allclose(found, np.broadcast_to(x.mean(0), (54, 2)), rtol=1e-3)
    assert str(jax.make_jaxpr(k.mass)(ones)).count(" mul ") < 40


def test_narrow_gaussian_runs_at_full_resolution():
    k = separable((6, 9), 1.0)
    y, x = np.mgrid[:6, :9]
    dense = brute_force.kernel(np.stack([x, y], -1).reshape(-1, 2) / 1.0)
    mine = np.asarray(k.filter(jnp.eye(54)))
    np.testing.assert_allclose(mine / mine[0, 0], dense, atol=2e-3)


@pytest.mark.parametrize("exclude_self", [False, True])
def test_exact_agrees_with_numpy(image, x, exclude_self):
    f = brute_force.bilateral(image, 6.0, 25.0)
    dense = brute_force.kernel(f)
    if exclude_self:
        np.fill_diagonal(dense, 0)
    mine = Exact(jnp.asarray(f, jnp.float32), block=64, exclude_self=exclude_self).filter(x)
    np.testing.assert_allclose(mine, dense @ np.asarray(x), rtol=1e-5)
