"""The mouth of a portrait and what is around it: lips, teeth, tongue, creases and a mustache.

A mouth is a band around a curve v = line - smile (q^2 - 0.35), q running from corner to corner; the
opening and the lips taper towards the corners.
"""

import numpy as np

from segsynth.data.worlds.portrait_canvas import Canvas, Layer

MOUTH, UPPER_LIP, LOWER_LIP = 10, 11, 12
#: How far the mouth lies in front of the axis around which the head turns.
MOUTH_DEPTH = 0.16


def layers(canvas: Canvas) -> list[Layer]:
    """The layers of the mouth, in the order in which they are painted."""
    return [*_mustache(canvas), *_mouth(canvas)]


def _mustache(canvas: Canvas) -> list[Layer]:
    if not canvas.portrait.has("Mustache"):
        return []
    values, half = canvas.portrait.values, canvas.portrait.level("Mustache")
    centre, width = canvas.turn(MOUTH_DEPTH), 1.05 * values["mouth_width"]
    line = values["mouth_line"] - values["upper_lip"] - 0.035
    window = canvas.window(centre - width, centre + width, line - half, line + half + 0.1)
    u, v = (axis[window] for axis in canvas.face)
    q = (u - centre) * (1.0 / width)
    ends = (np.abs(q) - 1.0) * width
    q *= q
    across = np.abs(v - line - 0.08 * q)
    across -= half * (1.0 - 0.6 * q)
    return [Layer("mustache", 0, window, canvas.cover(np.maximum(across, ends)))]


def _mouth(canvas: Canvas) -> list[Layer]:
    values, smile = canvas.portrait.values, canvas.portrait.level("Smiling")
    gap, width = canvas.portrait.level("Mouth_Slightly_Open"), values["mouth_width"]
    width *= 1.0 + 0.9 * max(smile, 0.0)
    centre, line = canvas.turn(MOUTH_DEPTH), values["mouth_line"]
    reach = gap + abs(smile) + 0.12
    window = canvas.window(centre - width - 0.1, centre + width + 0.1, line - reach, line + reach)
    u, v = (axis[window] for axis in canvas.face)
    q = (u - centre) * (1.0 / width)
    ends = (np.abs(q) - 1.0) * width
    q *= q
    taper = np.maximum(1.0 - q, 0.0)
    # The lower jaw does most of the opening.
    v = v - (line + 0.3 * gap)
    v += smile * (q - 0.35)
    open_half = taper * (0.5 * gap)
    lips = taper * (1.6 - 0.6 * taper)
    dip = np.maximum(1.0 - 14.0 * q, 0.0)
    upper = lips * (0.5 * values["upper_lip"]) * (1.0 - 0.3 * dip)
    lower = lips * (0.5 * values["lower_lip"])
    inside = np.abs(v) - open_half
    found = [
        Layer("upper_lip", UPPER_LIP, window, _band(canvas, v + open_half + upper, upper, ends)),
        Layer("lower_lip", LOWER_LIP, window, _band(canvas, v - open_half - lower, lower, ends)),
        Layer("mouth", MOUTH, window, canvas.cover(np.maximum(inside, ends))),
    ]
    if gap > 0.01:
        teeth = np.maximum(inside, v + open_half - min(0.05, 0.5 * gap))
        tongue = np.maximum(inside + 0.01, 0.4 * open_half - v)
        np.maximum(tongue, ends + 0.4 * width, out=tongue)
        found.append(Layer("tongue", 0, window, canvas.cover(tongue)))
        found.append(Layer("teeth", 0, window, canvas.cover(np.maximum(teeth, ends + 0.03))))
    return [*found, *_creases(canvas, width, smile)]


def _band(canvas: Canvas, across: np.ndarray, half: np.ndarray, ends: np.ndarray) -> np.ndarray:
    np.abs(across, out=across)
    across -= half
    return canvas.cover(np.maximum(across, ends))


def _creases(canvas: Canvas, width: float, smile: float) -> list[Layer]:
    """The folds beside a smiling mouth: thin arcs, bent outwards."""
    if smile < 0.05:
        return []
    centre, line = canvas.turn(MOUTH_DEPTH), canvas.portrait.values["mouth_line"] - 0.14
    half = width + 0.1
    window = canvas.window(centre - half, centre + half, line - 0.15, line + 0.15)
    u, v = (axis[window] for axis in canvas.face)
    y = (v - line) * (1.0 / 0.14)
    across = np.abs(u - centre)
    across -= half - 0.07 * y * y - 0.02
    np.abs(across, out=across)
    across -= 0.014
    crease = canvas.cover(np.maximum(across, (np.abs(y) - 1.0) * 0.14))
    return [Layer("crease", 0, window, crease)]
