"""Procedural portraits with CelebAMask-HQ's parts and attributes, and their true edits.

`sample` draws a `Portrait`; `draw` turns it into layers at any size, and one function per
modality renders those. Every random quantity is drawn with the portrait, so `flipped` gives the
same person, light and noise with one attribute changed: what photographs never have, a ground truth
for edits. Left parts (l_eye, ...) are those on the left of the picture.
"""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32, UInt8

from segsynth.data import guides
from segsynth.data.label_sets import CELEBAMASK, LabelSet
from segsynth.data.worlds import portrait_attributes, portrait_face, portrait_looks, portrait_outfit
from segsynth.data.worlds.portrait_attributes import ATTRIBUTES, CORRELATIONS, Rates
from segsynth.data.worlds.portrait_canvas import Canvas, Layer
from segsynth.data.worlds.portrait_plan import FRAMINGS, Portrait
from segsynth.data.worlds.portrait_sampling import Population, flipped, sample, with_attribute
from segsynth.errors import UserError

__all__ = ["FRAMINGS", "Population", "Portrait", "Portraits", "flipped", "sample", "with_attribute"]

#: Sides of pictures that show a face well, in pixels.
SIZES = (32, 512)
_HALF = 0.5  # a part has the pixels of which it covers at least so much


class Drawing(NamedTuple):
    """A portrait at one size: its layers in the order in which they are painted."""

    canvas: Canvas
    layers: list[Layer]


def draw(portrait: Portrait, size: int) -> Drawing:
    """Lays the shapes of a portrait on a grid of size x size pixels."""
    canvas = Canvas(portrait, size)
    behind, face = portrait_outfit.behind(canvas), portrait_face.layers(canvas)
    return Drawing(canvas, [*behind, *face, *portrait_outfit.layers(canvas)])


def render_image(drawing: Drawing) -> UInt8[np.ndarray, "size size 3"]:
    """The picture in [0, 255], antialiased, with the camera's noise."""
    return portrait_looks.painted(*drawing)


def render_labels(drawing: Drawing) -> UInt8[np.ndarray, "size size 1"]:
    """Part ids of `CELEBAMASK`: of the parts that cover a pixel, the last; 0 where a hand is."""
    labels = np.zeros((drawing.canvas.size,) * 2, np.uint8)
    # Glasses are painted over the eyes, but merged maps have the eyes over the glasses.
    for layer in sorted(drawing.layers, key=_painting_order):
        if layer.part:
            view, inside = labels[layer.window], layer.coverage >= _HALF
            view[inside] = max(layer.part, 0)
            if layer.right is not None:
                inside &= layer.right
                view[inside] = layer.part + 1
    return labels[..., None]


def _painting_order(layer: Layer) -> int:
    return layer.part % 256  # the hand, -1, comes last


def render_parts(drawing: Drawing) -> Int32[np.ndarray, "size size 1"]:
    """All parts of each pixel, hidden or not: bit k - 1 is that of part id k."""
    parts = np.zeros((drawing.canvas.size,) * 2, np.int32)
    for layer in drawing.layers:
        if layer.part > 0:
            view, inside = parts[layer.window], layer.coverage >= _HALF
            if layer.right is None:
                view |= inside * np.int32(1 << (layer.part - 1))
            else:
                bits = np.where(layer.right, np.int32(1 << layer.part), 1 << (layer.part - 1))
                view |= inside * bits.astype(np.int32)
    return parts[..., None]


def render_guide(drawing: Drawing, guide: guides.Guide) -> UInt8[np.ndarray, "size size 1"]:
    """Coverage of the pixels by a guide, 0..255, antialiased."""
    wanted = {name for region in guide for name in (*region.parts, *region.above, *region.below)}
    size = drawing.canvas.size
    parts: dict[str, np.ndarray] = {}
    for layer in drawing.layers:
        sides = ((0, layer.coverage),)
        if layer.right is not None:
            sides = ((0, layer.coverage * ~layer.right), (1, layer.coverage * layer.right))
        for side, coverage in sides:
            name = CELEBAMASK.classes[layer.part + side].name if layer.part > 0 else ""
            if name in wanted:
                whole = parts.setdefault(name, np.zeros((size, size), np.float32))
                np.maximum(whole[layer.window], coverage, out=whole[layer.window])
    return guides.draw(guide, parts or {"skin": np.zeros((size, size), np.float32)})


def support(portrait: Portrait, name: str, size: int) -> Bool[np.ndarray, "size size"]:
    """Where flipping an attribute may change the picture, by its declaration; nowhere else it does.

    The surfaces that the attribute declares, before and after the flip. A pixel outside has the
    same bits in both pictures.
    """
    declared, found = portrait_attributes.get(name), np.zeros((size, size), bool)
    for version in (portrait, flipped(portrait, name)):
        canvas, layers = draw(version, size)
        low = canvas.face[1] >= canvas.jaw
        for layer in layers:
            if layer.surface in declared.surfaces:
                found[layer.window] |= layer.coverage > 0.0
            elif layer.surface in declared.below:
                found[layer.window] |= (layer.coverage > 0.0) & low[layer.window]
    return found


@dataclasses.dataclass(frozen=True)
class Portraits:
    """A source of procedural portraits; element i is the portrait of index ``start + i``.

    Attributes:
        size: side of the pictures in pixels, 32..512.
        length: number of examples.
        seed: seed of the world, >= 0.
        start: index of the first portrait; held-out splits use another range.
        framing: "portrait" = head and shoulders; "tight" = the face, for small pictures.
        attributes: names of the elements of ``attributes``.
        guide: attribute of ``guide`` and ``counterfactual``, one of ``attributes`` if these are
            rendered; "" = none. Of several, parted by commas, example i has that of number i modulo
            their count, in every epoch.
        regions: regions of ``guide`` instead of those that `guides.GUIDES` has for the attribute.
        jaw_coupling: by how much of the mouth's opening the chin drops, 0..1; above 0 the guide of
            a mouth does not cover all that truly changes.
        label_noise: probability that an element of ``attributes`` is wrong.
        prevalences: (attribute, share) pairs that replace CelebAMask-HQ's.
        correlations: (first, second, phi): attributes that occur together.
        spurious: (attribute, quantity, share): shortcuts; see `Population`.
        provides: what to render. ``image`` uint8 (size, size, 3); ``labels`` uint8 (size, size, 1),
            ids of `CELEBAMASK`; ``parts`` int32 (size, size, 1), bit k - 1 = part id k, hidden or
            not; ``attributes`` int32, one 0 or 1 per name; ``guide`` uint8 (size, size, 1), 255 =
            inside; ``counterfactual`` uint8 (size, size, 3), the picture with the attribute of
            ``guide`` flipped; ``attribute`` int32, the place of that one in ``attributes``;
            ``name``.

    Raises:
        UserError: an illegal field.

    """

    size: int
    length: int
    seed: int = 0
    start: int = 0
    framing: str = "portrait"
    attributes: tuple[str, ...] = tuple(ATTRIBUTES)
    guide: str = ""
    regions: guides.Guide = ()
    jaw_coupling: float = 0.5
    label_noise: float = 0.0
    prevalences: tuple[tuple[str, float], ...] = ()
    correlations: tuple[tuple[str, str, float], ...] = CORRELATIONS
    spurious: tuple[tuple[str, str, float], ...] = ()
    provides: tuple[str, ...] = ("image", "labels", "parts", "attributes", "name")

    def __post_init__(self) -> None:
        if not SIZES[0] <= self.size <= SIZES[1]:
            raise UserError(
                f"portraits of {self.size} px; expected {SIZES[0]}..{SIZES[1]}. "
                "Change data.resolution."
            )
        for name in (*self.attributes, *guides.names(self.guide)):
            portrait_attributes.get(name)
        # Labels of one attribute beside the guide of another teach nothing.
        if {"attribute", "attributes"} & set(self.provides):
            guides.places(guides.names(self.guide), self.attributes)
        if not self.guide and {"guide", "counterfactual"} & set(self.provides):
            raise UserError(
                "portraits with guide or counterfactual need the attribute that they are of. "
                "Set data.guide, as in 'Mouth_Slightly_Open'."
            )
        _ = self.population

    @property
    def label_set(self) -> LabelSet:
        """The table of ``labels``."""
        return CELEBAMASK

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """What the elements of ``attributes`` are called."""
        return self.attributes

    @functools.cached_property
    def population(self) -> Population:
        """Who sits for the portraits."""
        return Population(
            framing=self.framing,
            jaw_coupling=self.jaw_coupling,
            rates=Rates(tuple(self.prevalences), tuple(self.correlations)),
            spurious=tuple(self.spurious),
            label_noise=self.label_noise,
        )

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        if not 0 <= index < self.length:
            raise IndexError(f"index {index} is outside 0..{self.length - 1}")
        portrait = self.portrait(index)
        drawing = draw(portrait, self.size)
        several = guides.names(self.guide)
        edited = several[index % len(several)] if several else ""
        return {key: self._rendered(portrait, drawing, key, edited) for key in self.provides}

    def portrait(self, index: int) -> Portrait:
        """The description of example ``index``."""
        return sample(self.seed, self.start + int(index), self.population)

    def _rendered(self, portrait: Portrait, drawing: Drawing, key: str, edited: str) -> np.ndarray:
        if key == "name":
            return np.asarray(f"portrait_{portrait.seed}_{portrait.index:08d}", object)
        if key == "attributes":
            return np.array([portrait.label(name) for name in self.attributes], np.int32)
        if key == "guide":
            return render_guide(drawing, self.regions or guides.get(edited))
        if key == "attribute":
            return np.asarray(self.attributes.index(edited), np.int32)
        if key == "counterfactual":
            return render_image(draw(flipped(portrait, edited), self.size))
        return _RENDERERS[key](drawing)


_RENDERERS = {"image": render_image, "labels": render_labels, "parts": render_parts}
