"""Face attribute editing with guide masks."""

from segsynth.systems.msagan.system import MSaGAN

__all__ = ["MSaGAN"]
