"""The smoothness kernel: a Gaussian over pixel positions, separable, at half resolution."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int

from segsynth.crf.materialise import materialise

#: Variance in px^2 that pooling 2x2 and linear interpolation back add to the half-resolution blur.
_POOLED_VARIANCE = 1.0
#: Below this width the kernel is too narrow for half resolution, and cheap at full.
_NARROW = 1.6
_REACH = 3.5


@struct.dataclass
class Separable:
    """Gaussian of standard deviation ``sd`` over the pixels of an image, in raster order.

    Half-resolution: values are summed over 2x2 pixels, blurred, and interpolated linearly; the
    variance that this adds is taken off the blur. The kernel is cut off at 3.5 sd and at the edge
    of the image. Convolutions are sums of shifted arrays: XLA's convolution with classes as the
    batch is a hundred times slower on CPU.

    Args:
      height: of the image, pixels; static.
      width: of it.
      sd: standard deviation, pixels, > 0; static.
      factor: pixels per cell of the grid on which the blur runs, 1 or 2; static.
      blocks: whether the points are the cells of that grid rather than pixels; static. The value of
        a cell is then a mean, and counts for its pixels together.
      points: [n], flat numbers of the pixels or cells served; None = all of them.

    """

    height: int = struct.field(pytree_node=False)
    width: int = struct.field(pytree_node=False)
    sd: float = struct.field(pytree_node=False)
    factor: int = struct.field(pytree_node=False)
    blocks: bool = struct.field(pytree_node=False, default=False)
    points: Any = None

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return -(-self.height // self.factor), -(-self.width // self.factor)

    def filter(
        self,
        x: Float[Array, "n c"],
        before: Float[Array, " n"] | None = None,
        after: Float[Array, " n"] | None = None,
    ) -> Float[Array, "n c"]:
        """Sum over all points of ``after`` times kernel times ``before`` times value."""
        ones = jnp.ones(x.shape[0], x.dtype)
        before, after = (ones if scale is None else scale for scale in (before, after))
        return self.read(self.spread(self.collect(x, before)), after)

    def mass(self, values: Float[Array, " n"]) -> Float[Array, " n"]:
        """Filter one channel."""
        return self.filter(values[:, None])[:, 0]

    def collect(self, x: Float[Array, "n c"], before: Float[Array, " n"]) -> Float[Array, "v c"]:
        """Sum of values over the pixels of each cell."""
        x = x * before[:, None]
        cells = math.prod(self.grid)
        if self.points is not None:
            empty = jnp.zeros((cells, x.shape[1]), x.dtype)
            return empty.at[self._cell(self.points)].add(x, mode="promise_in_bounds")
        if self.blocks or self.factor == 1:
            return x
        x = x.reshape(self.height, self.width, -1)
        x = jnp.pad(x, ((0, self.height % 2), (0, self.width % 2), (0, 0)))
        pooled = x[::2, ::2] + x[::2, 1::2] + x[1::2, ::2] + x[1::2, 1::2]
        return pooled.reshape(cells, -1)

    def collect_one(self, values: Float[Array, " n"]) -> Float[Array, " v"]:
        """Collect one channel."""
        return self.collect(values[:, None], jnp.ones_like(values))[:, 0]

    def collect_labels(
        self, labels: Int[Array, " n"], values: Float[Array, " n"], classes: int
    ) -> Float[Array, "v {classes}"]:
        """Collect one-hot rows times values; labels outside 0 .. classes - 1 count for nothing."""
        known = (labels >= 0) & (labels < classes)
        values, labels = jnp.where(known, values, 0.0), jnp.where(known, labels, 0)
        points = jnp.arange(labels.shape[0]) if self.points is None else self.points
        out = jnp.zeros(math.prod(self.grid) * classes, jnp.float32)
        where = self._cell(points) * classes + labels
        return out.at[where].add(values, mode="promise_in_bounds").reshape(-1, classes)

    def spread(self, field: Float[Array, "v c"]) -> Float[Array, "u c"]:
        """Blur; the result has a margin of one cell on each side."""
        rows, columns = self.grid
        added = _POOLED_VARIANCE if self.factor == 2 else 0.0
        variance = max(self.sd**2 - added, 0.1) / self.factor**2
        reach = math.ceil(_REACH * math.sqrt(variance))
        taps = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * variance))
        taps = (taps / taps.sum()).astype(np.float32)
        zero = jnp.any(jnp.isnan(field[:1, 0])).astype(jnp.int32)
        # No two cells are further apart than the grid is long: compiling follows the picture.
        down, across = (taps[max(0, reach - n) : reach + n + 1] for n in (rows, columns))
        pad = len(down) // 2 + 1
        field = field.reshape(rows, columns, -1)
        field = materialise(jnp.pad(field, ((pad, pad), (0, 0), (0, 0))), zero)
        field = sum(float(tap) * field[i : i + rows + 2] for i, tap in enumerate(down))
        pad = len(across) // 2 + 1
        field = materialise(jnp.pad(field, ((0, 0), (pad, pad), (0, 0))), zero)
        field = sum(float(tap) * field[:, i : i + columns + 2] for i, tap in enumerate(across))
        return materialise(field, zero).reshape((rows + 2) * (columns + 2), -1)

    def read(self, field: Float[Array, "u c"], after: Float[Array, " n"]) -> Float[Array, "n c"]:
        """Values at the points."""
        rows, columns = self.grid
        if self.points is not None:
            return self._read_at(field) * after[:, None]
        field = field.reshape(rows + 2, columns + 2, -1)
        if self.blocks or self.factor == 1:
            inner = field[1:-1, 1:-1]
        else:
            here = 0.75 * field[1:-1]
            near = jnp.stack([here + 0.25 * field[:-2], here + 0.25 * field[2:]], axis=1)
            near = near.reshape(2 * rows, columns + 2, -1)
            here = 0.75 * near[:, 1:-1]
            both = jnp.stack([here + 0.25 * near[:, :-2], here + 0.25 * near[:, 2:]], axis=2)
            inner = both.reshape(2 * rows, 2 * columns, -1)[: self.height, : self.width]
        return inner.reshape(after.shape[0], -1) * after[:, None]

    def at(self, points: Int[Array, " f"]) -> "Separable":
        """The same kernel, serving only some of the points."""
        return self.replace(points=points)

    def coarse(self) -> "Separable":
        """The kernel between 2x2 blocks, whose field pixels can read."""
        return self.replace(factor=2, blocks=True)

    def for_reading(self, pixels: Int[Array, " f"] | None) -> "Separable":
        """The same field, read at pixels; None = all."""
        return self.replace(blocks=False, points=pixels)

    def _cell(self, points: Array) -> Array:
        if self.blocks or self.factor == 1:
            return points
        y, x = points // self.width, points % self.width
        return y // 2 * self.grid[1] + x // 2

    def _read_at(self, field: Array) -> Array:
        stride = self.grid[1] + 2
        if self.blocks or self.factor == 1:
            y, x = self.points // self.grid[1], self.points % self.grid[1]
            return field.at[(y + 1) * stride + x + 1].get(mode="promise_in_bounds")
        y, x = self.points // self.width, self.points % self.width
        down, right = 2 * (y % 2) - 1, 2 * (x % 2) - 1
        corner = (y // 2 + 1) * stride + x // 2 + 1
        return sum(
            weight * field.at[corner + offset].get(mode="promise_in_bounds")
            for weight, offset in (
                (0.5625, 0),
                (0.1875, down * stride),
                (0.1875, right),
                (0.0625, down * stride + right),
            )
        )


def separable(shape: tuple[int, int], sd: float) -> Separable:
    """The smoothness kernel of an image of (height, width) pixels; ``sd`` in pixels."""
    return Separable(*shape, sd=float(sd), factor=2 if sd >= _NARROW else 1)
