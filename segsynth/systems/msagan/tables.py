"""The paper's 16 models beside ours: each by itself, means over structures, means over losses.

The paper shows the two means only (figures 6 and 7) of one training each. One model that never left
its input, no mask with E2D1, is in both, and makes most of what they show: `without_collapse` takes
it out. So every mean here stands twice, with and without what collapsed, and every try is listed.
"""

import statistics
from collections.abc import Mapping, Sequence

from segsynth.papers.figures import figures
from segsynth.papers.tries import Try

#: Mask losses and structures, by their names in the paper.
LOSSES = {"none": "No mask", "MAE": "MAE", "MSE": "MSE", "SDE": "SDE"}
STRUCTURES = ("E2D2", "E2D1", "E1D2", "E1D1")
#: (mask loss, structure) -> all tries, in order; the last one is kept.
Cells = Mapping[tuple[str, str], Sequence[Try]]

#: Updates of the editor that the paper calls an epoch: 20,000 faces in batches of 16.
EPOCH = 1250
_ACCURACY, _SSIM = "editing accuracy %", "SSIM"
#: Column of the table of models -> metric and factor.
_COLUMNS = {
    "accuracy %": ("accuracy", 100.0),
    "to on %": ("to_on", 100.0),
    "to off %": ("to_off", 100.0),
    "SSIM": ("ssim", 1.0),
    "SSIM outside": ("ssim_out", 1.0),
    "IoU": ("iou", 1.0),
    "coverage": ("coverage", 1.0),
    "leakage": ("leakage", 1.0),
}


def phase_of(loss: str, structure: str) -> str:
    """Return the phase of a model in configs/msagan.py:table."""
    return f"{loss}_{structure}".lower()


def cells_of(tries: Mapping[str, Sequence[Try]]) -> dict[tuple[str, str], Sequence[Try]]:
    """Return the models among the phases of a sweep."""
    pairs = [(loss, structure) for loss in LOSSES for structure in STRUCTURES]
    return {pair: tries[phase_of(*pair)] for pair in pairs if phase_of(*pair) in tries}


def report(cells: Cells, min_updates: int) -> str:
    """Return all three tables and the list of tries, in Markdown.

    Args:
        cells: the models.
        min_updates: updates of the editor below which a training is too short to say whether it
            collapsed.

    """
    parts = [
        model_table(cells, min_updates),
        mean_table(cells, min_updates, by="loss"),
        mean_table(cells, min_updates, by="structure"),
        "\n".join(_tries(pair, tries, min_updates) for pair, tries in cells.items()),
        _remark(),
    ]
    return "\n\n".join(parts)


def model_table(cells: Cells, min_updates: int) -> str:
    """Return the table of models: what the kept try of each reached, and how many it took."""
    head = ["", *_COLUMNS, "minutes an epoch", "returns the input", "tries"]
    lines = [_line(head), _rule(head)]
    for pair, tries in cells.items():
        kept = tries[-1]
        values = [_number(_value(kept, *column)) for column in _COLUMNS.values()]
        fell = {True: "yes", False: "no", None: "not judged"}[kept.collapsed(min_updates)]
        lines.append(
            _line([_printed(pair), *values, _number(_minutes(kept)), fell, str(len(tries))])
        )
    return "\n".join(lines)


def mean_table(cells: Cells, min_updates: int, *, by: str) -> str:
    """Return means of accuracy and similarity over structures (``by`` "loss", figure 6) or over
    losses ("structure", figure 7), with and without what collapsed.

    What is too short to be judged is in the first mean only.
    """
    place = ("loss", "structure").index(by)
    names = dict(LOSSES) if by == "loss" else {name: name for name in STRUCTURES}
    printed = figures("msagan")["rows"]
    head = ["mean over " + ("structures" if by == "loss" else "losses")]
    for metric in (_ACCURACY, _SSIM):
        head += [f"{metric} (paper)", metric, f"{metric}, without collapsed ones"]
    head.append("returns the input")
    lines = [_line(head), _rule(head)]
    for key, name in names.items():
        kept = [tries[-1] for pair, tries in cells.items() if pair[place] == key]
        flags = [one.collapsed(min_updates) for one in kept]
        left = [one for one, fell in zip(kept, flags, strict=True) if fell is False]
        row = [name]
        for metric, source in ((_ACCURACY, ("accuracy", 100.0)), (_SSIM, ("ssim", 1.0))):
            row.append(_number(printed[name][metric]))
            row += [_number(_mean([_value(t, *source) for t in some])) for some in (kept, left)]
        lines.append(_line([*row, _share(flags)]))
    return "\n".join(lines)


def _share(flags: Sequence[bool | None]) -> str:
    """How many of those that are judged collapsed."""
    judged = [fell for fell in flags if fell is not None]
    if not judged:
        return "not judged"
    rest = len(flags) - len(judged)
    return f"{sum(judged)} of {len(judged)}" + (f", {rest} not judged" if rest else "")


def without_collapse(mean: float, identity: float, count: int = 4) -> float:
    """Return the mean of the others when one of ``count`` values of a mean is ``identity``."""
    return (count * mean - identity) / (count - 1)


def derived() -> dict[str, float]:
    """Return what the paper's means would be without the model that returned its input: accuracy
    in %.

    Such an editor scores what its classifier gets wrong. "No mask" then has 85.8 and "E2D1" 80.5,
    by the paper's own figures: no less than "SDE" and not much less than the other structures.
    """
    rows = figures("msagan")["rows"]
    identity = 100.0 - rows["classifier"][_ACCURACY]
    return {name: without_collapse(rows[name][_ACCURACY], identity) for name in ("No mask", "E2D1")}


def _remark() -> str:
    found = ", ".join(f"{name} {value:.1f} %" for name, value in derived().items())
    return (
        "The paper's means without its one model that returned the input, derived from its own "
        f"figures: {found}."
    )


def _tries(pair: tuple[str, str], tries: Sequence[Try], min_updates: int) -> str:
    said = {True: "returns the input", False: "edits", None: "not judged"}
    each = [
        f"seed {one.seed}, {one.updates} updates: {100 * one.metrics['accuracy']:.1f} %, "
        f"{said[one.collapsed(min_updates)]}"
        for one in tries
    ]
    return f"- {_printed(pair)}: " + "; ".join(each)


def _printed(pair: tuple[str, str]) -> str:
    return f"{LOSSES[pair[0]]}, {pair[1]}"


def _value(one: Try, metric: str, factor: float) -> float | None:
    return factor * one.metrics[metric] if metric in one.metrics else None


def _minutes(one: Try) -> float | None:
    return None if one.seconds is None else EPOCH * one.seconds / 60


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _rule(head: Sequence[str]) -> str:
    return "|---|" + "---:|" * (len(head) - 1)
