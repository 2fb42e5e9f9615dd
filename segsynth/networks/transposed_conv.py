"""Transposed convolution whose kernel's gradient is fast on CPUs, too.

On CPUs the gradient of `flax.linen.ConvTranspose` takes about ten times as long as here
(``benchmarks/transposed_conv.py``), for the part in the kernel that autodiff derives. A transposed
convolution is the adjoint of a strided one with the same kernel: <T(x, k), y> = <x, S(y, k)>. So
its gradient in the kernel is that of S, at the cotangent and x exchanged, for which there is fast
code.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

_LAYOUT = ("NHWC", "HWIO", "NHWC")


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def conv_transpose(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "k k d c"],
    stride: int,
    padding: int,
    more: int,
) -> Float[Array, "b h2 w2 d"]:
    """Return PyTorch's transposed convolution with output_padding ``more``.

    Sides become (n - 1) * stride - 2 * padding + k + more. Differentiable any number of times in
    reverse mode; there is no forward mode.

    Args:
        x: maps.
        kernel: of the strided convolution that this is the adjoint of, from d channels to c.
        stride: how many times larger.
        padding: of the strided convolution.
        more: rows and columns at the end, at most ``padding``.

    """
    low = kernel.shape[0] - 1 - padding
    pads = ((low, low + more),) * 2
    return lax.conv_transpose(
        x, kernel, (stride,) * 2, pads, dimension_numbers=_LAYOUT, transpose_kernel=True
    )


def _strided(y: Array, kernel: Array, stride: int, padding: int, more: int) -> Array:
    pads = ((padding, padding - more),) * 2
    return lax.conv_general_dilated(y, kernel, (stride,) * 2, pads, dimension_numbers=_LAYOUT)


def _forward(x: Array, kernel: Array, *sizes: int) -> tuple[Array, tuple[Array, Array]]:
    return conv_transpose(x, kernel, *sizes), (x, kernel)


def _backward(
    stride: int, padding: int, more: int, kept: tuple[Array, Array], cotangent: Array
) -> tuple[Array, Array]:
    x, kernel = kept
    adjoint = functools.partial(_strided, stride=stride, padding=padding, more=more)
    to_x, in_kernel = jax.vjp(functools.partial(adjoint, cotangent), kernel)
    return to_x, in_kernel(x)[0]


conv_transpose.defvjp(_forward, _backward)


class ConvTranspose(nn.Module):
    """The layer of `conv_transpose`, with `flax.linen.ConvTranspose`'s parameters.

    Attributes:
        features: channels of the result.
        size: side of the kernel.
        stride: how many times larger the result is.
        padding: of the convolution that this is the adjoint of; PyTorch's meaning.
        more: PyTorch's output_padding.
        transpose_kernel: the parameter is that convolution's kernel, (k, k, features, c); else it
            is mirrored, (k, k, c, features).
        kernel_init: of the parameter as it is stored.
        dtype: of the computation; None takes that of the maps and parameters.

    """

    features: int
    size: int
    stride: int = 2
    padding: int = 0
    more: int = 0
    transpose_kernel: bool = False
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 {self.features}"]:
        """Return maps of sides (n - 1) * stride - 2 * padding + size + more."""
        ends = (x.shape[-1], self.features)
        shape = (self.size, self.size, *(ends[::-1] if self.transpose_kernel else ends))
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        if not self.transpose_kernel:
            kernel = kernel[::-1, ::-1].swapaxes(2, 3)
        return (
            conv_transpose(x, kernel, self.stride, self.padding, self.more) + bias[None, None, None]
        )
