"""Anchored networks: the surrounding colours, and the algebra that leaves the process as it was."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth import systems
from segsynth.diffusion.process import velocity, x0_eps_from
from segsynth.errors import UserError
from segsynth.systems.inpaint_c2f.cascade import Cascade
from segsynth.systems.inpaint_c2f.combiner import combine, surrounding_colours
from segsynth.systems.inpaint_c2f.pyramid import build_pyramid, halve

SIDE = 16
LEVELS = {
    "res": (8, SIDE),
    "patch": (1, 1),
    "widths": ((8,), (8,)),
    "blocks": ((1,), (1,)),
    "attn_grids": ((), ()),
    "steps": (2, 2),
    "cfg": (1.5, 1.0),
    "gain": (1.0, 0.5),
    "shift": (0.0, 0.0),
    "remat": (False, False),
    "up": (0.1, 0.1),
    "t_start": (1.0, 1.0),
}


def build(**more):
    section = {"name": "inpaint_c2f", "train": "level2", "levels": LEVELS, "anchored": True}
    return systems.build({**section, "lcg": {"tokens": 2, "dim": 8}, **more})


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.uniform(-1, 1, (2, SIDE, SIDE, 3)), jnp.float32)
    mask = jnp.zeros((2, SIDE, SIDE, 1)).at[:, 4:11, 5:12].set(1.0)
    return image, mask


def test_a_constant_picture_is_carried_into_the_hole(scene):
    _, mask = scene
    image = jnp.full((2, SIDE, SIDE, 3), 0.3)
    filled = surrounding_colours(image.at[:, 6, 6].set(jnp.nan), mask, SIDE)
    np.testing.assert_allclose(filled, 0.3, atol=1e-4)


def test_the_nearer_side_prevails(scene):
    _, mask = scene
    left_to_right = jnp.linspace(-1, 1, SIDE)[None, None, :, None]
    filled = surrounding_colours(jnp.broadcast_to(left_to_right, (2, SIDE, SIDE, 3)), mask, SIDE)
    assert (filled[:, 7, 5] < -0.1).all() and (filled[:, 7, 11] > 0.1).all()


def test_nothing_of_the_hole_reaches_the_anchor_and_known_pixels_stay(scene):
    image, mask = scene
    other = jnp.where(mask > 0.5, jnp.nan, image)
    np.testing.assert_array_equal(
        surrounding_colours(image, mask, SIDE), surrounding_colours(other, mask, SIDE)
    )
    np.testing.assert_array_equal(
        np.where(mask > 0.5, 0, surrounding_colours(image, mask, SIDE)),
        np.where(mask > 0.5, 0, image),
    )


def test_v_of_the_rest_plus_the_anchor_is_v_of_the_image(scene):
    image, mask = scene
    cascade = build().cascade
    level, t = cascade.levels[0], jnp.asarray([0.2, 0.9])
    alpha, sigma = level.schedule("cosine").alpha_sigma(t)
    eps = jax.random.normal(jax.random.key(1), image.shape)
    anchor = cascade.anchor(level, image, mask, None)
    v = cascade.add_anchor(velocity(image - anchor, eps, alpha, sigma), level, t, anchor)
    np.testing.assert_allclose(v, velocity(image, eps, alpha, sigma), atol=1e-6)


def test_a_silent_network_answers_pure_noise_with_the_anchor(scene):
    image, mask = scene
    cascade = build().cascade
    level, t = cascade.levels[0], jnp.ones(2)
    alpha, sigma = level.schedule("cosine").alpha_sigma(t)
    noise = jax.random.normal(jax.random.key(2), image.shape)
    anchor = cascade.anchor(level, image, mask, None)
    v = cascade.add_anchor(jnp.zeros_like(image), level, t, anchor)
    x0, _ = x0_eps_from(v, noise, alpha, sigma, "v")
    np.testing.assert_allclose(x0, anchor, atol=0.05)  # alpha at t = 1 is e^-5
    assert jnp.abs(x0_eps_from(0 * v, noise, alpha, sigma, "v")[0]).max() < 0.05


def test_upper_levels_are_anchored_at_their_condition_and_only_if_asked(scene):
    image, mask = scene
    cascade, condition = build().cascade, 0.5 * image
    np.testing.assert_array_equal(
        cascade.anchor(cascade.levels[1], image, mask, condition), condition
    )
    plain = build(anchored=False).cascade
    assert plain.anchor(plain.levels[0], image, mask, None) is None
    with pytest.raises(UserError, match="anchored needs"):
        build(param="eps")


class Silent(Cascade):
    """Networks that answer 0: an anchored level then gives back its anchor."""

    def denoise(self, nets, level, x_t, image, mask, lower, t, aug, rows):
        return jnp.zeros_like(x_t)


def silent(steps):
    """The tiny cascade of silent networks, ``steps`` evaluations a level."""
    system = build(combiner="analytic", levels={**LEVELS, "steps": (steps, steps)})
    fields = {f.name: getattr(system.cascade, f.name) for f in dataclasses.fields(Cascade)}
    return system, Silent(**fields)


def test_sampling_starts_from_the_anchor_at_every_level(scene):
    image, mask = scene
    system, cascade = silent(steps=1)
    nets = {name: spec.init(jax.random.key(0)) for name, spec in system.frozen.items()}
    low, high = cascade.sample(nets, image, mask, jnp.zeros(2, jnp.int32), jax.random.key(3))
    (x1, m1), (x2, m2) = build_pyramid(image, mask, 2)
    np.testing.assert_allclose(low, surrounding_colours(x1, m1, 8), atol=0.05)
    condition = combine(low, x2, m2, side=SIDE, mode="analytic")
    np.testing.assert_allclose(high, condition, atol=0.05)


def test_training_counts_the_anchor(scene):
    """On the anchor itself a silent anchored network has no image error; an unanchored one has."""
    image, mask = scene
    system, cascade = silent(steps=1)
    truth = combine(halve(image), image, mask, side=SIDE, mode="analytic")
    objective = dataclasses.replace(system.objective, cascade=cascade)
    draws = objective.draw(jnp.zeros(2, jnp.int32), truth, jax.random.key(4))
    example = {**draws, "image": truth, "mask": mask, "lower": halve(image), "t": jnp.ones(2)}
    nets = {name: spec.init(jax.random.key(0)) for name, spec in system.frozen.items()}
    anchored = objective.terms(nets, example)["noise"]
    plain = dataclasses.replace(
        objective, cascade=dataclasses.replace(cascade, anchored=False)
    ).terms(nets, example)["noise"]
    assert (anchored < plain).all()
