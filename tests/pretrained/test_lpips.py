"""LPIPS against the package of its authors, with the published heads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import load
from weights import fill, image

from segsynth.pretrained.convert import convert
from segsynth.pretrained.lpips import LPIPS, TAPS, lpips_keys, unit_length

CASES = [(net, size) for net in TAPS for size in ((63, 80), (72, 64))]


@pytest.fixture(scope="module")
def golden():
    return load("lpips")


def variables(net, golden):
    """Backbone filled by rule, heads as published."""
    features = load("torchvision_features")
    name = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}[net]
    keys = lpips_keys(net)
    pairs = zip(features[f"{name}/keys"], features[f"{name}/shapes"], strict=True)
    shapes = {str(k): tuple(map(int, s.split(","))) for k, s in pairs if keys[str(k)] is not None}
    prefix = f"{net}/lin"
    heads = {k.removeprefix(f"{net}/"): v for k, v in golden.items() if k.startswith(prefix)}
    expected = jax.eval_shape(LPIPS(net).init, jax.random.key(0), *(jnp.zeros((1, 64, 64, 3)),) * 2)
    return convert(fill(shapes) | heads, keys, expected, net)


@pytest.mark.parametrize(("net", "size"), CASES)
def test_distances_and_gradients_are_the_authors(net, size, golden):
    x = image(f"lpips/{net}/{size}", (2, *size, 3))
    y = image(f"lpips/{net}/{size}/other", (2, *size, 3))
    y[0] = np.clip(0.8 * x[0] + 0.2 * y[0], -1, 1)

    def weighted(x, y, variables):
        distance = LPIPS(net).apply(variables, x, y)
        return distance @ jnp.array([1.0, -0.5]), distance

    run = jax.jit(jax.grad(weighted, has_aux=True))
    gradient, distance = run(jnp.asarray(x), jnp.asarray(y), variables(net, golden))
    key = f"{net}/{size[0]}x{size[1]}"
    np.testing.assert_allclose(distance, golden[f"{key}/distance"], rtol=0, atol=1e-6)
    expected = golden[f"{key}/gradient"]
    assert np.abs(gradient[:, ::5, ::5] - expected).max() < 1e-4 * np.abs(expected).max()


def test_equal_pictures_have_distance_and_gradient_zero():
    module = LPIPS("squeeze", divisor=8)
    x = jnp.asarray(image("equal", (2, 35, 35, 3)))
    variables = jax.jit(module.init)(jax.random.key(0), x, x)
    run = jax.jit(jax.value_and_grad(lambda y: module.apply(variables, x, y).sum()))
    distance, gradient = run(x)
    assert distance == 0 and not gradient.any()


def test_features_that_are_all_zero_have_a_gradient():
    x = jnp.zeros((1, 1, 2, 3)).at[0, 0, 1, 0].set(2.0)
    np.testing.assert_allclose(unit_length(x)[0, 0], [[0, 0, 0], [1, 0, 0]])
    assert jnp.isfinite(jax.grad(lambda x: unit_length(x)[0, 0, 1].sum())(x)).all()


@pytest.mark.parametrize("net", TAPS)
def test_the_packages_heads_are_those_of_its_repository(net, golden, test_data):
    with np.load(test_data / "weights_small" / "lpips_v0.1" / "lpips_v0.1.npz") as published:
        mine = [key for key in published.files if key.startswith(f"{net}/")]
        assert len(mine) == len(TAPS[net])
        for key in mine:
            np.testing.assert_array_equal(published[key], golden[key])
