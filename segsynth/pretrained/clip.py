"""CLIP: one space for pictures and captions (Radford et al., arXiv 2103.00020).

Both towers are pre-norm transformers with QuickGELU. The picture's feature is the projected class
token, the caption's the projected token at the end of the text, found as the largest number among
the tokens. Features are not normalised; ``exp(logit_scale)`` is 100 in the published weights.
"""

from typing import Literal

import einops
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Integer

from segsynth.pretrained.transformer import TransformerBlock, layer_norm

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
_EPSILON = 1e-5
_HIDDEN = -1e9
#: A hair more than 1: rounding must not cut the gradient of white paper.
_WHITE = 1.0001
_init = nn.initializers.normal(0.02)


class ClipImage(nn.Module):
    """The picture's tower. ``side`` and ``patch`` in pixels; the positions belong to this side."""

    side: int = 224
    patch: int = 32
    width: int = 768
    layers: int = 12
    heads: int = 12
    features: int = 512
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, pictures: Float[Array, "b h w 3"]) -> Float[Array, "b {self.features}"]:
        """Return float32 features of RGB pictures from `clip_pixels`.

        Raises:
            ValueError: pictures of another side.

        """
        if pictures.shape[1:3] != (self.side, self.side):
            raise ValueError(f"pictures of {pictures.shape[1:3]}; expected {self.side} squared")
        patches = nn.Conv(
            self.width,
            (self.patch, self.patch),
            self.patch,
            padding="VALID",
            use_bias=False,
            dtype=self.dtype,
            conv_general_dilated=_patchwise,
            name="patches",
        )(pictures)
        x = patches.reshape(len(pictures), -1, self.width)
        x = jnp.concatenate([self._class_token(len(pictures)), x], axis=1)
        positions = self.param("positions", _init, (x.shape[1], self.width))
        x = layer_norm(_EPSILON, "norm_before")(x + jnp.asarray(positions, self.dtype)[None])
        x = x.astype(self.dtype)
        for i in range(self.layers):
            x = TransformerBlock(self.heads, dtype=self.dtype, name=f"block_{i}")(x)
        x = layer_norm(_EPSILON, "norm_after")(x[:, 0])
        return nn.Dense(self.features, use_bias=False, name="projection")(x)

    def _class_token(self, batch: int) -> Float[Array, "b 1 c"]:
        token = jnp.asarray(self.param("class_token", _init, (self.width,)), self.dtype)
        return jnp.broadcast_to(token[None, None], (batch, 1, self.width))


class ClipText(nn.Module):
    """The caption's tower. Each token sees itself and what comes before it."""

    vocabulary: int = 49408
    context: int = 77
    width: int = 512
    layers: int = 12
    heads: int = 8
    features: int = 512
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, tokens: Integer[Array, "b n"]) -> Float[Array, "b {self.features}"]:
        """Return float32 features of captions as `ClipTokenizer` numbers them.

        Raises:
            ValueError: rows of another length than ``context``.

        """
        if tokens.shape[1] != self.context:
            raise ValueError(f"{tokens.shape[1]} tokens; expected {self.context}")
        embedding = nn.Embed(self.vocabulary, self.width, embedding_init=_init, name="tokens")
        positions = self.param("positions", _init, (self.context, self.width))
        x = (embedding(tokens) + jnp.asarray(positions)[None]).astype(self.dtype)
        later = jnp.triu(jnp.full((self.context, self.context), _HIDDEN), 1)
        later = jnp.broadcast_to(later[None], (len(tokens), *later.shape))
        for i in range(self.layers):
            x = TransformerBlock(self.heads, dtype=self.dtype, name=f"block_{i}")(x, later)
        x = layer_norm(_EPSILON, "norm_after")(x)
        end = x[jnp.arange(len(tokens)), tokens.argmax(axis=-1)]
        return nn.Dense(self.features, use_bias=False, name="projection")(end)


class Clip(nn.Module):
    """Both towers and the scale of their cosine; the defaults are ViT-B/32, 151,277,313 parameters.

    ``apply(variables, pictures, method="pictures")`` and ``method="captions"`` run one tower.
    """

    image: ClipImage = ClipImage()
    text: ClipText = ClipText()

    def setup(self):
        """Declare the logarithm of the scale; the authors began with 1 / 0.07."""
        self.logit_scale = self.param("logit_scale", lambda _: jnp.log(1 / 0.07))

    def pictures(self, pictures: Float[Array, "b h w 3"]) -> Float[Array, "b f"]:
        """Return features of pictures from `clip_pixels`, not normalised."""
        return self.image(pictures)

    def captions(self, tokens: Integer[Array, "b n"]) -> Float[Array, "b f"]:
        """Return features of captions, not normalised."""
        return self.text(tokens)

    def __call__(
        self, pictures: Float[Array, "b h w 3"], tokens: Integer[Array, "t n"]
    ) -> tuple[Float[Array, "b f"], Float[Array, "t f"], Float[Array, ""]]:
        """Return features of pictures and of captions, and the factor of their cosine."""
        scale = jnp.exp(jnp.asarray(self.logit_scale))
        return self.pictures(pictures), self.captions(tokens), scale


def _patchwise(
    pictures: Float[Array, "b h w c"], kernel: Float[Array, "p p c o"], *_, **__
) -> Float[Array, "b _ _ o"]:
    """The convolution whose stride is its kernel's side, as one matrix product.

    Its gradient is another; that of the convolution is one of dilated pictures, which takes a CPU a
    hundred times as long.
    """
    side = kernel.shape[0]
    patches = einops.rearrange(pictures, "b (h p) (w q) c -> b h w (p q c)", p=side, q=side)
    return patches @ kernel.reshape(-1, kernel.shape[-1])


def clip_pixels(
    pictures: Float[Array, "b h w c"],
    side: int = 224,
    resize: Literal["bicubic", "nearest"] = "bicubic",
) -> Float[Array, "b {side} {side} 3"]:
    """Return what `ClipImage` is fed, for RGB or grey pictures in [-1, 1]; differentiable.

    The shorter side is resized to ``side``, the middle square cut out, the channels standardised;
    grey is repeated. "bicubic" is antialiased and its overshoots are clipped. So are Pillow's, with
    which the authors resize 8-bit pictures; but it rounds to whole grey levels after each axis,
    which makes a difference of about one level. "nearest" squashes to the square by PyTorch's rule,
    ``floor(i * old / new)``, as informative-drawings does in its loss; it passes no gradient to the
    pixels in between.
    """
    batch, height, width, channels = pictures.shape
    if resize == "nearest":
        rows, columns = (np.arange(side) * n // side for n in (height, width))
        square = pictures[:, rows][:, :, columns]
    else:
        size = _resized(height, width, side)
        whole = jax.image.resize(pictures, (batch, *size, channels), "cubic", antialias=True)
        whole = jnp.clip(whole, -_WHITE, _WHITE)
        top, left = (round((n - side) / 2) for n in size)
        square = whole[:, top : top + side, left : left + side]
    if channels == 1:
        square = jnp.repeat(square, 3, axis=-1)
    mean, deviation = (jnp.asarray(v)[None, None, None] for v in (_MEAN, _DEVIATION))
    return ((square + 1) / 2 - mean) / deviation


def _resized(height: int, width: int, side: int) -> tuple[int, int]:
    """Return the size whose shorter side is ``side``; the longer one is rounded down."""
    if height <= width:
        return side, side * width // height
    return side * height // width, side
