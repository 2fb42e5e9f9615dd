"""From the sections of a config to networks and losses."""

from collections.abc import Mapping
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp

from segsynth.errors import UserError
from segsynth.networks.geometry_head import GeometryHead
from segsynth.networks.patch_discriminator import PatchDiscriminator
from segsynth.networks.resnet_generator import ResnetGenerator
from segsynth.networks.segmentation_unet import SegmentationUNet
from segsynth.pretrained.drawing_features import MeaningFeatures, Network, ShapeFeatures
from segsynth.settings import configure
from segsynth.systems.line_drawing.losses import GeometryLoss, MeaningLoss, Weights
from segsynth.systems.line_drawing.networks import Networks
from segsynth.systems.line_drawing.objective import Objective
from segsynth.systems.line_drawing.segmentation import Segmentation

Section = Mapping[str, Any]

_normal = nn.initializers.normal(0.02)


def objective(settings: Section, judged_by: tuple[str, ...], dtype: str) -> Objective:
    """Build the losses and the networks that they need.

    ``settings``: the sections of a config's ``system`` by name. ``judged_by``: what evaluation
    reads besides; subjects need CLIP.
    """
    weights = configure(Weights, settings["loss"], "system.loss")
    seg = configure(Segmentation, settings["seg"], "system.seg")
    kind = jnp.dtype(dtype)
    drawer, painter = _generators(settings["generator"], kind)
    judge = _judge(settings["discriminator"], kind)
    head, head_options = _head(settings.get("geometry", {}), kind)
    meaning, meaning_options = _meaning(settings.get("clip", {}))
    features = configure(ShapeFeatures, settings.get("features", {}), "system.features")
    networks = Networks(
        drawer=drawer,
        painter=painter,
        judge=judge,
        geometry=head if weights.geometry else None,
        features=features if weights.geometry else None,
        meaning=meaning if weights.clip or "subject" in judged_by else None,
        segmenter=_segmenter(seg, kind) if seg.used else None,
    )
    return Objective(networks=networks, weights=weights, seg=seg, **head_options, **meaning_options)


def _judge(settings: Section, dtype: Any) -> PatchDiscriminator:
    def made(*, width: int = 64, layers: int = 4) -> PatchDiscriminator:
        return PatchDiscriminator(
            width, layers, padding=1, spectral=False, kernel_init=_normal, dtype=dtype
        )

    return configure(made, settings, "system.discriminator")


def _generators(settings: Section, dtype: Any) -> tuple[ResnetGenerator, ResnetGenerator]:
    def made(
        *, width: int = 64, blocks: int = 3, channels: int = 1
    ) -> tuple[ResnetGenerator, ResnetGenerator]:
        if channels not in (1, 3):
            raise UserError(
                f"system.generator.channels is {channels}; expected 1, grey drawings, or 3, RGB"
            )
        return tuple(ResnetGenerator(n, width, blocks, dtype) for n in (channels, 3))

    return configure(made, settings, "system.generator")


def _segmenter(seg: Segmentation, dtype: Any) -> SegmentationUNet:
    return SegmentationUNet(seg.classes, seg.width, seg.levels, seg.norm, dtype)


def _head(settings: Section, dtype: Any) -> tuple[GeometryHead, dict[str, Any]]:
    def made(
        *, width: int = 64, blocks: int = 9, finetune: bool = True, loss: GeometryLoss = "bce"
    ) -> tuple[GeometryHead, dict[str, Any]]:
        options = {"finetune": finetune, "geometry": loss}
        return GeometryHead(width, blocks, dtype=dtype), options

    return configure(made, settings, "system.geometry")


def _meaning(settings: Section) -> tuple[MeaningFeatures, dict[str, Any]]:
    def made(
        *,
        network: Network = "published",
        resize: Literal["bicubic", "nearest"] = "bicubic",
        loss: MeaningLoss = "mse",
        patches: int = 1,
    ) -> tuple[MeaningFeatures, dict[str, Any]]:
        return MeaningFeatures(network, resize), {"meaning": loss, "patches": patches}

    return configure(made, settings, "system.clip")
