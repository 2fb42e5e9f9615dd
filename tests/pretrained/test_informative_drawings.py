"""Published tensors of the drawing generator give the published network's output and gradients."""

import functools

import jax
import jax.numpy as jnp
import pytest
from golden import count, load, worst
from weights import fill, image

from segsynth.errors import UserError
from segsynth.networks.resnet_generator import ResnetGenerator
from segsynth.pretrained.catalog import CATALOG
from segsynth.pretrained.convert import convert
from segsynth.pretrained.informative_drawings_keys import informative_drawings_keys

NETWORK = ResnetGenerator(1, width=16)
GOLDEN = load("informative_drawings")


@functools.cache
def tensors():
    shapes = (tuple(map(int, s.split(","))) for s in GOLDEN["shapes"].tolist())
    return fill(dict(zip(GOLDEN["keys"].tolist(), shapes, strict=True)))


@functools.cache
def variables():
    x = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    expected = jax.eval_shape(NETWORK.init, jax.random.key(0), x)
    return convert(tensors(), informative_drawings_keys(), expected, "golden")


@pytest.mark.parametrize("size", [(32, 40), (33, 46)], ids=["even", "odd"])
def test_outputs_and_gradients(size):
    name = f"{size[0]}x{size[1]}"
    drawing = GOLDEN[f"{name}_output"]
    scores = jnp.asarray(image(f"{name} weights", drawing.shape))

    def weighted(x):
        y = NETWORK.apply(variables(), x)
        return (y * scores).sum(), y

    photo = jnp.asarray(image(name, (1, *size, 3)) / 2 + 0.5)
    gradient, y = jax.jit(jax.grad(weighted, has_aux=True))(photo)
    assert drawing.std() > 0.1
    assert worst(y, drawing) <= 1e-4
    assert worst(gradient, GOLDEN[f"{name}_gradient"]) <= 1e-4


def test_the_published_file_has_24_tensors():
    keys = informative_drawings_keys()
    assert len(keys) == 24 and set(keys) == set(tensors())


@pytest.mark.parametrize("style", ["anime", "contour", "opensketch"])
def test_the_published_size(style):
    network = CATALOG[f"informative_drawings_{style}"].network()
    x = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    assert count(jax.eval_shape(network.init, jax.random.key(0), x)) == 4_290_945
    ones = jnp.ones((1, 32, 32, 3))
    assert jax.eval_shape(network.init_with_output, jax.random.key(0), ones)[0].shape[-1] == 1


def test_another_depth_is_named():
    x = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    expected = jax.eval_shape(NETWORK.clone(blocks=9).init, jax.random.key(0), x)
    with pytest.raises(UserError, match=r"lacks 'model2\.3"):
        convert(tensors(), informative_drawings_keys(9), expected, "golden")
