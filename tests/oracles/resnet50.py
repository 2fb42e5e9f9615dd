"""Writes tests/golden/resnet50.npz: torchvision's ResNet50 filled by `weights.fill`.

python tests/oracles/resnet50.py
"""

import pathlib

import numpy as np
import torch
from torchvision_shim import torchvision
from weights import fill, image

torch.set_num_threads(1)
GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "resnet50.npz"
SIDES = (64, 97)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main():
    net = torchvision.models.resnet50(weights=None).eval()
    shapes = {key: tuple(v.shape) for key, v in net.state_dict().items()}
    net.load_state_dict({k: torch.as_tensor(v) for k, v in fill(shapes).items()})
    golden = {
        "parameters": sum(v.numel() for v in net.parameters()),
        "keys": np.array(sorted(shapes)),
        "shapes": np.array([",".join(map(str, shapes[k])) for k in sorted(shapes)]),
    }
    for side in SIDES:
        found = {}
        for name in ("layer1", "layer2", "layer3", "layer4", "avgpool"):
            getattr(net, name).register_forward_hook(
                lambda m, i, o, name=name, found=found: found.update({name: o})
            )
        pixels = (image(f"resnet {side}", (2, side, side - 10, 3)) + 1) / 2
        pixels = (pixels - np.float32(MEAN)) / np.float32(DEVIATION)
        with torch.no_grad():
            logits = net(torch.tensor(pixels.transpose(0, 3, 1, 2).copy()))
        for stage in ("layer1", "layer2", "layer3", "layer4"):
            value = found[stage].numpy().transpose(0, 2, 3, 1)
            golden[f"{side}/{stage}/shape"] = np.array(value.shape)
            golden[f"{side}/{stage}"] = value[:, ::2, ::2, ::32]
        golden[f"{side}/pool"] = found["avgpool"].numpy()[:, :, 0, 0]
        golden[f"{side}/logits"] = logits.numpy()
    np.savez_compressed(GOLDEN, **golden)
    print(f"{GOLDEN}: {GOLDEN.stat().st_size} bytes")


if __name__ == "__main__":
    main()
