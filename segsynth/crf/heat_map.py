"""The label heat map: what a rough annotation says about the pixels that it left out.

"Semantic segmentation using coarse label maps", eq. 1-2: a labelled pixel is one-hot; another pixel
has a softmax over the classes present in the map of its similarity to their labelled pixels, which
falls with the distance in position and colour. The article gives no formula for the similarity;
`Reading` lists four that fit its words.
"""

from typing import Literal, get_args

import numpy as np
from jaxtyping import Array, Float

from segsynth.crf.class_density import density, density_exact
from segsynth.crf.nearest_cells import nearest_by_cells, nearest_exact
from segsynth.crf.pictures import check_levels
from segsynth.errors import UserError

#: Score of class c at pixel i, with j over the labelled pixels of c and d the distance:
#: "nearest"       -tau min_j d_ij
#: "kde_sum"       log sum_j exp(-d_ij^2 / 2)
#: "kde_mean"      log mean_j exp(-d_ij^2 / 2)
#: "softmax_mean"  mean_j exp(-d_ij^2 / 2), the most literal one; its map is almost flat
Reading = Literal["nearest", "kde_sum", "kde_mean", "softmax_mean"]

#: exp(-3^2 / 2): with less than one labelled pixel 3 sd away a density says nothing.
_LONELY = 0.011


def label_heatmap(
    image: np.ndarray | Array,
    labels: np.ndarray | Array,
    num_classes: int,
    *,
    reading: Reading = "nearest",
    tau: float | int = 2.0,
    xy: float | int = 0.08,
    rgb: float | int = 26.0,
    exact: bool = False,
) -> Float[np.ndarray, "h w c"]:
    """Probability of each class at each pixel, from a map of labels with gaps.

    d_ij^2 = |p_i - p_j|^2 / (xy W)^2 + |I_i - I_j|^2 / rgb^2. Labelled pixels are one-hot, classes
    absent from the map exactly 0 everywhere, and each pixel's probabilities sum to 1. Densities are
    one filter on a lattice; where they vanish, and for "nearest", pixels are merged into cells
    (`segsynth.crf.nearest_cells`).

    Args:
      image: [H, W, 3], RGB, levels in 0..255.
      labels: [H, W], integers in 0 .. num_classes - 1, negative where unlabelled.
      num_classes: C, at least 1.
      reading: the similarity.
      tau: weight of the distance in "nearest", > 0.
      xy: unit of position as a share of the image's width, > 0.
      rgb: unit of colour, levels, > 0.
      exact: compare every pixel with every labelled pixel: O(N^2), a reference for small images.

    Raises:
      UserError: no labelled pixel, an id beyond the classes, sizes that do not match, an image
        that is not in levels of 0..255, a value out of its range.

    """
    image, labels = np.asarray(image), np.asarray(labels)
    _check(image, labels, num_classes, reading, {"tau": tau, "xy": xy, "rgb": rgb})
    labels = labels.astype(np.int64)
    known = labels >= 0
    present = np.unique(labels[known])
    heat = np.zeros((*labels.shape, num_classes), np.float32)
    heat[known, labels[known]] = 1.0
    if known.all():
        return heat
    if len(present) == 1:
        heat[..., present[0]] = 1.0
        return heat
    compact = np.where(known, np.searchsorted(present, labels), -1)
    width = xy * labels.shape[1]
    scores = _scores(image, compact, len(present), reading, tau, width, rgb, exact)
    rows = np.zeros((len(scores), num_classes), np.float32)
    rows[:, present] = _softmax(scores)
    heat[~known] = rows
    return heat


def _check(image, labels, num_classes, reading, positive) -> None:
    if reading not in get_args(Reading):
        raise UserError(f"reading={reading!r}: one of {', '.join(get_args(Reading))}")
    for name, value in positive.items():
        if not (np.isfinite(value) and value > 0):
            raise UserError(f"{name}={value}: a finite positive number is needed")
    if image.ndim != 3 or image.shape[-1] != 3:
        raise UserError(f"image of shape {image.shape}, expected (height, width, 3)")
    if labels.shape != image.shape[:2]:
        raise UserError(f"labels of shape {labels.shape}, image of {image.shape[:2]}: resize one")
    if not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"labels of type {labels.dtype}, expected integers")
    check_levels(image)
    if not (labels >= 0).any():
        raise UserError("no pixel is labelled: there is nothing to spread; label at least one")
    if labels.max() >= num_classes:
        raise UserError(
            f"label {labels.max()}, expected 0..{num_classes - 1}, negative = unlabelled: raise "
            "num_classes or map the ids"
        )


def _scores(image, labels, classes, reading, tau, xy, rgb, exact) -> np.ndarray:
    """Scores [unlabelled pixels, classes] of compact labels, all present; xy in pixels."""
    known = labels >= 0
    points = _features(image, xy, rgb)
    queries, points = points[~known], points[known]
    mine = labels[known]

    def nearest(rows):
        find = nearest_exact if exact else nearest_by_cells
        return -tau * find(queries[rows], points, mine, classes)

    if reading == "nearest":
        return nearest(slice(None))
    if exact:
        sums = density_exact(queries, points, mine, classes)
    else:
        sums = density(image, labels, classes, xy=xy, rgb=rgb)[~known].astype(np.float64)
    lonely = sums.sum(axis=1) < _LONELY
    means = sums / np.bincount(mine, minlength=classes) if reading != "kde_sum" else sums
    scores = means if reading == "softmax_mean" else np.log(np.maximum(means, 1e-30))
    if lonely.any():
        scores[lonely] = nearest(lonely)
    return scores


def _features(image, xy, rgb) -> np.ndarray:
    """(x, y, r, g, b) of each pixel in units of the distance, [H, W, 5]."""
    height, width = image.shape[:2]
    out = np.empty((height, width, 5), np.float32)
    out[..., 0] = np.arange(width)[None] / xy
    out[..., 1] = np.arange(height)[:, None] / xy
    out[..., 2:] = image / rgb
    return out


def _softmax(scores: np.ndarray) -> np.ndarray:
    scores = np.exp(scores.astype(np.float64) - scores.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)
