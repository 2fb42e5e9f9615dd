"""The pyramid leaks nothing out of the hole; a max-pooled mask would."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.systems.inpaint_c2f.pyramid import build_pyramid, compose, double, halve, halve_mask

SIDE, LEVELS = 256, 4


@functools.partial(jax.jit, static_argnames="levels")
def pyramid_of_known(image, mask, levels=LEVELS):
    """What sampling does: blank the hole, then reduce."""
    return build_pyramid(compose(mask, jnp.zeros_like(image), image), mask, levels)


@functools.partial(jax.jit, static_argnames="levels")
def pyramid_of_all(image, mask, levels=LEVELS):
    return build_pyramid(image, mask, levels)


def picture(side=SIDE, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (1, side, side, 3)).astype(np.float32)


def holes(kind, side=SIDE):
    mask = np.zeros((1, side, side, 1), np.float32)
    rng = np.random.default_rng(1)
    if kind == "pixel":
        mask[0, 101, 38] = 1
    elif kind == "corner pixel":
        mask[0, 0, -1] = 1
    elif kind == "full":
        mask[:] = 1
    elif kind == "boxes":
        mask[0, 33:150, 61:190] = mask[0, 200:, 7:100] = 1
    elif kind == "scattered":
        mask[rng.random(mask.shape) < 1e-3] = 1
    return mask


def refill(image, mask, value):
    """Another picture with the same known part."""
    return np.where(mask > 0.5, np.float32(value), image)


def max_pooled(mask):
    b, h, w, c = mask.shape
    return mask.reshape(b, h // 2, 2, w // 2, 2, c).max(axis=(2, 4))


def known_pixels(pyramid):
    return [np.asarray(x)[np.asarray(m)[..., 0] < 0.5] for x, m in pyramid]


KINDS = ["boxes", "scattered", "pixel", "corner pixel", "full", "empty"]


@pytest.mark.parametrize("kind", KINDS)
def test_known_coarse_pixels_do_not_depend_on_the_hole(kind):
    image, mask = picture(), holes(kind)
    # Without blanking, other content of the hole: equal as long as no mask is too small.
    truth = known_pixels(pyramid_of_all(image, mask))
    other = known_pixels(pyramid_of_all(refill(image, mask, 7.0), mask))
    blank = known_pixels(pyramid_of_known(image, mask))
    poison = known_pixels(pyramid_of_known(refill(image, mask, np.nan), mask))
    for expected, *rest in zip(truth, other, blank, poison, strict=True):
        for got in rest:
            assert got.tobytes() == expected.tobytes()


def test_a_max_pooled_mask_leaks():
    """The control: coarse pixels outside the 2x2 max-pool of the hole do see into it."""
    image, mask = picture(), holes("boxes")
    small = max_pooled(mask)[..., 0] < 0.5
    reduce = jax.jit(halve)
    changed = np.asarray(reduce(image) != reduce(refill(image, mask, 7.0)))
    assert changed[small].any()
    careful = np.asarray(halve_mask(jnp.asarray(mask)))[..., 0] < 0.5
    assert not changed[careful].any()


@pytest.mark.parametrize("kind", KINDS)
def test_coarse_masks(kind):
    mask = holes(kind)
    masks = [np.asarray(m) for _, m in pyramid_of_known(picture(), mask)]
    assert [m.shape[1] for m in masks] == [32, 64, 128, 256]
    assert set(np.unique(np.concatenate([m.ravel() for m in masks]))) <= {0.0, 1.0}
    np.testing.assert_array_equal(masks[-1], mask)
    for coarse, fine in itertools.pairwise(masks):
        assert (coarse >= max_pooled(fine)).all()  # a hole never shrinks
    if kind in ("full", "empty"):
        assert all((m == mask.max()).all() for m in masks)


def test_a_one_pixel_hole_grows_by_the_filter_only():
    """The filter of one halving reads four pixels an axis, so one pixel spoils two an axis."""
    _, (_, coarse), _ = pyramid_of_known(picture(), holes("pixel"), levels=3)
    rows, columns = np.nonzero(np.asarray(coarse)[0, ..., 0])
    assert sorted(set(zip(rows.tolist(), columns.tolist(), strict=True))) == [
        (50, 18),
        (50, 19),
        (51, 18),
        (51, 19),
    ]


def test_a_picture_of_1024_px():
    image = picture(1024)
    mask = np.zeros((1, 1024, 1024, 1), np.float32)
    mask[0, 301:588, 211:640] = 1
    mask[0, 5, 5] = 1
    expected = known_pixels(pyramid_of_known(image, mask, levels=3))
    got = known_pixels(pyramid_of_known(refill(image, mask, np.nan), mask, levels=3))
    assert [e.tobytes() for e in expected] == [g.tobytes() for g in got]
    assert len(expected[0]) > 256 * 256 // 2


@pytest.mark.parametrize("shape", [(2, 8, 12, 3), (1, 6, 2, 1)])
def test_halve_and_double(shape):
    b, h, w, c = shape
    x = jnp.asarray(np.random.default_rng(2).uniform(-1, 1, shape), jnp.float32)
    assert halve(x).shape == (b, h // 2, w // 2, c)
    up = double(x)
    assert up.shape == (b, 2 * h, 2 * w, c)
    assert x.min() <= up.min() and up.max() <= x.max()  # no overshoot
    constant = jnp.full(shape, 0.3)
    np.testing.assert_allclose(halve(double(constant)), 0.3, atol=1e-6)


def test_compose_lets_no_nan_across():
    mask = jnp.asarray([[[[1.0], [0.0]]]])
    hole = jnp.asarray([[[[2.0], [jnp.nan]]]])
    known = jnp.asarray([[[[jnp.nan], [3.0]]]])
    assert compose(mask, hole, known).ravel().tolist() == [2.0, 3.0]
