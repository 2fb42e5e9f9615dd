"""Published tensors of a SPADE generator give the published network's output and gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import count, load, worst
from weights import fill, image

from segsynth.errors import UserError
from segsynth.networks.spade import SpadeGenerator
from segsynth.networks.spade_blocks import SpadeBlock
from segsynth.pretrained.catalog import CATALOG
from segsynth.pretrained.convert import convert
from segsynth.pretrained.spade_keys import spade_keys

NETWORK = SpadeGenerator(5, (32, 64), width=2, upsampling="normal", hidden=8)
GOLDEN = load("spade")


@functools.cache
def tensors():
    shapes = (tuple(map(int, s.split(","))) if s else () for s in GOLDEN["shapes"].tolist())
    return fill(dict(zip(GOLDEN["keys"].tolist(), shapes, strict=True)))


def expected(network=NETWORK):
    planes = jax.ShapeDtypeStruct((1, *network.out_hw, network.label_channels), jnp.float32)
    return jax.eval_shape(network.init, jax.random.key(0), planes)


@functools.cache
def variables():
    return convert(tensors(), spade_keys(NETWORK), expected(), "golden")


def soft_labels():
    return jax.nn.softmax(4 * jnp.asarray(image("labels", (2, 32, 64, 5))), -1)


def test_the_generator_and_its_gradient():
    scores = jnp.asarray(image("scores", (2, 32, 64, 3)))

    def weighted(labels):
        y = NETWORK.apply(variables(), labels)
        return (y * scores).sum(), y

    gradient, y = jax.jit(jax.grad(weighted, has_aux=True))(soft_labels())
    assert GOLDEN["output"].std() > 0.05
    assert worst(y, GOLDEN["output"]) <= 1e-4
    assert worst(gradient, GOLDEN["gradient"]) <= 1e-4


def test_six_doublings():
    # The same tensors: only the places of the doublings differ.
    network = NETWORK.clone(upsampling="more", out_hw=(64, 128))
    labels = jnp.asarray(image("more labels", (1, 64, 128, 5)) / 2 + 0.5)
    scores = jnp.asarray(image("more scores", (1, 64, 128, 3)))

    def weighted(labels):
        y = network.apply(variables(), labels)
        return (y * scores).sum(), y

    gradient, y = jax.jit(jax.grad(weighted, has_aux=True))(labels)
    assert worst(y[:, ::3, ::3], GOLDEN["more_output"]) <= 1e-4
    assert worst(gradient[:, ::3, ::3], GOLDEN["more_gradient"]) <= 1e-4


def test_one_block_evaluated_and_trained():
    block = SpadeBlock(16, hidden=8)
    mine = {kind: tree["up_0"] for kind, tree in variables().items()}
    x = jnp.asarray(image("block", (2, 8, 16, 32)))
    assert worst(block.apply(mine, x, soft_labels(), False), GOLDEN["block_output"]) <= 1e-4
    _, after = block.apply(mine, x, soft_labels(), True, mutable=["batch_stats"])
    assert worst(after["batch_stats"]["conv_0"]["u"], GOLDEN["trained_u"]) <= 1e-4
    assert worst(after["batch_stats"]["norm_0"]["norm"]["mean"], GOLDEN["trained_mean"]) <= 1e-4


def test_the_stored_vectors_are_used_as_they_are():
    # Twice the vector is half the kernel: nothing is iterated or normalised anew.
    doubled = {k: 2 * v if k.endswith("up_0.conv_s.weight_u") else v for k, v in tensors().items()}
    changed = convert(doubled, spade_keys(NETWORK), expected(), "golden")
    block, x = SpadeBlock(16, hidden=8), jnp.asarray(image("block", (2, 8, 16, 32)))
    outputs = [
        block.apply({kind: tree["up_0"] for kind, tree in v.items()}, x, soft_labels(), False)
        for v in (variables(), changed)
    ]
    assert jnp.abs(outputs[0] - outputs[1]).max() > 1e-2


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("spade_cityscapes", 93_048_003),
        # Another label channel is 9 * (1024 + 18 * 128) numbers: of the start and of 18 norms.
        ("spade_coco", 93_048_003 + 148 * 29_952),
        ("spade_ade20k", 93_048_003 + 115 * 29_952),
    ],
)
def test_the_published_sizes(name, parameters):
    assert count(expected(CATALOG[name].network())) == parameters


def test_every_tensor_of_the_published_generator_has_a_place():
    network = SpadeGenerator(36, (256, 512))
    keys = spade_keys(network)
    wanted = jax.tree.leaves(jax.tree.map(lambda _: 1, expected(network)))
    assert sum(target is not None for target in keys.values()) == len(wanted)
    assert "up_3.norm_s.param_free_norm.running_var" in keys
    assert "head_0.conv_s.weight_orig" not in keys and "up_0.conv_s.bias" not in keys


def test_a_missing_and_a_foreign_tensor_are_named():
    keys = spade_keys(NETWORK)
    short = {k: v for k, v in tensors().items() if k != "up_1.conv_0.weight_u"}
    with pytest.raises(UserError, match=r"lacks 'up_1\.conv_0\.weight_u'"):
        convert(short, keys, expected(), "golden")
    with pytest.raises(UserError, match="up_4"):
        convert({**tensors(), "up_4.bias": np.zeros(1)}, keys, expected(), "golden")
    with pytest.raises(UserError, match=r"'fc\.weight' makes"):
        convert(tensors(), keys, expected(NETWORK.clone(label_channels=6)), "golden")
