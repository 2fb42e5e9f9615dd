"""VGG, AlexNet and SqueezeNet against torchvision's, and against real weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import count, filled, load, thin, worst
from weights import image

from segsynth.errors import UserError
from segsynth.pretrained import alexnet, squeezenet, vgg
from segsynth.pretrained.convert import convert
from segsynth.pretrained.pixels import prepare

SHAPE = (1, 64, 64, 3)
#: Network -> module on prepared pictures, keys, parameters of torchvision's ``features``.
NETWORKS = {
    "vgg19": (vgg.VGG(vgg.VGG19, "none"), vgg.torchvision_keys(vgg.VGG19), 20_024_384),
    "vgg16": (vgg.VGG(vgg.VGG16, "none"), vgg.torchvision_keys(vgg.VGG16), 14_714_688),
    "alexnet": (alexnet.AlexNet("none"), alexnet.torchvision_keys(), 2_469_696),
    "squeezenet1_1": (
        squeezenet.SqueezeNet("1.1", "none"),
        squeezenet.torchvision_keys(),
        722_496,
    ),
}
CASES = [
    ("vgg19", (32, 48)),
    ("vgg19", (48, 34)),
    ("vgg16", (32, 48)),
    ("alexnet", (63, 80)),
    ("alexnet", (96, 71)),
    ("squeezenet1_1", (64, 79)),
    ("squeezenet1_1", (95, 70)),
]


@pytest.fixture(scope="module")
def golden():
    return load("torchvision_features")


@pytest.fixture(scope="module")
def variables(golden):
    """Network -> its variables, filled; made when asked for."""
    made = {}

    def of(name):
        if name not in made:
            module, keys, _ = NETWORKS[name]
            pairs = zip(golden[f"{name}/keys"], golden[f"{name}/shapes"], strict=True)
            shapes = {str(k): tuple(map(int, s.split(","))) for k, s in pairs}
            assert set(keys) == set(shapes)
            made[name] = filled(module, (jnp.zeros(SHAPE),), shapes, keys)
        return made[name]

    return of


@pytest.mark.parametrize(("name", "size"), CASES)
def test_features_and_gradients_are_torchvisions(name, size, golden, variables):
    module, key = NETWORKS[name][0], f"{name}/{size[0]}x{size[1]}"
    taps = [k.split("/")[2] for k in golden if k.startswith(f"{key}/") and k.endswith("thin")]
    vector = image(f"{key}/vector", (1, 1, 1, golden[f"{key}/{taps[-1]}/shape"][-1]))[0, 0]

    def weighted(x, variables):
        found = module.apply(variables, x)
        return (found[taps[-1]].mean((1, 2)) * vector).sum(), found

    x = jnp.asarray(image(key, (1, *size, 3)))
    gradient, found = jax.jit(jax.grad(weighted, has_aux=True))(x, variables(name))
    assert len(taps) >= 5
    for tap in taps:
        assert found[tap].shape == tuple(golden[f"{key}/{tap}/shape"])
        assert worst(thin(found[tap]), golden[f"{key}/{tap}/thin"]) < 1e-5
        assert worst(found[tap].mean(), golden[f"{key}/{tap}/mean"]) < 1e-5
    assert worst(gradient[:, ::2, ::3], golden[f"{key}/gradient"]) < 1e-5


@pytest.mark.parametrize("name", NETWORKS)
def test_as_many_parameters_as_the_original(name, variables):
    assert count(variables(name)) == NETWORKS[name][2]


def test_any_subset_of_vggs_taps_by_name(variables):
    module, x = NETWORKS["vgg19"][0], jnp.asarray(image("subset", (1, 16, 16, 3)))
    some = module.apply(variables("vgg19"), x, ("relu3_1", "relu1_2"))
    assert list(some) == ["relu3_1", "relu1_2"]
    assert [v.shape for v in some.values()] == [(1, 4, 4, 256), (1, 16, 16, 64)]
    with pytest.raises(UserError, match="VGG has no 'relu1_9'; it has relu1_1"):
        module.apply(variables("vgg19"), x, ("relu1_9",))


def test_what_becomes_of_the_pixels():
    red = jnp.array([1.0, -1.0, -1.0]).reshape(1, 1, 1, 3)
    imagenet = [(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225]
    np.testing.assert_allclose(prepare(red, "imagenet").ravel(), imagenet, rtol=1e-6)
    caffe = [-103.939, -116.779, 255 - 123.68]
    np.testing.assert_allclose(prepare(red, "caffe").ravel(), caffe, rtol=1e-6)
    np.testing.assert_allclose(prepare(red, "caffe-integer").ravel(), [-104, -117, 132])
    lpips = [1.03 / 0.458, -0.912 / 0.448, -0.812 / 0.45]
    np.testing.assert_allclose(prepare(red, "lpips").ravel(), lpips, rtol=1e-6)
    assert prepare(red, "none") is red


def test_bfloat16_computes_on_float32_parameters():
    module = vgg.VGG((1, 1), "imagenet", widths=(8, 8), dtype=jnp.bfloat16)
    variables = module.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    found = module.apply(variables, jnp.ones((1, 8, 8, 3)))
    assert found["relu2_1"].dtype == jnp.bfloat16


def rgb(folder, name):
    with np.load(folder / name) as file:
        golden = dict(file)
    picture = golden.pop("input_rgb_uint8")[None].astype(np.float32) / 127.5 - 1
    return jnp.asarray(picture), golden


def test_squeezenet_with_the_authors_weights_recognises_a_photo(test_data):
    folder = test_data / "weights_small" / "squeezenet_v1.0"
    picture, golden = rgb(folder, "golden_kodim23.npz")
    module = squeezenet.SqueezeNet("1.0", "caffe-integer", classifier=True)
    expected = jax.eval_shape(module.init, jax.random.key(0), picture)
    with np.load(folder / "squeezenet_v1.0.npz") as tensors:
        variables = convert(dict(tensors), squeezenet.caffe_keys(), expected, "squeezenet")
    found = jax.jit(module.apply)(variables, picture)
    assert worst(found["logits"][0], golden["logits"]) < 1e-4
    assert worst(found["fire9"].mean((1, 2))[0], golden["fire9_mean"]) < 1e-4
    assert int(found["logits"].argmax()) == int(golden["logits"].argmax()) == 88  # macaw
    assert count(variables) == 1_248_424


def test_vgg19_with_oxfords_weights(test_data):
    folder = test_data / "weights_small" / "vgg19_blocks1-3"
    picture, golden = rgb(folder, "golden_kodim23_192x128.npz")
    module = vgg.VGG(vgg.VGG19[:3], "caffe")
    expected = jax.eval_shape(module.init, jax.random.key(0), picture)
    with np.load(folder / "vgg19_blocks1-3.npz") as tensors:
        variables = convert(dict(tensors), vgg.keras_keys(vgg.VGG19[:3]), expected, "vgg19")
    found = jax.jit(module.apply)(variables, picture)
    assert set(golden) == {f"{tap}_mean" for tap in found}
    for tap, value in found.items():
        assert worst(value.mean((1, 2))[0], golden[f"{tap}_mean"]) < 1e-5
