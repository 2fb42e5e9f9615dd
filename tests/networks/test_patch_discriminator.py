"""CycleGAN's discriminator against its published layers written out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal

from segsynth.networks.patch_discriminator import PatchDiscriminator

NETWORK = PatchDiscriminator(2, 4, padding=1, spectral=False)


def convolved(x, layer, stride):
    """PyTorch's ``Conv2d(k=4, padding=1)`` on (h, w, c)."""
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    kernel = np.asarray(layer["kernel"], np.float64)
    maps = [
        sum(signal.correlate2d(padded[..., i], kernel[..., i, o], "valid") for i in range(len(x.T)))
        for o in range(kernel.shape[-1])
    ]
    return np.stack(maps, axis=-1)[::stride, ::stride] + np.asarray(layer["bias"])


def by_hand(params, x):
    """``n_layers=3`` of NLayerDiscriminator: strides 2, 2, 2, 1, 1; norm on the middle ones."""
    for name, stride in (("conv_0", 2), ("conv_1", 2), ("conv_2", 2), ("conv_3", 1)):
        x = convolved(x, params[name], stride)
        if name != "conv_0":
            x = (x - x.mean((0, 1))) / np.sqrt(x.var((0, 1)) + 1e-5)
        x = np.where(x > 0, x, 0.2 * x)
    return convolved(x, params["logits"], 1)


@pytest.mark.parametrize("size", [(64, 64), (65, 70)], ids=["even", "odd"])
def test_it_is_the_published_stack_of_layers(size):
    random = np.random.default_rng(0)
    picture = random.random((1, *size, 3))
    shapes = jax.eval_shape(NETWORK.init, jax.random.key(0), jnp.zeros(picture.shape))
    variables = jax.tree.map(lambda x: jnp.asarray(0.2 * random.normal(size=x.shape)), shapes)
    found = jax.jit(NETWORK.apply)(variables, jnp.asarray(picture, jnp.float32))[-1]
    expected = by_hand(variables["params"], picture[0])
    assert expected.std() > 0.1
    np.testing.assert_allclose(found[0], expected, atol=1e-4)
