"""Whole numbers beyond 2^31 without 64-bit types: sums that merge exactly in any order."""

import flax.struct
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, Int32

from segsynth.types import Array

#: Bits of the lower limb: two of them add up below 2^31.
_BITS = 30


@flax.struct.dataclass
class ExactSum:
    """An array of counts, each ``high * 2^30 + low``, 0 <= low < 2^30; exact below 2^61.

    float32 loses ones above 2^24 and int32 ends at 2^31; a data set of 500 pictures of 2048 x 1024
    has 2^30 pixels, its extra training part 2^35.
    """

    low: Int32[Array, "*shape"]
    high: Int32[Array, "*shape"]

    @classmethod
    def of(cls, counts: Int[Array, "*shape"]) -> "ExactSum":
        """Take counts 0 <= n < 2^31."""
        counts = counts.astype(jnp.int32)
        return cls(low=counts & (2**_BITS - 1), high=counts >> _BITS)

    @classmethod
    def zeros(cls, shape: tuple[int, ...] = ()) -> "ExactSum":
        """Return zeros."""
        return cls(low=jnp.zeros(shape, jnp.int32), high=jnp.zeros(shape, jnp.int32))

    def __add__(self, other: "ExactSum") -> "ExactSum":
        low = self.low + other.low
        high = self.high + other.high + (low >> _BITS)
        return ExactSum(low=low & (2**_BITS - 1), high=high)

    def approximate(self) -> Float[Array, "*shape"]:
        """Return the counts as float32, off by a relative 2^-23 at most."""
        return self.high.astype(jnp.float32) * 2.0**_BITS + self.low.astype(jnp.float32)

    def exact(self) -> np.ndarray:
        """Return the counts as int64, on the host."""
        return (np.asarray(self.high, np.int64) << _BITS) + np.asarray(self.low, np.int64)
