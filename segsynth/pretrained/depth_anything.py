"""Depth Anything V2: relative inverse depth of a picture (Yang et al., arXiv 2406.09414).

A DINOv2 transformer (arXiv 2304.07193) whose tokens after four of its blocks become maps at 4, 2, 1
and 1/2 times its grid, fused from coarse to fine (DPT; Ranftl et al., arXiv 2103.13413). Layers as
in github.com/DepthAnything/Depth-Anything-V2. Near is large; scale and shift differ from picture to
picture.
"""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segsynth.networks.blocks import Conv3x3
from segsynth.pretrained.pixels import prepare
from segsynth.pretrained.resampling import cubic_matrix, resample, resize_corners
from segsynth.pretrained.transformer import TransformerBlock, exact_gelu, layer_norm

PATCH = 14
_EPSILON = 1e-6
_init = nn.initializers.normal(0.02)


class DinoV2(nn.Module):
    """The transformer. ``grid``: side of the square of learned positions; ``taps``: blocks whose
    tokens are returned, from 0.

    For another grid than ``grid`` squared, positions are interpolated as the authors do: cubic, one
    token being ``grid / (n + position_offset)`` positions wide.
    """

    width: int = 384
    layers: int = 12
    heads: int = 6
    taps: tuple[int, ...] = (2, 5, 8, 11)
    grid: int = 37
    position_offset: float = 0.1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 3"]) -> list[Float[Array, "b _ _ c"]]:
        """Return normalised maps of tokens, without the class token."""
        patches = nn.Conv(
            self.width, (PATCH, PATCH), PATCH, padding="VALID", dtype=self.dtype, name="patches"
        )(x)
        batch, rows, columns, _ = patches.shape
        token = self.param("class_token", _init, (self.width,))
        token = jnp.broadcast_to(jnp.asarray(token)[None, None], (batch, 1, self.width))
        tokens = jnp.concatenate([token, patches.reshape(batch, -1, self.width)], axis=1)
        h = (tokens + self._positions(rows, columns)).astype(self.dtype)
        # All layers share one norm after the taps.
        norm, maps = layer_norm(_EPSILON, "norm"), []
        for i in range(self.layers):
            block = TransformerBlock(
                self.heads, exact_gelu, _EPSILON, True, self.dtype, name=f"block_{i}"
            )
            h = block(h)
            if i in self.taps:
                maps.append(norm(h)[:, 1:].reshape(batch, rows, columns, self.width))
        return maps

    def _positions(self, rows: int, columns: int) -> Float[Array, "1 n c"]:
        learned = self.param("positions", _init, (1 + self.grid**2, self.width))
        learned = jnp.asarray(learned)[None]
        if rows == columns == self.grid:
            return learned
        square = learned[:, 1:].reshape(1, self.grid, self.grid, self.width)
        matrices = (
            cubic_matrix(self.grid, n, self.grid / (n + self.position_offset))
            for n in (rows, columns)
        )
        resized = resample(square, *matrices).reshape(1, -1, self.width)
        return jnp.concatenate([learned[:, :1], resized], axis=1)


class DepthAnything(nn.Module):
    """The network; the defaults are Depth-Anything-V2-Small.

    Attributes:
        backbone: the transformer, of four taps.
        channels: of the four maps of tokens.
        features: of the maps while they are fused.
        hidden: of the last layer but one.
        dtype: of convolutions; parameters and the output are float32.

    """

    backbone: DinoV2 = DinoV2()
    channels: tuple[int, int, int, int] = (48, 96, 192, 384)
    features: int = 64
    hidden: int = 32
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 3"]) -> Float[Array, "b h w"]:
        """Return inverse depth >= 0, float32, of pictures from `depth_pixels`.

        Raises:
            ValueError: sides that are not multiples of 14.

        """
        size = x.shape[1:3]
        if any(side % PATCH for side in size):
            raise ValueError(f"pictures of {size[0]}x{size[1]}; expected multiples of {PATCH}")
        maps = self.backbone(x)
        fused = self._fuse([self._lateral(i, tokens) for i, tokens in enumerate(maps)])
        conv = functools.partial(Conv3x3, dtype=self.dtype)
        h = resize_corners(conv(self.features // 2, name="head_0")(fused), size)
        h = nn.relu(conv(self.hidden, name="head_1")(h))
        h = nn.Conv(1, (1, 1), dtype=self.dtype, name="head_2")(h)
        return nn.relu(h[..., 0].astype(jnp.float32))

    def _lateral(self, i: int, tokens: Array) -> Array:
        """The i-th map at 4, 2, 1 or 1/2 times the grid."""
        channels, name = self.channels[i], f"resize_{i}"
        h = nn.Conv(channels, (1, 1), dtype=self.dtype, name=f"project_{i}")(tokens)
        if i < 2:
            side = (4 // 2**i,) * 2
            h = nn.ConvTranspose(
                *(channels, side, side),
                padding="VALID",
                transpose_kernel=True,
                dtype=self.dtype,
                name=name,
            )(h)
        elif i == 3:
            h = Conv3x3(channels, strides=2, dtype=self.dtype, name=name)(h)
        return Conv3x3(self.features, use_bias=False, dtype=self.dtype, name=f"lateral_{i}")(h)

    def _fuse(self, maps: list[Array]) -> Array:
        """Coarse to fine: add the next map, refine, enlarge to the size of the one after it."""
        h = maps[3]
        for i in (3, 2, 1, 0):
            if i < 3:
                h = h + self._unit(maps[i], f"fuse_{i}_lateral")
            h = self._unit(h, f"fuse_{i}")
            size = maps[i - 1].shape[1:3] if i else (2 * h.shape[1], 2 * h.shape[2])
            h = resize_corners(h, size)
            h = nn.Conv(self.features, (1, 1), dtype=self.dtype, name=f"fuse_{i}_out")(h)
        return h

    def _unit(self, x: Array, name: str) -> Array:
        conv = functools.partial(Conv3x3, self.features, dtype=self.dtype)
        h = conv(name=f"{name}_conv_0")(nn.relu(x))
        return x + conv(name=f"{name}_conv_1")(nn.relu(h))


def inverse_depth(
    network: DepthAnything, variables: Any, pictures: Float[Array, "b h w 3"], side: int = 518
) -> Float[Array, "b h w"]:
    """Return inverse depth >= 0 of RGB pictures in [-1, 1] at their own size, as the authors do.

    Looked at through `depth_pixels`, enlarged or shrunk back bilinearly, corners on corners. Only
    the order and the ratios of differences within one picture mean something.
    """
    depth = network.apply(variables, depth_pixels(pictures, side))
    return resize_corners(depth[..., None], pictures.shape[1:3])[..., 0]


def depth_size(height: int, width: int, side: int = 518) -> tuple[int, int]:
    """Return the size at which a picture is looked at: multiples of 14, none below ``side``.

    The shorter side becomes ``side``, itself a multiple of 14; the longer one keeps the aspect to
    the nearest multiple.
    """
    scale = max(side / height, side / width)
    return tuple(max(side, round(scale * n / PATCH) * PATCH) for n in (height, width))


def depth_pixels(pictures: Float[Array, "b h w 3"], side: int = 518) -> Float[Array, "b h2 w2 3"]:
    """Return what the network is fed for RGB pictures in [-1, 1].

    Resized to `depth_size` by OpenCV's cubic kernel, not antialiased, then ImageNet's mean and
    deviation. Differentiable.
    """
    height, width = pictures.shape[1:3]
    rows, columns = depth_size(height, width, side)
    resized = resample(pictures, cubic_matrix(height, rows), cubic_matrix(width, columns))
    return prepare(resized, "imagenet")
