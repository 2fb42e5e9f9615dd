"""Writes tests/golden/paired_fooling.npz: scikit-learn's LinearSVC on features of pairs.

    python tests/oracles/paired_fooling.py

``<case>/real`` and ``<case>/fake`` are features, ``<case>/weights`` and ``<case>/intercept`` the
solution, ``<case>/p_ids`` and ``<case>/u_ids`` the rates as CoModGAN defines them.
"""

import pathlib

import numpy as np
from sklearn.svm import LinearSVC

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "paired_fooling.npz"
#: Case -> pairs, features, shift of the made ones. The last can be told apart without an error.
CASES = {"hard": (300, 12, 0.05), "likely": (200, 20, 0.2), "separable": (30, 40, 0.3)}


def main():
    rng = np.random.default_rng(0)
    golden = {}
    for case, (count, width, shift) in CASES.items():
        scene = rng.standard_normal((count, width))
        real, fake = (
            np.abs(scene + 0.5 * rng.standard_normal((count, width)) + s).astype(np.float32)
            for s in (0, shift)
        )
        svm = LinearSVC(dual=True, tol=1e-4, max_iter=100_000, random_state=0)
        labels = np.repeat([1, 0], count)
        both = np.concatenate([real, fake]).astype(np.float64)
        svm.fit(both, labels)
        decisions = svm.decision_function(both)
        golden |= {
            f"{case}/real": real,
            f"{case}/fake": fake,
            f"{case}/weights": svm.coef_[0],
            f"{case}/intercept": svm.intercept_[0],
            f"{case}/decisions": decisions,
            f"{case}/p_ids": (decisions[count:] > decisions[:count]).mean(),
            f"{case}/u_ids": 1 - svm.score(both, labels),
        }
    np.savez_compressed(GOLDEN, **golden)
    print({k: float(v) for k, v in golden.items() if np.ndim(v) == 0})
    print(f"{GOLDEN}: {GOLDEN.stat().st_size} bytes")


if __name__ == "__main__":
    main()
