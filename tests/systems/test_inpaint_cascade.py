"""Sampling all levels: nothing leaks, known bytes stay, any size fits."""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cascades import (
    NETS,
    Quiet,
    build,
    hole,
    picture,
    recording,
    replaced,
    same,
    with_cascade,
)

from segsynth.data import masks
from segsynth.errors import UserError
from segsynth.systems.inpaint_c2f import pyramid
from segsynth.systems.inpaint_c2f.cascade import Cascade


def test_no_network_input_and_no_condition_depends_on_the_hole(on_one_device):
    cascade = recording(build().cascade)
    run = jax.jit(cascade.sample)

    def sample(fill):
        cascade.calls.clear()
        image = np.where(hole() > 0.5, np.asarray(fill, np.float32), picture())
        category = np.asarray([0, 1], np.int32)
        outputs = run(NETS, image, hole(), category, jax.random.key(3))
        jax.effects_barrier()
        return jax.tree.map(np.asarray, outputs), list(cascade.calls)

    outputs, calls = sample(0.0)
    counts = collections.Counter(index for index, _ in calls)
    assert counts == {1: 4, "c2": 1, 2: 3, "c3": 1, 3: 2}
    seen = jax.tree.leaves((outputs, [inputs for _, inputs in calls]))
    assert all(np.isfinite(x).all() for x in seen)
    for fill in (0.9, np.nan, np.inf, picture(seed=5)):
        changed_outputs, changed_calls = sample(fill)
        assert same(changed_calls, calls)
        assert same(changed_outputs, outputs)


def test_a_max_pooled_mask_would_leak(on_one_device, monkeypatch):
    """The control, on training's pyramid, which holds the truth in the hole."""

    def known_inputs(fill):
        image, mask = picture(), hole()
        image = jnp.asarray(np.where(mask > 0.5, np.float32(fill), image))
        levels = pyramid.build_pyramid(image, jnp.asarray(mask), 3)
        return [np.asarray(pyramid.compose(m, jnp.zeros_like(x), x)) for x, m in levels]

    assert same(known_inputs(0.9), known_inputs(-0.9))

    def max_pool(mask):
        b, h, w, c = mask.shape
        return mask.reshape(b, h // 2, 2, w // 2, 2, c).max(axis=(2, 4))

    monkeypatch.setattr(pyramid, "halve_mask", max_pool)
    assert not same(known_inputs(0.9), known_inputs(-0.9))


# --- known pixels ----------------------------------------------------------------------------


class Poison(Cascade):
    def level_net(self, level):
        class Net:
            def apply(self, variables, x_t, *rest, method=None):
                return jnp.full_like(x_t, jnp.nan)

        return Net()


def twenty_masks(side=32):
    """One hole pixel, one known pixel, none, all; the rest random."""
    rng = np.random.default_rng(9)
    kinds = ("mat_large", "mat_small", "box", "lama_medium")
    drawn = [masks.draw(rng, side, kinds[i % 4]) for i in range(16)]
    one = np.zeros((side, side, 1), np.uint8)
    one[13, 30] = 1
    return np.stack([one, 1 - one, 0 * one, 0 * one + 1, *drawn])


@functools.cache
def real_system():
    """All levels with real networks, every parameter random: no branch is silent."""
    system = build()
    names = system.cascade.network_names(3)
    rng = np.random.default_rng(1)
    nets = {}
    for name in names:
        shapes = jax.eval_shape(
            functools.partial(system.cascade.init_network, name), jax.random.key(0)
        )
        nets[name] = jax.tree.map(
            lambda x: (
                rng.normal(0, 0.1, x.shape).astype(np.float32)
                if x.dtype == np.float32
                else np.ones(x.shape, x.dtype)
            ),
            shapes,
        )
    params = {name: nets.pop(name)["params"] for name in system.trained}
    variables = {"params": params, "model_state": {}}
    return functools.partial(jax.jit(system.predict), variables, nets)


@functools.cache
def poisoned_system():
    system = build(combiner="analytic")
    system = with_cascade(system, replaced(system.cascade, Poison))
    variables = {"params": {}, "model_state": {}}
    return jax.jit(functools.partial(system.predict, variables, NETS))


@pytest.mark.parametrize("predict", [real_system, poisoned_system])
def test_bytes_outside_the_hole_are_the_callers(predict):
    rng = np.random.default_rng(2)
    mask = twenty_masks()
    image = rng.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    category = np.arange(20, dtype=np.int32) % 2
    inputs = dict(image=image, mask=mask, category=category)
    outputs = predict()(inputs, jax.random.key(0))
    filled = np.asarray(outputs["image"])
    assert filled.dtype == np.uint8
    assert filled[mask[..., 0] == 0].tobytes() == image[mask[..., 0] == 0].tobytes()
    assert (filled[mask[..., 0] == 1] != image[mask[..., 0] == 1]).any()
    # The known part of each lower level is the reduced picture's, whatever the network answered.
    whole = pyramid.build_pyramid(
        jnp.asarray(image / 127.5 - 1, jnp.float32), jnp.asarray(mask, jnp.float32), 3
    )
    for i, (x, m) in enumerate(whole[:-1], start=1):
        known = np.asarray(m)[..., 0] == 0
        expected = np.round((np.asarray(x) + 1) * 127.5)
        got = np.asarray(outputs[f"level{i}"]).astype(int)
        assert np.abs(got - expected)[known].max() <= 1
    # And other bytes in the hole change nothing at all.
    other = np.where(mask, rng.integers(0, 256, image.shape, dtype=np.uint8), image)
    again = predict()(dict(image=other, mask=mask, category=category), jax.random.key(0))
    if predict is real_system:
        assert same(again, outputs)


def test_an_empty_hole_calls_no_network():
    def refuse(*_):
        raise AssertionError("a network was called")

    image = np.random.default_rng(0).integers(0, 256, (21, 17, 3), dtype=np.uint8)
    inputs = dict(image=image, mask=np.zeros((21, 17, 1), np.uint8), category=0)
    result = build().synthesize(refuse, inputs, jax.random.key(0))
    assert result["image"].tobytes() == image.tobytes()
    assert result["image"] is not image
    inputs["mask"][3, 3] = 1
    with pytest.raises(AssertionError, match="network was called"):
        build().synthesize(refuse, inputs, jax.random.key(0))


def test_evaluation_scores_every_level_and_baseline():
    """Examples that are not valid or have no hole leave no trace in the scores."""
    system = build(combiner="analytic")
    system = with_cascade(system, replaced(system.cascade, Quiet))
    evaluate = jax.jit(functools.partial(system.eval_step, {"params": {}, "model_state": {}}, NETS))
    rng = np.random.default_rng(3)
    mask = np.zeros((4, 32, 32, 1), np.uint8)
    mask[:3, 5:20, 8:25] = 1
    batch = dict(
        image=rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8),
        mask=mask,
        mask_type=np.full(4, 2, np.int32),
        valid=np.asarray([1, 1, 0, 1], np.float32),
    )
    metrics, pictures = evaluate(batch, jax.random.key(0))
    values = {name: float(value) for name, value in metrics.compute().items()}
    measures = ("hole_psnr", "hole_l1", "band_l1", "seam_ratio")
    prefixes = ("", "mean_colour__", "nearest_known__", "level1__", "level2__")
    assert set(values) == {f"{prefix}{name}" for prefix in prefixes for name in measures}
    assert np.isfinite(list(values.values())).all()
    names = ["masked", "level1", "level2", "image", "truth"]
    assert set(pictures) == set(names)
    batch["image"][2:] = 255 - batch["image"][2:]
    again, _ = evaluate(batch, jax.random.key(0))
    assert {name: float(value) for name, value in again.compute().items()} == values


def test_odd_sizes_through_the_stand_in_networks():
    """The real chain of pad, pyramid, sample, compose and cut, with known bytes kept."""
    system = build(combiner="analytic")
    system = with_cascade(system, replaced(system.cascade, Quiet))
    variables = {"params": {}, "model_state": {}}

    def predict(system, batch, key):
        return jax.jit(functools.partial(system.predict, variables, NETS))(batch, key)

    rng = np.random.default_rng(27)
    image = rng.integers(10, 256, (27, 18, 3), dtype=np.uint8)
    mask = (rng.random((27, 18, 1)) < 0.2).astype(np.uint8)
    inputs = dict(image=image, mask=mask, category=1)
    result = system.synthesize(predict, inputs, jax.random.key(0))
    known = inputs["mask"][..., 0] == 0
    assert result["image"][known].tobytes() == inputs["image"][known].tobytes()
    assert result["level1"].shape == (7, 5, 3)
    assert result["level2"].shape == (14, 9, 3)


def test_a_lower_level_takes_pictures_of_the_top_by_the_pyramid():
    system = build(train="level1")
    system = with_cascade(system, replaced(system.cascade, Quiet))
    evaluate = functools.partial(system.eval_step, {"params": {}, "model_state": {}}, NETS)
    image = np.random.default_rng(4).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    batch = dict(
        image=image,
        mask=hole().astype(np.uint8),
        mask_type=np.zeros(2, np.int32),
        valid=np.ones(2, np.float32),
    )
    _, drawn = jax.jit(evaluate)(batch, jax.random.key(0))
    whole = pyramid.build_pyramid(
        jnp.asarray(image / 127.5 - 1, jnp.float32), jnp.asarray(hole()), 3
    )
    truth, mask = (np.asarray(a) for a in whole[0])
    np.testing.assert_array_equal(drawn["truth"], np.round((truth + 1) * 127.5))
    known = mask[..., 0] == 0
    np.testing.assert_array_equal(drawn["image"][known], drawn["truth"][known])
    assert (np.asarray(drawn["image"])[~known] != np.asarray(drawn["truth"])[~known]).any()
    np.testing.assert_array_equal((drawn["masked"] == 255).all(-1), ~known)

    batch = jax.tree.map(lambda x: x[:, :24, :24] if x.ndim == 4 else x, batch)
    with pytest.raises(UserError, match="resolution is 24 where level 1 has 8 px"):
        jax.eval_shape(evaluate, batch, jax.random.key(0))
