"""Rewrites the golden files: ``python tests/oracles [--check] [NAME ...]``; see README.md.

Each script runs in a process of its own, on a copy of this folder. With ``--check`` what it wrote
is compared with tests/golden and thrown away, else it replaces what lies there.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"
#: Imported by the others.
SHARED = ("__main__", "weights", "torchvision_shim")
#: Another machine rounds otherwise; relative to the largest number of an array.
_TOLERANCE = 1e-5
_MERGES = "weights_small/clip_bpe/bpe_simple_vocab_16e6.txt.gz"


def scripts():
    return {p.stem: p for p in sorted(HERE.glob("*.py")) if p.stem not in SHARED}


def arguments(name):
    """What a script is called with: clip.py wants CLIP's merges, of which we keep no copy."""
    root = os.environ.get("SEGSYNTH_TEST_DATA", HERE.parents[1] / ".." / "shared" / "data")
    merges = pathlib.Path(root, _MERGES).resolve()
    if name != "clip" or not merges.is_file():
        return []
    return [str(merges)]


def written(name, folder):
    """Run a copy of a script in ``folder``; return the files that it wrote."""
    shutil.copytree(HERE, folder / "oracles", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "golden").mkdir()
    command = [sys.executable, str(folder / "oracles" / f"{name}.py"), *arguments(name)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return sorted((folder / "golden").iterdir())


def difference(new, old):
    """Largest difference of two golden files, relative to the largest number of each array."""
    if new.suffix == ".json":
        return 0.0 if new.read_bytes() == old.read_bytes() else np.inf
    a, b = arrays(new), arrays(old)
    return max(_apart(a[key], b[key]) for key in a) if set(a) == set(b) else np.inf


def arrays(path):
    """The arrays of a golden file by name. The bytes of PyTorch's files are new each time."""
    if path.suffix == ".npz":
        with np.load(path) as file:
            return dict(file)
    import torch

    if "script" in path.stem:
        found = torch.jit.load(path).state_dict()
    else:
        found = torch.load(path, weights_only=True)
    return {k: t.double().numpy() for k, t in found.get("state_dict", found).items()}


def _apart(a, b):
    if a.shape != b.shape or a.dtype != b.dtype:
        return np.inf
    if a.dtype.kind not in "fc":
        return 0.0 if np.array_equal(a, b) else np.inf
    if not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return np.inf
    a, b = (x[np.isfinite(x)].astype(np.float64) for x in (a, b))
    return float(np.abs(a - b).max(initial=0) / max(np.abs(b).max(initial=0), 1e-30))


def run(name, check):
    """Return whether the golden files of a script are now those that it writes."""
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for new in written(name, pathlib.Path(folder)):
            old = GOLDEN / new.name
            apart = difference(new, old) if old.exists() else np.inf
            print(f"{name}: {new.name} differs by {apart:.1e}", flush=True)
            good &= apart <= _TOLERANCE
            if not check:
                shutil.copy(new, old)
    return good or not check


def main():
    parser = argparse.ArgumentParser(prog="python tests/oracles")
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of scripts; all by default")
    flags = parser.parse_args()
    if unknown := set(flags.names) - set(scripts()):
        parser.error(f"no script {', '.join(sorted(unknown))}; there are {', '.join(scripts())}")
    good = [run(name, flags.check) for name in flags.names or scripts()]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
