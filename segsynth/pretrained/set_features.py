"""What distances between sets of pictures compare: features of Inception, as a frozen network."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from segsynth.pretrained import loading
from segsynth.pretrained.inception import fid_pixels

_TAP = "avgpool"
_REFERENCES = {"published": "pretrained:inception_fid", "standin": "standin:inception_fid"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SetFeatures:
    """Inception's features, and of how many pictures at most they are kept.

    Attributes:
        network: "published" for the weights ``pretrained:inception_fid``, "standin" for
            ``standin:inception_fid``, which is small and random; "" = nothing is compared.
        capacity: examples of an evaluation for which the kernel distance has room.
        subset: examples of each of the subsets over which the kernel distance is averaged; fewer
            than there are, if its deviation is to say anything.
        bytes: how made pictures become bytes, where they were not: "truncated" as by SPADE's
            scripts, whose distances others quote, or "rounded".

    """

    network: Literal["", "published", "standin"] = ""
    capacity: int = 1000
    subset: int = 1000
    bytes: Literal["truncated", "rounded"] = "truncated"

    @property
    def described(self) -> loading.Loaded:
        """Which weights these are, for the names of figures; without the weights."""
        return loading.describe(_REFERENCES[self.network])

    def init(self, key: Array) -> Any:
        """Return its variables, for their shapes."""
        return self._module.init(key, jnp.zeros((1, 75, 75, 3)))

    def __call__(
        self, variables: Any, pictures: UInt8[Array, "b h w c"]
    ) -> Float[Array, "b features"]:
        """Return features; in full float32 on every device, as published distances are computed.

        Pictures of one plane are grey.
        """
        if pictures.shape[-1] == 1:
            pictures = jnp.repeat(pictures, 3, axis=-1)
        with jax.default_matmul_precision("highest"):
            return self._module.apply(variables, fid_pixels(pictures), taps=(_TAP,))[_TAP]

    @property
    def _module(self) -> Any:
        row = loading.find("inception_fid")
        return row.network() if self.network == "published" else row.standin()
