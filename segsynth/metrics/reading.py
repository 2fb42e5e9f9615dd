"""How much of a photograph's label map a segmenter finds in its drawing."""

from collections.abc import Callable, Sequence

import clu.metrics
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from segsynth.metrics.readability import black_and_white
from segsynth.metrics.segmentation import Confusion, confusion_counts, scalars

#: Prefix of what is found in black and white: what is only found in shades of grey is a code and no
#: line.
CRISP = "binarised__"


def reading_scores(
    logits: Callable[[Float[Array, "b h w 1"]], Float[Array, "b h w c"]],
    drawing: Float[Array, "b h w 1"],
    truth: Int[Array, "b h w"],
    valid: Float[Array, " b"],
    *,
    names: Sequence[str] = (),
    prefix: str = "",
    crisp: bool = True,
) -> tuple[dict[str, clu.metrics.Metric], Int[Array, "b h w"]]:
    """Return scores over the data set, and the label maps that were found.

    Args:
        logits: the segmenter.
        drawing: in [0, 1], 1 = paper.
        truth: classes; any other number does not count.
        valid: whether an example counts.
        names: of the classes, for a row of metrics each of the drawing as it is.
        prefix: put before each name.
        crisp: whether the drawing is also shown in black and white, for scores behind `CRISP`.

    """
    found, scores = [], {}
    shown = {"": drawing, CRISP: black_and_white(drawing)}
    for way, seen in shown.items() if crisp else [("", drawing)]:
        answer = logits(seen)
        found.append(answer.argmax(-1).astype(jnp.int32))
        counts = confusion_counts(found[-1], truth, answer.shape[-1])
        scores |= scalars(Confusion.of(counts, valid), () if way else names, prefix + way)
    return scores, found[0]
