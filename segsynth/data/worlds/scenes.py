"""Procedural scenes: textured background regions and shaded objects, with exact label maps.

`describe` draws a `Scene`, a description in unit coordinates; one function per modality renders it
at any size. A scene depends on (seed, index) alone: sizes show the same scene, and indices can be
rendered in any order. Depth and line drawings make it a stand-in for photographs with depth maps
and drawings, the data of Chan, Durand and Isola (CVPR 2022).
"""

import dataclasses

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from segsynth.data.worlds import contours as shapes
from segsynth.data.worlds import raster, scene_drawings
from segsynth.data.worlds.scene_plan import CLASSES, SUBJECTS, Scene, describe
from segsynth.data.worlds.textures import render_texture

#: Least side at which an image is sampled: finer than any pattern, so small sizes do not alias.
_SAMPLES = 128
#: What ``labels`` hold where nobody annotated, and the range of their share of the frame.
UNLABELLED, _UNSEEN = 255, (0.026, 0.034)
#: Purpose of the generator that leaves patches unannotated.
_ANNOTATOR = 1


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


def render_depth(scene: Scene, size: int) -> Float32[np.ndarray, "{size} {size} 1"]:
    """Depth at the pixel centres in [0, 1]: 1 = nearest, 0 = infinitely far."""
    depth = np.zeros((size, size), np.float32)
    for layer in scene.layers:
        (rows, columns), inside = raster.fill(layer.contours, size)
        dx = raster.centres(size, columns) - layer.texture.centre[0]
        dy = raster.centres(size, rows) - layer.texture.centre[1]
        across, down = layer.ramp[0] * dx - layer.bulge * dx**2, layer.ramp[1] * dy
        surface = layer.depth + across + (down - layer.bulge * dy**2)[:, None]
        np.copyto(depth[rows, columns], surface.astype(np.float32), where=inside)
    return depth[..., None]


def render_labels(scene: Scene, size: int) -> UInt8[np.ndarray, "{size} {size} 1"]:
    """Class ids as hand-made maps have them: about 3 % in patches are `UNLABELLED`."""
    labels = render_segmentation(scene, size).astype(np.uint8)
    for patch in _patches(scene):
        window, inside = raster.fill(patch, size)
        labels[window][inside] = UNLABELLED
    return labels


def _patches(scene: Scene) -> list[shapes.Contours]:
    """1-3 blobs that lie apart; annotators leave out what is unclear, so each is on an outline."""
    rng = scene.generator(_ANNOTATOR)
    count = int(rng.integers(1, 4))
    vertices = np.concatenate([part for layer in scene.layers for part in layer.contours])
    taken, patches = np.zeros((0, 2)), []
    for _ in range(count):
        patch = shapes.scaled(shapes.blob(rng), rng.uniform(*_UNSEEN) / count)
        margin = shapes.extent(patch)
        places = np.clip(rng.choice(vertices, 8), margin, 1.0 - margin)
        gaps = np.linalg.norm(places[:, None] - taken, axis=-1).min(axis=1, initial=2.0)
        taken = np.concatenate([taken, places[gaps.argmax()][None]])
        patches.append(shapes.moved(patch, taken[-1]))
    return patches


def render_subject(scene: Scene) -> Int32[np.ndarray, ""]:
    """Class of the object that is seen most, as a position in `SUBJECTS`; the same at any size."""
    areas = np.bincount(render_instance(scene, _SAMPLES).ravel())
    areas[0] = 0
    classes = {layer.instance: CLASSES[layer.class_id].name for layer in scene.layers}
    return np.asarray(SUBJECTS.index(classes[int(areas.argmax())]), np.int32)


def render_drawing(
    scene: Scene, size: int, style: str = "contour"
) -> UInt8[np.ndarray, "{size} {size} 1"]:
    """A line drawing, black ink on white paper in 0..255; styles: `scene_drawings.HANDS`."""
    seen = render_layers(scene, scene_drawings.LAYERS_SIDE)
    return scene_drawings.draw(scene, style, size, seen)


_RENDERERS = {
    "image": render_image,
    "segmentation": render_segmentation,
    "instance": render_instance,
    "labels": render_labels,
    "depth": render_depth,
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
        1.. = objects. Label maps alone are several times faster. On demand also ``labels`` uint8
        (size, size, 1), classes with about 3 % `UNLABELLED`; ``depth`` float32 (size, size, 1),
        1 = nearest, 0 = infinitely far; ``drawing`` uint8 (size, size, 1), black ink on white;
        ``subject`` int32, the most visible object's class as a position in `SUBJECTS`; ``name``.
      style: of ``drawing``: "contour" = outlines, "sketch" = outlines and hatching.

    Raises:
      UserError: unknown style.

    """

    size: int
    length: int
    seed: int = 0
    start: int = 0
    provides: tuple[str, ...] = ("image", "segmentation", "instance")
    style: str = "contour"

    def __post_init__(self) -> None:
        scene_drawings.check_style(self.style)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        if not 0 <= index < self.length:
            raise IndexError(f"index {index} is outside 0..{self.length - 1}")
        scene = describe(self.seed, self.start + int(index))
        return {name: self._rendered(scene, name) for name in self.provides}

    def _rendered(self, scene: Scene, name: str) -> np.ndarray:
        if name == "name":
            return np.asarray(f"scene_{scene.seed}_{scene.index:08d}", object)
        if name == "subject":
            return render_subject(scene)
        if name == "drawing":
            return render_drawing(scene, self.size, self.style)
        return _RENDERERS[name](scene, self.size)
