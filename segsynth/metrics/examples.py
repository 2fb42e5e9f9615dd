"""What a metric keeps of a data set besides sums: how many examples, and rows of features."""

from typing import Any

import clu.metrics
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int32

from segsynth.errors import UserError
from segsynth.metrics.exact import ExactSum
from segsynth.types import Array


@flax.struct.dataclass
class Examples(clu.metrics.Metric):
    """How many examples counted, to stand beside a number that depends on it."""

    count: ExactSum

    @classmethod
    def of(cls, valid: Float[Array, " b"] | Bool[Array, " b"]) -> "Examples":
        """Count the examples where ``valid`` is 1."""
        return cls(count=ExactSum.of((valid > 0).sum()))

    def merge(self, other: "Examples") -> "Examples":
        """Add both counts."""
        return Examples(count=self.count + other.count)

    def compute(self) -> Any:
        """Return the count."""
        return self.count.approximate()


@flax.struct.dataclass
class FeatureRows:
    """Features of the examples of a data set, in a table that never changes its size.

    So adding two is one compiled program. ``count`` rows from the top are used, the others are 0.

    Attributes:
        rows: one example each; float32, 300 MB for 36,500 examples of 2048 features.
        count: how many.
        capacity: how many there is room for.

    """

    rows: Float[Array, "n d"]
    count: Int32[Array, ""]
    capacity: int = flax.struct.field(pytree_node=False)

    @classmethod
    def of(
        cls,
        features: Float[Array, "b d"],
        valid: Float[Array, " b"] | Bool[Array, " b"],
        capacity: int,
    ) -> "FeatureRows":
        """Take the examples where ``valid`` is 1; the others may hold anything, NaN included."""
        used = valid > 0
        kept = jnp.where(used[:, None], features, 0.0).astype(jnp.float32)
        return cls(kept[jnp.argsort(~used, stable=True)], used.sum(dtype=jnp.int32), capacity)

    def __add__(self, other: "FeatureRows") -> "FeatureRows":
        room = max(self.capacity, len(self.rows)) + len(other.rows)
        table = jnp.pad(self.rows, ((0, room - len(self.rows)), (0, 0)))
        start = jnp.minimum(self.count, room - len(other.rows))
        table = jax.lax.dynamic_update_slice(table, other.rows, (start, 0))
        return self.replace(rows=table[: self.capacity], count=self.count + other.count)

    def exact(self) -> np.ndarray:
        """Return the rows that are used, on the host.

        Raises:
            UserError: there were more examples than the table has room for.

        """
        count = int(self.count)
        if count > max(self.capacity, len(self.rows)):
            raise UserError(
                f"{count} examples for a metric with room for {self.capacity}; raise its capacity "
                "or evaluate fewer"
            )
        return np.ascontiguousarray(np.asarray(self.rows)[:count])


@flax.struct.dataclass
class FeatureTables(clu.metrics.Metric):
    """Rows of features of real and of made examples; what is computed of them, a subclass says."""

    real: FeatureRows
    fake: FeatureRows

    @classmethod
    def of(
        cls,
        real: Float[Array, "b d"],
        fake: Float[Array, "b d"],
        valid: Float[Array, " b"] | Bool[Array, " b"],
        capacity: int,
    ) -> "FeatureTables":
        """Take the examples where ``valid`` is 1; ``capacity`` at most in all."""
        return cls(*(FeatureRows.of(x, valid, capacity) for x in (real, fake)))

    def merge(self, other: "FeatureTables") -> "FeatureTables":
        """Put the rows together."""
        return self.replace(real=self.real + other.real, fake=self.fake + other.fake)


def sorted_rows(*tables: np.ndarray) -> tuple[np.ndarray, ...]:
    """Order the rows of tables of equal length by their bytes, the same order for all.

    What is then drawn from them does not depend on the order in which they came.
    """
    beside = np.concatenate(tables, axis=1)
    order = sorted(range(len(beside)), key=lambda i: beside[i].tobytes())
    return tuple(table[order] for table in tables)
