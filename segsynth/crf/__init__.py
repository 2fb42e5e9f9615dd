"""Dense CRF: rough label maps, or class probabilities, to label maps that follow the picture.

``refine`` is the whole of it in one call; ``infer`` the CRF alone; ``CRFLayer`` the CRF in a
network; `segsynth.crf.pydensecrf_compat` the interface of pydensecrf. Heavy imports wait until a
name is asked for.
"""

import importlib
from typing import Any

_HOMES = {
    "CRFLayer": "layer",
    "Crf": "parameters",
    "Exact": "exact",
    "HardLabels": "presets",
    "Heat": "presets",
    "PRESETS": "presets",
    "Refinement": "presets",
    "infer": "inference",
    "infer_batch": "inference",
    "kl_divergence": "energy",
    "label_heatmap": "heat_map",
    "refine": "refinement",
    "refine_batch": "refinement",
    "unary_from_heatmap": "unary",
    "unary_from_labels": "unary",
    "unary_from_logits": "unary",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'segsynth.crf' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"segsynth.crf.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
