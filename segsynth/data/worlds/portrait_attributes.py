"""The attributes of a procedural portrait: how often, how strong, what excludes what, what moves.

Names and prevalences are those of CelebAMask-HQ, counted over its 30,000 annotated faces (Lee et
al. 2020). A portrait keeps the attributes that were set in the order of their setting, the last
one first; of two that exclude each other the later one is seen. So an edit that hides another
attribute, as black hair hides blond, gives it back when it is undone.
"""

import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping, Sequence

from segsynth.errors import UserError

Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Attribute:
    """A binary attribute with a strength.

    Attributes:
        name: as in CelebAMask-HQ.
        prevalence: share of faces that have it.
        off: range of its level where it is absent; the table says what levels mean.
        on: range of its level where it is present.
        surfaces: names of the surfaces of `portrait_looks` that it may change, and no others.
        below: names of surfaces that it may change from the mouth downwards only.
        excludes: attributes that nobody has together with it.

    """

    name: str
    prevalence: float
    off: Interval
    on: Interval
    surfaces: tuple[str, ...]
    below: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()


_MOUTH = ("upper_lip", "lower_lip", "mouth", "teeth", "tongue")
_HAIR = ("hair", "fringe")
_TABLE = (
    # Level: height of the opening, in units of half a head.
    Attribute(
        "Mouth_Slightly_Open",
        0.471,
        (0.0, 0.006),
        (0.075, 0.16),
        _MOUTH,
        below=("skin", "blush", "chin_shadow", "necklace"),
    ),
    # Level: how much higher the corners are than the middle.
    Attribute("Smiling", 0.470, (-0.035, 0.02), (0.12, 0.2), (*_MOUTH, "crease")),
    # Level: darkness of the glasses; above 0.75 they are sunglasses.
    Attribute("Eyeglasses", 0.049, (0.0, 0.0), (0.0, 1.0), ("lens", "dark_lens", "rim")),
    # Level of hair colours: from the darkest to the brightest shade of that name.
    Attribute("Blond_Hair", 0.171, (0.0, 0.0), (0.0, 1.0), _HAIR, excludes=("Black_Hair", "Bald")),
    Attribute("Black_Hair", 0.220, (0.0, 0.0), (0.0, 1.0), _HAIR, excludes=("Blond_Hair", "Bald")),
    # Level: share of the forehead that the fringe covers.
    Attribute("Bangs", 0.181, (0.0, 0.0), (0.55, 0.95), _HAIR, excludes=("Bald",)),
    # Level: height of the crown.
    Attribute("Wearing_Hat", 0.036, (0.0, 0.0), (0.0, 1.0), ("hat", "hat_band")),
    # Level: share of the palest tone in the skin.
    Attribute(
        "Pale_Skin",
        0.051,
        (0.0, 0.0),
        (0.75, 0.95),
        ("skin", "nose", "ear", "earlobe", "neck_skin", "hand"),
    ),
    # Level: half of the thickness.
    Attribute("Bushy_Eyebrows", 0.189, (0.018, 0.03), (0.055, 0.075), ("brow",)),
    # Level: half of the opening.
    Attribute(
        "Narrow_Eyes",
        0.117,
        (0.072, 0.1),
        (0.028, 0.042),
        ("eye", "iris", "pupil", "glint", "lid"),
    ),
    # Level: strength of the colour.
    Attribute("Wearing_Lipstick", 0.562, (0.0, 0.15), (0.7, 1.0), ("upper_lip", "lower_lip")),
    # Level: radius.
    Attribute("Wearing_Earrings", 0.265, (0.0, 0.0), (0.05, 0.09), ("earring",)),
    # Level: half of the thickness.
    Attribute("Mustache", 0.058, (0.0, 0.0), (0.03, 0.055), ("mustache",)),
    Attribute(
        "Bald", 0.024, (0.0, 0.0), (0.0, 1.0), _HAIR, excludes=("Blond_Hair", "Black_Hair", "Bangs")
    ),
    # Level: half of the width.
    Attribute("Big_Nose", 0.324, (0.105, 0.14), (0.2, 0.25), ("nose", "nose_shade", "nostril")),
)

#: Every attribute by name.
ATTRIBUTES: Mapping[str, Attribute] = {attribute.name: attribute for attribute in _TABLE}

#: (first, second, phi): pairs that occur together, by the published annotations.
CORRELATIONS: tuple[tuple[str, str, float], ...] = (("Smiling", "Mouth_Slightly_Open", 0.56),)


def get(name: str) -> Attribute:
    """Returns the attribute called ``name``.

    Raises:
        UserError: there is none of that name.

    """
    if name not in ATTRIBUTES:
        raise UserError(f"Unknown attribute {name!r}. Portraits have {', '.join(ATTRIBUTES)}.")
    return ATTRIBUTES[name]


def seen(raised: Sequence[str]) -> frozenset[str]:
    """The attributes that a portrait shows, of those that were raised, the last one first."""
    shown: list[str] = []
    for name in raised:
        if not set(ATTRIBUTES[name].excludes) & set(shown):
            shown.append(name)
    return frozenset(shown)


@dataclasses.dataclass(frozen=True)
class Rates:
    """How often portraits have attributes.

    Attributes:
        prevalences: (name, share) pairs that replace those of `ATTRIBUTES`.
        correlations: (first, second, phi) triples; phi is Pearson's correlation of the two values.
            Each attribute is the second of one triple at most.

    Raises:
        UserError: an unknown attribute, a share outside 0..1, exclusive attributes that fill
            more than all faces, or a correlation that the shares do not allow.

    """

    prevalences: tuple[tuple[str, float], ...] = ()
    correlations: tuple[tuple[str, str, float], ...] = CORRELATIONS

    def __post_init__(self) -> None:
        _ = self.plan  # an illegal rate is an error here, and not at the first portrait

    @functools.cached_property
    def plan(self) -> tuple[tuple[str, float, tuple[str, ...], str, float], ...]:
        """In which order to draw, and with which probabilities.

        Returns:
            Rows (name, probability if neither an excluding attribute nor the partner was drawn,
            excluding attributes drawn before, partner or "", probability with the partner).

        """
        share = {name: row.prevalence for name, row in ATTRIBUTES.items()}
        for name, p in self.prevalences:
            share[get(name).name] = _legal(name, p)
        # Those that exclude most come first: what excludes a later one is then exclusive itself.
        order = sorted(ATTRIBUTES, key=lambda name: -len(ATTRIBUTES[name].excludes))
        partners = self._partners(order)
        rows = []
        for position, name in enumerate(order):
            before = tuple(set(order[:position]) & set(ATTRIBUTES[name].excludes))
            free = 1.0 - sum(share[other] for other in before)
            if share[name] > free + 1e-9:
                raise UserError(
                    f"{name} and {', '.join(before)} exclude each other and have shares above 1 "
                    "in sum. Lower one of data.prevalences."
                )
            partner, phi = partners.get(name, ("", 0.0))
            p = share[name] / free if free > 0 else 0.0
            rows.append((name, *_given(name, p, partner, share, phi, before)))
        return tuple(rows)

    def _partners(self, order: Sequence[str]) -> dict[str, tuple[str, float]]:
        partners: dict[str, tuple[str, float]] = {}
        for first, second, phi in self.correlations:
            early, late = sorted((get(first).name, get(second).name), key=order.index)
            if ATTRIBUTES[early].excludes or ATTRIBUTES[late].excludes or late in partners:
                raise UserError(
                    f"{first} and {second} cannot be correlated: one excludes others, or "
                    f"{late} is correlated with another one already."
                )
            partners[late] = (early, phi)
        return partners


def _given(
    name: str, p: float, partner: str, share: Mapping[str, float], phi: float, before: tuple
) -> tuple[float, tuple[str, ...], str, float]:
    """Probabilities without and with the partner that give both shares and the correlation."""
    if not partner:
        return p, before, "", p
    other = share[partner]
    both = phi * math.sqrt(p * (1.0 - p) * other * (1.0 - other))
    without = p - both / (1.0 - other) if other < 1.0 else p
    along = p + both / other if other > 0.0 else p
    if not (0.0 <= without <= 1.0 and 0.0 <= along <= 1.0):
        raise UserError(
            f"{partner} (share {other:g}) and {name} (share {p:g}) cannot have the correlation "
            f"{phi:g}. Bring the shares nearer to each other or the correlation nearer to 0."
        )
    return without, before, partner, along


def draw(rates: Rates, uniforms: Iterable[float]) -> tuple[str, ...]:
    """Draws the attributes that a portrait has; ``uniforms`` are one number in [0, 1) for each."""
    raised: list[str] = []
    for (name, p, excluding, partner, along), u in zip(rates.plan, uniforms, strict=True):
        chance = along if partner in raised else p
        if u < chance and not set(excluding) & set(raised):
            raised.append(name)
    return tuple(raised)


def _legal(name: str, p: float) -> float:
    if not 0.0 <= p <= 1.0:
        raise UserError(f"{name} has the share {p}, expected 0..1. Change data.prevalences.")
    return p
