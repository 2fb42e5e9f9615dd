"""Scores of edits: whether they reach the attribute, and what else they change.

Structural similarity to the input is a leash and no score: untouched faces have 1, and true edits
less than good ones. With the true edit, a row for it says what the judges and the similarity can
reach at all.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import clu.metrics
import jax.numpy as jnp
from jaxtyping import Float, Int

from segsynth.losses.masks import dilated
from segsynth.metrics.accumulators import MeanOverExamples, RatioOfTotals
from segsynth.metrics.editing import EditingAccuracy
from segsynth.metrics.inpainting import psnr, region_mean
from segsynth.metrics.names import collected
from segsynth.metrics.segmentation import Entry
from segsynth.metrics.structural import structural_scores
from segsynth.systems.msagan.collapse import Collapse
from segsynth.types import Array

Metrics = dict[str, clu.metrics.Metric]
#: Judge by name: pictures in [-1, 1] -> logits, (b, h, w, 3) -> (b, 1).
Judges = Mapping[str, Callable[[Array], Array]]

#: By how much of the pictures' side the guide is widened, before what lies outside is untouched
#: ground; and before the picture inside is compared with the true edit.
OUTSIDE, NEAR = 1 / 16, 1 / 32
#: A pixel that truly changes by more than this, of 2, belongs to what is compared.
_CHANGED = 0.1
_SHARES = ("accuracy", "to_on", "to_off", "balanced", "low", "high", "n")
#: Those in the report, and how columns are headed there, if not by the metric's name.
_PRINTED = ("accuracy", "to_on", "to_off", "balanced", "low", "high")
_HEADS = {"psnr_gain": "PSNR gain"}


@dataclasses.dataclass(frozen=True)
class Faces:
    """What is judged: pictures in [-1, 1], guides in [0, 1].

    ``target``: wanted value, 0 or 1. ``truth``: the true edits, or None.
    """

    image: Float[Array, "b h w 3"]
    target: Float[Array, " b"]
    guide: Float[Array, "b h w 1"]
    valid: Float[Array, " b"]
    truth: Float[Array, "b h w 3"] | None = None


def edit_scores(
    faces: Faces,
    edited: Float[Array, "b h w 3"],
    masks: Mapping[str, Float[Array, "b h w 1"]],
    judges: Judges,
) -> Metrics:
    """Return all scores of edits, and of untouched faces and true edits beside them.

    ``accuracy``, by the first judge, with its parts and its 95 % bootstrap interval; that of the
    others by their names; ``ssim`` to the input, and ``ssim_out`` outside the widened guide. Of
    ``masks`` "edit" and "same": see `mask_scores`. With true edits, see `truth_scores`.
    ``collapsed``: see `Collapse`.
    """
    scores = picture_scores("", faces, edited, judges)
    scores |= accuracies("identity__", faces, _seen(judges, faces.image))
    scores |= mask_scores("", masks["edit"], faces)
    scores |= mask_scores("same_", masks["same"], faces)
    if faces.truth is not None:
        scores |= truth_scores(faces, edited)
        scores |= picture_scores("oracle__", faces, faces.truth, judges)
    judge, *_ = judges.values()
    reached = [(judge(x)[:, 0] > 0) == (faces.target > 0) for x in (edited, faces.image)]
    scores["collapsed"] = Collapse.of(*reached, masks["edit"], faces.valid)
    return scores


def picture_scores(prefix: str, faces: Faces, edited: Array, judges: Judges) -> Metrics:
    """Return the accuracies by all judges and the similarity to the input."""
    region = dilated((faces.guide > 0).astype(jnp.float32), _pixels(OUTSIDE, faces))
    found = structural_scores(edited, faces.image, faces.valid, region)
    similarity = {f"{prefix}{name}": found[name] for name in ("ssim", "ssim_out")}
    return accuracies(prefix, faces, _seen(judges, edited)) | similarity


def accuracies(prefix: str, faces: Faces, seen: Mapping[str, Float[Array, " b"]]) -> Metrics:
    """Return the shares of the first judge, and the accuracy by each of the others.

    ``seen``: logits of the pictures, by the judge's name.
    """
    scores: Metrics = {}
    for place, (name, logits) in enumerate(seen.items()):
        metric = EditingAccuracy.of(logits, faces.target, faces.valid)
        if place:
            scores[f"{prefix}{name}"] = Entry(metric, "accuracy")
        else:
            scores |= {f"{prefix}{key}": Entry(metric, key) for key in _SHARES}
    return scores


def each(
    names: Sequence[str],
    which: Int[Array, " b"],
    faces: Faces,
    edited: Float[Array, "b h w 3"],
    mask: Float[Array, "b h w 1"],
    judges: Judges,
) -> Metrics:
    """Return what all judges see of each attribute, ``<attribute>/accuracy`` and so on, over the
    faces where it is edited: in the edits, in the untouched faces, and whether the edits collapsed.

    And ``collapsed``: whether those of any attribute did.
    """
    seen = {"": _seen(judges, edited), "identity/": _seen(judges, faces.image)}
    reached = [(next(iter(x.values())) > 0) == (faces.target > 0) for x in seen.values()]
    scores: Metrics = {
        "collapsed": Collapse.of(*reached, mask, faces.valid, which, len(names)),
    }
    for place, name in enumerate(names):
        some = dataclasses.replace(faces, valid=faces.valid * (which == place))
        found: Metrics = {"collapsed": Collapse.of(*reached, mask, some.valid)}
        for prefix, logits in seen.items():
            found |= accuracies(prefix, some, logits)
        # A name such as 5_o_Clock_Shadow is none that a collection takes.
        scores |= collected({f"{name}/{key}": metric for key, metric in found.items()})
    return scores


def mask_scores(prefix: str, mask: Float[Array, "b h w 1"], faces: Faces) -> Metrics:
    """Return agreement with the guide, over faces that have one.

    ``coverage`` = sum(M m) / sum(m); ``iou`` at 0.5; ``leakage``, the mean of M outside the widened
    guide; and ``mean``, over all faces, of M.
    """
    guide = faces.guide
    area = guide.sum((1, 2, 3))
    counts = faces.valid * (area > 0)
    outside = dilated((guide > 0).astype(jnp.float32), _pixels(OUTSIDE, faces)) < 0.5
    coverage = (mask * guide).sum((1, 2, 3)) / jnp.maximum(area, 1e-6)
    inside, wanted = mask > 0.5, guide > 0.5
    both = (inside & wanted).sum((1, 2, 3))
    either = (inside | wanted).sum((1, 2, 3))
    return {
        f"{prefix}coverage": MeanOverExamples.of(coverage, counts),
        f"{prefix}iou": MeanOverExamples.of(both / jnp.maximum(either, 1), counts),
        f"{prefix}leakage": MeanOverExamples.of(
            region_mean(mask, outside.astype(jnp.float32)), counts
        ),
        f"{prefix}mask_mean": MeanOverExamples.of(mask.mean((1, 2, 3)), faces.valid),
    }


def truth_scores(faces: Faces, edited: Float[Array, "b h w 3"]) -> Metrics:
    """Compare with the true edits.

    ``psnr_gain``, dB: PSNR of the edit less that of the untouched face, near the guide and what
    truly changes. ``edit_ratio``: the size of the change over that of the true one, where that is
    not 0: 0 of untouched faces, 1 of true edits.
    """
    assert faces.truth is not None
    change = jnp.abs(faces.truth - faces.image)
    strong = change.max(axis=-1, keepdims=True) > _CHANGED
    near = (strong | (faces.guide > 0)).astype(jnp.float32)
    near = dilated(near, _pixels(NEAR, faces))
    gain = [
        psnr(region_mean((picture - faces.truth) ** 2, near)) for picture in (edited, faces.image)
    ]
    changed = (change.max(axis=-1, keepdims=True) > 0).astype(jnp.float32)
    made = (jnp.abs(edited - faces.image) * changed).sum((1, 2, 3))
    return {
        "psnr_gain": MeanOverExamples.of(gain[0] - gain[1], faces.valid),
        "edit_ratio": RatioOfTotals.of(made, change.sum((1, 2, 3)), faces.valid),
    }


def report(metrics: Mapping[str, float], attributes: Sequence[str] = ()) -> str:
    """Lay the scores of an evaluation out: pictures, masks, each of several ``attributes``, and
    whether the editor collapsed.
    """
    second = [name for name in metrics if f"identity/{name}" in metrics and name not in _SHARES]
    shares = (*_PRINTED, *second)
    rows = [row for row in ("", "identity/", "oracle/") if f"{row}accuracy" in metrics]
    columns = (*shares, "ssim", "ssim_out", "psnr_gain", "edit_ratio")
    names = {row: row.rstrip("/") or "this model" for row in rows}
    lines = _table("", columns, names, metrics)
    columns = ("coverage", "iou", "leakage", "mask_mean")
    lines += ["", *_table("mask of", columns, {"": "the edit", "same_": "keeping"}, metrics)]
    if attributes:
        names = {}
        for name in attributes:
            names |= {f"{name}/": name, f"{name}/identity/": f"{name}, identity"}
        lines += ["", *_table("attribute", (*shares, "n", "collapsed"), names, metrics)]
    said = {0.0: "no", 1.0: "yes, the editor returns its input (most do for their first updates)"}
    fell = said.get(metrics["collapsed"], "?")
    fallen = [name for name in attributes if metrics.get(f"{name}/collapsed") == 1.0]
    of = f" (of {', '.join(fallen)})" if fallen else ""
    return "\n".join([*lines, "", f"collapsed: {fell}{of}"])


def _table(
    title: str, columns: Sequence[str], names: Mapping[str, str], metrics: Mapping[str, float]
) -> list[str]:
    """A row for each prefix of the names of metrics, under its own name."""
    head = (title, *(_HEADS.get(name, name.replace("_", " ")) for name in columns))
    lines = [_line(head), "|---|" + "---:|" * len(columns)]
    for prefix, name in names.items():
        lines.append(_line((name, *(_number(metrics, f"{prefix}{c}") for c in columns))))
    return lines


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


def _number(metrics: Mapping[str, float], name: str) -> str:
    if name not in metrics:
        return "-"
    return f"{metrics[name]:.0f}" if name.endswith("/n") else f"{metrics[name]:.3f}"


def _seen(judges: Judges, pictures: Array) -> dict[str, Float[Array, " b"]]:
    """Logits by the judge's name."""
    return {name: judge(pictures)[:, 0] for name, judge in judges.items()}


def _pixels(share: float, faces: Faces) -> int:
    return max(1, round(share * faces.image.shape[1]))
