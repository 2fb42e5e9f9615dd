"""A source that reads each example once."""

import dataclasses

import numpy as np

from segsynth.data.derived import Derived


@dataclasses.dataclass(frozen=True)
class Cached(Derived):
    """Keeps the examples of a source in memory, as they were first read.

    For sources that are small and slow: a few thousand rendered scenes, a few hundred photographs.
    Arrays are marked read-only, because every later reader gets the same ones.
    """

    _kept: dict[int, dict[str, np.ndarray]] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def provides(self) -> tuple[str, ...]:
        """Modalities of the source."""
        return self.source.provides

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        # Two threads may read the same example at first; both get equal arrays.
        if index not in self._kept:
            example = self.source[index]
            for value in example.values():
                value.setflags(write=False)
            self._kept[index] = example
        return dict(self._kept[index])
