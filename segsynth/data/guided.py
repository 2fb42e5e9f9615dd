"""A source whose faces have the guide of an attribute, made from their parts."""

import dataclasses

import numpy as np

from segsynth.data import guides
from segsynth.data.derived import Derived
from segsynth.data.label_sets import CELEBAMASK
from segsynth.errors import UserError


@dataclasses.dataclass(frozen=True)
class Guided(Derived):
    """Gives each example ``guide``, drawn at the size of the file (`segsynth.data.guides`).

    Drawn before anything is resampled, so that thin parts keep their share of a pixel: ``guide`` is
    resampled by area.

    Attributes:
        source: provides ``parts``, bit k - 1 = part id k of `CELEBAMASK`.
        attribute: whose guide. Of several, parted by commas, example i has that of number i modulo
            their count, in every epoch, and ``attribute``, its place among the source's
            ``attribute_names``.

    Raises:
        UserError: a source without parts, an attribute without a guide; one that is none of the
            source's ``attribute_names``, if the source has attributes or there are several.

    """

    attribute: str

    def __post_init__(self) -> None:
        for name in self.attributes:
            guides.get(name)
        if len(self.attributes) > 1 or "attributes" in self.source.provides:
            guides.places(self.attributes, self.attribute_names)
        if "parts" not in self.source.provides:
            raise UserError(
                f"guides are made from the parts of a face, and the source provides "
                f"{', '.join(self.source.provides)}. Choose one with parts."
            )

    @property
    def provides(self) -> tuple[str, ...]:
        """Modality names of an example."""
        several = ("attribute",) if len(self.attributes) > 1 else ()
        return (*self.source.provides, "guide", *several)

    @property
    def attributes(self) -> tuple[str, ...]:
        """Those whose guides there are."""
        return guides.names(self.attribute)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        example = self.source[index]
        bits = example["parts"][..., 0]
        turn = index % len(self.attributes)
        guide = guides.get(self.attributes[turn])
        wanted = {
            name for region in guide for name in (*region.parts, *region.above, *region.below)
        }
        parts = {
            row.name: (bits >> (row.id - 1) & 1).astype(np.float32)
            for row in CELEBAMASK.classes[1:]
            if row.name in wanted
        }
        found = example | {"guide": guides.draw(guide, parts)}
        if len(self.attributes) > 1:
            places = guides.places(self.attributes, self.attribute_names)
            found["attribute"] = np.asarray(places[turn], np.int32)
        return found
