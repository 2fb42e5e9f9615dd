"""The depth head: its size, its layers against their definition, what training mode changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.networks.geometry_head import GeometryHead, double_4x4, resized
from segsynth.networks.resnet_generator import double

TINY = GeometryHead(width=1, blocks=1)


def features(cells=5, channels=4, count=2):
    return jax.random.normal(jax.random.key(0), (count, cells, cells, channels))


@pytest.fixture(scope="module")
def variables():
    return jax.jit(TINY.init)(jax.random.key(1), features())


def test_the_published_size():
    x = jax.ShapeDtypeStruct((1, 14, 14, 768), jnp.float32)
    made = jax.eval_shape(GeometryHead().init, jax.random.key(0), x)
    assert sum(leaf.size for leaf in jax.tree.leaves(made["params"])) == 32_413_379


@pytest.mark.parametrize(("cells", "side"), [(14, 256), (17, 304), (6, 128)])
def test_the_depth_map_is_sixteen_times_as_fine(cells, side):
    x = jax.ShapeDtypeStruct((1, cells, cells, 4), jnp.float32)
    made = jax.eval_shape(TINY.init, jax.random.key(0), x)
    assert jax.eval_shape(TINY.apply, made, x).shape == (1, side, side, 3)


def transposed(x, kernel, bias, pad, more):
    """PyTorch's transposed convolution of stride 2 by its definition: every input is spread."""
    height, width, _ = x.shape
    side = kernel.shape[0]
    full = np.zeros((2 * height + side, 2 * width + side, kernel.shape[2]))
    for i in range(height):
        for j in range(width):
            patch = np.einsum("klof,f->klo", kernel, x[i, j])
            full[2 * i : 2 * i + side, 2 * j : 2 * j + side] += patch
    size = [2 * (n - 1) - 2 * pad + side + more for n in (height, width)]
    return full[pad : pad + size[0], pad : pad + size[1]] + bias


@pytest.mark.parametrize(("make", "pad", "more"), [(double_4x4, 1, 0), (double, 1, 1)])
def test_transposed_convolutions_are_pytorchs(make, pad, more):
    layer = make(3, jnp.float32, "layer")
    x = np.random.default_rng(2).normal(size=(5, 6, 4)).astype(np.float32)
    made = jax.tree.map(np.asarray, layer.init(jax.random.key(3), jnp.asarray(x[None])))
    weights = {**made["params"], "bias": np.array([1.0, 2.0, 3.0], np.float32)}
    found = layer.apply({"params": weights}, jnp.asarray(x[None]))[0]
    # transpose_kernel: (height, width, outputs, inputs), as PyTorch's order but for the axes.
    expected = transposed(x, weights["kernel"], weights["bias"], pad, more)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_training_follows_the_batch_and_moves_the_statistics(variables):
    apply = jax.jit(lambda v, x: TINY.apply(v, x, True, mutable=["batch_stats"]))
    out, moved = apply(variables, features())
    again, _ = apply({**variables, **moved}, features())
    np.testing.assert_array_equal(out, again)
    before, after = (t["batch_stats"]["stem_norm"]["mean"] for t in (variables, moved))
    assert np.abs(before - after).max() > 1e-6
    still = jax.jit(TINY.apply)({**variables, **moved}, features())
    assert np.abs(still - out).max() > 1e-6


def test_logits_are_twice_what_the_published_tanh_takes(variables):
    z = TINY.apply(variables, features()) / 2
    np.testing.assert_allclose(jax.nn.sigmoid(2 * z), (jnp.tanh(z) + 1) / 2, atol=1e-6)
    assert z.std() > 0


def test_maps_of_another_size_are_resized_and_others_left_alone():
    x = jnp.broadcast_to(jnp.arange(8.0)[None, :, None, None], (1, 8, 8, 3))
    assert resized(x, (8, 8)) is x
    half = resized(x, (4, 4))
    assert half.shape == (1, 4, 4, 3)
    np.testing.assert_allclose(half.mean(), x.mean(), atol=1e-5)
    assert (jnp.diff(half[0, :, 0, 0]) > 0).all()


def test_too_small_a_picture_is_refused():
    with pytest.raises(ValueError, match="4x4 cannot be mirrored by 4"):
        TINY.init(jax.random.key(0), features(cells=4))
