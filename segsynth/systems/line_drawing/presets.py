"""The three methods, as what their settings are unless a config says otherwise."""

from collections.abc import Mapping
from typing import Any, Literal

from segsynth.errors import UserError
from segsynth.settings import merge

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
#: training script sets it. "cyclegan": Zhu et al. (arXiv 1703.10593), whose identity loss
#: only drawings in colour can have.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "paper": _PAPER,
    "informative": {**_PAPER, "seg": {"mode": "off"}},
    "cyclegan": {
        **_PAPER,
        "generator": {"width": 64, "blocks": 9},
        "loss": {
            "adversarial": 1.0,
            "cycle": 10.0,
            "geometry": 0.0,
            "clip": 0.0,
            "identity": 5.0,
        },
        "seg": {"mode": "off"},
        "pool": 50,
    },
}


def resolved(preset: str, sections: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections of a config with those of its preset for what they leave open.

    Drawings of one channel have no identity loss: no generator could leave a photograph as it is.

    Raises:
        UserError: no such preset, an identity loss of drawings of one channel.

    """
    if preset not in PRESETS:
        raise UserError(f"system.preset is {preset!r}; expected one of {', '.join(PRESETS)}")
    wanted = given(sections)
    settings = merge(PRESETS[preset], wanted)
    if settings["generator"].get("channels", 1) != 1:
        return settings
    if asked := (wanted.get("loss") or {}).get("identity"):
        raise UserError(
            f"system.loss.identity is {asked:g}, and drawings have one channel; expected 0, or "
            "system.generator.channels=3"
        )
    return merge(settings, {"loss": {"identity": 0.0}})


def given(settings: Any) -> Any:
    """Return settings without those that are None: a preset's value counts for these."""
    if not isinstance(settings, Mapping):
        return settings
    return {name: given(value) for name, value in settings.items() if value is not None}
