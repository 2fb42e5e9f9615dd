"""Kernel distance against torchmetrics and brute force, and the tables of features behind it."""

import functools
import pathlib

import clu.metrics
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from segsynth.errors import UserError
from segsynth.metrics.examples import Examples, FeatureRows, sorted_rows
from segsynth.metrics.kernel_distance import (
    KernelDistance,
    kernel_distance,
    kernel_scores,
    subset_distances,
)
from segsynth.metrics.names import name_of
from segsynth.pretrained import loading

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "frechet.npz"
COUNT, WIDTH, CAPACITY = 16, 5, 20

merged = jax.jit(lambda a, b: a.merge(b))
score = jax.jit(functools.partial(KernelDistance.of, capacity=CAPACITY))


def features(count=COUNT, seed=0, shift=0.5):
    rng = np.random.default_rng(seed)
    real, fake = rng.standard_normal((2, count, WIDTH)).astype(np.float32)
    return real, fake + np.float32(shift)


@pytest.mark.parametrize("case", ["wide", "deep", "singular"])
def test_torchmetrics_on_all_examples(case):
    with np.load(GOLDEN) as golden:
        got = kernel_distance(golden[f"{case}/real"], golden[f"{case}/fake"])
        assert got == pytest.approx(float(golden[f"{case}/kernel"]), abs=1e-9)


def test_against_pairs_one_by_one():
    x, y = features(7)
    x = x[:5]

    def mean(first, second, same):
        pairs = [(a, b) for i, a in enumerate(first) for j, b in enumerate(second)]
        skipped = {i * (len(first) + 1) for i in range(len(first))} if same else set()
        kept = [p for i, p in enumerate(pairs) if i not in skipped]
        return np.mean([(np.dot(np.float64(a), b) / WIDTH + 1) ** 3 for a, b in kept])

    expected = mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-12)


def test_halves_of_one_set_are_at_zero_and_others_are_not():
    """The mean over many sets of what is unbiased."""
    found = [kernel_distance(*features(40, seed, shift=0)) for seed in range(200)]
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 3 * error
    shifted = [kernel_distance(*features(40, seed, shift=0.3)) for seed in range(200)]
    assert np.mean(shifted) > 10 * error
    # Subsets of one set and another half.
    halves = subset_distances(*features(400, 1, shift=0), subsets=50, size=40)
    assert abs(halves.mean()) < 3 * halves.std() / np.sqrt(400 / 40)


def test_subsets():
    real, fake = features(30)
    found = subset_distances(real, fake, subsets=8, size=10, seed=3)
    assert len(found) == 8 and len(set(found)) == 8
    np.testing.assert_array_equal(found, subset_distances(real, fake, 8, 10, seed=3))
    assert (found != subset_distances(real, fake, 8, 10, seed=4)).any()
    # All, when there are fewer than a subset has.
    np.testing.assert_array_equal(
        subset_distances(real, fake, 8, 1000), [kernel_distance(real, fake)]
    )
    # Sets of different sizes: as many of each as the smaller one has.
    assert len(subset_distances(real, fake[:9], 8, 1000)) == 8
    with pytest.raises(UserError, match="1 and 30 examples"):
        kernel_distance(real[:1], fake)


@pytest.mark.parametrize("sizes", [(1,) * 16, (5, 11), (2, 3, 4, 7), (16,)])
def test_merging_in_any_split_and_order_gives_the_same_bits(sizes):
    real, fake = features()
    valid = (np.arange(COUNT) % 5 > 0).astype(np.float32)
    metric = score(real, fake, valid).replace(size=6)
    expected = metric.compute()
    assert expected["std"] > 0
    parts, start = [], 0
    for size in sizes:
        rows = np.arange(start, start + COUNT) % COUNT
        used = (valid[rows] * (np.arange(COUNT) < size)).astype(np.float32)
        spoilt = np.where(used[:, None] > 0, real[rows], np.float32(np.nan))
        parts.append(score(spoilt, fake[rows], used).replace(size=6))
        start += size
    for order in (parts, parts[::-1]):
        total = functools.reduce(merged, order)
        assert int(total.real.count) == valid.sum()
        assert total.compute() == expected


def test_eight_devices_equal_one_bit_for_bit():
    real, fake = features()
    valid = (np.arange(COUNT) % 3 > 0).astype(np.float32)
    mesh = Mesh(np.array(jax.devices()), ("data",))
    assert mesh.size == 8
    sharded = jax.device_put((real, fake, valid), NamedSharding(mesh, P("data")))
    total = merged(score(*sharded), score(*sharded).replace())
    alone = merged(score(real, fake, valid), score(real, fake, valid))
    for mine, other in zip(jax.tree.leaves(total), jax.tree.leaves(alone), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_table_keeps_its_size_and_tells_when_it_is_full():
    traces = []

    @jax.jit
    def add(a, b):
        traces.append(a.rows.shape)
        return a + b

    x, _ = features()
    half = FeatureRows.of(jnp.asarray(x), jnp.asarray(np.arange(COUNT) % 2 > 0), capacity=24)
    total = half
    for _ in range(2):
        total = add(total, half)
    np.testing.assert_array_equal(total.exact(), np.tile(x[1::2], (3, 1)))
    assert total.rows.shape == (24, WIDTH)
    for _ in range(3):
        total = add(total, half)
    assert traces == [(16, WIDTH), (24, WIDTH)]
    with pytest.raises(UserError, match="48 examples for a metric with room for 24"):
        total.exact()


def test_sorted_rows_keep_pairs():
    real, fake = features()
    order = np.random.default_rng(1).permutation(COUNT)
    for mine, other in zip(
        sorted_rows(real[order], fake[order]), sorted_rows(real, fake), strict=True
    ):
        np.testing.assert_array_equal(mine, other)
    again, paired = sorted_rows(real, real + 1)
    np.testing.assert_array_equal(paired, again + 1)


def test_scores_in_a_collection():
    real, fake = features()
    network = loading.describe("standin:inception_fid")
    given = jnp.asarray(real), jnp.asarray(fake), jnp.ones(COUNT)
    found = kernel_scores("kid", network, *given, capacity=2 * COUNT)
    found["n"] = Examples.of(jnp.ones(COUNT))
    total = clu.metrics.Collection.create_collection(**found)
    values = {name_of(key): x for key, x in merged(total, total).compute().items()}
    twice = np.concatenate([real, real]), np.concatenate([fake, fake])
    assert float(values["kernel[standin]"]) == pytest.approx(kernel_distance(*twice), rel=1e-12)
    assert float(values["kernel[standin]/std"]) == 0 and float(values["n"]) == 2 * COUNT
    with pytest.raises(UserError, match="'fid' is no kernel figure; expected kid"):
        kernel_scores("fid", network, *given, capacity=2 * COUNT)
