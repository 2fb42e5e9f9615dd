"""Holes from label maps: objects and regions of an example, and objects of other examples."""

import dataclasses
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Integer, UInt8
from scipy import ndimage

from segsynth.errors import UserError

#: Examples tried in search of one with objects.
_TRIES = 64


def random_instance(
    rng: np.random.Generator, instance: Integer[np.ndarray, "height width 1"]
) -> UInt8[np.ndarray, "height width 1"]:
    """Draw the mask of one object of an instance map, all equally likely; 1 = hole.

    The mask is empty if the map has no object, that is no id above 0.
    """
    ids = np.unique(instance)
    ids = ids[ids > 0]
    if ids.size == 0:
        return np.zeros(instance.shape, np.uint8)
    return (instance == rng.choice(ids)).astype(np.uint8)


def random_region(
    rng: np.random.Generator,
    segmentation: Integer[np.ndarray, "height width 1"],
    instance: Integer[np.ndarray, "height width 1"],
) -> UInt8[np.ndarray, "height width 1"]:
    """Draw the mask of one connected background region (instance 0, one class id); 1 = hole.

    Every class of the background is equally likely; of its regions, each as likely as it is large,
    or slivers between objects would prevail. The mask is empty if there is no background.
    """
    background = instance == 0
    ids = np.unique(segmentation[background])
    if ids.size == 0:
        return np.zeros(instance.shape, np.uint8)
    regions, _ = ndimage.label((background & (segmentation == rng.choice(ids)))[..., 0])
    inside = regions[regions > 0]
    return (regions == rng.choice(inside)).astype(np.uint8)[..., None]


@runtime_checkable
class LabelledSource(Protocol):
    """Random-access examples, some with an ``instance`` map (H, W, 1), 0 = background."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> dict[str, np.ndarray]: ...


@dataclasses.dataclass(frozen=True)
class InstanceShapes:
    """A shape bank: object masks from the other examples of a source.

    Attributes:
      source: examples with instance maps; a source that provides label maps alone is the fastest.

    Raises:
      UserError: for a source of fewer than two examples, in which there is no other one.

    """

    source: LabelledSource

    def __post_init__(self) -> None:
        if len(self.source) < 2:
            raise UserError(
                f"a shape bank takes objects from other examples, but its source has "
                f"{len(self.source)}; use a source of at least 2, or procedural silhouettes"
            )

    def __call__(self, rng: np.random.Generator, index: int) -> UInt8[np.ndarray, "height width 1"]:
        """Draw the mask of a random object of a random example other than ``index``; 1 = hole.

        Raises:
          UserError: if no example in 64 has an instance map with an object.

        """
        for _ in range(_TRIES):
            other = int(rng.integers(len(self.source) - 1))
            # Stepping over the own index leaves all others equally likely.
            instance = self.source[other + int(other >= index)].get("instance")
            if instance is not None and instance.any():
                return random_instance(rng, instance)
        raise UserError(
            f"found no object in {_TRIES} examples of the shape bank; "
            "use a source with instance maps, or procedural silhouettes"
        )
