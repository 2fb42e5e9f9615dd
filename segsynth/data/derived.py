"""What a source that is made from another one takes over from it."""

import dataclasses

from segsynth.data.label_sets import LabelSet
from segsynth.data.sources import Source


@dataclasses.dataclass(frozen=True)
class Derived:
    """As many examples as ``source``, and its tables."""

    source: Source

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
