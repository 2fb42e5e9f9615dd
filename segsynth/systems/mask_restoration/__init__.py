"""Label maps restored through a frozen image generator; see `system`."""

from segsynth.systems.mask_restoration.system import MaskRestoration

__all__ = ["MaskRestoration"]
