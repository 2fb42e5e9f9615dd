"""The interface of pydensecrf over this library's lattice, for programs that move over.

Shapes, argument order and signs are those of lucasb-eyer/pydensecrf at 2723c7f: values are (C, N)
with N = H W pixels in raster order, width comes before height, a number as compatibility is the
reward of a Potts model, a vector or matrix a penalty, and a matrix is symmetrised. Both kernels are
permutohedral lattices, as there, so results agree to rounding. New programs call
`segsynth.crf.infer` or `segsynth.crf.refine`.
"""

import functools
from collections.abc import Sequence
from numbers import Number
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from segsynth.crf import features as pixel_features
from segsynth.crf import unary as unaries
from segsynth.crf.lattice import Lattice, build_lattice, default_capacity
from segsynth.crf.materialise import materialise
from segsynth.crf.mean_field import penalty, scales
from segsynth.errors import UserError

#: Kinds of kernel. They differ in which widths the C++ code could learn, not in inference.
CONST_KERNEL, DIAG_KERNEL, FULL_KERNEL = range(3)
#: Normalisations of a kernel K with D = diag(K 1): K, K D^-1, D^-1 K, D^-1/2 K D^-1/2.
NO_NORMALIZATION, NORMALIZE_BEFORE, NORMALIZE_AFTER, NORMALIZE_SYMMETRIC = range(4)

_NORMS = {NORMALIZE_BEFORE: "before", NORMALIZE_AFTER: "after", NORMALIZE_SYMMETRIC: "symmetric"}
_EPS = 1e-20

Marginals = Float[np.ndarray, "c n"]
Widths = float | int | Sequence[float | int]
Compat = float | int | np.ndarray


class _Term(NamedTuple):
    """One pairwise energy: a kernel, factors before and after it, and the compatibility."""

    lattice: Lattice
    before: Array
    after: Array
    compat: Array


class DenseCRF:
    """A fully connected CRF over points with any features.

    Args:
      nvar: number N of points.
      nlabels: number C of labels.

    """

    def __init__(self, nvar: int, nlabels: int) -> None:
        self._points, self._classes = int(nvar), int(nlabels)
        self._unary = jnp.zeros((self._points, self._classes), jnp.float32)
        self._terms: list[_Term] = []

    def setUnaryEnergy(self, u: np.ndarray | Array) -> None:
        """Take -log probabilities (C, N).

        Raises:
          UserError: another shape, or NaN.

        """
        u = np.asarray(u, np.float32)
        if u.shape != (self._classes, self._points):
            raise UserError(
                f"unary of shape {u.shape}, expected {(self._classes, self._points)}: (labels, "
                "pixels in raster order)"
            )
        if np.isnan(u).any():
            raise UserError("the unary holds NaN, expected -log probability")
        self._unary = jnp.asarray(np.clip(u.T, -1e4, 1e4))

    def addPairwiseEnergy(
        self,
        features: np.ndarray | Array,
        compat: Compat,
        kernel: int = DIAG_KERNEL,
        normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """Add a Gaussian kernel over features (d, N), in standard deviations.

        Raises:
          UserError: another shape, values that are not finite, an unknown kernel or normalisation.

        """
        features = np.asarray(features, np.float32)
        if features.ndim != 2 or features.shape[1] != self._points or not features.shape[0]:
            raise UserError(f"features of shape {features.shape}, expected (d, {self._points})")
        if not np.isfinite(features).all():
            raise UserError("the features hold NaN or infinity, expected finite numbers")
        low, high = np.floor(features.min(axis=1)), np.ceil(features.max(axis=1))
        bounds = tuple(zip(low.tolist(), high.tolist(), strict=True))
        self._add(features.T, bounds, compat, kernel, normalization)

    def inference(self, niter: int) -> Marginals:
        """Marginals (C, N) after so many mean-field steps; each column sums to 1."""
        q = self._start()
        return np.array(_iterate(q, self._unary, tuple(self._terms), niter).T)

    def map(self, niter: int) -> Int[np.ndarray, " n"]:
        """The most probable label of each point after so many steps."""
        return self.inference(niter).argmax(axis=0)

    def startInference(self) -> tuple[Marginals, np.ndarray, np.ndarray]:
        """The softmax of the negated unary, and two buffers that `stepInference` ignores."""
        return np.array(self._start().T), np.empty((0, 0), np.float32), np.empty((0, 0), np.float32)

    def stepInference(self, Q: Marginals, tmp1: Any = None, tmp2: Any = None) -> None:
        """Replace the marginals by those one mean-field step later, in place."""
        Q[...] = np.asarray(_iterate(jnp.asarray(Q.T), self._unary, tuple(self._terms), 1)).T

    def klDivergence(self, Q: Marginals) -> float:
        """KL(Q || P) up to a constant, nats, with pydensecrf's constant.

        sum Q log Q + sum Q U + sum_k sum Q (mu_k K~_k Q), every pair counted twice. See
        `segsynth.crf.kl_divergence` for the free energy that mean field lowers.
        """
        q = jnp.asarray(Q.T)
        return float(_divergence(q, self._unary, tuple(self._terms)))

    def _start(self) -> Array:
        return jax.nn.softmax(-self._unary, axis=-1)

    def _add(self, features, bounds, compat, kernel, normalization) -> None:
        if kernel not in (CONST_KERNEL, DIAG_KERNEL, FULL_KERNEL):
            raise UserError(f"kernel={kernel}: CONST_KERNEL, DIAG_KERNEL or FULL_KERNEL")
        if normalization not in (NO_NORMALIZATION, *_NORMS):
            raise UserError(f"normalization={normalization}: NO_NORMALIZATION or a NORMALIZE_...")
        compat = _penalties(compat, self._classes)
        capacity = default_capacity(self._points, features.shape[1])
        while True:
            lattice = _build(jnp.asarray(features), bounds, capacity)
            if not bool(lattice.overflow):
                break
            capacity *= 2
        one = jnp.ones(self._points, jnp.float32)
        before = after = one
        if normalization != NO_NORMALIZATION:
            before, after = scales(lattice.mass(one), _NORMS[normalization], _EPS, jnp.zeros(()))
        self._terms.append(_Term(lattice, before, after, compat))


class DenseCRF2D(DenseCRF):
    """A fully connected CRF over the pixels of an image.

    Args:
      w: width of the image, pixels.
      h: height of it.
      nlabels: number C of labels.

    """

    def __init__(self, w: int, h: int, nlabels: int) -> None:
        super().__init__(w * h, nlabels)
        self._width, self._height = int(w), int(h)

    def addPairwiseGaussian(
        self,
        sxy: Widths,
        compat: Compat,
        kernel: int = DIAG_KERNEL,
        normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """Add a kernel over positions; ``sxy``: standard deviation or (x, y), pixels."""
        self._add(*self._scaled(_widths("sxy", sxy, 2)), compat, kernel, normalization)

    def addPairwiseBilateral(
        self,
        sxy: Widths,
        srgb: Widths,
        rgbim: np.ndarray,
        compat: Compat,
        kernel: int = DIAG_KERNEL,
        normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """Add a kernel over positions and colours.

        Args:
          sxy: standard deviation of positions or (x, y), pixels.
          srgb: standard deviation of colours or (r, g, b), levels.
          rgbim: [H, W, 3], uint8.
          compat: reward of equal labels, or penalties [C] or [C, C].
          kernel: ignored.
          normalization: of the kernel.

        Raises:
          UserError: another size or type of image, a width that is not positive.

        """
        rgbim, size = np.asarray(rgbim), (self._height, self._width, 3)
        if rgbim.shape != size or rgbim.dtype != np.uint8:
            raise UserError(f"image of {rgbim.dtype} {rgbim.shape}, expected uint8 {size}")
        widths = _widths("sxy", sxy, 2) + _widths("srgb", srgb, 3)
        self._add(*self._scaled(widths, rgbim), compat, kernel, normalization)

    def _scaled(self, widths, image=None):
        """Features [N, d] and static bounds, the same for every image of a size."""
        points = np.asarray(pixel_features.positions(self._height, self._width, 1.0))
        highest = [max(self._width - 1, 1), max(self._height - 1, 1)]
        if image is not None:
            points = np.concatenate([points, image.reshape(-1, 3).astype(np.float32)], axis=1)
            highest += [255] * 3
        points = points / np.asarray(widths, np.float32)
        return points, tuple((0.0, top / width) for top, width in zip(highest, widths, strict=True))


def unary_from_labels(
    labels: np.ndarray, n_labels: int, gt_prob: float, zero_unsure: bool = True
) -> Marginals:
    """Energies (C, N) of labels that are right with probability ``gt_prob``.

    Args:
      labels: integers, any shape; with ``zero_unsure`` 0 is unknown and classes begin at 1.
      n_labels: C, not counting "unknown".
      gt_prob: in (0, 1).
      zero_unsure: whether 0 means unknown, with uniform probability.

    Raises:
      UserError: a label beyond the classes, a probability out of range.

    """
    labels = np.asarray(labels).reshape(-1).astype(np.int64)
    low, high = (0, n_labels) if zero_unsure else (0, n_labels - 1)
    if labels.size and not low <= labels.min() <= labels.max() <= high:
        raise UserError(f"labels in {labels.min()}..{labels.max()}, expected {low}..{high}")
    shifted = jnp.asarray(labels - 1 if zero_unsure else labels, jnp.int32)
    return np.array(unaries.unary_from_labels(shifted, n_labels, float(gt_prob)).T, order="C")


def unary_from_softmax(
    sm: np.ndarray, scale: float | int | None = None, clip: float | None = 1e-5
) -> Marginals:
    """Energies (C, N) of probabilities (C, ...).

    Args:
      sm: probabilities, classes first.
      scale: how far they are believed, in (0, 1]: the rest is uniform.
      clip: probabilities below are this, so that energies stay finite.

    Raises:
      UserError: a scale out of range.

    """
    sm = np.asarray(sm, np.float32)
    if scale is not None:
        if not 0 < scale <= 1:
            raise UserError(f"scale={scale}: expected above 0 and at most 1")
        sm = scale * sm + (1 - scale) / len(sm)
    if clip is not None:
        sm = np.clip(sm, clip, 1.0)
    with np.errstate(divide="ignore"):
        return -np.log(sm).reshape(len(sm), -1).astype(np.float32)


def _widths(name: str, value: Any, count: int) -> tuple[float, ...]:
    widths = (value,) * count if isinstance(value, Number) else tuple(value)
    if len(widths) != count or not all(np.isfinite(w) and w > 0 for w in widths):
        raise UserError(f"{name}={value}: one positive number, or {count} of them")
    return tuple(max(float(width), pixel_features.NARROWEST) for width in widths)


def _penalties(compat: Any, classes: int) -> Array:
    """A compatibility in this library's sign: a reward c is the Potts penalty c."""
    compat = np.asarray(compat, np.float32)
    if compat.shape not in ((), (classes,), (classes, classes)):
        raise UserError(f"compat of shape {compat.shape}, expected a number, [C] or [C, C]")
    return jnp.asarray(0.5 * (compat + compat.T) if compat.ndim == 2 else compat)


@functools.partial(jax.jit, static_argnames=("bounds", "capacity"))
def _build(features, bounds, capacity):
    return build_lattice(features, bounds=bounds, capacity=capacity)


def _energy(q: Array, terms: tuple[_Term, ...]) -> Array:
    """Expected pairwise energy of each label [N, C]."""
    total = jnp.zeros_like(q)
    for lattice, before, after, compat in terms:
        total = total + penalty(lattice.filter(q, before, after), 1.0, compat)
    return total


@jax.jit
def _iterate(q: Array, unary: Array, terms: tuple[_Term, ...], steps: int | Array) -> Array:
    zero = terms[0].lattice.zero if terms else jnp.zeros((), jnp.int32)

    def step(_, q):
        logits = materialise(-unary - _energy(q, terms), zero)
        return materialise(jax.nn.softmax(logits, axis=-1), zero)

    return lax.fori_loop(0, steps, step, q)


@jax.jit
def _divergence(q: Array, unary: Array, terms: tuple[_Term, ...]) -> Array:
    return jnp.sum(q * (jnp.log(jnp.maximum(q, _EPS)) + unary + _energy(q, terms)))
