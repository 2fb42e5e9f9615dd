"""What both sides of a step compute: the generators' losses, then the discriminators'."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from segsynth.losses import adversarial
from segsynth.metrics import readability
from segsynth.systems.line_drawing import losses
from segsynth.systems.line_drawing.losses import GeometryLoss, MeaningLoss, Weights
from segsynth.systems.line_drawing.networks import JUDGES, Networks, Variables
from segsynth.systems.line_drawing.segmentation import Segmentation, accuracy
from segsynth.types import Batch, PRNGKey, Scalars


class Examples(NamedTuple):
    """A batch in the networks' units: pictures in [0, 1]; what the losses do not read is None."""

    photo: Float[Array, "b h w 3"]
    drawing: Float[Array, "b h w c"]
    depth: Float[Array, "b h w 1"] | None
    labels: Int[Array, "b h w"] | None

    @classmethod
    def of(cls, batch: Batch, drawings: str = "drawing") -> "Examples":
        """Convert bytes; ``drawings`` is the key of drawings."""
        photo, drawing = (batch[key].astype(jnp.float32) / 255 for key in ("image", drawings))
        labels = batch["labels"][..., 0].astype(jnp.int32) if "labels" in batch else None
        return cls(photo, drawing, batch.get("depth"), labels)


class Played(NamedTuple):
    """What the generators' side leaves: pictures before its update, losses, statistics."""

    drawing: Float[Array, "b h w c"]
    photo: Float[Array, "b h w 3"]
    scalars: Scalars
    moved: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Objective:
    """The losses of one config.

    Attributes:
        networks: all of them.
        weights: of the losses.
        seg: the segmentation loss.
        finetune: whether the depth head is trained.
        geometry: kind of the depth loss.
        meaning: kind of CLIP's loss.
        patches: 1 compares whole pictures; more, that many random crops besides, each with the
            weight 1 / patches.

    """

    networks: Networks
    weights: Weights
    seg: Segmentation
    finetune: bool = True
    geometry: GeometryLoss = "bce"
    meaning: MeaningLoss = "mse"
    patches: int = 1

    def generators(
        self, nets: Variables, given: Examples, step: Int[Array, ""], key: PRNGKey
    ) -> tuple[Float[Array, ""], Played]:
        """Return the weighted sum of the losses, and the rest."""
        drawing = self.networks.draw(nets, given.photo)
        restored, photo = self._painted(nets, drawing, given.drawing)
        terms = {"adversarial": self.adversarial(nets, photo, drawing)}
        if self.weights.cycle:
            back = losses.cycle(self.networks.draw(nets, photo), given.drawing)
            terms["cycle"] = losses.cycle(restored, given.photo) + back
        if self.weights.identity:
            left = losses.cycle(self.networks.draw(nets, given.drawing), given.drawing)
            kept = losses.cycle(self.networks.paint(nets, given.photo), given.photo)
            terms["identity"] = left + kept
        moved: dict[str, Any] = {}
        if self.weights.geometry:
            logits, moved["geometry"] = self.networks.depth(nets, drawing, self.finetune)
            terms["geometry"] = losses.geometry(logits, given.depth, self.geometry)
            if self.geometry == "bce":
                terms["geometry_excess"] = terms["geometry"] - losses.geometry_floor(given.depth)
        if self.weights.clip:
            terms["clip"] = self.compared(nets, drawing, given.photo, key)
        scalars, weighted = dict(terms), self.weights.weighted(terms)
        if self.seg.used:
            # A key of its own: what the others draw is the same with and without a segmenter.
            grey = readability.luma(drawing)
            seen = self.seg.guarded(grey, jax.random.fold_in(key, 1))
            logits, moved["segmenter"] = self.networks.segments(nets, seen, self.seg.trained)
            scalars["segmentation"] = self.seg.loss(logits, given.labels)
            scalars["segmenter_accuracy"] = accuracy(logits, given.labels)
            weighted["segmentation"] = self.seg.weight_at(step) * scalars["segmentation"]
        total = sum(weighted.values(), start=jnp.zeros(()))
        scalars |= {
            **{f"weighted_{name}": term for name, term in weighted.items()},
            "ink_ratio": readability.ink_ratio(readability.luma(drawing)).mean(),
            "ink_ratio_real": readability.ink_ratio(readability.luma(given.drawing)).mean(),
            # Painted photographs that turn grey foretell a collapse.
            "chroma": photo.std(axis=-1).mean(),
        }
        moved = {name: after for name, after in moved.items() if after}
        return total, Played(drawing, photo, {"loss": total, **scalars}, moved)

    def discriminators(
        self, nets: Variables, real: Mapping[str, Array], made: Mapping[str, Array]
    ) -> tuple[Float[Array, ""], Scalars]:
        """Return the sum of both losses, and each with its mean answers; by judge."""
        total, scalars = jnp.zeros(()), {}
        for name in JUDGES:
            answer = functools.partial(self.networks.judged, nets, name)
            true, fake = _both(answer, real[name], jax.lax.stop_gradient(made[name]))
            loss = adversarial.least_squares_discriminator([true], [fake])
            total = total + loss
            scalars |= {name: loss, f"{name}_real": true.mean(), f"{name}_made": fake.mean()}
        return total, scalars

    def adversarial(
        self, nets: Variables, photo: Float[Array, "b h w 3"], drawing: Float[Array, "b h w c"]
    ) -> Float[Array, ""]:
        """Eq. 1: both discriminators are to take what is made for real."""
        answers = (
            self.networks.judged(nets, name, x)
            for name, x in zip(JUDGES, (photo, drawing), strict=True)
        )
        return sum((adversarial.least_squares_generator([x]) for x in answers), start=jnp.zeros(()))

    def compared(
        self,
        nets: Variables,
        drawing: Float[Array, "b h w c"],
        photo: Float[Array, "b h w 3"],
        key: PRNGKey,
    ) -> Float[Array, ""]:
        """Eq. 3, on whole pictures and on crops."""
        encode = self.networks.meaning

        def distance(x: Array, y: Array) -> Array:
            features = encode(nets["clip"], x), encode(nets["clip"], y)
            return losses.meaning(*features, self.meaning)

        found = distance(drawing, photo)
        for i in range(self.patches if self.patches > 1 else 0):
            place = jax.random.fold_in(key, 2 + i)
            parts = (losses.crops(x, place) for x in (drawing, photo))
            found = found + distance(*parts) / self.patches
        return found

    def _painted(
        self, nets: Variables, made: Float[Array, "b h w c"], real: Float[Array, "b h w c"]
    ) -> tuple[Float[Array, "b h w 3"] | None, Float[Array, "b h w 3"]]:
        """Return the photographs painted from made drawings, if they are compared, and from real
        ones.
        """
        if not self.weights.cycle:
            return None, self.networks.paint(nets, real)
        return _both(functools.partial(self.networks.paint, nets), made, real)


def _both(
    network: Callable[[Array], Array],
    first: Float[Array, "b h w c"],
    second: Float[Array, "b h w c"],
) -> tuple[Float[Array, "b _ _ _"], Float[Array, "b _ _ _"]]:
    """Apply a network that does not mix pictures to two batches at once.

    They are interleaved, so that each picture stays on its device.
    """
    pairs = jnp.stack([first, second], axis=1)
    found = network(pairs.reshape(-1, *pairs.shape[2:]))
    found = found.reshape(-1, 2, *found.shape[1:])
    return found[:, 0], found[:, 1]
