"""Segmentation metrics against brute force in NumPy, in any split and on eight devices."""

import functools

import clu.metrics
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from segsynth.data.layouts.camvid import camvid
from segsynth.errors import UserError
from segsynth.metrics.exact import ExactSum
from segsynth.metrics.segmentation import (
    BandAccuracy,
    Confusion,
    PerPicture,
    border_band,
    confusion_counts,
    scalars,
)

COUNT, HEIGHT, WIDTH, CLASSES = 8, 11, 13, 5


def batch(seed=0):
    """Blocky truth with void pixels, and a prediction that is mostly right; class 4 is rare."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, CLASSES - 1, (COUNT, 4, 5)).repeat(3, 1).repeat(3, 2)
    truth = truth[:, :HEIGHT, :WIDTH].astype(np.uint8)
    truth[2, :3, :3] = CLASSES - 1
    predicted = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, 5, truth.shape))
    predicted = np.where(rng.random(truth.shape) < 0.1, 255, predicted).astype(np.uint8)
    truth[rng.random(truth.shape) < 0.15] = 255
    return predicted, truth, np.ones(COUNT, np.float32)


@jax.jit
def score(predicted, truth, valid):
    counts = confusion_counts(predicted, truth, CLASSES)
    return {
        "whole": Confusion.of(counts, valid),
        "each": PerPicture.of(counts, valid),
        "band": BandAccuracy.of(predicted, truth, valid, CLASSES),
    }


def assert_same(ours, theirs):
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(mine, other)


def rates(predicted, truth):
    """Recall and IoU by class of one array of pixels, by sets of pixels."""
    known = truth != 255
    predicted, truth = predicted[known], truth[known]
    recall, iou = np.full((2, CLASSES), np.nan)
    for c in range(CLASSES):
        both = ((truth == c) & (predicted == c)).sum()
        either = ((truth == c) | (predicted == c)).sum()
        recall[c] = both / (truth == c).sum() if (truth == c).any() else np.nan
        iou[c] = both / either if either else np.nan
    return recall, iou, (predicted == truth).mean()


def test_data_set_rates_against_brute_force():
    predicted, truth, valid = batch()
    recall, iou, accuracy = rates(predicted, truth)
    got = score(predicted, truth, valid)["whole"].compute()
    np.testing.assert_allclose(got["recall"], recall, rtol=1e-6)
    np.testing.assert_allclose(got["iou"], iou, rtol=1e-6)
    assert float(got["accuracy"]) == pytest.approx(accuracy, rel=1e-6)
    assert float(got["mean_recall"]) == pytest.approx(np.nanmean(recall), rel=1e-6)
    assert float(got["mean_iou"]) == pytest.approx(np.nanmean(iou), rel=1e-6)


def test_rates_per_picture_against_brute_force():
    predicted, truth, valid = batch()
    found = [rates(p, t) for p, t in zip(predicted, truth, strict=True)]
    holds = np.array([[(t == c).any() for c in range(CLASSES)] for t in truth])
    expected = {
        key: np.array(
            [
                np.mean([f[i][c] for f, h in zip(found, holds, strict=True) if h[c]])
                for c in range(CLASSES)
            ]
        )
        for i, key in enumerate(("recall", "iou"))
    }
    got = score(predicted, truth, valid)["each"].compute()
    for key, values in expected.items():
        np.testing.assert_allclose(got[key], values, rtol=1e-6)
        assert float(got[f"mean_{key}"]) == pytest.approx(values.mean(), rel=1e-6)
    assert got["pictures"].tolist() == holds.sum(0).tolist() and holds[:, -1].sum() == 1
    assert float(got["accuracy"]) == pytest.approx(np.mean([f[2] for f in found]), rel=1e-6)


def test_the_two_definitions_differ():
    """Ten pixels of a class in one picture, all right, and 90 in another, all wrong."""
    truth = np.ones((2, 10, 10), np.uint8)
    truth[0, 0], truth[1, :9] = 0, 0
    predicted = np.where(truth == 0, np.array([0, 1])[:, None, None], truth).astype(np.uint8)
    counts = confusion_counts(jnp.asarray(predicted), jnp.asarray(truth), 2)
    valid = jnp.ones(2)
    assert Confusion.of(counts, valid).compute()["recall"].tolist() == pytest.approx([0.1, 1.0])
    assert PerPicture.of(counts, valid).compute()["recall"].tolist() == pytest.approx([0.5, 1.0])


def test_unlabelled_is_wrong_and_void_is_passed_over():
    truth = jnp.asarray([[[0, 0, 1, 255]]], jnp.uint8)
    predicted = jnp.asarray([[[0, 255, 1, 0]]], jnp.uint8)
    counts = confusion_counts(predicted, truth, 2)
    assert counts.tolist() == [[[1, 0, 1], [0, 1, 0]]]
    got = Confusion.of(counts, jnp.ones(1)).compute()
    assert got["recall"].tolist() == [0.5, 1.0] == got["iou"].tolist()
    signed = confusion_counts(jnp.asarray([[[0, -1, 1, 0]]]), truth.astype(jnp.int32) * 1, 2)
    assert signed.tolist() == counts.tolist()


def test_absent_classes_leave_the_means_alone():
    truth = jnp.zeros((1, 4, 4), jnp.uint8)
    counts = confusion_counts(truth, truth, 3)
    for kind in (Confusion, PerPicture):
        got = kind.of(counts, jnp.ones(1)).compute()
        assert float(got["mean_iou"]) == float(got["mean_recall"]) == 1.0
        assert np.isnan(got["iou"][1:]).all()
        nothing = kind.of(counts, jnp.zeros(1)).compute()
        assert all(np.isnan(nothing[key]) for key in ("accuracy", "mean_iou", "mean_recall"))


def test_band_against_brute_force():
    predicted, truth, valid = batch()
    band = np.zeros(truth.shape, bool)
    for (i, y, x), label in np.ndenumerate(truth):
        near = truth[i, max(0, y - 3) : y + 4, max(0, x - 3) : x + 4]
        band[i, y, x] = label != 255 and ((near != label) & (near != 255)).any()
    np.testing.assert_array_equal(border_band(jnp.asarray(truth), CLASSES), band)
    expected = (predicted == truth)[band].mean()
    got = score(predicted, truth, valid)["band"].compute()
    assert float(got) == pytest.approx(expected, rel=1e-6)
    plain = jnp.zeros((1, 9, 9), jnp.uint8)
    assert np.isnan(BandAccuracy.of(plain, plain, jnp.ones(1), 2).compute())


@pytest.mark.parametrize("sizes", [(1,) * 8, (3, 5), (8,)])
def test_merging_in_any_split_gives_the_same_bits(sizes):
    predicted, truth, valid = batch()
    valid = valid * (np.arange(COUNT) != 3)
    expected = score(predicted, truth, valid)
    parts, start = [], 0
    for size in sizes:
        rows = np.arange(start, start + COUNT) % COUNT
        used = (valid[rows] * (np.arange(COUNT) < size)).astype(np.float32)
        parts.append(score(predicted[rows], truth[rows], used))
        start += size
    merge = functools.partial(jax.tree.map, lambda a, b: a.merge(b))
    is_metric = dict(is_leaf=lambda x: isinstance(x, clu.metrics.Metric))
    for order in (parts, parts[::-1]):
        total = functools.reduce(lambda a, b: merge(a, b, **is_metric), order)
        assert_same(total, expected)


def test_eight_devices_equal_one_bit_for_bit():
    example = batch()
    mesh = Mesh(np.array(jax.devices()), ("data",))
    assert mesh.size == 8
    sharded = jax.device_put(example, NamedSharding(mesh, P("data")))
    assert_same(score(*sharded), score(*example))


def test_counts_are_exact_beyond_float32_and_int32():
    # 600 pictures of 2048 x 1024 of one class with a single wrong pixel each: 2^30 * 1.17 pixels.
    counts = jnp.asarray([[[2048 * 1024 - 1, 1, 0], [0, 0, 0]]], jnp.int32)
    one = Confusion.of(counts, jnp.ones(1))
    merge = jax.jit(lambda a, b: a.merge(b))
    total = functools.reduce(merge, [one] * 600)
    for _ in range(6):  # 64 times as many: 8e10
        total = merge(total, total)
    exact = total.counts.exact()
    assert exact[0].tolist() == [64 * 600 * (2048 * 1024 - 1), 64 * 600, 0]
    assert exact[0, 0] > 2**36
    assert float(total.compute()["accuracy"]) == pytest.approx(1 - 1 / 2**21, rel=1e-7)


def test_exact_sums():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**31 - 1, (50, 7))
    total = functools.reduce(
        lambda a, b: a + b, (ExactSum.of(jnp.asarray(v, jnp.int32)) for v in values)
    )
    assert total.exact().tolist() == values.sum(0).tolist()
    np.testing.assert_allclose(total.approximate(), values.sum(0).astype(float), rtol=2**-22)
    assert (ExactSum.zeros((7,)) + total).exact().tolist() == total.exact().tolist()


def test_scalars_make_a_collection():
    example = score(*batch())
    names = ("road", "traffic light", "sky", "car", "bus")
    metrics = scalars(example["whole"], names, "data_set__") | scalars(example["each"])
    collection = clu.metrics.Collection.create_collection(**metrics)
    twice = jax.jit(lambda a: a.merge(a))(collection).compute()
    assert {k: v.shape for k, v in twice.items()} == {k: () for k in metrics}
    assert len(twice) == 3 + 2 * 5 + 3
    expected = example["whole"].compute()["iou"][1]
    assert float(twice["data_set__traffic_light__iou"]) == float(expected)


def test_too_large_batches_are_named():
    with pytest.raises(UserError, match=r"a batch of 128 pictures"):
        PerPicture.of(jnp.zeros((128, 2, 3), jnp.int32), jnp.ones(128))
    labels = jax.ShapeDtypeStruct((2**11, 2**10, 2**10), jnp.uint8)
    with pytest.raises(UserError, match=r"2\^31 pixels or more"):
        jax.eval_shape(lambda a: confusion_counts(a, a, 2), labels)


def test_coarse_labels_of_the_real_streets(test_data):
    """Every second validation frame of CamVid: the coarse row of the data's notes, .730 .480."""
    source = camvid(test_data / "street_camvid", "val", "train")
    count = jax.jit(lambda p, t: Confusion.of(confusion_counts(p, t, 11), jnp.ones(1)))
    examples = [source[i] for i in range(0, 60, 2)]
    parts = [count(e["coarse"][None, ..., 0], e["labels"][None, ..., 0]) for e in examples]
    got = functools.reduce(jax.jit(lambda a, b: a.merge(b)), parts).compute()
    assert float(got["accuracy"]) == pytest.approx(0.730, abs=5e-4)
    for key in ("mean_recall", "mean_iou"):
        assert float(got[key]) == pytest.approx(0.480, abs=5e-4)
