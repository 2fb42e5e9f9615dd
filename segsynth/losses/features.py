"""Distances between the features of two pictures."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

#: Weights of relu1_1 .. relu5_1 of VGG19 (Wang et al. 2018, appendix; SPADE and others).
VGG_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)

Features = Sequence[Float[Array, "b ..."]]


def perceptual(
    fake: Features, real: Features, weights: Sequence[float] = VGG_WEIGHTS
) -> Float[Array, ""]:
    """Weighted sum over layers of the mean absolute difference; no gradient passes to ``real``.

    Raises:
        ValueError: as many weights as layers are needed.

    """
    pairs = zip(weights, fake, real, strict=True)
    return sum((weight * _distance(a, b) for weight, a, b in pairs), start=jnp.float32(0.0))


def feature_matching(fake: Sequence[Features], real: Sequence[Features]) -> Float[Array, ""]:
    """Mean over scales of the sum over layers of the mean absolute difference.

    ``fake`` and ``real`` hold, a scale each, what a discriminator returns; the last of its outputs,
    the logits, is left out. No gradient passes to ``real`` (Wang et al. 2018, eq. 3).
    """
    scales = [
        sum((_distance(a, b) for a, b in zip(f[:-1], r[:-1], strict=True)), start=jnp.float32(0.0))
        for f, r in zip(fake, real, strict=True)
    ]
    return jnp.stack(scales).mean()


def _distance(fake: Array, real: Array) -> Float[Array, ""]:
    real = jax.lax.stop_gradient(real).astype(jnp.float32)
    return jnp.abs(fake.astype(jnp.float32) - real).mean()
