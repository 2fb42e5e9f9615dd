"""Textures in unit coordinates: a two-colour gradient, an oriented wave, a fine pattern, shading.

Colours, tints and directions follow one law whatever the pattern, so colour never tells a class.
All but the speckle continues across a region, so a hole can be inferred from its surroundings.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, Float64

#: Cells per side of the lattice behind the speckle pattern.
_LATTICE = 48
#: Share of its brightness that an object loses at its mean squared distance from the centre.
_RIM = 0.15


@dataclasses.dataclass(frozen=True, eq=False)
class Texture:
    """What a layer looks like, free of resolution; colours are RGB in [0, 255].

    Attributes:
      colours: (2, 3), the two ends of the gradient.
      gradient: (2,), direction of the gradient in colour mixes per unit length.
      wave: (2,), cycles per unit length of the slow wave between the two colours, along x and y.
      phase: phase of the wave, radians.
      pattern: key of `PATTERNS`.
      frequency: (2,), cycles per unit length of the pattern along x and y.
      offset: (2,), shift of the pattern.
      tint: (3,), what the pattern adds to the colour at its crests.
      grain: seed of the speckle lattice.
      centre: (2,), middle of the shading.
      relief: (2,), change of brightness per unit length from the centre (light from one side).
      roundness: mean squared distance from the centre over the object; 0 for an unshaded layer.

    """

    colours: Float64[np.ndarray, "2 3"]
    gradient: Float64[np.ndarray, " 2"]
    wave: Float64[np.ndarray, " 2"]
    phase: float
    pattern: str
    frequency: Float64[np.ndarray, " 2"]
    offset: Float64[np.ndarray, " 2"]
    tint: Float64[np.ndarray, " 3"]
    grain: int
    centre: Float64[np.ndarray, " 2"]
    relief: Float64[np.ndarray, " 2"]
    roundness: float


def random_texture(rng: np.random.Generator, pattern: str) -> Texture:
    """Draw a flatly lit texture; no draw but the pattern itself depends on ``pattern``."""
    hue, value = rng.uniform(0.0, 1.0), rng.uniform(90.0, 220.0)
    shift, step = rng.uniform(0.08, 0.3) * rng.choice([-1, 1]), rng.uniform(-60.0, 60.0)
    return Texture(
        colours=np.stack(
            [
                _colour(hue, rng.uniform(0.25, 0.85), value),
                _colour(hue + shift, rng.uniform(0.25, 0.85), np.clip(value + step, 60.0, 240.0)),
            ]
        ),
        gradient=_vector(rng, rng.uniform(0.7, 1.0)),
        wave=_vector(rng, rng.uniform(0.7, 2.0)),
        phase=float(rng.uniform(0.0, 2.0 * np.pi)),
        pattern=pattern,
        frequency=_vector(rng, rng.uniform(8.0, 15.0)),
        offset=rng.uniform(-0.5, 1.5, 2),
        tint=rng.uniform(18.0, 38.0) * rng.choice([-1, 1]) * rng.uniform(0.6, 1.0, 3),
        grain=int(rng.integers(2**32)),
        centre=np.full(2, 0.5),
        relief=np.zeros(2),
        roundness=0.0,
    )


def _vector(rng: np.random.Generator, length: float) -> np.ndarray:
    angle = rng.uniform(0.0, 2.0 * np.pi)
    return length * np.array([np.cos(angle), np.sin(angle)])


def _colour(hue: float, saturation: float, value: float) -> np.ndarray:
    """HSV to RGB by three trapezoids of the hue, hue in turns."""
    ramp = np.abs((hue + np.array([0.0, 2.0, 1.0]) / 3.0) % 1.0 * 6.0 - 3.0) - 1.0
    return value * (1.0 - saturation + saturation * np.clip(ramp, 0.0, 1.0))


def render_texture(
    texture: Texture, x: Float64[np.ndarray, " width"], y: Float64[np.ndarray, " height"]
) -> Float32[np.ndarray, "3 height width"]:
    """Evaluate a texture on the grid of coordinates x and y; about [0, 255], not clipped."""
    x, y = x.astype(np.float32), y.astype(np.float32)
    mix = 0.22 * _sine(x, y, texture.wave, texture.phase)
    mix += _linear(x - np.float32(0.5), y - np.float32(0.5), texture.gradient) + np.float32(0.5)
    colours, tint = texture.colours.astype(np.float32), texture.tint.astype(np.float32)
    out = (colours[1] - colours[0])[:, None, None] * mix
    out += colours[0][:, None, None]
    pattern = PATTERNS[texture.pattern](texture, x, y)
    if pattern is not None:
        out += tint[:, None, None] * pattern
    if texture.roundness:
        out *= _shading(texture, x, y)
    return out


def _shading(texture: Texture, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Factor of the brightness: one side lit, the rim dark, and 1 on average whatever the shape.

    A mean other than 1 would let brightness tell objects from background, or rings from ellipses.
    """
    dx, dy = x - np.float32(texture.centre[0]), y - np.float32(texture.centre[1])
    rim = np.float32(_RIM / texture.roundness) * _square(dx, dy)
    return np.float32(1.0 + _RIM) + _linear(dx, dy, texture.relief) - rim


def _linear(x: np.ndarray, y: np.ndarray, slope: np.ndarray) -> np.ndarray:
    return np.float32(slope[0]) * x + np.float32(slope[1]) * y[:, None]


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return x * x + (y * y)[:, None]


def _sine(x: np.ndarray, y: np.ndarray, cycles: np.ndarray, phase: float) -> np.ndarray:
    """sin(2 pi (cycles . p) + phase), by the addition theorem from sines of single axes (fast)."""
    u = np.float32(2.0 * np.pi * cycles[0]) * x + np.float32(phase)
    v = np.float32(2.0 * np.pi * cycles[1]) * y
    return np.outer(np.cos(v), np.sin(u)) + np.outer(np.sin(v), np.cos(u))


def _grid(texture: Texture, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two perpendicular sines: the axes of a turned square lattice."""
    along, across = texture.frequency, texture.frequency[::-1] * [-1.0, 1.0]
    shift = 2.0 * np.pi * texture.offset
    return _sine(x, y, 0.7 * along, shift[0]), _sine(x, y, 0.7 * across, shift[1])


def _crisp(field: np.ndarray, gain: float) -> np.ndarray:
    """Clip a wave to flat crests with soft edges: hard ones would alias."""
    return np.clip(np.float32(gain) * field, np.float32(-1.0), np.float32(1.0))


def _plain(texture: Texture, x: np.ndarray, y: np.ndarray) -> None:
    return None


def _stripes(texture: Texture, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _crisp(_sine(x, y, texture.frequency, 2.0 * np.pi * texture.offset[0]), 2.0)


def _checks(texture: Texture, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    first, second = _grid(texture, x, y)
    return _crisp(first * second, 4.0)


def _dots(texture: Texture, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    first, second = _grid(texture, x, y)
    # About a quarter of the area is dots; the constant makes the mean zero.
    return np.float32(0.5) + _crisp(first + second - np.float32(0.7), 3.0)


def _ripples(texture: Texture, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    dx, dy = x - np.float32(texture.offset[0]), y - np.float32(texture.offset[1])
    turns = np.float32(2.0 * np.pi * np.hypot(*texture.frequency))
    return np.sin(turns * np.sqrt(_square(dx, dy)) + np.float32(texture.phase))


def _speckle(texture: Texture, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Value noise: a random lattice over the frame, smoothly interpolated."""
    values = np.random.Generator(np.random.PCG64(texture.grain)).uniform(
        -1.8, 1.8, (_LATTICE + 1, _LATTICE + 1)
    )
    (row, down), (column, right) = _cell(y), _cell(x)
    values = values.astype(np.float32)
    strips = values[row] + down[:, None] * (values[row + 1] - values[row])
    steps = np.diff(strips, axis=1)
    return strips[:, column] + right * steps[:, column]


def _cell(axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lattice cell of a coordinate, and the smoothed position inside it."""
    position = axis * np.float32(_LATTICE)
    cell = position.astype(np.intp)
    inside = position - cell.astype(np.float32)
    return cell, inside * inside * (np.float32(3.0) - np.float32(2.0) * inside)


#: Pattern by background class: a field of zero mean, about [-1, 1]; None where there is none.
PATTERNS: dict[
    str, Callable[[Texture, np.ndarray, np.ndarray], Float32[np.ndarray, "height width"] | None]
] = {
    "plain": _plain,
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "ripples": _ripples,
    "speckle": _speckle,
}
