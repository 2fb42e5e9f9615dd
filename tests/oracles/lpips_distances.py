"""Golden distances and gradients of the package lpips 0.1.4, with its own v0.1 heads.

Run with torch 2.13 (CPU), torchvision 0.28 and lpips: python tests/oracles/lpips_distances.py
Writes tests/golden/lpips.npz. The backbones are filled by weights.py; the heads are the published
ones. Distances are computed in float64.
"""

import pathlib

import numpy as np
import torch
import weights
from torchvision_shim import torchvision  # noqa: F401  lpips imports it

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "lpips.npz"
SIZES = ((63, 80), (72, 64))
_FEATURES = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}


def pictures(net, size):
    """Two pairs, one near and one far, (2, h, w, 3) each; and the vector that weighs them."""
    x = weights.image(f"lpips/{net}/{size}", (2, *size, 3))
    y = weights.image(f"lpips/{net}/{size}/other", (2, *size, 3))
    y[0] = np.clip(0.8 * x[0] + 0.2 * y[0], -1, 1)
    return x, y, np.array([1.0, -0.5], np.float32)


def filled(net):
    """The distance with a backbone filled by rule; keys are those of torchvision's features."""
    import lpips  # after the shim

    model = lpips.LPIPS(net=net, pnet_rand=True, verbose=False).eval()
    slices = {k: tuple(v.shape) for k, v in model.net.state_dict().items()}
    # lpips cuts the features into slices and keeps the indices: slice2.3.bias is features.3.bias
    named = {key: f"features.{key.split('.', 1)[1]}" for key in slices}
    values = weights.fill({named[key]: shape for key, shape in slices.items()})
    model.net.load_state_dict({k: torch.from_numpy(values[named[k]]) for k in slices})
    return model.double()


def main():
    torch.set_num_threads(1)
    golden = {}
    for net in _FEATURES:
        model = filled(net)
        for i, lin in enumerate(model.lins):
            golden[f"{net}/lin{i}.model.1.weight"] = lin.model[1].weight.detach().float().numpy()
        for size in SIZES:
            x, y, vector = pictures(net, size)
            x, y = (torch.from_numpy(v.transpose(0, 3, 1, 2)).double() for v in (x, y))
            x.requires_grad_()
            distance = model(x, y).flatten()
            (distance * torch.from_numpy(vector)).sum().backward()
            key = f"{net}/{size[0]}x{size[1]}"
            golden[f"{key}/distance"] = distance.detach().numpy()
            gradient = x.grad.numpy().transpose(0, 2, 3, 1)
            golden[f"{key}/gradient"] = gradient[:, ::5, ::5].astype(np.float32)
            print(key, golden[f"{key}/distance"], abs(gradient).max(), np.isnan(gradient).sum())
    np.savez_compressed(GOLDEN, **golden)
    print(GOLDEN, GOLDEN.stat().st_size)


if __name__ == "__main__":
    main()
