"""The segmentation loss of Choi and Lee (2023), eq. 5: a U-Net must find the photograph's label map
in the drawing.

How that U-Net is trained the paper does not say. Together with the generators it can come to read a
code that only it knows, hence the other modes and the guards.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from segsynth.errors import UserError
from segsynth.losses.labels import cross_entropy
from segsynth.types import PRNGKey

#: "off": the baseline. "joint": from nothing, with the generators. "frozen_photo": trained on
#: photographs before, never after. "frozen_draw": on drawings of another generator before.
#: "warm_joint": as that, then with the generators at a tenth of the rate.
Mode = Literal["off", "joint", "frozen_photo", "frozen_draw", "warm_joint"]

#: Label of pixels that nobody annotated.
IGNORE = 255
#: Factor of the segmenter's rate in "warm_joint".
WARM_RATE = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Segmentation:
    """The keys of a config's ``system.seg`` section.

    Attributes:
        mode: how the segmenter is trained.
        weight: of the loss.
        classes: of the labels, 0 .. classes - 1; 255 is ignored. 182 for COCO-Stuff's numbers.
        width: channels of the U-Net at full size.
        levels: its halvings.
        norm: "batch" or "group".
        noise: deviation of what is added to a drawing before the segmenter sees it.
        binarised: whether it sees drawings as black and white; the gradient passes as if it did
            not.
        gradient: factor of the gradient from segmenter to generator.
        warmup: steps over which the weight rises from 0.

    """

    mode: Mode = "joint"
    weight: float = 1.0
    classes: int = 182
    width: int = 64
    levels: int = 4
    norm: Literal["batch", "group"] = "batch"
    noise: float = 0.0
    binarised: bool = False
    gradient: float = 1.0
    warmup: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.classes <= IGNORE:
            raise UserError(f"system.seg.classes is {self.classes}; expected 1 to {IGNORE}")

    @property
    def used(self) -> bool:
        """Whether there is a segmenter."""
        return self.mode != "off"

    @property
    def trained(self) -> bool:
        """Whether it learns."""
        return self.mode in ("joint", "warm_joint")

    def guarded(self, drawing: Float[Array, "b h w 1"], key: PRNGKey) -> Float[Array, "b h w 1"]:
        """Return what the segmenter sees of a drawing in [0, 1]."""
        if self.gradient != 1.0:
            held = jax.lax.stop_gradient(drawing)
            drawing = held + self.gradient * (drawing - held)
        if self.noise:
            noise = self.noise * jax.random.normal(key, drawing.shape)
            drawing = jnp.clip(drawing + noise, 0.0, 1.0)
        return self.settled(drawing)

    def settled(self, drawing: Float[Array, "b h w 1"]) -> Float[Array, "b h w 1"]:
        """Return what the segmenter sees where nothing is left to chance, as in evaluations."""
        if not self.binarised:
            return drawing
        crisp = (drawing >= 0.5).astype(jnp.float32)
        return drawing + jax.lax.stop_gradient(crisp - drawing)

    def loss(
        self, logits: Float[Array, "b h w c"], labels: Int[Array, "b h w"]
    ) -> Float[Array, ""]:
        """Mean cross-entropy over labelled pixels, nats; 0 if there are none."""
        return cross_entropy(logits, labels, ignore=(IGNORE,))

    def weight_at(self, step: Int[Array, ""]) -> Float[Array, ""]:
        """Weight of the loss at a step."""
        risen = 1.0 if not self.warmup else jnp.minimum(1.0, (step + 1) / self.warmup)
        return jnp.asarray(self.weight * risen, jnp.float32)


def accuracy(logits: Float[Array, "b h w c"], labels: Int[Array, "b h w"]) -> Float[Array, ""]:
    """Share of right pixels among those that are labelled; 0 if there are none."""
    known = labels != IGNORE
    right = known & (logits.argmax(-1) == labels)
    return right.sum() / jnp.maximum(known.sum(), 1)
