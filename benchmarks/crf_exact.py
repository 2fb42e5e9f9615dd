"""Agreement of every mode with the exact filter and with stored results of pydensecrf.

    python benchmarks/crf_exact.py --golden PATH/crf_pydensecrf/golden

Needs no pydensecrf: the folder holds an image of 120x90 with 11 classes, its unary and the
marginals that pydensecrf found after 5 updates. Widths 20 px and 13 levels, 3 px; weights 10 and 3;
symmetric normalisation. The exact filter sums over all pairs of pixels
(`segsynth.crf.exact.Exact`).
"""

import argparse
import pathlib

import numpy as np

from segsynth.crf import features
from segsynth.crf.exact import Exact
from segsynth.crf.inference import infer
from segsynth.crf.mean_field import mean_field
from segsynth.crf.parameters import Crf

MODES = ("full", "coarse_to_fine")


def exact(image: np.ndarray, unary: np.ndarray, crf: Crf) -> np.ndarray:
    """Marginals [H, W, C] of mean field with kernels over all pairs."""
    height, width = image.shape[:2]
    wide = features.bilateral(image, crf.appearance_xy, crf.appearance_rgb)
    near = features.positions(height, width, crf.smoothness_xy)
    kernels, weights = [Exact(wide), Exact(near)], [crf.appearance, crf.smoothness]
    found = mean_field(unary, kernels, weights, iters=crf.iterations, norm=crf.normalisation)
    return np.asarray(found)


def main() -> None:
    """Compare and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--golden", required=True, help="folder that holds small_symmetric.npz")
    stored = np.load(pathlib.Path(parser.parse_args().golden) / "small_symmetric.npz")
    image = stored["image"]
    unary, theirs = (
        stored[key].reshape(-1, *image.shape[:2]).transpose(1, 2, 0) for key in ("unary", "Q")
    )
    crf = Crf(10.0, 20.0, 13.0, 3.0, 3.0)
    best = exact(image, unary, crf)
    found = {"pydensecrf": theirs}
    found |= {mode: np.asarray(infer(image, unary, crf, mode=mode)) for mode in MODES}
    print("| | labels as exact % | labels as pydensecrf % | mean abs dQ to exact |")
    print("|---|---:|---:|---:|")
    for name, q in found.items():
        same = [100 * (q.argmax(-1) == other.argmax(-1)).mean() for other in (best, theirs)]
        print(f"| {name} | {same[0]:.2f} | {same[1]:.2f} | {abs(q - best).mean():.4f} |")


if __name__ == "__main__":
    main()
