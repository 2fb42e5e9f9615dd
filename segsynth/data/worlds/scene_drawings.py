"""Line drawings of procedural scenes, as a hand would draw them: contours, and hatched sketches.

Lines follow the vector outlines of what is seen and the shading of the picture. A drawing depends
on the scene and the style alone: sizes show the same drawing. Classes play no part in it.
"""

import dataclasses

import numpy as np
from jaxtyping import Int32, UInt8

from segsynth.data.worlds import hatching, outlining, pen, raster
from segsynth.data.worlds.scene_plan import Scene
from segsynth.data.worlds.textures import Texture, render_texture
from segsynth.errors import UserError

#: Side at which a scene's layers are given to `draw`, and at which tones are sampled.
LAYERS_SIDE, _TONES_SIDE = 192, 64
#: Purpose of the generator that draws, by style.
_PURPOSE = {"contour": 2, "sketch": 3}
_LUMA = np.array([0.299, 0.587, 0.114])
#: Hand by style.
HANDS = {
    "contour": outlining.Hand(1, 1.2 / 128, 0.97, 0.0012, 0.0016, (0.001, 0.006)),
    "sketch": outlining.Hand(2, 1.0 / 128, 0.88, 0.0022, 0.0022, (0.007, 0.007)),
}


def check_style(style: str) -> None:
    """Checks the name of a style.

    Raises:
      UserError: there is none of that name.

    """
    if style not in HANDS:
        raise UserError(f"unknown drawing style {style!r}; expected {' or '.join(HANDS)}.")


def draw(
    scene: Scene,
    style: str,
    size: int,
    seen: Int32[np.ndarray, "layers_side layers_side 1"],
) -> UInt8[np.ndarray, "{size} {size} 1"]:
    """Draw a scene in black ink on white paper, 0..255.

    Args:
      scene: what to draw.
      style: key of `HANDS`; "sketch" adds hatching, which is denser where a layer is darker.
      size: side of the drawing in pixels.
      seen: position of the layer seen at each pixel, at `LAYERS_SIDE` whatever ``size`` is.

    Raises:
      UserError: unknown style.

    """
    check_style(style)
    rng = scene.generator(_PURPOSE[style])
    lines = [outlining.outlines(scene.layers, seen, HANDS[style], rng)]
    if style == "sketch":
        tones = [_tones(layer.texture) for layer in scene.layers]
        lines.append(hatching.hatch(seen[..., 0], tones, rng))
    return pen.draw(lines, size)


def _tones(texture: Texture) -> tuple[hatching.Tones, hatching.Tones]:
    """Darkness of a layer over the frame, without and with its pattern."""
    return _darkness(dataclasses.replace(texture, pattern="plain")), _darkness(texture)


def _darkness(texture: Texture) -> hatching.Tones:
    """1 - luma (ITU-R BT.601), in [0, 1]."""
    axis = raster.centres(_TONES_SIDE)
    colours = np.clip(render_texture(texture, axis, axis), 0.0, 255.0)
    return 1.0 - np.tensordot(_LUMA, colours, 1) / 255.0
