"""Linear attention is the quadratic formula at linear cost; class rows reach their own tokens."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.networks.attention import (
    FEATURE_MAPS,
    AttentionBlock,
    CategoryCrossAttention,
    LinearAttention,
    class_row_mask,
    linear_attention,
    softmax_attention,
)


def quadratic(q, k, v, feature_map="swish_shift"):
    """The same attention through its explicit N x N weights."""
    phi = FEATURE_MAPS[feature_map]
    weights = jnp.einsum("bnhd,bmhd->bhnm", phi(q), phi(k)) / k.shape[1]
    total = jnp.sum(weights, axis=-1, keepdims=True) + 1e-6
    return jnp.einsum("bhnm,bmhe->bnhe", weights / total, v)


def random_qkv(n, heads=4, d=32, dtype=jnp.float32):
    rng = np.random.default_rng(n)
    return tuple(jnp.asarray(rng.normal(size=(1, n, heads, d)), dtype) for _ in range(3))


def random_params(net, *inputs):
    """Parameters without silent, zero-initialised branches."""
    rng = np.random.default_rng(0)
    tree = jax.eval_shape(net.init, jax.random.key(0), *inputs)
    return jax.tree.map(lambda x: rng.normal(0.0, 0.3, x.shape).astype(np.float32), tree)


@pytest.mark.parametrize("n", [64, 256, 1024])
def test_linear_is_quadratic_with_gradients(n):
    qkv = random_qkv(n)
    probe = random_qkv(n + 1)[0][:, :n]

    def value_and_grads(attend):
        return jax.jit(
            jax.value_and_grad(
                lambda args: (jnp.sum(probe * (o := attend(*args))), o), has_aux=True
            )
        )(qkv)

    (_, got), got_grads = value_and_grads(linear_attention)
    (_, expected), expected_grads = value_and_grads(quadratic)
    np.testing.assert_allclose(got, expected, atol=1e-5, rtol=0)
    for ours, theirs in zip(got_grads, expected_grads, strict=True):
        error = jnp.linalg.norm(ours - theirs) / jnp.linalg.norm(theirs)
        assert error < 1e-4


@pytest.mark.parametrize("feature_map", sorted(FEATURE_MAPS))
def test_feature_maps_agree_with_quadratic_and_are_not_negative(feature_map):
    q, k, v = random_qkv(64)
    expected = quadratic(q, k, v, feature_map)
    np.testing.assert_allclose(linear_attention(q, k, v, feature_map), expected, atol=1e-5)
    wide = jnp.linspace(-50.0, 50.0, 100_001)
    around_the_minimum = jnp.linspace(-1.2795, -1.2775, 100_001)
    assert jnp.min(FEATURE_MAPS[feature_map](jnp.concatenate([wide, around_the_minimum]))) >= 0.0


@pytest.mark.parametrize("n", [64, 1024])
def test_bfloat16_stays_close_to_float32(n):
    half = random_qkv(n, dtype=jnp.bfloat16)
    got = linear_attention(*half)
    assert got.dtype == jnp.float32
    expected = quadratic(*(x.astype(jnp.float32) for x in half))
    np.testing.assert_allclose(got, expected, atol=5e-3, rtol=0)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_large_inputs_stay_finite(dtype):
    qkv = tuple(1000.0 * x for x in random_qkv(64, dtype=dtype))

    def loss(qkv):
        return sum(jnp.sum(linear_attention(*qkv, feature_map=name)) for name in FEATURE_MAPS)

    value, grads = jax.jit(jax.value_and_grad(loss))(qkv)
    assert all(np.all(np.isfinite(np.asarray(x, np.float32))) for x in (value, *grads))


def test_softmax_attention_is_the_library_function():
    q, k, v = random_qkv(64)
    expected = jax.nn.dot_product_attention(q, k, v)
    np.testing.assert_allclose(softmax_attention(q, k, v), expected, atol=1e-5)


@functools.cache
def compiled_cost(attn, height, width):
    """Flops and temporary bytes of one self-attention layer, from the compiler."""
    net = LinearAttention(attn=attn)
    x = jax.ShapeDtypeStruct((1, height, width, 64), jnp.float32)
    variables = jax.eval_shape(net.init, jax.random.key(0), x)
    compiled = jax.jit(net.apply).lower(variables, x).compile()
    flops = compiled.cost_analysis()["flops"]
    return flops, compiled.memory_analysis().temp_size_in_bytes


def test_cost_is_linear_in_tokens_and_the_control_is_not():
    for attn, low, high in (("linear", 1.9, 2.1), ("softmax", 3.8, 4.2)):
        flops, _ = compiled_cost(attn, 64, 64)
        double_flops, _ = compiled_cost(attn, 64, 128)
        assert low <= double_flops / flops <= high, attn


def test_no_buffer_of_tokens_squared():
    _, temporary = compiled_cost("linear", 64, 64)
    _, double_temporary = compiled_cost("linear", 64, 128)
    assert double_temporary / temporary <= 2.2
    assert double_temporary < 4 * (64 * 128) ** 2  # one float32 N x N array
    _, control = compiled_cost("softmax", 64, 64)
    _, double_control = compiled_cost("softmax", 64, 128)
    assert double_control / control > 3.5


def test_self_attention_starts_as_identity_and_then_reads_every_token():
    net = LinearAttention()
    x = random_qkv(8, heads=4, d=128)[0]
    at_start = jax.jit(lambda key: net.init_with_output(key, x)[0])(jax.random.key(1, impl="rbg"))
    np.testing.assert_array_equal(at_start, x)
    params = random_params(net, x)
    first_token = jax.jit(jax.grad(lambda x: jnp.sum(net.apply(params, x)[:, 0, 0])))
    assert np.all(np.max(np.abs(first_token(x)), axis=(0, 3)) > 0.0)


def test_head_width_must_divide_the_channels():
    with pytest.raises(ValueError, match="multiple of 64"):
        LinearAttention().init(jax.random.key(0), jnp.zeros((1, 2, 2, 96)))


def test_row_mask_takes_the_class_of_each_token():
    class_map = jnp.zeros((1, 8, 8, 1)).at[:, :4, 4:].set(1.0)
    visible = class_row_mask(class_map, (2, 2), 6) == 0.0
    background = [True] * 3 + [False] * 3
    expected = [background, [not b for b in background], background, background]
    np.testing.assert_array_equal(visible[0], expected)


def test_rows_of_the_other_class_do_not_reach_a_token():
    net = CategoryCrossAttention()
    rng = np.random.default_rng(3)
    tokens = jnp.asarray(rng.normal(size=(2, 16, 64)), jnp.float32)
    rows = jnp.asarray(rng.normal(size=(2, 8, 32)), jnp.float32)
    class_map = jnp.asarray(rng.integers(0, 2, (2, 4, 4, 1)), jnp.float32)
    row_mask = class_row_mask(class_map, (4, 4), 8)
    params = random_params(net, tokens, rows, row_mask)
    attend = jax.jit(lambda rows: net.apply(params, tokens, rows, row_mask))
    change = jnp.max(jnp.abs(attend(rows.at[:, 4:].add(5.0)) - attend(rows)), axis=-1)
    foreground = class_map.reshape(2, 16) > 0.5
    assert jnp.all(jnp.where(foreground, 0.0, change) <= 1e-6)
    assert jnp.all(jnp.where(foreground, change, 1.0) > 1e-3)


def test_gain_scales_what_the_rows_add():
    x = random_qkv(2, heads=2, d=64)[0]
    rows = random_qkv(1, heads=4, d=32)[0][:, 0]
    params = random_params(AttentionBlock(), x, rows)

    def change(gain):
        attend = jax.jit(functools.partial(AttentionBlock(gain=gain).apply, params, x))
        return jnp.linalg.norm(attend(-rows) - attend(rows))

    assert change(0.0) == 0.0
    assert 0.0 < change(0.5) < change(1.0)
