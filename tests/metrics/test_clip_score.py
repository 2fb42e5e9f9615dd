"""CLIP score and its controls against hand-made tables and brute force."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.engine.tables import metrics_table
from segsynth.metrics.clip_score import (
    FIVEK_SUBJECTS,
    ClipScore,
    ControlledClipScore,
    caption_probabilities,
    captions,
    clip_scores,
)
from segsynth.metrics.names import name_of
from segsynth.pretrained import loading

#: Subjects of the 5,000 photos of MIT-Adobe FiveK, without "unknown", in the order of the captions.
FIVEK = np.array([1869, 1341, 1089, 300, 35])


#: Figures of the drawings themselves.
OWN = ("clip_score", "clip_top_1", "clip_class_balanced")


class Published(NamedTuple):
    """A network as it would be imported."""

    name: str
    standin = False
    published = True


def features(count=40, classes=5, width=8, seed=0):
    rng = np.random.default_rng(seed)
    words = rng.normal(size=(classes, width)).astype(np.float32)
    labels = rng.integers(0, classes - 1, count)
    pictures = 0.1 * words[labels] + rng.normal(size=(count, width)) * 0.2
    return jnp.asarray(pictures, jnp.float32), jnp.asarray(words), labels


def test_probabilities_against_brute_force():
    pictures, words, _ = features()
    found = np.asarray(caption_probabilities(pictures, words), np.float64)
    for i in range(5):
        similar = [
            float(np.dot(pictures[i], w) / np.linalg.norm(pictures[i]) / np.linalg.norm(w))
            for w in np.asarray(words)
        ]
        odds = np.exp(100 * (np.array(similar) - max(similar)))
        np.testing.assert_allclose(found[i], odds / odds.sum(), atol=1e-4)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    # The length of a feature does not matter.
    np.testing.assert_allclose(caption_probabilities(7 * pictures, words / 3), found, atol=1e-3)


def test_a_table_by_hand():
    # Logits ln 2, ln 1, ... make probabilities 1/2, 1/4, 1/4.
    p = jnp.array([[0.5, 0.25, 0.25], [0.1, 0.7, 0.2], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
    labels = jnp.array([0, 1, 1, 2])
    got = ClipScore.of(p, labels, jnp.ones(4)).compute()
    expected = dict(
        score=(0.5 + 0.7 + 0.3 + 0.6) / 4,
        top_1=0.75,
        class_balanced=(0.5 + 0.5 + 0.6) / 3,
        shuffled_score=(1.4 / 4 + 2 * 1.45 / 4 + 1.15 / 4) / 4,
        shuffled_top_1=(2 / 4 + 2 * 1 / 4 + 1 / 4) / 4,
        shuffled_class_balanced=(1.4 / 4 + 1.45 / 4 + 1.15 / 4) / 3,
        majority_score=0.5,
        majority_top_1=0.5,
        majority_class_balanced=1 / 3,
        pictures=4,
    )
    assert {key: float(value) for key, value in got.items()} == pytest.approx(expected, abs=1e-6)


def test_shuffling_is_the_mean_over_permutations():
    pictures, words, labels = features(count=60)
    p = np.asarray(caption_probabilities(pictures, words, 20.0))
    rng = np.random.default_rng(1)
    dealt = [p[np.arange(60), rng.permutation(labels)].mean() for _ in range(4000)]
    score = ClipScore.of(jnp.asarray(p), jnp.asarray(labels), jnp.ones(60)).compute()
    assert float(score["shuffled_score"]) == pytest.approx(np.mean(dealt), abs=3e-3)
    assert float(score["score"]) > float(score["shuffled_score"]) + 0.1


def test_perfect_drawings_and_always_man_made():
    labels = jnp.asarray(np.repeat(np.arange(5), FIVEK))
    ones, everyone = jnp.ones(len(labels)), jax.nn.one_hot(jnp.zeros_like(labels), 5)
    perfect = jax.nn.one_hot(labels, 5)
    scores = ControlledClipScore.of(everyone, perfect, everyone[0], labels, ones).compute()
    assert scores["photo/clip_score"] == scores["photo/clip_class_balanced"] == 1
    for row in ("", "blank_page/", "shuffled_labels/", "majority_prior/"):
        assert float(scores[f"{row}clip_score"]) == pytest.approx(0.4033, abs=5e-5)
        assert float(scores[f"{row}clip_top_1"]) == pytest.approx(0.4033, abs=5e-5)
        assert float(scores[f"{row}clip_class_balanced"]) == pytest.approx(0.2)


def test_one_table_holds_the_drawings_and_all_controls():
    pictures, words, labels = features()
    drawn, page = caption_probabilities(pictures, words), jnp.full(5, 0.2).at[2].add(0.1)
    photo = caption_probabilities(pictures + 0.3 * words[labels], words)
    parts = (slice(0, 15), slice(15, 40))
    first, second = (
        ControlledClipScore.of(
            drawn[part], photo[part], page, jnp.asarray(labels[part]), jnp.ones(len(labels[part]))
        )
        for part in parts
    )
    standin, published = loading.describe("standin:clip_vit_b32"), Published("clip_vit_b32")
    merged = {
        name_of(key): metric.merge(clip_scores(standin, second)[key])
        for key, metric in clip_scores(standin, first).items()
    }
    assert len(merged) == 15
    earned = [name_of(key) for key in clip_scores(published, first)]
    expected = [name.replace("clip_", "caption_") + "[standin]" for name in earned]
    assert list(merged) == expected and earned[:4] == [*OWN, "photo/clip_score"]
    values = dict(zip(earned, (float(m.compute()) for m in merged.values()), strict=True))
    expected = float(drawn[np.arange(40), labels].mean())
    assert values["clip_score"] == pytest.approx(expected, rel=1e-5)
    expected = float(photo[np.arange(40), labels].mean())
    assert values["photo/clip_score"] == pytest.approx(expected, rel=1e-5)
    assert values["photo/clip_score"] > values["clip_score"]
    assert values["blank_page/clip_score"] == pytest.approx(float(page[labels].mean()), rel=1e-5)
    assert values["blank_page/clip_top_1"] == pytest.approx((labels == 2).mean())
    assert values["shuffled_labels/clip_score"] < values["clip_score"]
    # Class 4 never occurs: chance is a quarter.
    assert values["majority_prior/clip_class_balanced"] == 0.25
    lines = metrics_table(values).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        *("this model", "blank page", "majority prior", "photo", "shuffled labels")
    ]


def test_merging_halves_padding_and_unknown_labels():
    pictures, words, labels = features()
    p = caption_probabilities(pictures, words)
    labels = jnp.asarray(np.where(np.arange(40) % 7 == 0, -1, labels))
    valid = jnp.asarray(np.arange(40) != 3, jnp.float32)
    spoiled = p.at[3].set(jnp.nan)
    keep = (np.arange(40) % 7 != 0) & (np.arange(40) != 3)
    whole = ClipScore.of(p[keep], labels[keep], jnp.ones(int(keep.sum()))).compute()
    half = lambda part: ClipScore.of(spoiled[part], labels[part], valid[part])  # noqa: E731
    merged = jax.jit(lambda a, b: a.merge(b))(half(slice(0, 17)), half(slice(17, 40)))
    merged = ClipScore.empty(5).merge(merged)
    for key, value in whole.items():
        np.testing.assert_allclose(merged.compute()[key], value, rtol=1e-5)


def test_captions():
    assert captions(FIVEK_SUBJECTS)[0] == "a line drawing of man-made objects"
    assert captions({"x": "cats"}, "a photo of") == ["a photo of cats"]
