"""ResNet50 against torchvision's, filled with the same tensors, and in training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import count, filled, load, worst
from weights import image

from segsynth.errors import UserError
from segsynth.pretrained.convert import convert
from segsynth.pretrained.resnet50 import ResNet50, resnet50_keys

SHAPE = (2, 64, 54, 3)
STAGES = ("layer1", "layer2", "layer3", "layer4")


@pytest.fixture(scope="module")
def golden():
    return load("resnet50")


def shapes(golden):
    pairs = zip(golden["keys"], golden["shapes"], strict=True)
    return {str(key): tuple(int(n) for n in text.split(",") if n) for key, text in pairs}


@pytest.fixture(scope="module")
def variables(golden):
    return filled(ResNet50(), (jnp.zeros(SHAPE),), shapes(golden), resnet50_keys())


@pytest.mark.parametrize("side", [64, 97])
def test_outputs_are_torchvisions(side, golden, variables):
    x = jnp.asarray(image(f"resnet {side}", (2, side, side - 10, 3)))
    found = jax.device_get(jax.jit(ResNet50().apply)(variables, x))
    for stage in STAGES:
        assert found[stage].shape == tuple(golden[f"{side}/{stage}/shape"])
        assert worst(found[stage][:, ::2, ::2, ::32], golden[f"{side}/{stage}"]) < 1e-4, stage
    for name in ("pool", "logits"):
        assert worst(found[name], golden[f"{side}/{name}"]) < 1e-4, name


def test_the_size_is_torchvisions(golden, variables):
    assert count(variables) == golden["parameters"] == 25_557_032
    assert set(resnet50_keys()) == set(shapes(golden)) and len(resnet50_keys()) == 320


def test_without_its_classifier(golden):
    module = ResNet50(num_classes=0)
    expected = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros(SHAPE))
    assert "fc" not in expected["params"]
    made = filled(module, (jnp.zeros(SHAPE),), shapes(golden), resnet50_keys(classifier=False))
    assert count(made) == golden["parameters"] - 2049 * 1000
    with pytest.raises(UserError, match=r"lacks 'conv1\.weight'"):
        convert({}, resnet50_keys(), expected, "nothing.pth")


SMALL = ResNet50(num_classes=1, divisor=16)


@pytest.fixture(scope="module")
def batch():
    return jnp.asarray(image("training", (8, 32, 32, 3)))


@pytest.fixture(scope="module")
def start(batch):
    return jax.jit(SMALL.init)(jax.random.key(0), batch)


@jax.jit
def step(variables, pictures):
    """One of gradient descent, towards 0 and 1 by turns."""
    truth = jnp.arange(8) % 2

    def loss(params):
        found, moved = SMALL.apply(
            {**variables, "params": params}, pictures, train=True, mutable=["batch_stats"]
        )
        logits = found["logits"][:, 0]
        return -jax.nn.log_sigmoid(jnp.where(truth, logits, -logits)).mean(), moved

    (value, moved), slope = jax.value_and_grad(loss, has_aux=True)(variables["params"])
    params = jax.tree.map(lambda p, g: p - 0.1 * g, variables["params"], slope)
    return {"params": params} | moved, value


def test_it_learns_and_in_inference_pictures_do_not_see_each_other(start, batch):
    variables, losses = start, []
    for _ in range(6):
        variables, value = step(variables, batch)
        losses.append(float(value))
    assert losses[-1] < 0.5 * losses[0]
    apply = jax.jit(lambda x: SMALL.apply(variables, x)["logits"])
    np.testing.assert_allclose(apply(batch[:2]), apply(batch)[:2], rtol=1e-4)


def test_training_moves_the_statistics_by_a_tenth(start, batch):
    moved = step(start, batch)[0]["batch_stats"]["bn1"]
    pixels = (np.asarray(batch) + 1) / 2 - np.float32([0.485, 0.456, 0.406])
    convolved = jax.lax.conv_general_dilated(
        jnp.asarray(pixels / np.float32([0.229, 0.224, 0.225])),
        start["params"]["conv1"]["kernel"],
        (2, 2),
        ((3, 3), (3, 3)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    np.testing.assert_allclose(moved["mean"], 0.1 * convolved.mean((0, 1, 2)), atol=1e-5)
    expected = 0.9 + 0.1 * np.asarray(convolved).var((0, 1, 2))
    np.testing.assert_allclose(moved["var"], expected, rtol=1e-4)


def test_bfloat16_keeps_float32_parameters():
    module = ResNet50(num_classes=3, divisor=16, dtype=jnp.bfloat16)
    pictures = jnp.asarray(image("bfloat16", (1, 32, 32, 3)))
    made = jax.jit(module.init)(jax.random.key(0), pictures)
    assert {x.dtype for x in jax.tree.leaves(made)} == {jnp.dtype("float32")}
    found = jax.jit(module.apply)(made, pictures)
    assert found["layer4"].dtype == jnp.bfloat16 and found["logits"].dtype == jnp.float32
    full = jax.jit(ResNet50(num_classes=3, divisor=16).apply)(made, pictures)
    assert worst(found["pool"], full["pool"]) < 0.1
