"""What a procedural portrait is made of: every random quantity and its range.

Lengths are in half heads: the face is about 2 high and 1.5 wide, its centre is (0, 0), u points to
the right and v down.
"""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from segsynth.data.worlds import portrait_attributes as attributes
from segsynth.data.worlds.portrait_attributes import ATTRIBUTES

#: Shape of head and body; each quantity is uniform.
GEOMETRY: Mapping[str, tuple[float, float]] = {
    "size": (0.0, 1.0),  # within the range of the framing
    "across": (-1.0, 1.0),  # share of the framing's shift
    "down": (-1.0, 1.0),
    "roll": (-0.14, 0.14),  # radians
    "yaw": (-0.45, 0.45),
    "head_width": (0.67, 0.77),
    "head_height": (0.93, 1.02),
    "chin": (-0.45, 0.5),  # < 0 pointed, > 0 square
    "eye_line": (-0.10, -0.02),
    "eye_spread": (0.29, 0.335),
    "eye_width": (0.125, 0.155),
    "eye_tilt": (-0.12, 0.06),
    "iris": (0.058, 0.075),
    "gaze": (-0.035, 0.035),
    "brow_gap": (0.18, 0.23),
    "brow_width": (0.15, 0.19),
    "brow_arch": (0.01, 0.07),
    "brow_tilt": (-0.12, 0.12),
    "nose_length": (0.28, 0.35),
    "mouth_line": (0.50, 0.57),
    "mouth_width": (0.23, 0.30),
    "upper_lip": (0.035, 0.055),
    "lower_lip": (0.05, 0.08),
    "ear_line": (-0.03, 0.07),
    "ear_size": (0.85, 1.15),
    "neck_width": (0.31, 0.39),
    "shoulder": (1.12, 1.26),
    "slope": (0.22, 0.42),
    "neckline": (0.05, 0.33),
    "hair_volume": (0.05, 0.16),
    "hair_height": (0.06, 0.20),
    "hair_length": (0.0, 1.0),
    "hairline": (-0.68, -0.54),
    "temples": (0.86, 0.95),  # half-width of the bare face, in half-widths of the head
    "parting": (-0.25, 0.25),
    "fringe_cut": (0.0, 1.0),
    "glasses_width": (0.20, 0.245),
    "glasses_height": (0.135, 0.19),
    "glasses_square": (0.0, 0.75),
    "rim": (0.014, 0.03),
    "hat_kind": (0.0, 1.0),
}

#: Colours of the person and of what the person wears.
APPEARANCE: Mapping[str, tuple[float, float]] = {
    "tone": (0.0, 1.0),  # of the skin, light to dark
    "undertone": (-1.0, 1.0),  # cool to warm
    "blush": (0.0, 0.45),
    "hair_kind": (0.0, 1.0),
    "hair_shade": (-1.0, 1.0),
    "brow_shade": (0.0, 1.0),
    "iris_hue": (0.0, 1.0),
    "lip_depth": (0.0, 1.0),
    "lipstick_hue": (-0.12, 0.03),
    "cloth_hue": (0.0, 1.0),
    "cloth_saturation": (0.0, 0.8),
    "cloth_value": (0.2, 0.95),
    "hat_hue": (0.0, 1.0),
    "hat_saturation": (0.0, 0.8),
    "hat_value": (0.2, 0.9),
    "rim_hue": (0.0, 1.0),
    "rim_value": (0.05, 0.45),
    "metal": (0.0, 1.0),
    "necklace": (0.0, 1.0),  # below 0.3 there is one
}

#: What has nothing to do with the person.
NUISANCE: Mapping[str, tuple[float, float]] = {
    "light": (-1.0, 1.0),  # < 0 from the left
    "light_height": (-0.9, 0.1),
    "ambient": (0.5, 0.75),
    "exposure": (0.85, 1.12),
    "backdrop_hue": (0.0, 1.0),
    "backdrop_turn": (-0.25, 0.25),
    "backdrop_saturation": (0.0, 0.6),
    "backdrop_value": (0.25, 0.95),
    "backdrop_contrast": (-0.35, 0.35),
    "backdrop_angle": (0.0, 1.0),
    "backdrop_kind": (0.0, 1.0),  # below 0.3 striped
    "backdrop_period": (0.15, 0.5),
    "texture": (0.01, 0.045),  # of skin and hair, standard deviation
    "noise": (0.01, 0.035),  # of the camera, standard deviation
    "blur": (-0.06, 0.05),  # extra width of edges; most portraits have none
    "hand": (0.0, 1.0),  # below 0.06 there is one
    "hand_side": (-1.0, 1.0),
    "hand_height": (0.55, 0.75),
}

#: Range of every quantity.
RANGES: Mapping[str, tuple[float, float]] = {**GEOMETRY, **APPEARANCE, **NUISANCE}


@dataclasses.dataclass(frozen=True)
class Framing:
    """How much of the picture a head fills; lengths in half pictures.

    Attributes:
        scale: range of half a head.
        centre: where the middle of the face is below the middle of the picture.
        shift: largest displacement, across and down.

    """

    scale: tuple[float, float]
    centre: float
    shift: tuple[float, float]


#: Framings by name; "tight" is for small pictures.
FRAMINGS: Mapping[str, Framing] = {
    "portrait": Framing((0.60, 0.72), -0.06, (0.10, 0.06)),
    "tight": Framing((0.80, 0.92), 0.02, (0.08, 0.07)),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Portrait:
    """A description of one picture of one person.

    Attributes:
        seed: seed of the world.
        index: number of the portrait.
        framing: key of `FRAMINGS`.
        jaw_coupling: how far the chin follows the opening of the mouth.
        values: quantities of `GEOMETRY`, `APPEARANCE` and `NUISANCE`.
        raised: attributes that were set, the last one first.
        strengths: attribute -> position in its range of levels, [0, 1], (if absent, if present).
        mislabelled: attributes whose label is wrong.

    """

    seed: int
    index: int
    framing: str
    jaw_coupling: float
    values: Mapping[str, float]
    raised: tuple[str, ...]
    strengths: Mapping[str, tuple[float, float]]
    mislabelled: frozenset[str] = frozenset()

    @functools.cached_property
    def attributes(self) -> frozenset[str]:
        """The attributes that are there to see."""
        return attributes.seen(self.raised)

    def has(self, name: str) -> bool:
        """Whether the attribute is there to see."""
        return name in self.attributes

    def level(self, name: str) -> float:
        """The attribute's level; `portrait_attributes` says what it means."""
        present = name in self.attributes
        low, high = ATTRIBUTES[name].on if present else ATTRIBUTES[name].off
        return low + (high - low) * self.strengths[name][present]

    def label(self, name: str) -> int:
        """The annotation, 0 or 1: the truth, or with label noise now and then its opposite."""
        return int(self.has(name) != (name in self.mislabelled))

    def generator(self, *purpose: int) -> np.random.Generator:
        """A generator that belongs to the portrait and a purpose, whatever is edited."""
        entropy = np.random.SeedSequence((self.seed, self.index, *purpose))
        return np.random.Generator(np.random.PCG64(entropy))
