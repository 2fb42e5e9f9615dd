"""A source whose coarse labels are made from its fine ones."""

import dataclasses
import hashlib

import numpy as np

from segsynth.data.coarsen import Coarsening, coarsen
from segsynth.data.derived import Derived
from segsynth.errors import UserError


@dataclasses.dataclass(frozen=True)
class Coarsened(Derived):
    """Gives each example ``coarse``, made at the size of the file, in place of its own if any.

    The draws belong to the seed and the example's name: a picture has the same coarse labels at
    every epoch and in every split.

    Attributes:
        source: provides ``labels``, ``name`` and perhaps ``instance``; its attribute ``unlabelled``
            is the number of no label.
        seed: >= 0.
        settings: the annotator.

    Raises:
        UserError: a source without fine labels.

    """

    seed: int = 0
    settings: Coarsening = Coarsening()

    def __post_init__(self) -> None:
        if not {"labels", "name"} <= set(self.source.provides):
            raise UserError(
                f"coarse labels are made from fine ones, and the source provides "
                f"{', '.join(self.source.provides)}. Choose one with labels."
            )

    @property
    def provides(self) -> tuple[str, ...]:
        """Modality names of an example."""
        own = self.source.provides
        return own if "coarse" in own else (*own, "coarse")

    @property
    def unlabelled(self) -> int:
        """The number of no label in ``labels`` and ``coarse``."""
        return self.source.unlabelled

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        example = self.source[index]
        name = hashlib.sha256(str(example["name"]).encode()).digest()
        coarse = coarsen(
            example["labels"][..., 0],
            (self.seed, int.from_bytes(name[:8], "big")),
            unlabelled=self.unlabelled,
            instances=example["instance"][..., 0] if "instance" in example else None,
            settings=self.settings,
        )
        return example | {"coarse": coarse[..., None]}
