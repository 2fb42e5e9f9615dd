"""Where the tensors of a published SPADE generator go (github.com/NVlabs/SPADE, latest_net_G.pth).

The published generators have width 64, batch norm and "more" (Cityscapes: 36 label channels, 256 x
512) or "normal" (COCO: 184 channels, ADE20K: 151; 256 x 256). Cityscapes' channels are 35 labels
and the map of instance edges; COCO's 182 labels, "unknown" and edges; ADE20K's 150 labels and
"unknown", without edges (data/*_dataset.py there: label_nc, contain_dontcare_label, no_instance).

Their spectral norm stores both singular vectors, as `SpectralConv` does: the effective kernel is
``weight_orig / (u^T W v)`` with exactly the stored u and v.
"""

import numpy as np

from segsynth.networks.spade import SpadeGenerator, block_plan
from segsynth.pretrained.convert import KeyMap, Target

_BLOCKS = {"middle_0": "G_middle_0", "middle_1": "G_middle_1"}


def spade_keys(generator: SpadeGenerator) -> KeyMap:
    """Return the map of a published state dict to the variables of ``generator``."""
    keys = _conv("fc", ("start",)) | _conv("conv_img", ("last",))
    channels = 16 * generator.width
    for name, features, _ in block_plan(generator.width, generator.upsampling):
        block = _BLOCKS.get(name, name)
        keys |= _block(block, name, channels, features, generator.norm == "batch")
        channels = features
    return keys


def _block(
    block: str, name: str, channels: int, features: int, batch_norm: bool
) -> dict[str, Target | None]:
    middle = min(channels, features)
    layers = {"0": channels, "1": middle} | ({"s": channels} if channels != features else {})
    keys: dict[str, Target | None] = {}
    for layer, inputs in layers.items():
        conv, path = f"{block}.conv_{layer}", (name, f"conv_{layer}")
        keys |= _spectral(conv, path, inputs, bias=layer != "s")
        norm, path = f"{block}.norm_{layer}", (name, f"norm_{layer}")
        keys |= _conv(f"{norm}.mlp_shared.0", (*path, "shared"))
        keys |= _conv(f"{norm}.mlp_gamma", (*path, "gamma"))
        keys |= _conv(f"{norm}.mlp_beta", (*path, "beta"))
        if batch_norm:
            keys |= _statistics(f"{norm}.param_free_norm", (*path, "norm"))
    return keys


def _conv(key: str, path: tuple[str, ...]) -> dict[str, Target | None]:
    return {
        f"{key}.weight": Target(("params", *path, "kernel"), "conv"),
        f"{key}.bias": Target(("params", *path, "bias")),
    }


def _spectral(key: str, path: tuple[str, ...], inputs: int, bias: bool) -> dict[str, Target | None]:
    def channels_last(v: np.ndarray) -> np.ndarray:
        """From (inputs, height, width) flattened to (height, width, inputs) flattened."""
        return v.reshape(inputs, -1).T.reshape(-1) if v.size % inputs == 0 else v

    keys: dict[str, Target | None] = {
        f"{key}.weight_orig": Target(("params", *path, "kernel"), "conv"),
        f"{key}.weight_u": Target(("batch_stats", *path, "u")),
        f"{key}.weight_v": Target(("batch_stats", *path, "v"), channels_last),
    }
    if bias:
        keys[f"{key}.bias"] = Target(("params", *path, "bias"))
    return keys


def _statistics(key: str, path: tuple[str, ...]) -> dict[str, Target | None]:
    return {
        f"{key}.running_mean": Target(("batch_stats", *path, "mean")),
        f"{key}.running_var": Target(("batch_stats", *path, "var")),
        f"{key}.num_batches_tracked": None,
    }
