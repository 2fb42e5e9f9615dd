"""Adversarial losses. A discriminator's answer is a logit map of any shape, or one for each scale.

Each function takes a sequence of maps, one a scale, and returns the mean over scales of the mean
over a map.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Logits = Sequence[Float[Array, "..."]]


def hinge_discriminator(real: Logits, fake: Logits) -> Float[Array, ""]:
    """max(0, 1 - D(real)) + max(0, 1 + D(fake)) (Lim and Ye 2017; without a factor 1/2)."""
    return _mean(lambda x: jax.nn.relu(1.0 - x), real) + _mean(lambda x: jax.nn.relu(1.0 + x), fake)


def hinge_generator(fake: Logits) -> Float[Array, ""]:
    """-D(fake)."""
    return _mean(lambda x: -x, fake)


def least_squares_discriminator(real: Logits, fake: Logits) -> Float[Array, ""]:
    """((D(real) - 1)^2 + D(fake)^2) / 2 (Mao et al. 2017, as in CycleGAN)."""
    both = _mean(lambda x: (x - 1.0) ** 2, real) + _mean(jnp.square, fake)
    return 0.5 * both


def least_squares_generator(fake: Logits) -> Float[Array, ""]:
    """(D(fake) - 1)^2."""
    return _mean(lambda x: (x - 1.0) ** 2, fake)


def wasserstein_discriminator(real: Logits, fake: Logits) -> Float[Array, ""]:
    """D(fake) - D(real) (Arjovsky et al. 2017)."""
    return _mean(lambda x: x, fake) - _mean(lambda x: x, real)


def gradient_penalty(
    discriminator: Callable[[Float[Array, "b h w c"]], Float[Array, "b ..."]],
    real: Float[Array, "b h w c"],
    fake: Float[Array, "b h w c"],
    share: Float[Array, " b"],
) -> Float[Array, ""]:
    """(|grad D(x)| - 1)^2 between the two (Gulrajani et al. 2017).

    Args:
        discriminator: an example's answers are summed; it must not mix examples.
        real: pictures.
        fake: constants; no gradient passes to them.
        share: of the fake in x = (1 - share) real + share fake, one a picture, U(0, 1).

    """
    share = share[:, None, None, None]
    between = (1.0 - share) * real + share * jax.lax.stop_gradient(fake)
    slope = jax.grad(lambda x: _precise(discriminator(x)).sum())(between)
    # The root has no gradient at 0, where a constant discriminator is.
    norm = jnp.sqrt((_precise(slope) ** 2).sum((1, 2, 3)) + 1e-12)
    return ((norm - 1.0) ** 2).mean()


def _precise(x: Array) -> Array:
    """In float32, or float64 where that is what comes."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _mean(term: Callable[[Array], Array], maps: Logits) -> Float[Array, ""]:
    values = [term(x.astype(jnp.float32)).mean() for x in maps]
    return jnp.stack(values).mean()
