"""Inference on one image or a batch: checks, feature bounds, capacities, pruned classes."""

import functools
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from segsynth.crf import features
from segsynth.crf.exact import Exact
from segsynth.crf.gaussian import separable
from segsynth.crf.lattice import build_lattice, default_capacity
from segsynth.crf.mean_field import mean_field
from segsynth.crf.parameters import Crf
from segsynth.crf.pictures import check_levels
from segsynth.errors import UserError

#: "fast" is coarse to fine, with labelled pixels pinned where labels are given. "exact" is "full"
#: with the dense appearance kernel in place of the lattice.
InferMode = Literal["full", "pinned", "coarse_to_fine", "fast", "exact"]

#: Lists of free points are padded to a multiple of an eighth of all: few compilations.
_SHARES = 8
#: A class whose probability nowhere passes this is left out: the clip of `unary_from_heatmap`.
_ABSENT = 1.01e-5
#: Stands in for an infinite unary.
_IMPOSSIBLE = 1e4
#: Capacities that were found after an overflow, by (points, crf, mode), the oldest first.
_found_capacities: dict[tuple[int, Crf, str], int] = {}
_REMEMBERED = 64


def infer(
    image: np.ndarray | Array,
    unary: np.ndarray | Array,
    crf: Crf,
    *,
    mode: InferMode = "full",
    labels: np.ndarray | Array | None = None,
    compat: float | np.ndarray | Array | None = None,
    mask: np.ndarray | Array | None = None,
) -> Float[Array, "h w c"]:
    """Marginals of a fully connected CRF on one image.

    Compiled once for each combination of image size, number of classes, ``crf`` and mode; where
    labels are pinned, for each of at most eight shares of unlabelled pixels as well, and again if
    the image needs more vertices than any before. Classes
    whose probability is nowhere above the unary's clip are left out and get probability 0.

    Args:
      image: [H, W, 3], RGB, levels in 0..255.
      unary: [H, W, C], -log probability; infinity is allowed, NaN is not.
      crf: weights and widths; widths in pixels of this image.
      mode: "full" updates every pixel at full resolution. "pinned" keeps labelled pixels at their
        label. "coarse_to_fine" runs all updates but the last on every fourth pixel, and the
        last on all. "fast" is coarse_to_fine, pinned where ``labels`` are given. "exact" is
        "full" with the appearance kernel over all pairs of pixels, in blocks: quadratic in the
        number of pixels, for small images and accelerators.
      labels: [H, W], integers in 0 .. C-1, negative where unlabelled; used by "pinned" and "fast".
      compat: penalty of pairs of labels, as in `mean_field`; None is Potts.
      mask: [H, W], whether a pixel sends messages; all receive.

    Raises:
      UserError: sizes that do not match, an image that is not in levels of 0..255, NaN, labels out
        of range, or an argument that the mode cannot use.

    """
    one = [None if x is None else jnp.asarray(x)[None] for x in (image, unary, labels, mask)]
    return infer_batch(*one[:2], crf, mode=mode, labels=one[2], compat=compat, mask=one[3])[0]


def infer_batch(
    images: np.ndarray | Array,
    unaries: np.ndarray | Array,
    crf: Crf,
    *,
    mode: InferMode = "full",
    labels: np.ndarray | Array | None = None,
    compat: float | np.ndarray | Array | None = None,
    mask: np.ndarray | Array | None = None,
    mesh: Mesh | None = None,
) -> Float[Array, "b h w c"]:
    """`infer` on images of one size, one after another on each device: the same numbers, bit for
    bit, in memory for one image.

    Args:
      images: [B, H, W, 3].
      unaries: [B, H, W, C].
      crf: weights and widths.
      mode: as in `infer`.
      labels: [B, H, W].
      compat: as in `infer`.
      mask: [B, H, W]; for images of mixed sizes, padded to one, the pixels that are real.
      mesh: devices among which the images are split, over all its axes; absent, the default device.

    Raises:
      UserError: as `infer`.

    """
    job = _check(images, unaries, mode, labels, compat, mask)
    count, height, width, classes = job.unaries.shape
    kept = _present(job)
    job = job.only(kept)
    if len(kept) == 1 or count == 0:
        q = jnp.ones((count, height, width, len(kept)), jnp.float32)
    else:
        q = _solve_until_it_fits(job, crf, mesh)
    if len(kept) == classes:
        return q
    return jnp.zeros((count, height, width, classes), q.dtype).at[..., kept].set(q)


class _Job(NamedTuple):
    """What was asked for, checked."""

    images: Array
    unaries: Array
    labels: np.ndarray | None
    compat: Array | None
    mask: Array | None
    mode: InferMode

    def only(self, kept: np.ndarray) -> "_Job":
        """Leave out all classes but these."""
        if len(kept) == self.unaries.shape[-1]:
            return self
        labels, compat = self.labels, self.compat
        if labels is not None:
            labels = np.where(labels < 0, -1, np.searchsorted(kept, np.maximum(labels, 0)))
        if compat is not None:
            for axis in range(compat.ndim):
                compat = jnp.take(compat, kept, axis=axis)
        return self._replace(unaries=self.unaries[..., kept], labels=labels, compat=compat)


def _check(images, unaries, mode, labels, compat, mask) -> _Job:
    if mode not in get_args(InferMode):
        raise UserError(f"mode={mode!r}: one of {', '.join(get_args(InferMode))}")
    images, unaries = jnp.asarray(images), jnp.asarray(unaries, jnp.float32)
    if images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape[1:]:
        raise UserError(f"image of shape {images.shape[1:]}, expected (height, width, 3)")
    size = images.shape[:3]
    if unaries.ndim != 4 or unaries.shape[:3] != size or unaries.shape[-1] == 0:
        raise UserError(f"unary of shape {unaries.shape[1:]}, expected ({size[1]}, {size[2]}, C)")
    check_levels(images)
    if bool(jnp.isnan(unaries).any()):
        raise UserError("the unary holds NaN, expected -log probability; clip before the logarithm")
    unaries = jnp.clip(unaries, -_IMPOSSIBLE, _IMPOSSIBLE)
    classes = unaries.shape[-1]
    if mode == "pinned" and labels is None:
        raise UserError("mode='pinned' without labels: give them, or use mode='full'")
    if mode in ("full", "coarse_to_fine", "exact"):
        labels = None
    if labels is not None:
        labels = np.asarray(labels).astype(np.int32)
        if labels.shape != size:
            raise UserError(f"labels of shape {labels.shape[1:]}, expected {size[1:]}")
        if labels.size and labels.max() >= classes:
            raise UserError(f"label {labels.max()} of {classes} classes; unlabelled is negative")
        labels = np.maximum(labels, -1)
    if compat is not None:
        compat = jnp.asarray(compat, jnp.float32)
        if compat.shape not in ((), (classes,), (classes, classes)):
            raise UserError(f"compat of shape {compat.shape}: a number, [C] or [C, C], C={classes}")
        if not bool(jnp.isfinite(compat).all()):
            raise UserError("compat is not finite: penalties are finite numbers, 0 for none")
    if mask is not None:
        mask = jnp.asarray(mask).astype(bool)
        if mask.shape != size:
            raise UserError(f"mask of shape {mask.shape[1:]}, expected {size[1:]}")
    return _Job(images, unaries, labels, compat, mask, mode)


def _present(job: _Job) -> np.ndarray:
    """The classes that some pixel may have, at least one."""
    classes = job.unaries.shape[-1]
    lowest = np.asarray(job.unaries.min((0, 1, 2))) if job.unaries.size else np.zeros(classes)
    # Only a class that is unlikely in every pixel is worth the softmax.
    if classes == 1 or not (lowest > lowest.min() + 2.0).any():
        return np.arange(classes)
    highest = np.asarray(_highest(job.unaries))
    keep = highest > _ABSENT
    if job.labels is not None:
        keep[np.unique(job.labels[job.labels >= 0])] = True
    return np.flatnonzero(keep)


@jax.jit
def _highest(unaries: Array) -> Array:
    return jax.nn.softmax(-unaries, axis=-1).max((0, 1, 2))


def _solve_until_it_fits(job: _Job, crf: Crf, mesh: Mesh | None) -> Array:
    """Infer with a usual number of vertices, then with twice as many until none is dropped."""
    count, height, width, _ = job.unaries.shape
    points = height * width
    if job.mode in ("coarse_to_fine", "fast"):
        points = -(-height // 2) * -(-width // 2)
    free = samples = labels = None
    if job.labels is not None:
        few = np.asarray(jax.vmap(features.sample)(jnp.asarray(job.labels)))
        free, samples = _padded(job.labels, few)
        labels = jnp.asarray(job.labels)
    arrays = (job.images, job.unaries, labels, free, samples, job.mask)
    compat, mode = job.compat, "coarse_to_fine" if job.mode == "fast" else job.mode
    if mesh is not None:
        mesh = Mesh(mesh.devices, mesh.axis_names)  # its axes automatic, whatever they were
        arrays, compat = _place(arrays, compat, mesh)
    key = points, crf, mode
    capacity = max(default_capacity(points), _found_capacities.get(key, 0))
    while True:
        q, overflow = _solve(arrays, compat, crf=crf, mode=mode, capacity=capacity, mesh=mesh)
        if not bool(overflow.any()):
            return q[:count]
        capacity *= 2
        _remember(key, capacity)


def _remember(key: tuple[int, Crf, str], capacity: int) -> None:
    _found_capacities.pop(key, None)
    _found_capacities[key] = capacity
    if len(_found_capacities) > _REMEMBERED:
        del _found_capacities[next(iter(_found_capacities))]


def _padded(*maps: np.ndarray) -> list[Array]:
    """Numbers of the unlabelled points of each label map [B, H, W], padded with the number of all.

    All are padded to the same share of their points, so that their lengths are one of few pairs.
    """
    lists = [[np.flatnonzero(one < 0) for one in labels] for labels in maps]
    totals = [labels[0].size for labels in maps]
    steps = [-(-total // _SHARES) for total in totals]
    count = max(
        -(-len(one) // step) for free, step in zip(lists, steps, strict=True) for one in free
    )
    out = []
    for free, total, step in zip(lists, totals, steps, strict=True):
        length = max(1, count) * step
        rows = [np.pad(one, (0, length - len(one)), constant_values=total) for one in free]
        out.append(jnp.asarray(np.stack(rows), jnp.int32))
    return out


@functools.partial(jax.jit, static_argnames=("crf", "mode", "capacity", "mesh"))
def _solve(arrays, compat, *, crf, mode, capacity, mesh):
    def each(arrays, compat):
        one = functools.partial(_one, compat=compat, crf=crf, mode=mode, capacity=capacity)
        return lax.map(lambda row: one(*row), arrays)

    if mesh is None:
        return each(arrays, compat)
    split, whole = PartitionSpec(mesh.axis_names), PartitionSpec()
    spread = jax.shard_map(
        each, mesh=mesh, in_specs=(split, whole), out_specs=split, check_vma=False
    )
    return spread(arrays, compat)


def _place(arrays, compat, mesh: Mesh):
    """Split the images over the devices, the last ones repeated until they come out even."""
    extra = -arrays[0].shape[0] % mesh.size
    arrays = jax.tree.map(lambda x: jnp.concatenate([x, x[-1:].repeat(extra, 0)]), arrays)
    arrays = jax.device_put(arrays, NamedSharding(mesh, PartitionSpec(mesh.axis_names)))
    return arrays, jax.device_put(compat, NamedSharding(mesh, PartitionSpec()))


def _one(image, unary, labels, free, samples, mask, *, compat, crf, mode, capacity):
    """Marginals of one image, and whether vertices were dropped."""
    height, width = image.shape[:2]
    coarse = mode == "coarse_to_fine"
    kernels, weights, readers = [], [], []
    overflow = jnp.zeros((), bool)
    if crf.appearance > 0:
        xy = max(crf.appearance_xy, features.NARROWEST)
        rgb = max(crf.appearance_rgb, features.NARROWEST)
        points = features.bilateral(image, xy, rgb)
        weights.append(crf.appearance)
    if crf.appearance > 0 and mode == "exact":
        kernels.append(Exact(points))
    elif crf.appearance > 0:
        sources = points
        if coarse:
            sources = features.sample(points.reshape(height, width, 5)).reshape(-1, 5)
        lattice = build_lattice(
            sources,
            bounds=features.bilateral_bounds(height, width, xy, rgb),
            capacity=capacity,
            with_rows=labels is None,
        )
        overflow = lattice.overflow
        kernels.append(lattice)
        if coarse:
            points = points if free is None else points.at[free].get(mode="clip")
            readers.append(lattice.for_reading(points))
    if crf.smoothness > 0:
        kernel = separable((height, width), crf.smoothness_xy)
        kernel = kernel.coarse() if coarse else kernel
        kernels.append(kernel)
        weights.append(crf.smoothness)
        at = None if free is None else jnp.minimum(free, height * width - 1)
        readers.append(kernel.for_reading(at))
    q = mean_field(
        unary,
        kernels,
        weights,
        compat,
        iters=crf.iterations,
        norm=crf.normalisation,
        mode="full" if mode == "exact" else mode,
        mask=mask,
        labels=labels,
        free=free,
        free_samples=samples,
        readers=readers if coarse else None,
    )
    return q, overflow
