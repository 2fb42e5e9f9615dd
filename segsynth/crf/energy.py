"""The energy of a labelling and the free energy that mean field lowers."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from segsynth.crf.mean_field import Compat, Kernel, Weight, normalised_messages, penalty
from segsynth.crf.parameters import Normalisation


def energy(
    unary: Float[Array, "h w c"],
    labels: Int[Array, "h w"],
    kernels: Sequence[Kernel],
    weights: Sequence[Weight],
    compat: Compat | tuple[Compat, ...] = None,
    *,
    norm: Normalisation = "symmetric",
) -> Float[Array, ""]:
    """E(x) = sum_i U_i(x_i) + 1/2 sum_ij sum_k w_k mu(x_i, x_j) K~_k(i, j), self terms included.

    Kraehenbuehl and Koltun (2011), eq. 1, each pair counted once.

    Args:
      unary: -log probability.
      labels: 0 .. C-1, none missing.
      kernels: over the pixels in raster order.
      weights: of each kernel.
      compat: as in `mean_field`.
      norm: as in `mean_field`.

    """
    hot = jax.nn.one_hot(labels, unary.shape[-1], dtype=unary.dtype)
    return _expected(unary, hot, kernels, weights, compat, norm)


def kl_divergence(
    q: Float[Array, "h w c"],
    unary: Float[Array, "h w c"],
    kernels: Sequence[Kernel],
    weights: Sequence[Weight],
    compat: Compat | tuple[Compat, ...] = None,
    *,
    norm: Normalisation = "symmetric",
) -> Float[Array, ""]:
    """KL(Q || P) + log Z: expected energy of Q minus its entropy, nats.

    With normalisation "symmetric" the kernel is symmetric and a sequence of mean-field updates
    lowers this value, though parallel updates need not do so at every step. Arguments as in
    `energy`.
    """
    entropy = -jnp.sum(jnp.where(q > 0, q * jnp.log(jnp.where(q > 0, q, 1.0)), 0.0))
    return _expected(unary, q, kernels, weights, compat, norm) - entropy


def _expected(unary, q, kernels, weights, compat, norm) -> Array:
    classes = unary.shape[-1]
    flat = q.reshape(-1, classes)
    total = jnp.sum(q * unary)
    for message, weight, mu in normalised_messages(flat, kernels, weights, compat, norm):
        total = total + 0.5 * jnp.sum(flat * penalty(message, weight, mu, constant=True))
    return total
