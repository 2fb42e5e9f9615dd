"""Does the segmentation loss put more of the label map into drawings? A verdict for each seed.

    python benchmarks/line_drawing_long.py --workdir runs/drawing_long --batch 1 --seeds 3

Runs the preset "table_long" of configs/line_drawing.py, which the same command continues, then
compares baseline and segmentation loss scene by scene (`segsynth.paired`). A run tells something if
the baseline's drawings are drawings at all, edge F1 of 0.6 and at most 0.3 of mid-grey, and if a
segmenter that was trained on them reads something: a mean recall twice that of one answer for all.
The loss then has done what it promises if

- segmenters that were trained on the finished drawings find more in them in black and white;
- so does the outsider, who has only seen the scenes' own drawings;
- grey hides no more than 0.1 of mean IoU;
- the style has not gone: the kernel distance from real drawings is at most a fifth above the
  baseline's, and what halves of the drawings differ by. Where the baseline's own is no larger than
  that, nobody can tell.

A "no" is a result. Batches of 8 photographs, the default, are for accelerators; with CycleGAN's
batches of 1 a seed takes hours of a CPU core. --share 0/2 and --share 1/2 train one method each, at
the same time and with the same --batch, and judge nothing; then the command above does.
"""

import argparse
import json
import pathlib
import sys

from segsynth import cli, config_files
from segsynth.paired import compare
from segsynth.reproduce import Share, reproduce

DRAWERS = ("baseline", "segmentation")
CONFIG = pathlib.Path(__file__).parents[1] / "configs/line_drawing.py:table_long"
F1, GREY, HIDDEN, FARTHER = 0.6, 0.3, 0.1, 0.2
#: How many times the mean recall of one answer for all, which is 1 of so many classes.
READ, CLASSES = 2.0, 12
DISTANCE = "kernel[standin]"


def verdict(found: dict) -> dict[str, tuple[str, str]]:
    """Return what holds of a seed ("yes", "no" or "undecided"), and the figures.

    ``found`` is what paired.json holds. If the baseline does not draw, or nobody reads what it
    draws, there is nothing to judge.
    """
    base, recall = found["baseline"], found["segmenter_baseline"]["mean_recall"]
    drawn = f"edge F1 {base['edge_f1']:.3f}, mid-grey {base['mid_grey']:.3f}, recall {recall:.3f}"
    if base["edge_f1"] < F1 or base["mid_grey"] > GREY or recall < READ / CLASSES:
        return {"too short to judge": ("", drawn)}
    rows = {row["measure"]: row for row in found["measures"]}
    gain, others = (rows[f"{who}binarised/mean_iou"]["gain"] for who in ("", "outsider/"))
    read = found["segmenter_segmentation"]
    hidden = read["mean_iou"] - read["binarised/mean_iou"]
    return {
        "the baseline draws and is read": ("yes", drawn),
        "more is read in black and white": _more(gain),
        "so it is by one who learned from the scenes' own drawings": _more(others),
        "grey hides little": (_word(hidden <= HIDDEN), f"{hidden:.4f}"),
        "the style stays": _style(found["segmentation"], base),
    }


def _more(gain: dict) -> tuple[str, str]:
    figures = f"{gain['mean']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]"
    return _word(gain["low"] > 0), figures


def _style(own: dict, base: dict) -> tuple[str, str]:
    """Judge unbiased distances, which may be 0 or less, so that no ratio would do."""
    ours, theirs = own[DISTANCE], base[DISTANCE]
    spread = max(row[f"{DISTANCE}/std"] for row in (own, base))
    figures = f"{DISTANCE} {ours:.4f}, the baseline's {theirs:.4f}, deviation {spread:.4f}"
    if theirs <= spread:
        return "undecided", figures
    return _word(ours <= theirs + FARTHER * max(theirs, 0.0) + spread), figures


def _word(holds: bool) -> str:
    return "yes" if holds else "no"


def main() -> None:
    """Train what is missing, print the verdicts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8, help="photographs of a step")
    parser.add_argument("--share", type=Share.parse, default=Share())
    flags, rest = parser.parse_known_args()
    config, _ = config_files.load(str(CONFIG), rest)
    for name in DRAWERS:
        config.phases[name].train.global_batch = flags.batch
    reproduce(config, flags.workdir, seeds=flags.seeds, share=flags.share)
    if flags.share.count > 1:
        return
    print("| seed | | holds | |\n|---|---|---|---|")
    for seed in range(config.seed, config.seed + flags.seeds):
        folder = flags.workdir / f"seed{seed}"
        compare(folder)
        found = json.loads((folder / "eval" / "paired.json").read_text())
        for what, (holds, figures) in verdict(found).items():
            print(f"| {seed} | {what} | {holds} | {figures} |", flush=True)


if __name__ == "__main__":
    sys.exit(cli.run(main))
