"""Where the tensors of depth_anything_v2_vits.pth go (github.com/DepthAnything/Depth-Anything-V2).

``pretrained.*`` is the DINOv2 transformer, ``depth_head.*`` the rest. The file also holds a mask
token and one residual unit (refinenet4.resConfUnit1) that inference does not use.
"""

import numpy as np

from segsynth.pretrained.convert import KeyMap, Target
from segsynth.pretrained.depth_anything import DepthAnything

_BACKBONE = ("params", "backbone")


def depth_anything_keys(network: DepthAnything) -> KeyMap:
    """Return the map of the published state dict to the variables of ``network``."""
    keys = _transformer(network.backbone.layers)
    for i in range(4):
        keys |= _layer(f"depth_head.projects.{i}", ("params", f"project_{i}"), "conv")
        if i != 2:
            # Transposed convolutions are (in, out, h, w): the same change of axes.
            keys |= _layer(f"depth_head.resize_layers.{i}", ("params", f"resize_{i}"), "conv")
        lateral = Target(("params", f"lateral_{i}", "kernel"), "conv")
        keys[f"depth_head.scratch.layer{i + 1}_rn.weight"] = lateral
        keys |= _fusion(i)
    for key, name in {"1": "head_0", "2.0": "head_1", "2.2": "head_2"}.items():
        keys |= _layer(f"depth_head.scratch.output_conv{key}", ("params", name), "conv")
    return keys


def _transformer(layers: int) -> dict[str, Target | None]:
    keys: dict[str, Target | None] = {
        "pretrained.cls_token": Target((*_BACKBONE, "class_token"), _flat),
        "pretrained.pos_embed": Target((*_BACKBONE, "positions"), _rows),
        "pretrained.mask_token": None,
        **_layer("pretrained.patch_embed.proj", (*_BACKBONE, "patches"), "conv"),
        **_norm("pretrained.norm", (*_BACKBONE, "norm")),
    }
    for i in range(layers):
        block, path = f"pretrained.blocks.{i}", (*_BACKBONE, f"block_{i}")
        keys |= {
            **_norm(f"{block}.norm1", (*path, "norm_1")),
            **_layer(f"{block}.attn.qkv", (*path, "qkv"), "linear"),
            **_layer(f"{block}.attn.proj", (*path, "out"), "linear"),
            f"{block}.ls1.gamma": Target((*path, "scale_1")),
            **_norm(f"{block}.norm2", (*path, "norm_2")),
            **_layer(f"{block}.mlp.fc1", (*path, "hidden"), "linear"),
            **_layer(f"{block}.mlp.fc2", (*path, "mlp_out"), "linear"),
            f"{block}.ls2.gamma": Target((*path, "scale_2")),
        }
    return keys


def _fusion(i: int) -> dict[str, Target | None]:
    block = f"depth_head.scratch.refinenet{i + 1}"
    keys: dict[str, Target | None] = dict(
        _layer(f"{block}.out_conv", ("params", f"fuse_{i}_out"), "conv")
    )
    for unit, name in {"resConfUnit1": f"fuse_{i}_lateral", "resConfUnit2": f"fuse_{i}"}.items():
        for conv in range(2):
            layer = _layer(
                f"{block}.{unit}.conv{conv + 1}", ("params", f"{name}_conv_{conv}"), "conv"
            )
            keys |= dict.fromkeys(layer) if (i, unit) == (3, "resConfUnit1") else layer
    return keys


def _layer(key: str, path: tuple[str, ...], layout: str) -> dict[str, Target]:
    return {
        f"{key}.weight": Target((*path, "kernel"), layout),
        f"{key}.bias": Target((*path, "bias")),
    }


def _norm(key: str, path: tuple[str, ...]) -> dict[str, Target]:
    return {f"{key}.weight": Target((*path, "scale")), f"{key}.bias": Target((*path, "bias"))}


def _flat(tensor: np.ndarray) -> np.ndarray:
    return tensor.reshape(-1)


def _rows(tensor: np.ndarray) -> np.ndarray:
    return tensor.reshape(-1, tensor.shape[-1])
