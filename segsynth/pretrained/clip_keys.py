"""Where the tensors of published CLIP weights go: OpenAI's archive, and Hugging Face's copy.

OpenAI's file (github.com/openai/CLIP, ViT-B-32.pt) is a TorchScript archive in half precision that
holds queries, keys and values of a layer in one matrix, as `TransformerBlock` does. Hugging Face's
(openai/clip-vit-base-patch32) holds three; `fuse_attention` puts them together first.
"""

from collections.abc import Mapping

import numpy as np

from segsynth.pretrained.clip import Clip
from segsynth.pretrained.convert import KeyMap, Target

_TOWERS = {"image": "visual.transformer", "text": "transformer"}
_HF_TOWERS = {"image": "vision_model", "text": "text_model"}
#: Numbers of the archive that are no weights.
_OPENAI_CONSTANTS = ("input_resolution", "context_length", "vocab_size")
_HF_CONSTANTS = tuple(f"{tower}.embeddings.position_ids" for tower in _HF_TOWERS.values())


def clip_openai_keys(network: Clip) -> KeyMap:
    """Return the map of OpenAI's state dict to the variables of ``network``."""
    picture, caption = ("params", "image"), ("params", "text")
    keys: dict[str, Target | None] = {
        "visual.conv1.weight": Target((*picture, "patches", "kernel"), "conv"),
        "visual.class_embedding": Target((*picture, "class_token")),
        "visual.positional_embedding": Target((*picture, "positions")),
        **_norm("visual.ln_pre", (*picture, "norm_before")),
        **_norm("visual.ln_post", (*picture, "norm_after")),
        "visual.proj": Target((*picture, "projection", "kernel")),
        "token_embedding.weight": Target((*caption, "tokens", "embedding")),
        "positional_embedding": Target((*caption, "positions")),
        **_norm("ln_final", (*caption, "norm_after")),
        "text_projection": Target((*caption, "projection", "kernel")),
        "logit_scale": Target(("params", "logit_scale")),
        **dict.fromkeys(_OPENAI_CONSTANTS),
    }
    for tower, layers in _layers(network).items():
        for i in range(layers):
            block, path = f"{_TOWERS[tower]}.resblocks.{i}", ("params", tower, f"block_{i}")
            keys |= {
                f"{block}.attn.in_proj_weight": Target((*path, "qkv", "kernel"), "linear"),
                f"{block}.attn.in_proj_bias": Target((*path, "qkv", "bias")),
                **_dense(f"{block}.attn.out_proj", (*path, "out")),
                **_norm(f"{block}.ln_1", (*path, "norm_1")),
                **_norm(f"{block}.ln_2", (*path, "norm_2")),
                **_dense(f"{block}.mlp.c_fc", (*path, "hidden")),
                **_dense(f"{block}.mlp.c_proj", (*path, "mlp_out")),
            }
    return keys


def clip_hf_keys(network: Clip) -> KeyMap:
    """Return the map of Hugging Face's state dict after `fuse_attention`."""
    picture, caption = ("params", "image"), ("params", "text")
    vision, text = "vision_model.embeddings", "text_model.embeddings"
    keys: dict[str, Target | None] = {
        f"{vision}.patch_embedding.weight": Target((*picture, "patches", "kernel"), "conv"),
        f"{vision}.class_embedding": Target((*picture, "class_token")),
        f"{vision}.position_embedding.weight": Target((*picture, "positions")),
        # Published with this spelling.
        **_norm("vision_model.pre_layrnorm", (*picture, "norm_before")),
        **_norm("vision_model.post_layernorm", (*picture, "norm_after")),
        "visual_projection.weight": Target((*picture, "projection", "kernel"), "linear"),
        f"{text}.token_embedding.weight": Target((*caption, "tokens", "embedding")),
        f"{text}.position_embedding.weight": Target((*caption, "positions")),
        **_norm("text_model.final_layer_norm", (*caption, "norm_after")),
        "text_projection.weight": Target((*caption, "projection", "kernel"), "linear"),
        "logit_scale": Target(("params", "logit_scale")),
        **dict.fromkeys(_HF_CONSTANTS),
    }
    for tower, layers in _layers(network).items():
        for i in range(layers):
            block, path = f"{_HF_TOWERS[tower]}.encoder.layers.{i}", ("params", tower, f"block_{i}")
            keys |= {
                **_dense(f"{block}.self_attn.qkv_proj", (*path, "qkv")),
                **_dense(f"{block}.self_attn.out_proj", (*path, "out")),
                **_norm(f"{block}.layer_norm1", (*path, "norm_1")),
                **_norm(f"{block}.layer_norm2", (*path, "norm_2")),
                **_dense(f"{block}.mlp.fc1", (*path, "hidden")),
                **_dense(f"{block}.mlp.fc2", (*path, "mlp_out")),
            }
    return keys


def fuse_attention(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Put ``*.q_proj``, ``*.k_proj`` and ``*.v_proj`` together as ``*.qkv_proj``, in this order.

    A projection without its two companions stays as it is, for `convert` to name.
    """
    fused = dict(tensors)
    for key in tensors:
        parts = [key.replace(".q_proj.", f".{letter}_proj.") for letter in "qkv"]
        if ".q_proj." in key and all(part in tensors for part in parts):
            fused[key.replace(".q_proj.", ".qkv_proj.")] = np.concatenate(
                [fused.pop(part) for part in parts]
            )
    return fused


def _layers(network: Clip) -> dict[str, int]:
    return {"image": network.image.layers, "text": network.text.layers}


def _norm(key: str, path: tuple[str, ...]) -> dict[str, Target]:
    return {f"{key}.weight": Target((*path, "scale")), f"{key}.bias": Target((*path, "bias"))}


def _dense(key: str, path: tuple[str, ...]) -> dict[str, Target]:
    return {
        f"{key}.weight": Target((*path, "kernel"), "linear"),
        f"{key}.bias": Target((*path, "bias")),
    }
