"""Sampling all levels: evaluations are counted, guidance pairs its branches, an oracle holds."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cascades import (
    DIM,
    LEVELS,
    NETS,
    TOKENS,
    Quiet,
    build,
    hole,
    picture,
    recording,
    replaced,
)

from segsynth.diffusion.process import velocity
from segsynth.systems.inpaint_c2f import pyramid
from segsynth.systems.inpaint_c2f.cascade import Cascade

PAPER_STEPS = (60, 40, 30)


@pytest.mark.parametrize("guided", [True, False])
def test_evaluations_are_counted(on_one_device, guided):
    cascade = build({**LEVELS, "steps": PAPER_STEPS}).cascade
    if not guided:
        levels = tuple(dataclasses.replace(level, guidance=1.0) for level in cascade.levels)
        cascade = dataclasses.replace(cascade, levels=levels)
    cascade = recording(cascade)
    arguments = picture(count=1), hole(count=1), np.zeros(1, np.int32), jax.random.key(0)
    jax.jit(cascade.sample)(NETS, *arguments)
    jax.effects_barrier()
    examples = {i: 0 for i in (1, 2, 3)}
    for index, inputs in cascade.calls:
        if index in examples:
            examples[index] += len(inputs["x_t"])
    factor = 2 if guided else 1
    assert examples == {i: factor * steps for i, steps in enumerate(PAPER_STEPS, start=1)}


def test_guidance_pairs_each_class_with_its_negative(on_one_device):
    """Class and negative branch are neighbours in one batch that agrees in all else."""
    cascade = recording(Cascade(**_first_level(), negative="opposite"))
    category = np.asarray([0, 1], np.int32)
    jax.jit(cascade.sample)(NETS, picture(8), hole(8), category, jax.random.key(0))
    jax.effects_barrier()
    params = NETS["lcg"]["params"]
    background, foreground = params["background"], params["foreground"]
    for _, inputs in cascade.calls:
        expected = [background, foreground, foreground, background]
        np.testing.assert_array_equal(inputs["rows"], expected)
        for name in ("x_t", "known", "mask"):
            np.testing.assert_array_equal(inputs[name][0::2], inputs[name][1::2])


def _first_level(**changes):
    cascade = build().cascade
    level = dataclasses.replace(cascade.levels[0], steps=3, **changes)
    return dict(levels=(level,), tokens=TOKENS, dim=DIM)


@functools.partial(jax.jit, static_argnames=("guidance", "negative"))
def sampled(category, guidance, negative="opposite"):
    cascade = Quiet(**_first_level(guidance=guidance), negative=negative)
    image, mask, key = jnp.asarray(picture(8)), jnp.asarray(hole(8)), jax.random.key(4)
    return cascade.sample(NETS, image, mask, jnp.full(2, category), key)[0]


def test_scale_0_is_the_negative_and_1_the_class_branch():
    foreground, background = sampled(1, 1.0), sampled(0, 1.0)  # without guidance
    assert np.abs(foreground - background).max() > 0.1  # the control: the class matters
    np.testing.assert_allclose(sampled(1, 1.0 + 1e-9), foreground, atol=1e-6)  # guided by 1
    np.testing.assert_allclose(sampled(1, 0.0), background, atol=1e-6)
    np.testing.assert_allclose(sampled(0, 0.0), foreground, atol=1e-6)
    null = sampled(1, 0.0, "null")
    assert np.abs(null - background).max() > 0.1
    np.testing.assert_array_equal(null, sampled(0, 0.0, "null"))


class Knowing(Cascade):
    """Returns the true v or eps of the pictures of `picture`, at every level."""

    def denoise(self, nets, level, x_t, image, mask, lower, t, aug, rows):
        truth = nets[f"truth{level.index}"]
        truth = jnp.repeat(truth, x_t.shape[0] // truth.shape[0], axis=0)
        alpha, sigma = level.schedule(self.schedule).alpha_sigma(t)
        over = lambda a: a[:, None, None, None]  # noqa: E731
        eps = (x_t - over(alpha) * truth) / over(sigma)
        return eps if self.param == "eps" else velocity(truth, eps, alpha, sigma)


@pytest.mark.parametrize(("param", "schedule"), [("v", "cosine"), ("eps", "cosine"), ("v", "sd")])
def test_an_oracle_reproduces_the_truth(param, schedule):
    levels = {**LEVELS, "steps": PAPER_STEPS}
    cascade = build(levels, param=param, schedule=schedule).cascade
    cascade = replaced(cascade, Knowing, combiner="analytic")
    image, mask = jnp.asarray(picture()), jnp.asarray(hole())
    truth = pyramid.build_pyramid(image, mask, 3)
    nets = NETS | {f"truth{i}": x for i, (x, _) in enumerate(truth, start=1)}
    outputs = jax.jit(cascade.sample)(nets, image, mask, np.zeros(2, np.int32), jax.random.key(8))
    for y, (x, m) in zip(outputs, truth, strict=True):
        inside = np.asarray(m)[..., 0] > 0.5
        assert inside.any()
        error = np.asarray(y - x)[inside]
        psnr = 10 * np.log10(4 / max(np.mean(error**2), 1e-20))
        print(f"{param}, {schedule}, {y.shape[1]} px: {psnr:.0f} dB")
        assert psnr > 60
        known = np.asarray(m)[..., 0] < 0.5
        assert np.asarray(y)[known].tobytes() == np.asarray(x)[known].tobytes()
