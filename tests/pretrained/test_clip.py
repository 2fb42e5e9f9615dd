"""CLIP's towers against transformers, from both published layouts; its pixels against Pillow."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import count, load, worst
from PIL import Image
from weights import fill, image

from segsynth.errors import UserError
from segsynth.pretrained import loading
from segsynth.pretrained.clip import Clip, ClipImage, ClipText, clip_pixels
from segsynth.pretrained.clip_keys import clip_hf_keys, clip_openai_keys, fuse_attention
from segsynth.pretrained.convert import convert

GOLDEN = load("clip")
NETWORKS = {
    "small": Clip(ClipImage(32, 8, 32, 2, 2, 16), ClipText(60, 12, 24, 2, 2, 16)),
    "other": Clip(ClipImage(48, 16, 24, 2, 3, 20), ClipText(50, 9, 32, 2, 4, 20)),
}
_NAMES = {
    "embeddings.class_embedding": "class_embedding",
    "embeddings.patch_embedding.weight": "conv1.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "pre_layrnorm.": "ln_pre.",
    "post_layernorm.": "ln_post.",
    "final_layer_norm.": "ln_final.",
    "encoder.layers.": "transformer.resblocks.",
    "self_attn.qkv_proj.": "attn.in_proj_",
    "self_attn.": "attn.",
    "layer_norm": "ln_",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


@functools.cache
def hf_tensors(name):
    shapes = (tuple(map(int, s.split(","))) if s else () for s in GOLDEN[f"{name}/shapes"].tolist())
    tensors = fill(dict(zip(GOLDEN[f"{name}/keys"].tolist(), shapes, strict=True)))
    for key in tensors:
        if any(part in key for part in GOLDEN[f"{name}/residual"].tolist()):
            tensors[key] = tensors[key] * GOLDEN[f"{name}/factor"]
    return tensors


def openai_tensors(name):
    """The same weights under OpenAI's names, in half precision where that loses nothing here."""
    tensors = {}
    for key, tensor in fuse_attention(hf_tensors(name)).items():
        if key.endswith("_projection.weight"):
            tensors[{"v": "visual.proj", "t": "text_projection"}[key[0]]] = tensor.T
            continue
        key = key.replace("text_model.", "").replace("vision_model.", "visual.")
        for theirs, name_ in _NAMES.items():
            key = key.replace(theirs, name_)
        tensors[key] = tensor
    constants = dict(input_resolution=32, context_length=12, vocab_size=60)
    return tensors | {key: np.array(value) for key, value in constants.items()}


def expected(network):
    side, context = network.image.side, network.text.context
    pictures = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    tokens = jax.ShapeDtypeStruct((1, context), jnp.int32)
    return jax.eval_shape(network.init, jax.random.key(0), pictures, tokens)


@functools.cache
def variables(name):
    network = NETWORKS[name]
    return convert(fuse_attention(hf_tensors(name)), clip_hf_keys(network), expected(network), name)


@pytest.mark.parametrize("name", NETWORKS)
def test_both_towers_and_the_gradient(name):
    network = NETWORKS[name]
    side = network.image.side
    scores = jnp.asarray(image(f"clip/{name}/scores", (2, 1, 1, network.image.features)))

    def weighted(pixels, tokens):
        seen, read, scale = network.apply(variables(name), pixels, tokens)
        return (seen * scores[:, 0, 0]).sum(), (seen, read, scale)

    pixels = jnp.asarray(2 * image(f"clip/{name}", (2, side, side, 3)))
    tokens = jnp.asarray(GOLDEN[f"{name}/tokens"], jnp.int32)
    gradient, (seen, read, scale) = jax.jit(jax.grad(weighted, has_aux=True))(pixels, tokens)
    assert worst(seen, GOLDEN[f"{name}/pictures"]) <= 1e-4
    assert worst(read, GOLDEN[f"{name}/captions"]) <= 1e-4
    assert worst(gradient, GOLDEN[f"{name}/gradient"]) <= 1e-4
    unit = lambda x: x / jnp.linalg.norm(x, axis=-1, keepdims=True)  # noqa: E731
    assert worst(scale * unit(seen) @ unit(read).T, GOLDEN[f"{name}/logits"]) <= 1e-4


def test_openais_names_give_the_same_variables():
    network, tensors = NETWORKS["small"], openai_tensors("small")
    mine = convert(tensors, clip_openai_keys(network), expected(network), "openai")
    jax.tree.map(np.testing.assert_array_equal, mine, variables("small"))
    half = {key: tensor.astype(np.float16) for key, tensor in tensors.items()}
    mine = convert(half, clip_openai_keys(network), expected(network), "openai")
    assert {leaf.dtype for leaf in jax.tree.leaves(mine)} == {np.dtype(np.float32)}


def test_the_published_size():
    network = Clip()
    shapes = expected(network)
    assert count(shapes) == 151_277_313
    picture = shapes["params"]["image"]
    assert sum(leaf.size for leaf in jax.tree.leaves(picture)) == 87_849_216
    for keys, tensors in ((clip_openai_keys(network), 302), (clip_hf_keys(network), 302)):
        assert sum(target is not None for target in keys.values()) == tensors
        assert {t.path for t in keys.values() if t} == set(paths(shapes))


def test_the_published_size_of_the_finer_one():
    row = loading.find("clip_vit_b16")
    shapes = expected(row.network())
    assert count(shapes) == 149_620_737
    keys = row.keys()
    assert {t.path for t in keys.values() if t} == set(paths(shapes))
    assert shapes["params"]["image"]["positions"].shape == (14 * 14 + 1, 768)


def paths(tree):
    return [
        tuple(part.key for part in path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)
    ]


def test_one_tower_alone_and_bfloat16():
    network = NETWORKS["small"]
    tokens = jnp.asarray(GOLDEN["small/tokens"], jnp.int32)
    read = network.apply(variables("small"), tokens, method="captions")
    assert worst(read, GOLDEN["small/captions"]) <= 1e-4
    low = Clip(network.image, network.text.clone(dtype=jnp.bfloat16))
    rough = low.apply(variables("small"), tokens, method="captions")
    assert rough.dtype == jnp.float32 and 0 < worst(rough, read) < 0.1


def test_what_follows_the_end_does_not_matter():
    network = NETWORKS["small"]
    tokens = GOLDEN["small/tokens"].astype(np.int32)
    other = tokens.copy()
    other[1, 5:] = 7
    apply = functools.partial(network.apply, variables("small"), method="captions")
    np.testing.assert_allclose(apply(jnp.asarray(tokens)), apply(jnp.asarray(other)), atol=1e-6)


def test_wrong_sizes_and_a_half_attention_are_named():
    network = NETWORKS["small"]
    with pytest.raises(ValueError, match="expected 32 squared"):
        network.apply(variables("small"), jnp.zeros((1, 48, 48, 3)), method="pictures")
    with pytest.raises(ValueError, match="expected 12"):
        network.apply(variables("small"), jnp.zeros((1, 9), jnp.int32), method="captions")
    short = dict(hf_tensors("small"))
    del short["text_model.encoder.layers.1.self_attn.k_proj.bias"]
    with pytest.raises(UserError, match=r"layers\.1\.self_attn"):
        convert(fuse_attention(short), clip_hf_keys(network), expected(network), "short")


def standardised(pictures):
    mean = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
    deviation = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
    return ((pictures + 1) / 2 - mean) / deviation


def test_pixels_are_those_of_pytorch():
    x = jnp.asarray(image("clip/resize", (1, 45, 64, 3)))
    for resize in ("bicubic", "nearest"):
        theirs = standardised(np.clip(GOLDEN[f"resize/{resize}"], -1, 1))
        assert worst(clip_pixels(x, 24, resize), theirs) <= 2e-4


@pytest.mark.parametrize("size", [(50, 90), (91, 40), (33, 33)])
def test_pixels_are_those_of_pillow_within_its_rounding(size):
    picture = np.round((image("clip/pillow", (1, *size, 3)) + 1) * 127.5).astype(np.uint8)
    short = min(size)
    height, width = (int(32 * n / short) for n in size)
    resized = Image.fromarray(picture[0]).resize((width, height), Image.Resampling.BICUBIC)
    top, left = round((height - 32) / 2.0), round((width - 32) / 2.0)
    theirs = np.asarray(resized, np.float32)[top : top + 32, left : left + 32] / 127.5 - 1
    ours = clip_pixels(jnp.asarray(picture, jnp.float32) / 127.5 - 1, 32)[0]
    levels = np.abs(ours - standardised(theirs)) * 0.27 * 255  # 0.27: CLIP's deviations
    assert levels.max() < 2 and levels.mean() < 0.5


def test_grey_pixels_and_their_gradient():
    grey = jnp.asarray(image("clip/grey", (1, 40, 40, 1)))
    three = jnp.repeat(grey, 3, axis=-1)
    np.testing.assert_allclose(clip_pixels(grey, 24), clip_pixels(three, 24), atol=1e-6)
    gradient = jax.grad(lambda x, resize: clip_pixels(x, 32, resize).sum())
    reached = lambda x, resize: float((gradient(x, resize) != 0).mean())  # noqa: E731
    assert reached(grey / 2, "bicubic") == reached(jnp.ones_like(grey), "bicubic") == 1
    assert reached(grey / 2, "nearest") < 0.7
