"""What every way of learning a CRF needs: weights before a softplus, logarithms of marginals."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

#: Marginals below this count as this: their logarithm stays finite.
_CLIP = 1e-12
_SMALLEST_WEIGHT = 1e-4


def before_softplus(weight: float | int) -> float:
    """The inverse of softplus; of weights below 1e-4 that of 1e-4."""
    weight = max(weight, _SMALLEST_WEIGHT)
    return weight + math.log(-math.expm1(-weight))


def log_marginals(q: Float[Array, "*shape c"]) -> Float[Array, "*shape c"]:
    """Log q, finite where q is 0."""
    return jnp.log(jnp.maximum(q, _CLIP))
