"""Depth maps by a network that was trained elsewhere (docs/line_drawing.md). Nothing is learned.

That of Depth Anything V2 (Yang et al., arXiv 2406.09414) is ``pretrained:depth_anything_v2_small``.
It tells inverse depth up to the scale and the shift of each picture, so the nearest place of every
picture is 1 and the farthest 0.

Batches hold ``image`` uint8 (b, h, w, 3), and for evaluation ``depth`` float32 (b, h, w, 1) in
[0, 1], 1 = nearest.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import clu.metrics
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from segsynth.errors import UserError
from segsynth.metrics import readability
from segsynth.metrics.accumulators import finite_means
from segsynth.pretrained import loading
from segsynth.pretrained.depth_anything import PATCH, DepthAnything, depth_pixels, inverse_depth
from segsynth.pretrained.resampling import corner_matrix
from segsynth.system import CompiledPredict, FrozenSpec
from segsynth.types import Array, Batch, Frozen, HostBatch, PRNGKey, Variables

#: In the catalogue of published networks.
_ROW = "depth_anything_v2_small"
#: Spans of depth below this share of the largest are rounding of a constant map.
_ROUNDING = 1e-5


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublishedDepth:
    """One frozen network, ``estimator``: photographs in, depth maps out.

    ``side``: px to which the shorter side of a photograph is resized to be looked at.
    """

    network: DepthAnything
    side: int = 518

    inputs = ("image",)
    targets = ("depth",)
    outputs = ("depth",)
    pictures = ("image", "depth", "truth")
    on_host = False

    @classmethod
    def from_config(
        cls, *, network: Literal["published", "standin"] = "published", side: int = 518
    ) -> "PublishedDepth":
        """Build from the keys of a config's ``system`` section.

        ``network``: "published" for ``pretrained:depth_anything_v2_small``, "standin" for its
        stand-in. ``side``: see the class; the published network was trained at 518.

        Raises :class:`UserError` for a side that is no multiple of 14.
        """
        if side < PATCH or side % PATCH:
            raise UserError(f"system.side is {side}; expected a multiple of {PATCH}, such as 518")
        row = loading.find(_ROW)
        return cls(network=row.network() if network == "published" else row.standin(), side=side)

    @property
    def frozen(self) -> Mapping[str, FrozenSpec]:
        """The network."""

        def init(key: PRNGKey) -> Any:
            return self.network.init(key, jnp.zeros((1, 4 * PATCH, 4 * PATCH, 3)))

        return {"estimator": FrozenSpec(init, "estimates the depth of photographs")}

    def predict(
        self, variables: Variables, frozen: Frozen, inputs: Batch, key: PRNGKey
    ) -> dict[str, Array]:
        """Return ``depth`` float32 (b, h, w, 1): 1 = the nearest place of a picture, 0 = its
        farthest, 0 everywhere if all are as far. ``key`` decides nothing.
        """
        pictures = _signed(inputs["image"])
        found = inverse_depth(self.network, frozen["estimator"], pictures, self.side)
        return {"depth": _relative(found)[..., None]}

    def eval_step(
        self, variables: Variables, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> tuple[clu.metrics.Collection, dict[str, Array]]:
        """Score depth on the examples with ``valid`` = 1: mean absolute error after the best scale
        and shift, and the order of pairs of pixels.
        """
        found, truth = self.predict(variables, frozen, batch, key)["depth"], batch["depth"]
        scores = finite_means(readability.depth_values(found, truth), batch["valid"])
        shown = {"image": batch["image"], "depth": _to_bytes(found), "truth": _to_bytes(truth)}
        return clu.metrics.Collection.create_collection(**scores), shown

    def remarks(self, variables: Variables, frozen: Frozen, inputs: HostBatch) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def synthesize(
        self, predict: CompiledPredict, inputs: HostBatch, key: PRNGKey
    ) -> dict[str, np.ndarray]:
        """Answer for one photograph of any size, in its size."""
        # Photographs come in thousands of sizes, and are looked at in few: only what all of one
        # such size share is compiled.
        image = inputs["image"]
        pixels = depth_pixels(_signed(image[None]), self.side)
        found = np.asarray(predict(_Look(self.network), {"pixels": pixels}, key)["inverse"])[0]
        sides = zip(found.shape, image.shape[:2], strict=True)
        rows, columns = (corner_matrix(old, new) for old, new in sides)
        return {"depth": _relative((rows @ found @ columns.T)[None])[0, ..., None]}


@dataclasses.dataclass(frozen=True)
class _Look:
    """What is compiled of an answer: the network, on what it is fed."""

    network: DepthAnything

    on_host = False

    def predict(
        self, variables: Variables, frozen: Frozen, inputs: Batch, key: PRNGKey
    ) -> dict[str, Array]:
        """Return ``inverse``, inverse depth (b, h, w) of ``pixels`` (b, h, w, 3)."""
        return {"inverse": self.network.apply(frozen["estimator"], inputs["pixels"])}


def _signed(image: UInt8[Array | np.ndarray, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """Map bytes to [-1, 1]."""
    return jnp.asarray(image, jnp.float32) / 127.5 - 1


def _relative(found: Any) -> Any:
    """Stretch each picture of (b, h, w) to [0, 1], on the device or on the host."""
    low, high = (end((1, 2), keepdims=True) for end in (found.min, found.max))
    flat = high - low <= _ROUNDING * high
    # A compiler may divide by a product with the reciprocal, which can end above 1.
    return ((found - low) / (high - low + flat)).clip(0, 1) * ~flat


def _to_bytes(depth: Float[Array, "b h w 1"]) -> UInt8[Array, "b h w 1"]:
    return jnp.round(depth * 255).astype(jnp.uint8)
