"""The U-Net meets the size and cost table of the cascade; remat changes nothing else."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.networks.unet import UNet

TINY = UNet(side=16, patch=2, widths=(32, 64), blocks=(1, 1), attn_grids=(4,))
SHALLOW = UNet(side=16, patch=2, widths=(32,), blocks=(1,), attn_grids=())  # quick to compile
EMBEDDING_DIM = 1024

# Side: network, (input channels, parameters in millions with the projection of the class rows,
# TFLOP per image).
PAPER = {
    256: (
        dict(patch=2, widths=(128, 256, 512, 768), blocks=(2, 2, 2, 2), attn_grids=(64, 32, 16)),
        (7, 238.6, 0.370),
    ),
    512: (
        dict(
            patch=2,
            widths=(64, 128, 256, 512, 512),
            blocks=(1, 2, 2, 2, 2),
            attn_grids=(64, 32, 16),
        ),
        (10, 146.3, 0.384),
    ),
    1024: (
        dict(patch=4, widths=(96, 192, 384, 512), blocks=(1, 2, 2, 2), attn_grids=(64, 32)),
        (10, 112.2, 0.688),
    ),
}


def inputs(height=16, width=16, batch=2, channels=10, rows=4):
    rng = np.random.default_rng(5)
    normal = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    return dict(
        x=normal(batch, height, width, channels),
        t=jnp.linspace(0.1, 0.9, batch),
        tokens=normal(batch, rows, 32),
        pooled=normal(batch, 32),
        aug=jnp.full(batch, 0.1),
    )


def abstract_params(net):
    return jax.eval_shape(net.init, jax.random.key(0), **inputs())


@functools.cache
def random_params(net=TINY):
    """Parameters without silent, zero-initialised branches."""
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda x: rng.normal(0.0, 0.05, x.shape).astype(np.float32), abstract_params(net)
    )


@functools.cache
def jitted(net=TINY):
    return jax.jit(net.apply)


@functools.cache
def loss_and_grads(net):
    def loss(params, batch):
        prediction = net.apply(params, **batch)
        return jnp.mean(prediction**2), prediction

    grad = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (_, prediction), grads = grad(random_params(SHALLOW), inputs())
    return prediction, grads


@pytest.mark.parametrize("side", sorted(PAPER))
def test_paper_level_has_the_stated_size_and_cost(side):
    fields, (channels, millions, tflop) = PAPER[side]
    net = UNet(side=side, **fields)
    dim = min(768, max(fields["widths"]))
    shapes = dict(
        x=(1, side, side, channels), t=(1,), tokens=(1, 10, dim), pooled=(1, dim), aug=(1,)
    )
    if channels == 7:
        del shapes["aug"]  # the lowest level has no lower result to augment
    abstract = {k: jax.ShapeDtypeStruct(s, jnp.float32) for k, s in shapes.items()}
    variables = jax.eval_shape(net.init, jax.random.key(0), **abstract)
    count = sum(x.size for x in jax.tree.leaves(variables)) + EMBEDDING_DIM * dim
    assert count / 1e6 == pytest.approx(millions, rel=0.05)
    flops = jax.jit(net.apply).lower(variables, **abstract).cost_analysis()["flops"]
    assert flops / 1e12 == pytest.approx(tflop, rel=0.10)


def test_prediction_starts_at_zero():
    init = jax.jit(lambda key, batch: SHALLOW.init_with_output(key, **batch)[0])
    # This generator compiles in a fraction of the default one's time.
    prediction = init(jax.random.key(0, impl="rbg"), inputs())
    assert prediction.shape == (2, 16, 16, 3)
    assert prediction.dtype == jnp.float32
    np.testing.assert_array_equal(prediction, 0.0)


def test_remat_changes_neither_the_tree_nor_the_numbers():
    assert abstract_params(TINY.clone(remat=True)) == abstract_params(TINY)
    expected, expected_grads = loss_and_grads(SHALLOW)
    got, got_grads = loss_and_grads(SHALLOW.clone(remat=True))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    scale = max(np.max(np.abs(leaf)) for leaf in jax.tree.leaves(expected_grads))
    for ours, theirs in zip(*map(jax.tree.leaves, (got_grads, expected_grads)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5 * scale)


def test_every_parameter_has_influence():
    _, grads = loss_and_grads(SHALLOW)
    for path, leaf in jax.tree.leaves_with_path(grads):
        assert np.any(np.asarray(leaf) != 0.0), jax.tree_util.keystr(path)


def test_bfloat16_computes_with_float32_parameters():
    half = SHALLOW.clone(dtype=jnp.bfloat16)
    assert {x.dtype for x in jax.tree.leaves(abstract_params(half))} == {jnp.dtype(jnp.float32)}
    got = jitted(half)(random_params(SHALLOW), **inputs())
    expected = jitted(SHALLOW)(random_params(SHALLOW), **inputs())
    assert got.dtype == jnp.float32
    assert jnp.linalg.norm(got - expected) < 0.05 * jnp.linalg.norm(expected)


def test_other_sizes_use_the_same_parameters():
    prediction = jitted()(random_params(), **inputs(height=8, width=20))
    assert prediction.shape == (2, 8, 20, 3)
    assert jnp.all(jnp.isfinite(prediction))


def test_class_map_hides_the_rows_of_the_other_class():
    foreground = inputs(rows=8) | dict(class_map=jnp.ones((2, 16, 16, 1)))
    before = jitted()(random_params(), **foreground)
    for half, reaches in ((slice(0, 4), False), (slice(4, 8), True)):
        edited = foreground | dict(tokens=foreground["tokens"].at[:, half].add(3.0))
        change = jnp.max(jnp.abs(jitted()(random_params(), **edited) - before))
        assert (change > 1e-6) == reaches


@pytest.mark.parametrize(
    ("changes", "size", "message"),
    [
        ({}, 18, "multiples of 4"),
        ({"blocks": (1,)}, 16, "give one of each"),
        ({"attn_grids": (5,)}, 16, "choose from"),
    ],
)
def test_contradictions_are_named(changes, size, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(TINY.clone(**changes).init, jax.random.key(0), **inputs(size, size))
