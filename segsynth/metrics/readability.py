"""What can be read from a line drawing of its photograph: borders, shading, depth, meaning.

Measures in place of a study with people; none of them is a preference, and they are not to be
averaged. Drawings are float32 (b, h, w, 1) in [0, 1], 0 = ink; a pixel below 0.5 is ink. Functions
return one number a picture. Two models are compared picture by picture (`win_rate`,
`difference`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer

#: How far an outline may be from a border, as a share of the diagonal (as for BSDS; Martin, Fowlkes
#: and Malik, 2004); one pixel at least.
TOLERANCE = 0.0075
#: Pairs of pixels whose order in depth is asked for, and the least difference that counts.
PAIRS, APART = 1000, 0.01

#: Measures of the evaluations of drawings, and of those who read them, of which more is better, and
#: of which less is.
HIGHER = (
    *("edge_f1", "edge_precision", "edge_recall"),
    *(f"edge_recall_{kind}" for kind in ("stuff_stuff", "thing_stuff", "thing_thing")),
    *("shading", "mean_iou", "binarised/mean_iou", "order", "clip_score"),
    *("clip_cosine", "photo_cosine[standin]", "outsider/mean_iou", "outsider/binarised/mean_iou"),
)
LOWER = ("mid_grey", "aligned_error")
#: Beside whose CLIP score that of drawings stands: it means nothing by itself.
_CONTROLS = {
    "": "",
    ", the photographs": "photo/",
    ", blank page": "blank_page/",
    ", shuffled subjects": "shuffled_labels/",
    ", commonest subject": "majority_prior/",
}
#: What tables compare drawings by: heading of a column -> measure of the whole data set.
COLUMNS = {
    "edge F1": "edge_f1",
    "edge precision": "edge_precision",
    "edge recall": "edge_recall",
    "recall stuff-stuff": "edge_recall_stuff_stuff",
    "recall thing-stuff": "edge_recall_thing_stuff",
    "recall thing-thing": "edge_recall_thing_thing",
    "shading": "shading",
    "mid-grey": "mid_grey",
    "ink": "ink_ratio",
    "KID x 1000": "kid",
    "distance by random features x 1000": "kernel[standin]",
    **{f"CLIP score{of}": f"{row}clip_score" for of, row in _CONTROLS.items()},
    **{
        f"caption score by random features{of}": f"{row}caption_score[standin]"
        for of, row in _CONTROLS.items()
    },
    "photo found by CLIP ViT-B/16": "clip_retrieval",
    "its cosine": "clip_cosine",
    "photo found by random features": "retrieval[standin]",
    "their cosine": "photo_cosine[standin]",
    "mIoU by a segmenter of these drawings": "mean_iou",
    "mIoU by a segmenter of these drawings, black and white": "binarised/mean_iou",
    "mIoU by a segmenter of others' drawings": "outsider/mean_iou",
    "mIoU by a segmenter of others' drawings, black and white": "outsider/binarised/mean_iou",
    "depth error": "aligned_error",
    "depth order": "order",
}
#: Measures that tables print as so many times their value, as the names of their columns say.
FACTORS = {"kid": 1000.0, "kernel[standin]": 1000.0}

_INK = 0.5
#: Deviation of the blur of ink, and what is left out around borders, in px of a picture whose
#: shorter side is 256.
_BLUR, _MARGIN, _SIDE = 8.0, 3.0, 256


def luma(picture: Float[Array, "b h w c"]) -> Float[Array, "b h w 1"]:
    """Grey of RGB (ITU-R BT.601); what has one channel stays."""
    if picture.shape[-1] == 1:
        return picture
    return jnp.einsum("bhwc,c->bhw", picture, jnp.asarray((0.299, 0.587, 0.114)))[..., None]


def ink(drawing: Float[Array, "b h w 1"]) -> Bool[Array, "b h w"]:
    """Whether a pixel is ink."""
    return drawing[..., 0] < _INK


def black_and_white(drawing: Float[Array, "b h w 1"]) -> Float[Array, "b h w 1"]:
    """Ink as 0, all else as 1: what stands in greys is gone."""
    return (drawing >= _INK).astype(jnp.float32)


def ink_ratio(drawing: Float[Array, "b h w 1"]) -> Float[Array, " b"]:
    """Share of ink."""
    return ink(drawing).mean((1, 2))


def mid_grey(drawing: Float[Array, "b h w 1"]) -> Float[Array, " b"]:
    """Share of pixels from 0.1 to 0.9: neither paper nor ink, where codes can hide."""
    return ((drawing > 0.1) & (drawing < 0.9)).mean((1, 2, 3))


class Borders(NamedTuple):
    """Pixels whose right or lower neighbour is of another class: (b, h, w) each.

    ``kinds`` is their number of sides that are things: 0 stuff-stuff, 1, 2 thing-thing.
    """

    all: Bool[Array, "b h w"]
    kinds: Integer[Array, "b h w"]


def borders(
    labels: Integer[Array, "b h w"], ignore: int = 255, things: Sequence[int] = ()
) -> Borders:
    """Find the borders between two labelled classes; ``things`` are the classes of objects."""
    labels = labels.astype(jnp.int32)
    of_things = jnp.isin(labels, jnp.asarray(tuple(things), jnp.int32)).astype(jnp.int32)
    found, kinds = jnp.zeros(labels.shape, bool), jnp.zeros(labels.shape, jnp.int32)
    for axis in (1, 2):
        last = [(0, 1) if i == axis else (0, 0) for i in range(3)]
        size = labels.shape[axis]
        here, there = (jax.lax.slice_in_dim(labels, i, size - 1 + i, axis=axis) for i in (0, 1))
        apart = jnp.pad((here != there) & (here != ignore) & (there != ignore), last)
        other = jnp.pad(jax.lax.slice_in_dim(of_things, 1, size, axis=axis), last)
        kinds = jnp.where(apart, jnp.maximum(kinds, of_things + other), kinds)
        found |= apart
    return Borders(found, kinds)


def near(marked: Bool[Array, "b h w"], radius: float) -> Bool[Array, "b h w"]:
    """Whether a marked pixel is within ``radius`` px."""
    reach, (height, width) = int(radius), marked.shape[1:]
    padded = jnp.pad(marked, ((0, 0), (reach, reach), (reach, reach)))
    found = jnp.zeros(marked.shape, bool)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if dy**2 + dx**2 <= radius**2:
                top, left = reach + dy, reach + dx
                found |= padded[:, top : top + height, left : left + width]
    return found


class EdgeAgreement(NamedTuple):
    """How ink and borders agree, one number a picture; NaN where there is nothing to share."""

    precision: Float[Array, " b"]
    recall: Float[Array, " b"]
    f1: Float[Array, " b"]
    stuff_stuff: Float[Array, " b"]
    thing_stuff: Float[Array, " b"]
    thing_thing: Float[Array, " b"]


def edge_agreement(
    drawing: Float[Array, "b h w 1"],
    labels: Integer[Array, "b h w"],
    *,
    ignore: int = 255,
    things: Sequence[int] = (),
    tolerance: float = TOLERANCE,
) -> EdgeAgreement:
    """Compare ink with the borders of the photograph's label map.

    ``precision``: share of ink on labelled pixels that is near a border; ``recall``: share of
    borders that are near ink, also for each kind of border. Near is within ``tolerance`` of the
    diagonal, and one pixel at least.
    """
    height, width = labels.shape[1:]
    radius = max(1.0, tolerance * (height**2 + width**2) ** 0.5)
    found, dark = borders(labels, ignore, things), ink(drawing)
    judged = dark & (labels != ignore)
    precision = _share(near(found.all, radius), judged)
    met = near(dark, radius)
    recall = _share(met, found.all)
    kinds = [_share(met, found.all & (found.kinds == k)) for k in range(3)]
    p, r = jnp.nan_to_num(precision), jnp.nan_to_num(recall)
    f1 = jnp.where(jnp.isnan(recall), jnp.nan, 2 * p * r / jnp.maximum(p + r, 1e-9))
    return EdgeAgreement(precision, recall, f1, *kinds)


def _share(part: Bool[Array, "b h w"], whole: Bool[Array, "b h w"]) -> Float[Array, " b"]:
    size = whole.sum((1, 2))
    share = (part & whole).sum((1, 2)) / jnp.maximum(size, 1)
    return jnp.where(size > 0, share, jnp.nan)


def shading(
    drawing: Float[Array, "b h w 1"],
    photo: Float[Array, "b h w 3"],
    labels: Integer[Array, "b h w"] | None = None,
    ignore: int = 255,
) -> Float[Array, " b"]:
    """Pearson correlation of how much ink there is around a pixel with how dark the photograph is.

    Darkness is 1 minus luma (ITU-R BT.601). With ``labels``, pixels near a border do not count:
    outlines are no shading. NaN where nothing counts or one of the two is constant.
    """
    height, width = drawing.shape[1:3]
    scale = min(height, width) / _SIDE
    rows, columns = (_gaussian(n, _BLUR * scale) for n in (height, width))
    # Whole numbers of ink are exact; the blur's sums are not to be rounded to bfloat16.
    density = jnp.einsum(
        "ih,bhw,jw->bij", rows, ink(drawing).astype(jnp.float32), columns, precision="highest"
    )
    darkness = 1.0 - luma(photo)[..., 0]
    counts = jnp.ones(density.shape, bool)
    if labels is not None:
        counts = ~near(borders(labels, ignore).all, max(1.0, _MARGIN * scale))
    return _correlation(density, darkness, counts)


def _gaussian(size: int, deviation: float) -> Float[np.ndarray, "{size} {size}"]:
    """Blur along an axis as a matrix; rows add up to 1, also at the border."""
    steps = np.arange(size)
    weights = np.exp(-0.5 * ((steps[:, None] - steps[None]) / deviation) ** 2)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _correlation(
    x: Float[Array, "b h w"], y: Float[Array, "b h w"], counts: Bool[Array, "b h w"]
) -> Float[Array, " b"]:
    size = jnp.maximum(counts.sum((1, 2)), 1)

    def mean(z: Array) -> Array:
        return jnp.where(counts, z, 0.0).sum((1, 2)) / size

    x, y = (z - mean(z)[:, None, None] for z in (x, y))
    scatter = mean(x**2) * mean(y**2)
    return jnp.where(scatter > 1e-12, mean(x * y) / jnp.sqrt(jnp.maximum(scatter, 1e-12)), jnp.nan)


def aligned_depth_error(
    found: Float[Array, "b h w"], truth: Float[Array, "b h w"]
) -> Float[Array, " b"]:
    """Mean absolute error after the scale and shift that fit best by least squares.

    A relative depth has neither (Ranftl et al., arXiv 1907.01341).
    """
    x, y = (z - z.mean((1, 2), keepdims=True) for z in (found, truth))
    scale = (x * y).mean((1, 2)) / jnp.maximum((x * x).mean((1, 2)), 1e-12)
    return jnp.abs(scale[:, None, None] * x - y).mean((1, 2))


def depth_order(
    found: Float[Array, "b h w"], truth: Float[Array, "b h w"], pairs: int = PAIRS
) -> Float[Array, " b"]:
    """Share of random pairs of pixels whose order in depth is right, 1/2 by chance.

    The pairs are the same for all pictures of a size; those whose true depths differ by less than
    `APART` do not count. A tie of what was found is wrong, so that a constant map scores 0. NaN
    where no pair counts.
    """
    size = found.shape[1] * found.shape[2]
    places = np.random.default_rng(0).integers(0, size, (2, pairs))
    ours, true = (z.reshape(len(z), size)[:, places] for z in (found, truth))
    gap, answer = true[:, 0] - true[:, 1], ours[:, 0] - ours[:, 1]
    counts = jnp.abs(gap) >= APART
    right = (counts & (jnp.sign(gap) == jnp.sign(answer))).sum(-1)
    asked = counts.sum(-1)
    return jnp.where(asked > 0, right / jnp.maximum(asked, 1), jnp.nan)


def depth_values(
    found: Float[Array, "b h w 1"], truth: Float[Array, "b h w 1"]
) -> dict[str, Float[Array, " b"]]:
    """Return `aligned_depth_error` and `depth_order` of depth maps, by the names in `COLUMNS`."""
    plain = found[..., 0], truth[..., 0]
    return {"aligned_error": aligned_depth_error(*plain), "order": depth_order(*plain)}


class Interval(NamedTuple):
    """A mean over pictures, its 95 % interval by a bootstrap over pictures, and how many."""

    mean: float
    low: float
    high: float
    pictures: int


def win_rate(
    ours: Float[np.ndarray, " n"],
    theirs: Float[np.ndarray, " m"],
    *,
    lower_is_better: bool = False,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Return the share of pictures on which ours is better; a draw is half a win.

    Raises:
        ValueError: of different lengths, or no picture has a number of both models.

    """
    gain = _gains(ours, theirs) * (-1.0 if lower_is_better else 1.0)
    wins = np.where(gain == 0, 0.5, (gain > 0).astype(np.float64))
    return _bootstrap(wins, resamples, seed)


def difference(
    ours: Float[np.ndarray, " n"],
    theirs: Float[np.ndarray, " m"],
    *,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Return by how much ours is higher, picture by picture.

    Raises:
        ValueError: as `win_rate`.

    """
    return _bootstrap(_gains(ours, theirs), resamples, seed)


def _gains(ours: Float[np.ndarray, " n"], theirs: Float[np.ndarray, " m"]) -> np.ndarray:
    """Differences on the pictures that both have a number of."""
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} and {len(theirs)} pictures; expected the same ones")
    gain = np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)
    gain = gain[np.isfinite(gain)]
    if not len(gain):
        raise ValueError("no picture has a number of both models")
    return gain


def _bootstrap(values: Float[np.ndarray, " n"], resamples: int, seed: int) -> Interval:
    random, means = np.random.default_rng(seed), np.empty(resamples)
    for i in range(resamples):
        means[i] = values[random.integers(0, len(values), len(values))].mean()
    low, high = np.percentile(means, (2.5, 97.5))
    return Interval(float(values.mean()), float(low), float(high), len(values))
