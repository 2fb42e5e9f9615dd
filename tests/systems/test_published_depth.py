"""Depth maps of photographs by a frozen network: sizes, polarity, files."""

import functools
import pathlib
import runpy
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from segsynth import config_files, predict, systems
from segsynth.data import pictures
from segsynth.data.layouts.photo_depth import photo_depth
from segsynth.errors import UserError
from segsynth.evaluate import evaluate_config
from segsynth.pretrained import loading
from segsynth.pretrained.depth_anything import depth_pixels, depth_size
from segsynth.pretrained.resampling import resize_corners

ROOT = pathlib.Path(__file__).parents[2]
CONFIG = f"{ROOT}/configs/published_depth.py"
SIDE, KEY = 28, jax.random.key(0)


@functools.cache
def loaded():
    return loading.standin("depth_anything_v2_small")


@functools.cache
def synthesizer():
    system = systems.build({"name": "published_depth", "network": "standin", "side": SIDE})
    nothing = {"params": {}, "model_state": {}}
    return predict.Synthesizer(system, nothing, {"estimator": loaded().variables})


def photo(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


@jax.jit
def raw(variables, image):
    """Inverse depth as the network says it, in the size in which it looks."""
    signed = image[None].astype(jnp.float32) / 127.5 - 1
    return loaded().module.apply(variables, depth_pixels(signed, SIDE))


@pytest.mark.parametrize("size", [(37, 61), (61, 37)])
def test_depth_is_the_networks_stretched_near_being_one(size):
    image = photo(*size)
    depth = synthesizer()(image=image)["depth"]
    assert depth.shape == (*size, 1) and depth.dtype == np.float32
    assert depth.min() == 0 and depth.max() == 1
    seen = raw(loaded().variables, image)
    assert seen.shape[1:] == depth_size(*size, SIDE) != size
    found = np.asarray(resize_corners(seen[..., None], size))[0]
    expected = (found - found.min()) / (found.max() - found.min())  # large = near stays so
    np.testing.assert_allclose(depth, expected, atol=1e-4)


def test_users_get_what_a_batch_gets():
    system = synthesizer().system
    frozen = {"estimator": loaded().variables}
    batch = np.stack([photo(21, 33, seed) for seed in (1, 2)])
    batch[1] //= 8  # a picture of another range beside it
    depth = np.asarray(jax.jit(system.predict)({}, frozen, {"image": batch}, KEY)["depth"])
    assert depth.shape == (2, 21, 33, 1)
    for image, found in zip(batch, depth, strict=True):
        assert found.min() == 0 and 1 - 1e-6 < found.max() <= 1
        np.testing.assert_allclose(found, synthesizer()(image=image)["depth"], atol=1e-4)


def test_sizes_that_are_looked_at_alike_share_a_program():
    looked = []

    def answer(value, inputs, key):
        looked.append((value, inputs["pixels"].shape))
        return {"inverse": jnp.arange(28 * 42.0).reshape(1, 28, 42)}

    for size in ((37, 56), (20, 30), (200, 301)):
        found = synthesizer().system.synthesize(answer, {"image": photo(*size)}, KEY)["depth"]
        assert found.shape == (*size, 1)
        assert (np.diff(found[:, 0, 0]) > 0).all() and (np.diff(found[0, :, 0]) > 0).all()
    assert len(set(looked)) == 1 and looked[0][1] == (1, 28, 42, 3)


@pytest.mark.parametrize("level", [0.0, 3.7])
def test_a_constant_map_is_zero(level):
    # 3.7 is not the same everywhere once it is resized: rounding must not become depth.
    zeros = jax.tree.map(jnp.zeros_like, loaded().variables)
    zeros["params"]["head_2"]["bias"] += level
    system = synthesizer().system
    given = {"image": np.stack([photo(37, 61)])}
    depth = np.asarray(jax.jit(system.predict)({}, {"estimator": zeros}, given, KEY)["depth"])
    np.testing.assert_array_equal(depth, 0)
    constant = lambda *_: {"inverse": np.full((1, 28, 42), level, np.float32)}  # noqa: E731
    depth = system.synthesize(constant, {"image": photo(38, 57)}, KEY)["depth"]
    np.testing.assert_array_equal(depth, 0)


@pytest.mark.parametrize("side", [0, 500, -14])
def test_a_side_that_the_network_does_not_take(side):
    with pytest.raises(UserError, match=rf"system\.side is {side}; expected a multiple of 14"):
        systems.build({"name": "published_depth", "side": side})


def test_the_preset_needs_the_published_network(monkeypatch, tmp_path):
    monkeypatch.setenv("SEGSYNTH_WEIGHTS", str(tmp_path))
    config = config_files.load(CONFIG, [])[0]
    assert config.system.side == 518
    with pytest.raises(UserError, match="depth_anything_v2_small"):
        predict.from_config(config)
    system = systems.build(dict(config.system))
    shapes = jax.eval_shape(system.frozen["estimator"].init, KEY)
    # The file also holds a token of 384 and a unit of 73,856 numbers that nothing reads.
    assert sum(x.size for x in jax.tree.leaves(shapes)) == 24_785_089 - 74_240


def test_a_folder_of_photographs_gets_the_maps_that_trainings_read(monkeypatch, tmp_path):
    sizes = {"a": (37, 61), "b": (40, 41)}
    (tmp_path / "photos").mkdir()
    for i, (name, size) in enumerate(sizes.items()):
        pictures.write_png(tmp_path / f"photos/{name}.png", photo(*size, seed=i))
    main = runpy.run_path(f"{ROOT}/launch/predict.py")["main"]
    flags = ["--config", f"{CONFIG}:smoke", "--image", f"{tmp_path}/photos"]
    flags += ["--output", f"{tmp_path}/depth", f"--config.system.side={SIDE}"]
    monkeypatch.setattr(sys, "argv", ["predict.py", *flags])
    main()
    for name, size in sizes.items():
        with Image.open(tmp_path / f"depth/{name}.png") as picture:
            assert picture.mode == "I;16" and picture.size == size[::-1]
            assert picture.getextrema() == (0, 65535)
    source = photo_depth(tmp_path, "all")
    assert len(source) == 2
    for i in range(2):
        example = source[i]
        expected = synthesizer()(image=example["image"])["depth"]
        np.testing.assert_allclose(example["depth"], expected, atol=1 / 65535)


def test_scenes_are_scored_and_the_standin_is_named(tmp_path, caplog):
    config = config_files.load(f"{CONFIG}:smoke", [f"--config.system.side={SIDE}"])[0]
    with caplog.at_level("INFO"):
        record = evaluate_config(config, output=tmp_path)
    assert record["n"] == 8 and set(record["metrics"]) == {"aligned_error", "order"}
    assert 0 < record["metrics"]["order"] < 1 and 0 < record["metrics"]["aligned_error"] < 0.5
    said = "stand-ins with random weights: estimator = standin:depth_anything_v2_small"
    assert said in caplog.text
