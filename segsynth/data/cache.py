"""A source that reads each example once."""

import dataclasses

import numpy as np

from segsynth.data.label_sets import LabelSet
from segsynth.data.sources import Source


@dataclasses.dataclass(frozen=True)
class Cached:
    """Keeps the examples of a source in memory, as they were first read.

    For sources that are small and slow: a few thousand rendered scenes, a few hundred photographs.
    Arrays are marked read-only, because every later reader gets the same ones.
    """

    source: Source
    _kept: dict[int, dict[str, np.ndarray]] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def provides(self) -> tuple[str, ...]:
        """Modalities of the source."""
        return self.source.provides

    @property
    def label_set(self) -> LabelSet | None:
        """The table of the source's label maps, if it has one."""
        return getattr(self.source, "label_set", None)

    @property
    def ids(self) -> str:
        """How label maps number the classes: "published" or "train"."""
        return getattr(self.source, "ids", "published")

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """Names of the elements of ``attributes``."""
        return getattr(self.source, "attribute_names", ())

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        # Two threads may read the same example at first; both get equal arrays.
        if index not in self._kept:
            example = self.source[index]
            for value in example.values():
                value.setflags(write=False)
            self._kept[index] = example
        return dict(self._kept[index])
