"""The forward process, what a network may predict, loss weights and guidance.

Amplitudes alpha and sigma are one number per example, from `segsynth.diffusion.schedules`.
"""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

Param = Literal["v", "eps"]
NoiseWeighting = Literal["v", "eps", "minsnr5"]

Images = Float[Array, "b h w c"]
PerExample = Float[Array, " b"]

_MIN_SNR_GAMMA = 5.0


def _over_pixels(value: PerExample) -> Float[Array, "b 1 1 1"]:
    return value[:, None, None, None]


def add_noise(x: Images, eps: Images, alpha: PerExample, sigma: PerExample) -> Images:
    """x_t = alpha x + sigma eps."""
    return _over_pixels(alpha) * x + _over_pixels(sigma) * eps


def velocity(x: Images, eps: Images, alpha: PerExample, sigma: PerExample) -> Images:
    """The velocity v = alpha eps - sigma x (Salimans and Ho, arXiv 2202.00512, appendix D)."""
    return _over_pixels(alpha) * eps - _over_pixels(sigma) * x


def x0_eps_from(
    prediction: Images, x_t: Images, alpha: PerExample, sigma: PerExample, param: Param
) -> tuple[Images, Images]:
    """Image and noise that a prediction implies.

    Args:
      prediction: the network's output.
      x_t: the noisy image that it saw.
      alpha: signal amplitude.
      sigma: noise amplitude.
      param: "v": x0 = alpha x_t - sigma v and eps = sigma x_t + alpha v. "eps": x0 = (x_t - sigma
        eps) / alpha, which multiplies errors of the prediction by up to e^5 at the noisy end.

    Returns:
      (x0, eps), unclipped.

    """
    if param == "eps":
        return (x_t - _over_pixels(sigma) * prediction) / _over_pixels(alpha), prediction
    x0 = _over_pixels(alpha) * x_t - _over_pixels(sigma) * prediction
    eps = _over_pixels(sigma) * x_t + _over_pixels(alpha) * prediction
    return x0, eps


def noise_weight(alpha: PerExample, sigma: PerExample, kind: NoiseWeighting) -> PerExample:
    """Weight of the squared error of eps at each example's noise level.

    "v": 1 / alpha^2, which makes it the squared error of v. "eps": 1. "minsnr5": min(SNR, 5) / SNR
    with SNR = alpha^2 / sigma^2 (Hang et al., arXiv 2303.09556, section 3.4).
    """
    if kind == "v":
        return 1.0 / alpha**2
    if kind == "minsnr5":
        return jnp.minimum(1.0, _MIN_SNR_GAMMA * sigma**2 / alpha**2)
    return jnp.ones_like(alpha)


def guide(v_class: Images, v_negative: Images, scale: Float[Array, ""] | float) -> Images:
    """Classifier-free guidance, v_negative + scale (v_class - v_negative).

    After Ho and Salimans (arXiv 2207.12598). The weights add up to one, so guiding v, eps or x0 is
    the same. 0 is the negative branch, 1 the class branch.
    """
    return v_negative + scale * (v_class - v_negative)
