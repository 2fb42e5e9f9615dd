"""segsynth: images and their segmentation masks in JAX and Flax.

``segsynth.load(run)`` gives a trained system, ``segsynth.build(section)`` an untrained one from a
config's ``system`` section; ``segsynth.crf`` refines rough label maps without training. Heavy
imports wait until one of them is asked for.
"""

from typing import Any

__version__ = "0.1.0"

__all__ = ["__version__", "build", "crf", "load"]


def __getattr__(name: str) -> Any:
    if name == "load":
        from segsynth.predict import load

        return load
    if name == "build":
        from segsynth.systems import build

        return build
    if name == "crf":
        import segsynth.crf

        return segsynth.crf
    raise AttributeError(f"module 'segsynth' has no attribute {name!r}")
