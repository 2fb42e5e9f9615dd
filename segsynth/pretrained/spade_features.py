"""What SPADE's perceptual loss compares: five layers of VGG19, as a frozen network of a system."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from segsynth.pretrained import loading, vgg
from segsynth.pretrained.pixels import Pixels


@dataclasses.dataclass(frozen=True)
class SpadeFeatures:
    """relu1_1 .. relu5_1 of VGG19.

    Attributes:
        network: "published" for the weights ``pretrained:vgg19``, "standin" for ``standin:vgg19``.
        pixels: what becomes of pictures in [-1, 1] first: "none" as in SPADE's own code, or
            "imagenet", which torchvision's weights were trained with.

    """

    network: Literal["published", "standin"] = "published"
    pixels: Pixels = "none"

    @property
    def module(self) -> vgg.VGG:
        """The linen module."""
        row = loading.find("vgg19")
        made = row.network() if self.network == "published" else row.standin()
        return made.clone(pixels=self.pixels)

    def init(self, key: Array) -> Any:
        """Return its variables, for their shapes."""
        return self.module.init(key, jnp.zeros((1, 32, 32, 3)))

    def __call__(
        self, variables: Any, images: Float[Array, "b h w 3"]
    ) -> list[Float[Array, "b _ _ _"]]:
        """Return the five maps of pictures in [-1, 1], the first layer first."""
        found = self.module.apply(variables, images, vgg.SPADE_TAPS)
        return [found[tap] for tap in vgg.SPADE_TAPS]

    def both(
        self, variables: Any, fake: Float[Array, "b h w 3"], real: Float[Array, "b h w 3"]
    ) -> tuple[list[Array], list[Array]]:
        """Return the maps of ``fake``, and those of ``real`` as constants."""
        return self(variables, fake), self(variables, jax.lax.stop_gradient(real))
