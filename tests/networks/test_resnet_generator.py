"""The drawing generator: parameters, sizes and independence of the examples of a batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.networks.resnet_generator import ResnetGenerator, reflect_pad

TINY = ResnetGenerator(1, width=4, blocks=1)


@pytest.mark.parametrize(
    ("inputs", "outputs", "blocks", "count"),
    [(3, 1, 3, 4_290_945), (1, 3, 3, 4_290_947), (3, 1, 9, 11_371_905)],
)
def test_parameters(inputs, outputs, blocks, count):
    network = ResnetGenerator(outputs, blocks=blocks)
    x = jax.ShapeDtypeStruct((1, 64, 64, inputs), jnp.float32)
    leaves = jax.tree.leaves(jax.eval_shape(network.init, jax.random.key(0), x))
    assert sum(leaf.size for leaf in leaves) == count


@pytest.mark.parametrize(
    ("size", "expected"), [((390, 500), (392, 500)), ((300, 230), (300, 232)), ((65, 70), (68, 72))]
)
def test_sides_are_rounded_up_to_multiples_of_four(size, expected):
    x = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    variables = jax.eval_shape(TINY.init, jax.random.key(0), x)
    assert jax.eval_shape(TINY.apply, variables, x).shape == (1, *expected, 1)


def test_examples_do_not_see_each_other():
    x = jax.random.uniform(jax.random.key(1), (3, 20, 24, 3))
    variables = TINY.init(jax.random.key(0), x[:1])
    apply = jax.jit(TINY.apply)
    together = apply(variables, x)
    alone = jnp.concatenate([apply(variables, x[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert 0 <= together.min() and together.max() <= 1 and together.std() > 1e-4


def test_small_pictures_are_refused():
    with pytest.raises(ValueError, match="15x20"):
        TINY.init(jax.random.key(0), jnp.zeros((1, 15, 20, 3)))
    with pytest.raises(ValueError, match="mirrored by 3"):
        reflect_pad(jnp.zeros((1, 3, 9, 1)), 3)
