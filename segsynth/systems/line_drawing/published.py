"""A generator of drawings that was trained elsewhere (docs/line_drawing.md). Nothing is learned.

Those of Chan, Durand and Isola (CVPR 2022) are ``pretrained:informative_drawings_<style>``.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import clu.metrics
import jax.numpy as jnp

from segsynth.metrics.accumulators import finite_means
from segsynth.networks.any_side import drawn
from segsynth.networks.resnet_generator import ResnetGenerator
from segsynth.system import CompiledPredict, FrozenSpec
from segsynth.systems.line_drawing import any_size, evaluation
from segsynth.systems.line_drawing.manner import Manner
from segsynth.systems.line_drawing.segmentation import IGNORE
from segsynth.types import Array, Batch, Frozen, HostBatch, PRNGKey, Variables

_SIDE = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublishedDrawing:
    """One frozen generator, ``drawer``: photographs in, drawings out."""

    generator: ResnetGenerator
    labels: bool = False
    things: tuple[int, ...] = ()
    manner: Manner = Manner()

    inputs = ("image",)
    outputs = ("drawing",)
    label_limit = ignored_label = IGNORE
    pictures = ("photo", "drawing")
    on_host = False

    @classmethod
    def from_config(
        cls,
        *,
        width: int = 64,
        blocks: int = 3,
        labels: bool = False,
        things: tuple[int, ...] = (),
    ) -> "PublishedDrawing":
        """Build from the keys of a config's ``system`` section.

        ``width``, ``blocks``: of the generator. ``labels``: whether evaluation compares lines with
        the borders of ``labels``; ``things``: its classes that are objects.
        """
        generator = ResnetGenerator(1, width, blocks)
        return cls(generator=generator, labels=labels, things=tuple(things))

    @property
    def targets(self) -> tuple[str, ...]:
        """What is known of the photograph."""
        return ("labels",) if self.labels else ()

    @property
    def frozen(self) -> Mapping[str, FrozenSpec]:
        """The generator."""

        def init(key: PRNGKey) -> Any:
            return self.generator.init(key, jnp.zeros((1, _SIDE, _SIDE, 3)))

        return {"drawer": FrozenSpec(init, "makes drawings from photographs")}

    @property
    def options(self) -> Manner:
        """How users want their drawings."""
        return self.manner

    @property
    def texts(self) -> tuple[str, ...]:
        """What is answered in words besides."""
        return ("svg",) if self.manner.svg else ()

    def adjusted(self, options: Manner) -> "PublishedDrawing":
        """Return the system with other options."""
        return dataclasses.replace(self, manner=options.checked())

    def predict(
        self, variables: Variables, frozen: Frozen, inputs: Batch, key: PRNGKey
    ) -> dict[str, Array]:
        """Return ``drawing`` uint8 (b, h, w, 1), 255 = paper. ``key`` decides nothing."""
        return {"drawing": _to_bytes(self._draw(frozen, inputs))}

    def eval_step(
        self, variables: Variables, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> tuple[clu.metrics.Collection, dict[str, Array]]:
        """Score what drawings show (`segsynth.metrics.readability`) on the examples with ``valid``
        = 1.
        """
        drawing = self._draw(frozen, batch)
        photo = batch["image"].astype(jnp.float32) / 255
        labels = batch["labels"][..., 0].astype(jnp.int32) if self.labels else None
        values = evaluation.drawing_values(drawing, photo, labels, self.things)
        scores = finite_means(values, batch["valid"])
        shown = {"photo": batch["image"], "drawing": _to_bytes(drawing)}
        return clu.metrics.Collection.create_collection(**scores), shown

    def remarks(self, variables: Variables, frozen: Frozen, inputs: HostBatch) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def synthesize(
        self, predict: CompiledPredict, inputs: Mapping[str, Any], key: PRNGKey
    ) -> dict[str, Any]:
        """Draw one photograph of any size (`any_size`)."""
        return any_size.synthesize(predict, self.generator, inputs, self.manner)

    def survey(self, predict: CompiledPredict, examples: Iterable[HostBatch]) -> Mapping[str, Any]:
        """Return the statistics of a film."""
        return any_size.survey(predict, self.generator, examples, self.manner)

    def _draw(self, frozen: Frozen, batch: Batch) -> Array:
        return drawn(self.generator, frozen["drawer"], batch["image"].astype(jnp.float32) / 255)


def _to_bytes(drawing: Array) -> Array:
    return jnp.round(drawing * 255).astype(jnp.uint8)
