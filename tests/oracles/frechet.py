"""Writes tests/golden/frechet.npz: Fréchet and kernel distances of pytorch-fid and torchmetrics.

    python tests/oracles/frechet.py

Entries: ``<case>/real`` and ``<case>/fake``, features; ``<case>/frechet``, pytorch-fid on their
means and covariances; ``<case>/kernel``, torchmetrics' estimate on all of them; ``toy/...``,
pictures, the weights of a network of one layer, and torchmetrics' FrechetInceptionDistance with it.
"""

import pathlib

import numpy as np
import torch
from torchvision_shim import torchvision  # noqa: F401  (pytorch-fid imports torchvision)

torch.set_num_threads(1)
GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "frechet.npz"
#: Case -> examples, features. In the last there are fewer examples than features.
CASES = {"wide": (200, 8), "deep": (60, 24), "singular": (20, 32)}


class Toy(torch.nn.Module):
    """A dense layer on the pixels in [0, 1], rectified."""

    num_features = 12

    def __init__(self, weight):
        super().__init__()
        self.weight = torch.tensor(weight)

    def forward(self, pictures):
        return torch.relu((pictures.float() / 255).flatten(1) @ self.weight)


def toy(rng):
    from torchmetrics.image.fid import FrechetInceptionDistance

    real = rng.integers(0, 256, (40, 3, 8, 8)).astype(np.uint8)
    fake = (0.8 * rng.integers(0, 256, (40, 3, 8, 8)) + 30).astype(np.uint8)
    weight = (rng.standard_normal((192, 12)) / 4).astype(np.float32)
    metric = FrechetInceptionDistance(Toy(weight), input_img_size=(3, 8, 8))
    for start in range(0, 40, 8):
        metric.update(torch.tensor(real[start : start + 8]), real=True)
        metric.update(torch.tensor(fake[start : start + 8]), real=False)
    return {"real": real, "fake": fake, "weight": weight, "frechet": float(metric.compute())}


def main():
    from pytorch_fid.fid_score import calculate_frechet_distance
    from torchmetrics.image.kid import poly_mmd

    rng = np.random.default_rng(0)
    golden = {}
    for case, (count, width) in CASES.items():
        mixed = rng.standard_normal((width, width)) / np.sqrt(width)
        real = rng.standard_normal((count, width)) @ mixed
        fake = 1.2 * rng.standard_normal((count, width)) + 0.3
        real, fake = (np.maximum(x, -0.5).astype(np.float32) for x in (real, fake))
        moments = [
            (x.mean(0), np.cov(x, rowvar=False)) for x in (np.float64(real), np.float64(fake))
        ]
        golden |= {
            f"{case}/real": real,
            f"{case}/fake": fake,
            f"{case}/frechet": calculate_frechet_distance(*moments[0], *moments[1]),
            f"{case}/kernel": float(poly_mmd_of(poly_mmd, real, fake)),
        }
    golden |= {f"toy/{key}": value for key, value in toy(rng).items()}
    np.savez_compressed(GOLDEN, **golden)
    print({k: float(v) for k, v in golden.items() if np.ndim(v) == 0})
    print(f"{GOLDEN}: {GOLDEN.stat().st_size} bytes")


def poly_mmd_of(poly_mmd, real, fake):
    return poly_mmd(torch.tensor(real).double(), torch.tensor(fake).double())


if __name__ == "__main__":
    main()
