"""A classifier of a face's attributes, to be trained and then to judge edits.

The paper's is ResNet50; a small network stands in for it on small faces.
"""

import dataclasses
from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from segsynth.networks.small_classifier import Head, SmallClassifier
from segsynth.pretrained.resnet50 import ResNet50


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttributeClassifier:
    """A network by name, with one interface.

    Attributes:
        network: "small" (`SmallClassifier`) or "resnet50".
        attributes: how many logits.
        resolution: side of the pictures in px.
        width, side, head: of the small one.
        divisor: of the widths of ResNet50.
        dtype: in which ResNet50 computes.

    """

    network: Literal["small", "resnet50"] = "small"
    attributes: int = 1
    resolution: int = 128
    width: int = 16
    side: int = 3
    head: Head = "flatten"
    divisor: int = 1
    dtype: Literal["float32", "bfloat16"] = "float32"

    @property
    def module(self) -> SmallClassifier | ResNet50:
        """The linen module."""
        if self.network == "small":
            return SmallClassifier(self.attributes, self.width, self.side, self.head)
        return ResNet50(self.attributes, "none", self.divisor, jnp.dtype(self.dtype))

    def init(self, key: Array) -> Any:
        """Return its variables."""
        return self.module.init(key, jnp.zeros((1, self.resolution, self.resolution, 3)))

    def logits(self, variables: Any, images: Float[Array, "b h w 3"]) -> Float[Array, "b n"]:
        """Judge pictures in [-1, 1]."""
        answer = self.module.apply(variables, images)
        return answer if self.network == "small" else answer["logits"]

    def train(
        self, variables: Any, images: Float[Array, "b h w 3"]
    ) -> tuple[Float[Array, "b n"], Any]:
        """Return the logits in training mode, and the state after it: ``{"batch_stats": ...}``, or
        nothing of a network that has none.
        """
        if self.network == "small":
            return self.logits(variables, images), {}
        answer, state = self.module.apply(variables, images, True, mutable=["batch_stats"])
        return answer["logits"], state
