"""How the surfaces of a street look: colour laws by kind, wide and overlapping, and one light.

Colour alone must not tell the class: houses, roads, walls and overcast skies share their greys,
cars and people wear everything, and one light per scene tints and dims it all.
"""

import dataclasses

import numpy as np
from jaxtyping import Float64

from segsynth.data.worlds.textures import Texture, random_texture


@dataclasses.dataclass(frozen=True)
class Look:
    """A colour law: ranges of hue (turns), saturation (0..1) and value (0..255), and patterns.

    Attributes:
        hue: range; may pass 1.
        saturation: range.
        value: range.
        patterns: keys of `textures.PATTERNS`, all equally likely.
        period: range of the pattern's period in metres; None = that of a random texture.
        contrast: factor of the pattern's tint.

    """

    hue: tuple[float, float]
    saturation: tuple[float, float]
    value: tuple[float, float]
    patterns: tuple[str, ...] = ("plain",)
    period: tuple[float, float] | None = None
    contrast: float = 1.0


_ANY = (0.0, 1.0)
_GREY = (0.0, 0.16)
_WALLS = ("checks", "stripes", "dots", "plain", "speckle")

#: Looks by kind of surface.
LOOKS: dict[str, Look] = {
    "sky": Look(
        (0.50, 0.70), (0.0, 0.45), (140.0, 245.0), ("plain", "ripples", "speckle"), None, 0.25
    ),
    "foliage": Look((0.10, 0.45), (0.05, 0.65), (35.0, 150.0), ("speckle", "dots"), (0.3, 1.0)),
    "grass": Look((0.06, 0.40), (0.05, 0.55), (60.0, 180.0), ("speckle", "plain"), (0.2, 0.8), 0.7),
    "facade": Look((-0.06, 0.70), (0.0, 0.45), (50.0, 225.0), _WALLS, (2.5, 4.0)),
    "masonry": Look(
        (-0.03, 0.60), (0.0, 0.35), (60.0, 200.0), ("checks", "speckle"), (0.4, 1.2), 0.6
    ),
    "bars": Look(_ANY, (0.0, 0.5), (40.0, 210.0), ("stripes", "checks"), (0.15, 0.5)),
    "asphalt": Look(_ANY, _GREY, (50.0, 165.0), ("speckle", "plain"), (0.2, 1.0), 0.3),
    "paving": Look(
        _ANY, (0.0, 0.22), (65.0, 200.0), ("checks", "speckle", "plain"), (0.4, 1.2), 0.35
    ),
    "paint": Look(_ANY, (0.0, 0.2), (160.0, 245.0)),
    "metal": Look(_ANY, (0.0, 0.3), (30.0, 200.0)),
    "lacquer": Look(_ANY, (0.0, 0.9), (20.0, 240.0)),
    "glass": Look((0.45, 0.75), (0.0, 0.3), (15.0, 140.0)),
    "rubber": Look(_ANY, (0.0, 0.1), (10.0, 60.0)),
    "plate": Look(_ANY, (0.0, 0.95), (90.0, 250.0), ("plain", "stripes"), (0.2, 0.5)),
    "lamp": Look((0.0, 0.4), (0.6, 1.0), (180.0, 255.0)),
    "cloth": Look(
        _ANY, (0.0, 0.85), (20.0, 225.0), ("plain", "stripes", "checks"), (0.1, 0.4), 0.6
    ),
    "skin": Look((0.02, 0.10), (0.2, 0.6), (70.0, 225.0)),
}

#: Highest frequency of a pattern, cycles per width of the frame: 128 samples still show it.
_FINEST = 30.0


@dataclasses.dataclass(frozen=True, eq=False)
class Light:
    """The light of a scene.

    Attributes:
        gain: factor of each colour channel.
        haze: colour of the far distance, RGB.
        density: share of haze at a distance of 100 m.
        direction: where objects are lit from, radians.
        noise: standard deviation of the sensor's noise, grey levels.

    """

    gain: Float64[np.ndarray, " 3"]
    haze: Float64[np.ndarray, " 3"]
    density: float
    direction: float
    noise: float


def random_light(rng: np.random.Generator) -> Light:
    """Draw a light: from noon to dusk, clear to hazy."""
    return Light(
        gain=rng.uniform(0.6, 1.2) * rng.normal(1.0, 0.05, 3).clip(0.85, 1.15),
        haze=_colour(rng.uniform(0.05, 0.7), rng.uniform(0.0, 0.2), rng.uniform(130.0, 230.0)),
        density=float(rng.uniform(0.05, 0.6)),
        direction=float(rng.uniform(0.0, 2.0 * np.pi)),
        noise=float(rng.uniform(1.5, 6.0)),
    )


#: The light of every steady street.
STEADY = Light(gain=np.ones(3), haze=np.zeros(3), density=0.0, direction=-1.0, noise=2.0)


#: Colours of Cityscapes' ids 0..33 in steady streets: natural ones, 24 grey levels apart at least.
_STEADY_COLOURS = np.array(
    [
        *((70, 40, 70), (25, 25, 60), (10, 10, 10), (40, 0, 20), (120, 70, 40), (200, 40, 160)),
        *((150, 120, 60), (88, 88, 92), (186, 172, 168), (130, 150, 190), (110, 60, 110)),
        *((160, 105, 85), (120, 125, 100), (215, 180, 120), (60, 130, 130), (145, 145, 150)),
        *((55, 55, 45), (60, 60, 100), (30, 90, 100), (250, 170, 30), (230, 220, 40)),
        *((50, 105, 45), (140, 190, 90), (150, 195, 235), (220, 40, 60), (255, 110, 120)),
        *((40, 60, 170), (0, 110, 220), (0, 165, 170), (235, 235, 220), (180, 90, 20)),
        *((90, 200, 200), (120, 20, 200), (150, 20, 40)),
    ],
    float,
)


def steadied(texture: Texture, class_id: int, kind: str) -> Texture:
    """Give a surface the colour of its class, the same in every street, in the shade of its kind;
    patterns stay faint.
    """
    shade = 0.88 + 0.24 * sorted(LOOKS).index(kind) / len(LOOKS)
    colour = shade * _STEADY_COLOURS[class_id]
    tint = np.sign(texture.tint[0]) * np.full(3, 8.0 * (texture.pattern != "plain"))
    return dataclasses.replace(texture, colours=np.stack([colour, 0.93 * colour]), tint=tint)


def surface(
    rng: np.random.Generator,
    kind: str,
    light: Light,
    *,
    distance: float = 10.0,
    scale: float = 0.1,
    shade: float = 1.0,
) -> Texture:
    """Draw a surface of a kind under a light.

    Args:
        rng: source of all randomness.
        kind: key of `LOOKS`.
        light: of the scene.
        distance: in metres, for the haze.
        scale: width of the frame per metre at that distance, for the period of patterns.
        shade: factor of the brightness, below 1 in a shadow.

    """
    look = LOOKS[kind]
    texture = random_texture(rng, str(rng.choice(look.patterns)))
    hue, saturation, value = (float(rng.uniform(*span)) for span in _spans(look))
    second = (hue + rng.normal(0.0, 0.03), saturation * rng.uniform(0.6, 1.4))
    colours = np.stack(
        [
            _colour(hue, saturation, value),
            _colour(second[0], min(second[1], 1.0), float(value * rng.uniform(0.7, 1.25))),
        ]
    )
    veil = 1.0 - np.exp(-light.density * distance / 100.0)
    colours = colours * shade * light.gain * (1.0 - veil) + light.haze * light.gain * veil
    strength = look.contrast * min(1.0, value / 110.0) * (1.0 - veil) * shade
    texture = dataclasses.replace(
        texture, colours=np.clip(colours, 0.0, 255.0), tint=texture.tint * strength
    )
    if look.period is None:
        return texture
    wanted = 1.0 / (rng.uniform(*look.period) * scale)
    length = float(np.hypot(*texture.frequency))
    # Walls and fences have upright patterns; what is loose has any direction.
    along = (
        np.array([1.0, 0.0])
        if kind in ("facade", "bars", "masonry")
        else texture.frequency / length
    )
    return dataclasses.replace(texture, frequency=along * min(wanted, _FINEST))


def lit(texture: Texture, centre: np.ndarray, size: np.ndarray, light: Light) -> Texture:
    """Round a surface off: one side of its box (width, height) lit, the rim dark."""
    roundness = float((size**2).sum()) / 12.0
    side = np.array([np.cos(light.direction), np.sin(light.direction)])
    relief = 0.2 / np.sqrt(roundness) * side
    return dataclasses.replace(texture, centre=centre, relief=relief, roundness=roundness)


def _spans(look: Look) -> tuple[tuple[float, float], ...]:
    return look.hue, look.saturation, look.value


def _colour(hue: float, saturation: float, value: float) -> Float64[np.ndarray, " 3"]:
    """HSV to RGB by three trapezoids of the hue, hue in turns."""
    ramp = np.abs((hue + np.array([0.0, 2.0, 1.0]) / 3.0) % 1.0 * 6.0 - 3.0) - 1.0
    return value * (1.0 - saturation + saturation * np.clip(ramp, 0.0, 1.0))
