"""Writes tests/golden/inception.npz: pytorch-fid's and torchvision's Inception-v3.

    python tests/oracles/inception.py

Both networks are filled by `weights.fill` and run on `weights.image`. Each entry is named
``<variant>/<side>/<layer>``; of maps, their channel means and a few of their elements;
``<variant>/<side>/gradient`` is that of sum(output * probe) with respect to the picture, every
fourth pixel of it.
"""

import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from torchvision_shim import torchvision
from weights import fill, image

torch.set_num_threads(1)
GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "inception.npz"
#: Of the smallest, the last maps are 1x1, where a max and a mean are one.
SIDES = (75, 128)
TAPS = {
    "fid": ("maxpool1", "maxpool2", "Mixed_6b", "Mixed_6e", "avgpool", "fc"),
    "torchvision": ("Mixed_6b", "avgpool", "fc"),
}
#: The layer whose output the gradient is of.
GRADIENT = {"fid": "avgpool", "torchvision": "Mixed_6b"}


def summary(value):
    """A vector whole; of a map (b, h, w, c) the means over space and every 16th channel."""
    if value.ndim == 2:
        return value
    return np.concatenate([value.mean((1, 2)), value[:, ::3, ::3, ::16].reshape(len(value), -1)], 1)


def probe(shape):
    """The fixed vector with which outputs are multiplied."""
    return np.random.default_rng(7).standard_normal(shape).astype(np.float32)


def fid():
    from pytorch_fid import inception as theirs

    net = theirs._inception_v3(num_classes=1008, aux_logits=False, weights=None)
    net.Mixed_5b = theirs.FIDInceptionA(192, pool_features=32)
    net.Mixed_5c = theirs.FIDInceptionA(256, pool_features=64)
    net.Mixed_5d = theirs.FIDInceptionA(288, pool_features=64)
    for name, inner in {"6b": 128, "6c": 160, "6d": 160, "6e": 192}.items():
        setattr(net, f"Mixed_{name}", theirs.FIDInceptionC(768, channels_7x7=inner))
    net.Mixed_7b = theirs.FIDInceptionE_1(1280)
    net.Mixed_7c = theirs.FIDInceptionE_2(2048)
    return net


def networks():
    plain = torchvision.models.inception_v3(weights=None, init_weights=False, aux_logits=True)
    return {"fid": fid(), "torchvision": plain}


def outputs(net, x, taps):
    found = {}
    hooks = [
        getattr(net, tap).register_forward_hook(lambda m, i, o, tap=tap: found.update({tap: o}))
        for tap in taps
    ]
    net(x)
    for hook in hooks:
        hook.remove()
    return found


def nhwc(tensor):
    array = tensor.detach().numpy()
    if array.ndim < 4:
        return array
    array = array.transpose(0, 2, 3, 1)
    return array[:, 0, 0] if array.shape[1:3] == (1, 1) else array


def gradient(value, x):
    direction = np.moveaxis(probe(tuple(value.movedim(1, -1).shape)), -1, 1)
    total = (value * torch.tensor(direction.copy())).sum()
    return nhwc(torch.autograd.grad(total, x)[0])[:, ::4, ::4]


def main():
    golden = {}
    for variant, net in networks().items():
        shapes = {key: tuple(v.shape) for key, v in net.state_dict().items()}
        net.load_state_dict({k: torch.as_tensor(v) for k, v in fill(shapes).items()})
        net.eval()
        golden[f"{variant}/parameters"] = sum(
            v.numel() for k, v in net.named_parameters() if "AuxLogits" not in k
        )
        golden[f"{variant}/keys"] = np.array(sorted(shapes))
        golden[f"{variant}/shapes"] = np.array(
            [",".join(map(str, shapes[k])) for k in sorted(shapes)]
        )
        for side in SIDES:
            pixels = image(f"inception {side}", (1, side, side + 9, 3)).transpose(0, 3, 1, 2)
            x = torch.tensor(pixels.copy(), requires_grad=True)
            found = outputs(net, x, TAPS[variant])
            golden |= {f"{variant}/{side}/{tap}": summary(nhwc(v)) for tap, v in found.items()}
            golden[f"{variant}/{side}/gradient"] = gradient(found[GRADIENT[variant]], x)
    levels = np.random.default_rng(3).integers(0, 256, (1, 40, 517, 3)).astype(np.uint8)
    small = torch.tensor(levels.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    resized = 2 * F.interpolate(small, (299, 299), mode="bilinear", align_corners=False) - 1
    golden["resized"] = nhwc(resized)[:, ::13, ::13]
    np.savez_compressed(GOLDEN, **golden)
    print(f"{GOLDEN}: {GOLDEN.stat().st_size} bytes")


if __name__ == "__main__":
    main()
