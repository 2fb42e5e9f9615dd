"""How well label maps agree: recall and IoU per class, over the data set and per picture.

A pixel counts if its true label is a class; a pixel without a predicted class (255, say, of a
coarse map) counts as wrong. ``recall_c`` = TP / (TP + FN); ``iou_c`` = TP / (TP + FP + FN), where
FP are pixels of another class only. Pixels whose true label is no class are passed over, also as
false positives, as in the Cityscapes benchmark.
"""

from collections.abc import Sequence
from typing import Any

import clu.metrics
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int32, Integer

from segsynth.errors import UserError
from segsynth.metrics.exact import ExactSum
from segsynth.types import Array

#: Rates are added up as whole multiples of this, so that no order of merging changes a digit.
_STEP = 2.0**-24
_LARGEST_BATCH = 2**31


def confusion_counts(
    predicted: Integer[Array, "b h w"], truth: Integer[Array, "b h w"], classes: int
) -> Int32[Array, "b classes classes_1"]:
    """Count the pixels of each picture by true class (row) and predicted class (column).

    The last column counts pixels without a predicted class. Any number outside 0..classes-1 is no
    class: as truth it is not counted, as prediction it is wrong.

    Raises:
      UserError: a batch of 2^31 pixels or more.

    """
    if truth.size >= _LARGEST_BATCH:
        raise UserError(f"a batch of {truth.shape} has 2^31 pixels or more; take smaller batches")
    rows = _class_or_none(truth, classes)
    columns = _class_or_none(predicted, classes)
    cells = (rows * (classes + 1) + columns).reshape(len(truth), -1)
    length = (classes + 1) ** 2
    counts = jax.vmap(lambda cell: jnp.zeros(length, jnp.int32).at[cell].add(1))(cells)
    return counts.reshape(len(truth), classes + 1, classes + 1)[:, :classes]


def _class_or_none(labels: Integer[Array, "*shape"], classes: int) -> Int32[Array, "*shape"]:
    labels = labels.astype(jnp.int32)
    return jnp.where((labels >= 0) & (labels < classes), labels, classes)


def _ratio(part: Float[Array, "*s"], whole: Float[Array, "*s"]) -> Float[Array, "*s"]:
    return jnp.where(whole > 0, part / jnp.maximum(whole, 1e-9), jnp.nan)


def _mean(values: Float[Array, " classes"]) -> Float[Array, ""]:
    """Mean of what is a number; NaN of nothing."""
    known = ~jnp.isnan(values)
    return _ratio(jnp.where(known, values, 0.0).sum(), known.sum().astype(jnp.float32))


@flax.struct.dataclass
class Confusion(clu.metrics.Metric):
    """One confusion matrix of the whole data set; counts are exact.

    ``compute`` gives ``accuracy`` (share of right pixels) and, for each class, ``recall`` and
    ``iou``, NaN where nothing of the class was seen or, for ``iou``, predicted; ``mean_recall`` and
    ``mean_iou`` are their means over the classes that have a number.
    """

    counts: ExactSum

    @classmethod
    def of(
        cls, counts: Int32[Array, "b classes classes_1"], valid: Float[Array, " b"]
    ) -> "Confusion":
        """Take what `confusion_counts` returns, of the pictures where ``valid`` is 1."""
        counted = jnp.where(valid[:, None, None] > 0, counts, 0)
        return cls(counts=ExactSum.of(counted.sum(axis=0)))

    def merge(self, other: "Confusion") -> "Confusion":
        """Add the counts."""
        return Confusion(counts=self.counts + other.counts)

    def compute(self) -> dict[str, Any]:
        """Return the rates: scalars, and arrays (classes,)."""
        counts = self.counts.approximate()
        square = counts[:, :-1]
        right, occurring = jnp.diagonal(square), counts.sum(axis=1)
        recall = _ratio(right, occurring)
        iou = _ratio(right, occurring + square.sum(axis=0) - right)
        return {
            "accuracy": _ratio(right.sum(), occurring.sum()),
            "mean_recall": _mean(recall),
            "mean_iou": _mean(iou),
            "recall": recall,
            "iou": iou,
        }


@flax.struct.dataclass
class PerPicture(clu.metrics.Metric):
    """Recall and IoU of a class as means over the pictures whose true labels hold the class.

    Then the mean over classes. A picture that holds little of a class counts as much as one that
    holds a lot, and false positives in pictures without the class count for nothing. ``compute``
    gives the keys of `Confusion`, ``accuracy`` being the mean over pictures; and ``pictures``, how
    many hold each class.
    """

    recall: ExactSum
    iou: ExactSum
    accuracy: ExactSum
    holding: ExactSum
    pictures: ExactSum

    @classmethod
    def of(
        cls, counts: Int32[Array, "b classes classes_1"], valid: Float[Array, " b"]
    ) -> "PerPicture":
        """Take what `confusion_counts` returns, of the pictures where ``valid`` is 1."""
        if len(counts) >= 2**7:
            raise UserError(f"a batch of {len(counts)} pictures; its rates are exact up to 127")
        square = counts[:, :, :-1]
        right = jnp.diagonal(square, axis1=1, axis2=2)
        occurring = counts.sum(axis=2)
        union = occurring + square.sum(axis=1) - right
        used = valid > 0
        holds = (occurring > 0) & used[:, None]
        seen = (occurring.sum(axis=1) > 0) & used
        return cls(
            recall=_rates(right, occurring, holds),
            iou=_rates(right, union, holds),
            accuracy=_rates(right.sum(axis=1), occurring.sum(axis=1), seen),
            holding=ExactSum.of(holds.sum(axis=0)),
            pictures=ExactSum.of(seen.sum()),
        )

    def merge(self, other: "PerPicture") -> "PerPicture":
        """Add the sums."""
        mine, theirs = vars(self), vars(other)
        return PerPicture(**{name: mine[name] + theirs[name] for name in mine})

    def compute(self) -> dict[str, Any]:
        """Return the rates: scalars, and arrays (classes,)."""
        holding = self.holding.approximate()
        recall = _ratio(self.recall.approximate() * _STEP, holding)
        iou = _ratio(self.iou.approximate() * _STEP, holding)
        accuracy = self.accuracy.approximate() * _STEP
        return {
            "accuracy": _ratio(accuracy, self.pictures.approximate()),
            "mean_recall": _mean(recall),
            "mean_iou": _mean(iou),
            "recall": recall,
            "iou": iou,
            "pictures": holding,
        }


def _rates(
    part: Int32[Array, "b *s"], whole: Int32[Array, "b *s"], counted: Bool[Array, "b *s"]
) -> ExactSum:
    """Sum of part / whole over the pictures that count, in steps of 2^-24."""
    rate = part.astype(jnp.float32) / jnp.maximum(whole, 1).astype(jnp.float32)
    steps = jnp.round(rate / _STEP).astype(jnp.int32)
    return ExactSum.of(jnp.where(counted, steps, 0).sum(axis=0))


@flax.struct.dataclass
class BandAccuracy(clu.metrics.Metric):
    """Share of right pixels among those near a border between two true classes; exact counts."""

    right: ExactSum
    inside: ExactSum

    @classmethod
    def of(
        cls,
        predicted: Integer[Array, "b h w"],
        truth: Integer[Array, "b h w"],
        valid: Float[Array, " b"],
        classes: int,
        width: int = 3,
    ) -> "BandAccuracy":
        """Take the pixels within ``width`` px (in rows and columns) of another true class."""
        band = border_band(truth, classes, width) & (valid[:, None, None] > 0)
        right = band & (predicted.astype(jnp.int32) == truth.astype(jnp.int32))
        return cls(right=ExactSum.of(right.sum()), inside=ExactSum.of(band.sum()))

    def merge(self, other: "BandAccuracy") -> "BandAccuracy":
        """Add the counts."""
        return BandAccuracy(right=self.right + other.right, inside=self.inside + other.inside)

    def compute(self) -> Any:
        """Return the share; NaN without a border."""
        return _ratio(self.right.approximate(), self.inside.approximate())


def border_band(
    truth: Integer[Array, "b h w"], classes: int, width: int = 3
) -> Bool[Array, "b h w"]:
    """Whether a pixel of a class has one of another class in the square of side 2 width + 1."""
    labels = truth.astype(jnp.int32)
    known = (labels >= 0) & (labels < classes)
    highest, lowest = jnp.where(known, labels, -1), jnp.where(known, labels, classes)
    side = 2 * width + 1
    for window in ((1, side, 1), (1, 1, side)):
        highest = jax.lax.reduce_window(highest, -1, jax.lax.max, window, (1, 1, 1), "SAME")
        lowest = jax.lax.reduce_window(lowest, classes, jax.lax.min, window, (1, 1, 1), "SAME")
    return known & (highest > lowest)


@flax.struct.dataclass
class Entry(clu.metrics.Metric):
    """One number of a metric that computes several, as a metric of its own."""

    of: clu.metrics.Metric
    key: str = flax.struct.field(pytree_node=False)
    place: int | None = flax.struct.field(pytree_node=False, default=None)

    def merge(self, other: "Entry") -> "Entry":
        """Merge the metric behind it."""
        return self.replace(of=self.of.merge(other.of))

    def compute(self) -> Any:
        """Return ``compute()[key]``, or its element ``place``."""
        value = self.of.compute()[self.key]
        return value if self.place is None else value[self.place]


def scalars(
    metric: Confusion | PerPicture, names: Sequence[str] = (), prefix: str = ""
) -> dict[str, clu.metrics.Metric]:
    """Return the scalars of a metric as metrics for a collection.

    Args:
      metric: what to take apart.
      names: of all classes, in order, for ``<class>__recall`` and ``<class>__iou``; empty = the
        means only.
      prefix: put before each name.

    """
    means = ("accuracy", "mean_recall", "mean_iou")
    found = {f"{prefix}{key}": Entry(metric, key) for key in means}
    for place, name in enumerate(names):
        for key in ("recall", "iou"):
            label = f"{prefix}{name.replace(' ', '_')}__{key}"
            found[label] = Entry(metric, key, place)
    return found
