r"""Which protocol the paper on mask restoration scored its masks by: its rows without a network.

  python benchmarks/mask_protocol.py CITYSCAPES

Scores the coarse maps of val, and the fine ones at an eighth of their resolution, against the fine
ones under every combination of what the paper leaves open, and prints those first that come nearest
to its four figures. No network, no photograph: gtFine and gtCoarse are all that is read.
"""

import argparse
import itertools
import pathlib
import sys
from collections.abc import Callable, Iterator

import numpy as np

from segsynth import cli
from segsynth.data import label_sets, pictures
from segsynth.errors import UserError
from segsynth.papers.figures import figures

TABLE = label_sets.get("cityscapes")
CLASSES = len(TABLE.classes)
TRAINED = np.array([row.id for row in TABLE.trained])
#: Row of the paper's table -> the damaged map of (fine, coarse).
ROWS = {"sparse, none": "coarse", "x8, none": "low"}
FACTOR = 8


def main() -> None:
    """Parse the flags, read every pair once, print the table."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("root", type=pathlib.Path, help="folder with gtFine and gtCoarse")
    flags.add_argument("--limit", type=int, default=0, help="pictures; 0 = all")
    known = flags.parse_args()
    counts: dict[tuple, list[np.ndarray]] = {}
    for number, (fine, coarse) in enumerate(pairs(known.root)):
        if known.limit and number >= known.limit:
            break
        for key, damaged, truth in variants(fine, coarse):
            counts.setdefault(key, []).append(confusion(truth, damaged))
    if not counts:
        raise UserError(f"{known.root} has no pairs gtFine/val, gtCoarse/val of *_labelIds.png")
    print(table(counts))


def pairs(root: pathlib.Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield fine and coarse ids, (h, w), of every picture of val."""
    for path in sorted((root / "gtFine/val").glob("*/*_gtFine_labelIds.png")):
        name = path.name.replace("gtFine", "gtCoarse")
        coarse = root / "gtCoarse/val" / path.parent.name / name
        yield _ids(path), _ids(coarse)


def _ids(path: pathlib.Path) -> np.ndarray:
    found = pictures.read_labels(path)[..., 0]
    if found.max() >= CLASSES:
        raise UserError(
            f"{path} holds {found.max()}; expected ids 0 to {CLASSES - 1}; take *_labelIds.png"
        )
    return found


def variants(
    fine: np.ndarray, coarse: np.ndarray
) -> Iterator[tuple[tuple, np.ndarray, np.ndarray]]:
    """Yield ((row, size, pixel), damaged, true) for each size and each sampled pixel."""
    for size, step in (("full", 1), ("quarter", 4)):
        # As Pillow resamples labels by whole factors.
        truth, rough = (x[step // 2 :: step, step // 2 :: step] for x in (fine, coarse))
        yield ("sparse, none", size, "-"), rough, truth
        for pixel, start in (("corner", 0), ("centre", FACTOR // 2)):
            low = truth[start::FACTOR, start::FACTOR]
            yield ("x8, none", size, pixel), low.repeat(FACTOR, 0).repeat(FACTOR, 1), truth


def confusion(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return counts, true classes by row."""
    both = truth.astype(np.int64) * CLASSES + found
    return np.bincount(both.reshape(-1), minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def all_classes(counts: np.ndarray) -> tuple[float, float]:
    """Return accuracy and mean IoU of all classes that occur; nothing is passed over."""
    return _rates(counts, counts.sum(1), counts.sum(0))


def official(counts: np.ndarray) -> tuple[float, float]:
    """The benchmark's rule: true void is passed over, void answers are wrong."""
    judged = counts[TRAINED]
    return _rates(judged[:, TRAINED], judged.sum(1), judged[:, TRAINED].sum(0))


def without_void(counts: np.ndarray) -> tuple[float, float]:
    """Void is passed over on both sides."""
    judged = counts[np.ix_(TRAINED, TRAINED)]
    return _rates(judged, judged.sum(1), judged.sum(0))


def _rates(square: np.ndarray, true: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    right, present = np.diagonal(square), true > 0
    if not present.any():
        return np.nan, np.nan
    iou = right[present] / (true + found - right)[present]
    return 100 * right.sum() / true.sum(), 100 * iou.mean()


RULES: dict[str, Callable[[np.ndarray], tuple[float, float]]] = {
    f"all {CLASSES}": all_classes,
    f"{len(TRAINED)}, official": official,
    f"{len(TRAINED)}, without void": without_void,
}


def table(counts: dict[tuple, list[np.ndarray]]) -> str:
    """Return all combinations in Markdown, the nearest to the paper first."""
    printed = figures("mask_restoration")["rows"]
    goal = [printed[row][name] for row in ROWS for name in ("accu %", "mIoU %")]
    rows = []
    for (name, rule), size, summed, pixel in itertools.product(
        RULES.items(), ("full", "quarter"), (True, False), ("corner", "centre")
    ):
        found = []
        for row in ROWS:
            each = counts[row, size, pixel if row.startswith("x8") else "-"]
            found += _score(each, rule, summed)
        away = float(np.abs(np.subtract(found, goal)).max())
        how = "data set" if summed else "mean of pictures"
        rows.append((away, [name, size, how, pixel, *(f"{x:.1f}" for x in found), f"{away:.1f}"]))
    head = ["classes", "size", "over", "pixel", "sparse accu", "mIoU", "x8 accu", "mIoU", "off by"]
    goals = ["paper", "", "", "", *(f"{x:.1f}" for x in goal), ""]
    lines = [head, ["---"] * len(head), goals, *(cells for _, cells in sorted(rows))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _score(each: list[np.ndarray], rule: Callable, summed: bool) -> list[float]:
    if summed:
        return list(rule(np.sum(each, axis=0)))
    return list(np.nanmean([rule(counts) for counts in each], axis=0))


if __name__ == "__main__":
    sys.exit(cli.run(main))
