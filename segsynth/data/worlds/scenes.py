"""Procedural scenes: textured background regions and shaded objects, with exact label maps.

`describe` draws a `Scene`, a description in unit coordinates; one function per modality renders it
at any size. A scene depends on (seed, index) alone: sizes show the same scene, and indices can be
rendered in any order.
"""

import dataclasses

import numpy as np
from jaxtyping import Float64, Int32, UInt8

from segsynth.data.worlds import contours as shapes
from segsynth.data.worlds import raster
from segsynth.data.worlds.textures import PATTERNS, Texture, random_texture, render_texture


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
#: Area of an object as a share of the frame before occlusion, and the most that all of them cover.
_AREA, _COVER = (0.04, 0.30), 0.6
#: Least side at which an image is sampled: finer than any pattern, so small sizes do not alias.
_SAMPLES = 128


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """One background region or object.

    Attributes:
      class_id: position in `CLASSES`.
      instance: 0 for background, 1.. for objects.
      depth: [0, 1], larger is nearer.
      contours: its outline, whole even where other layers hide it.
      texture: its look.

    """

    class_id: int
    instance: int
    depth: float
    contours: shapes.Contours
    texture: Texture


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """Layers from far to near; each hides what is behind it, and the first one fills the frame."""

    layers: tuple[Layer, ...]


def describe(seed: int, index: int) -> Scene:
    """Draw the scene of an index: 1-3 background regions and 1-5 objects in front of them.

    Args:
      seed: seed of the world, >= 0.
      index: number of the scene, >= 0.

    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, index))))
    return Scene(_background(rng) + _objects(rng))


def _background(rng: np.random.Generator) -> tuple[Layer, ...]:
    """Regions one below the other, each of another class, split by smooth horizons."""
    count = int(rng.choice([1, 2, 3], p=[0.25, 0.45, 0.3]))
    ids = rng.choice(_BACKGROUND, size=count, replace=False)
    tilt = rng.normal(0.0, 0.2) + rng.choice([0.0, 0.5, -0.5], p=[0.7, 0.15, 0.15]) * np.pi
    frame = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    outlines = [frame] + [
        _below_horizon(rng, (k + rng.uniform(-0.3, 0.3)) / count, tilt) for k in range(1, count)
    ]
    return tuple(
        Layer(int(ids[k]), 0, 0.3 * k / count, (outlines[k],), _region_texture(rng, int(ids[k])))
        for k in range(count)
    )


def _region_texture(rng: np.random.Generator, class_id: int) -> Texture:
    return random_texture(rng, CLASSES[class_id].name)


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
    depths = np.sort(rng.uniform(0.35, 1.0, count))
    taken = np.zeros((0, 2))
    layers = []
    for k in range(count):
        layer = _object(rng, k + 1, float(depths[k]), min(_AREA[1], _COVER / count), light, taken)
        taken = np.concatenate([taken, layer.texture.centre[None]])
        layers.append(layer)
    return tuple(layers)


def _object(
    rng: np.random.Generator,
    instance: int,
    depth: float,
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
    return Layer(class_id, instance, depth, shapes.moved(outline, centre), texture)


def _lit(texture: Texture, centre: np.ndarray, roundness: float, light: float) -> Texture:
    """Shade an object from the side of the scene's light, and towards its rim."""
    relief = 0.2 / np.sqrt(roundness) * np.array([np.cos(light), np.sin(light)])
    return dataclasses.replace(texture, centre=centre, relief=relief, roundness=roundness)


def render_layers(scene: Scene, size: int) -> Int32[np.ndarray, "{size} {size} 1"]:
    """Position in ``scene.layers`` of the layer that is seen at each pixel centre."""
    seen = np.zeros((size, size, 1), np.int32)
    for position, layer in enumerate(scene.layers):
        window, inside = raster.fill(layer.contours, size)
        seen[window][inside] = position
    return seen


def render_segmentation(scene: Scene, size: int) -> Int32[np.ndarray, "{size} {size} 1"]:
    """Class ids, positions in `CLASSES`, exact at the pixel centres."""
    ids = np.array([layer.class_id for layer in scene.layers], np.int32)
    return ids[render_layers(scene, size)]


def render_instance(scene: Scene, size: int) -> Int32[np.ndarray, "{size} {size} 1"]:
    """Instance ids: 0 = background, 1.. = objects from far to near; a hidden object is missing."""
    ids = np.array([layer.instance for layer in scene.layers], np.int32)
    return ids[render_layers(scene, size)]


def render_image(scene: Scene, size: int) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """The picture in [0, 255], antialiased: the mean of at least 2 x 2 samples per pixel."""
    factor = max(2, -(-_SAMPLES // size))
    side = size * factor
    canvas = np.empty((3, side, side), np.float32)
    for layer in scene.layers:
        (rows, columns), inside = raster.fill(layer.contours, side)
        x, y = raster.centres(side, columns), raster.centres(side, rows)
        np.copyto(canvas[:, rows, columns], render_texture(layer.texture, x, y), where=inside[None])
    np.clip(canvas, 0.0, 255.0, out=canvas)
    rows_averaged = canvas.reshape(3, size, factor, side).mean(axis=2)
    image = rows_averaged.reshape(3, size, size, factor).mean(axis=3)
    return np.ascontiguousarray(np.rint(image).astype(np.uint8).transpose(1, 2, 0))


_RENDERERS = {
    "image": render_image,
    "segmentation": render_segmentation,
    "instance": render_instance,
}


@dataclasses.dataclass(frozen=True)
class Scenes:
    """A source of procedural scenes; element i is the scene of index ``start + i``.

    Attributes:
      size: side of the pictures in pixels.
      length: number of examples.
      seed: seed of the world, >= 0.
      start: index of the first scene; held-out splits use another range.
      provides: the modalities to render. ``image`` uint8 (size, size, 3); ``segmentation`` int32
        (size, size, 1), positions in `CLASSES`; ``instance`` int32 (size, size, 1), 0 = background,
        1.. = objects. Label maps alone are several times faster.

    """

    size: int
    length: int
    seed: int = 0
    start: int = 0
    provides: tuple[str, ...] = ("image", "segmentation", "instance")

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        if not 0 <= index < self.length:
            raise IndexError(f"index {index} is outside 0..{self.length - 1}")
        scene = describe(self.seed, self.start + int(index))
        return {name: _RENDERERS[name](scene, self.size) for name in self.provides}
