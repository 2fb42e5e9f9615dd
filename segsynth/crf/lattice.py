"""Gaussian filtering of scattered values on a permutohedral lattice, O(N) in the number of points.

Adams, Baek and Davis, "Fast high-dimensional filtering using the permutohedral lattice",
Eurographics 2010: splat to the vertices of the enclosing simplex, blur along each of d + 1 axes,
slice. The lattice is built once per image inside jit and serves every filter call.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from segsynth.crf import hashing, simplex
from segsynth.crf.hashing import Table
from segsynth.crf.materialise import materialise
from segsynth.crf.rows import group
from segsynth.crf.simplex import Bounds, Keys

_CHUNK = 8192
_INSIDE = "promise_in_bounds"


@struct.dataclass
class Lattice:
    """A lattice of up to v vertices, numbered from 1, and the points that it serves.

    Args:
      ids: [d+1, n], vertices of each point's simplex, by remainder; 0 = not in the lattice.
      weights: [d+1, n], barycentric weights; 0 where the vertex is not in the lattice.
      neighbours: [d+1, 2, v], next and previous vertex along each axis; 0 = none.
      table: `segsynth.crf.hashing.Table`, keys of the vertices.
      rows: `segsynth.crf.rows.Rows`, the points' entries by vertex; None in a lattice that is only
        read.
      layout: how keys are packed; static.

    """

    # Transformations of JAX rebuild the tree around placeholders, hence no types to check.
    ids: Any
    weights: Any
    neighbours: Any
    table: Any
    rows: Any
    layout: Keys = struct.field(pytree_node=False)

    @property
    def count(self) -> Int[Array, ""]:
        """How many vertices there are, at most the capacity."""
        return self.table.count

    @property
    def overflow(self) -> Bool[Array, ""]:
        """Whether vertices were dropped: build again with twice the capacity."""
        return self.table.overflow

    @property
    def zero(self) -> Int[Array, ""]:
        """A zero that the compiler cannot know."""
        return jnp.minimum(self.table.count, 0)

    def filter(
        self,
        x: Float[Array, "n c"],
        before: Float[Array, " n"] | None = None,
        after: Float[Array, " n"] | None = None,
    ) -> Float[Array, "n c"]:
        """Sum over all points, the point itself included, of kernel times value.

        Linear in ``x`` and differentiable in it; ``before`` and ``after``, which scale the points
        at no cost, and the lattice have no gradient, since that of barycentric weights is not the
        kernel's. The gain is arbitrary but constant.
        """
        ones = jnp.ones(self.ids.shape[1], jnp.float32)
        before, after = (ones if scale is None else scale for scale in (before, after))
        return _filter(self, x, before, after)

    def mass(self, values: Float[Array, " n"]) -> Float[Array, " n"]:
        """Filter one channel without rows; differentiable in nothing."""
        spread = blur(self, self.collect_one(values)[:, None])
        return read(self.ids, self.weights * _gain(self), spread)[:, 0]

    def collect_one(self, values: Float[Array, " n"]) -> Float[Array, " v"]:
        """Splat one channel without rows."""
        out = jnp.zeros(self.neighbours.shape[2], jnp.float32)
        for vertex, weight in zip(self.ids, self.weights, strict=True):
            out = out.at[vertex].add(weight * values, mode=_INSIDE)
        return out

    def collect_labels(
        self, labels: Int[Array, " n"], values: Float[Array, " n"], classes: int
    ) -> Float[Array, "v {classes}"]:
        """Splat one-hot rows times values without rows; labels outside 0 .. classes - 1 count for
        nothing.
        """
        size = self.neighbours.shape[2]
        known = (labels >= 0) & (labels < classes)
        values, labels = jnp.where(known, values, 0.0), jnp.where(known, labels, 0)
        out = jnp.zeros(size * classes, jnp.float32)
        for vertex, weight in zip(self.ids, self.weights, strict=True):
            out = out.at[vertex * classes + labels].add(weight * values, mode=_INSIDE)
        return out.reshape(size, classes)

    def collect(self, x: Float[Array, "n c"], before: Float[Array, " n"]) -> Float[Array, "v c"]:
        """Splat: values at the vertices."""
        weights = self.rows.weights * before.at[self.rows.points].get(mode=_INSIDE)
        return splat(self, x, materialise(weights, self.zero))

    def spread(self, field: Float[Array, "v c"]) -> Float[Array, "v c"]:
        """Blur along every axis."""
        return blur(self, field)

    def read(self, field: Float[Array, "v c"], after: Float[Array, " n"]) -> Float[Array, "n c"]:
        """Slice: values at the points."""
        return read(self.ids, self.weights * (_gain(self) * after)[None], field)

    def at(self, points: Int[Array, " f"]) -> "Lattice":
        """The same vertices, serving only some of the points, sending and receiving."""
        ids, weights = self.ids[:, points], self.weights[:, points]
        rows = group(ids, weights, self.neighbours.shape[2] - 1)
        return self.replace(ids=ids, weights=weights, rows=rows)

    def for_reading(self, features: Float[Array, "f d"]) -> "Lattice":
        """The same vertices, read at other points; vertices that do not exist read as 0."""
        words, weights = _locate(self.layout, features)
        ids = hashing.look_up(words, self.table)
        return self.replace(ids=ids, weights=jnp.where(ids > 0, weights, 0.0), rows=None)


def default_capacity(points: int, dims: int = 5) -> int:
    """Vertices to allow for, a power of two.

    Every vertex that up to 2048 points can have; beyond, half the number of points, and from a
    megapixel on a quarter: ample for natural images at usual widths, which share more vertices the
    larger they are.
    """
    most = max(min(points // 2, 1 << 19), points // 4)
    wanted = min((dims + 1) * points, max(most, (dims + 1) * 2048))
    return 1 << max(4, (wanted - 1).bit_length())


def build_lattice(
    features: Float[Array, "n d"],
    *,
    bounds: Bounds,
    capacity: int,
    mask: Bool[Array, " n"] | None = None,
    with_rows: bool = True,
) -> Lattice:
    """Build the lattice of a set of points.

    Args:
      features: points in standard deviations of the kernel.
      bounds: static (lowest, highest) of each feature; a point outside is moved to the bound.
      capacity: the most vertices, static; what does not fit is dropped and reported in
        ``overflow``.
      mask: points that count. The others have no vertices: they neither send nor receive.
      with_rows: whether to group entries by vertex, which `Lattice.filter` needs.

    Raises:
      UserError: bounds so wide that float32 cannot hold the lattice.

    """
    layout = Keys.from_bounds(bounds)
    words, weights = _locate(layout, features)
    ids, table = hashing.number(words, capacity, mask)
    weights = jnp.where(ids > 0, weights, 0.0)
    rows = group(ids, weights, capacity) if with_rows else None
    return Lattice(ids, weights, _neighbours(layout, table), table, rows, layout)


def runtime_zero(x: Float[Array, "..."]) -> Int[Array, ""]:
    """A zero for `materialise` from any array whose first element is finite."""
    return jnp.any(jnp.isnan(x.reshape(-1)[:1])).astype(jnp.int32)


def _locate(layout: Keys, features: Array) -> tuple[list[Array], Array]:
    """Keys of each point's d + 1 vertices, and barycentric weights."""
    low, high = (jnp.asarray(side, jnp.float32) for side in zip(*layout.bounds, strict=True))
    # Also moves NaN, whose conversion to an integer would be arbitrary, to the lower bound.
    features = jnp.fmin(jnp.fmax(lax.stop_gradient(features), low[None]), high[None])
    zero = runtime_zero(features)
    q, rank, weights = simplex.enclosing_simplex(features, zero)
    words = [materialise(word, zero) for word in layout.of_simplex(q, rank, zero)]
    return words, materialise(weights, zero)


def _neighbours(layout: Keys, table: Table) -> Int[Array, "k 2 v"]:
    size = table.keys[0].shape[0]
    vertex = jnp.arange(size, dtype=jnp.int32)
    real = (vertex > 0) & (vertex <= table.count)
    moved = [layout.neighbour(table.keys, axis) for axis in range(layout.dims + 1)]
    words = [jnp.stack(column) for column in zip(*moved, strict=True)]
    after = jnp.where(real[None], hashing.look_up(words, table), 0)
    before = [jnp.zeros(size, jnp.int32).at[a].set(vertex).at[0].set(0) for a in after]
    return jnp.stack([after, jnp.stack(before)], axis=1)


def _gain(lattice: Lattice) -> float:
    """What brings a constant back to about its height (Adams et al., section 3)."""
    return 1.0 / (1.0 + 2.0**-lattice.layout.dims)


@jax.custom_vjp
def _filter(lattice: Lattice, x: Array, before: Array, after: Array) -> Array:
    return lattice.read(blur(lattice, lattice.collect(x, before)), after)


def _forward(lattice, x, before, after):
    return _filter(lattice, x, before, after), (lattice, before, after)


def _backward(residuals, g):
    # The transpose of a slice is a splat and that of a splat a slice: both read, none scatters.
    lattice, before, after = residuals
    field = blur(lattice, lattice.collect(g, after), reverse=True)
    return None, lattice.read(field, before), None, None


_filter.defvjp(_forward, _backward)


def splat(lattice: Lattice, x: Float[Array, "n c"], weights: Float[Array, "r 8"]) -> Array:
    """Values [v, c] at the vertices: the weighted sum over the entries of each."""
    points, vertex, count = lattice.rows.points, lattice.rows.vertex, lattice.rows.count
    total = vertex.shape[0]
    chunk = min(_CHUNK, total)

    def add(number, out):
        # The last chunk begins early; rows that were added before get weight 0.
        begin = jnp.minimum(number * chunk, total - chunk)
        fresh = begin + jnp.arange(chunk) >= number * chunk
        point = lax.dynamic_slice_in_dim(points, begin, chunk)
        weight = lax.dynamic_slice_in_dim(weights, begin, chunk) * fresh[:, None]
        row = read(point.T, weight.T, x)
        row = materialise(row, lattice.zero)
        where = lax.dynamic_slice_in_dim(vertex, begin, chunk)
        return out.at[where].add(row, mode=_INSIDE)

    empty = jnp.zeros((lattice.neighbours.shape[2], x.shape[1]), x.dtype)
    return lax.fori_loop(0, (count + chunk - 1) // chunk, add, empty)


def blur(lattice: Lattice, values: Float[Array, "v c"], reverse: bool = False) -> Array:
    """Convolve with (1/2, 1, 1/2) along each axis in turn; in reverse order it is the transpose."""
    size, last = values.shape[0], lattice.layout.dims
    chunk = min(_CHUNK, size)
    # Vertices beyond the count are not visited, so the work follows the image, not the capacity.
    chunks = jnp.minimum(lattice.count // chunk + 1, -(-size // chunk))

    def along(axis, source, target):
        def step(number, state):
            target, source = state
            begin = jnp.minimum(number * chunk, size - chunk)
            near = lax.dynamic_slice(lattice.neighbours, (axis, 0, begin), (1, 2, chunk))[0]
            here = lax.dynamic_slice_in_dim(source, begin, chunk)
            sides = [source.at[side].get(mode=_INSIDE) for side in near]
            new = here + 0.5 * (sides[0] + sides[1])
            return lax.dynamic_update_slice_in_dim(target, new, begin, axis=0), source

        return lax.fori_loop(0, chunks, step, (target, source))

    def both(pair, state):
        # Two axes at a time: there and back between two arrays, without a copy.
        source, target = state
        first = last - 2 * pair if reverse else 2 * pair
        target, source = along(first, source, target)
        return along(first - 1 if reverse else first + 1, target, source)

    state = values, jnp.zeros_like(values)
    values, spare = lax.fori_loop(0, (last + 1) // 2, both, state)
    if last % 2 == 0:
        values, _ = along(0 if reverse else last, values, spare)
    return values


def read(
    ids: Int[Array, "k n"], weights: Float[Array, "k n"], values: Float[Array, "v c"]
) -> Array:
    """Weighted sums [n, c] of rows of ``values``."""
    return sum(
        weight[:, None] * values.at[which].get(mode=_INSIDE)
        for which, weight in zip(ids, weights, strict=True)
    )
