"""A convolution whose kernel is divided by its largest singular value (Miyato et al., 1802.05957).

flax's ``nn.SpectralNorm`` runs a power iteration in every call, so that evaluation differs from
what was trained and from published weights until its vectors converge. Here, as in PyTorch,
training runs one iteration and stores both vectors, and evaluation takes the stored ones as they
are: converted weights give exactly the published output.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

_EPSILON = 1e-12
#: Iterations on the initial kernel, so that a network that was never trained can be evaluated.
_INITIAL_ITERATIONS = 15


class SpectralConv(nn.Module):
    """Convolution with kernel ``W / (u^T W v)``; W is (kernel_size, inputs, features).

    "batch_stats" holds the two vectors of unit length: ``u`` (features,) and ``v`` (all other axes
    of the kernel, flattened). They are constants for the gradient; the singular value is not.

    Attributes:
        features: output channels.
        kernel_size: side of the kernel.
        strides: of both axes.
        padding: zeros on each side of both axes.
        use_bias: whether a bias is added.
        kernel_init: initialiser of W.
        dtype: of the convolution; parameters and the singular value are float32.

    """

    features: int
    kernel_size: int
    strides: int = 1
    padding: int = 0
    use_bias: bool = True
    kernel_init: Any = nn.initializers.lecun_normal()
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b h2 w2 f"]:
        """With ``train`` one power iteration first; its result is stored in "batch_stats"."""
        side = self.kernel_size
        shape = (side, side, x.shape[-1], self.features)
        kernel = jnp.asarray(self.param("kernel", self.kernel_init, shape))
        normalised = kernel / self._singular_value(kernel.reshape(-1, self.features), train)
        y = jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            normalised.astype(self.dtype),
            window_strides=(self.strides, self.strides),
            padding=((self.padding, self.padding),) * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,))
            y = y + bias.astype(self.dtype)[None, None, None]
        return y

    def _singular_value(self, matrix: Float[Array, "k f"], train: bool) -> Float[Array, ""]:
        u = self.variable("batch_stats", "u", lambda: self._initial(matrix))
        v = self.variable("batch_stats", "v", lambda: _unit(matrix @ u.value))
        left, right = jnp.asarray(u.value), jnp.asarray(v.value)
        if train:
            left, right = power_iteration(matrix, left)
            if not self.is_initializing():
                u.value, v.value = left, right
        return jnp.einsum("k,kf,f->", right, matrix, left)

    def _initial(self, matrix: Array) -> Array:
        u = _unit(jax.random.normal(self.make_rng("params"), (self.features,)))
        step = lambda _, u: power_iteration(matrix, u)[0]  # noqa: E731
        return jax.lax.fori_loop(0, _INITIAL_ITERATIONS, step, u)


def power_iteration(
    matrix: Float[Array, "k f"], u: Float[Array, " f"]
) -> tuple[Float[Array, " f"], Float[Array, " k"]]:
    """One step towards the singular vectors of the largest singular value: ``(u, v)``, constants
    for the gradient.
    """
    matrix = jax.lax.stop_gradient(matrix)
    v = _unit(matrix @ u)
    return _unit(matrix.T @ v), v


def _unit(vector: Float[Array, " n"]) -> Float[Array, " n"]:
    return vector / jnp.maximum(jnp.linalg.norm(vector), _EPSILON)
