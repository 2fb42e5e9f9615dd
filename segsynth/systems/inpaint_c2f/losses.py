"""The four losses of a level (paper: weighted noise, L1, boundary, upsampling consistency; weights
are ours).

Every mean is per example and over the region that counts, so that a hole of 5 % weighs as much as
one of 50 %.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from segsynth.diffusion.process import NoiseWeighting, noise_weight
from segsynth.errors import UserError
from segsynth.systems.inpaint_c2f.pyramid import compose, double, halve
from segsynth.types import Array

NAMES = ("noise", "l1", "boundary", "consistency")
_EPS = 1e-6


def weighted_mean(
    error: Float[Array, "b h w c"], weight: Float[Array, "b h w 1"]
) -> Float[Array, " b"]:
    """Return sum(error * weight) / (c sum weight + 1e-6) for each example."""
    total = (error * weight).sum(axis=(1, 2, 3))
    return total / (error.shape[-1] * weight.sum(axis=(1, 2, 3)) + _EPS)


def dilate(mask: Float[Array, "b h w 1"], radius: int) -> Float[Array, "b h w 1"]:
    """Grow by a square of side 2 radius + 1; the picture's border does not count as mask."""
    size = (2 * radius + 1,) * 2
    return nn.max_pool(mask, size, strides=(1, 1), padding="SAME")


def boundary_band(mask: Float[Array, "b h w 1"], radius: int) -> Float[Array, "b h w 1"]:
    """Return 1 within ``radius`` px of the hole's edge, on either side; the picture's border is not
    an edge.
    """
    return dilate(mask, radius) + dilate(-mask, radius)


def blur(x: Float[Array, "b h w c"], sigma: float = 2.0, taps: int = 13) -> Float[Array, "b h w c"]:
    """Separable Gaussian with edge padding."""
    offsets = np.arange(taps) - taps // 2
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    half = taps // 2
    x = jnp.pad(x, ((0, 0), (half, half), (half, half), (0, 0)), mode="edge")
    x = sum(float(w) * x[:, i : x.shape[1] - taps + 1 + i] for i, w in enumerate(weights))
    return sum(float(w) * x[:, :, i : x.shape[2] - taps + 1 + i] for i, w in enumerate(weights))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Losses:
    """The weights of the four losses and their shapes.

    ``kappa``: weight of the hole's noise error by mask type (object, scene, brush, replaced).
    ``known``: weight of the known part in the noise and L1 losses. ``band``: radius of the boundary
    band as a share of the side (at least 1 px). ``sigma``: px, of the blur of the consistency loss,
    whose weight each level states (``levels.up``).
    """

    noise_weighting: NoiseWeighting = "v"
    kappa: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    known: float = 0.1
    l1: float = 0.1
    boundary: float = 0.1
    band: float = 1 / 64
    sigma: float = 2.0

    def __post_init__(self):
        """Refuse another number of weights than there are mask types."""
        if len(self.kappa) != 4:
            raise UserError(f"loss.kappa is {self.kappa}; give a weight for each of 4 mask types")

    def radius(self, side: int) -> int:
        """Return the radius of the boundary band in px."""
        return max(1, round(side * self.band))

    def terms(
        self,
        *,
        eps: Float[Array, "b h w 3"],
        eps_hat: Float[Array, "b h w 3"],
        x: Float[Array, "b h w 3"],
        x0_hat: Float[Array, "b h w 3"],
        mask: Float[Array, "b h w 1"],
        lower: Float[Array, "b H W 3"],
        alpha: Float[Array, " b"],
        sigma: Float[Array, " b"],
        kappa: Float[Array, " b"],
        side: int,
    ) -> dict[str, Float[Array, " b"]]:
        """Return each loss for each example, unweighted.

        ``lower`` is the lower level's output that fed the combiner; at the lowest level, the halved
        truth.
        """
        y = compose(mask, x0_hat, x)
        omega = alpha**2  # an L1 target at high noise would pull x0 to a median
        noise = self._noise(eps_hat - eps, mask, kappa) * noise_weight(
            alpha, sigma, self.noise_weighting
        )
        error = jnp.abs(x0_hat - x)
        l1 = weighted_mean(error, mask) + self.known * weighted_mean(error, 1 - mask)
        return {
            "noise": noise,
            "l1": omega * l1,
            "boundary": omega * self._boundary(y, x, mask, side),
            "consistency": omega * self._consistency(y, lower, mask),
        }

    def total(self, terms: dict[str, Float[Array, " b"]], consistency: float) -> Float[Array, " b"]:
        """Return the weighted sum for each example; ``consistency`` is the level's weight."""
        weights = {
            "noise": 1.0,
            "l1": self.l1,
            "boundary": self.boundary,
            "consistency": consistency,
        }
        return sum(weights[name] * term for name, term in terms.items())

    def _noise(self, error: Array, mask: Array, kappa: Array) -> Array:
        squared = error**2
        hole, known = weighted_mean(squared, mask), weighted_mean(squared, 1 - mask)
        return kappa * hole + self.known * known

    def _boundary(self, y: Array, x: Array, mask: Array, side: int) -> Array:
        """Penalise jumps of value and gradient across the seam."""
        band = boundary_band(mask, self.radius(side))
        loss = weighted_mean(jnp.abs(y - x), band)
        for axis in (1, 2):
            step = jnp.abs(jnp.diff(y, axis=axis) - jnp.diff(x, axis=axis))
            first = jax.lax.slice_in_dim(band, 0, band.shape[axis] - 1, axis=axis)
            second = jax.lax.slice_in_dim(band, 1, None, axis=axis)
            loss += 0.5 * weighted_mean(step, first * second)
        return loss

    def _consistency(self, y: Array, lower: Array, mask: Array) -> Array:
        """The fill, halved, must match the lower result up to what a blur forgives; exactly 0 on
        the truth.
        """
        difference = halve(y) - jax.lax.stop_gradient(lower)
        return weighted_mean(jnp.abs(blur(double(difference), self.sigma)), mask)
