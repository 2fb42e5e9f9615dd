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
        attribute: whose guide.

    Raises:
        UserError: a source without parts, an attribute without a guide.

    """

    attribute: str

    def __post_init__(self) -> None:
        guides.get(self.attribute)
        if "parts" not in self.source.provides:
            raise UserError(
                f"guides are made from the parts of a face, and the source provides "
                f"{', '.join(self.source.provides)}. Choose one with parts."
            )

    @property
    def provides(self) -> tuple[str, ...]:
        """Modality names of an example."""
        return (*self.source.provides, "guide")

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        example = self.source[index]
        bits = example["parts"][..., 0]
        guide = guides.get(self.attribute)
        wanted = {
            name for region in guide for name in (*region.parts, *region.above, *region.below)
        }
        parts = {
            row.name: (bits >> (row.id - 1) & 1).astype(np.float32)
            for row in CELEBAMASK.classes[1:]
            if row.name in wanted
        }
        return example | {"guide": guides.draw(guide, parts)}
