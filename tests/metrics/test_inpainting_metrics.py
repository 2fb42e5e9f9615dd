"""Hole metrics on errors whose score is known, merged in any split and on any number of devices."""

import functools

import clu.metrics
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from segsynth.metrics.accumulators import MeanOverExamples, RatioOfTotals
from segsynth.metrics.inpainting import hole_metrics, psnr, region_mean, seam_gradient

COUNT, SIDE = 16, 12
NAMES = ("hole_psnr", "hole_l1", "band_l1", "seam_ratio")


def batch(seed=0):
    """Random pictures with a box as hole, another fill, and a band."""
    rng = np.random.default_rng(seed)
    image, output = rng.uniform(-1, 1, (2, COUNT, SIDE, SIDE, 3)).astype(np.float32)
    mask = np.zeros((COUNT, SIDE, SIDE, 1), np.float32)
    for m in mask:
        top, left = rng.integers(1, 5, 2)
        m[top : top + rng.integers(2, 7), left : left + rng.integers(2, 7)] = 1
    band = np.zeros_like(mask)
    band[:, 1:6] = 1
    return dict(
        output=np.where(mask > 0.5, output, image),
        image=image,
        mask=mask,
        band=band,
        valid=np.ones(COUNT, np.float32),
    )


score = jax.jit(lambda example: hole_metrics(**example))


def values(metrics):
    return {name: float(metrics[name].compute()) for name in NAMES}


def scores(example):
    return values(score(example))


@pytest.mark.parametrize("offset", [0.5, 0.02, 2.0])
def test_psnr_of_a_known_offset(offset):
    example = batch()
    example["output"] = example["image"] + np.float32(offset) * example["mask"]
    got = scores(example)
    assert got["hole_psnr"] == pytest.approx(10 * np.log10(4 / offset**2), abs=1e-4)
    assert got["hole_l1"] == pytest.approx(offset, rel=1e-5)


def test_identical_pictures():
    example = batch()
    example["output"] = example["image"]
    assert scores(example) == {
        "hole_psnr": pytest.approx(100.0, abs=1e-4),
        "hole_l1": 0.0,
        "band_l1": 0.0,
        "seam_ratio": pytest.approx(1.0, abs=1e-6),
    }


def test_known_pixels_do_not_count():
    example = batch()
    expected = scores(example)
    hole = example["mask"] > 0.5
    example["output"] = np.where(hole, example["output"], example["output"] + 0.7)
    changed = scores(example)
    for name in ("hole_psnr", "hole_l1"):
        assert changed[name] == expected[name]
    assert changed["band_l1"] != expected["band_l1"]  # the control: the band has known pixels


def test_values_against_numpy():
    example = batch()
    error = np.abs(example["output"] - example["image"]).astype(np.float64)
    by_hand = {"hole_psnr": [], "hole_l1": [], "band_l1": []}
    for e, m, b in zip(error, example["mask"][..., 0], example["band"][..., 0], strict=True):
        by_hand["hole_psnr"].append(10 * np.log10(4 / (e[m > 0.5] ** 2).mean()))
        by_hand["hole_l1"].append(e[m > 0.5].mean())
        by_hand["band_l1"].append(e[b > 0.5].mean())
    got = scores(example)
    for name, rows in by_hand.items():
        assert got[name] == pytest.approx(np.mean(rows), rel=1e-5)


def test_seam_ratio_of_a_known_step():
    """A ramp of 0.05 a pixel, and a fill that is 0.3 too bright: across the seam the gradient is
    0.05 in the truth, and 0.35 or 0.25 in the output.
    """
    ramp = np.broadcast_to(0.05 * np.arange(SIDE, dtype=np.float32)[:, None], (SIDE, SIDE)) - 0.5
    image = np.broadcast_to(ramp[None, :, :, None], (COUNT, SIDE, SIDE, 3)).copy()
    mask = np.zeros((COUNT, SIDE, SIDE, 1), np.float32)
    mask[:, 4:8] = 1  # a stripe: two seams across the ramp
    output = image + np.float32(0.3) * mask
    example = dict(output=output, image=image, mask=mask, band=mask, valid=np.ones(COUNT, "f"))
    got = scores(example)
    assert got["seam_ratio"] == pytest.approx((0.35 + 0.25) / (2 * 0.05), rel=1e-4)
    # The sums behind it: a row of 12 pixels in 3 channels at each of the two seams.
    total = seam_gradient(jnp.asarray(output), jnp.asarray(mask))
    np.testing.assert_allclose(total, 0.6 * SIDE * 3, rtol=1e-4)


@pytest.mark.parametrize("absent", ["no hole", "not valid"])
def test_examples_that_do_not_count(absent):
    example = batch()
    half = np.arange(COUNT) % 2 == 0
    expected = scores({**example, "valid": half.astype(np.float32)})
    if absent == "no hole":
        example["mask"] = example["mask"] * half[:, None, None, None]
    else:
        example["valid"] = half.astype(np.float32)
    for name in ("output", "image"):
        example[name] = np.where(half[:, None, None, None], example[name], np.float32(np.nan))
    assert scores(example) == expected
    # The control: with the NaN counted, nothing is left.
    if absent == "not valid":
        assert np.isnan(scores({**example, "valid": np.ones(COUNT, np.float32)})["hole_l1"])


@pytest.mark.parametrize("sizes", [(1,) * 16, (5, 11), (2, 3, 4, 7), (16,)])
def test_merging_in_any_split_equals_the_whole(sizes):
    example = batch()
    example["valid"] = (np.arange(COUNT) % 5 > 0).astype(np.float32)
    expected = scores(example)
    parts, start = [], 0
    for size in sizes:
        # Padded to one shape, as the last batch of a data set is: fill-ups are not valid.
        rows = np.arange(start, start + COUNT) % COUNT
        part = {name: value[rows] for name, value in example.items()}
        part["valid"] = part["valid"] * (np.arange(COUNT) < size)
        start += size
        parts.append(clu.metrics.Collection.create_collection(**score(part)))
    merged = functools.reduce(lambda a, b: a.merge(b), parts).compute()
    for name in NAMES:
        assert float(merged[name]) == pytest.approx(expected[name], rel=1e-5)


@pytest.mark.parametrize("kind", [MeanOverExamples, RatioOfTotals])
def test_the_empty_metric_is_neutral(kind):
    example = score(batch())["seam_ratio" if kind is RatioOfTotals else "hole_l1"]
    assert float(kind.empty().merge(example).compute()) == float(example.compute())
    assert np.isnan(kind.empty().compute())


def test_nothing_counted_is_not_a_number():
    example = {**batch(), "valid": np.zeros(COUNT, np.float32)}
    assert all(np.isnan(value) for value in scores(example).values())


def test_eight_devices_equal_one():
    example = batch()
    example["valid"] = (np.arange(COUNT) % 3 > 0).astype(np.float32)
    mesh = Mesh(np.array(jax.devices()), ("data",))
    assert mesh.size == 8
    sharded = jax.device_put(example, NamedSharding(mesh, P("data")))
    metrics = score(sharded)
    assert metrics["hole_psnr"].total.sharding.device_set == set(jax.devices())
    expected = scores(example)
    for name, value in values(metrics).items():
        assert value == pytest.approx(expected[name], rel=1e-5)


def test_parts():
    assert psnr(jnp.asarray([4.0, 0.04, 0.0])).tolist() == pytest.approx([0.0, 20.0, 100.0])
    error = jnp.arange(8.0).reshape(1, 2, 2, 2)
    region = jnp.asarray([1.0, 0.0, 0.0, 1.0]).reshape(1, 2, 2, 1)
    assert region_mean(error, region).tolist() == [(0 + 1 + 6 + 7) / 4]
    assert region_mean(error, 0 * region).tolist() == [0.0]
