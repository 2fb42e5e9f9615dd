"""Where the tensors of a published drawing generator go (informative-drawings, netG_A_latest.pth).

Chan et al., CVPR 2022, github.com/carolineec/informative-drawings. The published networks are
``ResnetGenerator(out_channels=1)``: width 64, three residual blocks; photo in [0, 1] in, drawing in
[0, 1] out, 1 = paper.
"""

from segsynth.pretrained.convert import KeyMap, Target


def informative_drawings_keys(blocks: int = 3) -> KeyMap:
    """Return the map of a state dict to the variables of a `ResnetGenerator`.

    Transposed convolutions are stored as (in, out, height, width); the same change of axes as for
    convolutions makes of them what `ResnetGenerator` holds.
    """
    layers = {"model0.1": "stem", "model1.0": "down_0", "model1.3": "down_1"}
    for i in range(blocks):
        layers |= {
            f"model2.{i}.conv_block.1": f"block_{i}_conv_0",
            f"model2.{i}.conv_block.5": f"block_{i}_conv_1",
        }
    layers |= {"model3.0": "up_0", "model3.3": "up_1", "model4.1": "head"}
    keys: dict[str, Target | None] = {}
    for key, name in layers.items():
        keys[f"{key}.weight"] = Target(("params", name, "kernel"), "conv")
        keys[f"{key}.bias"] = Target(("params", name, "bias"))
    return keys
