"""Photographs that are found by what was made of them."""

import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.errors import UserError
from segsynth.metrics.names import name_of
from segsynth.metrics.retrieval import Retrieval, retrieval, retrieval_scores
from segsynth.pretrained import loading

RNG = np.random.default_rng(0)


def brute(photos, made):
    found = []
    for i, photo in enumerate(photos):
        cosines = [photo @ x / np.linalg.norm(photo) / np.linalg.norm(x) for x in made]
        found.append(all(cosines[i] > c for j, c in enumerate(cosines) if j != i))
    return np.mean(found)


def test_against_a_loop():
    photos = RNG.normal(0, 1, (40, 5))
    made = photos + RNG.normal(0, 1.0, (40, 5))
    found = retrieval(photos, made)
    assert found["recall"] == pytest.approx(brute(photos, made)) and 0.1 < found["recall"] < 0.9
    assert retrieval(photos, 3 * photos) == pytest.approx({"cosine": 1.0, "recall": 1.0})


def test_pages_that_are_all_alike_find_nothing():
    photos = RNG.normal(0, 1, (6, 3))
    assert retrieval(photos, np.ones((6, 3)))["recall"] == 0


def test_it_is_kept_over_batches_and_passes_over_padding():
    photos, made = RNG.normal(0, 1, (2, 12, 4)).astype(np.float32)
    made = made + photos
    valid = np.ones(12)
    valid[[3, 11]] = 0
    whole = retrieval(photos[valid > 0], made[valid > 0])
    parts = [
        Retrieval.of(*(jnp.asarray(x[s]) for x in (photos, made, valid)), capacity=12)
        for s in (slice(0, 6), slice(6, 12))
    ]
    assert parts[0].merge(parts[1]).compute() == pytest.approx(whole, rel=1e-5)
    with pytest.raises(UserError, match="1 pair"):
        retrieval(photos[:1], made[:1])


def test_the_published_names_are_earned():
    photos = jnp.asarray(RNG.normal(0, 1, (4, 3)), jnp.float32)
    network = loading.describe("standin:clip_vit_b16")
    found = retrieval_scores(network, photos, photos, jnp.ones(4), 4)
    values = {name_of(name): float(metric.compute()) for name, metric in found.items()}
    assert values == pytest.approx({"photo_cosine[standin]": 1.0, "retrieval[standin]": 1.0})
