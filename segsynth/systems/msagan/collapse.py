"""An editor that returns its input: how that is found out.

With a large weight on "keep the face" the mask falls to 0, where no gradient reaches the attribute
image any more. Most trainings pass through such a phase and leave it, so only the end of a training
is judged.
"""

from typing import Any

import clu.metrics
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from segsynth.metrics.exact import ExactSum
from segsynth.types import Array

#: Accuracy above that of the untouched faces that an editor must reach.
MARGIN = 0.05
#: A mask that nowhere exceeds this does nothing.
QUIET = 0.1


@flax.struct.dataclass
class Collapse(clu.metrics.Metric):
    """1 if the editor collapsed, else 0; NaN of nothing.

    It did if its accuracy is less than 5 points above that of the untouched faces, or if the median
    over faces of the mask's maximum is below 0.1; of several attributes, if that holds for the
    edits of any. The size of the change tells nothing: it is as small at 2 % accuracy as at 84 %.

    ``counts``: (attributes, 4), of faces: edited ones that reach the target, untouched ones that
    do, with a mask that does nothing, all.
    """

    counts: ExactSum

    @classmethod
    def of(
        cls,
        edited: Bool[Array, " b"],
        untouched: Bool[Array, " b"],
        mask: Float[Array, "b h w 1"],
        valid: Float[Array, " b"],
        which: Int[Array, " b"] | None = None,
        attributes: int = 1,
    ) -> "Collapse":
        """Take the faces where ``valid`` is 1.

        Args:
            edited: whether the judge sees the target in the edited face.
            untouched: whether it sees it in the face before.
            mask: of the edit.
            valid: whether a face counts.
            which: the place of the attribute that is edited; None = that of all is one.
            attributes: how many there are.

        """
        quiet = mask.max(axis=(1, 2, 3)) < QUIET
        rows = jnp.stack([edited, untouched, quiet, jnp.ones_like(quiet)], axis=-1)
        place = jnp.zeros(len(quiet), jnp.int32) if which is None else which
        chosen = jax.nn.one_hot(place, attributes, dtype=bool) & (valid > 0)[:, None]
        counts = (chosen[:, :, None] & rows[:, None]).sum(axis=0, dtype=jnp.int32)
        return cls(counts=ExactSum.of(counts))

    def merge(self, other: "Collapse") -> "Collapse":
        """Add the counts."""
        return Collapse(counts=self.counts + other.counts)

    def compute(self) -> Any:
        """Return the flag."""
        edited, untouched, quiet, count = jnp.moveaxis(self.counts.approximate(), -1, 0)
        fell = (edited < untouched + MARGIN * count) | (2 * quiet > count)
        # Of an attribute without faces neither holds: 0 < 0.
        return jnp.where(count.any(), fell.any().astype(jnp.float32), jnp.nan)
