"""Structural similarity and whole-picture PSNR.

Pictures are float32 in [-1, 1]. Structural similarity (Wang et al. 2004, IEEE TIP 13(4), section
III.B) takes them to [0, 1], range 1: windows of 11x11 under a Gaussian of deviation 1.5 that lie
inside the picture, K1 0.01, K2 0.03, each channel by itself; variances are divided by n.
"""

from collections.abc import Mapping

import clu.metrics
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from segsynth.errors import UserError
from segsynth.metrics.accumulators import MeanOverExamples
from segsynth.metrics.inpainting import psnr
from segsynth.types import Array

#: Side of a window, and how far its centre is from its border.
WINDOW = 11
MARGIN = WINDOW // 2

_DEVIATION = 1.5
_C1, _C2 = 0.01**2, 0.03**2


def _weights() -> Float[np.ndarray, " 11"]:
    weights = np.exp(-((np.arange(WINDOW) - MARGIN) ** 2) / (2 * _DEVIATION**2))
    return weights / weights.sum()


def _blurred(x: Float[Array, "b h w c"]) -> Float[Array, "b h_10 w_10 c"]:
    """Gaussian mean over each window, as shifted sums: exact to float32 on every device, where a
    convolution may round its factors.
    """
    for axis in (1, 2):
        size = x.shape[axis] - WINDOW + 1
        parts = (jax.lax.slice_in_dim(x, i, i + size, axis=axis) for i in range(WINDOW))
        x = sum(float(weight) * part for weight, part in zip(_weights(), parts, strict=True))
    return x


def ssim_map(
    x: Float[Array, "b h w c"], y: Float[Array, "b h w c"]
) -> Float[Array, "b h_10 w_10 c"]:
    """Return the structural similarity of each window, at its centre; sides are 10 smaller.

    Raises:
        UserError: pictures smaller than a window.

    """
    if min(x.shape[1:3]) < WINDOW:
        raise UserError(f"structural similarity of {x.shape[1]}x{x.shape[2]} px; windows are 11x11")
    x, y = ((z.astype(jnp.float32) + 1) / 2 for z in (x, y))
    # Variances do not know a common shift; without one, float32 loses the small ones.
    shift = (x.mean((1, 2), keepdims=True) + y.mean((1, 2), keepdims=True)) / 2
    p, q = x - shift, y - shift
    mean_p, mean_q = _blurred(p), _blurred(q)
    power = _blurred(p**2 + q**2) - mean_p**2 - mean_q**2
    # The paper's two factors as 1 minus what differs: 1 for equal pictures, also in float32.
    apart, mean_apart = _blurred((p - q) ** 2), (mean_p - mean_q) ** 2
    brightness = (mean_p + shift) ** 2 + (mean_q + shift) ** 2
    return (1 - mean_apart / (brightness + _C1)) * (1 - (apart - mean_apart) / (power + _C2))


def ssim(x: Float[Array, "b h w c"], y: Float[Array, "b h w c"]) -> Float[Array, " b"]:
    """Return the mean over windows and channels of `ssim_map`."""
    return ssim_map(x, y).mean((1, 2, 3))


def image_psnr(x: Float[Array, "b h w c"], y: Float[Array, "b h w c"]) -> Float[Array, " b"]:
    """Return the PSNR of whole pictures in dB, at most 100."""
    return psnr(((x - y) ** 2).mean((1, 2, 3)))


def structural_scores(
    output: Float[Array, "b h w c"],
    image: Float[Array, "b h w c"],
    valid: Float[Array, " b"],
    region: Float[Array, "b h w 1"] | None = None,
) -> Mapping[str, clu.metrics.Metric]:
    """Return ``ssim`` and ``psnr`` (dB) as means over the examples where ``valid`` is 1.

    With ``region`` (1 = inside) also ``ssim_in`` and ``ssim_out``, means of the map over the
    windows whose centre lies inside or outside, over the examples that have any.
    """
    similarity = ssim_map(output, image)
    found = {
        "ssim": MeanOverExamples.of(similarity.mean((1, 2, 3)), valid),
        "psnr": MeanOverExamples.of(image_psnr(output, image), valid),
    }
    if region is not None:
        inside = region[:, MARGIN:-MARGIN, MARGIN:-MARGIN] > 0.5
        for name, chosen in {"ssim_in": inside, "ssim_out": ~inside}.items():
            total = jnp.where(chosen, similarity, 0.0).sum((1, 2, 3))
            size = chosen.sum((1, 2, 3)) * similarity.shape[-1]
            counts = valid * (size > 0)
            found[name] = MeanOverExamples.of(total / jnp.maximum(size, 1), counts)
    return found
