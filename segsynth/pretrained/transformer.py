"""The pre-norm transformer block that published vision transformers share (CLIP, DINOv2)."""

from collections.abc import Callable

import einops
import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segsynth.networks.attention import softmax_attention

_RATIO = 4


def quick_gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """``x * sigmoid(1.702 x)``, OpenAI's approximation of GELU."""
    return x * jax.nn.sigmoid(1.702 * x)


def exact_gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """``x * Phi(x)`` by the error function."""
    return jax.nn.gelu(x, approximate=False)


class TransformerBlock(nn.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))``; norms and softmax are float32.

    Attributes:
        heads: of the attention; queries, keys and values come from one dense layer, in this order.
        activation: of the hidden layer, four times as wide as x.
        epsilon: of the layer norms.
        layer_scale: whether each branch is multiplied by one learned number per channel.
        dtype: of dense layers and of the residual stream.

    """

    heads: int
    activation: Callable[[Array], Array] = quick_gelu
    epsilon: float = 1e-5
    layer_scale: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b n c"], bias: Float[Array, "b n n"] | None = None
    ) -> Float[Array, "b n c"]:
        """``bias`` is added to the logits of the attention; -1e9 hides a token."""
        width = x.shape[-1]
        dense = lambda size, name: nn.Dense(size, dtype=self.dtype, name=name)  # noqa: E731
        qkv = dense(3 * width, "qkv")(self._norm("norm_1")(x))
        q, k, v = einops.rearrange(qkv, "b n (three h d) -> three b n h d", three=3, h=self.heads)
        attended = einops.rearrange(softmax_attention(q, k, v, bias), "b n h d -> b n (h d)")
        x = x + self._scaled(dense(width, "out")(attended), "scale_1")
        hidden = self.activation(dense(_RATIO * width, "hidden")(self._norm("norm_2")(x)))
        return x + self._scaled(dense(width, "mlp_out")(hidden), "scale_2")

    def _norm(self, name: str) -> nn.LayerNorm:
        return layer_norm(self.epsilon, name)

    def _scaled(self, branch: Array, name: str) -> Array:
        if not self.layer_scale:
            return branch
        scale = self.param(name, nn.initializers.ones, (branch.shape[-1],))
        return branch * jnp.asarray(scale, self.dtype)[None, None]


def layer_norm(epsilon: float, name: str) -> nn.LayerNorm:
    """Return a layer norm that computes in float32 and in two passes."""
    return nn.LayerNorm(epsilon=epsilon, dtype=jnp.float32, use_fast_variance=False, name=name)
