"""The parts of a face: head, nose, eyes, brows, ears and glasses, as layers.

Eyes and brows are drawn as pairs: the face is folded at its middle, and one shape gives both.
Part ids are those of `label_sets.CELEBAMASK`.
"""

import math

import numpy as np

from segsynth.data.worlds import portrait_mouth
from segsynth.data.worlds.portrait_canvas import Canvas, Layer, ellipse
from segsynth.data.worlds.portrait_mouth import MOUTH_DEPTH

SKIN, NOSE, GLASSES, EYE, BROW, EAR = 1, 2, 3, 4, 6, 8
#: How far parts lie in front of the axis around which the head turns.
NOSE_DEPTH, EYE_DEPTH, HAIR_DEPTH = 0.26, 0.17, 0.10
#: Level of Eyeglasses from which on the lenses hide the eyes.
DARK = 0.75


def layers(canvas: Canvas) -> list[Layer]:
    """The layers of a face without hair, in the order in which they are painted."""
    return [
        *_ears(canvas),
        *_head(canvas),
        *_eyes(canvas),
        *_brows(canvas),
        *_nose(canvas),
        *portrait_mouth.layers(canvas),
        *_glasses(canvas),
    ]


def _head(canvas: Canvas) -> list[Layer]:
    values = canvas.portrait.values
    width, height = values["head_width"], values["head_height"]
    # A pointed or dropped chin reaches a little further than the head is high.
    window = canvas.window(-width, width, -height, height + 0.1)
    skin = canvas.cover(canvas.head[window].copy())
    return [Layer("skin", SKIN, window, skin), *_cheeks(canvas)]


def _cheeks(canvas: Canvas) -> list[Layer]:
    values = canvas.portrait.values
    centre, place, height = canvas.turn(MOUTH_DEPTH), 0.62 * values["head_width"], 0.26
    window = canvas.window(centre - place - 0.24, centre + place + 0.24, 0.04, 0.48)
    u, v = (axis[window] for axis in canvas.face)
    x = np.abs(u - centre)
    x -= place
    x *= 1.0 / 0.22
    y = (v - height) * (1.0 / 0.2)
    x *= x
    y *= y
    x += y
    np.subtract(1.0, x, out=x)
    np.maximum(x, 0.0, out=x)
    x *= values["blush"]
    x *= np.minimum(canvas.head[window] * -8.0, 1.0).clip(0.0)
    return [Layer("blush", 0, window, x)]


def ear_shown(canvas: Canvas, side: int) -> float:
    """Width of an ear: 1 = seen from the front, near 0 = turned away; side -1 = left, 1 = right."""
    return float(np.clip(1.0 - 1.7 * side * canvas.turn(1.0), 0.12, 1.3))


def _ears(canvas: Canvas) -> list[Layer]:
    values = canvas.portrait.values
    line, height = values["ear_line"], 0.17 * values["ear_size"]
    found = []
    for side in (-1, 1):
        width, centre = 0.11 * ear_shown(canvas, side), side * (values["head_width"] + 0.01)
        window = canvas.window(centre - width, centre + width, line - height, line + height)
        u, v = (axis[window] for axis in canvas.face)
        u, v = u - centre, v - line
        shape = canvas.cover(ellipse(u, v, width, height))
        inner = canvas.cover(ellipse(u, v, 0.55 * width, 0.6 * height))
        found.append(Layer("ear", 0, window, shape))
        found.append(Layer("earlobe", 0, window, inner))
        # Merged maps have ears over the skin, so the part ends where the head begins.
        part = np.minimum(shape, canvas.cover(-canvas.head[window]))
        found.append(Layer("", EAR + (side > 0), window, part))
    return found


def _folded(canvas: Canvas, reach: float, top: float, bottom: float):
    """Window of both eyes; distance from an eye's middle outwards, v, and which is right."""
    centre, spread = canvas.turn(EYE_DEPTH), canvas.portrait.values["eye_spread"]
    half = spread + reach
    window = canvas.window(centre - half, centre + half, top, bottom)
    u, v = (axis[window] for axis in canvas.face)
    u = u - centre
    outward = np.abs(u)
    outward -= spread
    return window, outward, v, u > 0.0


def _eyes(canvas: Canvas) -> list[Layer]:
    values, half = canvas.portrait.values, canvas.portrait.level("Narrow_Eyes")
    line, width, iris = values["eye_line"], values["eye_width"], values["iris"]
    window, outward, v, right = _folded(canvas, width, line - half - 0.05, line + half + 0.05)
    side = np.where(right, np.float32(1.0), np.float32(-1.0))
    v = v - line
    v -= values["eye_tilt"] * outward
    lids = outward * (1.0 / width)
    lids *= lids
    np.subtract(1.0, lids, out=lids)
    np.maximum(lids, 0.0, out=lids)
    lids *= half
    corners = np.abs(outward)
    corners -= width
    # The upper lid is the more curved one.
    opening = lids * 0.125
    opening += v
    np.abs(opening, out=opening)
    opening -= lids * 0.875
    eye = canvas.cover(np.maximum(opening, corners))
    gaze = outward - values["gaze"] * side
    ball = ellipse(gaze, v, iris, iris)
    coloured = canvas.cover(ball.copy())
    ball += 0.55 * iris
    pupil = canvas.cover(ball)
    side *= 0.3 * iris
    side += gaze
    glint = canvas.cover(ellipse(side, v + 0.3 * iris, 0.3 * iris, 0.3 * iris))
    lids += v
    np.abs(lids, out=lids)
    lids -= 0.016
    lid = canvas.cover(np.maximum(lids, corners))
    for inside in (coloured, pupil, glint):
        inside *= eye
    dark = canvas.portrait.has("Eyeglasses") and canvas.portrait.level("Eyeglasses") > DARK
    part = 0 if dark else EYE  # annotators draw no eye that they cannot see
    return [
        Layer("eye", part, window, eye, right),
        Layer("iris", 0, window, coloured),
        Layer("pupil", 0, window, pupil),
        Layer("glint", 0, window, glint),
        Layer("lid", 0, window, lid),
    ]


def _brows(canvas: Canvas) -> list[Layer]:
    values, half = canvas.portrait.values, canvas.portrait.level("Bushy_Eyebrows")
    line, width = values["eye_line"] - values["brow_gap"], values["brow_width"]
    window, outward, v, right = _folded(canvas, width, line - 0.17, line + 0.11)
    q = outward * (1.0 / width)
    q *= q
    across = v - (line - values["brow_arch"])
    across -= values["brow_tilt"] * outward
    across -= values["brow_arch"] * q
    np.abs(across, out=across)
    across -= half
    q *= 0.5 * half
    across += q  # thinner towards the ends
    ends = np.abs(outward)
    ends -= width
    brow = canvas.cover(np.maximum(across, ends))
    return [Layer("brow", BROW, window, brow, right)]


def _nose(canvas: Canvas) -> list[Layer]:
    values, half = canvas.portrait.values, canvas.portrait.level("Big_Nose")
    top, length = values["eye_line"], values["nose_length"]
    root, tip = canvas.turn(EYE_DEPTH), canvas.turn(NOSE_DEPTH)
    reach = half + abs(tip - root) + 0.02
    window = canvas.window(tip - reach, tip + reach, top, top + length + 0.15)
    u, v = (axis[window] for axis in canvas.face)
    share = (v - top) * (1.0 / length)
    bridge = u - root
    bridge -= share * (tip - root)
    lit = bridge * (-math.copysign(1.0, values["light"]) / half)
    np.abs(bridge, out=bridge)
    bridge -= share * (0.7 * half - 0.05)
    bridge -= 0.05
    bridge = np.maximum(bridge, top - v)
    np.maximum(bridge, v - (top + length), out=bridge)
    u, v = u - tip, v - (top + length)
    nose = canvas.cover(np.minimum(bridge, ellipse(u, v, half, 0.07 + 0.2 * half)))
    np.maximum(lit, 0.0, out=lit)
    np.minimum(lit, 1.0, out=lit)
    lit *= nose
    wings = np.abs(u)
    wings -= 0.45 * half
    nostrils = canvas.cover(ellipse(wings, v - 0.035, 0.32 * half, 0.026))
    return [
        Layer("nose", NOSE, window, nose),
        Layer("nose_shade", 0, window, lit),
        Layer("nostril", 0, window, nostrils),
    ]


def _glasses(canvas: Canvas) -> list[Layer]:
    if not canvas.portrait.has("Eyeglasses"):
        return []
    values = canvas.portrait.values
    line, width, height = values["eye_line"] + 0.01, values["glasses_width"], values["rim"]
    height += values["glasses_height"]
    window, outward, v, _ = _folded(canvas, width + 0.35, line - height, line + height)
    v = v - line
    glass = ellipse(outward, v, width, values["glasses_height"], values["glasses_square"])
    lens = canvas.cover(glass.copy())
    np.abs(glass, out=glass)
    glass -= values["rim"]
    # The bridge, and the temples to the edge of the head.
    bar = np.abs(v + 0.25 * values["glasses_height"])
    bar -= 0.8 * values["rim"]
    np.maximum(bar, width - np.abs(outward), out=bar)
    np.maximum(bar, canvas.head[window], out=bar)
    rim = canvas.cover(np.minimum(glass, bar))
    dark = canvas.portrait.level("Eyeglasses") > DARK
    return [
        Layer("dark_lens" if dark else "lens", GLASSES, window, lens),
        Layer("rim", GLASSES, window, rim),
    ]
