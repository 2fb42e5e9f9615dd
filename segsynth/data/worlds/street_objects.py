"""Silhouettes of what stands in a street: parts in metres, x to the right and y up from the ground.

A thing is a tuple of parts from back to front; a part is its outline and the kind of its surface
(`street_looks.LOOKS`). All parts of a thing have its class.
"""

from collections.abc import Callable

import numpy as np

from segsynth.data.worlds import contours as shapes
from segsynth.data.worlds.raster import Contour

#: Outline in metres, and the kind of the surface.
Part = tuple[Contour, str]
Thing = tuple[Part, ...]


def box(left: float, bottom: float, right: float, top: float) -> Contour:
    """An upright rectangle."""
    return np.array([[left, bottom], [right, bottom], [right, top], [left, top]])


def disc(x: float, y: float, width: float, height: float, corners: int = 20) -> Contour:
    """An ellipse of a width and height around (x, y)."""
    turn = np.linspace(0.0, 2.0 * np.pi, corners, endpoint=False)
    return np.stack([x + width / 2 * np.cos(turn), y + height / 2 * np.sin(turn)], -1)


def _mirrored(half: np.ndarray) -> Contour:
    """A symmetric outline from its right half, bottom to top."""
    return np.concatenate([half, (half * [-1.0, 1.0])[::-1]])


def car(rng: np.random.Generator) -> Thing:
    """A car from behind or in front."""
    width, height = rng.uniform(1.6, 2.0) / 2, rng.uniform(1.3, 1.8)
    belt = height * rng.uniform(0.52, 0.62)
    roof = width * rng.uniform(0.6, 0.8)
    low, high = 0.25, height
    half = [[width * 0.9, low], [width, low + 0.2], [width, belt], [roof, high - 0.08]]
    body = _mirrored(np.array([*half, [roof * 0.8, high]]))
    window = _mirrored(np.array([[width * 0.85, belt + 0.04], [roof * 0.9, high - 0.14]]))
    lamps = [
        (box(s * width * 0.9 - 0.12, belt - 0.22, s * width * 0.9 + 0.12, belt - 0.05), "lamp")
        for s in (-1, 1)
    ]
    plate = (box(-0.26, low + 0.2, 0.26, low + 0.31), "paint")
    return (*_wheels(width), (body, "lacquer"), (window, "glass"), *lamps, plate)


def _wheels(half: float) -> Thing:
    return tuple(
        (box(s * half * 0.8 - 0.11, 0.0, s * half * 0.8 + 0.11, 0.4), "rubber") for s in (-1, 1)
    )


def side_car(rng: np.random.Generator) -> Thing:
    """A car across the street."""
    length, height = rng.uniform(3.8, 4.8) / 2, rng.uniform(1.35, 1.6)
    belt, facing = height * 0.58, rng.choice([-1.0, 1.0])
    outline = [[-length, 0.3], [length, 0.3], [length, 0.7], [length * 0.55, belt]]
    roof = [[length * 0.2, height], [-length * 0.5, height], [-length * 0.9, belt]]
    glass = [
        [length * 0.42, belt],
        [length * 0.17, height - 0.1],
        [-length * 0.48, height - 0.1],
        [-length * 0.75, belt],
    ]
    tyres = [(disc(s * length * 0.6, 0.32, 0.64, 0.64), "rubber") for s in (-1, 1)]
    parts = ((np.array(outline + roof), "lacquer"), (np.array(glass), "glass"), *tyres)
    return tuple((points * [facing, 1.0], kind) for points, kind in parts)


def van(rng: np.random.Generator, height: tuple[float, float], width: float) -> Thing:
    """A box on wheels with a windscreen: a truck, bus, caravan or trailer by its size."""
    half, top = width / 2 * rng.uniform(0.9, 1.1), rng.uniform(*height)
    glass = box(
        -half * 0.85, top * rng.uniform(0.4, 0.55), half * 0.85, top * rng.uniform(0.75, 0.85)
    )
    strip = box(-half, 0.35, half, top * rng.uniform(0.2, 0.35))
    return (
        *_wheels(half),
        (box(-half, 0.35, half, top), "lacquer"),
        (glass, "glass"),
        (strip, "lacquer"),
    )


def tram(rng: np.random.Generator) -> Thing:
    """A train on the street's rails."""
    half, top = rng.uniform(1.15, 1.35), rng.uniform(3.3, 3.9)
    body = _mirrored(np.array([[half, 0.15], [half, top * 0.8], [half * 0.8, top]]))
    return (
        (body, "lacquer"),
        (box(-half * 0.85, top * 0.45, half * 0.85, top * 0.8), "glass"),
        (box(-half * 0.5, top * 0.85, half * 0.5, top * 0.93), "lamp"),
    )


def person(rng: np.random.Generator) -> Thing:
    """Somebody who stands or walks."""
    tall = rng.uniform(1.2, 1.9)
    return _body(rng, tall, 0.0, tall)


def _body(rng: np.random.Generator, tall: float, base: float, whole: float) -> Thing:
    """Legs, trunk, arms and head from ``base`` to ``tall`` above it, as thick as of a ``whole``."""
    hip, shoulder = base + tall * 0.47, base + tall * 0.83
    step, wide = rng.uniform(0.02, 0.16) * whole, whole * rng.uniform(0.13, 0.17)
    legs = []
    for side in (-1, 1):
        foot = side * step
        legs.append(
            np.array(
                [
                    [foot - 0.06, base],
                    [foot + 0.06, base],
                    [side * 0.02 + 0.11, hip],
                    [side * 0.02 - 0.11, hip],
                ]
            )
        )
    trunk = _mirrored(
        np.array([[wide * 0.75, hip - 0.05], [wide, shoulder - 0.12], [wide * 0.7, shoulder]])
    )
    arm = rng.uniform(0.02, 0.2)
    arms = [
        np.array(
            [
                [s * wide * 0.8, shoulder - 0.02],
                [s * (wide + 0.06), shoulder - 0.1],
                [s * (wide + arm), hip],
                [s * (wide + arm - 0.1), hip],
            ]
        )
        for s in (-1, 1)
    ]
    head = disc(0.0, base + tall * 0.92, whole * 0.11, whole * 0.15)
    return (
        *((leg, "cloth") for leg in legs),
        *((a, "cloth") for a in arms),
        (trunk, "cloth"),
        (head, "skin"),
    )


def rider(rng: np.random.Generator) -> Thing:
    """Somebody on a bicycle or motorcycle, without it."""
    return _body(rng, rng.uniform(1.15, 1.35), 0.55, 1.75)


def bicycle(rng: np.random.Generator) -> Thing:
    """A bicycle from the side, or a thin one from behind."""
    if rng.random() < 0.5:
        return (
            (box(-0.04, 0.0, 0.04, 0.75), "rubber"),
            (box(-0.28, 0.92, 0.28, 0.99), "metal"),
            (box(-0.03, 0.6, 0.03, 0.95), "lacquer"),
        )
    wheels = []
    for x in (-0.52, 0.52):
        wheels += [(disc(x, 0.34, 0.68, 0.68), "rubber"), (disc(x, 0.34, 0.5, 0.5), "asphalt")]
    frame = np.array([[-0.5, 0.3], [-0.1, 0.75], [0.4, 0.85], [0.42, 0.75], [0.0, 0.25]])
    return (
        *wheels,
        (frame, "lacquer"),
        (box(0.33, 0.8, 0.45, 1.05), "metal"),
        (box(-0.25, 0.75, 0.0, 0.92), "rubber"),
    )


def motorcycle(rng: np.random.Generator) -> Thing:
    """A motorcycle from behind."""
    wide = rng.uniform(0.25, 0.35)
    return (
        (box(-0.09, 0.0, 0.09, 0.62), "rubber"),
        (_mirrored(np.array([[wide * 0.6, 0.4], [wide, 0.8], [wide * 0.6, 1.15]])), "lacquer"),
        (box(-wide * 1.3, 1.0, wide * 1.3, 1.07), "metal"),
        (disc(0.0, 0.8, 0.14, 0.1), "lamp"),
    )


def pole(rng: np.random.Generator) -> Thing:
    """A lamp post or mast, with an arm now and then."""
    wide, tall = rng.uniform(0.05, 0.13), rng.uniform(3.0, 8.0)
    parts: Thing = ((box(-wide, 0.0, wide, tall), "metal"),)
    if rng.random() < 0.4:
        reach = rng.uniform(0.8, 2.5) * rng.choice([-1.0, 1.0])
        parts += ((box(min(0.0, reach), tall - 0.1, max(0.0, reach), tall), "metal"),)
    return parts


def sign(rng: np.random.Generator) -> Thing:
    """A traffic sign without its post."""
    wide, height = rng.uniform(0.55, 1.0), rng.uniform(2.2, 3.2)
    form = rng.integers(4)
    if form == 0:
        return (
            (disc(0.0, height, wide, wide), "plate"),
            (disc(0.0, height, wide * 0.7, wide * 0.7), "paint"),
        )
    if form == 1:
        corner = np.array(
            [
                [-wide / 2, height - wide / 2],
                [wide / 2, height - wide / 2],
                [0.0, height + wide / 2],
            ]
        )
        return ((corner, "plate"),)
    long = wide * rng.uniform(1.0, 2.5) / 2
    return (
        (box(-long, height - wide / 2, long, height + wide / 2), "plate"),
        (box(-long * 0.8, height - wide * 0.2, long * 0.8, height + wide * 0.2), "paint"),
    )


def traffic_light(rng: np.random.Generator) -> Thing:
    """A traffic light without its post."""
    height, lit = rng.uniform(2.2, 3.2), int(rng.integers(3))
    lamps = [
        (disc(0.0, height + 0.3 * (k - 1), 0.22, 0.22), "lamp" if k == lit else "rubber")
        for k in range(3)
    ]
    return ((box(-0.2, height - 0.5, 0.2, height + 0.5), "rubber"), *lamps)


def tree(rng: np.random.Generator) -> Thing:
    """A trunk and a crown."""
    tall, wide = rng.uniform(4.0, 11.0), rng.uniform(2.0, 6.0)
    (crown,) = shapes.blob(rng, spread=0.3)
    stem = rng.uniform(0.1, 0.25)
    crown = crown / np.abs(crown).max(axis=0) * [wide / 2, tall * 0.35] + [0.0, tall * 0.65]
    return ((box(-stem, 0.0, stem, tall * 0.6), "bars"), (crown, "foliage"))


def bush(rng: np.random.Generator) -> Thing:
    """A hedge or bush on the ground."""
    (form,) = shapes.blob(rng, spread=0.3)
    size = np.array([rng.uniform(0.8, 3.0), rng.uniform(0.6, 1.8)])
    return ((form / np.abs(form).max(axis=0) * size / 2 + [0.0, size[1] / 2], "foliage"),)


def bin_or_box(rng: np.random.Generator) -> Thing:
    """Something that stands about: a bin, a bollard, a cabinet."""
    wide, tall = rng.uniform(0.2, 0.9), rng.uniform(0.6, 1.5)
    return (
        (box(-wide / 2, 0.0, wide / 2, tall), "lacquer"),
        (box(-wide / 2, tall, wide / 2, tall + 0.1), "metal"),
    )


#: What stands in the street, by name: the Cityscapes id and how its silhouette is drawn.
THINGS: dict[str, tuple[int, Callable[[np.random.Generator], Thing]]] = {
    "static": (4, bin_or_box),
    "dynamic": (5, bin_or_box),
    "unlabeled": (0, bin_or_box),
    "pole": (17, pole),
    "polegroup": (18, pole),
    "traffic light": (19, traffic_light),
    "traffic sign": (20, sign),
    "tree": (21, tree),
    "bush": (21, bush),
    "person": (24, person),
    "rider": (25, rider),
    "car": (26, car),
    "crossing car": (26, side_car),
    "truck": (27, lambda rng: van(rng, (2.6, 3.8), 2.4)),
    "bus": (28, lambda rng: van(rng, (2.8, 3.4), 2.5)),
    "caravan": (29, lambda rng: van(rng, (2.3, 2.7), 2.2)),
    "trailer": (30, lambda rng: van(rng, (1.2, 2.2), 1.9)),
    "train": (31, tram),
    "motorcycle": (32, motorcycle),
    "bicycle": (33, bicycle),
}
