"""Attention at a cost linear in the number of tokens.

Linear attention replaces ``softmax(q k^T)`` by ``phi(q) phi(k)^T`` with a non-negative feature map
phi, so that the sums over keys are formed once and no N x N array exists (Katharopoulos et al.,
arXiv 2006.16236, eqs. 4-6). The class rows are the learned embeddings of "foreground" and
"background" that steer an inpainting network (PixelHacker, arXiv 2504.20438, latent categories
guidance).
"""

import functools
from collections.abc import Callable
from typing import Literal

import einops
import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segsynth.networks.blocks import GatedFF
from segsynth.networks.norms import HeadRMSNorm, LayerNorm

Attention = Literal["linear", "softmax"]
FeatureMap = Literal["swish_shift", "elu1", "relu"]

#: Minus the minimum of ``z * sigmoid(z)``, reached at z = -1.2784645, rounded up.
SWISH_MINIMUM = 0.2784645428
#: Channels of one head; a narrower layer is one head.
HEAD_WIDTH = 64
_NORMALISER_EPSILON = 1e-6
#: Added to a logit so that its softmax weight is exactly zero; finite, so that gradients are too.
_HIDDEN = -1e9

#: Dense layer without a bias, and the same starting at zero for the end of a residual branch.
Projection = functools.partial(nn.Dense, use_bias=False)
ZeroProjection = functools.partial(Projection, kernel_init=nn.initializers.zeros)


def swish_shift(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Swish raised by its minimum, ``z * sigmoid(z) + 0.2784645428``: smooth and nowhere negative.

    Plain Swish is negative below zero; then the normaliser of linear attention crosses zero and the
    output is unbounded.
    """
    # Within a rounding error of the minimum the sum may come out below zero.
    return jnp.maximum(nn.silu(z) + SWISH_MINIMUM, 0.0)


def elu_plus_one(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """``elu(z) + 1``, the feature map of Katharopoulos et al., eq. 7."""
    return nn.elu(z) + 1.0


FEATURE_MAPS: dict[str, Callable[[Array], Array]] = {
    "swish_shift": swish_shift,
    "elu1": elu_plus_one,
    "relu": nn.relu,
}


def linear_attention(
    q: Float[Array, "b n heads d"],
    k: Float[Array, "b m heads d"],
    v: Float[Array, "b m heads e"],
    feature_map: FeatureMap = "swish_shift",
) -> Float[Array, "b n heads e"]:
    """Normalised linear attention over all tokens, O(m d e) per head.

    S = (1/m) sum_j phi(k_j) v_j^T and z = (1/m) sum_j phi(k_j); o_i = phi(q_i)^T S / (phi(q_i)^T z
    + 1e-6). Each output is a weighted mean of the values. phi and the sums are float32; products of
    bfloat16 inputs stay bfloat16 products, and S is a mean, not a sum, so that rounding it to
    bfloat16 is harmless at any m.

    Returns:
      float32, whatever the type of the inputs.

    """
    phi = FEATURE_MAPS[feature_map]
    phi_q = phi(q.astype(jnp.float32)).astype(q.dtype)
    phi_k = phi(k.astype(jnp.float32)).astype(k.dtype)
    state = _einsum("bmhd,bmhe->bhde", phi_k, v) / k.shape[1]
    normaliser = jnp.mean(phi_k.astype(jnp.float32), axis=1)
    numerator = _einsum("bnhd,bhde->bnhe", phi_q, state.astype(v.dtype))
    denominator = _einsum("bnhd,bhd->bnh", phi_q.astype(jnp.float32), normaliser)
    return numerator / (denominator[..., None] + _NORMALISER_EPSILON)


def softmax_attention(
    q: Float[Array, "b n heads d"],
    k: Float[Array, "b m heads d"],
    v: Float[Array, "b m heads e"],
    bias: Float[Array, "b n m"] | None = None,
) -> Float[Array, "b n heads e"]:
    """Scaled dot-product attention, O(n m): for a handful of rows, and as a control.

    Args:
      q: queries.
      k: keys.
      v: values.
      bias: added to the logits of every head; a large negative number hides a key from a query.

    Returns:
      float32, whatever the type of the inputs; logits and sums are float32.

    """
    logits = _einsum("bnhd,bmhd->bhnm", q, k) * q.shape[-1] ** -0.5
    if bias is not None:
        logits = logits + bias.astype(jnp.float32)[:, None]
    weights = jax.nn.softmax(logits, axis=-1)
    return _einsum("bhnm,bmhe->bnhe", weights.astype(v.dtype), v)


def _einsum(equation: str, *operands: Array) -> Array:
    """Products in the operands' type, accumulation and result in float32."""
    return jnp.einsum(equation, *operands, preferred_element_type=jnp.float32)


def class_row_mask(
    class_map: Float[Array, "b h w 1"], grid: tuple[int, int], rows: int
) -> Float[Array, "b n {rows}"]:
    """Additive mask that shows each token only the rows of its own class.

    Args:
      class_map: 0 = background, 1 = foreground; taken at the nearest pixel of each token.
      grid: height and width of the token grid, ``n = height * width``.
      rows: an even number: the first half are rows of the background class, the second half of the
        foreground.

    Returns:
      float32, 0 where the row is visible and a large negative number elsewhere.

    """
    b, _, _, _ = class_map.shape
    wanted = jax.image.resize(class_map, (b, *grid, 1), "nearest").reshape(b, -1, 1) > 0.5
    foreground = jnp.arange(rows)[None, None, :] >= rows // 2
    return jnp.where(wanted == foreground, 0.0, _HIDDEN)


def _split_heads(x: Float[Array, "b n c"]) -> Float[Array, "b n heads d"]:
    """Heads of 64 channels, or one head where the layer is narrower."""
    width = min(HEAD_WIDTH, x.shape[-1])
    if x.shape[-1] % width:
        raise ValueError(f"attention over {x.shape[-1]} channels; use a multiple of {width}")
    return einops.rearrange(x, "b n (heads d) -> b n heads d", d=width)


def _merge_heads(x: Float[Array, "b n heads d"]) -> Float[Array, "b n c"]:
    return einops.rearrange(x, "b n heads d -> b n (heads d)")


class LinearAttention(nn.Module):
    """Gated linear-cost self-attention over a feature map, with its own norm and residual.

    Y = LayerNorm(X); q, k = RMSNorm_head(Y W_q), RMSNorm_head(Y W_k); v = Y W_v; o = attention(q,
    k, v); out = X + W_o [ (LayerNorm_head(o) + DWConv3x3(v)) * Swish(Y W_r + b_r) ], W_o starting
    at zero. The gate is PixelHacker's eq. 4; the depthwise convolution supplies the position and
    locality that a sum over all tokens lacks. ``attn="softmax"`` is the quadratic control.
    """

    attn: Attention = "linear"
    feature_map: FeatureMap = "swish_shift"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Raises ``ValueError`` where ``c`` exceeds 64 and is not a multiple of 64."""
        b, height, width, c = x.shape
        dense = functools.partial(Projection, c, dtype=self.dtype)
        y = LayerNorm(name="norm")(x).reshape(b, height * width, c).astype(self.dtype)
        q = HeadRMSNorm(name="query_norm")(_split_heads(dense(name="query")(y)))
        k = HeadRMSNorm(name="key_norm")(_split_heads(dense(name="key")(y)))
        v = dense(name="value")(y)
        o = self._attend(q.astype(self.dtype), k.astype(self.dtype), _split_heads(v))
        o = _merge_heads(LayerNorm(name="head_norm")(o)).astype(self.dtype)
        local = nn.Conv(
            c, (3, 3), feature_group_count=c, use_bias=False, dtype=self.dtype, name="local"
        )(v.reshape(x.shape))
        gate = nn.silu(dense(use_bias=True, name="gate")(y))
        update = ZeroProjection(c, dtype=self.dtype, name="out")(
            (o + local.reshape(y.shape)) * gate
        )
        return x.astype(self.dtype) + update.reshape(x.shape)

    def _attend(self, q: Array, k: Array, v: Array) -> Array:
        if self.attn == "softmax":
            return softmax_attention(q, k, v)
        return linear_attention(q, k, v, self.feature_map)


class CategoryCrossAttention(nn.Module):
    """Tokens look up a few class rows.

    The softmax runs over the rows, so the cost is linear in the number of tokens. Returns the
    update only; the caller adds it. The output projection starts at zero.
    """

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "b n c"],
        rows: Float[Array, "b r k"],
        row_mask: Float[Array, "b n r"] | None = None,
    ) -> Float[Array, "b n c"]:
        """Queries come from ``tokens``, keys and values from ``rows``.

        ``row_mask`` is added to the logits, as `class_row_mask` makes it; every token needs at
        least one row whose mask is 0.
        """
        dense = functools.partial(Projection, tokens.shape[-1], dtype=self.dtype)
        q = _split_heads(dense(name="query")(tokens))
        k = _split_heads(dense(name="key")(rows))
        v = _split_heads(dense(name="value")(rows))
        o = _merge_heads(softmax_attention(q, k, v, row_mask)).astype(self.dtype)
        return ZeroProjection(tokens.shape[-1], dtype=self.dtype, name="out")(o)


class AttentionBlock(nn.Module):
    """Self-attention, class rows, feed-forward; each behind a LayerNorm and added to its input.

    ``gain`` is the guidance gain of a level: it scales what the class rows add, in training and in
    sampling alike.
    """

    gain: float = 1.0
    attn: Attention = "linear"
    feature_map: FeatureMap = "swish_shift"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b h w c"],
        rows: Float[Array, "b r k"],
        row_mask: Float[Array, "b h*w r"] | None = None,
    ) -> Float[Array, "b h w c"]:
        """``row_mask`` as in `CategoryCrossAttention`, tokens in raster order."""
        shape = x.shape
        x = LinearAttention(self.attn, self.feature_map, self.dtype, name="self_attention")(x)
        x = einops.rearrange(x, "b h w c -> b (h w) c")
        y = LayerNorm(name="category_norm")(x)
        update = CategoryCrossAttention(self.dtype, name="category")(y, rows, row_mask)
        x = x + self.gain * update
        y = LayerNorm(name="feed_forward_norm")(x)
        return (x + GatedFF(dtype=self.dtype, name="feed_forward")(y)).reshape(shape)
