"""What surrounds a face: hair, hat, earrings, neck, necklace, clothes and now and then a hand."""

import numpy as np

from segsynth.data.worlds.portrait_canvas import Canvas, Layer, capsule, ellipse
from segsynth.data.worlds.portrait_face import HAIR_DEPTH, ear_shown

HAIR, HAT, EARRING, NECKLACE, NECK, CLOTH = 13, 14, 15, 16, 17, 18
#: Occurs where the quantity of that name is below.
_SHARE = {"hand": 0.06, "necklace": 0.3}
_BRIM = -0.36  # lower edge of a hat, in the middle


def layers(canvas: Canvas) -> list[Layer]:
    """The layers around a face, in the order in which they are painted over it."""
    return [
        *_hair(canvas),
        *_hat(canvas),
        *_earrings(canvas),
        *_neck_parts(canvas),
        *_cloth(canvas),
        *_hand(canvas),
    ]


def _hair(canvas: Canvas) -> list[Layer]:
    if canvas.portrait.has("Bald"):
        return []
    values = canvas.portrait.values
    width = values["head_width"] + values["hair_volume"]
    height = values["head_height"] + values["hair_height"]
    length = _length(values["hair_length"])
    window = canvas.window(-width, width, -height, length)
    u, v = (axis[window] for axis in canvas.face)
    outline = ellipse(u, np.minimum(v, 0.0), width, height)
    # The sides end in a soft curve.
    np.maximum(outline, v + 0.5 * u * u - length, out=outline)
    bare = values["temples"] * values["head_width"]
    face = u - canvas.turn(HAIR_DEPTH)
    top = 0.15 - values["hairline"]
    opening = ellipse(face, np.minimum(v - 0.15 + values["parting"] * face, 0.0), bare, top, 0.35)
    hair = canvas.cover(np.maximum(outline, -opening))
    return [Layer("hair", HAIR, window, hair), *_fringe(canvas, window, outline, face)]


def _length(share: float) -> float:
    """Lower end of the hair: above the ears for half of all people, below the chin for the rest."""
    return 0.05 + 0.5 * share if share < 0.5 else 0.55 + 2.2 * (share - 0.5)


def _fringe(canvas: Canvas, window, outline: np.ndarray, face: np.ndarray) -> list[Layer]:
    if not canvas.portrait.has("Bangs"):
        return []
    values = canvas.portrait.values
    low = values["eye_line"] - values["brow_gap"] - 0.02
    line = values["hairline"] + canvas.portrait.level("Bangs") * (low - values["hairline"])
    teeth = face * (4.0 + 4.0 * values["fringe_cut"])
    teeth -= np.floor(teeth)
    teeth -= 0.5
    np.abs(teeth, out=teeth)
    edge = canvas.face[1][window] - line
    edge -= 0.12 * teeth
    edge -= values["parting"] * 0.3 * face
    return [Layer("fringe", HAIR, window, canvas.cover(np.maximum(edge, outline)))]


def _hat(canvas: Canvas) -> list[Layer]:
    if not canvas.portrait.has("Wearing_Hat"):
        return []
    values, kind = canvas.portrait.values, canvas.portrait.values["hat_kind"]
    width = values["head_width"] + 0.07 + values["hair_volume"]
    height = values["head_height"] + values["hair_height"] + _BRIM + 0.05
    height += 0.25 * canvas.portrait.level("Wearing_Hat")
    # A beanie's fold, a brim all round, or a visor.
    thick, reach, bend = (0.1, 0.02, 0.1) if kind < 0.4 else (0.05, 0.3, 0.12)
    if kind > 0.7:
        thick, reach, bend = 0.07, -0.12, 0.2
    wide = width + reach
    window = canvas.window(-max(wide, width), max(wide, width), _BRIM - height, _BRIM + 0.05)
    u, v = (axis[window] for axis in canvas.face)
    u, v = u - canvas.turn(0.5 * HAIR_DEPTH), v - _BRIM
    crown = ellipse(u, np.minimum(v + 0.1, 0.0), width, height - 0.1, 0.4)
    q = u * (1.0 / wide)
    q *= q
    curve = v + thick
    curve += bend * q
    np.maximum(crown, curve, out=crown)
    across = np.abs(curve) - thick * (1.0 - 0.4 * q)
    band = canvas.cover(np.maximum(across, (np.sqrt(q) - 1.0) * wide))
    return [
        Layer("hat", HAT, window, canvas.cover(crown)),
        Layer("hat_band", HAT, window, band),
    ]


def _earrings(canvas: Canvas) -> list[Layer]:
    if not canvas.portrait.has("Wearing_Earrings"):
        return []
    values, radius = canvas.portrait.values, canvas.portrait.level("Wearing_Earrings")
    found = []
    for side in (-1, 1):
        if ear_shown(canvas, side) < 0.4:
            continue
        x = side * (values["head_width"] + 0.03)
        y = values["ear_line"] + 0.16 * values["ear_size"] + radius
        window = canvas.window(x - radius, x + radius, y - radius, y + radius)
        u, v = (axis[window] for axis in canvas.face)
        disc = canvas.cover(ellipse(u - x, v - y, radius, radius))
        found.append(Layer("earring", EARRING, window, disc))
    return found


def behind(canvas: Canvas) -> list[Layer]:
    """The neck, which is painted before the head: a seam between them would show the backdrop."""
    window, _, _, neck = _neck(canvas)
    shadow = (0.35 - canvas.head[window]) * 2.5
    np.maximum(shadow, 0.0, out=shadow)
    np.minimum(shadow, 1.0, out=shadow)
    shadow *= neck
    return [Layer("neck_skin", 0, window, neck), Layer("chin_shadow", 0, window, shadow)]


def _neck(canvas: Canvas):
    """Window, body coordinates in it, and coverage by the neck, chin or not."""
    values = canvas.portrait.values
    half, top = values["neck_width"], 0.45
    window = canvas.body_window(-half - 0.2, half + 0.2, top, values["shoulder"] + 0.45)
    x, y = canvas.body[0][:, window[1]], canvas.body[1][window[0]]
    outside = np.maximum(y - 1.05, 0.0)
    outside *= -0.6 * outside
    return window, x, y, canvas.cover(np.maximum(np.abs(x) + (outside - half), top - y))


def _neck_parts(canvas: Canvas) -> list[Layer]:
    """Neck and necklace without what the chin hides: merged maps have both over the skin."""
    window, x, y, neck = _neck(canvas)
    np.minimum(neck, canvas.cover(-canvas.head[window]), out=neck)
    necklace = _necklace(canvas, x, y, neck)
    if necklace is None:
        return [Layer("", NECK, window, neck)]
    # Annotators leave the necklace out of the neck, which would hide it.
    return [
        Layer("necklace", NECKLACE, window, necklace),
        Layer("", NECK, window, neck * (necklace < 0.5)),
    ]


def _necklace(canvas: Canvas, x, y, neck: np.ndarray) -> np.ndarray | None:
    values = canvas.portrait.values
    if values["necklace"] > _SHARE["necklace"]:
        return None
    line = values["shoulder"] - 0.1 + 0.25 * values["neckline"]
    across = y - (line - (0.9 * x) * x)
    np.abs(across, out=across)
    across -= 0.03
    return canvas.cover(across) * neck


def _cloth(canvas: Canvas) -> list[Layer]:
    values = canvas.portrait.values
    line, half = values["shoulder"], values["neck_width"]
    window = canvas.body_window(-9.0, 9.0, line - 0.12, 9.0)
    x, y = canvas.body[0][:, window[1]], canvas.body[1][window[0]]
    side = np.abs(x)
    shoulders = np.maximum(side - half, 0.0) * values["slope"]
    shoulders += np.maximum(side - 1.2, 0.0)
    body = (line + shoulders) - y
    cut = ellipse(x, y - (line - 0.02), half + 0.01, values["neckline"] + 0.06)
    np.maximum(body, -cut, out=body)
    collar = np.maximum(cut - 0.07, body)
    return [
        Layer("cloth", CLOTH, window, canvas.cover(body)),
        Layer("collar", CLOTH, window, canvas.cover(collar)),
    ]


def _hand(canvas: Canvas) -> list[Layer]:
    """A hand at the cheek, beside the mouth; what it hides, it hides from the labels too."""
    values = canvas.portrait.values
    if values["hand"] > _SHARE["hand"]:
        return []
    side = -1.0 if values["hand_side"] < 0.0 else 1.0
    x, y = side * (0.86 + 0.1 * abs(values["hand_side"])), values["hand_height"] + 0.3
    window = canvas.window(x - 0.55, x + 0.55, y - 0.75, y + 1.6)
    u, v = (axis[window] for axis in canvas.face)
    shape = capsule(u, v, (x, y + 0.15), (x + 0.15 * side, y + 1.4), 0.17)
    palm = capsule(u, v, (x - 0.06 * side, y), (x + 0.06 * side, y + 0.1), 0.22)
    np.minimum(shape, palm, out=shape)
    gaps = []
    for finger in range(4):
        root = x + side * (-0.2 + 0.13 * finger)
        tip = root - side * (0.1 - 0.03 * finger), y - 0.52 + 0.05 * abs(finger - 1)
        line = capsule(u, v, (root, y), tip, 0.068)
        gaps.append(np.abs(line) - 0.012)
        np.minimum(shape, line, out=shape)
    hand = canvas.cover(shape)
    lines = canvas.cover(np.minimum.reduce(gaps)) * hand
    return [Layer("hand", -1, window, hand), Layer("hand_line", 0, window, lines)]
