"""Sampling the hole of an image while its known part stays exact at every step."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from segsynth.diffusion import process
from segsynth.diffusion.process import Images, Param, PerExample
from segsynth.diffusion.schedules import Schedule
from segsynth.types import PRNGKey

#: ``(x_t, t) -> prediction``, already guided.
Predict = Callable[[Images, PerExample], Images]


class _Step(NamedTuple):
    """One row of the precomputed table over which the sampler scans; scalars within the scan."""

    time: Array
    alpha: Array
    sigma: Array
    next_alpha: Array
    next_sigma: Array
    key: Array


def step_times(steps: int, t_start: float = 1.0) -> Float[Array, " {steps}+1"]:
    """t_i = t_start (1 - i / steps), i = 0 .. steps: from ``t_start`` down to 0."""
    return t_start * jnp.linspace(1.0, 0.0, steps + 1)


def ddim(
    predict: Predict,
    schedule: Schedule,
    key: PRNGKey,
    known: Images,
    mask: Float[Array, "b h w 1"],
    *,
    steps: int,
    param: Param = "v",
    eta: float = 0.0,
    t_start: float = 1.0,
    start: Images | None = None,
) -> Images:
    """Fill the hole by DDIM, with ``steps`` evaluations of the network.

    Song et al., arXiv 2010.02502, eq. 12. The known part rides the exact noising path of one noise
    image, instead of being noised anew at each step as in RePaint (arXiv 2201.09865). Hole and
    known part are joined by selection, never by products, so neither a NaN in the hole of ``known``
    nor one from the network reaches a known pixel.

    Args:
      predict: the network; returns v or eps as ``param`` says. Guidance is its own affair.
      schedule: noise schedule.
      key: randomness of the start and, with ``eta`` > 0, of the steps.
      known: images in [-1, 1]; the content of the hole is ignored.
      mask: 1 = hole; thresholded at 0.5.
      steps: number of steps, static.
      param: what the network predicts.
      eta: 0 is deterministic given the start, 1 has the variance of ancestral sampling (eq. 16).
      t_start: time of the first evaluation, in (0, 1]; below 1 the hole starts from the noised
        ``start``.
      start: first guess for the hole, images in [-1, 1]; absent, the hole starts from pure noise.

    Returns:
      ``known`` outside the hole, bit for bit, and images in [-1, 1] within.

    Raises:
      ValueError: ``t_start`` below 1 without ``start``: pure noise would be taken for a half-noised
        image.

    """
    if t_start < 1.0 and start is None:
        raise ValueError(f"t_start={t_start} needs start, the image to begin from")
    hole = mask > 0.5
    known = jnp.where(hole, 0.0, known)
    start_key, steps_key = jax.random.split(key)
    eps = jax.random.normal(start_key, known.shape)

    def step(carry: tuple[Array, Array], row: _Step) -> tuple[tuple[Array, Array], None]:
        x_t, _ = carry
        time, alpha, sigma = (jnp.full(x_t.shape[0], s) for s in (row.time, row.alpha, row.sigma))
        x0, _ = process.x0_eps_from(predict(x_t, time), x_t, alpha, sigma, param)
        x0 = jnp.where(hole, jnp.clip(x0, -1.0, 1.0), known)
        within = _ddim_step(x_t, x0, row, eta)
        outside = row.next_alpha * known + row.next_sigma * eps
        return (jnp.where(hole, within, outside), x0), None

    table = _table(schedule, step_times(steps, t_start), steps_key)
    noisy = table.sigma[0] * eps
    unknown = eps if start is None else table.alpha[0] * start + noisy
    x_t = jnp.where(hole, unknown, table.alpha[0] * known + noisy)
    (_, x0), _ = jax.lax.scan(step, (x_t, known), table)
    return x0


def _table(schedule: Schedule, times: Float[Array, " n"], key: PRNGKey) -> _Step:
    alpha, sigma = schedule.alpha_sigma(times)
    keys = jax.random.split(key, times.shape[0] - 1)
    return _Step(times[:-1], alpha[:-1], sigma[:-1], alpha[1:], sigma[1:], keys)


def _ddim_step(x_t: Images, x0: Images, row: _Step, eta: float) -> Images:
    """Eqs. 12 and 16: along the direction of the implied noise, and ``eta`` of fresh noise."""
    direction = (x_t - row.alpha * x0) / row.sigma
    # Where the schedule is clipped, both times have one log-SNR and rounding may make the
    # difference negative.
    shrink = jnp.maximum(0.0, 1.0 - (row.alpha / row.next_alpha) ** 2)
    fresh = eta * row.next_sigma / row.sigma * jnp.sqrt(shrink)
    along = jnp.sqrt(jnp.maximum(0.0, row.next_sigma**2 - fresh**2))
    noise = jax.random.normal(row.key, x_t.shape)
    return row.next_alpha * x0 + along * direction + fresh * noise
