"""The transform that gives an example its hole."""

import dataclasses
from collections.abc import Callable

import numpy as np

#: ``(rng, example, index) -> (mask, type)``: mask uint8 ``(S, S, 1)``, 1 = hole; type = its
#: `mask_type` id.
MaskGenerator = Callable[[np.random.Generator, dict[str, np.ndarray], int], tuple[np.ndarray, int]]


@dataclasses.dataclass(frozen=True)
class InpaintingMask:
    """Adds ``mask`` and ``mask_type``, then keeps what the reader asked for.

    It comes after the geometric transforms: a generator draws at the final size, and from the
    labels as they then are.

    Attributes:
        masks: the generator; gets the example and its ``index`` in the source.
        keys: what the result holds, if there; None = everything.

    """

    masks: MaskGenerator
    keys: tuple[str, ...] | None = None

    def __call__(
        self, example: dict[str, np.ndarray], rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Returns the example with its hole; needs ``index`` and what the generator reads."""
        mask, kind = self.masks(rng, example, int(example["index"]))
        full = example | {"mask": mask, "mask_type": np.asarray(kind, np.int32)}
        return full if self.keys is None else {k: v for k, v in full.items() if k in self.keys}
