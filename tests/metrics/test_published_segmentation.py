"""Confusion matrices against scikit-learn and the Cityscapes benchmark, whose figures
tests/oracles/confusion.py stored.
"""

import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.data.label_sets import CITYSCAPES
from segsynth.metrics.segmentation import Confusion, confusion_counts

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "confusion.npz"


@pytest.fixture(scope="module")
def stored():
    with np.load(GOLDEN) as file:
        return dict(file)


@pytest.fixture(scope="module")
def rates(stored):
    truth, predicted = (CITYSCAPES.to_train_ids(stored[key]) for key in ("truth", "predicted"))
    counts = confusion_counts(jnp.asarray(predicted), jnp.asarray(truth), 19)
    halves = [Confusion.of(counts[part], jnp.ones(2)) for part in (slice(2), slice(2, None))]
    return halves[0].merge(halves[1]).compute()


def test_iou_is_that_of_the_benchmark_and_of_scikit_learn(stored, rates):
    np.testing.assert_allclose(rates["iou"], stored["iou"], rtol=1e-6)
    np.testing.assert_allclose(rates["iou"], stored["jaccard"], rtol=1e-6)
    np.testing.assert_allclose(rates["mean_iou"], stored["mean_iou"], rtol=1e-6)
    # There is a truck that nobody found, and a train that was found and is not there.
    assert rates["iou"][14] == rates["iou"][16] == 0


def test_recall_is_that_of_scikit_learn(stored, rates):
    there = ~np.isnan(rates["recall"])
    assert there.tolist() == [i != 16 for i in range(19)]
    np.testing.assert_allclose(rates["recall"][there], stored["recall"][there], rtol=1e-6)
    np.testing.assert_allclose(rates["mean_recall"], stored["recall"][there].mean(), rtol=1e-6)
