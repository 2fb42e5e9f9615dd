"""How a portrait becomes a picture: one light, textures, a backdrop, paint, and camera noise."""

import math

import numpy as np
from jaxtyping import Float32, UInt8

from segsynth.data.worlds.portrait_canvas import Canvas, Layer
from segsynth.data.worlds.portrait_colours import Paint, hsv, palette

_NOISE = 0  # purposes of generators
_TEXTURE = 1
_SPOTS = 16  # mottles of skin across the picture


def light(canvas: Canvas) -> Float32[np.ndarray, "size size"]:
    """Factor of the brightness of lit surfaces: Lambert's law on a ball in place of the head."""
    values = canvas.portrait.values
    u, v = canvas.face
    side, above = values["light"], values["light_height"]
    length = math.sqrt(side**2 + above**2 + 1.0)
    x, y = u * (1.0 / 1.1), v * (1.0 / 1.3)
    towards = x * side
    towards += y * above
    x *= x
    y *= y
    x += y
    # A ball ends where it is seen from the side; what lies around the head is lit like its rim.
    np.minimum(x, 0.9, out=x)
    np.subtract(1.0, x, out=x)
    np.sqrt(x, out=x)
    towards += x
    np.maximum(towards, 0.0, out=towards)
    diffuse = values["exposure"] * (1.0 - values["ambient"]) * 1.35 / length
    towards *= diffuse
    towards += values["exposure"] * values["ambient"]
    return np.minimum(towards, 1.25, out=towards)


def textures(canvas: Canvas) -> dict[str, Float32[np.ndarray, "size size"]]:
    """Factors of the brightness by texture: mottled skin, and strands of hair."""
    values, (u, v) = canvas.portrait.values, canvas.face
    rng = canvas.portrait.generator(_TEXTURE)
    spots = rng.standard_normal((_SPOTS + 1, _SPOTS + 1), np.float32) * np.float32(
        values["texture"]
    )
    strands = rng.standard_normal(64, np.float32) * np.float32(3.0 * values["texture"])
    along = u * 14.0
    along += 3.0 * v
    along += 64.0
    return {
        "skin": _smooth(spots, canvas.size) + np.float32(1.0),
        "hair": strands[along.astype(np.int32) % 64] + np.float32(1.0),
    }


def _smooth(lattice: np.ndarray, size: int) -> np.ndarray:
    """A lattice over the picture, interpolated between its points."""
    places = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(_SPOTS / size)
    cell = places.astype(np.intp)
    inside = places - cell.astype(np.float32)
    rows = lattice[cell] + inside[:, None] * (lattice[cell + 1] - lattice[cell])
    out = np.diff(rows, axis=1)[:, cell]
    out *= inside
    out += rows[:, cell]
    return out


def backdrop(canvas: Canvas) -> Float32[np.ndarray, "3 size size"]:
    """Two colours, as a gradient or as stripes; fixed to the picture, not to the person."""
    values, size = canvas.portrait.values, canvas.size
    value, contrast = values["backdrop_value"], values["backdrop_contrast"]
    first = hsv(values["backdrop_hue"], values["backdrop_saturation"], value)
    other = (values["backdrop_hue"] + values["backdrop_turn"]) % 1.0
    second = hsv(other, values["backdrop_saturation"], min(max(value + contrast, 0.05), 1.0))
    angle = 2.0 * math.pi * values["backdrop_angle"]
    places = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * (2.0 / size) - np.float32(1.0)
    mix = math.cos(angle) * places + (math.sin(angle) * places)[:, None]
    if values["backdrop_kind"] < 0.3:
        mix *= 1.0 / values["backdrop_period"]
        mix -= np.floor(mix)
        mix -= 0.5
        np.abs(mix, out=mix)
        # Hard stripes would alias: they have edges of a pixel and a half.
        mix -= 0.25
        mix *= size * values["backdrop_period"] / 3.0
    else:
        mix *= 0.4
    mix += 0.5
    np.maximum(mix, 0.0, out=mix)
    np.minimum(mix, 1.0, out=mix)
    start = np.array(first, np.float32)[:, None, None]
    return start + (np.array(second, np.float32)[:, None, None] - start) * mix


def painted(canvas: Canvas, layers: list[Layer]) -> UInt8[np.ndarray, "size size 3"]:
    """The photograph: the layers over the backdrop, and the noise of the camera."""
    picture, shade = backdrop(canvas), light(canvas)
    lit = {"": shade, **{name: shade * factor for name, factor in textures(canvas).items()}}
    paints = palette(canvas.portrait)
    for layer in layers:
        if layer.surface:
            _over(picture[:, *layer.window], layer, paints[layer.surface], lit)
    size = canvas.size
    grain = canvas.portrait.generator(_NOISE, size).standard_normal((3, size, size), np.float32)
    grain *= 255.0 * canvas.portrait.values["noise"]
    picture += grain
    picture += 0.5
    np.maximum(picture, 0.0, out=picture)
    np.minimum(picture, 255.0, out=picture)
    return np.ascontiguousarray(picture.astype(np.uint8).transpose(1, 2, 0))


def _over(picture: np.ndarray, layer: Layer, paint: Paint, lit: dict[str, np.ndarray]) -> None:
    """Paints a layer over a window of the picture."""
    colour = np.array(paint.colour, np.float32)[:, None, None]
    change = colour * lit[paint.texture][layer.window] - picture if paint.lit else colour - picture
    change *= layer.coverage * paint.opacity if paint.opacity < 1.0 else layer.coverage
    picture += change
