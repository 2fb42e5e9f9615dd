"""Photographs that are found by what was made of them."""

import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.errors import UserError
from segsynth.metrics.names import name_of
from segsynth.metrics.retrieval import Retrieval, cosines, retrieval, retrieval_scores
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
    assert found == pytest.approx(brute(photos, made)) and 0.1 < found < 0.9
    assert retrieval(photos, 3 * photos) == 1.0


def test_pages_that_are_all_alike_find_nothing():
    photos = RNG.normal(0, 1, (6, 3))
    assert retrieval(photos, np.ones((6, 3))) == 0


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
    assert parts[0].merge(parts[1]).compute() == whole and 0 < whole < 1
    with pytest.raises(UserError, match="1 pair"):
        retrieval(photos[:1], made[:1])


def test_cosines_are_those_of_pairs():
    photos = jnp.asarray([[1.0, 0, 0], [0, 2, 0], [1, 1, 0]])
    made = jnp.asarray([[5.0, 0, 0], [0, 0, 1], [1, 0, 0]])
    np.testing.assert_allclose(cosines(photos, made), [1, 0, np.sqrt(0.5)], atol=1e-6)
    network = loading.describe("standin:clip_vit_b16")
    valid = jnp.asarray([1.0, 1, 0])
    found = retrieval_scores(network, photos, made, valid, 3)
    values = {name_of(name): metric for name, metric in found.items()}
    assert float(values["photo_cosine[standin]"].compute()) == pytest.approx(0.5)
    # Of one picture, too, as where two methods are compared picture by picture.
    alone = retrieval_scores(network, photos[:1], made[:1], valid[:1], 3)
    values = {name_of(name): metric for name, metric in alone.items()}
    assert float(values["photo_cosine[standin]"].compute()) == pytest.approx(1.0)


def test_the_published_names_are_earned():
    photos = jnp.asarray(RNG.normal(0, 1, (4, 3)), jnp.float32)
    network = loading.describe("standin:clip_vit_b16")
    found = retrieval_scores(network, photos, photos, jnp.ones(4), 4)
    values = {name_of(name): float(metric.compute()) for name, metric in found.items()}
    assert values == pytest.approx({"photo_cosine[standin]": 1.0, "retrieval[standin]": 1.0})
