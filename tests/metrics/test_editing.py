"""Editing accuracy on known counts, and its bootstrap against resampling example by example."""

import functools

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from segsynth.metrics.editing import (
    EditingAccuracy,
    accuracy,
    balanced_accuracy,
    resampled_counts,
)

COUNT = 40

score = jax.jit(EditingAccuracy.of)
merged = jax.jit(lambda a, b: a.merge(b))


def edits(seed=0):
    """25 edits to 1, of which 15 succeed, and 15 to 0, of which 12 do."""
    target = np.repeat([1, 0], (25, 15))
    success = np.concatenate([np.arange(25) < 15, np.arange(15) < 12])
    rng = np.random.default_rng(seed)
    logits = np.where(success == (target > 0), 1, -1) * rng.uniform(0.1, 5, COUNT)
    order = rng.permutation(COUNT)
    return logits[order].astype(np.float32), target[order], np.ones(COUNT, np.float32)


def test_shares_of_known_counts():
    got = score(*edits()).compute()
    assert got["n"] == 40 and got["n_on"] == 25 and got["n_off"] == 15
    assert got["accuracy"] == pytest.approx(27 / 40) and got["to_on"] == pytest.approx(0.6)
    assert got["to_off"] == pytest.approx(0.8) and got["balanced"] == pytest.approx(0.7)
    assert got["low"] < got["accuracy"] < got["high"]


def test_the_boundary_and_what_is_no_number():
    logits = np.array([0.0, 0.0, np.nan, np.nan], np.float32)
    target = np.array([1, 0, 1, 0])
    got = score(logits, target, np.ones(4, np.float32)).compute()
    assert got["to_on"] == 0.0 and got["to_off"] == 0.5 and got["n"] == 4


def test_the_interval_is_the_bootstraps():
    """Against drawing examples with replacement, one resample after the other."""
    logits, target, valid = edits()
    success = ((logits > 0) == (target > 0)).astype(float)
    rng = np.random.default_rng(5)
    by_hand = []
    for _ in range(4000):
        rows = rng.integers(0, COUNT, COUNT)
        by_hand.append(success[rows].mean())
    got = score(logits, target, valid).compute()
    # One example of 40 is 0.025.
    expected = np.percentile(by_hand, (2.5, 97.5))
    np.testing.assert_allclose([got["low"], got["high"]], expected, atol=0.026)


def test_resamples():
    cells = np.array([[3, 12], [10, 15]])
    drawn = resampled_counts(cells, 10_000, seed=1)
    assert drawn.shape == (10_000, 2, 2) and (drawn.sum((1, 2)) == 40).all()
    shares = accuracy(drawn)
    assert shares.mean() == pytest.approx(27 / 40, abs=0.003)
    assert shares.std() == pytest.approx(np.sqrt(27 * 13 / 40**3), rel=0.03)
    np.testing.assert_array_equal(drawn, resampled_counts(cells, 10_000, seed=1))
    assert (drawn != resampled_counts(cells, 10_000, seed=2)).any()
    assert balanced_accuracy(cells) == pytest.approx((0.8 + 0.6) / 2)


def test_nothing_and_one_direction():
    logits, target, valid = edits()
    nothing = score(logits, target, 0 * valid).compute()
    assert nothing["n"] == 0
    assert all(np.isnan(v) for k, v in nothing.items() if not k.startswith("n"))
    one = score(logits, np.ones_like(target), valid).compute()
    assert np.isnan(one["to_off"]) and np.isnan(one["balanced"])
    assert one["accuracy"] == one["to_on"] and one["low"] < one["high"]


@pytest.mark.parametrize("sizes", [(1,) * 40, (7, 33), (40,)])
def test_merging_in_any_split_gives_the_same(sizes):
    logits, target, valid = edits()
    valid = valid * (np.arange(COUNT) % 6 > 0)
    expected = score(logits, target, valid).compute()
    parts, start = [], 0
    for size in sizes:
        rows = np.arange(start, start + COUNT) % COUNT
        used = (valid[rows] * (np.arange(COUNT) < size)).astype(np.float32)
        parts.append(score(logits[rows], target[rows], used))
        start += size
    assert functools.reduce(merged, parts).compute() == expected


def test_eight_devices_equal_one():
    example = edits()
    mesh = Mesh(np.array(jax.devices()), ("data",))
    assert mesh.size == 8
    sharded = jax.device_put(example, NamedSharding(mesh, P("data")))
    assert score(*sharded).compute() == score(*example).compute()
