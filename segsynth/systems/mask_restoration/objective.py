"""The losses of restoration: of the map, and of the picture that is made from it.

L = ce * CE(r, x) + vgg * VGG(G(r), y) + l1 * |G(r) - y|, with the true map x, the photograph y and
the frozen generator G.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from segsynth.losses.features import perceptual
from segsynth.losses.labels import balanced, cross_entropy
from segsynth.pretrained.spade_features import SpadeFeatures
from segsynth.systems.mask_restoration.bridges import Bridge, cross
from segsynth.types import Array, PRNGKey

NAMES = ("ce", "vgg", "l1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weights:
    """Weights of the three losses; what has weight 0 is not computed, its networks are not run.

    ``ignore``: true labels of pixels that the cross-entropy passes over; none, as published.
    ``balance``: the cross-entropy gives all classes of a batch the same weight, as OASIS does
    (Schönfeld et al., ICLR 2021), and not all pixels.
    """

    ce: float = 1.0
    vgg: float = 1.0
    l1: float = 1.0
    ignore: tuple[int, ...] = ()
    balance: bool = False

    @property
    def image(self) -> bool:
        """Whether a picture is looked at."""
        return bool(self.vgg or self.l1)

    @property
    def used(self) -> dict[str, float]:
        """The weights that are not 0."""
        return {name: getattr(self, name) for name in NAMES if getattr(self, name)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Objective:
    """The weighted losses, and how a picture gets its gradient to the logits."""

    weights: Weights
    features: SpadeFeatures
    bridge: Bridge = "softmax"
    tau: float = 1.0

    def terms(
        self,
        logits: Float[Array, "b h w c"],
        labels: Int[Array, "b h w"],
        photo: Float[Array, "b h w 3"] | None,
        picture: Callable[[Array], Array] | None,
        vgg: Any,
        key: PRNGKey,
    ) -> dict[str, Float[Array, ""]]:
        """Return the losses that have a weight, unweighted.

        ``picture`` maps label planes to pictures in [-1, 1]; it and ``photo`` are not looked at
        where no loss of pictures has a weight, ``vgg``, the variables of VGG19, where it has none.
        """
        terms = {}
        if self.weights.ce:
            weights = None
            if self.weights.balance:
                weights = balanced(labels, logits.shape[-1])
            ignore = self.weights.ignore
            terms["ce"] = cross_entropy(logits, labels, ignore=ignore, weights=weights)
        if self.weights.image:
            made = picture(cross(logits, self.bridge, self.tau, key))
            if self.weights.vgg:
                terms["vgg"] = perceptual(*self.features.both(vgg, made, photo))
            if self.weights.l1:
                terms["l1"] = jnp.abs(made - jax.lax.stop_gradient(photo)).mean()
        return terms

    def total(self, terms: Mapping[str, Array]) -> Float[Array, ""]:
        """Return the weighted sum."""
        used = self.weights.used
        return sum((used[name] * term for name, term in terms.items()), start=jnp.zeros(()))
