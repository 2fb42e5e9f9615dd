"""The three methods, as what their settings are unless a config says otherwise."""

from collections.abc import Mapping
from typing import Any, Literal

Preset = Literal["paper", "informative", "cyclegan"]

_PAPER: dict[str, Any] = {
    "generator": {"width": 64, "blocks": 3},
    "discriminator": {"width": 64, "layers": 4},
    "loss": {"adversarial": 1.0, "cycle": 0.1, "geometry": 10.0, "clip": 10.0},
    "seg": {"mode": "joint", "weight": 1.0},
    "pool": 0,
}

#: "paper": Choi and Lee (2023), whose weights besides the segmentation loss are those of the
#: baseline, as they name none. "informative": the baseline, Chan, Durand, Isola (CVPR 2022) as its
#: training script sets it. "cyclegan": Zhu et al. (arXiv 1703.10593) without the identity loss,
#: which a drawing of one channel cannot have.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "paper": _PAPER,
    "informative": {**_PAPER, "seg": {"mode": "off"}},
    "cyclegan": {
        **_PAPER,
        "generator": {"width": 64, "blocks": 9},
        "loss": {"adversarial": 1.0, "cycle": 10.0, "geometry": 0.0, "clip": 0.0},
        "seg": {"mode": "off"},
        "pool": 50,
    },
}


def given(settings: Any) -> Any:
    """Return settings without those that are None: a preset's value counts for these."""
    if not isinstance(settings, Mapping):
        return settings
    return {name: given(value) for name, value in settings.items() if value is not None}
