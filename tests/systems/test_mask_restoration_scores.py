"""Scores of restored maps against loops in NumPy, and the table."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from restoration import CLASSES, COUNT, ROWS, SIDE, build, scenes

from segsynth.metrics.restoration import Restored, among, mask_scores, picture_scores
from segsynth.networks.planes import to_unit
from segsynth.pretrained.set_features import SetFeatures
from segsynth.systems.mask_restoration import judging
from segsynth.systems.mask_restoration.frozen_generator import FrozenGenerator
from segsynth.systems.mask_restoration.table import table

#: Numbers of seven classes among the three that a benchmark evaluates.
EVALUATED = (255, 0, 1, 255, 2, 255, 255)


def computed(scores):
    return {name: float(metric.compute()) for name, metric in scores.items()}


def restored(predicted, truth, classes):
    found = Restored.of(
        jnp.asarray(predicted), jnp.asarray(truth), jnp.ones(len(truth)), classes
    ).compute()
    return {name: np.asarray(value) for name, value in found.items()}


def test_an_example_that_can_be_counted_by_hand():
    truth = np.array([[[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 2, 2], [2, 2, 2, 2]]], np.uint8)
    predicted = truth.copy()
    predicted[0, 0] = 3  # never occurs: costs classes 0 and 1, but has no IoU of its own
    predicted[0, 1, 2:] = 0  # class 1 is never found
    found = restored(predicted, truth, 5)
    assert found["accuracy"] == pytest.approx(10 / 16)
    np.testing.assert_allclose(found["iou"], [2 / 6, 0.0, 1.0, np.nan, np.nan], rtol=1e-6)
    assert found["mean_iou"] == pytest.approx((2 / 6 + 0 + 1) / 3)
    assert found["majority_accuracy"] == pytest.approx(0.5)
    assert found["majority_mean_iou"] == pytest.approx(0.5 / 3)


@pytest.fixture(scope="module")
def maps():
    random = np.random.default_rng(0)
    truth = random.integers(0, 6, (4, 12, 16)).astype(np.uint8)
    wrong = random.random(truth.shape) < 0.4
    predicted = np.where(wrong, random.integers(0, 7, truth.shape), truth).astype(np.uint8)
    return truth, predicted, random.random(truth.shape) < 0.3


def test_rates_are_those_of_a_loop(maps):
    truth, predicted, _ = maps
    found = restored(predicted, truth, 7)
    ious = []
    for c in range(6):
        t, p = truth == c, predicted == c
        ious.append((t & p).sum() / (t | p).sum())
    np.testing.assert_allclose(found["iou"][:6], ious, rtol=1e-6)
    assert found["mean_iou"] == pytest.approx(np.mean(ious), rel=1e-6)
    assert found["accuracy"] == pytest.approx((truth == predicted).mean(), rel=1e-6)


def test_the_official_rate_passes_void_over(maps):
    """As written in the benchmark's program: void truth counts for nothing, void answers miss."""
    truth, predicted, known = maps
    ious = []
    for c in (1, 2, 4):
        judged = np.isin(truth, (1, 2, 4))
        hit = ((truth == c) & (predicted == c)).sum()
        missed = ((truth == c) & (predicted != c)).sum()
        false = (judged & (truth != c) & (predicted == c)).sum()
        ious.append(hit / (hit + missed + false))
    scores = score(maps, np.ones(4))
    assert scores["restored__mean_iou_official"] == pytest.approx(np.mean(ious), rel=1e-6)
    right = truth == predicted
    assert scores["restored__known_accuracy"] == pytest.approx(right[known].mean(), rel=1e-6)
    assert scores["restored__unknown_accuracy"] == pytest.approx(right[~known].mean(), rel=1e-6)
    assert scores["restored__car__iou"] > 0 and "none__car__iou" not in scores


def score(maps, valid, merge=None):
    truth, predicted, known = (jnp.asarray(x) for x in maps)
    found = mask_scores(
        {"none": jnp.zeros_like(truth), "restored": predicted},
        truth,
        known,
        jnp.asarray(valid, jnp.float32),
        7,
        evaluated=EVALUATED,
        names=("void", "car", "road", "a", "b", "c", "d"),
        detailed=("restored",),
    )
    if merge is not None:
        other = mask_scores(
            {"none": jnp.zeros_like(truth), "restored": predicted},
            truth,
            known,
            jnp.asarray(merge, jnp.float32),
            7,
            evaluated=EVALUATED,
            names=("void", "car", "road", "a", "b", "c", "d"),
            detailed=("restored",),
        )
        found = {name: metric.merge(other[name]) for name, metric in found.items()}
    return computed(found)


def test_two_halves_are_the_whole(maps):
    whole = score(maps, np.ones(4))
    halves = score(maps, [1, 0, 1, 0], merge=[0, 1, 0, 1])
    assert halves == pytest.approx(whole, rel=1e-6, nan_ok=True)


def test_a_region_without_pixels_has_no_share(maps):
    truth = jnp.asarray(maps[0])
    assert np.isnan(among(truth, truth, jnp.zeros(truth.shape, bool), jnp.ones(4)).compute())


def test_pictures_are_compared_with_the_photograph_and_with_the_synthesis():
    photo = jnp.zeros((2, 16, 16, 3))
    made = {"none": photo + 0.5, "synthesis": photo + 0.2}
    found = computed(picture_scores(made, photo, jnp.ones(2)))
    assert found["none__image_l1"] == pytest.approx(0.5)
    assert found["none__synthesis_l1"] == pytest.approx(0.3, rel=1e-4)
    assert found["synthesis__synthesis_l1"] == 0.0 and found["synthesis__image_ssim"] < 1


class Painter(FrozenGenerator):
    """Gives each plane a colour."""

    def __call__(self, variables, planes, instance=None):
        return jnp.tanh(planes @ variables)


@functools.cache
def judge():
    """Return the compiled evaluation of a restorer that answers what it is given."""
    system = build(task="coarse", loss=ROWS["ce_l1"])
    object.__setattr__(system, "generator", Painter(system.generator.module))

    def metrics(logits, colours, batch):
        object.__setattr__(system, "logits", lambda *_: logits)
        return system.eval_step({}, {"generator": colours}, batch, jax.random.key(0))[0]

    return jax.jit(metrics)


def evaluated(logits):
    """Return the metrics of these answers, and the colours of the generator."""
    colours = jax.random.normal(jax.random.key(1), (CLASSES, 3))
    batch = {**scenes(), "valid": jnp.ones(COUNT)}
    found = judge()(logits, colours, batch).compute()
    return {name: float(value) for name, value in found.items()}, colours


def test_each_row_is_judged_by_the_picture_of_its_own_map():
    """Hard planes for ``restored``, soft ones beside it, the true map for ``synthesis``."""
    batch, truth = scenes(), scenes()["labels"][..., 0]
    answer = jnp.where(jnp.arange(SIDE) < 8, 0, truth)
    logits = 2.0 * jax.nn.one_hot(answer, CLASSES)
    found, colours = evaluated(logits)
    coarse = batch["coarse"][..., 0]
    planes = {
        name: jax.nn.one_hot(x, CLASSES) for name, x in (("none", coarse), ("restored", answer))
    }
    planes |= {"restored_soft": jax.nn.softmax(logits), "synthesis": jax.nn.one_hot(truth, CLASSES)}
    photo = batch["image"] / 127.5 - 1
    for name, each in planes.items():
        made = jnp.tanh(each @ colours)
        distance = float(jnp.abs(made - photo).mean())
        assert found[f"{name}__image_l1"] == pytest.approx(distance, rel=1e-4), name
        away = float(jnp.abs(made - jnp.tanh(planes["synthesis"] @ colours)).mean())
        assert found[f"{name}__synthesis_l1"] == pytest.approx(away, rel=1e-4, abs=1e-7), name
    for name, labels in (("none", coarse), ("restored", answer)):
        right = float((labels == truth).mean())
        assert found[f"{name}__accuracy"] == pytest.approx(right, rel=1e-6) and right < 1
    kept = float((jnp.where(coarse > 0, coarse, answer) == truth).mean())
    assert found["clamped__accuracy"] == pytest.approx(kept, rel=1e-6)
    assert kept > found["restored__accuracy"]
    said = float(jax.nn.softmax(logits).max())
    assert found["restored__calibration_error"] == pytest.approx(abs(right - said), abs=1e-5)


def test_a_perfect_map_makes_the_picture_of_the_synthesis():
    truth = scenes()["labels"][..., 0]
    found, _ = evaluated(jax.nn.one_hot(truth, CLASSES))
    assert found["restored__synthesis_l1"] == 0.0 and found["restored__accuracy"] == 1.0
    assert found["restored_soft__synthesis_l1"] > 0.01


def test_a_restorer_that_is_told_the_damage_has_a_row_of_its_own():
    system = build(
        task="mixture",
        mixture=("sr8", "holes"),
        told=0.5,
        generator=None,
        loss=ROWS["ce"],
    )
    truth = scenes()["labels"][..., 0]
    right, wrong = (jax.nn.one_hot(x, CLASSES) for x in (truth, truth * 0))

    def answers(variables, damaged, kind=None):
        told = jnp.zeros(COUNT, bool) if kind is None else kind == jnp.arange(COUNT)
        return jnp.where(told[:, None, None, None], right, wrong)

    object.__setattr__(system, "logits", answers)
    batch = {**scenes(), "valid": jnp.ones(COUNT)}
    damaged, _ = system.task.damage(batch, jax.random.key(0))
    scores, _ = judging.judge(system, {}, {}, batch, damaged, jnp.asarray([0, 0]))
    found = computed(scores)
    none = float((truth == 0).mean())
    assert found["restored__accuracy"] == pytest.approx(none, rel=1e-6)
    first, second = 1.0, float((truth[1] == 0).mean())  # the second one was told another kind
    assert found["told__accuracy"] == pytest.approx((first + second) / 2, rel=1e-6)


class Colours(SetFeatures):
    """In place of Inception: the mean colour of a picture, and of its left half."""

    def __call__(self, variables, pictures):
        assert pictures.dtype == jnp.uint8
        pictures = pictures.astype(jnp.float32)
        return jnp.concatenate([pictures.mean((1, 2)), pictures[:, :, :4].mean((1, 2))], -1)


@pytest.mark.parametrize("how", ["truncated", "rounded"])
def test_sets_of_pictures_are_compared_row_by_row(how):
    """Cut off, 99.6 of 255 are 99, and rounded 100."""
    photo = jnp.asarray(np.random.default_rng(0).integers(0, 200, (8, 4, 8, 3)), jnp.uint8)
    between = (photo + 0.6) / 127.5 - 1
    made = {"restored": between, "synthesis": to_unit(photo), "none": -to_unit(photo)}
    batch = {"image": photo, "valid": jnp.ones(8)}
    features = Colours(network="standin", capacity=16, bytes=how)
    scores = judging.distances(features, {"inception": {}}, made, batch)
    rows = {
        name.split("__")[0]: float(metric.compute())
        for name, metric in scores.items()
        if "__frechet" in name and not name.endswith("__n")
    }
    # Rounding errors of float32 fall below a grey level here and there.
    assert rows["synthesis"] == pytest.approx(0, abs=1.0 if how == "truncated" else 1e-6)
    assert rows["none"] > 1000
    # One grey level off in each of six features.
    expected = {"truncated": 0.0, "rounded": 6.0}[how]
    assert rows["restored"] == pytest.approx(expected, abs=1e-2)


def test_the_table_has_the_rows_and_columns_that_were_measured():
    metrics = {
        "none/accuracy": 0.685,
        "none/mean_iou": 0.394,
        "restored/accuracy": 0.865,
        "restored/image_l1": 0.2,
        "restored_soft/image_l1": 0.1,
        "synthesis/frechet[standin]": 62.9,
        "none/car/iou": 0.5,
        "restored/car/iou": float("nan"),
    }
    text = build(loss={"vgg": 0.0}).report(metrics)
    lines = text.splitlines()
    assert (
        lines[0] == "| sr8, ce_l1               | frechet[standin] | accu % | mIoU % | image L1 |"
    )
    assert "| none (the damaged map)   | - | 68.5 | 39.4 | - |" in lines
    assert "| synthesis (the true map) | 62.90 | - | - | - |" in lines
    assert "| car                      | 50.0 | - |" in lines
    assert "differ by 50% in L1" in lines[-1]
    assert "differ" not in table({**metrics, "restored_soft/image_l1": 0.19}, "t", ())
