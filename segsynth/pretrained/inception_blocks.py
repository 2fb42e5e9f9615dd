"""The layers of Inception-v3 as tables, and the module that runs one of its mixed blocks.

After Szegedy et al., arXiv 1512.00567, with the widths and names of torchvision's Inception3.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

#: "average" counts the zeros around the picture, "average-inside" only its pixels, "max" keeps the
#: size, "max-halved" has stride 2 and no padding.
Pool = Literal["average", "average-inside", "max", "max-halved"]


@dataclasses.dataclass(frozen=True)
class Conv:
    """A convolution without bias, batch norm (epsilon 1e-3) and a rectifier.

    Attributes:
        name: torchvision's.
        width: output channels.
        kernel: height and width.
        stride: of both axes.
        padded: whether zeros around keep the size; else only whole windows count.

    """

    name: str
    width: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padded: bool = True


@dataclasses.dataclass(frozen=True)
class Block:
    """Branches side by side, and a pool.

    Attributes:
        branches: convolutions in a row; a tuple instead of one stands for several with the same
            input and their outputs side by side.
        pool: the last branch.
        after_pool: its convolution, if it has one.

    """

    branches: tuple[tuple[Conv | tuple[Conv, ...], ...], ...]
    pool: Pool
    after_pool: Conv | None = None

    def convolutions(self) -> Iterator[Conv]:
        """All of them."""
        for branch in self.branches:
            for part in branch:
                yield from (part if isinstance(part, tuple) else (part,))
        if self.after_pool is not None:
            yield self.after_pool


def _halving(name: str, width: int) -> Conv:
    return Conv(name, width, (3, 3), stride=2, padded=False)


def _double3x3() -> tuple[Conv, Conv]:
    return Conv("branch3x3dbl_1", 64), Conv("branch3x3dbl_2", 96, (3, 3))


def _a(pooled: int, pool: Pool) -> Block:
    return Block(
        (
            (Conv("branch1x1", 64),),
            (Conv("branch5x5_1", 48), Conv("branch5x5_2", 64, (5, 5))),
            (*_double3x3(), Conv("branch3x3dbl_3", 96, (3, 3))),
        ),
        pool,
        Conv("branch_pool", pooled),
    )


def _b() -> Block:
    return Block(
        ((_halving("branch3x3", 384),), (*_double3x3(), _halving("branch3x3dbl_3", 96))),
        "max-halved",
    )


def _c(inner: int, pool: Pool) -> Block:
    across, down = (1, 7), (7, 1)
    return Block(
        (
            (Conv("branch1x1", 192),),
            (
                Conv("branch7x7_1", inner),
                Conv("branch7x7_2", inner, across),
                Conv("branch7x7_3", 192, down),
            ),
            (
                Conv("branch7x7dbl_1", inner),
                Conv("branch7x7dbl_2", inner, down),
                Conv("branch7x7dbl_3", inner, across),
                Conv("branch7x7dbl_4", inner, down),
                Conv("branch7x7dbl_5", 192, across),
            ),
        ),
        pool,
        Conv("branch_pool", 192),
    )


def _d() -> Block:
    return Block(
        (
            (Conv("branch3x3_1", 192), _halving("branch3x3_2", 320)),
            (
                Conv("branch7x7x3_1", 192),
                Conv("branch7x7x3_2", 192, (1, 7)),
                Conv("branch7x7x3_3", 192, (7, 1)),
                _halving("branch7x7x3_4", 192),
            ),
        ),
        "max-halved",
    )


def _e(pool: Pool) -> Block:
    def split(name: str) -> tuple[Conv, Conv]:
        return Conv(f"{name}a", 384, (1, 3)), Conv(f"{name}b", 384, (3, 1))

    return Block(
        (
            (Conv("branch1x1", 320),),
            (Conv("branch3x3_1", 384), split("branch3x3_2")),
            (
                Conv("branch3x3dbl_1", 448),
                Conv("branch3x3dbl_2", 384, (3, 3)),
                split("branch3x3dbl_3"),
            ),
        ),
        pool,
        Conv("branch_pool", 192),
    )


def layers(variant: Literal["fid", "torchvision"]) -> Mapping[str, Conv | Block | Pool]:
    """Return the layers before the average over the picture, in order, by torchvision's names.

    "fid" is the network of 2015-12-05: its average pools count only pixels inside the picture, and
    the last block has a max pool in their place (mseitzer/pytorch-fid, ``inception.py``).
    """
    fid = variant == "fid"
    pool: Pool = "average-inside" if fid else "average"
    stem = (
        _halving("Conv2d_1a_3x3", 32),
        Conv("Conv2d_2a_3x3", 32, (3, 3), padded=False),
        Conv("Conv2d_2b_3x3", 64, (3, 3)),
        Conv("Conv2d_3b_1x1", 80),
        Conv("Conv2d_4a_3x3", 192, (3, 3), padded=False),
    )
    named = {conv.name: conv for conv in stem}
    inner = {"6b": 128, "6c": 160, "6d": 160, "6e": 192}
    return {
        **{name: named[name] for name in ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3")},
        "maxpool1": "max-halved",
        **{name: named[name] for name in ("Conv2d_3b_1x1", "Conv2d_4a_3x3")},
        "maxpool2": "max-halved",
        **{f"Mixed_{name}": _a(n, pool) for name, n in {"5b": 32, "5c": 64, "5d": 64}.items()},
        "Mixed_6a": _b(),
        **{f"Mixed_{name}": _c(n, pool) for name, n in inner.items()},
        "Mixed_7a": _d(),
        "Mixed_7b": _e(pool),
        "Mixed_7c": _e("max" if fid else pool),
    }


def pooled(x: Float[Array, "b h w c"], pool: Pool) -> Float[Array, "b _ _ c"]:
    """Pool over 3x3."""
    if pool == "max-halved":
        return nn.max_pool(x, (3, 3), (2, 2))
    around = ((1, 1), (1, 1))
    if pool == "max":
        return nn.max_pool(x, (3, 3), (1, 1), padding=around)
    return nn.avg_pool(x, (3, 3), (1, 1), around, count_include_pad=pool == "average")


class ConvNorm(nn.Module):
    """One row of the tables, its width divided by ``divisor``; running statistics only."""

    row: Conv
    divisor: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b _ _ o"]:
        """Convolve, normalise, rectify."""
        side = self.row.kernel
        x = nn.Conv(
            self.row.width // self.divisor,
            side,
            strides=self.row.stride,
            padding=[(n // 2,) * 2 if self.row.padded else (0, 0) for n in side],
            use_bias=False,
            dtype=self.dtype,
            kernel_init=nn.initializers.he_normal(),
            name="conv",
        )(x)
        norm = nn.BatchNorm(use_running_average=True, epsilon=1e-3, dtype=jnp.float32, name="bn")
        return nn.relu(norm(x)).astype(self.dtype)


class Mixed(nn.Module):
    """One block of the tables: its branches side by side, the pool last."""

    row: Block
    divisor: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b _ _ o"]:
        """Concatenate the branches over channels."""
        outputs = []
        for branch in self.row.branches:
            found = (x,)
            for part in branch:
                among = part if isinstance(part, tuple) else (part,)
                found = tuple(self._conv(conv, found[0]) for conv in among)
            outputs += found
        aside = pooled(x, self.row.pool)
        if self.row.after_pool is not None:
            aside = self._conv(self.row.after_pool, aside)
        return jnp.concatenate([*outputs, aside], axis=-1)

    def _conv(self, row: Conv, x: Array) -> Array:
        return ConvNorm(row, self.divisor, self.dtype, name=row.name)(x)
