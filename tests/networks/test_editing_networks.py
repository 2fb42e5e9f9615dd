"""Editing networks and their critic: published sizes, the blend, what sees the label."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.networks.attribute_discriminator import AttributeDiscriminator, Conv
from segsynth.networks.editing import EditingNetwork, Encoder, blend

PUBLISHED = {"norm_trunk": "batch", "upsample": "transpose", "kernel_init": "normal"}
TINY = {"width": 4, "downs": 2, "blocks": 1, "stem": 5}
STRUCTURES = ("E2D2", "E2D1", "E1D2", "E1D1")
#: Counted by hand and by flax: 32 channels, one attribute.
COUNTS = {
    "enc": (12_220_644, 12_056_580, 6_802_596, 6_114_244),
    "dec": (12_220_644, 6_938_884, 11_527_332, 6_114_244),
}


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def shapes(network, side, labels=1):
    inputs = jnp.zeros((1, side, side, 3)), jnp.zeros((1, labels))
    return jax.eval_shape(network.init, jax.random.key(0), *inputs)["params"]


def pictures(count=2, side=16, seed=0):
    return jax.random.uniform(jax.random.key(seed), (count, side, side, 3), minval=-1, maxval=1)


@pytest.mark.parametrize("bottleneck", ["enc", "dec"])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_numbers_of_parameters(structure, bottleneck):
    network = EditingNetwork(structure, bottleneck, **PUBLISHED)
    expected = COUNTS[bottleneck][STRUCTURES.index(structure)]
    assert count(shapes(network, 128)) == expected
    sees = EditingNetwork(structure, bottleneck, mask_sees_attr=True, **PUBLISHED)
    more = 7 * 7 * 32 if structure.startswith("E2") else 0  # one more channel of one more stem
    assert count(shapes(sees, 128)) == expected + more
    assert count(shapes(network, 128, labels=5)) == expected + 4 * 7 * 7 * 32


def test_the_critics_numbers_of_parameters():
    critic = AttributeDiscriminator()
    params = jax.eval_shape(critic.init, jax.random.key(0), jnp.zeros((1, 128, 128, 3)))
    assert count(params) == 11_190_754
    both = AttributeDiscriminator(conv_impl="matmul")
    other = jax.eval_shape(both.init, jax.random.key(0), jnp.zeros((1, 128, 128, 3)))
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, other)


@pytest.mark.parametrize("side", [32, 64, 128, 256])
def test_shapes_at_any_size(side):
    network, critic = EditingNetwork(), AttributeDiscriminator(attributes=2)
    x = jnp.zeros((2, side, side, 3))

    def both(key):
        (drawn, mask), _ = network.init_with_output(key, x, jnp.zeros((2, 1)))
        return drawn, mask, *critic.init_with_output(key, x)[0]

    found = [leaf.shape for leaf in jax.eval_shape(both, jax.random.key(0))]
    assert found == [x.shape, (2, side, side, 1), (2, 2, 2, 1), (2, 2)]


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("bottleneck", ["enc", "dec"])
def test_every_structure_draws_within_range(structure, bottleneck):
    network = EditingNetwork(structure, bottleneck, attr_inject="both", **TINY)
    x, label = pictures(), jnp.array([[0.0], [1.0]])
    (drawn, mask), _ = jax.jit(network.init_with_output)(jax.random.key(0), x, label)
    assert drawn.shape == x.shape and mask.shape == (2, 16, 16, 1)
    assert -1 <= drawn.min() < drawn.max() <= 1 and 0 <= mask.min() < mask.max() <= 1


@pytest.mark.parametrize("upsample", ["transpose", "resize_conv", "depth_to_space"])
def test_what_shares_nothing_does_not_mix(upsample):
    """In E2D2 the mask's networks know neither the label nor the attribute image's."""
    network = EditingNetwork("E2D2", upsample=upsample, **TINY)
    x, label = pictures(), jnp.array([[0.0], [1.0]])
    variables = network.init(jax.random.key(0), x, label)
    run = jax.jit(network.apply)
    (a, m), (b, n) = run(variables, x, label), run(variables, x, 1 - label)
    np.testing.assert_array_equal(m, n)
    assert np.abs(np.asarray(a - b)).max() > 1e-4
    shared = EditingNetwork("E1D2", upsample=upsample, **TINY)
    variables = shared.init(jax.random.key(0), x, label)
    m, n = (shared.apply(variables, x, c)[1] for c in (label, 1 - label))
    assert np.abs(np.asarray(m - n)).max() > 1e-6


def test_batch_norm_keeps_running_statistics_and_instance_norm_none():
    x, label = pictures(), jnp.ones((2, 1))
    network = EditingNetwork(norm_trunk="batch", **TINY)
    variables = network.init(jax.random.key(0), x, label)
    _, after = network.apply(variables, x, label, True, mutable=["batch_stats"])
    moved = jax.tree.map(
        lambda a, b: float(jnp.abs(a - b).max()), after["batch_stats"], variables["batch_stats"]
    )
    assert min(jax.tree.leaves(moved)) > 0
    assert set(EditingNetwork(**TINY).init(jax.random.key(0), x, label)) == {"params"}


def test_the_blend_is_exact_at_both_ends_and_its_slope_is_the_mask():
    image, drawn = pictures(seed=1), pictures(seed=2)
    mask = jax.random.uniform(jax.random.key(3), (2, 16, 16, 1))
    np.testing.assert_array_equal(jax.jit(blend)(image, drawn, jnp.zeros_like(mask)), image)
    np.testing.assert_array_equal(jax.jit(blend)(image, drawn, jnp.ones_like(mask)), drawn)
    slope = jax.grad(lambda a: blend(image, a, mask).sum())(drawn)
    np.testing.assert_array_equal(slope, jnp.broadcast_to(mask, slope.shape))


def centre_difference(padding, attr_inject="input"):
    """How far the label moves the features of the middle of a picture, relative to their size."""
    encoder = Encoder(8, 3, 4, 7, attr_inject, padding=padding)
    x = pictures(4, 128)
    variables = encoder.init(jax.random.key(0), x, jnp.zeros((4, 1)))
    run = jax.jit(encoder.apply)
    off, on = (run(variables, x, jnp.full((4, 1), c))[:, 4:12, 4:12] for c in (0.0, 1.0))
    return float(jnp.linalg.norm(on - off) / jnp.linalg.norm(off))


def test_the_label_reaches_the_bottleneck_past_instance_norm():
    assert centre_difference("zero") >= 0.03
    assert centre_difference("reflect") < 1e-4  # a constant plane, and nothing to betray it
    assert centre_difference("reflect", "both") >= 0.03
    with pytest.raises(ValueError, match="hides the label"):
        EditingNetwork(padding="reflect")


def test_the_mask_begins_where_it_is_told():
    x, label = pictures(), jnp.ones((2, 1))
    network = EditingNetwork(mask_bias=1.0, kernel_init="normal", **TINY)
    (_, mask), _ = network.init_with_output(jax.random.key(0), x, label)
    assert float(mask.mean()) == pytest.approx(0.73, abs=0.03)


def test_bfloat16_leaves_the_outputs_in_float32():
    network = EditingNetwork(dtype=jnp.bfloat16, **TINY)
    x, label = pictures(), jnp.ones((2, 1))
    (drawn, mask), variables = network.init_with_output(jax.random.key(0), x, label)
    assert drawn.dtype == mask.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert "bf16" in str(jax.make_jaxpr(network.apply)(variables, x, label))


@pytest.mark.parametrize(("side", "stride", "padding"), [(4, 2, 1), (3, 1, 1), (2, 1, 0)])
def test_both_implementations_of_a_convolution_agree(side, stride, padding):
    x = jax.random.normal(jax.random.key(0), (2, 8, 12, 5))
    convs = [Conv(7, side, stride, padding, impl) for impl in ("conv", "matmul")]
    variables = convs[0].init(jax.random.key(1), x)
    variables["params"]["bias"] = jnp.arange(7.0)
    first, second = (conv.apply(variables, x) for conv in convs)
    np.testing.assert_allclose(second, first, atol=1e-5)
    reference = jax.lax.conv_general_dilated(
        x,
        variables["params"]["kernel"],
        (stride, stride),
        [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    np.testing.assert_allclose(first, reference + jnp.arange(7.0).reshape(1, 1, 1, 7), atol=1e-5)


@pytest.mark.parametrize(
    ("network", "shape", "message"),
    [
        (EditingNetwork(), (1, 36, 32, 3), "36x32; sides must be multiples of 8"),
        (AttributeDiscriminator(), (1, 48, 48, 3), "48x48; a power of two"),
        (AttributeDiscriminator(), (1, 32, 64, 3), "32x64; a power of two"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(network, shape, message):
    more = (jnp.zeros((1, 1)),) if isinstance(network, EditingNetwork) else ()
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(network.init, jax.random.key(0), jnp.zeros(shape), *more)
