"""How well a label map was restored, by the rules of the paper and of the Cityscapes benchmark.

``accuracy`` counts every pixel, void classes too. ``mean_iou`` is the mean over the classes that
occur in the truth of the whole data set, TP / (TP + FP + FN) from one confusion matrix: a class
that occurs and is never predicted counts 0, one that never occurs is left out even where it was
predicted. ``mean_iou_official`` is that of the benchmark over its evaluated classes
(mcordts/cityscapesScripts, evaluation/evalPixelLevelSemanticLabeling.py): pixels whose true class
is void are passed over, and what is predicted void is wrong.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import clu.metrics
import flax.struct
import jax.numpy as jnp
from jaxtyping import Bool, Float, Integer, UInt8

from segsynth.metrics.accumulators import MeanOverExamples
from segsynth.metrics.exact import ExactSum
from segsynth.metrics.segmentation import BandAccuracy, Confusion, Entry, confusion_counts
from segsynth.metrics.structural import ssim
from segsynth.types import Array

Map = Integer[Array, "b h w"]


@flax.struct.dataclass
class Restored(clu.metrics.Metric):
    """One confusion matrix of the whole data set, every pixel judged; counts are exact."""

    counts: ExactSum

    @classmethod
    def of(cls, predicted: Map, truth: Map, valid: Float[Array, " b"], classes: int) -> "Restored":
        """Take the pictures where ``valid`` is 1."""
        counts = confusion_counts(predicted, truth, classes)
        return cls(counts=Confusion.of(counts, valid).counts)

    def merge(self, other: "Restored") -> "Restored":
        """Add the counts."""
        return Restored(counts=self.counts + other.counts)

    def compute(self) -> dict[str, Any]:
        """Return ``accuracy``, ``mean_iou``, ``iou`` of each class (NaN where it does not occur);
        and the same of the map that is of the most frequent class everywhere, ``majority_*``.
        """
        counts = self.counts.approximate()
        square = counts[:, :-1]
        right, occurring = jnp.diagonal(square), counts.sum(1)
        total, present = occurring.sum(), occurring > 0
        iou = right / jnp.maximum(occurring + square.sum(0) - right, 1.0)
        most = occurring.max() / total
        return {
            "accuracy": right.sum() / total,
            "mean_iou": jnp.where(present, iou, 0.0).sum() / present.sum(),
            "iou": jnp.where(present, iou, jnp.nan),
            "majority_accuracy": most,
            "majority_mean_iou": most / present.sum(),
        }


def among(
    predicted: Map, truth: Map, region: Bool[Array, "b h w"], valid: Float[Array, " b"]
) -> BandAccuracy:
    """Return the share of right pixels among those of ``region``, NaN if it is empty."""
    inside = region & (valid[:, None, None] > 0)
    right = inside & (predicted.astype(jnp.int32) == truth.astype(jnp.int32))
    return BandAccuracy(right=ExactSum.of(right.sum()), inside=ExactSum.of(inside.sum()))


def mask_scores(
    maps: Mapping[str, Map],
    truth: Map,
    known: Bool[Array, "b h w"],
    valid: Float[Array, " b"],
    classes: int,
    *,
    evaluated: Sequence[int] = (),
    names: Sequence[str] = (),
    detailed: Sequence[str] = (),
) -> dict[str, clu.metrics.Metric]:
    """Score maps of one batch, on the examples with ``valid`` = 1.

    For each name of ``maps``: ``<name>__`` and accuracy, mean_iou, border_accuracy (within 3 px of
    a border between two true classes), known_accuracy and unknown_accuracy; with ``evaluated``
    mean_iou_official. ``majority__``: accuracy and mean_iou of the most frequent class.

    Args:
      maps: label maps by name.
      truth: true labels, 0 .. classes - 1; others are not judged.
      known: pixels whose label was given.
      valid: whether an example counts.
      classes: how many there are.
      evaluated: number of each class among those that the benchmark evaluates, 255 = void.
      names: of the classes, for ``<name>__<class>__iou``.
      detailed: the maps whose classes are reported one by one.

    """
    scores: dict[str, clu.metrics.Metric] = {}
    metric = None
    for name, labels in maps.items():
        metric = Restored.of(labels, truth, valid, classes)
        scores |= {f"{name}__{key}": Entry(metric, key) for key in ("accuracy", "mean_iou")}
        if evaluated:
            official = _official(labels, truth, valid, evaluated)
            scores[f"{name}__mean_iou_official"] = Entry(official, "mean_iou")
        scores[f"{name}__border_accuracy"] = BandAccuracy.of(labels, truth, valid, classes)
        scores[f"{name}__known_accuracy"] = among(labels, truth, known, valid)
        scores[f"{name}__unknown_accuracy"] = among(labels, truth, ~known, valid)
        if name in detailed:
            scores |= {
                f"{name}__{label.replace(' ', '_')}__iou": Entry(metric, "iou", place)
                for place, label in enumerate(names)
            }
    if metric is not None:
        for key in ("accuracy", "mean_iou"):
            scores[f"majority__{key}"] = Entry(metric, f"majority_{key}")
    return scores


def _official(
    labels: Map, truth: Map, valid: Float[Array, " b"], evaluated: Sequence[int]
) -> Confusion:
    table = jnp.full(256, 255, jnp.uint8).at[: len(evaluated)].set(jnp.array(evaluated, jnp.uint8))
    trained = sum(0 <= number < 255 for number in evaluated)
    mapped = (table[x.astype(jnp.int32)] for x in (labels, truth))
    return Confusion.of(confusion_counts(*mapped, trained), valid)


def picture_scores(
    made: Mapping[str, Float[Array, "b h w 3"]],
    photo: Float[Array, "b h w 3"],
    valid: Float[Array, " b"],
) -> dict[str, clu.metrics.Metric]:
    """Return ``<name>__image_l1``, the mean absolute difference, and ``<name>__image_ssim`` of made
    pictures against the photograph, all in [-1, 1], as means over the examples.

    ``made["synthesis"]`` is what the generator makes of the true map; ``<name>__synthesis_l1`` is
    the difference from that. It is 0 for a perfect map, while a photograph holds light and colours
    that no map tells.
    """
    scores: dict[str, clu.metrics.Metric] = {}
    for name, image in made.items():
        for target, other in (("image", photo), ("synthesis", made["synthesis"])):
            distance = jnp.abs(image - other).mean((1, 2, 3))
            scores[f"{name}__{target}_l1"] = MeanOverExamples.of(distance, valid)
        scores[f"{name}__image_ssim"] = MeanOverExamples.of(ssim(image, photo), valid)
    return scores


def to_byte(share: Float[Array, "b h w"]) -> UInt8[Array, "b h w"]:
    """Map [0, 1] to 0 .. 255."""
    return jnp.round(jnp.clip(share, 0, 1) * 255).astype(jnp.uint8)
