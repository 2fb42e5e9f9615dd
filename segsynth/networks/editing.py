"""Editing networks: from a face and a wanted attribute, an attribute image A and a mask M.

Only where M > 0 can the edited face, I (1 - M) + A M, differ from I (Zhang et al., ECCV 2018, the
spatial-attention GAN; Yang, Han, Moon, JKSCI 25(5) 2020, eq. 3). The published layers are those of
github.com/elvisyjlin/SpatialAttentionGAN. "ExDy" has x encoders and y decoders:

- E2D2: an encoder and a decoder for A, and of their own for M;
- E2D1: two encoders, whose features one decoder takes side by side;
- E1D2: one encoder for two decoders;
- E1D1: one of each; only the last layer's outputs belong to A or to M.
"""

import functools
from typing import Literal

import einops
import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segsynth.networks.blocks import depth_to_space
from segsynth.networks.transposed_conv import ConvTranspose

Structure = Literal["E2D2", "E2D1", "E1D2", "E1D1"]
Placement = Literal["enc", "dec"]
Injection = Literal["input", "bottleneck", "both"]
Norm = Literal["batch", "instance"]
Upsampling = Literal["transpose", "resize_conv", "depth_to_space"]
Padding = Literal["zero", "reflect"]
Init = Literal["fan_in", "normal"]

#: Initialiser of kernels: flax's own, or N(0, 0.02), the published one.
INITS = {"fan_in": nn.initializers.lecun_normal(), "normal": nn.initializers.normal(0.02)}

Image = Float[Array, "b h w 3"]
Mask = Float[Array, "b h w 1"]
Label = Float[Array, "b n"]


def blend(image: Image, attribute_image: Image, mask: Mask) -> Image:
    """Return I (1 - M) + A M: exactly I where M is 0, exactly A where it is 1 (eq. 3)."""
    return image * (1.0 - mask) + attribute_image * mask


class EditingNetwork(nn.Module):
    """One of the four structures.

    Attributes:
        structure: "E2D2", "E2D1", "E1D2" or "E1D1".
        bottleneck: whether the residual blocks end the encoder or begin the decoder.
        width: channels at full size; they double with each halving.
        downs: halvings.
        blocks: residual blocks.
        stem: side of the first and the last convolution, odd.
        attr_inject: where the label enters: as planes beside the picture; beside the features that
            enter the residual blocks (or leave the encoder), with a 1x1 convolution and ReLU; both.
        mask_sees_attr: whether a mask's own encoder gets the label.
        norm_trunk: of residual blocks: "batch" as published, or instance norm as everywhere else.
        upsample: "transpose" as published; "resize_conv" and "depth_to_space" leave no
            checkerboard.
        padding: of the encoder. Instance norm removes what a constant plane adds, so a label at the
            input alone is seen by the zeros around the picture, and not at all with "reflect".
        mask_bias: what the logits of M begin with.
        kernel_init: of kernels, "fan_in", or "normal", N(0, 0.02), as published.
        dtype: of convolutions; parameters, norms and outputs are float32.

    Raises:
        ValueError: a label that nothing would see; sides that cannot be halved ``downs`` times.

    """

    structure: Structure = "E1D1"
    bottleneck: Placement = "enc"
    width: int = 32
    downs: int = 3
    blocks: int = 4
    stem: int = 7
    attr_inject: Injection = "input"
    mask_sees_attr: bool = False
    norm_trunk: Norm = "instance"
    upsample: Upsampling = "resize_conv"
    padding: Padding = "zero"
    mask_bias: float = 0.0
    kernel_init: Init = "fan_in"
    dtype: DTypeLike = jnp.float32

    def __post_init__(self) -> None:
        if self.padding == "reflect" and self.attr_inject == "input":
            raise ValueError(
                "padding 'reflect' with attr_inject 'input' hides the label behind instance norm; "
                "take padding 'zero' or attr_inject 'both'"
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Image, label: Label, train: bool = False) -> tuple[Image, Mask]:
        """Return A in [-1, 1] and M in [0, 1], float32.

        Args:
            image: in [-1, 1].
            label: of one attribute the wanted value, 0 or 1; of several 1 or -1 for the one that is
                set or taken away, and 0 for the others, which stay.
            train: normalise batch norm by the batch, which needs ``mutable=["batch_stats"]``.

        """
        if image.shape[1] % 2**self.downs or image.shape[2] % 2**self.downs:
            raise ValueError(
                f"pictures of {image.shape[1]}x{image.shape[2]}; sides must be multiples of "
                f"{2**self.downs}"
            )
        if self.structure.startswith("E1"):
            of_image = of_mask = self._encoder("encoder")(image, label, train)
        else:
            seen = label if self.mask_sees_attr else None
            of_image = self._encoder("encoder_image")(image, label, train)
            of_mask = self._encoder("encoder_mask")(image, seen, train)
        if self.structure.endswith("D2"):
            attribute_image = self._decoder(3, "decoder_image")(of_image, train)
            mask = self._decoder(1, "decoder_mask")(of_mask, train)
        else:
            joint = of_image
            if of_mask is not of_image:
                joint = jnp.concatenate([of_image, of_mask], axis=-1)
            answer = self._decoder(4, "decoder")(joint, train)
            attribute_image, mask = answer[..., :3], answer[..., 3:]
        return jnp.tanh(attribute_image), nn.sigmoid(mask + self.mask_bias)

    def _encoder(self, name: str) -> "Encoder":
        return Encoder(
            self.width,
            self.downs,
            self.blocks if self.bottleneck == "enc" else 0,
            self.stem,
            self.attr_inject,
            self.norm_trunk,
            self.padding,
            self.kernel_init,
            self.dtype,
            name=name,
        )

    def _decoder(self, channels: int, name: str) -> "Decoder":
        return Decoder(
            channels,
            self.width,
            self.downs,
            self.blocks if self.bottleneck == "dec" else 0,
            self.stem,
            self.norm_trunk,
            self.upsample,
            self.kernel_init,
            self.dtype,
            name=name,
        )


class Encoder(nn.Module):
    """A wide convolution, halvings by 4x4 convolutions, residual blocks; instance norm, ReLU."""

    width: int
    downs: int
    blocks: int
    stem: int
    attr_inject: Injection = "input"
    norm_trunk: Norm = "instance"
    padding: Padding = "zero"
    kernel_init: Init = "fan_in"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, image: Image, label: Label | None, train: bool = False
    ) -> Float[Array, "b _ _ _"]:
        """Return features; ``label`` None = this encoder is not told."""
        sort = {"padding": self.padding, "kernel_init": self.kernel_init, "dtype": self.dtype}
        conv = functools.partial(_conv, **sort)
        block = functools.partial(Residual, norm=self.norm_trunk, **sort)
        x = image
        if label is not None and self.attr_inject != "bottleneck":
            x = _beside(x, label)
        x = _active(conv(x, self.width, self.stem, name="stem"), self.dtype)
        for i in range(self.downs):
            x = conv(x, self.width * 2 ** (i + 1), 4, 2, name=f"down_{i}")
            x = _active(x, self.dtype)
        if label is not None and self.attr_inject != "input":
            # No norm before the ReLU: it would take away what is the same at every pixel.
            x = nn.relu(conv(_beside(x, label), x.shape[-1], 1, name="inject"))
        for i in range(self.blocks):
            x = block(name=f"block_{i}")(x, train)
        return x


class Decoder(nn.Module):
    """Residual blocks, doublings with instance norm and ReLU, and a wide convolution."""

    channels: int
    width: int
    downs: int
    blocks: int
    stem: int
    norm_trunk: Norm = "instance"
    upsample: Upsampling = "resize_conv"
    kernel_init: Init = "fan_in"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], train: bool = False
    ) -> Float[Array, "b _ _ {self.channels}"]:
        """Return logits at full size, float32."""
        sort = {"kernel_init": self.kernel_init, "dtype": self.dtype}
        conv = functools.partial(_conv, **sort)
        block = functools.partial(Residual, norm=self.norm_trunk, **sort)
        widest = self.width * 2**self.downs
        if self.blocks and x.shape[-1] != widest:  # features of two encoders
            x = conv(x, widest, 1, name="fuse")
        for i in range(self.blocks):
            x = block(name=f"block_{i}")(x, train)
        for i in reversed(range(self.downs)):
            x = _active(self._doubled(x, self.width * 2**i, f"up_{i}"), self.dtype)
        return conv(x, self.channels, self.stem, name="head").astype(jnp.float32)

    def _doubled(self, x: Array, features: int, name: str) -> Array:
        sort = {"kernel_init": self.kernel_init, "dtype": self.dtype}
        conv = functools.partial(_conv, name=name, **sort)
        if self.upsample == "transpose":
            up = ConvTranspose(
                features,
                size=4,
                padding=1,
                kernel_init=INITS[self.kernel_init],
                dtype=self.dtype,
                name=name,
            )
            return up(x)
        if self.upsample == "resize_conv":
            x = einops.repeat(x, "b h w c -> b (h p) (w q) c", p=2, q=2)
            return conv(x, features, 3)
        return depth_to_space(conv(x, 4 * features, 3), 2)


class Residual(nn.Module):
    """x + norm(conv(ReLU(norm(conv(x))))), 3x3 convolutions; nothing follows the sum."""

    norm: Norm
    padding: Padding = "zero"
    kernel_init: Init = "fan_in"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b h w c"]:
        """Keep size and width."""
        sort = {"padding": self.padding, "kernel_init": self.kernel_init, "dtype": self.dtype}
        conv = functools.partial(_conv, **sort)
        h = self._normalised(conv(x, x.shape[-1], 3, name="conv_0"), train, "norm_0")
        h = nn.relu(h).astype(self.dtype)
        h = self._normalised(conv(h, x.shape[-1], 3, name="conv_1"), train, "norm_1")
        return x + h.astype(self.dtype)

    def _normalised(self, x: Array, train: bool, name: str) -> Array:
        if self.norm == "instance":
            return _instance_norm(x)
        norm = nn.BatchNorm(
            use_running_average=not train,
            momentum=0.9,
            epsilon=1e-5,
            dtype=jnp.float32,
            use_fast_variance=False,
            name=name,
        )
        return norm(x.astype(jnp.float32))


def _conv(
    x: Array,
    features: int,
    side: int,
    stride: int = 1,
    *,
    name: str,
    padding: Padding = "zero",
    kernel_init: Init,
    dtype: DTypeLike,
) -> Array:
    pad = (side - 1) // 2
    if padding == "reflect" and pad:
        x, pad = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect"), 0
    return nn.Conv(
        features,
        (side, side),
        stride,
        padding=pad,
        kernel_init=INITS[kernel_init],
        dtype=dtype,
        name=name,
    )(x)


def _beside(x: Array, label: Array) -> Array:
    """Concatenate constant planes of the label to the channels."""
    planes = label.astype(x.dtype)[:, None, None, :]
    return jnp.concatenate([x, jnp.broadcast_to(planes, (*x.shape[:3], label.shape[-1]))], axis=-1)


def _active(x: Array, dtype: DTypeLike) -> Array:
    return nn.relu(_instance_norm(x)).astype(dtype)


def _instance_norm(x: Array) -> Array:
    """Without parameters, float32, in two passes; epsilon as published."""
    x = x.astype(jnp.float32)
    mean = x.mean(axis=(1, 2), keepdims=True)
    variance = jnp.square(x - mean).mean(axis=(1, 2), keepdims=True)
    return (x - mean) / jnp.sqrt(variance + 1e-5)
