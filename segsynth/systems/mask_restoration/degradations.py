"""How a label map loses what restoration gives back: kinds of damage as values.

Random kinds draw on the device, each example by itself. Label maps are uint8 (b, h, w).
"""

import dataclasses
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import einops
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, UInt8

from segsynth.types import Array, PRNGKey

#: What a user writes where nothing is known and `unlabelled` is a label like others.
NONE = 255

Labels = UInt8[Array, "b h w"]
Mask = Bool[Array, "b h w"]
Index = Literal["corner", "centre"]


class Damaged(NamedTuple):
    """A damaged map.

    ``labels``: what is left, `unlabelled` where nothing is. ``known``: pixels whose label was given
    there and is not a guess; of a map of low resolution, the sampled ones. ``missing``: pixels
    without a label.
    """

    labels: Labels
    known: Mask
    missing: Mask


@runtime_checkable
class Degradation(Protocol):
    """One kind of damage.

    ``reads``: the modality that it takes, "labels" or "coarse". ``certain``: whether ``known``
    pixels may be kept as they are.
    """

    @property
    def reads(self) -> str:
        """Name of a modality."""
        ...

    @property
    def certain(self) -> bool:
        """Whether any pixel is beyond doubt."""
        ...

    def __call__(self, labels: Labels, key: PRNGKey) -> Damaged:
        """Damage a batch."""
        ...


@dataclasses.dataclass(frozen=True)
class Coarse:
    """A map that was labelled coarsely in the first place; nothing is drawn."""

    unlabelled: int = 0
    reads = "coarse"
    certain = True

    def __call__(self, labels: Labels, key: PRNGKey) -> Damaged:
        """Return the map itself; `NONE` counts as `unlabelled`."""
        missing = (labels == self.unlabelled) | (labels == NONE)
        return _without(labels, missing, self.unlabelled)


@dataclasses.dataclass(frozen=True)
class LowResolution:
    """Every ``factor``-th pixel, repeated ``factor`` times in both directions.

    ``index``: "corner" takes pixel k * i, as PyTorch's "nearest" does; "centre" k * i + k // 2, as
    Pillow and ``jax.image.resize`` do.
    """

    factor: int = 8
    index: Index = "corner"
    reads = "labels"
    certain = True

    @property
    def offset(self) -> int:
        """First sampled row and column."""
        return self.factor // 2 if self.index == "centre" else 0

    def __call__(self, labels: Labels, key: PRNGKey) -> Damaged:
        """Return the repeated map.

        Raises:
            ValueError: a side that is no multiple of ``factor``.

        """
        return self.repeated(self.sampled(labels))

    def sampled(self, labels: Labels) -> UInt8[Array, "b h2 w2"]:
        """Return the small map."""
        height, width = labels.shape[1:]
        if height % self.factor or width % self.factor:
            raise ValueError(f"labels of {height}x{width}; expected multiples of {self.factor}")
        return labels[:, self.offset :: self.factor, self.offset :: self.factor]

    def repeated(self, low: UInt8[Array, "b h2 w2"]) -> Damaged:
        """Return the large map of a small one."""
        labels = einops.repeat(low, "b h w -> b (h p) (w q)", p=self.factor, q=self.factor)
        rows, columns = (jnp.arange(n) % self.factor == self.offset for n in labels.shape[1:])
        known = jnp.broadcast_to(rows[:, None] & columns[None, :], labels.shape)
        return Damaged(labels, known, jnp.zeros(labels.shape, bool))


@dataclasses.dataclass(frozen=True)
class Holes:
    """Rectangles and strokes without labels.

    ``blocks``: rectangles; ``size``: largest side as a share of the map's. ``strokes``: straight
    strokes of the brush; ``thickness``: of the thickest as a share of the height.
    """

    blocks: int = 3
    strokes: int = 4
    size: float = 0.4
    thickness: float = 0.12
    unlabelled: int = 0
    reads = "labels"
    certain = True

    def __call__(self, labels: Labels, key: PRNGKey) -> Damaged:
        """Return the map with the holes of each example."""
        block_key, stroke_key = jax.random.split(key)
        batch, height, width = labels.shape
        y, x = _centres(height)[None, :, None], _centres(width)[None, None, :]
        hole = jnp.zeros(labels.shape, bool)
        for number in range(self.blocks):
            draw = _uniform(block_key, number, (batch, 4))
            inside = jnp.abs(y - draw[0]) < draw[1] * self.size / 2
            hole |= inside & (jnp.abs(x - draw[2]) < draw[3] * self.size / 2)
        aspect = width / height
        for number in range(self.strokes):
            y1, x1, y2, x2, thick = _uniform(stroke_key, number, (batch, 5))
            far = _distance(y, x * aspect, (y1, x1 * aspect), (y2, x2 * aspect))
            hole |= far < thick * self.thickness / 2
        return _without(labels, hole, self.unlabelled)


@dataclasses.dataclass(frozen=True)
class NoisyBorders:
    """Borders that wander to both sides: each pixel takes the label of one up to ``radius`` px away
    in rows and columns, the way changing smoothly over ``grain`` px.
    """

    radius: float = 4.0
    grain: int = 8
    reads = "labels"
    certain = False

    def __call__(self, labels: Labels, key: PRNGKey) -> Damaged:
        """Return the warped map; no pixel of it is beyond doubt."""
        batch, height, width = labels.shape
        coarse = (batch, -(-height // self.grain) + 1, -(-width // self.grain) + 1, 2)
        way = jax.random.uniform(key, coarse, minval=-self.radius, maxval=self.radius)
        way = jax.image.resize(way, (batch, height, width, 2), "linear", antialias=False)
        shift = jnp.round(way).astype(jnp.int32)
        rows = jnp.clip(jnp.arange(height)[None, :, None] + shift[..., 0], 0, height - 1)
        columns = jnp.clip(jnp.arange(width)[None, None, :] + shift[..., 1], 0, width - 1)
        moved = jax.vmap(lambda of, row, column: of[row, column])(labels, rows, columns)
        nothing = jnp.zeros(labels.shape, bool)
        return Damaged(moved, nothing, nothing)


@dataclasses.dataclass(frozen=True)
class LostClasses:
    """Each class is lost everywhere in a map with probability ``share``."""

    classes: int
    share: float = 0.3
    unlabelled: int = 0
    reads = "labels"
    certain = True

    def __call__(self, labels: Labels, key: PRNGKey) -> Damaged:
        """Return the map without the classes that its example lost."""
        lost = jax.random.bernoulli(key, self.share, (len(labels), self.classes))
        numbers = jnp.minimum(labels, self.classes - 1).astype(jnp.int32)
        missing = jax.vmap(lambda table, of: table[of])(lost, numbers)
        return _without(labels, missing, self.unlabelled)


def _without(labels: Labels, missing: Mask, unlabelled: int) -> Damaged:
    left = jnp.where(missing, jnp.uint8(unlabelled), labels)
    return Damaged(left, ~missing, missing)


def _centres(count: int) -> Float[Array, " n"]:
    return (jnp.arange(count) + 0.5) / count


def _uniform(key: PRNGKey, number: int, shape: tuple[int, int]) -> list[Float[Array, "b 1 1"]]:
    drawn = jax.random.uniform(jax.random.fold_in(key, number), shape)
    return [drawn[:, i, None, None] for i in range(shape[1])]


def _distance(y: Array, x: Array, start: tuple, end: tuple) -> Float[Array, "b h w"]:
    """Distance of pixels, rows (1, h, 1) and columns (1, 1, w), from each example's segment."""
    dy, dx = end[0] - start[0], end[1] - start[1]
    along = ((y - start[0]) * dy + (x - start[1]) * dx) / jnp.maximum(dy**2 + dx**2, 1e-6)
    along = jnp.clip(along, 0.0, 1.0)
    return jnp.hypot(y - start[0] - along * dy, x - start[1] - along * dx)
