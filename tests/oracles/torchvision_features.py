"""Golden outputs and input gradients of torchvision's VGG, AlexNet and SqueezeNet features.

Run with torch 2.13 (CPU) and torchvision 0.28: python tests/oracles/torchvision_features.py
Writes tests/golden/torchvision_features.npz. Weights and pictures come from weights.py, so the
file holds only what comes out: every feature map thinned to some 500 numbers, its mean, and the
gradient of a weighted sum with respect to the picture.
"""

import pathlib

import numpy as np
import torch
import weights
from torchvision_shim import torchvision

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "torchvision_features.npz"
#: Network, its picture sizes, what to return (index of the layer in ``features``), what gets a
#: gradient.
CASES = {
    "vgg19": {
        "sizes": ((32, 48), (48, 34)),
        "taps": {"relu1_1": 1, "relu2_1": 6, "relu3_1": 11, "relu4_1": 20, "relu5_1": 29},
        "gradient": "relu5_1",
    },
    "vgg16": {
        "sizes": ((32, 48),),
        "taps": {"relu1_2": 3, "relu2_2": 8, "relu3_3": 15, "relu4_3": 22, "relu5_3": 29},
        "gradient": "relu5_3",
    },
    "alexnet": {
        "sizes": ((63, 80), (96, 71)),
        "taps": {"relu1": 1, "relu2": 4, "relu3": 7, "relu4": 9, "relu5": 11},
        "gradient": "relu5",
    },
    "squeezenet1_1": {
        "sizes": ((64, 79), (95, 70)),
        "taps": {"conv1": 1, "fire3": 4, "fire5": 7, "fire6": 9, "fire8": 11, "fire9": 12},
        "gradient": "fire9",
    },
}


def thin(x):
    """About 500 of the numbers of an array, evenly spaced."""
    flat = np.asarray(x).ravel()
    return flat[:: max(1, flat.size // 500)]


def network(name):
    """The features of a torchvision network, filled by rule, and the shapes of all its tensors."""
    with torch.device("meta"):
        whole = getattr(torchvision.models, name)(weights=None)
    features = whole.features.to_empty(device="cpu").eval()
    shapes = {key: tuple(value.shape) for key, value in whole.state_dict().items()}
    mine = {k: v for k, v in shapes.items() if k.startswith("features.")}
    state = {
        k.removeprefix("features."): torch.from_numpy(v) for k, v in weights.fill(mine).items()
    }
    features.load_state_dict(state)
    return features, shapes


def main():
    torch.set_num_threads(1)
    golden = {}
    for name, case in CASES.items():
        features, shapes = network(name)
        golden[f"{name}/parameters"] = np.int64(sum(np.prod(s) for s in shapes.values()))
        golden[f"{name}/keys"] = np.array(list(shapes))
        golden[f"{name}/shapes"] = np.array([",".join(map(str, s)) for s in shapes.values()])
        for height, width in case["sizes"]:
            key = f"{name}/{height}x{width}"
            picture = weights.image(key, (1, height, width, 3))
            x = torch.from_numpy(picture.transpose(0, 3, 1, 2)).requires_grad_()
            y, taps, names = x, {}, {i: tap for tap, i in case["taps"].items()}
            for i, layer in enumerate(features[: max(names) + 1]):
                layer.inplace = False
                y = layer(y)
                if i in names:
                    taps[names[i]] = y
            for tap, value in taps.items():
                nhwc = value.detach().numpy().transpose(0, 2, 3, 1)
                golden[f"{key}/{tap}/thin"] = thin(nhwc)
                golden[f"{key}/{tap}/mean"] = np.float32(nhwc.mean(dtype=np.float64))
                golden[f"{key}/{tap}/shape"] = np.array(nhwc.shape)
            last = taps[case["gradient"]]
            vector = weights.image(f"{key}/vector", (1, 1, 1, last.shape[1]))[0, 0, 0]
            (last.mean((0, 2, 3)) * torch.from_numpy(vector)).sum().backward()
            golden[f"{key}/gradient"] = x.grad.numpy().transpose(0, 2, 3, 1)[:, ::2, ::3]
    np.savez_compressed(GOLDEN, **golden)
    print(GOLDEN, GOLDEN.stat().st_size)


if __name__ == "__main__":
    main()
