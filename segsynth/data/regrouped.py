"""A source whose label maps have fewer classes, as another table groups them."""

import dataclasses

import numpy as np

from segsynth.data import label_sets
from segsynth.data.derived import Derived
from segsynth.data.label_sets import LabelSet
from segsynth.errors import UserError

#: Modalities whose values are ids of the table.
_MAPS = ("labels", "coarse")


@dataclasses.dataclass(frozen=True)
class Regrouped(Derived):
    """Gives ``labels`` and ``coarse`` the ids of another table.

    ``instance`` keeps its numbers. What nobody labelled stays so in ``coarse``; in ``labels``,
    which have a label for each pixel, the source's number of no label is a class like any other.

    Attributes:
        source: its ``label_set`` is one that `segsynth.data.label_sets.REGROUPED` groups so, and
            its maps hold published ids.
        table: name of the other one.

    Raises:
        UserError: a source without such a table, or with train ids.

    """

    table: str

    def __post_init__(self) -> None:
        own = getattr(self.source, "label_set", None)
        name = own.name if own is not None else ""
        if (name, self.table) not in label_sets.REGROUPED:
            known = ", ".join(f"{a} to {b}" for a, b in label_sets.REGROUPED)
            raise UserError(
                f"data.regroup is {self.table!r}, and the labels are of {name or 'no table'}; "
                f"known: {known}. Take another data.source, or --config.data.regroup="
            )
        if getattr(self.source, "ids", "published") != "published":
            raise UserError("data.regroup groups published ids; set data.ids to 'published'")
        if not set(_MAPS) & set(self.source.provides):
            raise UserError(
                f"data.regroup groups label maps, and the source provides "
                f"{', '.join(self.source.provides)}. Choose one with labels."
            )

    @property
    def label_set(self) -> LabelSet:
        """The table of ``labels`` and ``coarse``."""
        return label_sets.get(self.table)

    @property
    def unlabelled(self) -> int:
        """The number of no label in ``labels`` and ``coarse``."""
        return self.label_set.unlabelled

    @property
    def provides(self) -> tuple[str, ...]:
        """Modality names of an example."""
        return self.source.provides

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        example, own = self.source[index], super().label_set
        to = np.full(256, self.unlabelled, np.uint8)
        ids = label_sets.REGROUPED[own.name, self.table]
        to[: len(ids)] = ids
        drawn = to.copy()
        drawn[own.unlabelled] = self.unlabelled
        tables = dict(zip(_MAPS, (to, drawn), strict=True))
        return example | {key: tables[key][example[key]] for key in _MAPS if key in example}
