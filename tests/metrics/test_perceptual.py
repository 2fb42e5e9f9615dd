"""The mean of perceptual distances: right, and the same bits in any split and on any devices."""

import functools
import itertools

import clu.metrics
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from segsynth.errors import UserError
from segsynth.metrics.names import name_of
from segsynth.metrics.perceptual import PerceptualDistance, perceptual_scores
from segsynth.pretrained import loading

COUNT = 24

score = jax.jit(PerceptualDistance.of)
merged = jax.jit(lambda a, b: a.merge(b))


def distances(count=COUNT):
    rng = np.random.default_rng(0)
    return rng.uniform(0, 1, count).astype(np.float32), rng.uniform(size=count) > 0.3


def assert_same(ours, theirs):
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_the_mean_of_what_counts():
    values, valid = distances()
    spoilt = np.where(valid, values, np.float32(np.nan))
    for given in (values, spoilt):
        assert score(given, valid).compute() == pytest.approx(values[valid].mean(), abs=2**-20)
    assert score(np.zeros(COUNT, np.float32), valid).compute() == 0
    assert np.isnan(score(values, np.zeros(COUNT)).compute())


@pytest.mark.parametrize("sizes", [(1,) * 24, (5, 19), (7, 8, 9)])
def test_any_split_and_order_gives_the_same_bits(sizes):
    values, valid = distances()
    bounds = itertools.pairwise(np.cumsum((0, *sizes)))
    parts = [score(values[a:b], valid[a:b]) for a, b in bounds]
    for order in (parts, parts[::-1]):
        assert_same(functools.reduce(merged, order), score(values, valid))


def test_eight_devices_equal_one():
    values, valid = distances()
    mesh = Mesh(np.array(jax.devices()), ("data",))
    assert mesh.size == 8
    sharded = jax.device_put((values, valid), NamedSharding(mesh, P("data")))
    assert_same(score(*sharded), score(values, valid))


def test_many_of_the_largest():
    values = np.full(1000, 16 - 2.0**-20, np.float32)
    total = score(values, np.ones(1000))
    for _ in range(10):
        total = merged(total, total)
    assert total.compute() == 16 - 2.0**-20


@pytest.mark.parametrize("spoilt", [np.nan, -0.1, 16.0, np.inf])
def test_what_is_no_distance(spoilt):
    values, valid = distances()
    values[np.flatnonzero(valid)[0]] = spoilt
    with pytest.raises(UserError, match=r"^1 perceptual distances are no number in \[0, 16\)"):
        score(values, valid).compute()


def test_scores_tell_n():
    values, valid = distances()
    network = loading.describe("standin:lpips_alex")
    found = perceptual_scores("lpips", network, jnp.asarray(values), jnp.asarray(valid))
    total = clu.metrics.Collection.create_collection(**found)
    computed = {name_of(key): x for key, x in merged(total, total).compute().items()}
    assert float(computed["perceptual[standin]/n"]) == 2 * valid.sum()
    assert computed["perceptual[standin]"] == pytest.approx(values[valid].mean(), abs=2**-20)
    with pytest.raises(
        UserError, match="'fid' is no perceptual figure; expected lpips or lpips_vgg"
    ):
        perceptual_scores("fid", network, jnp.asarray(values), jnp.asarray(valid))
