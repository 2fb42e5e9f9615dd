"""The SPADE generator and its discriminators: sizes, what labels do, and what evaluation leaves."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.networks.patch_discriminator import MultiScaleDiscriminator, PatchDiscriminator
from segsynth.networks.spade import SpadeGenerator, start_size
from segsynth.networks.spade_blocks import Spade, SpadeBlock, shrink_labels
from segsynth.networks.spectral import SpectralConv

TINY = SpadeGenerator(4, (32, 64), width=2, upsampling="normal", hidden=4)


def labels(classes=4, batch=2, size=(32, 64), seed=0):
    ids = np.random.default_rng(seed).integers(0, classes, (batch, size[0] // 4, size[1] // 4))
    return jax.nn.one_hot(ids.repeat(4, 1).repeat(4, 2), classes)


def normals(*shape, seed=0, scale=1.0, mean=0.0):
    return jnp.asarray(np.random.default_rng(seed).normal(mean, scale, shape), jnp.float32)


@functools.cache
def tiny_variables():
    return jax.jit(TINY.init)(jax.random.key(0), labels())


def parameters(network, *shape):
    variables = jax.eval_shape(network.init, jax.random.key(0), jax.ShapeDtypeStruct(shape, float))
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"])), variables


@pytest.mark.parametrize(
    ("inputs", "outputs", "width", "count"),
    [
        (36, 3, 64, 93_048_003),
        (35, 3, 64, 93_018_051),
        (35, 35, 64, 93_036_515),
        (36, 3, 32, 30_218_467),
    ],
)
def test_parameters_and_shapes_of_the_published_sizes(inputs, outputs, width, count):
    network = SpadeGenerator(inputs, (256, 512), outputs, width=width)
    total, variables = parameters(network, 1, 256, 512, inputs)
    assert total == count
    x = jax.ShapeDtypeStruct((2, 256, 512, inputs), jnp.float32)
    assert jax.eval_shape(network.apply, variables, x).shape == (2, 256, 512, outputs)


@pytest.mark.parametrize(
    ("inputs", "count"), [(39, 5_601_410), (38, 5_599_362)], ids=["with edges", "without"]
)
def test_parameters_and_shapes_of_the_discriminators(inputs, count):
    network = MultiScaleDiscriminator()
    total, variables = parameters(network, 1, 256, 512, inputs)
    assert total == count
    x = jax.ShapeDtypeStruct((1, 256, 512, inputs), jnp.float32)
    fine, coarse = jax.eval_shape(network.apply, variables, x)
    shapes = lambda outputs: [y.shape[1:] for y in outputs]  # noqa: E731
    assert shapes(fine) == [
        *((129, 257, 64), (65, 129, 128), (33, 65, 256), (34, 66, 512), (35, 67, 1))
    ]
    assert shapes(coarse) == [
        *((65, 129, 64), (33, 65, 128), (17, 33, 256), (18, 34, 512), (19, 35, 1))
    ]


@pytest.mark.parametrize(("inputs", "count"), [(3, 2_764_737), (1, 2_762_689)])
def test_the_patch_discriminator_of_cyclegan(inputs, count):
    network = PatchDiscriminator(padding=1, spectral=False)
    total, variables = parameters(network, 1, 256, 256, inputs)
    assert total == count
    x = jax.ShapeDtypeStruct((1, 256, 256, inputs), jnp.float32)
    assert jax.eval_shape(network.apply, variables, x)[-1].shape == (1, 30, 30, 1)


def test_the_second_scale_sees_a_mean_without_the_border():
    network = MultiScaleDiscriminator(width=2, layers=2)
    x = jnp.ones((1, 16, 16, 1))
    variables = network.init(jax.random.key(0), x)
    same = network.apply(variables, jnp.ones((1, 32, 32, 1)))[1]
    whole = PatchDiscriminator(2, 2)
    scale = {kind: tree["scale_1"] for kind, tree in variables.items()}
    # A constant picture stays constant, corners included.
    for mine, expected in zip(same, whole.apply(scale, x), strict=True):
        np.testing.assert_allclose(mine, expected, atol=1e-6)


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_without_modulation_what_remains_is_the_norm(norm):
    spade = Spade(norm, hidden=4)
    x, planes = normals(4, 16, 16, 6, mean=3.0, scale=5.0), labels(size=(16, 16), batch=4)
    variables = spade.init(jax.random.key(0), x, planes, True)
    silent = jax.tree.map(jnp.zeros_like, variables["params"])
    y, _ = spade.apply({**variables, "params": silent}, x, planes, True, mutable=["batch_stats"])
    axes = (0, 1, 2) if norm == "batch" else (1, 2)
    np.testing.assert_allclose(y.mean(axes), 0.0, atol=1e-4)
    np.testing.assert_allclose(y.var(axes), 1.0, atol=1e-3)


def test_running_statistics_move_by_a_tenth():
    spade = Spade(hidden=4)
    x, planes = normals(4, 8, 8, 3, mean=2.0), labels(size=(8, 8), batch=4)
    variables = spade.init(jax.random.key(0), x, planes, True)
    _, moved = spade.apply(variables, x, planes, True, mutable=["batch_stats"])
    expected = 0.1 * x.mean((0, 1, 2))
    np.testing.assert_allclose(moved["batch_stats"]["norm"]["mean"], expected, rtol=1e-5)


def test_labels_decide_the_output_and_their_order_does_not():
    block = SpadeBlock(4, hidden=8)
    x, planes = normals(1, 8, 8, 6), labels(batch=1, size=(16, 16))
    # The published initialisation has gain 0.02; at the size of trained weights all paths speak.
    variables = block.init(jax.random.key(0), x, planes, False)
    params = jax.tree.map(lambda p: 30 * p + 0.1, variables["params"])
    apply = lambda params, planes: block.apply(  # noqa: E731
        {**variables, "params": params}, x, planes, False
    )
    y = apply(params, planes)
    assert jnp.abs(y - apply(params, labels(batch=1, size=(16, 16), seed=1))).max() > 0.1
    order = np.array([2, 0, 3, 1])
    permuted = jax.tree_util.tree_map_with_path(
        lambda path, p: p[:, :, order] if "shared" in str(path) and p.ndim == 4 else p, params
    )
    np.testing.assert_allclose(apply(permuted, planes[..., order]), y, rtol=1e-4, atol=1e-4)


def test_labels_are_taken_at_multiples_of_the_stride():
    planes = jnp.arange(64 * 32, dtype=jnp.float32).reshape(1, 64, 32, 1)
    taken = shrink_labels(planes, (8, 8))
    rows, columns = np.mgrid[0:64:8, 0:32:4]
    np.testing.assert_array_equal(taken[0, ..., 0], rows * 32 + columns)
    with pytest.raises(ValueError, match="multiple of 7x8"):
        shrink_labels(planes, (7, 8))


def test_start_sizes_and_what_is_refused():
    assert start_size((256, 512), "more") == (4, 8)
    assert start_size((256, 512), "normal") == (8, 16)
    assert start_size((256, 512), "most") == (2, 4)
    with pytest.raises(ValueError, match="choose multiples of 64"):
        start_size((256, 480), "more")
    variables = tiny_variables()
    with pytest.raises(ValueError, match=r"expected \(32, 64, 4\)"):
        TINY.apply(variables, labels(classes=5))
    with pytest.raises(ValueError, match=r"expected \(32, 64, 4\)"):
        TINY.apply(variables, labels(size=(64, 64)))


def test_most_ends_in_half_the_width():
    network = SpadeGenerator(3, (128, 128), 2, "logits", width=2, upsampling="most", hidden=4)
    variables = jax.eval_shape(network.init, jax.random.key(0), labels(3, 1, (128, 128)))
    assert variables["params"]["last"]["kernel"].shape == (3, 3, 1, 2)


def test_evaluation_depends_on_one_example_and_changes_nothing():
    variables, planes = tiny_variables(), labels()
    apply = jax.jit(lambda v, x: TINY.apply(v, x, mutable=["batch_stats"]))
    both, after = apply(variables, planes)
    alone, _ = apply(variables, planes[:1])
    np.testing.assert_allclose(both[:1], alone, atol=1e-5)
    assert jnp.abs(both).max() <= 1.0
    jax.tree.map(np.testing.assert_array_equal, after["batch_stats"], variables["batch_stats"])


def test_training_moves_statistics_and_remat_changes_nothing():
    planes = labels()
    variables = tiny_variables()

    def loss(network, params):
        y, after = network.apply(
            {**variables, "params": params}, planes, train=True, mutable=["batch_stats"]
        )
        return jnp.square(y - 0.3).sum(), after["batch_stats"]

    step = lambda network: jax.jit(  # noqa: E731
        jax.grad(functools.partial(loss, network), has_aux=True)
    )
    gradients, after = step(TINY)(variables["params"])
    again, after_again = step(TINY.clone(remat=True))(variables["params"])
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), after, variables["batch_stats"])
    assert moved["head_0"]["norm_0"]["norm"]["mean"] and moved["up_0"]["conv_s"]["u"]
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradients))
    close = functools.partial(np.testing.assert_allclose, atol=1e-4 * largest)
    jax.tree.map(close, again, gradients)
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-4), after_again, after)


def test_gradients_reach_every_soft_label():
    variables = tiny_variables()
    soft = jax.nn.softmax(normals(1, 32, 64, 4))
    gradient = jax.jit(jax.grad(lambda x: TINY.apply(variables, x).sum()))(soft)
    assert (jnp.abs(gradient).max(-1) > 0).mean() > 0.99


def test_logits_are_not_squashed():
    logits = TINY.clone(final="logits")
    y, z = (jax.jit(n.apply)(tiny_variables(), labels()) for n in (TINY, logits))
    np.testing.assert_allclose(y, jnp.tanh(z), atol=1e-6)


def test_the_singular_value_converges_and_evaluation_uses_what_is_stored():
    conv = SpectralConv(4, 3, padding=1, use_bias=False)
    x = normals(1, 6, 6, 5)
    variables = conv.init(jax.random.key(0), x, False)
    kernel = np.asarray(variables["params"]["kernel"]).reshape(-1, 4)
    effective = lambda v: np.asarray(  # noqa: E731
        conv.apply(v, jnp.zeros((1, 3, 3, 5)).at[0, 1, 1].set(jnp.eye(5)[0]), False)
    )[0, ::-1, ::-1]
    plain = np.asarray(variables["params"]["kernel"])[:, :, 0]
    largest = np.linalg.svd(kernel, compute_uv=False)[0]
    stats = variables["batch_stats"]
    for _ in range(30):
        _, moved = conv.apply({**variables, "batch_stats": stats}, x, True, mutable=["batch_stats"])
        stats = moved["batch_stats"]
    np.testing.assert_allclose(
        effective({**variables, "batch_stats": stats}), plain / largest, rtol=1e-4, atol=1e-6
    )
    # Vectors that are not the singular ones are used all the same.
    other = {"u": jnp.eye(4)[0], "v": jnp.eye(45)[7]}
    np.testing.assert_allclose(
        effective({**variables, "batch_stats": other}), plain / kernel[7, 0], rtol=1e-4
    )


def test_bfloat16_stays_near_float32():
    y, z = (
        jax.jit(TINY.clone(dtype=dtype).apply)(tiny_variables(), labels())
        for dtype in (jnp.float32, jnp.bfloat16)
    )
    assert z.dtype == jnp.float32
    assert jnp.abs(y - z).max() <= 0.05 * jnp.abs(y).max() + 1e-3
