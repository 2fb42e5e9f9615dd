"""Sums of features and of their products that merge exactly, whatever the order and the split.

A Fréchet distance subtracts ``mean mean^T`` from ``E[x x^T]`` and takes roots of the eigenvalues
that are left: float32 sums lose them. Here features become whole multiples of 2^-20, whose products
are added up without any rounding.
"""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int32

from segsynth.errors import UserError
from segsynth.types import Array

#: Features are rounded to multiples of 2^-20, below the rounding of the networks that make them.
_STEP_BITS = 20
#: Features reach to +-2^10, so that the multiples have 31 bits with their sign.
LARGEST_FEATURE = 2.0**10
#: A digit and its sign have 8 bits: products of two are exact in matrix multiplications of every
#: precision (bfloat16, TF32, float32), and float32 adds up 2^24 / 2^14 of them exactly.
_DIGIT_BITS, _DIGITS = 8, 4
_LARGEST_BATCH = 2**10 // _DIGITS
#: As in `segsynth.metrics.exact`, but three limbs: sums below 2^89, 2^29 examples of the largest
#: features.
_LIMB_BITS, _LIMBS = 30, 3


@flax.struct.dataclass
class FeatureMoments:
    """How many examples, the sum of their features, and the sum of their outer products; all exact.

    ``limbs[k]`` holds bits 30 k to 30 k + 29 (the last one what is left, with its sign) of the
    matrix ``sum [x 1]^T [x 1]``, (d + 1, d + 1), in units of 2^-40; memory is 12 (d + 1)^2 bytes,
    50 MB for 2048 features. ``broken`` counts features that are no number or beyond +-1024.
    """

    limbs: Int32[Array, "3 d1 d1"]
    broken: Int32[Array, ""]

    @classmethod
    def empty(cls, features: int) -> "FeatureMoments":
        """Return the neutral element of ``+`` for so many features."""
        shape = (_LIMBS, features + 1, features + 1)
        return cls(limbs=jnp.zeros(shape, jnp.int32), broken=jnp.zeros((), jnp.int32))

    @classmethod
    def of(
        cls, features: Float[Array, "b d"], valid: Float[Array, " b"] | Bool[Array, " b"]
    ) -> "FeatureMoments":
        """Take the examples where ``valid`` is 1; the others may hold anything, NaN included."""
        counted = (valid > 0)[:, None]
        usable = jnp.abs(features) < LARGEST_FEATURE  # False for NaN
        kept = jnp.where(counted & usable, features, 0.0).astype(jnp.float32)
        ones = counted.astype(jnp.float32)
        whole = jnp.round(jnp.concatenate([kept, ones], axis=1) * 2.0**_STEP_BITS)
        limbs = jnp.zeros((_LIMBS, whole.shape[1], whole.shape[1]), jnp.int32)
        for start in range(0, len(whole), _LARGEST_BATCH):
            rows = whole[start : start + _LARGEST_BATCH].astype(jnp.int32)
            limbs = _carried(limbs + _products(rows))
        return cls(limbs=limbs, broken=(counted & ~usable).sum(dtype=jnp.int32))

    def __add__(self, other: "FeatureMoments") -> "FeatureMoments":
        return FeatureMoments(_carried(self.limbs + other.limbs), self.broken + other.broken)

    def exact(self) -> tuple[int, np.ndarray, np.ndarray]:
        """Return the count, the mean (d,) and the mean outer product (d, d) in float64, on the
        host.

        Raises:
            UserError: no examples, or features that cannot be added up.

        """
        if broken := int(self.broken):
            raise UserError(
                f"{broken} features are no number or beyond +-{LARGEST_FEATURE:.0f}; check the "
                "pictures and the weights of the network that made them"
            )
        low, middle, high = np.asarray(self.limbs, np.float64)
        # From the top: of a small negative number the upper two cancel exactly.
        total = ((high * 2.0**_LIMB_BITS + middle) * 2.0**_LIMB_BITS + low) * 4.0**-_STEP_BITS
        count = round(float(total[-1, -1]))
        if not count:
            raise UserError("no examples were counted; a distance needs 2 at least")
        return count, total[:-1, -1] / count, total[:-1, :-1] / count


def _products(rows: Int32[Array, "b d1"]) -> Int32[Array, "3 d1 d1"]:
    """Sum of outer products of at most 256 rows, as limbs that have not been carried."""
    digits = _digits(rows)
    limbs = jnp.zeros((_LIMBS, rows.shape[1], rows.shape[1]), jnp.int32)
    for power in range(2 * _DIGITS - 1):
        first = range(max(0, power - _DIGITS + 1), min(power, _DIGITS - 1) + 1)
        left = jnp.concatenate([digits[i] for i in first])
        right = jnp.concatenate([digits[power - i] for i in first])
        product = jnp.matmul(left.T, right, precision=jax.lax.Precision.HIGHEST)
        limbs = _carried(_shifted_in(limbs, product.astype(jnp.int32), power * _DIGIT_BITS))
    return limbs


def _digits(rows: Int32[Array, "b d1"]) -> list[Float[Array, "b d1"]]:
    """Digits in -128 .. 127 of base 256, the lowest first."""
    digits, half = [], 2 ** (_DIGIT_BITS - 1)
    for _ in range(_DIGITS):
        digit = ((rows + half) & (2 * half - 1)) - half
        digits.append(digit.astype(jnp.float32))
        rows = (rows - digit) >> _DIGIT_BITS
    return digits


def _shifted_in(
    limbs: Int32[Array, "3 d1 d1"], value: Int32[Array, "d1 d1"], bits: int
) -> Int32[Array, "3 d1 d1"]:
    """Add ``value * 2^bits``; |value| <= 2^24."""
    place, shift = divmod(bits, _LIMB_BITS)
    low = (value & (2 ** (_LIMB_BITS - shift) - 1)) << shift
    return limbs.at[place].add(low).at[place + 1].add(value >> (_LIMB_BITS - shift))


def _carried(limbs: Int32[Array, "3 d1 d1"]) -> Int32[Array, "3 d1 d1"]:
    """Bring all limbs but the last into 0 .. 2^30 - 1; they may be below 2^31 before."""
    low, middle, high = limbs
    middle = middle + (low >> _LIMB_BITS)
    high = high + (middle >> _LIMB_BITS)
    mask = 2**_LIMB_BITS - 1
    return jnp.stack([low & mask, middle & mask, high])
