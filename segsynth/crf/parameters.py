"""The knobs of the dense CRF, in one value."""

import dataclasses
import math
from typing import Literal, get_args

from segsynth.errors import UserError

#: How a kernel K is normalised with D = diag(K 1): D^-1/2 K D^-1/2, K D^-1, D^-1 K, K / mean(K 1).
Normalisation = Literal["symmetric", "before", "after", "none"]


@dataclasses.dataclass(frozen=True)
class Crf:
    """Weights and widths of the two Gaussian kernels of a fully connected CRF.

    The pairwise term of Kraehenbuehl and Koltun (NeurIPS 2011, eq. 3): ``appearance`` times
    exp(-|p_i - p_j|^2 / (2 appearance_xy^2) - |I_i - I_j|^2 / (2 appearance_rgb^2)) plus
    ``smoothness`` times exp(-|p_i - p_j|^2 / (2 smoothness_xy^2)).

    Args:
      appearance: weight of the kernel over position and colour, >= 0.
      appearance_xy: its standard deviation in position, pixels, > 0.
      appearance_rgb: its standard deviation in colour, levels of 0..255, > 0.
      smoothness: weight of the kernel over position alone, >= 0.
      smoothness_xy: its standard deviation, pixels, > 0.
      iterations: mean-field steps, >= 0.
      normalisation: of both kernels; "none" divides by the mean of K 1, so that weights mean the
        same at every image size.

    Raises:
      UserError: a value out of its range.

    """

    appearance: float
    appearance_xy: float
    appearance_rgb: float
    smoothness: float
    smoothness_xy: float
    iterations: int = 5
    normalisation: Normalisation = "symmetric"

    def __post_init__(self) -> None:
        for name in ("appearance", "smoothness"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UserError(f"{name}={value}: a kernel's weight is finite and not negative")
        for name in ("appearance_xy", "appearance_rgb", "smoothness_xy"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise UserError(f"{name}={value}: a standard deviation is finite and positive")
        if self.iterations < 0:
            raise UserError(f"iterations={self.iterations}: at least 0 mean-field steps are needed")
        if self.normalisation not in get_args(Normalisation):
            raise UserError(
                f"normalisation={self.normalisation!r}: one of {', '.join(get_args(Normalisation))}"
            )
