"""One call from a rough annotation to a dense label map: heat map, CRF, given labels kept."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Integer, UInt8

from segsynth.crf.heat_map import label_heatmap
from segsynth.crf.inference import InferMode, infer_batch
from segsynth.crf.pictures import as_labels, as_picture
from segsynth.crf.presets import Heat, Refinement, preset_of
from segsynth.crf.unary import unary_from_heatmap, unary_from_labels
from segsynth.errors import UserError

Labels = Integer[np.ndarray, "h w"]
Refined = tuple[Labels, Float[np.ndarray, "h w c"]]


def refine(
    image: np.ndarray | Array | Any,
    labels: np.ndarray | Array | Any,
    *,
    num_classes: int,
    unlabelled: int = 255,
    ignore: int | None = None,
    preset: str | Refinement = "coarse",
    fast: bool = False,
    probabilities: bool = False,
) -> Labels | Refined:
    """Label every pixel of a picture that is labelled in part.

    Eq. 5 of "Semantic segmentation using coarse label maps": a given label stays, and a pixel
    without one takes the most probable label of a fully connected CRF, among those that occur
    in the map. No training.

    Args:
      image: [H, W, 3], RGB, levels in 0..255; [H, W] and [H, W, 1] are taken as grey.
      labels: [H, W], integers: a class in 0 .. num_classes - 1, or ``unlabelled``.
      num_classes: how many classes there are.
      unlabelled: the value of pixels to fill in; may lie among the class numbers.
      ignore: the value of pixels to leave out, e.g. the frame of a scan: they keep it, and tell
        the others nothing. May lie among the class numbers, which is then no class.
      preset: "coarse", "pydensecrf" or a `segsynth.crf.Refinement`.
      fast: iterate on 2x2 pixels and finish at full resolution: less time, about 1 % of the pixels
        change.
      probabilities: also return the marginals.

    Returns:
      Labels [H, W] of the type of ``labels``, all in 0 .. num_classes - 1 or ``ignore``. With
      ``probabilities`` a pair of these and of float32 [H, W, num_classes]: one-hot where a label
      was given, 0 for classes that do not occur and for pixels that are left out.

    Raises:
      UserError: no labelled pixel, an id beyond the classes, sizes that do not match, a picture
        that is not in levels of 0..255, an unknown preset.

    """
    job = _checked(image, labels, num_classes, unlabelled, ignore)
    return _finish([job], num_classes, preset_of(preset), fast, probabilities, None)[0]


def refine_batch(
    images: Sequence[Any] | np.ndarray | Array,
    labels: Sequence[Any] | np.ndarray | Array,
    *,
    num_classes: int,
    unlabelled: int = 255,
    ignore: int | None = None,
    preset: str | Refinement = "coarse",
    fast: bool = False,
    probabilities: bool = False,
    mesh: Mesh | None = None,
) -> list[Labels] | list[Refined]:
    """`refine` on several pictures, of one size or of many.

    Pictures of one size with the same classes are inferred together, one after another on each
    device; the unaries of such a group are in memory at once.

    Args:
      images: pictures, each as in `refine`.
      labels: as many label maps.
      num_classes: as in `refine`.
      unlabelled: as in `refine`.
      ignore: as in `refine`.
      preset: as in `refine`.
      fast: as in `refine`.
      probabilities: as in `refine`.
      mesh: devices among which the pictures of a group are split; absent, the default device.

    Raises:
      UserError: as `refine`, naming the place in the batch; lists of different lengths.

    """
    if len(images) != len(labels):
        raise UserError(
            f"{len(images)} images and {len(labels)} label maps: one for each is needed"
        )
    jobs = []
    for place, (image, coarse) in enumerate(zip(images, labels, strict=True)):
        try:
            jobs.append(_checked(image, coarse, num_classes, unlabelled, ignore))
        except UserError as error:
            raise UserError(f"image {place} of the batch: {error}") from None
    return _finish(jobs, num_classes, preset_of(preset), fast, probabilities, mesh)


def refine_maps(
    images: np.ndarray, maps: np.ndarray, *, num_classes: int, unlabelled: int, **options: Any
) -> UInt8[np.ndarray, "b h w 1"]:
    """`refine_batch` on a batch as systems hold it; a map without any label stays as it is.

    Args:
      images: uint8 [B, H, W, 3].
      maps: [B, H, W, 1], as the labels of `refine`, at most 255.
      num_classes: as in `refine`.
      unlabelled: as in `refine`.
      **options: of `refine_batch`.

    Raises:
      UserError: as `refine_batch`.

    """
    images, out = np.asarray(images), np.asarray(maps).astype(np.uint8)
    known = [place for place, one in enumerate(out) if (one != unlabelled).any()]
    given = list(np.asarray(maps)[known, ..., 0])
    found = refine_batch(
        list(images[known]), given, num_classes=num_classes, unlabelled=unlabelled, **options
    )
    for place, one in zip(known, found, strict=True):
        out[place, ..., 0] = one
    return out


class _Job(NamedTuple):
    """A picture whose labels are numbered without gaps: -1 unlabelled, k = ``present[k]``."""

    image: np.ndarray
    given: np.ndarray
    compact: np.ndarray
    #: Pixels that are left out, -1 in ``compact`` too.
    out: np.ndarray
    present: tuple[int, ...]


def _checked(image, labels, num_classes, unlabelled, ignore) -> _Job:
    image, given = as_picture(image), as_labels(labels)
    if given.shape != image.shape[:2]:
        raise UserError(
            f"image of {image.shape[1]} x {image.shape[0]} pixels, labels of {given.shape[1]} x "
            f"{given.shape[0]}: resize the labels to the image by nearest neighbour"
        )
    if ignore == unlabelled:
        raise UserError(
            f"unlabelled and ignore are both {ignore}: one is to be filled in, the other kept; "
            "give them different values"
        )
    out = np.zeros(given.shape, bool) if ignore is None else given == ignore
    known = (given != unlabelled) & ~out
    if not known.any():
        raise UserError(
            f"every pixel has the label {unlabelled}, unlabelled"
            f"{f', or {ignore}, ignore' if out.any() else ''}: there is nothing to spread; "
            "label at least one"
        )
    present = np.unique(given[known])
    beyond = present[(present < 0) | (present >= num_classes)]
    if len(beyond):
        raise UserError(
            f"label {beyond[-1]} among the labels, expected 0..{num_classes - 1} or {unlabelled} "
            "for unlabelled: map the ids, or set num_classes or unlabelled"
        )
    compact = np.where(known, np.searchsorted(present, given), -1).astype(np.int32)
    # Masked pixels send nothing, but their colours would still make vertices, which others use.
    image = np.where(out[..., None], image.dtype.type(0), image) if out.any() else image
    return _Job(image, given, compact, out, tuple(present.tolist()))


def _finish(jobs, num_classes, how, fast, probabilities, mesh) -> list:
    groups: dict[tuple, list[int]] = {}
    for place, job in enumerate(jobs):
        groups.setdefault((job.given.shape, job.present), []).append(place)
    out: list[Any] = [None] * len(jobs)
    for places in groups.values():
        group = [jobs[place] for place in places]
        marginals = _marginals(group, num_classes, how, fast, mesh)
        for place, job, q in zip(places, group, marginals, strict=True):
            out[place] = _answer(job, q, num_classes, probabilities)
    return out


def _marginals(group: list[_Job], num_classes, how: Refinement, fast: bool, mesh) -> np.ndarray:
    """Marginals [B, H, W, present classes] of pictures of one size with the same classes."""
    present = group[0].present
    labels = np.stack([job.compact for job in group])
    out = np.stack([job.out for job in group])
    if len(present) == 1 or (out | (labels >= 0)).all():
        return labels[..., None] == np.arange(len(present))
    compat = None
    if how.compat is not None:
        compat = np.asarray(how.compat, np.float32)
        if compat.shape != (num_classes, num_classes):
            raise UserError(f"compat of shape {compat.shape} for {num_classes} classes")
        compat = compat[np.ix_(present, present)]
    images = np.stack([job.image for job in group])
    q = infer_batch(
        images,
        np.stack([_unary(job, how.unary) for job in group]),
        how.crf_at(images.shape[2]),
        mode=_mode(how.mode, fast),
        labels=labels,
        compat=compat,
        mask=~out if out.any() else None,
        mesh=mesh,
    )
    return np.asarray(q)


def _mode(mode: Literal["full", "pinned", "exact"], fast: bool) -> InferMode:
    if not fast:
        return mode
    return "fast" if mode == "pinned" else "coarse_to_fine"


def _unary(job: _Job, how) -> np.ndarray:
    classes = len(job.present)
    if not isinstance(how, Heat):
        return np.asarray(unary_from_labels(jnp.asarray(job.compact), classes, how.gt_prob))
    heat = label_heatmap(
        job.image, job.compact, classes, reading=how.reading, tau=how.tau, xy=how.xy, rgb=how.rgb
    )
    return np.asarray(unary_from_heatmap(jnp.asarray(heat)))


def _answer(job: _Job, q: np.ndarray, num_classes: int, probabilities: bool) -> Any:
    known = job.compact >= 0
    present = np.asarray(job.present, job.given.dtype)
    # One class has nothing to compare.
    found = present[q.argmax(-1)] if len(present) > 1 else np.full_like(job.given, present[0])
    dense = np.where(known | job.out, job.given, found)
    if not probabilities:
        return dense
    marginals = np.zeros((*dense.shape, num_classes), np.float32)
    marginals[..., list(job.present)] = 1.0 if len(present) == 1 else q
    marginals[known | job.out] = 0.0
    marginals[known, job.given[known].astype(np.int64)] = 1.0
    return dense, marginals
