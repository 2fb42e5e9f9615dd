"""Procedural driving scenes with Cityscapes' ids: photographs, fine and coarse labels, objects.

`describe` draws a `Street`, a description in widths of the frame; one function per modality renders
it at any size. A street depends on (seed, index) and on the shape of the frame; the sensor's noise
and the coarse labels also on the size.
"""

import dataclasses

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from segsynth.data.coarsen import Coarsening, coarsen
from segsynth.data.label_sets import CITYSCAPES, NONE, LabelSet
from segsynth.data.worlds import raster, street_plan
from segsynth.data.worlds.street_camera import NEAREST, Camera, StreetLayer
from segsynth.data.worlds.street_looks import Light
from segsynth.data.worlds.textures import render_texture
from segsynth.errors import UserError

#: Ids whose coarse label is the fine one: the recording car and the frame, alike in all files.
_FIXED = (1, 2, 3)
#: Least width at which an image is sampled: finer than any pattern, so small sizes do not alias.
_SAMPLES = 128
#: Least width at which polygons of coarse labels are drawn. An annotator looks at a camera's
#: picture; a gap of some pixels there is less than one in a small map, and would close.
_DRAWN = 256

#: Position of the layer that is seen at each pixel.
Seen = Int32[np.ndarray, "height width 1"]


@dataclasses.dataclass(frozen=True, eq=False)
class Street:
    """Layers from far to near; each hides what is behind it, and the first one fills the frame."""

    seed: int
    index: int
    camera: Camera
    light: Light
    layers: tuple[StreetLayer, ...]

    def generator(self, *purpose: int) -> np.random.Generator:
        """A generator that belongs to the street and a purpose."""
        entropy = np.random.SeedSequence((self.seed, self.index, *purpose))
        return np.random.Generator(np.random.PCG64(entropy))


def describe(seed: int, index: int, aspect: float = 0.5, steady: bool = False) -> Street:
    """Draw the street of an index.

    Args:
        seed: seed of the world, >= 0.
        index: number of the street, >= 0.
        aspect: height / width of the frame.
        steady: under one light, each class in its colour; what stands where is the same.

    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, index))))
    return Street(seed, index, *street_plan.draw(rng, aspect, steady))


def render_layers(street: Street, height: int, width: int) -> Seen:
    """Position in ``street.layers`` of the layer that is seen at each pixel centre."""
    seen = np.zeros((height, width, 1), np.int32)
    for position, layer in enumerate(street.layers):
        (rows, columns), inside = _filled(layer, height, width)
        seen[rows, columns][inside] = position
    return seen


def render_labels(street: Street, seen: Seen) -> UInt8[np.ndarray, "height width 1"]:
    """Published ids, exact at the pixel centres; ``seen`` is what `render_layers` returns."""
    return np.array([layer.class_id for layer in street.layers], np.uint8)[seen]


def render_instance(street: Street, seen: Seen) -> Int32[np.ndarray, "height width 1"]:
    """Numbers of objects, id * 1000 + n; 0 = none."""
    return np.array([layer.instance for layer in street.layers], np.int32)[seen]


def render_depth(street: Street, seen: Seen) -> Float32[np.ndarray, "height width 1"]:
    """Inverse depth 4 m / Z in [0, 1]: 0 = sky, 1 = 4 m or nearer."""
    height, width, _ = seen.shape
    flat = [np.nan if layer.distance is None else layer.distance for layer in street.layers]
    depth = np.clip(NEAREST / np.array(flat), 0.0, 1.0)[seen]
    ground = street.camera.inverse_depth(raster.centres(width, slice(height)))
    return np.where(np.isnan(depth), ground[:, None, None], depth).astype(np.float32)


def render_coarse(
    street: Street, seen: Seen, settings: Coarsening = Coarsening()
) -> UInt8[np.ndarray, "height width 1"]:
    """Coarse labels in published ids, 0 = unlabelled; small ones are sampled from larger ones."""
    height, width, _ = seen.shape
    factor = -(-_DRAWN // width) // 2 * 2 + 1  # odd: pixels have their centres in common
    if factor > 1:
        seen = render_layers(street, height * factor, width * factor)
    labels, objects = render_labels(street, seen), render_instance(street, seen)
    coarse = coarsen(
        labels[..., 0],
        (street.seed, street.index, *seen.shape[:2]),
        unlabelled=0,
        instances=objects[..., 0],
        settings=settings,
    )
    coarse = np.where(np.isin(labels, _FIXED), labels, coarse[..., None])
    return np.ascontiguousarray(coarse[factor // 2 :: factor, factor // 2 :: factor])


def render_image(street: Street, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
    """The picture in [0, 255]: the mean of at least 2 x 2 samples per pixel, with noise."""
    factor = max(2, -(-_SAMPLES // width))
    rows, columns = height * factor, width * factor
    canvas = np.empty((3, rows, columns), np.float32)
    for layer in street.layers:
        (down, across), inside = _filled(layer, rows, columns)
        x, y = raster.centres(columns, across), raster.centres(columns, down)
        np.copyto(canvas[:, down, across], render_texture(layer.texture, x, y), where=inside[None])
    np.clip(canvas, 0.0, 255.0, out=canvas)
    averaged = canvas.reshape(3, height, factor, columns).mean(axis=2)
    averaged = averaged.reshape(3, height, width, factor).mean(axis=3)
    grain = street.generator(height, width).standard_normal((3, height, width), np.float32)
    image = averaged + np.float32(street.light.noise) * grain
    return np.ascontiguousarray(np.rint(image).clip(0, 255).astype(np.uint8).transpose(1, 2, 0))


def _filled(layer: StreetLayer, height: int, width: int) -> tuple[raster.Window, np.ndarray]:
    """The pixels of a layer; the frame is the upper part of the unit square, or all of it."""
    (rows, columns), inside = raster.fill(layer.contours, width)
    count = max(min(rows.stop, height) - rows.start, 0)
    return (slice(rows.start, rows.start + count), columns), inside[:count]


_RENDERERS = {
    "labels": render_labels,
    "coarse": render_coarse,
    "instance": render_instance,
    "depth": render_depth,
}


@dataclasses.dataclass(frozen=True)
class Streets:
    """A source of procedural streets; element i is the street of index ``start + i``.

    Attributes:
        height: of the pictures in pixels, at most the width.
        width: of the pictures in pixels.
        length: number of examples.
        seed: seed of the world, >= 0.
        start: index of the first street; held-out splits use another range.
        ids: "published" = Cityscapes' ids, 0 = unlabelled; "train" = 0..18, 255 = none of the 19.
        provides: what to render. ``image`` uint8 (height, width, 3); ``labels`` and ``coarse``
            uint8, ``instance`` int32 (id * 1000 + n, 0 = no object) and ``depth`` float32 (4 m / Z
            in [0, 1]), all (height, width, 1); ``name``.
        light: "varied" = colours tell little of the classes, and each street has its own light;
            "steady" = one light, and each class in its colour, so that a picture follows from its
            labels. All else is the same.
        annotator: who draws the coarse labels.

    Raises:
        UserError: a frame that is higher than wide, an unknown ``ids`` or ``light``.

    """

    height: int
    width: int
    length: int
    seed: int = 0
    start: int = 0
    ids: str = "published"
    provides: tuple[str, ...] = ("image", "labels", "coarse", "instance", "name")
    light: str = "varied"
    annotator: Coarsening = Coarsening()

    def __post_init__(self) -> None:
        if not 0 < self.height <= self.width or self.ids not in ("published", "train"):
            raise UserError(
                f"streets of {self.height} x {self.width} with ids {self.ids!r}; expected "
                "0 < height <= width, and 'published' or 'train'."
            )
        if self.light not in ("varied", "steady"):
            raise UserError(f"streets in light {self.light!r}; expected 'varied' or 'steady'.")

    @property
    def label_set(self) -> LabelSet:
        """The table of ``labels`` and ``coarse``."""
        return CITYSCAPES

    @property
    def unlabelled(self) -> int:
        """The number of no label in ``labels`` and ``coarse``."""
        return NONE if self.ids == "train" else CITYSCAPES.unlabelled

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        if not 0 <= index < self.length:
            raise IndexError(f"index {index} is outside 0..{self.length - 1}")
        shape = self.height / self.width, self.light == "steady"
        street = describe(self.seed, self.start + int(index), *shape)
        maps = any(key in _RENDERERS for key in self.provides)
        seen = render_layers(street, self.height, self.width) if maps else None
        return {key: self._rendered(street, seen, key) for key in self.provides}

    def _rendered(self, street: Street, seen: np.ndarray | None, key: str) -> np.ndarray:
        if key == "name":
            return np.asarray(f"street_{street.seed}_{street.index:08d}", object)
        if key == "image":
            return render_image(street, self.height, self.width)
        settings = (self.annotator,) if key == "coarse" else ()
        array = _RENDERERS[key](street, seen, *settings)
        mapped = self.ids == "train" and key in ("labels", "coarse")
        return CITYSCAPES.to_train_ids(array) if mapped else array
