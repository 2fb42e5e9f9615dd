"""The networks of a system, by name, and how each is made.

``drawer`` makes drawings from photographs (the papers' G_A) and ``painter`` photographs from
drawings (G_B); ``photo_judge`` tells real photographs from painted ones (their D_A) and
``drawing_judge`` real drawings from made ones (D_B). ``geometry`` reads depth from ``features``,
``segmenter`` labels from the grey of a drawing.
"""

import dataclasses
import zlib
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from segsynth.networks.geometry_head import GeometryHead, resized
from segsynth.networks.patch_discriminator import PatchDiscriminator
from segsynth.networks.resnet_generator import ResnetGenerator
from segsynth.networks.segmentation_unet import SegmentationUNet
from segsynth.pretrained.drawing_features import MeaningFeatures, ShapeFeatures
from segsynth.types import PRNGKey

#: Network -> linen variables.
Variables = Mapping[str, Any]

JUDGES = ("photo_judge", "drawing_judge")
#: Sides of what networks are initialised on: all are convolutional.
_SIDE, _CELLS = 64, 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Networks:
    """All modules; those that a config does without are None."""

    drawer: ResnetGenerator
    painter: ResnetGenerator
    judge: PatchDiscriminator
    geometry: GeometryHead | None = None
    features: ShapeFeatures | None = None
    meaning: MeaningFeatures | None = None
    segmenter: SegmentationUNet | None = None

    def init(self, name: str, key: PRNGKey) -> dict[str, Any]:
        """Return fresh variables of a network.

        They depend on its name and on ``key``, not on what other networks there are.
        """
        key = jax.random.fold_in(key, zlib.crc32(name.encode()))
        return dict(self._module(name).init(key, self._example(name)))

    @property
    def drawings(self) -> str:
        """The key of drawings in batches and answers."""
        return "drawing" if self.drawer.out_channels == 1 else "colour_drawing"

    def shown(self) -> dict[str, int]:
        """Return the channels of what each discriminator is shown."""
        return dict(zip(JUDGES, (3, self.drawer.out_channels), strict=True))

    def draw(self, nets: Variables, photo: Float[Array, "b h w 3"]) -> Float[Array, "b _ _ c"]:
        """Return drawings of photographs; sides are rounded up to multiples of 4."""
        return self.drawer.apply(nets["drawer"], photo)

    def paint(self, nets: Variables, drawing: Float[Array, "b h w c"]) -> Float[Array, "b _ _ 3"]:
        """Return photographs of drawings."""
        return self.painter.apply(nets["painter"], drawing)

    def judged(
        self, nets: Variables, name: str, pictures: Float[Array, "b h w c"]
    ) -> Float[Array, "b _ _ 1"]:
        """Return the logits of a discriminator."""
        return self.judge.apply(nets[name], pictures)[-1]

    def depth(
        self, nets: Variables, drawing: Float[Array, "b h w _"], train: bool
    ) -> tuple[Float[Array, "b h w c"], Any]:
        """Return logits of depth, and the head's statistics after, if it is trained."""
        features = self.features(nets["features"], drawing)
        logits, moved = _applied(self.geometry, nets["geometry"], features, train)
        return resized(logits, drawing.shape[1:3]), moved

    def segments(
        self, nets: Variables, drawing: Float[Array, "b h w 1"], train: bool
    ) -> tuple[Float[Array, "b h w c"], Any]:
        """Return logits of classes, and the segmenter's statistics after, if it is trained."""
        return _applied(self.segmenter, nets["segmenter"], drawing, train)

    def _module(self, name: str) -> nn.Module:
        return self.judge if name in JUDGES else getattr(self, name)

    def _example(self, name: str) -> Array:
        if name == "geometry":
            picture = jnp.zeros((1, max(_SIDE, self.features.side), _SIDE, 3))
            variables = jax.eval_shape(self.features.init, jax.random.key(0))
            shape = jax.eval_shape(self.features, variables, picture).shape
            return jnp.zeros((1, _CELLS, _CELLS, shape[-1]))
        of_drawing = self.drawer.out_channels
        channels = {"drawer": 3, "painter": of_drawing, "segmenter": 1, **self.shown()}
        return jnp.zeros((1, _SIDE, _SIDE, channels[name]))


def _applied(module: Any, variables: Any, x: Array, train: bool) -> tuple[Array, Any]:
    if not train:
        return module.apply(variables, x), {}
    return module.apply(variables, x, True, mutable=["batch_stats"])
