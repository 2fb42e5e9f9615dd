"""The segmentation U-Net: its size, pictures of any size, its two norms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.networks.segmentation_unet import SegmentationUNet

TINY = SegmentationUNet(3, width=4, levels=2)


def pictures(height=16, width=16, count=2):
    return jax.random.uniform(jax.random.key(0), (count, height, width, 1))


@pytest.fixture(scope="module")
def variables():
    return jax.jit(TINY.init)(jax.random.key(1), pictures())


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_the_published_size():
    x = jax.ShapeDtypeStruct((1, 64, 64, 1), jnp.float32)
    made = jax.eval_shape(SegmentationUNet(182).init, jax.random.key(0), x)
    assert count(made["params"]) == 31_048_246
    # github.com/milesial/Pytorch-UNet prints 31,037,698 for three channels and two classes.
    three = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    made = jax.eval_shape(SegmentationUNet(2).init, jax.random.key(0), three)
    assert count(made["params"]) == 31_037_698


@pytest.mark.parametrize("size", [(16, 16), (17, 22), (64, 48)])
def test_logits_have_the_size_of_the_picture(size):
    x = jax.ShapeDtypeStruct((2, *size, 1), jnp.float32)
    made = jax.eval_shape(TINY.init, jax.random.key(0), x)
    assert jax.eval_shape(TINY.apply, made, x).shape == (2, *size, 3)


def test_padding_repeats_the_last_row_and_column(variables):
    apply = jax.jit(TINY.apply)
    x = pictures(14, 13)
    grown = jnp.pad(x, ((0, 0), (0, 2), (0, 3), (0, 0)), mode="edge")
    np.testing.assert_allclose(apply(variables, x), apply(variables, grown)[:, :14, :13], atol=1e-6)


def test_details_reach_the_logits_past_the_halvings(variables):
    x = pictures()
    changed = x.at[0, 8, 8].add(1.0)
    apart = np.abs(jax.jit(TINY.apply)(variables, x) - jax.jit(TINY.apply)(variables, changed))
    assert apart[0, 8, 8].max() > 1e-3 and apart[1].max() == 0


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_only_batch_norm_mixes_the_pictures_of_a_batch(norm):
    network = TINY.clone(norm=norm)
    made = jax.jit(network.init)(jax.random.key(1), pictures())
    assert ("batch_stats" in made) == (norm == "batch")
    apply = jax.jit(lambda v, x: network.apply(v, x, True, mutable=["batch_stats"])[0])
    together, alone = apply(made, pictures()), apply(made, pictures()[:1])
    assert (np.abs(together[:1] - alone).max() > 1e-4) == (norm == "batch")
