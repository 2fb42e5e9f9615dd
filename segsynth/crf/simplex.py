"""Which simplex of the permutohedral lattice holds a point, and the keys of its vertices.

Adams, Baek and Davis, "Fast high-dimensional filtering using the permutohedral lattice",
Eurographics 2010, section 3. A point of d features is lifted to the hyperplane of d + 1 coordinates
that sum to zero; a lattice vertex of remainder k has coordinates (d + 1) q_i + k.
"""

import dataclasses
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32

from segsynth.crf.materialise import materialise
from segsynth.errors import UserError

#: Static bounds of each feature: (lowest, highest) in standard deviations.
Bounds = tuple[tuple[float | int, float | int], ...]

_WORD = 2**32
#: Lifted coordinates beyond this are no longer exact to 1/8 in float32.
_FARTHEST = 2.0**20


def _lift_matrix(d: int) -> np.ndarray:
    """Rows of the lift from d features to d + 1 coordinates, for a blur of unit variance."""
    matrix = np.zeros((d + 1, d))
    for j in range(d):
        scale = math.sqrt(2.0 / 3.0) * (d + 1) / math.sqrt((j + 1) * (j + 2))
        matrix[: j + 1, j] = scale
        matrix[j + 1, j] = -(j + 1) * scale
    return matrix


@dataclasses.dataclass(frozen=True)
class Keys:
    """How the coordinates q of a vertex and its remainder k are packed into words of 32 bits.

    One coordinate is left out, since they sum to -k. A word is a mixed-radix number whose radices
    come from static bounds, so no key can wrap around: coordinates that do not fit into one word
    open another.

    Args:
      bounds: of each feature, in standard deviations.
      words: for each word, (coordinate, lowest value, stride) of each coordinate in it. Word 0
        holds, as its lowest digit, the remainder k.

    """

    bounds: Bounds
    words: tuple[tuple[tuple[int, int, int], ...], ...]

    @property
    def dims(self) -> int:
        """The number d of features."""
        return len(self.bounds)

    @staticmethod
    def from_bounds(bounds: Bounds) -> "Keys":
        """Choose the packing.

        Args:
          bounds: of each feature, in standard deviations.

        Raises:
          UserError: features so large that float32 cannot tell neighbouring vertices apart.

        """
        d = len(bounds)
        low, high = np.asarray(bounds, np.float64).T
        matrix = _lift_matrix(d)
        ends = np.stack([matrix * low, matrix * high])
        lowest, highest = ends.min(0).sum(-1), ends.max(0).sum(-1)
        if not max(-lowest.min(), highest.max()) < _FARTHEST:
            raise UserError(
                f"features span {np.max(high - low):.3g} standard deviations, float32 resolves "
                f"about {_FARTHEST / (d + 1):.0e}; take larger widths"
            )
        # Vertices of the simplex lie within d + 1 of the point, their neighbours within 2 d + 1.
        first = np.floor(lowest / (d + 1)).astype(int) - 3
        size = np.ceil(highest / (d + 1)).astype(int) + 3 - first
        words: list[list[tuple[int, int, int]]] = [[]]
        product = d + 1
        for i in sorted(range(d + 1), key=lambda i: size[i])[:d]:
            if product * int(size[i]) >= _WORD:
                words.append([])
                product = 1
            words[-1].append((i, int(first[i]), product))
            product *= int(size[i])
        return Keys(bounds, tuple(tuple(word) for word in words))

    def of_simplex(
        self, q: Int[Array, "k n"], rank: Int[Array, "k n"], zero: Int[Array, ""]
    ) -> list[UInt32[Array, "k n"]]:
        """The words of the d + 1 vertices of each simplex; row k is the vertex of remainder k."""
        d, remainder = self.dims, jnp.arange(self.dims + 1)[:, None]
        keys = []
        for number, word in enumerate(self.words):
            base = sum((q[i] - low).astype(jnp.uint32) * jnp.uint32(s) for i, low, s in word)
            base = materialise(jnp.asarray(base), zero)
            step = sum(
                jnp.where(rank[i][None] > d - remainder, jnp.uint32(s), jnp.uint32(0))
                for i, _, s in word
            )
            key = base[None] - step
            keys.append(key + remainder.astype(jnp.uint32) if number == 0 else key)
        return keys

    def neighbour(self, keys: Sequence[UInt32[Array, " m"]], axis: int) -> list[Array]:
        """The words of the next vertex along an axis: every coordinate + 1, that of axis - d."""
        d = self.dims
        last = keys[0] % jnp.uint32(d + 1) == d
        moved = []
        for number, (key, word) in enumerate(zip(keys, self.words, strict=True)):
            others = sum(s for i, _, s in word if i != axis) % _WORD
            along = sum(s for i, _, s in word if i == axis)
            up, down = (others - d, along - 1) if number == 0 else (others, along)
            up, down = jnp.uint32(up % _WORD), jnp.uint32(down % _WORD)
            moved.append(jnp.where(last, key + up, key - down))
        return moved


def enclosing_simplex(
    features: Float[Array, "n d"], zero: Int[Array, ""]
) -> tuple[Int[Array, "d+1 n"], Int[Array, "d+1 n"], Float[Array, "d+1 n"]]:
    """The simplex around each point.

    Args:
      features: points in standard deviations.
      zero: for `materialise`.

    Returns:
      (q, rank, weights): coordinates q of the vertex of remainder 0, the rank of each coordinate's
      distance from it (0 = farthest), and barycentric weights in [0, 1] by remainder, which sum to
      one.

    """
    d = features.shape[1]
    matrix = jnp.asarray(_lift_matrix(d), jnp.float32)
    columns = materialise(features.T, zero)
    lifted = sum(matrix[:, j, None] * columns[j][None] for j in range(d))
    lifted = materialise(jnp.asarray(lifted), zero)
    nearest = jnp.round(lifted / (d + 1))
    offset = materialise(lifted - (d + 1) * nearest, zero)
    number = jnp.arange(d + 1)[:, None]
    rank = (
        sum(
            jnp.where(number < j, offset[j][None] > offset, offset[j][None] >= offset).astype(
                jnp.int32
            )
            for j in range(d + 1)
        )
        - 1
    )
    excess = sum(nearest).astype(jnp.int32)  # .sum(0) is twenty times slower on CPU
    rank = materialise(rank + excess[None], zero)
    wrap = jnp.where(rank < 0, 1, jnp.where(rank > d, -1, 0))
    rank, q = rank + wrap * (d + 1), nearest.astype(jnp.int32) + wrap
    rank, q = materialise(rank, zero), materialise(q, zero)
    rest = materialise(lifted / (d + 1) - q, zero)
    by_rank = sum(jnp.where(rank[i][None] == number, rest[i][None], 0.0) for i in range(d + 1))
    by_rank = materialise(jnp.asarray(by_rank), zero)
    farther = jnp.concatenate(
        [1.0 - by_rank[:1] + by_rank[d:], jnp.flip(by_rank[:d] - by_rank[1:], 0)]
    )
    return q, rank, jax.lax.stop_gradient(farther)
