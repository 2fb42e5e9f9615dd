"""How far a mask is from the guide that it should cover (Yang, Han, Moon, JKSCI 25(5) 2020, eq. 4).

A guide m and a mask M are in [0, 1]; a face whose guide is empty costs nothing. "SDE", the set
difference, asks only that the guide be covered; "MAE" and "MSE" also punish what lies outside.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Kind = Literal["none", "MAE", "MSE", "SDE"]
GuideNorm = Literal["pixels", "area"]
Mask = Float[Array, "b h w 1"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskLoss:
    """The mask loss and its weights; the paper's two are lost, and 100 is our reading.

    The reconstruction of weight 100 pulls M towards 0 wherever A is not yet right: a pixel whose
    residual is r costs 100 r there, so a weight of 100 keeps M open up to r = 1, one of 10 only to
    0.1.

    Attributes:
        kind: "none", "MAE", "MSE" or "SDE".
        lam_s: weight for the mask of the edit that keeps the attribute.
        lam_c: for the mask of the edit back.
        lam_edit: for the mask of the edit itself, which the paper does not guide.
        gain: what the guide is multiplied by, up to 1. On small pictures most pixels of a mouth lie
            only partly inside; above 1 such pixels are asked for as a whole.
        guide_norm: "pixels" = mean over the picture; "area" = sum over the guide's area, so that a
            weight is the cost of missing all of it.
        reverse: weight of the set difference the other way, beyond the guide widened by ``margin``,
            for the edit's mask.
        margin: in px.
        lam_area: weight of the mean of the edit's mask.
        lam_tv: weight of its total variation a pixel, squared, as in GANimation.

    """

    kind: Kind = "SDE"
    lam_s: float = 100.0
    lam_c: float = 100.0
    lam_edit: float = 0.0
    gain: float = 1.0
    guide_norm: GuideNorm = "pixels"
    reverse: float = 0.0
    margin: int = 2
    lam_area: float = 0.0
    lam_tv: float = 0.0

    def __call__(self, masks: Mapping[str, Mask], guide: Mask) -> Float[Array, ""]:
        """Return the weighted sum for the masks "same", "cycle" and "edit"."""
        weights = {"same": self.lam_s, "cycle": self.lam_c, "edit": self.lam_edit}
        guide = jnp.minimum(self.gain * guide, 1.0)
        total = jnp.zeros(())
        if self.kind != "none":
            for name, weight in weights.items():
                if weight:
                    total += weight * guided(self.kind, masks[name], guide, self.guide_norm)
        edit = masks["edit"]
        if self.reverse:
            beyond = jax.nn.relu(edit - dilated(guide, self.margin))
            total += self.reverse * _mean(beyond, guide, self.guide_norm)
        if self.lam_area:
            total += self.lam_area * edit.mean()
        if self.lam_tv:
            total += self.lam_tv * total_variation(edit)
        return total


def guided(
    kind: Kind, mask: Mask, guide: Mask, guide_norm: GuideNorm = "pixels"
) -> Float[Array, ""]:
    """Return the mean over the batch of the distance of ``mask`` to ``guide``; 0 of "none"."""
    if kind == "none":
        return jnp.zeros(())
    return _mean(_DISTANCES[kind](mask, guide), guide, guide_norm)


def dilated(guide: Mask, radius: int) -> Mask:
    """Return the largest value within ``radius`` px in both directions."""
    side = 2 * radius + 1
    return nn.max_pool(guide, (side, side), (1, 1), padding="SAME")


def total_variation(mask: Mask) -> Float[Array, ""]:
    """Return the sum of squared differences of neighbours, a pixel."""
    down, across = (jnp.diff(mask, axis=axis) ** 2 for axis in (1, 2))
    return (down.sum() + across.sum()) / mask.size


def _set_difference(mask: Mask, guide: Mask) -> Mask:
    # relu, whose gradient is 0 where the two are equal; that of a maximum is shared.
    return jax.nn.relu(guide - mask)


_DISTANCES = {
    "SDE": _set_difference,
    "MAE": lambda mask, guide: jnp.abs(guide - mask),
    "MSE": lambda mask, guide: (guide - mask) ** 2,
}


def _mean(cost: Mask, guide: Mask, guide_norm: GuideNorm) -> Float[Array, ""]:
    """Mean over the batch; faces with an empty guide count as 0."""
    area = guide.sum((1, 2, 3))
    size = area if guide_norm == "area" else jnp.full_like(area, cost[0].size)
    each = cost.sum((1, 2, 3)) / jnp.where(area > 0, size, 1.0)
    return jnp.where(area > 0, each, 0.0).mean()
