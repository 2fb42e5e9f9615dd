"""Distances of several sets at once: those of each alone, under names that weights must earn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from clu import metrics

from segsynth.metrics.frechet import frechet_distance
from segsynth.metrics.kernel_distance import kernel_distance
from segsynth.metrics.names import name_of
from segsynth.metrics.set_distances import set_scores
from segsynth.pretrained.set_features import SetFeatures

COUNT, CAPACITY = 6, 16


def features(pictures):
    """Mean colour and contrast of a picture."""
    unit = pictures.astype(jnp.float32) / 255
    return jnp.concatenate([unit.mean((1, 2)), unit.std((1, 2))], axis=-1)


def batch(seed, shift):
    pictures = np.random.default_rng(seed).integers(shift, 200, (COUNT, 8, 8, 3))
    return jnp.asarray(pictures.astype(np.uint8))


@pytest.fixture(scope="module")
def computed():
    """Two batches, the last example of the second one being padding."""
    network, total = SetFeatures(network="standin").described, None
    for step in range(2):
        made = {"near": batch(step + 2, 10), "far": batch(step + 4, 90), "": batch(step, 0)}
        valid = jnp.ones(COUNT).at[-1].set(1.0 - step)
        scores = set_scores(features, network, made, batch(step, 0), valid, CAPACITY)
        part = metrics.Collection.create_collection(**scores)
        total = part if total is None else total.merge(part)
    found = jax.device_get(total.compute())
    return {name_of(name): float(value) for name, value in found.items()}


def rows(*seeds, shift):
    found = np.concatenate([features(batch(seed, shift)) for seed in seeds])[:-1]
    return found.astype(np.float64)


@pytest.mark.parametrize(("row", "seeds", "shift"), [("near", (2, 3), 10), ("far", (4, 5), 90)])
def test_each_set_has_its_own_distances(computed, row, seeds, shift):
    real, fake = rows(0, 1, shift=0), rows(*seeds, shift=shift)
    moments = [x for part in (real, fake) for x in (part.mean(0), np.cov(part.T))]
    assert computed[f"{row}/frechet[standin]"] == pytest.approx(
        frechet_distance(*moments), abs=1e-5
    )
    assert computed[f"{row}/kernel[standin]"] == pytest.approx(
        kernel_distance(real, fake), rel=1e-3
    )
    assert computed[f"{row}/frechet[standin]/n"] == 2 * COUNT - 1


def test_a_set_without_a_row_is_the_system_itself(computed):
    assert computed["frechet[standin]"] == pytest.approx(0.0, abs=1e-5)
    assert computed["near/frechet[standin]"] < computed["far/frechet[standin]"]
    assert not [name for name in computed if "fid" in name or "kid" in name]
