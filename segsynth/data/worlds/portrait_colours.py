"""The colours of a portrait: what every surface looks like in white light."""

import colorsys
from typing import NamedTuple

from segsynth.data.worlds.portrait_plan import Portrait

#: RGB in 0..255.
Colour = tuple[float | int, float | int, float | int]

#: Skin from light to dark, hair by name, RGB in 0..255.
_SKIN = ((241, 205, 178), (226, 178, 143), (196, 140, 102), (146, 96, 66), (98, 62, 44))
_PALE = (252, 238, 230)
_HAIR = {
    "Blond_Hair": ((196, 152, 82), (236, 208, 142)),
    "Black_Hair": ((16, 14, 16), (42, 36, 36)),
}
#: Brown, auburn, grey: (share, darkest, brightest).
_OTHER_HAIR = (
    (0.70, (78, 50, 32), (136, 92, 58)),
    (0.88, (112, 52, 28), (158, 82, 46)),
    (1.01, (128, 126, 124), (186, 184, 180)),
)


class Paint(NamedTuple):
    """The look of a surface.

    Attributes:
        colour: RGB in 0..255.
        opacity: 1 hides what is behind it.
        lit: whether the light shades it.
        texture: "skin", "hair" or "".

    """

    colour: Colour
    opacity: float = 1.0
    lit: bool = True
    texture: str = ""


def palette(portrait: Portrait) -> dict[str, Paint]:
    """The look of every surface of a portrait."""
    values = portrait.values
    skin, hair, lips = skin_colour(portrait), hair_colour(portrait), lip_colour(portrait)
    # What may not change with the tone of the skin is drawn in black or red of little opacity.
    brow = _between((30, 24, 22), (110, 80, 55), values["brow_shade"])
    cloth = hsv(values["cloth_hue"], values["cloth_saturation"], values["cloth_value"])
    hat = hsv(values["hat_hue"], values["hat_saturation"], values["hat_value"])
    metal = _between((225, 190, 90), (225, 228, 235), float(values["metal"] > 0.5))
    return {
        "skin": Paint(skin, texture="skin"),
        "ear": Paint(_scaled(skin, 0.93)),
        "earlobe": Paint(_scaled(skin, 0.78)),
        "neck_skin": Paint(_scaled(skin, 0.92)),
        "hand": Paint(_scaled(skin, 0.97)),
        "hand_line": Paint((60, 25, 20), 0.35, lit=False),
        "blush": Paint((225, 70, 70), 0.8),
        "nose": Paint(_between(_scaled(skin, 1.03), (225, 95, 80), 0.16)),
        "nose_shade": Paint((50, 15, 10), 0.34, lit=False),
        "nostril": Paint((60, 20, 15), 0.75, lit=False),
        "eye": Paint((240, 238, 234)),
        "iris": Paint(_iris(values["iris_hue"]), lit=False),
        "pupil": Paint((12, 10, 12), lit=False),
        "glint": Paint((255, 255, 255), 0.9, lit=False),
        "lid": Paint((35, 20, 18), 0.85, lit=False),
        "brow": Paint(brow, 0.92),
        "mustache": Paint(_scaled(brow, 0.9), 0.9),
        "upper_lip": Paint(_scaled(lips, 0.9)),
        "lower_lip": Paint(lips),
        "mouth": Paint((58, 14, 18), lit=False),
        "tongue": Paint((190, 85, 90), 0.85, lit=False),
        "teeth": Paint((244, 241, 232), lit=False),
        "crease": Paint((70, 25, 18), 0.35, lit=False),
        "lens": Paint((205, 225, 240), 0.16, lit=False),
        "dark_lens": Paint((22, 22, 28), 0.97, lit=False),
        "rim": Paint(hsv(values["rim_hue"], 0.5, values["rim_value"])),
        "hair": Paint(hair, texture="hair"),
        "fringe": Paint(_scaled(hair, 1.06), texture="hair"),
        "hat": Paint(hat),
        "hat_band": Paint(_scaled(hat, 0.72)),
        "earring": Paint(metal),
        "necklace": Paint(metal),
        "chin_shadow": Paint((40, 12, 10), 0.38, lit=False),
        "cloth": Paint(cloth),
        "collar": Paint(_scaled(cloth, 0.75)),
    }


def skin_colour(portrait: Portrait) -> Colour:
    """The skin in white light."""
    values = portrait.values
    place = values["tone"] * (len(_SKIN) - 1)
    step = min(int(place), len(_SKIN) - 2)
    red, green, blue = _between(_SKIN[step], _SKIN[step + 1], place - step)
    warm = values["undertone"]
    own = (red * (1.0 + 0.02 * warm), green, blue * (1.0 - 0.07 * warm))
    return _between(own, _PALE, portrait.level("Pale_Skin"))


def hair_colour(portrait: Portrait) -> Colour:
    """Blond, black, or the colour that the person has otherwise."""
    values = portrait.values
    for name, (dark, bright) in _HAIR.items():
        if portrait.has(name):
            return _between(dark, bright, portrait.strengths[name][1])
    _, dark, bright = next(row for row in _OTHER_HAIR if values["hair_kind"] < row[0])
    return _between(dark, bright, 0.5 + 0.5 * values["hair_shade"])


def lip_colour(portrait: Portrait) -> Colour:
    """Lips of their own colour, or with lipstick."""
    values = portrait.values
    tone = _between((212, 130, 118), (128, 72, 66), values["tone"])
    own = _between(tone, _scaled(tone, 0.85), values["lip_depth"])
    stick = hsv(values["lipstick_hue"] % 1.0, 0.85, 0.5 + 0.3 * values["lip_depth"])
    return _between(own, stick, portrait.level("Wearing_Lipstick"))


def _iris(hue: float) -> Colour:
    return _between((88, 52, 28), (60, 96, 58), hue * 2) if hue < 0.5 else hsv(0.57, 0.5, hue)


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """RGB of a hue in turns, 0..1, and a saturation and value in 0..1."""
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return 255.0 * red, 255.0 * green, 255.0 * blue


def _between(first: Colour, second: Colour, share: float) -> Colour:
    return tuple(a + (b - a) * share for a, b in zip(first, second, strict=True))


def _scaled(colour: Colour, factor: float) -> Colour:
    return tuple(min(part * factor, 255.0) for part in colour)
