"""Mean-field inference in a fully connected CRF: full, pinned to labels, and coarse to fine.

Kraehenbuehl and Koltun, "Efficient inference in fully connected CRFs with Gaussian edge
potentials", NeurIPS 2011, algorithm 1: Q <- softmax(-U - sum_k w_k mu_k K~_k Q).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from segsynth.crf.exact import Exact
from segsynth.crf.features import sample
from segsynth.crf.gaussian import Separable
from segsynth.crf.lattice import Lattice, runtime_zero
from segsynth.crf.materialise import materialise
from segsynth.crf.parameters import Normalisation

Kernel = Lattice | Separable | Exact
Mode = Literal["full", "pinned", "coarse_to_fine"]
Weight = float | int | Float[Array, ""]
#: Penalty mu >= 0: a number c is Potts, c (1 - I); a vector is the diagonal of a matrix; a matrix
#: [C, C] applies as it is. None is Potts with 1.
Compat = float | int | Float[Array, "..."] | None

#: A logit that far below the highest has probability e-30: exp of less makes subnormals, on which
#: CPUs are slow.
_FLOOR = -30.0
_EPS = 1e-20
#: Sampled senders may leave a pixel without any neighbour in the lattice.
_EPS_SAMPLED = 1e-3


class _Scaled(NamedTuple):
    """A kernel with its normalisation, on the points that change."""

    kernel: Kernel
    before: Array
    after: Array
    #: What the points that do not change contribute to the field.
    fixed: Array | None
    weight: Weight
    compat: Compat
    mean: Array


def mean_field(
    unary: Float[Array, "h w c"],
    kernels: Sequence[Kernel],
    weights: Sequence[Weight],
    compat: Compat | tuple[Compat, ...] = None,
    *,
    iters: int,
    norm: Normalisation = "symmetric",
    mode: Mode = "full",
    mask: Bool[Array, "h w"] | None = None,
    labels: Int[Array, "h w"] | None = None,
    free: Int[Array, " f"] | None = None,
    free_samples: Int[Array, " g"] | None = None,
    readers: Sequence[Kernel] | None = None,
) -> Float[Array, "h w c"]:
    """Marginals after ``iters`` parallel updates.

    In mode "full" differentiable in the unary, the weights and the compatibility, and, with `Exact`
    kernels, in their features.

    Args:
      unary: -log probability, finite.
      kernels: over the pixels in raster order; in mode "coarse_to_fine" over one pixel of each 2x2
        block, `segsynth.crf.features.sample`.
      weights: of each kernel.
      compat: penalty of each pair of labels, for all kernels or a tuple with one for each.
      iters: number of updates, static.
      norm: how kernels are normalised; "none" divides by the mean of K 1, unlike pydensecrf.
      mode: "pinned" keeps labelled pixels at one-hot and updates the others only.
        "coarse_to_fine" runs all updates but the last on a quarter of the pixels, and the last one
        on all of them, listening to that quarter; with ``labels`` it also pins.
      mask: pixels that send; the others only receive.
      labels: 0 .. C-1, or negative where unlabelled; for pinning.
      free: flat numbers of the unlabelled pixels, padded with h w at the end; required with labels.
      free_samples: the same among the sampled pixels, for coarse_to_fine.
      readers: in coarse_to_fine, the kernels as read at the pixels (``for_reading``), all of them
        or those in ``free``.

    Raises:
      ValueError: what a mode requires is missing, or `Exact` kernels in another mode than "full".

    """
    if len(kernels) != len(weights):
        raise ValueError(f"{len(kernels)} kernels need as many weights, not {len(weights)}")
    if mode not in get_args(Mode):
        raise ValueError(f"mode={mode!r}: one of {', '.join(get_args(Mode))}")
    if (mode == "pinned" and labels is None) or (labels is not None and free is None):
        raise ValueError("pinning needs labels and free, the numbers of unlabelled pixels")
    if mode == "coarse_to_fine" and readers is None:
        raise ValueError("coarse_to_fine needs readers: each kernel as read at the pixels")
    if mode != "full" and any(isinstance(kernel, Exact) for kernel in (*kernels, *(readers or ()))):
        raise ValueError(f"mode={mode!r} needs kernels that collect and read, not Exact ones")
    if mode == "full":
        labels = None
    compats = compat if isinstance(compat, tuple) else (compat,) * len(kernels)
    terms = list(zip(kernels, weights, compats, strict=True))
    height, width, classes = unary.shape
    flat = unary.reshape(-1, classes)
    if mode == "coarse_to_fine":
        q = _coarse_to_fine(unary, terms, readers, iters, norm, labels, free, free_samples, mask)
    else:
        sends = None if mask is None else mask.reshape(-1).astype(jnp.float32)
        fixed = None if labels is None else labels.reshape(-1)
        scaled = _prepare(terms, flat.shape, norm, _EPS, sends, fixed, free)
        q = _iterate(flat if fixed is None else _pick(flat, free), scaled, iters)
    if labels is not None:
        known = jax.nn.one_hot(labels.reshape(-1), classes, dtype=q.dtype)
        q = known.at[free].set(q, mode="drop")
    return q.reshape(height, width, classes)


def scales(
    mass: Float[Array, " n"], norm: Normalisation, eps: float, mean: Float[Array, ""]
) -> tuple[Array, Array]:
    """Factors before and after a kernel whose row sums are ``mass``."""
    one = jnp.ones_like(mass)
    if norm == "symmetric":
        root = lax.rsqrt(mass + eps)
        return root, root
    if norm == "before":
        return 1.0 / (mass + eps), one
    if norm == "after":
        return one, 1.0 / (mass + eps)
    return one, one / (mean + eps)


def normalised_messages(
    q: Float[Array, "n c"],
    kernels: Sequence[Kernel],
    weights: Sequence[Weight],
    compat: Compat | tuple[Compat, ...],
    norm: Normalisation,
) -> list[tuple[Array, Weight, Compat]]:
    """(K~ Q, weight, compatibility) of each kernel."""
    compats = compat if isinstance(compat, tuple) else (compat,) * len(kernels)
    terms = list(zip(kernels, weights, compats, strict=True))
    scaled = _prepare(terms, q.shape, norm, _EPS, None, None, None)
    return [(_message(term, q), term.weight, term.compat) for term in scaled]


def _prepare(terms, shape, norm, eps, sends, labels, free) -> list[_Scaled]:
    """Normalise each kernel; with labels, restrict it to the free points."""
    n, classes = shape
    prepared = []
    for kernel, weight, compat in terms:
        sent = jnp.ones(n, jnp.float32) if sends is None else sends
        mass = kernel.mass(sent)
        mean = (mass * sent).sum() / jnp.maximum(sent.sum(), 1.0)
        before, after = scales(mass, norm, eps, mean)
        before, fixed = before * sent, None
        if labels is not None:
            fixed = kernel.collect_labels(labels, before, classes)
            kernel = kernel.at(jnp.minimum(free, n - 1))
            before = jnp.where(free < n, _pick(before, free), 0.0)
            after = _pick(after, free)
        prepared.append(_Scaled(kernel, before, after, fixed, weight, compat, mean))
    return prepared


def _pick(x: Array, points: Array) -> Array:
    return x.at[points].get(mode="clip")


def _iterate(unary: Array, scaled: list[_Scaled], iters: int) -> Array:
    zero = runtime_zero(unary)

    def update(q, _=None):
        logits = -unary
        for term in scaled:
            logits = logits - penalty(_message(term, q), term.weight, term.compat)
        return _softmax(logits, zero), None

    q = _softmax(-unary, zero)
    # A loop costs no more than the updates written out one after another, and compiles once.
    return lax.scan(update, q, None, length=iters)[0]


def _message(term: _Scaled, q: Array) -> Array:
    if term.fixed is None:
        return term.kernel.filter(q, term.before, term.after)
    return term.kernel.read(_field(term, q), term.after)


def _field(term: _Scaled, q: Array) -> Array:
    field = term.kernel.collect(q, term.before)
    return term.kernel.spread(field if term.fixed is None else field + term.fixed)


def penalty(message: Array, weight: Weight, compat: Compat, constant: bool = False) -> Array:
    """W mu K~ Q; for Potts up to a constant per point, which softmax ignores, unless asked for."""
    compat = jnp.asarray(1.0 if compat is None else compat, jnp.float32)
    if compat.ndim == 0:
        total = message.sum(-1, keepdims=True) if constant else 0.0
        return (weight * compat) * (total - message)
    if compat.ndim == 1:
        return (weight * compat)[None] * message
    return jnp.dot(message, (weight * compat).T, precision="highest")


def _softmax(logits: Array, zero: Array) -> Array:
    logits = materialise(logits, zero)
    logits = logits - lax.stop_gradient(logits.max(-1, keepdims=True))
    return materialise(jax.nn.softmax(jnp.maximum(logits, _FLOOR), axis=-1), zero)


def _coarse_to_fine(unary, terms, readers, iters, norm, labels, free, free_samples, mask) -> Array:
    classes = unary.shape[-1]
    pixels = unary.reshape(-1, classes)
    if labels is not None:
        pixels = _pick(pixels, free)
    zero = runtime_zero(unary)
    if iters == 0:
        return _softmax(-pixels, zero)
    samples = sample(unary).reshape(-1, classes)
    sends = jnp.ones(samples.shape[0], jnp.float32)
    if mask is not None:
        sends = sample(mask).reshape(-1).astype(jnp.float32)
    fixed = None if labels is None else sample(labels).reshape(-1)
    scaled = _prepare(terms, samples.shape, norm, _EPS_SAMPLED, sends, fixed, free_samples)
    if fixed is not None:
        samples = _pick(samples, free_samples)
    q = _iterate(materialise(samples, zero), scaled, iters - 1)
    logits = -pixels
    for term, (kernel, _, _), reader in zip(scaled, terms, readers, strict=True):
        here = jnp.ones(pixels.shape[0], jnp.float32)
        mass = reader.read(kernel.spread(kernel.collect_one(sends)[:, None]), here)[:, 0]
        # Only "none" uses a mean, and there it must be the one that the samples were given.
        _, after = scales(mass, norm, _EPS_SAMPLED, term.mean)
        message = reader.read(_field(term, q), after)
        logits = logits - penalty(message, term.weight, term.compat)
    return _softmax(logits, zero)
