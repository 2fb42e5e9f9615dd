"""Label maps from grey photographs and from drawings."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from segsynth import systems
from segsynth.errors import UserError
from segsynth.networks.resnet_generator import ResnetGenerator
from segsynth.networks.segmentation_unet import SegmentationUNet
from segsynth.predict import Synthesizer

SIDE, COUNT, KEY = 16, 2, jax.random.key(0)
TINY = {
    "name": "segmenter",
    "classes": 3,
    "width": 4,
    "levels": 1,
    "names": ["a", "b", "c"],
    "optimizer": {"lr": 2e-2, "warmup": 0, "weight_decay": 0.0},
}


@functools.cache
def build(drawn=False, norm="batch", sees="image"):
    drawer = {"drawer": {"width": 4, "blocks": 1}} if drawn else {}
    return systems.build({**TINY, **drawer, "norm": norm, "sees": sees})


def start(system):
    def make(key):
        return system.init(key), {name: spec.init(key) for name, spec in system.frozen.items()}

    return jax.jit(make)(KEY)


def batch(seed=0):
    """Pictures whose brightness tells the class; a corner is not labelled."""
    labels = np.random.default_rng(seed).integers(0, 3, (COUNT, 4, 4, 1)).repeat(4, 1).repeat(4, 2)
    image = (40 + 80 * labels).repeat(3, -1).astype(np.uint8)
    labels[:, :4, :4] = 255
    return {"image": jnp.asarray(image), "labels": jnp.asarray(labels, jnp.uint8)}


def test_the_published_network():
    system = systems.build({"name": "segmenter"})
    params = jax.eval_shape(system.init, KEY).params
    assert sum(x.size for x in jax.tree.leaves(params["segmenter"])) == 31_048_246


@pytest.fixture(scope="module")
def trained():
    system = build()
    state, frozen = start(system)
    step, losses = jax.jit(system.train_step), []
    for i in range(40):
        state, scalars = step(state, frozen, batch(i), KEY)
        losses.append(float(scalars["loss"]))
    return system, state, frozen, losses


def test_it_learns(trained):
    *_, losses = trained
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


def test_the_scores_are_those_of_the_answer(trained):
    system, state, frozen, _ = trained
    given = {**batch(99), "valid": jnp.asarray([1.0, 0.0])}
    metrics, drawn = jax.jit(system.eval_step)(state.variables(), frozen, given, KEY)
    values = {name: float(value) for name, value in metrics.compute().items()}
    found = jax.jit(system.predict)(state.variables(), frozen, given, KEY)["labels"]
    known = given["labels"][0] != 255
    right = (found[0] == given["labels"][0])[known].mean()
    assert values["accuracy"] == pytest.approx(float(right), abs=1e-6) and right > 0.6
    assert {"mean_iou", "a__iou", "c__recall"} <= set(values)
    assert set(drawn) == set(system.pictures) and drawn["seen"].shape[-1] == 3


def test_photographs_are_seen_in_grey():
    system, image = build(), jnp.asarray([[[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]], jnp.uint8)
    seen = system._seen({}, image)
    np.testing.assert_allclose(seen[0, 0, :, 0], [0.299, 0.587, 0.114], rtol=1e-5)


def test_a_map_has_the_size_of_its_picture(trained):
    system, state, frozen, _ = trained
    predict = jax.jit(system.predict)
    answer = lambda _, inputs, key: predict(state.variables(), frozen, inputs, key)  # noqa: E731
    picture = np.asarray(batch()["image"][0])[:, :13]
    labels = system.synthesize(answer, {"image": picture}, KEY)["labels"]
    assert labels.shape == (SIDE, 13, 1) and labels.dtype == np.uint8 and labels.max() < 3


def test_drawings_are_also_judged_in_black_and_white():
    system = build(drawn=True)
    assert set(system.frozen) == {"drawer"}
    state, frozen = start(system)
    given = {**batch(), "valid": jnp.ones(COUNT)}
    metrics, drawn = jax.jit(system.eval_step)(state.variables(), frozen, given, KEY)
    values = metrics.compute()
    assert {"mean_iou", "binarised__mean_iou"} <= set(values)
    assert "binarised__a__iou" not in values
    drawing = system.drawer.apply(frozen["drawer"], given["image"].astype(jnp.float32) / 255)
    apart = np.abs(drawn["seen"][..., :1] - 255 * np.asarray(drawing))
    assert apart.max() <= 1


def test_drawings_of_others_are_read_as_they_are():
    """As the data set has them: the photograph is not asked for."""
    system = build(sees="drawing")
    assert (system.inputs, system.pictures) == (("drawing",), ("seen", "labels", "truth"))
    state, frozen = start(system)
    drawing = jnp.asarray(np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 1)))
    given = {"drawing": drawing.astype(jnp.uint8), "labels": batch()["labels"]}
    scored = {**given, "valid": jnp.ones(COUNT)}
    metrics, shown = jax.jit(system.eval_step)(state.variables(), frozen, scored, KEY)
    assert {"mean_iou", "binarised__mean_iou"} <= set(metrics.compute())
    np.testing.assert_array_equal(shown["seen"], drawing.repeat(3, -1))
    assert set(shown) == set(system.pictures)
    jax.eval_shape(system.train_step, state, frozen, given, KEY)
    with pytest.raises(UserError, match="there is a drawer"):
        systems.build({**TINY, "sees": "drawing", "drawer": {"width": 4}})


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_file_with_a_drawing_is_read_as_ink_on_paper(tmp_path, mode):
    """In grey, in colour, or as ink on a transparent ground."""
    size = SIDE, SIDE

    class Looking(SegmentationUNet):
        def apply(self, variables, picture):
            return jax.nn.one_hot((picture[..., 0] > 0.5).astype(jnp.int32), 3)

    system = dataclasses.replace(build(sees="drawing"), network=Looking(3, 4, 1))
    ink = Image.new("L", size, 255)
    ink.paste(0, (4, 4, 8, 8))
    if mode == "RGBA":
        picture = Image.new("RGBA", size, (0, 0, 0, 0))
        picture.paste((0, 0, 0, 255), (4, 4, 8, 8))
    else:
        picture = ink.convert(mode)
    picture.save(tmp_path / "a.png")
    variables = {"params": {"segmenter": {}}, "model_state": {}}
    found = Synthesizer(system, variables, {})(drawing=tmp_path / "a.png")["labels"]
    np.testing.assert_array_equal(found[..., 0], np.asarray(ink) > 127)


def test_what_stands_in_greys_is_not_found_in_black_and_white():
    """Drawings of the classes as greys, 0.6 and 0.9, which are both paper."""
    labels = np.zeros((COUNT, SIDE, SIDE, 1), np.uint8)
    labels[:, :, SIDE // 2 :] = 1

    class Greys(ResnetGenerator):
        def apply(self, variables, photo):
            return 0.6 + 0.3 * (photo[..., :1] > 0.5)

    class Reader(SegmentationUNet):
        def apply(self, variables, seen):
            return jax.nn.one_hot((seen[..., 0] > 0.75).astype(jnp.int32), 3)

    system = build(drawn=True)
    system = dataclasses.replace(system, drawer=Greys(1), network=Reader(3, 4, 1))
    given = {"image": jnp.asarray(np.repeat(255 * labels, 3, -1)), "labels": jnp.asarray(labels)}
    variables = {"params": {"segmenter": {}}, "model_state": {}}
    valid = {**given, "valid": jnp.ones(COUNT)}
    metrics, _ = system.eval_step(variables, {"drawer": {}}, valid, KEY)
    values = {name: float(np.asarray(value)) for name, value in metrics.compute().items()}
    # In black and white all of it is class 1, which half of it is.
    assert values["mean_iou"] == pytest.approx(1.0)
    assert values["binarised__mean_iou"] == pytest.approx(0.25)


def test_group_norm_keeps_no_statistics():
    state = jax.eval_shape(build(norm="group").init, KEY)
    assert state.model_state == {}
    after, _ = jax.eval_shape(build(norm="group").train_step, state, {}, batch(), KEY)
    assert after.model_state == {}
