"""The losses of line drawings; pictures are in [0, 1], every norm is a mean.

Numbers of equations are those of Choi and Lee (2023), who add eq. 5 to the losses of Chan, Durand,
Isola (CVPR 2022).
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jax.scipy.special import xlogy
from jaxtyping import Array, Float

from segsynth.types import PRNGKey, Scalars

#: Side of the crops that CLIP compares besides the whole pictures.
_CROP = 128

GeometryLoss = Literal["bce", "l1"]
MeaningLoss = Literal["mse", "l2", "cosine"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weights:
    """Weights of the losses of the generators' side. What has weight 0 is not computed, but for
    ``adversarial``, whose value is logged all the same.

    The segmentation loss has its weight in `segmentation.Segmentation`. ``identity`` is for
    drawings in colour: a generator must leave what its other side would make.
    """

    adversarial: float = 1.0
    cycle: float = 0.1
    identity: float = 0.0
    geometry: float = 10.0
    clip: float = 10.0

    def weighted(self, terms: Scalars) -> dict[str, Float[Array, ""]]:
        """Return those terms that have a weight here, times that."""
        weights = dataclasses.asdict(self)
        return {name: weights[name] * term for name, term in terms.items() if name in weights}


def cycle(restored: Float[Array, "b h w c"], original: Float[Array, "b h w c"]) -> Float[Array, ""]:
    """One direction of eq. 4, and of the identity loss (Zhu et al., arXiv 1703.10593, 5.2)."""
    return jnp.abs(restored - original).mean()


def geometry(
    logits: Float[Array, "b h w c"], depth: Float[Array, "b h w 1"], kind: GeometryLoss = "bce"
) -> Float[Array, ""]:
    """Eq. 2: how far the depth that is read from a drawing is from that of its photograph.

    "bce", as in informative-drawings' code, from logits: the logarithm of a probability that was
    rounded to 0 would be infinite. "l1" is the mean absolute difference.
    """
    depth = jnp.broadcast_to(depth, logits.shape)
    if kind == "l1":
        return jnp.abs(jax.nn.sigmoid(logits) - depth).mean()
    return optax.sigmoid_binary_cross_entropy(logits, depth).mean()


def geometry_floor(depth: Float[Array, "b h w 1"]) -> Float[Array, ""]:
    """The least that "bce" can be: the entropy of the depth maps, nats."""
    depth = jnp.clip(depth, 0.0, 1.0)
    return -(xlogy(depth, depth) + xlogy(1 - depth, 1 - depth)).mean()


def meaning(
    drawing: Float[Array, "b f"], photo: Float[Array, "b f"], kind: MeaningLoss = "mse"
) -> Float[Array, ""]:
    """Eq. 3: distance of CLIP features, which are not normalised; none passes to the photograph.

    "mse" as in informative-drawings' code, "l2" the Euclidean norm as the equation is printed,
    "cosine" 1 minus the cosine.
    """
    photo = jax.lax.stop_gradient(photo)
    if kind == "cosine":
        return optax.losses.cosine_distance(drawing, photo, epsilon=1e-8).mean()
    squares = jnp.square(drawing - photo)
    if kind == "l2":
        # The root has no gradient at 0.
        return jnp.sqrt(squares.sum(axis=-1) + 1e-12).mean()
    return squares.mean()


def crops(
    pictures: Float[Array, "b h w c"], key: PRNGKey, side: int = _CROP
) -> Float[Array, "b s s c"]:
    """Cut a random square from each picture, at the same places for the same key."""
    height, width = pictures.shape[1:3]
    side = min(side, height, width)
    tops, lefts = (
        jax.random.randint(k, (len(pictures),), 0, n - side + 1)
        for k, n in zip(jax.random.split(key), (height, width), strict=True)
    )

    def cut(picture: Array, top: Array, left: Array) -> Array:
        return jax.lax.dynamic_slice(picture, (top, left, 0), (side, side, picture.shape[-1]))

    return jax.vmap(cut)(pictures, tops, lefts)
