"""Drawings in colour: three channels to the judges, their grey to the segmenter, identity loss."""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawings import CLASSES, LIGHT, SIDE, batch, build, compiled, norms, quick, start
from PIL import Image

from segsynth import config_files, systems
from segsynth.data import feed
from segsynth.engine.run import Run, plain
from segsynth.errors import UserError
from segsynth.metrics import readability
from segsynth.predict import Synthesizer
from segsynth.systems.line_drawing.manner import Manner, finished
from segsynth.systems.line_drawing.networks import Networks
from segsynth.systems.line_drawing.objective import Examples

CONFIG = pathlib.Path(__file__).parents[2] / "configs/line_drawing.py"
KEY = jax.random.key(3)
COLOUR = {"generator": {"channels": 3}}
#: What learns with the generators.
READERS = ("geometry", "segmenter")


def colour_batch(system, seed=0):
    random = np.random.default_rng(seed)
    drawing = random.integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.uint8)
    grey = build(seg={"mode": "joint"})
    given = batch(grey, seed)
    given["colour_drawing"] = jnp.asarray(drawing)
    return {name: given[name] for name in (*system.inputs, *system.targets)}


def test_three_channels_where_drawings_are_and_one_where_labels_are_read():
    system = systems.build({"name": "line_drawing", **COLOUR})
    params = jax.eval_shape(system.init, KEY).params
    assert params["painter"]["stem"]["kernel"].shape == (7, 7, 3, 64)
    sizes = {name: sum(x.size for x in jax.tree.leaves(tree)) for name, tree in params.items()}
    # A head and a bias of two more channels; a discriminator like that of photographs.
    assert sizes["drawer"] == 4_290_945 + 2 * (7 * 7 * 64 + 1)
    assert sizes["drawing_judge"] == sizes["photo_judge"] == 2_764_737
    assert sizes["segmenter"] == 31_048_246
    assert system.outputs == ("colour_drawing",)
    assert system.targets == ("colour_drawing", "depth", "labels")


@pytest.mark.parametrize(
    ("channels", "asked", "expected"), [(1, {}, 0.0), (3, {}, 5.0), (3, {"identity": 2.0}, 2.0)]
)
def test_cyclegan_has_its_identity_loss_where_channels_match(channels, asked, expected):
    section = {"name": "line_drawing", "preset": "cyclegan", "loss": asked}
    system = systems.build({**section, "generator": {"channels": channels}})
    assert system.objective.weights.identity == expected
    assert system.objective.weights.cycle == 10.0 and system.networks.drawer.blocks == 9


def test_what_cannot_be_is_refused():
    with pytest.raises(UserError, match=r"identity is 5, and drawings have one channel; expected"):
        build(loss={"identity": 5.0})
    with pytest.raises(UserError, match=r"generator\.channels is 2; expected 1, .* or 3"):
        build(generator={"channels": 2})
    system = build(**COLOUR, **LIGHT)
    with pytest.raises(UserError, match="svg draws lines of one colour"):
        system.adjusted(Manner(svg=True))


def test_the_identity_loss_by_hand():
    """A generator is given what its other side makes, and ought to leave it."""
    weights = {"adversarial": 0.0, "cycle": 0.0, "geometry": 0.0, "clip": 0.0, "identity": 1.0}
    system = build(**COLOUR, loss=weights, seg={"mode": "off"})
    state, frozen = start(system)
    given = colour_batch(system)
    nets, examples = system._nets(state.variables(), frozen), Examples.of(given, "colour_drawing")
    photo, drawing = examples.photo, examples.drawing

    @jax.jit
    def both(params):
        def play(params):
            made = {name: {"params": tree} for name, tree in params.items()}
            return system.objective.generators({**nets, **made}, examples, state.step, KEY)[0]

        return jax.value_and_grad(play)(params)

    total, slope = both(dict(state.params))
    kept = jnp.abs(system.networks.draw(nets, drawing) - drawing).mean()
    kept += jnp.abs(system.networks.paint(nets, photo) - photo).mean()
    np.testing.assert_allclose(total, kept, rtol=1e-5)
    found = norms(slope)
    assert found["drawer"] > 0 and found["painter"] > 0
    assert found["photo_judge"] == found["drawing_judge"] == 0


def test_a_step_and_what_an_evaluation_sees():
    system = quick(build(**COLOUR, pool=3, loss={"identity": 5.0}))
    state, frozen = start(system)
    given = colour_batch(system)
    after, scalars = compiled(system)(state, frozen, given, KEY)
    assert all(np.isfinite(float(x)) for x in scalars.values())
    assert after.model_state["pools"]["drawing_judge"].pictures.shape == (3, SIDE, SIDE, 3)
    assert set(after.params) == {*system.players, "photo_judge", "drawing_judge"}
    learned = {**after.params, **{f"{n} statistics": after.model_state[n] for n in READERS}}
    before = {**state.params, **{f"{n} statistics": state.model_state[n] for n in READERS}}
    for name, tree in learned.items():
        moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), tree, before[name])
        assert max(jax.tree.leaves(moved)) > 0, name
    weighted = sum(float(x) for name, x in scalars.items() if name.startswith("weighted_"))
    np.testing.assert_allclose(float(scalars["loss"]), weighted, rtol=1e-6)
    np.testing.assert_allclose(scalars["weighted_identity"], 5 * scalars["identity"], rtol=1e-6)
    valid = {**given, "valid": np.ones(2, np.float32)}
    evaluate = jax.jit(system.eval_step)
    scores, shown = evaluate(after.variables(), frozen, valid, KEY)
    assert np.ptp(np.asarray(shown["drawing"]), axis=-1).max() > 0
    grey = readability.luma(given["colour_drawing"] / 255)
    expected = float((grey < 0.5).mean())
    found = scores.compute()
    np.testing.assert_allclose(float(found["real_drawings__ink_ratio"]), expected, rtol=1e-5)


def test_the_segmenter_sees_no_colours():
    """What a segmenter may read is the grey of a drawing, and no code in its colours."""
    system = build(**COLOUR, **LIGHT, seg={"mode": "joint", "classes": CLASSES})
    seen = []

    class Grey(Networks):
        def draw(self, nets, photo):
            return photo

        def paint(self, nets, drawing):
            return drawing

        def judged(self, nets, name, pictures):
            return pictures.mean(-1, keepdims=True)

        def segments(self, nets, drawing, train):
            seen.append(drawing)
            return jnp.zeros((*drawing.shape[:3], CLASSES)), {}

    networks = Grey(**vars(system.networks))
    objective = dataclasses.replace(system.objective, networks=networks)
    examples = Examples.of(colour_batch(system), "colour_drawing")
    objective.generators({}, examples, jnp.asarray(0), KEY)
    weights = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(seen[0][..., 0], np.asarray(examples.photo) @ weights, atol=1e-5)


def test_drawings_of_any_size_whole_and_in_parts():
    system = build(**COLOUR, **LIGHT)
    state, frozen = start(system)
    synthesizer = Synthesizer(system, state.variables(), frozen)
    random = np.random.default_rng(1)
    photo = (random.random((45, 70, 3)) * np.linspace(0, 255, 70)[:, None]).astype(np.uint8)
    whole = synthesizer(image=photo)["colour_drawing"]
    assert whole.shape == photo.shape and np.ptp(whole, axis=-1).max() > 0
    parts = synthesizer.adjusted(tile=16)(image=photo)["colour_drawing"]
    assert np.abs(parts.astype(int) - whole).max() <= 1


@pytest.mark.parametrize(("invert", "ground"), [(False, "white"), (True, "black")])
def test_alpha_over_its_paper_is_the_drawing(invert, ground):
    drawing = np.random.default_rng(0).integers(0, 256, (9, 8, 3)).astype(np.uint8)
    drawing[0] = 255
    found = finished(drawing, Manner(alpha=True, invert=invert))["drawing"]
    assert found.shape == (9, 8, 4) and (found[0, :, 3] == 0).all()
    picture = Image.fromarray(found)
    canvas = Image.new("RGBA", picture.size, ground)
    over = np.asarray(Image.alpha_composite(canvas, picture))[..., :3].astype(int)
    assert np.abs(over - finished(drawing, Manner(invert=invert))["drawing"]).max() <= 1


def test_readers_see_the_grey_of_colour_drawings():
    drawer = {"width": 4, "blocks": 1, "channels": 3}
    tiny = {"classes": 3, "width": 4, "levels": 1}
    system = systems.build({"name": "segmenter", **tiny, "drawer": drawer})
    frozen = {"drawer": system.frozen["drawer"].init(KEY)}
    image = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3)).astype(np.uint8)
    drawn = system.drawer.apply(frozen["drawer"], jnp.asarray(image) / 255)
    assert drawn.shape == (1, 16, 16, 3)
    seen = system._seen(frozen, jnp.asarray(image))
    np.testing.assert_allclose(seen, readability.luma(drawn), atol=1e-6)


def test_the_preset_for_folders_of_colour_drawings(tmp_path):
    """Batches of photographs and of drawings in colour, of any folders."""
    for i in range(20):
        colour = np.full((24, 30, 3), (250, 10 * i, 0), np.uint8)
        Image.fromarray(colour).save(tmp_path / f"{i}.png")
    roots = [f"--config.{name}={tmp_path}" for name in ("data_root", "drawings_root")]
    asked = [*roots, "--config.side=16", "--config.phases.drawing.train.global_batch=2"]
    run = Run(pathlib.Path("unused"), plain(config_files.load(f"{CONFIG}:photos_colour", asked)[0]))
    settings = run.settings("drawing")
    system = systems.build(settings["system"])
    assert system.objective.weights.identity == 5.0
    assert system.networks.painter.out_channels == system.networks.drawer.out_channels == 3
    with feed.training(settings, system, seed=0, start_step=0) as batches:
        given = next(batches)
    assert given["colour_drawing"].shape == (2, 16, 16, 3)
    assert (given["colour_drawing"][..., 0] == 250).all()
