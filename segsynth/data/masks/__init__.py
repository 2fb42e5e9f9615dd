"""Hole masks: the generators of MAT and LaMa, and the four mask types of inpainting.

Everywhere in this package, and in the modality ``mask``, a mask is uint8 (size, size, 1) with
values {0, 1}, and **1 = hole**: what a network is to fill in. All randomness comes from the
generator that is passed in, so the same seed gives the same bytes on any worker.
"""

from segsynth.data.masks.inpainting import FOREGROUND_TYPES, MASK_TYPES, InpaintingMasks
from segsynth.data.masks.named import KINDS, draw
from segsynth.data.masks.shapes import InstanceShapes
from segsynth.data.masks.silhouettes import silhouette

__all__ = [
    "FOREGROUND_TYPES",
    "KINDS",
    "MASK_TYPES",
    "InpaintingMasks",
    "InstanceShapes",
    "draw",
    "silhouette",
]
