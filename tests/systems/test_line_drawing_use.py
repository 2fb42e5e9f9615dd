"""Drawings as users ask for them: options, files and folders, published weights, runs."""

import dataclasses
import pathlib
import runpy
import sys
import xml.etree.ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawings import TINY
from PIL import Image

from segsynth import config_files, predict, predict_files, systems
from segsynth.data import pictures
from segsynth.drawings import side_by_side
from segsynth.engine import imported, references, sharding
from segsynth.engine.checkpoints import Checkpoints
from segsynth.engine.run import Run
from segsynth.errors import UserError
from segsynth.networks.resnet_generator import ResnetGenerator
from segsynth.systems.line_drawing.manner import Manner, finished

ROOT = pathlib.Path(__file__).parents[2]
CONFIG = f"{ROOT}/configs/published_drawing.py"


def page():
    """A grey ramp with a black line below it."""
    drawing = np.full((12, 64, 1), 255, np.uint8)
    drawing[:4, :, 0] = np.arange(0, 256, 4)
    drawing[8, 4:60] = 0
    return drawing


def composed(rgba, ground):
    picture = Image.fromarray(rgba)
    canvas = Image.new("RGBA", picture.size, ground)
    return np.asarray(Image.alpha_composite(canvas, picture).convert("L"))[..., None]


def test_without_options_a_drawing_stays_as_it_is():
    answer = finished(page(), Manner())
    assert list(answer) == ["drawing"]
    np.testing.assert_array_equal(answer["drawing"], page())


def test_inverted_is_light_on_black():
    np.testing.assert_array_equal(finished(page(), Manner(invert=True))["drawing"], 255 - page())


@pytest.mark.parametrize(("invert", "ground"), [(False, "white"), (True, "black")])
def test_alpha_over_its_paper_is_the_drawing(invert, ground):
    found = finished(page(), Manner(alpha=True, invert=invert))["drawing"]
    expected = finished(page(), Manner(invert=invert))["drawing"]
    assert found.shape == (12, 64, 4)
    difference = composed(found, ground).astype(int) - expected
    assert np.abs(difference).max() <= 1
    assert found[8, 5, 3] == 255 and found[11, 0, 3] == 0


def test_ink_bends_greys_and_keeps_black_and_white():
    dark, pale = (finished(page(), Manner(ink=ink))["drawing"] for ink in (2.0, 0.5))
    middle = page()[0, 32, 0]
    assert dark[0, 32, 0] == round(255 * (middle / 255) ** 2) < middle < pale[0, 32, 0]
    for found in (dark, pale):
        assert found[0, 0, 0] == 0 and found[11, 0, 0] == 255


def lines(text):
    root = xml.etree.ElementTree.fromstring(text)
    return [e for e in root.iter() if e.tag.endswith("polyline")]


def test_svg_has_the_colours_of_the_picture():
    plain, light, clear = (
        finished(page(), Manner(svg=True, **more))["svg"]
        for more in ({}, {"invert": True}, {"alpha": True})
    )
    assert 'stroke="black"' in plain and 'fill="white"' in plain
    assert 'stroke="white"' in light and 'fill="black"' in light
    assert "<rect" not in clear
    assert len(lines(plain)) == len(lines(light)) == 2
    assert len(lines(finished(page(), Manner(svg=True, shortest=40.0))["svg"])) == 1


@pytest.fixture(scope="module")
def synthesizer():
    return predict.from_config(config_files.load(f"{CONFIG}:smoke", [])[0])


@pytest.fixture
def photos(tmp_path):
    for i, name in enumerate(("a", "b", "sub/c")):
        path = tmp_path / "photos" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(i).integers(0, 100 + 70 * i, (20, 33, 3))
        pictures.write_png(path, noise.astype(np.uint8))
    return tmp_path / "photos"


def test_a_folder_gets_a_picture_and_a_file_of_strokes_each(synthesizer, photos, tmp_path):
    inputs, out = {"image": str(photos)}, tmp_path / "out"
    written = predict_files.predict_files(synthesizer.adjusted(svg=True, alpha=True), inputs, out)
    names = {path.relative_to(out).as_posix() for path in written}
    assert names == {f"{name}{end}" for name in ("a", "b", "sub/c") for end in (".svg", ".png")}
    with Image.open(out / "a.png") as picture:
        assert picture.mode == "RGBA" and picture.size == (33, 20)
    assert 'viewBox="0 0 33 20"' in (out / "sub/c.svg").read_text()
    (out / "b.svg").unlink()
    again = predict_files.predict_files(synthesizer.adjusted(svg=True, alpha=True), inputs, out)
    assert [path.name for path in again] == ["b.svg", "b.png"]
    with pytest.raises(UserError, match=r"made with other settings \(options\.alpha: True"):
        predict_files.predict_files(synthesizer.adjusted(svg=True), inputs, out)


def test_a_film_goes_on_as_it_began(synthesizer, photos, tmp_path):
    film, inputs = synthesizer.adjusted(film="first"), {"image": str(photos)}
    written = predict_files.predict_files(film, inputs, tmp_path / "film")
    before = {path: path.read_bytes() for path in written}
    written[1].unlink()
    assert predict_files.predict_files(film, inputs, tmp_path / "film") == [written[1]]
    assert {path: path.read_bytes() for path in written} == before
    alone = predict_files.predict_files(synthesizer, inputs, tmp_path / "alone")
    same = [a.read_bytes() == b.read_bytes() for a, b in zip(written, alone, strict=True)]
    assert same == [True, False, False]


def launch(monkeypatch, *arguments):
    main = runpy.run_path(f"{ROOT}/launch/predict.py")["main"]
    monkeypatch.setattr(sys, "argv", ["predict.py", *map(str, arguments)])
    main()


def test_options_are_flags(monkeypatch, photos, tmp_path):
    given = ("--config", f"{CONFIG}:smoke", "--image", photos / "a.png", "--output")
    launch(monkeypatch, *given, tmp_path / "a.png", "--svg", "--invert", "--ink", "1.5")
    plain = predict.from_config(config_files.load(f"{CONFIG}:smoke", [])[0])
    expected = plain.adjusted(invert=True, ink=1.5)(image=photos / "a.png")["drawing"]
    np.testing.assert_array_equal(pictures.read_drawing(tmp_path / "a.png"), expected)
    assert (tmp_path / "a.svg").exists()
    for flags, said in (
        (("--film", "last"), "invalid choice: 'last'"),
        (("--tile", "many"), "invalid int value: 'many'"),
        (("--tiles", "4"), "unexpected argument '--tiles=4'; this system takes --image, --size"),
    ):
        with pytest.raises(UserError, match=said):
            launch(monkeypatch, *given, tmp_path / "b.png", *flags)


def test_a_system_without_options_says_so():
    crf = predict.from_config(config_files.load(f"{ROOT}/configs/crf_coarse.py:plain", [])[0])
    assert crf.options is None and crf.adjusted() is crf
    with pytest.raises(UserError, match="has no options; 'svg' was given"):
        crf.adjusted(svg=True)


def test_street_frames_keep_their_size(synthesizer, test_data):
    frames = sorted((test_data / "street_kitti").glob("*.png"))
    if not frames:
        pytest.skip("no frames in street_kitti")
    size = pictures.picture_size(frames[0])
    assert size == (375, 1242)
    assert synthesizer(image=frames[0])["drawing"].shape == (*size, 1)


def test_published_weights_draw_without_a_training(monkeypatch, tmp_path):
    monkeypatch.setenv("SEGSYNTH_WEIGHTS", str(tmp_path))
    config = config_files.load(f"{CONFIG}:anime", [])[0]
    with pytest.raises(UserError, match="informative_drawings_anime"):
        predict.from_config(config)
    network = ResnetGenerator(1)
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    random = np.random.default_rng(0)
    made = jax.tree.map(lambda x: random.normal(0, 0.05, x.shape).astype(np.float32), shapes)
    files = [{"name": "netG_A_latest.pth", "sha256": "0" * 64}]
    imported.save(tmp_path, "informative_drawings_anime", made, files)
    photo = random.integers(0, 256, (18, 20, 3)).astype(np.uint8)
    found = predict.from_config(config)(image=photo)["drawing"]
    grown = np.pad(photo, ((0, 2), (0, 0), (0, 0)), mode="reflect")[None] / np.float32(255)
    expected = jax.jit(network.apply)(made, grown)[0, :18] * 255
    assert expected.std() > 1
    np.testing.assert_allclose(found, expected, atol=0.502)


@pytest.fixture
def run(tmp_path):
    """A run with two checkpoints of a system that reads CLIP and Inception in training."""
    section = {**TINY, "seg": {"mode": "off"}, "geometry": {"width": 1, "blocks": 1}}
    frozen = {"features": "pretrained:inception_v3_mixed6b", "clip": "pretrained:clip_vit_b32"}
    phases = {"drawing": {"system": section, "frozen": frozen}}
    run = Run.create(tmp_path / "run", {"seed": 0, "run": ["drawing"], "phases": phases})
    system = systems.build(section)
    state = jax.jit(system.init)(jax.random.key(0))
    with Checkpoints(run.directory("drawing").checkpoints) as checkpoints:
        for step, scale in ((2, 1.0), (5, 3.0)):
            params = jax.tree.map(lambda x, scale=scale: scale * x, state.params)
            step_ = jnp.asarray(step, jnp.int32)
            checkpoints.save(step, dataclasses.replace(state, params=params, step=step_))
    return run


def test_what_only_training_reads_need_not_be_there(run, monkeypatch, tmp_path):
    monkeypatch.setenv("SEGSYNTH_WEIGHTS", str(tmp_path / "none"))
    plan, system = sharding.plan(data=1), systems.build(run.settings("drawing")["system"])
    assert set(system.frozen) == {"features", "clip"}
    with pytest.raises(UserError, match="inception_v3_mixed6b"):
        references.load_frozen(run, "drawing", system, plan)
    photo = np.random.default_rng(0).integers(0, 256, (20, 33, 3)).astype(np.uint8)
    drawing = predict.load(run.path)(image=photo)["drawing"]
    assert drawing.shape == (20, 33, 1) and drawing.std() > 0
    assert run.directory("drawing").frozen() == {}

    pictures.write_png(tmp_path / "photo.png", photo)
    strip = side_by_side.strip_of_run(run.path, tmp_path / "photo.png", tmp_path / "s/strip.png")
    found = pictures.read_image(strip)
    side = found.shape[1] // 3
    assert found.shape[1] == 3 * 96 + 2 * 4
    top = found.shape[0] - 4 - round(20 * 96 / 33)
    last = found[top:-4, 2 * (96 + 4) :, 0]
    rows, columns = np.arange(len(last)) * 20 // len(last), np.arange(96) * 33 // 96
    np.testing.assert_array_equal(last, drawing[rows][:, columns, 0])
    assert (found[top:-4, 100:196] != found[top:-4, 200:]).any() and side >= 96
