"""Transposed convolution against flax's: the same values and gradients, other code."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from segsynth.networks.transposed_conv import ConvTranspose, conv_transpose

#: Sizes of ours, and flax's padding of the same layer.
LAYERS = {
    "3x3, PyTorch's padding 1 and output_padding 1": ((3, 1, 1), ((1, 2), (1, 2))),
    "4x4, padding 1": ((4, 1, 0), "SAME"),
    "2x2": ((2, 0, 0), "SAME"),
    "3x3, padding 1": ((3, 1, 0), ((1, 1), (1, 1))),
    "5x5, padding 2 and output_padding 1": ((5, 2, 1), ((2, 3), (2, 3))),
}


def _layers(name: str, transpose_kernel: bool):
    (size, padding, more), pads = LAYERS[name]
    sort = {"transpose_kernel": transpose_kernel, "kernel_init": nn.initializers.normal(0.3)}
    own = ConvTranspose(6, size, 2, padding, more, **sort)
    return own, nn.ConvTranspose(6, (size, size), (2, 2), padding=pads, **sort)


@pytest.mark.parametrize("transpose_kernel", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_values_and_gradients_are_those_of_flax(name, transpose_kernel):
    own, flax = _layers(name, transpose_kernel)
    x = jax.random.normal(jax.random.key(0), (2, 5, 8, 4))
    variables = flax.init(jax.random.key(1), x)
    variables["params"]["bias"] = jnp.arange(6.0)
    mine = own.init(jax.random.key(1), x)
    assert jax.tree.map(jnp.shape, mine) == jax.tree.map(jnp.shape, variables)
    np.testing.assert_array_equal(mine["params"]["kernel"], variables["params"]["kernel"])
    wanted = flax.apply(variables, x)
    weights = jax.random.normal(jax.random.key(2), wanted.shape)

    @jax.jit
    def both(variables, x):
        def loss(layer, variables, x):
            return (weights * jnp.sin(layer.apply(variables, x))).sum()

        return [jax.grad(loss, argnums=(1, 2))(layer, variables, x) for layer in (own, flax)]

    np.testing.assert_allclose(own.apply(variables, x), wanted, rtol=1e-5, atol=1e-5)
    ours, theirs = both(variables, x)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_gradients_have_gradients():
    """As penalties on gradients need them."""
    own, flax = _layers("4x4, padding 1", False)
    x = jax.random.normal(jax.random.key(0), (1, 3, 3, 2))
    variables = flax.init(jax.random.key(1), x)

    def penalty(layer, variables):
        slope = jax.grad(lambda x: jnp.tanh(layer.apply(variables, x)).sum())(x)
        return (slope**2).sum()

    ours, theirs = (jax.grad(penalty, argnums=1)(layer, variables) for layer in (own, flax))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), ours, theirs)


def test_a_kernel_s_gradient_is_that_of_the_strided_convolution():
    """No convolution of the backward pass is dilated by the stride on its left side, which is what
    is slow on CPUs.
    """
    x, kernel = jnp.ones((1, 4, 4, 3)), jnp.ones((3, 3, 5, 3))

    def loss(kernel):
        return (conv_transpose(x, kernel, 2, 1, 1) ** 2).sum()

    def dilated(jaxpr) -> int:
        found = 0
        for equation in jaxpr.eqns:
            if equation.primitive.name == "conv_general_dilated":
                found += equation.params["lhs_dilation"] != (1, 1)
            for inner in jaxprs_in_params(equation.params):
                found += dilated(inner)
        return found

    assert dilated(jax.make_jaxpr(jax.grad(loss))(kernel).jaxpr) == 1  # that of the forward pass


def test_bfloat16_computes_in_bfloat16():
    layer = ConvTranspose(2, 3, padding=1, more=1, dtype=jnp.bfloat16)
    x = jnp.ones((1, 4, 4, 3))
    variables = layer.init(jax.random.key(0), x)
    assert variables["params"]["kernel"].dtype == jnp.float32
    assert layer.apply(variables, x).dtype == jnp.bfloat16
    slopes = jax.grad(lambda v: layer.apply(v, x).astype(jnp.float32).sum())(variables)
    assert slopes["params"]["kernel"].dtype == jnp.float32
