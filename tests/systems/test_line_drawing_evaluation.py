"""What an evaluation of line drawings reports."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawings import CLASSES, COUNT, LIGHT, batch, build, compiled, start

from segsynth.metrics import readability
from segsynth.metrics.kernel_distance import kernel_distance
from segsynth.metrics.names import name_of
from segsynth.networks.segmentation_unet import SegmentationUNet
from segsynth.pretrained import loading
from segsynth.pretrained.drawing_features import MeaningFeatures
from segsynth.pretrained.set_features import SetFeatures
from segsynth.systems.line_drawing import evaluation
from segsynth.systems.line_drawing.networks import Networks
from segsynth.systems.line_drawing.objective import Examples

KEY = jax.random.key(0)
OUTSIDER = {"classes": CLASSES, "width": 4, "levels": 1}


def judged(system, seed=0):
    state, frozen = start(system)
    given = {**batch(system, seed), "valid": jnp.ones(COUNT)}
    metrics, drawn = compiled(system, "eval_step")(state.variables(), frozen, given, KEY)
    values = {name: float(value) for name, value in metrics.compute().items()}
    answer = system.predict(state.variables(), frozen, {"image": given["image"]}, KEY)
    return given, values, drawn, answer


@pytest.fixture(scope="module")
def light():
    system = build(things=[3, 4], judged_by=["outsider"], outsider=OUTSIDER, **LIGHT)
    return system, *judged(system)


def test_pictures_show_what_predict_answers(light):
    system, given, _, drawn, answer = light
    assert tuple(drawn) != () and set(drawn) == set(system.pictures)
    np.testing.assert_array_equal(drawn["photo"], given["image"])
    assert drawn["drawing"].shape[-1] == 3 and answer["drawing"].shape[-1] == 1
    apart = np.abs(drawn["drawing"][..., :1].astype(int) - answer["drawing"].astype(int))
    assert apart.max() <= 1
    np.testing.assert_array_equal(drawn["labels"], given["labels"])


def test_what_is_read_is_read_from_the_drawing(light):
    _, given, values, _, answer = light
    drawing = answer["drawing"].astype(jnp.float32) / 255
    labels = given["labels"][..., 0].astype(jnp.int32)
    agreement = readability.edge_agreement(drawing, labels, things=(3, 4))
    for name in ("recall", "f1"):
        assert values[f"edge_{name}"] == pytest.approx(
            float(getattr(agreement, name).mean()), rel=0.05
        )
    assert values["edge_recall_thing_thing"] == pytest.approx(
        float(agreement.thing_thing.mean()), rel=0.05
    )
    assert values["ink_ratio"] == pytest.approx(
        float(readability.ink_ratio(drawing).mean()), abs=0.02
    )
    real = given["drawing"].astype(jnp.float32) / 255
    expected = float(readability.mid_grey(real).mean())
    assert values["real_drawings__mid_grey"] == pytest.approx(expected, rel=1e-4)


def test_a_photograph_without_labels_has_no_segmentation_loss(light):
    system = light[0]
    state, frozen = start(system)
    given = {**batch(system), "valid": jnp.ones(COUNT)}
    half = {**given, "labels": given["labels"].at[0].set(255)}
    one = {**given, "valid": jnp.asarray([0.0, 1.0])}
    step = compiled(system, "eval_step")
    found, expected = (
        float(step(state.variables(), frozen, x, KEY)[0].compute()["loss__segmentation"])
        for x in (half, one)
    )
    assert found == pytest.approx(expected, rel=1e-5) and np.isfinite(found)


def test_an_evaluation_shows_the_segmenter_what_training_does():
    seen, system = [], build(seg={"binarised": True, "noise": 0.3}, **LIGHT)

    class Shown(Networks):
        def judged(self, nets, name, pictures):
            return pictures

        def segments(self, nets, drawing, train):
            seen.append(drawing)
            return jnp.zeros((*drawing.shape[:3], CLASSES)), {}

    networks = Shown(**vars(system.networks))
    objective = dataclasses.replace(system.objective, networks=networks)
    drawing = jax.random.uniform(KEY, (COUNT, 16, 16, 1))
    given = Examples.of(batch(system))
    evaluation.loss_values(objective, {}, given, drawing, given.photo)
    np.testing.assert_allclose(seen[0], drawing >= 0.5, atol=1e-6)


def test_without_labels_nothing_is_said_of_edges():
    drawing = jax.random.uniform(KEY, (COUNT, 16, 16, 1))
    photo = jax.random.uniform(KEY, (COUNT, 16, 16, 3))
    found = evaluation.drawing_values(drawing, photo, None)
    assert set(found) == {"ink_ratio", "mid_grey", "shading"}


def test_a_blank_page_scores_0_and_is_not_left_out():
    labels = jnp.zeros((2, 32, 32), jnp.int32).at[0, 8:20, 8:20].set(1)
    photo = jax.random.uniform(KEY, (2, 32, 32, 3))
    found = evaluation.drawing_values(jnp.ones((2, 32, 32, 1)), photo, labels)
    assert (found["edge_precision"][0], found["edge_f1"][0], found["shading"][0]) == (0, 0, 0)
    assert np.isnan(found["edge_f1"][1]) and np.isnan(found["edge_precision"][1])


def test_a_clip_score_comes_with_its_controls():
    """Through an encoder whose features are known: a picture's mean tells its class."""

    class Known(MeaningFeatures):
        described = loading.describe("standin:clip_vit_b32")

        def __call__(self, _, pictures):
            shade = pictures.mean((1, 2, 3))
            return jnp.stack([1 - shade, shade], axis=-1)

        def tokens(self, captions):
            assert captions == ["a photo of dark", "a photo of light"]
            return np.zeros((2, 77), np.int32)

        def captions(self, _, tokens):
            return jnp.eye(2)

    drawings = jnp.stack([jnp.zeros((4, 4, 1)), jnp.ones((4, 4, 1)), jnp.ones((4, 4, 1))])
    photos = jnp.stack([jnp.ones((4, 4, 3)), jnp.zeros((4, 4, 3)), jnp.ones((4, 4, 3))])
    metrics = evaluation.clip_values(
        Known(),
        None,
        {"dark": "dark", "light": "light"},
        (drawings, photos),
        jnp.asarray([0, 1, 0]),
        jnp.ones(3),
        "a photo of",
    )
    values = {name_of(name): float(metric.compute()) for name, metric in metrics.items()}
    assert values["caption_score[standin]"] == pytest.approx(2 / 3, abs=1e-6)
    assert values["blank_page/caption_score[standin]"] == pytest.approx(1 / 3, abs=1e-6)
    assert values["majority_prior/caption_score[standin]"] == pytest.approx(2 / 3)
    # All photographs are of the other class.
    assert values["photo/caption_score[standin]"] == pytest.approx(0, abs=1e-6)
    # One drawing of three is dark, and two subjects are: 1/3 x 2/3 + 2/3 x 1/3.
    assert values["shuffled_labels/caption_score[standin]"] == pytest.approx(4 / 9, abs=1e-6)


def test_the_style_is_that_of_the_real_drawings():
    """Through features that are known: a picture's mean and its square."""

    class Known(SetFeatures):
        def __call__(self, _, pictures):
            shade = pictures.mean((1, 2, 3)) / 255
            return jnp.stack([shade, shade**2], axis=-1)

    real = jnp.linspace(0, 1, 6)[:, None, None, None] * jnp.ones((6, 4, 4, 1))

    def distance(made, **settings):
        style = Known(network="standin", capacity=16, **settings)
        valid = jnp.asarray([1.0, 1, 1, 1, 1, 0])
        found = evaluation.style_values(style, None, (real, made), valid)
        return {name_of(name): float(metric.compute()) for name, metric in found.items()}

    far, near = distance(jnp.zeros_like(real)), distance(real)
    assert set(far) == {"kernel[standin]", "kernel[standin]/std"}
    means = np.asarray([0, 0.2, 0.4, 0.6, 0.8], np.float32)
    features = np.stack([means, means**2], axis=-1)
    expected = kernel_distance(features, np.zeros((5, 2)))
    assert far["kernel[standin]"] == pytest.approx(expected, rel=1e-4) and expected > 0.2
    assert near["kernel[standin]"] < 0
    assert far["kernel[standin]/std"] == 0
    # Subsets of fewer than all differ, and have the same mean but for chance.
    halves = distance(jnp.zeros_like(real), subset=3)
    assert halves["kernel[standin]/std"] > 0.05
    assert halves["kernel[standin]"] == pytest.approx(expected, rel=0.25)


def test_photographs_are_found_by_their_drawings():
    """By the published system's own path, through a CLIP that no loss looks at."""
    system = build(judged_by=["retrieval"], retrieval={"network": "standin"}, **LIGHT)
    assert "retrieval" in system.frozen and "clip" not in system.frozen
    variables = jax.jit(system.frozen["retrieval"].init)(KEY)
    photo = jax.random.uniform(KEY, (3, 16, 16, 3))
    valid = jnp.ones(3)
    for drawing, recall in ((photo, 1.0), (jnp.ones((3, 16, 16, 1)), 0.0)):
        pair = (drawing, photo)
        found = evaluation.retrieval_values(system.panel.retriever, variables, pair, valid)
        values = {name_of(name): float(metric.compute()) for name, metric in found.items()}
        assert values["retrieval[standin]"] == recall


def test_a_distance_of_style_has_a_network_of_its_own():
    system = build(judged_by=["style"], style={"network": "standin"}, **LIGHT)
    assert "style" in system.frozen and "style" not in build(**LIGHT).frozen
    variables = jax.eval_shape(system.frozen["style"].init, KEY)
    found = jax.eval_shape(system.panel.style, variables, jnp.zeros((2, 32, 32, 1), jnp.uint8))
    assert found.shape == (2, 256)


def test_the_stand_ins_have_another_name():
    meaning = build().networks.meaning
    assert meaning.described.standin
    assert meaning.tokens(["a line drawing of people"]).shape == (1, 77)


def test_an_outsider_reads_drawings_as_they_are_and_in_black_and_white():
    """Classes drawn as 0.6 and 0.9 are both paper."""

    class Outsider(SegmentationUNet):
        def apply(self, variables, seen):
            return jax.nn.one_hot((seen[..., 0] > 0.75).astype(jnp.int32), self.classes)

    labels = jnp.zeros((2, 16, 16), jnp.int32).at[:, :, 8:].set(1).at[:, :2].set(255)
    drawing = jnp.where(labels == 1, 0.9, 0.6)[..., None]
    drawing = drawing.at[1].set(1.5 - drawing[1])  # all of it wrong, and not valid
    valid = jnp.asarray([1.0, 0.0])
    found = evaluation.outsider_values(Outsider(3), {}, drawing, labels, valid)
    values = {name_of(name): float(metric.compute()) for name, metric in found.items()}
    assert values["outsider/mean_iou"] == pytest.approx(1.0)
    # In black and white all of it is class 1, which half of it is.
    assert values["outsider/binarised/mean_iou"] == pytest.approx(0.25)
    assert {"outsider/mean_iou", "outsider/binarised/mean_iou"} <= set(readability.HIGHER)


def test_the_outsider_is_frozen_and_no_loss_looks_at_it(light):
    """Its scores move with its own numbers; it is asked without a segmentation loss, too."""
    off = build(seg={"mode": "off"}, judged_by=["outsider"], outsider=OUTSIDER, **LIGHT)
    assert set(off.frozen) == {"outsider"} and "labels" in off.targets
    assert off.label_limit == CLASSES and "outsider" not in off.players
    system, given, values, *_ = light
    state, frozen = start(system)
    jax.eval_shape(system.train_step, state, {}, given, KEY)  # a step that needs it would fail
    one_class = jax.tree.map(jnp.zeros_like, frozen["outsider"]["params"])
    one_class["head"]["bias"] = one_class["head"]["bias"].at[2].set(1.0)
    blind = {"outsider": {**frozen["outsider"], "params": one_class}}
    step = compiled(system, "eval_step")
    found = step(state.variables(), blind, given, KEY)[0].compute()
    share = float((given["labels"] == 2).mean())
    assert float(found["outsider__accuracy"]) == pytest.approx(share, abs=1e-6)
    assert values["outsider__accuracy"] != pytest.approx(share, abs=1e-6)
    assert float(found["edge_f1"]) == values["edge_f1"]
