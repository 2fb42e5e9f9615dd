"""The guidance combiner repairs colour near the seam, spares what is right, keeps what is known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from segsynth.data.worlds.scenes import Scenes
from segsynth.systems.inpaint_c2f.combiner import CombinerNet, combine
from segsynth.systems.inpaint_c2f.pyramid import double, halve

SIDE, WIDTH = 128, 8
MODES = ["none", "analytic", "learned"]
NET = CombinerNet(2)


@functools.cache
def pictures():
    source = Scenes(SIDE, 4, seed=3, provides=("image",))
    return np.stack([source[i]["image"] for i in range(4)]).astype(np.float32) / 127.5 - 1


def box(rows, columns):
    mask = np.zeros((4, SIDE, SIDE, 1), np.float32)
    mask[:, slice(*rows), slice(*columns)] = 1
    return mask


CENTRE = box((28, 98), (34, 104))


@functools.cache
def parameters():
    """At initialisation, with a pooled vector that is not zero."""
    pooled = jnp.zeros((1, WIDTH))
    init = jax.jit(lambda key: NET.init(key, *NET.init_inputs(SIDE, pooled)))
    return init(jax.random.key(0, impl="rbg"))["params"]


@functools.partial(jax.jit, static_argnames="mode")
def run(lower, image, mask, params, mode):
    extra = {}
    if mode == "learned":
        pooled = jnp.ones((image.shape[0], WIDTH))
        extra = dict(residual=NET, params=params, pooled=pooled, gain=0.75)
    return combine(lower, image, mask, side=SIDE, mode=mode, **extra)


def combined(lower, image, mask, mode, params=None):
    params = (params or parameters()) if mode == "learned" else None
    return np.asarray(run(lower, image, mask, params, mode))


def near_the_edge(mask, distance):
    """Hole pixels within ``distance`` px of a known one."""
    away = np.stack([ndimage.distance_transform_edt(m[..., 0]) for m in mask])
    return (mask[..., 0] > 0.5) & (away <= distance)


def test_analytic_removes_a_constant_colour_error():
    image = pictures() * 0.7  # so that the shifted result stays within [-1, 1]
    exact = np.asarray(halve(jnp.asarray(image)))
    band = near_the_edge(CENTRE, 2 * SIDE // 16)
    error = {}
    for mode in ("none", "analytic"):
        shifted = combined(exact + np.float32(0.2), image, CENTRE, mode)
        unshifted = combined(exact, image, CENTRE, "none")
        error[mode] = np.abs((shifted - unshifted)[band].mean())
    print(f"constant error 0.2 near the edge: {error}")
    assert error["none"] == pytest.approx(0.2, abs=1e-5)  # the control: nothing else removes it
    assert error["analytic"] <= 0.1 * error["none"]


def test_analytic_leaves_an_exact_result_alone():
    image = pictures()
    exact = np.asarray(halve(jnp.asarray(image)))
    moved = combined(exact, image, CENTRE, "analytic") - combined(exact, image, CENTRE, "none")
    mean = np.abs(moved[CENTRE[..., 0] > 0.5]).mean()
    print(f"exact lower result moved by {mean:.4f}")
    assert mean < 0.01


def test_learned_equals_analytic_at_initialisation():
    rng = np.random.default_rng(0)
    lower = rng.uniform(-1, 1, (4, SIDE // 2, SIDE // 2, 3)).astype(np.float32)
    analytic = combined(lower, pictures(), CENTRE, "analytic")
    assert combined(lower, pictures(), CENTRE, "learned").tobytes() == analytic.tobytes()
    # The control: any other head changes the hole.
    moved = {**parameters(), "head": jax.tree.map(lambda x: x + 0.1, parameters()["head"])}
    learned = combined(lower, pictures(), CENTRE, "learned", moved)
    hole = CENTRE[..., 0] > 0.5
    assert np.abs(learned - analytic)[hole].mean() > 1e-3
    assert learned[~hole].tobytes() == analytic[~hole].tobytes()


MASKS = {
    "box": CENTRE,
    "pixel": box((20, 21), (33, 34)),
    "full": np.ones_like(CENTRE),
    "empty": np.zeros_like(CENTRE),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", list(MASKS))
def test_known_pixels_stay_and_a_nan_in_the_hole_is_harmless(mode, kind):
    image, mask = pictures(), MASKS[kind]
    lower = np.asarray(halve(jnp.asarray(image))) + np.float32(0.1)
    expected = combined(lower, image, mask, mode)
    known = mask[..., 0] < 0.5
    assert expected[known].tobytes() == image[known].tobytes()
    poisoned = np.where(mask > 0.5, np.float32(np.nan), image)
    assert combined(lower, poisoned, mask, mode).tobytes() == expected.tobytes()
    assert np.isfinite(expected).all()


def test_without_known_pixels_there_is_nothing_to_correct():
    lower = np.asarray(halve(jnp.asarray(pictures()))) * 0.5
    full = np.ones_like(CENTRE)
    np.testing.assert_array_equal(
        combined(lower, pictures(), full, "analytic"), double(jnp.asarray(lower))
    )
