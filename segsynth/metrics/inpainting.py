"""How well a hole was filled: hole PSNR and L1, L1 in the band around the seam, and the seam ratio.

Images are float32 in [-1, 1]; masks float32 {0, 1}, 1 = hole; examples without a hole do not count.
"""

import clu.metrics
import jax.numpy as jnp
from jaxtyping import Float

from segsynth.metrics.accumulators import MeanOverExamples, RatioOfTotals
from segsynth.types import Array

#: The squared range of images in [-1, 1].
_PEAK = 4.0
#: Mean squared errors below this count as this: identical pixels score 100 dB instead of infinity.
_FLOOR = _PEAK * 1e-10


def psnr(mse: Float[Array, " b"]) -> Float[Array, " b"]:
    """Return 10 log10(4 / mse) in dB, at most 100."""
    return 10 * jnp.log10(_PEAK / jnp.maximum(mse, _FLOOR))


def region_mean(
    error: Float[Array, "b h w c"], region: Float[Array, "b h w 1"]
) -> Float[Array, " b"]:
    """Return the mean of ``error`` over the pixels of ``region`` and all channels; 0 for an empty
    region.
    """
    inside = jnp.where(region > 0.5, error, 0.0).sum(axis=(1, 2, 3))
    return inside / jnp.maximum(error.shape[-1] * region.sum(axis=(1, 2, 3)), 1.0)


def seam_gradient(
    image: Float[Array, "b h w c"], mask: Float[Array, "b h w 1"]
) -> Float[Array, " b"]:
    """Return the sum of |difference| over neighbouring pixels of which one is in the hole and one
    is known.
    """
    total = jnp.zeros(image.shape[0])
    for axis in (1, 2):
        across = jnp.abs(jnp.diff(mask, axis=axis)) > 0.5
        step = jnp.abs(jnp.diff(image, axis=axis))
        total = total + jnp.where(across, step, 0.0).sum(axis=(1, 2, 3))
    return total


def hole_metrics(
    output: Float[Array, "b h w 3"],
    image: Float[Array, "b h w 3"],
    mask: Float[Array, "b h w 1"],
    band: Float[Array, "b h w 1"],
    valid: Float[Array, " b"],
) -> dict[str, clu.metrics.Metric]:
    """Return the four metrics of a batch, of the examples where ``valid`` is 1.

    ``hole_psnr`` dB and ``hole_l1``: mean over examples of the value over the hole. ``band_l1``:
    the same over ``band``, the pixels around the hole's edge. ``seam_ratio``: total gradient across
    the edge in the output over that in the truth, 1 for a seam as rough as nature's. L1 is in units
    of [-1, 1] images.
    """
    counts = valid * (mask.max(axis=(1, 2, 3)) > 0.5)
    error = jnp.abs(output - image)
    return {
        "hole_psnr": MeanOverExamples.of(psnr(region_mean(error**2, mask)), counts),
        "hole_l1": MeanOverExamples.of(region_mean(error, mask), counts),
        "band_l1": MeanOverExamples.of(region_mean(error, band), counts),
        "seam_ratio": RatioOfTotals.of(
            seam_gradient(output, mask), seam_gradient(image, mask), counts
        ),
    }
