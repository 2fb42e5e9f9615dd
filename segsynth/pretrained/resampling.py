"""Resizing by matrices, one for rows and one for columns: the two rules of PyTorch that JAX lacks.

Both are exact, differentiable, and need sizes that are known when a program is traced.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

#: PyTorch's and OpenCV's cubic kernel; Pillow's and JAX's has -0.5.
_CUBIC = -0.75


def cubic_matrix(old: int, new: int, step: float | None = None) -> Float[np.ndarray, "{new} {old}"]:
    """Cubic interpolation between centres of pixels, without antialiasing, borders repeated.

    Args:
        old: pixels before.
        new: pixels after.
        step: old pixels for one new pixel; ``old / new`` unless given.

    """
    centres = (np.arange(new) + 0.5) * (old / new if step is None else step) - 0.5
    first = np.floor(centres).astype(int)
    matrix = np.zeros((new, old), np.float64)
    for tap in range(-1, 3):
        weights = _cubic(np.abs(centres - (first + tap)))
        np.add.at(matrix, (np.arange(new), np.clip(first + tap, 0, old - 1)), weights)
    return matrix.astype(np.float32)


def _cubic(distance: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    near = ((_CUBIC + 2) * distance - (_CUBIC + 3)) * distance**2 + 1
    far = _CUBIC * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def corner_matrix(old: int, new: int) -> Float[np.ndarray, "{new} {old}"]:
    """Linear interpolation that keeps the first and the last pixel (``align_corners=True``)."""
    places = np.arange(new) * ((old - 1) / max(new - 1, 1))
    distance = np.abs(places[:, None] - np.arange(old)[None])
    return np.maximum(1 - distance, 0).astype(np.float32)


def resample(
    x: Float[Array, "b h w c"],
    rows: Float[np.ndarray, "h2 h"],
    columns: Float[np.ndarray, "w2 w"],
) -> Float[Array, "b h2 w2 c"]:
    """Apply a matrix to the rows and one to the columns, in the type of ``x``."""
    x = jnp.einsum("ih,bhwc->biwc", jnp.asarray(rows, x.dtype), x)
    return jnp.einsum("jw,biwc->bijc", jnp.asarray(columns, x.dtype), x)


def resize_corners(x: Float[Array, "b h w c"], size: tuple[int, int]) -> Float[Array, "b h2 w2 c"]:
    """Resize bilinearly so that corners stay corners."""
    return resample(x, *(corner_matrix(o, n) for o, n in zip(x.shape[1:3], size, strict=True)))
