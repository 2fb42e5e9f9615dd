"""Writes tests/golden/structural.npz: structural similarity and PSNR of scikit-image.

    python tests/oracles/structural.py

Pictures are uint8 pairs by name; ``<name>/ssim`` is the mean over the windows inside the picture,
``<name>/map`` the similarity at their centres, ``<name>/psnr`` in dB; all in float64 on [0, 1].
"""

import pathlib

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "structural.npz"
MARGIN = 5


def pairs(rng):
    """Pictures that are alike, unlike, almost flat and bright, and one against its negative."""
    y, x = np.mgrid[0:30, 0:37]
    waves = 128 + 90 * np.sin(x[..., None] / [2, 3, 5] + y[..., None] / [4, 3, 2])
    noise = rng.standard_normal((30, 37, 3))
    flat = np.full((30, 37, 3), 250.0)
    return {
        "alike": (waves, waves + 12 * noise),
        "unlike": (waves, 255 * rng.random((30, 37, 3))),
        "flat": (flat, flat + noise),
        "negative": (waves, 255 - waves),
    }


def main():
    golden = {}
    for name, pair in pairs(np.random.default_rng(0)).items():
        x, y = (np.clip(np.round(z), 0, 255).astype(np.uint8) for z in pair)
        a, b = x / 255.0, y / 255.0
        _, full = structural_similarity(
            a,
            b,
            data_range=1,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        inside = full[MARGIN:-MARGIN, MARGIN:-MARGIN]
        golden |= {f"{name}/x": x, f"{name}/y": y, f"{name}/ssim": inside.mean()}
        golden |= {
            f"{name}/map": inside,
            f"{name}/psnr": peak_signal_noise_ratio(a, b, data_range=1),
        }
    np.savez_compressed(GOLDEN, **golden)
    print({k: float(v) for k, v in golden.items() if np.ndim(v) == 0})
    print(f"{GOLDEN}: {GOLDEN.stat().st_size} bytes")


if __name__ == "__main__":
    main()
