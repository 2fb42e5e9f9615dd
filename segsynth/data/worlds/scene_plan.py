"""The plan of a scene: classes, and how background regions and objects are drawn at random.

A scene is a description in unit coordinates; `scenes` renders it at any size.
"""

import dataclasses

import numpy as np
from jaxtyping import Float64

from segsynth.data.worlds import contours as shapes
from segsynth.data.worlds.textures import PATTERNS, Texture, random_texture


@dataclasses.dataclass(frozen=True)
class SceneClass:
    """A class of the label map: name, object or background, and colour in drawn label maps."""

    name: str
    is_object: bool
    colour: tuple[int, int, int]


#: Classes by id. The pattern tells a background class, the shape an object class, colour none.
CLASSES: tuple[SceneClass, ...] = (
    SceneClass("plain", False, (70, 130, 180)),
    SceneClass("stripes", False, (128, 64, 128)),
    SceneClass("checks", False, (244, 35, 232)),
    SceneClass("dots", False, (107, 142, 35)),
    SceneClass("ripples", False, (0, 80, 100)),
    SceneClass("speckle", False, (152, 251, 152)),
    SceneClass("ellipse", True, (220, 20, 60)),
    SceneClass("polygon", True, (250, 170, 30)),
    SceneClass("star", True, (220, 220, 0)),
    SceneClass("blob", True, (0, 0, 142)),
    SceneClass("ring", True, (255, 120, 120)),
    SceneClass("cross", True, (90, 90, 90)),
)

_BACKGROUND = [i for i, kind in enumerate(CLASSES) if not kind.is_object]
_OBJECTS = [i for i, kind in enumerate(CLASSES) if kind.is_object]
#: Object classes by the number that ``subject`` gives them.
SUBJECTS: tuple[str, ...] = tuple(CLASSES[i].name for i in _OBJECTS)
#: Area of an object as a share of the frame before occlusion, and the most that all of them cover.
_AREA, _COVER = (0.04, 0.30), 0.6
#: Depth at which background ends and objects begin, and the greatest depth of one object.
_BACKDROP, _FRONT, _BULGE = 0.3, 0.35, 0.18
#: Share of the room between two layers that a layer's own relief takes.
_RELIEF = 0.95


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """One background region or object.

    Attributes:
      class_id: position in `CLASSES`.
      instance: 0 for background, 1.. for objects.
      depth: at ``texture.centre``, in [0, 1]; 1 = nearest, 0 = infinitely far.
      ramp: (2,), change of depth per unit length: a background comes nearer to one side.
      bulge: loss of depth per squared distance from the centre: an object is rounded.
      contours: its outline, whole even where other layers hide it.
      texture: its look.

    """

    class_id: int
    instance: int
    depth: float
    ramp: Float64[np.ndarray, " 2"]
    bulge: float
    contours: shapes.Contours
    texture: Texture


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """Layers from far to near; each hides what is behind it, and the first one fills the frame.

    Depths of two layers differ everywhere, so the order of the layers is that of their depths.
    """

    layers: tuple[Layer, ...]
    seed: int = 0
    index: int = 0

    def generator(self, *purpose: int) -> np.random.Generator:
        """A generator that belongs to the scene and a purpose."""
        entropy = np.random.SeedSequence((self.seed, self.index, *purpose))
        return np.random.Generator(np.random.PCG64(entropy))


def describe(seed: int, index: int) -> Scene:
    """Draw the scene of an index: 1-3 background regions and 1-5 objects in front of them.

    Args:
      seed: seed of the world, >= 0.
      index: number of the scene, >= 0.

    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, index))))
    return Scene(_background(rng) + _objects(rng), seed, index)


def _background(rng: np.random.Generator) -> tuple[Layer, ...]:
    """Regions one below the other, each of another class, split by smooth horizons."""
    count = int(rng.choice([1, 2, 3], p=[0.25, 0.45, 0.3]))
    ids = rng.choice(_BACKGROUND, size=count, replace=False)
    tilt = rng.normal(0.0, 0.2) + rng.choice([0.0, 0.5, -0.5], p=[0.7, 0.15, 0.15]) * np.pi
    frame = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    outlines = [frame] + [
        _below_horizon(rng, (k + rng.uniform(-0.3, 0.3)) / count, tilt) for k in range(1, count)
    ]
    room = _BACKDROP / count
    ramp = _RELIEF * room * _downwards(tilt)
    layers = []
    for k in range(count):
        texture = random_texture(rng, CLASSES[ids[k]].name)
        depth = (k + 0.5) * room
        layers.append(Layer(int(ids[k]), 0, depth, ramp, 0.0, (outlines[k],), texture))
    return tuple(layers)


def _downwards(tilt: float) -> Float64[np.ndarray, " 2"]:
    """Slope of a ramp down a frame turned by ``tilt``: it rises by 1 between opposite corners."""
    down = shapes.rotate(np.array([[0.0, 1.0]]), tilt)[0]
    return down / np.abs(down).sum()


def _below_horizon(
    rng: np.random.Generator, height: float, tilt: float
) -> Float64[np.ndarray, "vertices 2"]:
    """Outline of what lies below a wavy line, turned by ``tilt`` around the middle of the frame."""
    x = np.linspace(-1.5, 1.5, 193)
    order = np.arange(1, 4)
    waves = np.sin(2.0 * np.pi * order * x[:, None] + rng.uniform(0.0, 2.0 * np.pi, 3))
    y = height - 0.5 + waves @ (rng.uniform(0.0, 0.05, 3) / order)
    line = np.stack([x, y], axis=-1)
    return shapes.rotate(np.concatenate([line, [[1.5, 2.0], [-1.5, 2.0]]]), tilt) + 0.5


def _objects(rng: np.random.Generator) -> tuple[Layer, ...]:
    count = int(rng.integers(1, 6))
    light = rng.uniform(0.0, 2.0 * np.pi)
    bands = _bands(np.sort(rng.uniform(_FRONT, 1.0, count)))
    taken = np.zeros((0, 2))
    layers = []
    for k in range(count):
        layer = _object(rng, k + 1, bands[k], min(_AREA[1], _COVER / count), light, taken)
        taken = np.concatenate([taken, layer.texture.centre[None]])
        layers.append(layer)
    return tuple(layers)


def _bands(depths: Float64[np.ndarray, " count"]) -> Float64[np.ndarray, "count 2"]:
    """Depths of each object's rim and middle: sorted draws, moved apart so that all can bulge."""
    count = len(depths)
    rims = (_FRONT + depths + (1.0 - _FRONT) / count * np.arange(count)) / 2.0
    room = np.diff(rims, append=1.0)
    return np.stack([rims, rims + np.minimum(_RELIEF * room, _BULGE)], axis=-1)


def _object(
    rng: np.random.Generator,
    instance: int,
    band: Float64[np.ndarray, " 2"],
    largest: float,
    light: float,
    taken: Float64[np.ndarray, "earlier 2"],
) -> Layer:
    class_id = int(rng.choice(_OBJECTS))
    share = float(np.exp(rng.uniform(np.log(_AREA[0]), np.log(largest))))
    outline = shapes.scaled(shapes.SHAPES[CLASSES[class_id].name](rng), share)
    # The freest of three places: objects overlap now and then, but seldom vanish.
    places = shapes.random_centres(rng, outline, 3)
    gaps = np.linalg.norm(places[:, None] - taken, axis=-1).min(axis=1, initial=2.0)
    centre = places[gaps.argmax()]
    texture = random_texture(rng, str(rng.choice(list(PATTERNS))))
    texture = _lit(texture, centre, shapes.mean_square(outline), light)
    # The bounding box is centred: the farthest vertex is where the rim is farthest.
    bulge = (band[1] - band[0]) / max(float((part**2).sum(axis=1).max()) for part in outline)
    placed = shapes.moved(outline, centre)
    return Layer(class_id, instance, float(band[1]), np.zeros(2), float(bulge), placed, texture)


def _lit(texture: Texture, centre: np.ndarray, roundness: float, light: float) -> Texture:
    """Shade an object from the side of the scene's light, and towards its rim."""
    relief = 0.2 / np.sqrt(roundness) * np.array([np.cos(light), np.sin(light)])
    return dataclasses.replace(texture, centre=centre, relief=relief, roundness=roundness)
