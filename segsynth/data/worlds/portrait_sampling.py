"""Draws portraits and edits them.

Every random quantity is drawn once and stored. An edit changes the attribute alone, so the edited
portrait is the same person in the same light before the same camera.
"""

import dataclasses

import numpy as np

from segsynth.data.worlds import portrait_attributes as attributes
from segsynth.data.worlds.portrait_attributes import ATTRIBUTES, Rates
from segsynth.data.worlds.portrait_plan import FRAMINGS, RANGES, Portrait
from segsynth.errors import UserError

_LOW, _HIGH = np.array(list(RANGES.values())).T
_ROWS = {name: row for row, name in enumerate(RANGES)}


@dataclasses.dataclass(frozen=True)
class Population:
    """Who sits for the portraits.

    Attributes:
        framing: key of `FRAMINGS`.
        jaw_coupling: by how much of the mouth's opening the chin drops.
        rates: how often the attributes occur, and which together.
        spurious: (attribute, quantity, share): with that probability the quantity (a key of
            `NUISANCE` or `APPEARANCE`, say) lies in the upper half of its range if the attribute
            is present, and in the lower half if not. Classifiers learn such shortcuts.
        label_noise: probability that an attribute's label is wrong; pictures stay right.

    Raises:
        UserError: an illegal field.

    """

    framing: str = "portrait"
    jaw_coupling: float = 0.5
    rates: Rates = Rates()
    spurious: tuple[tuple[str, str, float], ...] = ()
    label_noise: float = 0.0

    def __post_init__(self) -> None:
        if self.framing not in FRAMINGS:
            raise UserError(f"Unknown framing {self.framing!r}. Known: {', '.join(FRAMINGS)}.")
        if not (0.0 <= self.jaw_coupling <= 1.0 and 0.0 <= self.label_noise <= 1.0):
            raise UserError(
                f"portraits with jaw_coupling {self.jaw_coupling} and label_noise "
                f"{self.label_noise}; expected both in 0..1."
            )
        for name, quantity, share in self.spurious:
            if quantity not in RANGES or not 0.0 <= share <= 1.0:
                raise UserError(
                    f"spurious ({attributes.get(name).name!r}, {quantity!r}, {share}) needs a "
                    f"share in 0..1 and a quantity of {', '.join(RANGES)}."
                )


def sample(seed: int, index: int, population: Population = Population()) -> Portrait:
    """Draws the portrait of an index; the same for the same arguments.

    Args:
        seed: seed of the world, >= 0.
        index: number of the portrait, >= 0.
        population: who it may be.

    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, index))))
    count, names = len(ATTRIBUTES), tuple(ATTRIBUTES)
    chances, *strengths, wrong = rng.random((4, count)).tolist()
    raised = attributes.draw(population.rates, chances)
    places, coupled = rng.random(len(RANGES)), rng.random(len(population.spurious))
    for (name, quantity, share), u in zip(population.spurious, coupled, strict=True):
        if u < share:
            half = float(name in raised)
            places[_ROWS[quantity]] = (half + places[_ROWS[quantity]]) / 2.0
    return Portrait(
        seed=seed,
        index=index,
        framing=population.framing,
        jaw_coupling=population.jaw_coupling,
        values=dict(zip(RANGES, (_LOW + (_HIGH - _LOW) * places).tolist(), strict=True)),
        raised=raised,
        strengths=dict(zip(names, zip(*strengths, strict=True), strict=True)),
        mislabelled=frozenset(
            name for name, u in zip(names, wrong, strict=True) if u < population.label_noise
        ),
    )


def with_attribute(
    portrait: Portrait, name: str, value: bool | int, strength: float | None = None
) -> Portrait:
    """The same picture of the same person with an attribute set to a value.

    Args:
        portrait: what to edit.
        name: the attribute.
        value: whether it is to be there; what excludes it steps back.
        strength: position of its level in the range of that value, in [0, 1]; None = the one that
            was drawn with the portrait.

    Raises:
        UserError: an unknown attribute, a strength outside 0..1.

    """
    attributes.get(name)
    raised = portrait.raised
    if bool(value) != portrait.has(name):
        raised = tuple(other for other in raised if other != name)
        raised = (name, *raised) if value else raised
    strengths = portrait.strengths
    if strength is not None:
        if not 0.0 <= strength <= 1.0:
            raise UserError(f"{name} got the strength {strength}, expected 0..1.")
        absent, present = strengths[name]
        changed = (absent, float(strength)) if value else (float(strength), present)
        strengths = {**strengths, name: changed}
    return dataclasses.replace(portrait, raised=raised, strengths=strengths)


def flipped(portrait: Portrait, name: str) -> Portrait:
    """The same picture with one attribute changed; flipping again gives the picture back."""
    return with_attribute(portrait, name, not portrait.has(name))
