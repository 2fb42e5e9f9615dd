"""Coarse-to-fine diffusion inpainting with latent categories guidance."""

from segsynth.systems.inpaint_c2f.system import InpaintC2F

__all__ = ["InpaintC2F"]
