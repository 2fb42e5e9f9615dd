"""What an evaluation looks at: the losses, and what can be read from the drawings."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import clu.metrics
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from segsynth.losses import adversarial
from segsynth.metrics import readability
from segsynth.metrics.clip_score import (
    PROMPT,
    ControlledClipScore,
    caption_probabilities,
    captions,
    clip_scores,
)
from segsynth.metrics.kernel_distance import kernel_scores
from segsynth.metrics.reading import reading_scores
from segsynth.metrics.retrieval import retrieval_scores
from segsynth.networks.segmentation_unet import SegmentationUNet
from segsynth.pretrained.drawing_features import MeaningFeatures, Retriever
from segsynth.pretrained.set_features import SetFeatures
from segsynth.systems.line_drawing import losses
from segsynth.systems.line_drawing.networks import Variables
from segsynth.systems.line_drawing.objective import Examples, Objective
from segsynth.systems.line_drawing.segmentation import IGNORE

Metrics = dict[str, clu.metrics.Metric]


def each(loss: Callable[..., Array], *arrays: Array) -> Float[Array, " b"]:
    """Return a loss that is a mean over a batch for each of its examples."""
    return jax.vmap(lambda *rows: loss(*(row[None] for row in rows)))(*arrays)


def loss_values(
    objective: Objective, nets: Variables, given: Examples, drawing: Array, restored: Array
) -> dict[str, Float[Array, " b"]]:
    """Return the unweighted losses of each example, by name.

    The cycle is that of the photograph.
    """
    judged = objective.networks.judged(nets, "drawing_judge", drawing)
    least = lambda x: adversarial.least_squares_generator([x])  # noqa: E731
    found = {
        "loss__adversarial": each(least, judged),
        "loss__cycle": each(losses.cycle, restored, given.photo),
    }
    if objective.weights.clip:
        encode = objective.networks.meaning
        features = (encode(nets["clip"], x) for x in (drawing, given.photo))
        compare = lambda x, y: losses.meaning(x, y, objective.meaning)  # noqa: E731
        found["loss__clip"] = each(compare, *features)
    if objective.seg.used:
        seen = objective.seg.settled(readability.luma(drawing))
        logits, _ = objective.networks.segments(nets, seen, False)
        known = (given.labels != IGNORE).any((1, 2))
        values = each(objective.seg.loss, logits, given.labels)
        found["loss__segmentation"] = jnp.where(known, values, jnp.nan)
    return found


def depth_values(
    objective: Objective, nets: Variables, given: Examples, drawing: Array
) -> dict[str, Float[Array, " b"]]:
    """Return what the depth head of this phase reads from drawings, for each example.

    If it was trained with them it has come to read them: a head that was not is a fairer judge
    (`segsynth.systems.depth` with a ``drawer``).
    """
    logits, _ = objective.networks.depth(nets, drawing, False)
    compare = lambda x, y: losses.geometry(x, y, objective.geometry)  # noqa: E731
    found, truth = jax.nn.sigmoid(logits).mean(-1), given.depth[..., 0]
    values = {"loss__geometry": each(compare, logits, given.depth)}
    if objective.geometry == "bce":
        floor = each(losses.geometry_floor, given.depth)
        values["loss__geometry_excess"] = values["loss__geometry"] - floor
    return {
        **values,
        "depth_error": readability.aligned_depth_error(found, truth),
        "depth_order": readability.depth_order(found, truth),
    }


def drawing_values(
    drawing: Float[Array, "b h w c"],
    photo: Float[Array, "b h w 3"],
    labels: Int[Array, "b h w"] | None,
    things: Sequence[int] = (),
) -> dict[str, Float[Array, " b"]]:
    """Return what the grey of a drawing shows by itself and against the label map, for each
    example.

    A page without ink scores 0 instead of being left out. NaN where there is no border to find.
    """
    drawing = readability.luma(drawing)
    found = {
        "ink_ratio": readability.ink_ratio(drawing),
        "mid_grey": readability.mid_grey(drawing),
        "shading": jnp.nan_to_num(readability.shading(drawing, photo, labels, IGNORE)),
    }
    if labels is None:
        return found
    agreement = readability.edge_agreement(drawing, labels, ignore=IGNORE, things=things)
    blank = jnp.isnan(agreement.precision) & jnp.isfinite(agreement.recall)
    values = agreement._replace(precision=jnp.where(blank, 0.0, agreement.precision))._asdict()
    kinds = ("stuff_stuff", "thing_stuff", "thing_thing")
    split = {f"edge_recall_{kind}": values.pop(kind) for kind in kinds}
    found |= {f"edge_{name}": value for name, value in values.items()}
    return {**found, **split} if things else found


def clip_values(
    encode: MeaningFeatures,
    variables: Any,
    subjects: Mapping[str, str],
    pictures: tuple[Array, Array],
    subject: Int[Array, " b"],
    valid: Float[Array, " b"],
    prompt: str = PROMPT,
) -> Metrics:
    """Return the CLIP score of drawings with all of its controls.

    Args:
        encode: CLIP.
        variables: of CLIP.
        subjects: name of each class, in order -> its words in a caption.
        pictures: drawings and their photographs.
        subject: classes; others than those of ``subjects`` do not count.
        valid: whether an example counts.
        prompt: what a caption begins with.

    """
    words = encode.captions(variables, encode.tokens(captions(subjects, prompt)))
    page = jnp.ones_like(pictures[0][:1])
    drawn, photo, blank = (
        caption_probabilities(encode(variables, x), words) for x in (*pictures, page)
    )
    metric = ControlledClipScore.of(drawn, photo, blank[0], subject, valid)
    return clip_scores(encode.described, metric)


def retrieval_values(
    judge: Retriever,
    variables: Any,
    pictures: tuple[Array, Array],
    valid: Float[Array, " b"],
) -> Metrics:
    """Return how well photographs are found by their drawings.

    Args:
        judge: a CLIP that no loss has looked at.
        variables: of it.
        pictures: drawings and their photographs, in [0, 1].
        valid: whether an example counts.

    """
    made, photos = (judge.encode(variables, x) for x in pictures)
    return retrieval_scores(judge.encode.described, photos, made, valid, judge.capacity)


def style_values(
    style: SetFeatures,
    variables: Any,
    drawings: tuple[Array, Array],
    valid: Float[Array, " b"],
) -> Metrics:
    """Return the kernel distance of made drawings from real ones, and its deviation over subsets.

    Args:
        style: the features.
        variables: of them.
        drawings: real ones, and made ones, in [0, 1]; rounded to the levels of a file first.
        valid: whether an example counts.

    """
    levels = (jnp.round(jnp.clip(x, 0, 1) * 255).astype(jnp.uint8) for x in drawings)
    real, made = (style(variables, x) for x in levels)
    return kernel_scores("kid", style.described, real, made, valid, style.capacity, style.subset)


def outsider_values(
    outsider: SegmentationUNet,
    variables: Any,
    drawing: Float[Array, "b h w c"],
    labels: Int[Array, "b h w"],
    valid: Float[Array, " b"],
) -> Metrics:
    """Return how much of the label map a segmenter finds that learned from drawings of others, in
    these as they are and in black and white (``outsider__``, ``outsider__binarised__``).

    Args:
        outsider: the segmenter.
        variables: of it.
        drawing: in [0, 1]; its grey is read.
        labels: of the photographs, 255 = unlabelled.
        valid: whether an example counts.

    """
    logits = lambda seen: outsider.apply(variables, seen)  # noqa: E731
    grey = readability.luma(drawing)
    return reading_scores(logits, grey, labels, valid, prefix="outsider__")[0]
