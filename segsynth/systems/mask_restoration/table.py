"""The table of one evaluation, its rows and columns as the paper's Table 1 and more."""

import math
from collections.abc import Mapping, Sequence

#: Column -> (name of the metric, factor, digits). Distances between sets of pictures stand first,
#: where they were computed, whatever the network of their features.
_COLUMNS = {
    "accu %": ("accuracy", 100, 1),
    "mIoU %": ("mean_iou", 100, 1),
    "mIoU official %": ("mean_iou_official", 100, 1),
    "border accu %": ("border_accuracy", 100, 1),
    "known accu %": ("known_accuracy", 100, 1),
    "unknown accu %": ("unknown_accuracy", 100, 1),
    "calibration error": ("calibration_error", 1, 4),
    "image L1": ("image_l1", 1, 4),
    "image SSIM": ("image_ssim", 1, 3),
    "L1 to synthesis": ("synthesis_l1", 1, 4),
}
#: Row -> what it is, in the order of the table.
_ROWS = {
    "none": "none (the damaged map)",
    "majority": "most frequent class",
    "nearest": "nearest label",
    "bilinear": "bilinear, largest",
    "restored": "restored",
    "told": "restored, told the damage",
    "clamped": "restored, known pixels kept",
    "restored_soft": "restored, soft planes",
    "synthesis": "synthesis (the true map)",
}
#: Starts of the names of distances between sets of pictures -> their digits.
_DISTANCES = {"fid": 2, "kid": 4, "frechet": 2, "kernel": 4}
#: Share by which pictures of soft and of hard planes may differ in L1.
GAP = 0.1


def table(metrics: Mapping[str, float], title: str, names: Sequence[str]) -> str:
    """Return the table in Markdown, the classes below it, and a warning where soft and hard planes
    lead to different pictures.
    """
    distances = sorted({key.rpartition("/")[2] for key in metrics if _is_distance(key)})
    columns = {name: (name, 1, _digits(name)) for name in distances} | _COLUMNS
    columns = {
        head: column
        for head, column in columns.items()
        if any(f"{row}/{column[0]}" in metrics for row in _ROWS)
    }
    lines = [f"| {title:24} | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for row, what in _ROWS.items():
        if any(f"{row}/{name}" in metrics for name, _, _ in columns.values()):
            cells = (_cell(metrics, row, *column) for column in columns.values())
            lines.append(f"| {what:24} | " + " | ".join(cells) + " |")
    return "\n".join(lines + _classes(metrics, names) + _warning(metrics))


def _is_distance(key: str) -> bool:
    row, _, name = key.rpartition("/")
    return row in _ROWS and name.startswith(tuple(_DISTANCES))


def _digits(name: str) -> int:
    return next(count for start, count in _DISTANCES.items() if name.startswith(start))


def _cell(metrics: Mapping[str, float], row: str, name: str, factor: int, digits: int) -> str:
    value = metrics.get(f"{row}/{name}", math.nan)
    return "-" if math.isnan(value) else f"{value * factor:.{digits}f}"


def _classes(metrics: Mapping[str, float], names: Sequence[str]) -> list[str]:
    listed = {key.split("/")[0] for key in metrics if key.endswith("/iou")}
    rows, lines = [row for row in _ROWS if row in listed], []
    for name in names:
        label = f"{name.replace(' ', '_')}/iou"
        cells = [_cell(metrics, row, label, 100, 1) for row in rows]
        if set(cells) != {"-"}:
            lines.append(f"| {name:24} | {' | '.join(cells)} |")
    head = ["", f"| {'IoU of a class, %':24} | {' | '.join(rows)} |", "|---|" + "---:|" * len(rows)]
    return head + lines if lines else []


def _warning(metrics: Mapping[str, float]) -> list[str]:
    hard, soft = (metrics.get(f"{row}/image_l1", 0.0) for row in ("restored", "restored_soft"))
    if not hard or abs(hard - soft) <= GAP * hard:
        return []
    return [
        "",
        f"Pictures of soft and of hard planes differ by {abs(hard - soft) / hard:.0%} in L1: the "
        "restorer has learned to write into soft values what hard ones cannot hold.",
    ]
