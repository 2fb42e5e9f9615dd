"""Noise schedules in continuous time, as the log signal-to-noise ratio lambda.

The process preserves variance: x_t = alpha_t x + sigma_t eps with alpha^2 = sigmoid(lambda_t),
sigma^2 = sigmoid(-lambda_t); lambda_t falls from t = 0 (image) to t = 1 (noise). lambda stays
within +-10, so neither alpha nor sigma is ever zero and every conversion between them is defined
(Kingma et al., arXiv 2107.00630, section 3.1).
"""

import dataclasses
import functools
import math
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from segsynth.types import PRNGKey


def alpha_sigma_from(
    log_snr: Float[Array, "*shape"],
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """Signal and noise amplitudes, alpha^2 + sigma^2 = 1, from the log signal-to-noise ratio."""
    return jnp.sqrt(jax.nn.sigmoid(log_snr)), jnp.sqrt(jax.nn.sigmoid(-log_snr))


@runtime_checkable
class Schedule(Protocol):
    """What samplers and losses need of a schedule."""

    def log_snr(self, t: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The log-SNR at time ``t`` in [0, 1]."""
        ...

    def alpha_sigma(
        self, t: Float[Array, "*shape"]
    ) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
        """Amplitudes of signal and noise at time ``t`` in [0, 1]."""
        ...


@dataclasses.dataclass(frozen=True)
class ShiftedCosine:
    """Cosine schedule moved along the log-SNR axis.

    lambda = -2 log tan(pi t / 2) + shift, held within +-clip. Larger images hide less of a pixel's
    information under the same noise, so they need a negative shift: 2 log(reference side / side)
    (Hoogeboom et al., "simple diffusion", arXiv 2301.11093, section 3.1).
    """

    shift: float = 0.0
    clip: float = 10.0

    def log_snr(self, t: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The log-SNR at time ``t``; gradients are finite at 0 and 1, where the tangent is not.

        The time is clipped, not the result: a ``where`` or ``clip`` behind an infinity still has
        NaN gradients.
        """
        t = jnp.clip(t, self._time(self.clip), self._time(-self.clip))
        return -2.0 * jnp.log(jnp.tan(0.5 * math.pi * t)) + self.shift

    def alpha_sigma(
        self, t: Float[Array, "*shape"]
    ) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
        """Amplitudes of signal and noise at time ``t`` in [0, 1]."""
        return alpha_sigma_from(self.log_snr(t))

    def _time(self, log_snr: float) -> float:
        return 2.0 / math.pi * math.atan(math.exp(0.5 * (self.shift - log_snr)))


@dataclasses.dataclass(frozen=True)
class ScaledLinear:
    """The discrete schedule of latent diffusion, read as a function of continuous time.

    beta_k = (sqrt(first) + k / (steps - 1) (sqrt(last) - sqrt(first)))^2, k = 0 .. steps - 1;
    lambda is interpolated linearly between the entries, entry k standing at t = k / (steps - 1).
    The defaults are those of PixelHacker (arXiv 2504.20438) and of Stable Diffusion: lambda runs
    from 7.07 to -5.36.
    """

    first: float = 0.00085
    last: float = 0.012
    steps: int = 1000

    def log_snr(self, t: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The log-SNR at time ``t`` in [0, 1]; constant beyond."""
        table = _scaled_linear_log_snr(self.first, self.last, self.steps)
        return jnp.interp(t, jnp.linspace(0.0, 1.0, self.steps), table)

    def alpha_sigma(
        self, t: Float[Array, "*shape"]
    ) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
        """Amplitudes of signal and noise at time ``t`` in [0, 1]."""
        return alpha_sigma_from(self.log_snr(t))


@functools.cache
def _scaled_linear_log_snr(first: float, last: float, steps: int) -> np.ndarray:
    """The table in double precision: 1 - prod(1 - beta) cancels at its beginning."""
    betas = np.linspace(first**0.5, last**0.5, steps, dtype=np.float64) ** 2
    log_alpha_bar = np.cumsum(np.log1p(-betas))
    return (log_alpha_bar - np.log(-np.expm1(log_alpha_bar))).astype(np.float32)


def antithetic_times(key: PRNGKey, n: int) -> Float[Array, " {n}"]:
    """Times of one batch, evenly spread over [0, 1) with one common random offset.

    t_i = frac(u + i / n), in steps of the *global* batch ``n``. Each t_i is uniform, and the mean
    of a loss over the batch varies far less than with independent draws (Kingma et al., arXiv
    2107.00630, appendix I.1).
    """
    return (jax.random.uniform(key) + jnp.arange(n, dtype=jnp.float32) / n) % 1.0
