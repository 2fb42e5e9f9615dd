"""Depth Anything against transformers under the published names; its resizing against PyTorch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import count, load, worst
from weights import fill, image

from segsynth.errors import UserError
from segsynth.pretrained.convert import convert
from segsynth.pretrained.depth_anything import (
    DepthAnything,
    DinoV2,
    depth_pixels,
    depth_size,
    inverse_depth,
)
from segsynth.pretrained.depth_anything_keys import depth_anything_keys
from segsynth.pretrained.resampling import cubic_matrix, resample, resize_corners

GOLDEN = load("depth_anything")
#: transformers interpolates positions without the authors' offset.
NETWORK = DepthAnything(
    DinoV2(24, layers=5, heads=2, taps=(0, 1, 3, 4), grid=4, position_offset=0.0),
    channels=(8, 12, 16, 20),
    features=16,
    hidden=8,
)
_NAMES = {
    "backbone.embeddings.cls_token": "pretrained.cls_token",
    "backbone.embeddings.mask_token": "pretrained.mask_token",
    "backbone.embeddings.position_embeddings": "pretrained.pos_embed",
    "backbone.embeddings.patch_embeddings.projection": "pretrained.patch_embed.proj",
    "backbone.encoder.layer.": "pretrained.blocks.",
    "backbone.layernorm": "pretrained.norm",
    "attention.qkv": "attn.qkv",
    "attention.o_proj": "attn.proj",
    "layer_scale1.lambda1": "ls1.gamma",
    "layer_scale2.lambda1": "ls2.gamma",
    "residual_layer": "resConfUnit",
    ".convolution": ".conv",
    "head.conv1": "depth_head.scratch.output_conv1",
    "head.conv2": "depth_head.scratch.output_conv2.0",
    "head.conv3": "depth_head.scratch.output_conv2.2",
}


@functools.cache
def published():
    """The golden network's weights under the names of depth_anything_v2_vits.pth."""
    shapes = (tuple(map(int, s.split(","))) for s in GOLDEN["shapes"].tolist())
    filled = fill(dict(zip(GOLDEN["keys"].tolist(), shapes, strict=True)))
    tensors = {}
    for key in filled:
        if ".k_proj" in key or ".v_proj" in key:
            continue
        parts = [filled[key.replace(".q_proj", f".{c}_proj")] for c in "qkv"]
        whole = np.concatenate(parts) if ".q_proj" in key else filled[key]
        tensors[_published_name(key.replace(".q_proj", ".qkv"))] = whole
    return tensors


def _published_name(key):
    if key.startswith("neck."):
        _, stage, *rest = key.split(".")
        if stage == "convs":
            return f"depth_head.scratch.layer{int(rest[0]) + 1}_rn.weight"
        number, tail = int(rest[1]), ".".join(rest[2:])
        if stage == "fusion_stage":
            tail = tail.replace("projection", "out_conv")
            key = f"depth_head.scratch.refinenet{4 - number}.{tail}"
        else:
            layers = "projects" if tail.startswith("projection") else "resize_layers"
            key = f"depth_head.{layers}.{number}.{tail.split('.')[1]}"
    for theirs, name in _NAMES.items():
        key = key.replace(theirs, name)
    return key


def expected(network, side=56):
    x = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    return jax.eval_shape(network.init, jax.random.key(0), x)


@functools.cache
def variables():
    return convert(published(), depth_anything_keys(NETWORK), expected(NETWORK), "golden")


@pytest.mark.parametrize("size", [(42, 70), (56, 56)], ids=["other grid", "learned grid"])
def test_depth_and_its_gradient(size):
    name = f"{size[0]}x{size[1]}"
    scores = jnp.asarray(image(f"depth/{name}/scores", (1, *size, 1))[..., 0])

    def weighted(x):
        depth = NETWORK.apply(variables(), x)
        return (depth * scores).sum(), depth

    x = jnp.asarray(2 * image(f"depth/{name}", (1, *size, 3)))
    gradient, depth = jax.jit(jax.grad(weighted, has_aux=True))(x)
    assert worst(depth, GOLDEN[f"{name}/depth"]) <= 1e-4
    assert worst(gradient, GOLDEN[f"{name}/gradient"]) <= 1e-4


def test_positions_with_the_authors_offset():
    positions = jnp.asarray(image("depth/positions", (1, 4, 4, 6)))
    matrices = (cubic_matrix(4, n, 4 / (n + 0.1)) for n in (3, 5))
    assert worst(resample(positions, *matrices), GOLDEN["resize/positions"]) <= 1e-5
    # The network does just this.
    x, shifted = jnp.ones((1, 42, 70, 3)), NETWORK.backbone.clone(position_offset=0.1)
    mine = {"params": variables()["params"]["backbone"]}
    plain = NETWORK.backbone.apply(mine, x)[0]
    assert 1e-4 < worst(shifted.apply(mine, x)[0], plain) < 0.5


def test_the_learned_grid_is_not_resampled():
    mine = {"params": variables()["params"]["backbone"]}
    x = jnp.asarray(image("depth/learned", (1, 56, 56, 3)))
    shifted = NETWORK.backbone.clone(position_offset=0.1)
    maps = (net.apply(mine, x)[3] for net in (NETWORK.backbone, shifted))
    np.testing.assert_array_equal(*maps)


def test_resizing_is_pytorchs():
    picture = jnp.asarray(image("depth/picture", (1, 30, 44, 3)))
    assert worst(resize_corners(picture, (17, 50)), GOLDEN["resize/corners"]) <= 1e-5
    cubic = resample(picture, cubic_matrix(30, 42), cubic_matrix(44, 56))
    assert worst(cubic, GOLDEN["resize/cubic"]) <= 1e-5
    np.testing.assert_allclose(cubic_matrix(7, 7), np.eye(7), atol=1e-7)
    np.testing.assert_allclose(cubic_matrix(9, 4).sum(1), 1, atol=1e-6)


def test_pixels():
    grey = jnp.zeros((1, 30, 44, 3))
    pixels = depth_pixels(grey, side=28)
    assert pixels.shape == (1, 28, 42, 3)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(pixels[0, 5, 5], (0.5 - mean) / deviation, rtol=1e-5)


def test_depth_at_the_pictures_own_size():
    pictures = jnp.asarray(image("depth/own", (2, 33, 45, 3)))
    depth = jax.jit(lambda v, x: inverse_depth(NETWORK, v, x, side=28))(variables(), pictures)
    assert depth.shape == (2, 33, 45)
    seen = NETWORK.apply(variables(), depth_pixels(pictures, 28))
    assert seen.shape == (2, 28, 42)
    corners = (slice(None), slice(None, None, 27), slice(None, None, 41))
    np.testing.assert_allclose(depth[:, ::32, ::44], seen[corners], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("size", "looked_at"),
    [
        ((480, 640), (518, 686)),
        ((518, 518), (518, 518)),
        ((1080, 1920), (518, 924)),
        ((375, 1242), (518, 1722)),
        ((640, 427), (770, 518)),
    ],
)
def test_sizes(size, looked_at):
    assert depth_size(*size) == looked_at


def test_the_published_size():
    network = DepthAnything()
    shapes = expected(network, 518)
    keys = depth_anything_keys(network)
    leaves = jax.tree_util.tree_leaves_with_path(shapes)
    paths = {tuple(part.key for part in path) for path, _ in leaves}
    assert {target.path for target in keys.values() if target} == paths
    # What the file holds and inference does not use: a mask token and a residual unit.
    assert count(shapes) + 384 + 2 * (9 * 64 * 64 + 64) == 24_785_089
    assert sum(target is None for target in keys.values()) == 5


def test_what_is_refused():
    with pytest.raises(ValueError, match="multiples of 14"):
        NETWORK.apply(variables(), jnp.zeros((1, 56, 60, 3)))
    other = {k: v for k, v in published().items() if k != "pretrained.blocks.2.ls1.gamma"}
    with pytest.raises(UserError, match=r"lacks 'pretrained\.blocks\.2\.ls1\.gamma'"):
        convert(other, depth_anything_keys(NETWORK), expected(NETWORK), "golden")
