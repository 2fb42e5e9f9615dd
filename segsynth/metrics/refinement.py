"""How much better a refined label map is than the coarse one that it was made from."""

from collections.abc import Sequence

import clu.metrics
from jaxtyping import Float, Integer

from segsynth.metrics.segmentation import (
    BandAccuracy,
    Confusion,
    PerPicture,
    confusion_counts,
    scalars,
)
from segsynth.types import Array


def refinement_scores(
    maps: dict[str, Integer[Array, "b h w"]],
    truth: Integer[Array, "b h w"],
    valid: Float[Array, " b"],
    classes: int,
    names: Sequence[str] = (),
) -> dict[str, clu.metrics.Metric]:
    """Score maps of one batch against the truth, on the examples with ``valid`` = 1.

    For each name of ``maps``: ``<name>__`` and accuracy, mean_recall, mean_iou as means over
    pictures, with ``names`` also recall and iou of each class; ``<name>_dataset__`` the means over
    the data set; ``<name>__border_accuracy``, within 3 px of a border.

    Args:
      maps: label maps by name, such as coarse and refined.
      truth: true labels; numbers outside 0 .. classes - 1 are not judged.
      valid: whether an example counts.
      classes: how many there are.
      names: of the classes, in order.

    """
    scores: dict[str, clu.metrics.Metric] = {}
    for name, labels in maps.items():
        counts = confusion_counts(labels, truth, classes)
        scores |= scalars(PerPicture.of(counts, valid), names, f"{name}__")
        scores |= scalars(Confusion.of(counts, valid), (), f"{name}_dataset__")
        scores[f"{name}__border_accuracy"] = BandAccuracy.of(labels, truth, valid, classes)
    return scores
