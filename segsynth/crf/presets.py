"""Named sets of parameters of `segsynth.crf.refine`, independent of the image's size."""

import dataclasses
import math
from typing import Literal

from segsynth.crf.heat_map import Reading
from segsynth.crf.parameters import Crf
from segsynth.errors import UserError

#: Widths in position are given in pixels of an image this wide.
REFERENCE_WIDTH = 2048

#: A penalty of each pair of classes, in rows.
Penalties = tuple[tuple[float, ...], ...]


@dataclasses.dataclass(frozen=True)
class Heat:
    """The unary of `segsynth.crf.heat_map.label_heatmap`.

    Args:
      reading: which similarity.
      tau: weight of the distance, > 0.
      xy: unit of position as a share of the image's width, > 0.
      rgb: unit of colour, levels of 0..255, > 0.

    """

    reading: Reading = "nearest"
    tau: float = 2.0
    xy: float = 0.08
    rgb: float = 26.0


@dataclasses.dataclass(frozen=True)
class HardLabels:
    """The unary of labels that are right with a probability, uniform where there is none.

    Args:
      gt_prob: in (0, 1).

    """

    gt_prob: float = 0.7


@dataclasses.dataclass(frozen=True)
class Refinement:
    """Everything that `segsynth.crf.refine` needs to know beside the picture.

    Args:
      unary: how the labels become probabilities.
      crf: weights and widths; widths in position in pixels of an image 2048 wide.
      mode: "pinned" keeps given labels fixed while the rest is inferred; "full" infers all pixels
        and puts the given labels back afterwards; "exact" is "full" with the dense kernel, for
        small images and accelerators.
      compat: penalty of each pair of classes, [C][C]; None = 1 for any two that differ.

    """

    unary: Heat | HardLabels
    crf: Crf
    mode: Literal["full", "pinned", "exact"] = "pinned"
    compat: Penalties | None = None

    def crf_at(self, width: int) -> Crf:
        """The CRF of an image of this width, pixels."""
        scale = width / REFERENCE_WIDTH
        return dataclasses.replace(
            self.crf,
            appearance_xy=_rounded(self.crf.appearance_xy * scale),
            smoothness_xy=_rounded(self.crf.smoothness_xy * scale),
        )


def _rounded(width: float) -> float:
    """Four digits, so that a product's rounding does not compile the same CRF twice."""
    return float(f"{max(width, 1e-3):.4g}") if math.isfinite(width) else width


#: "coarse" was chosen on training frames of CamVid by ``benchmarks/crf_search.py``. "pydensecrf"
#: has the values of that library's examples.
PRESETS: dict[str, Refinement] = {
    "coarse": Refinement(Heat(xy=0.04, rgb=52.0), Crf(0.5, 320.0, 8.0, 3.0, 6.0)),
    "pydensecrf": Refinement(HardLabels(), Crf(10.0, 80.0, 13.0, 3.0, 3.0), mode="full"),
}


def preset_of(name: str | Refinement) -> Refinement:
    """The preset of a name; a `Refinement` is its own.

    Raises:
      UserError: no such preset.

    """
    if isinstance(name, Refinement):
        return name
    if name not in PRESETS:
        raise UserError(f"preset={name!r}: one of {', '.join(PRESETS)}, or a Refinement")
    return PRESETS[name]
