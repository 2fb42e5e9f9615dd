"""ResNet50 as torchvision has it: version 1.5, with the stride in the 3x3 convolutions.

He et al., arXiv 1512.03385, table 1. Input: RGB in [-1, 1], NHWC; ``pixels`` says what becomes of
it first, "imagenet" as it was trained.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segsynth.pretrained.convert import KeyMap, Target
from segsynth.pretrained.pixels import Pixels, prepare

#: Blocks and inner channels of each stage; a block puts out four times its inner channels.
_STAGES = {"layer1": (3, 64), "layer2": (4, 128), "layer3": (6, 256), "layer4": (3, 512)}
_EXPANSION = 4
_NORM = {
    "weight": ("params", "scale"),
    "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}


class ResNet50(nn.Module):
    """ResNet50, to be used as it is or to be trained.

    Attributes:
        num_classes: outputs of the last layer; 0 leaves it out.
        pixels: what becomes of the pictures first.
        divisor: of all widths, for a small one.
        dtype: in which it computes; parameters, statistics and norms are float32.

    """

    num_classes: int = 1000
    pixels: Pixels = "imagenet"
    divisor: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, pictures: Float[Array, "b h w 3"], train: bool = False
    ) -> Mapping[str, Float[Array, "b ..."]]:
        """Return the maps ``layer1`` to ``layer4``, their last one's mean ``pool`` and ``logits``.

        Args:
            pictures: RGB in [-1, 1], sides of at least 32; 224 is the network's own size.
            train: normalise by the batch and move the running statistics by a tenth, which needs
                ``mutable=["batch_stats"]``.

        Returns:
            Maps (b, h/4, w/4, 256), (.../8, 512), (.../16, 1024), (.../32, 2048), sides rounded up;
            ``pool`` (b, 2048) and ``logits`` (b, num_classes), in float32.

        """
        x = prepare(pictures, self.pixels).astype(self.dtype)
        x = _conv(64 // self.divisor, 7, 2, self.dtype, "conv1")(x)
        x = nn.relu(_norm("bn1", train)(x)).astype(self.dtype)
        x = nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        found = {}
        for stage, (blocks, inner) in _STAGES.items():
            for i in range(blocks):
                stride = 2 if i == 0 and stage != "layer1" else 1
                block = Bottleneck(inner // self.divisor, stride, self.dtype, name=f"{stage}_{i}")
                x = block(x, train)
            found[stage] = x
        found["pool"] = x.astype(jnp.float32).mean((1, 2))
        if self.num_classes:
            found["logits"] = nn.Dense(self.num_classes, name="fc")(found["pool"])
        return found


class Bottleneck(nn.Module):
    """1x1, 3x3 with the stride, 1x1, each with batch norm; plus the input, projected if need be."""

    inner: int
    stride: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w i"], train: bool = False
    ) -> Float[Array, "b _ _ 4*{self.inner}"]:
        """Halve both sides with ``stride=2``."""
        width = _EXPANSION * self.inner
        y = x
        for i, (channels, side) in enumerate(((self.inner, 1), (self.inner, 3), (width, 1)), 1):
            stride = self.stride if side == 3 else 1
            y = _conv(channels, side, stride, self.dtype, f"conv{i}")(y)
            y = _norm(f"bn{i}", train)(y)
            if i < 3:
                y = nn.relu(y).astype(self.dtype)
        if x.shape != y.shape:
            x = _conv(width, 1, self.stride, self.dtype, "downsample_conv")(x)
            x = _norm("downsample_bn", train)(x)
        return nn.relu(x.astype(jnp.float32) + y).astype(self.dtype)


def _conv(width: int, side: int, stride: int, dtype: DTypeLike, name: str) -> nn.Conv:
    return nn.Conv(
        width,
        (side, side),
        strides=stride,
        padding=side // 2,
        use_bias=False,
        dtype=dtype,
        kernel_init=nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
        name=name,
    )


def _norm(name: str, train: bool) -> nn.BatchNorm:
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        epsilon=1e-5,
        dtype=jnp.float32,
        use_fast_variance=False,
        name=name,
    )


def resnet50_keys(classifier: bool = True) -> KeyMap:
    """Return where the tensors of torchvision's resnet50 go; ``classifier`` whether ``fc`` does."""
    keys = _layer_keys("conv1", "bn1", ("conv1",), ("bn1",))
    for stage, (blocks, _) in _STAGES.items():
        for i in range(blocks):
            theirs, ours = f"{stage}.{i}", f"{stage}_{i}"
            for n in (1, 2, 3):
                conv, norm = f"conv{n}", f"bn{n}"
                keys |= _layer_keys(
                    f"{theirs}.{conv}", f"{theirs}.{norm}", (ours, conv), (ours, norm)
                )
            if i == 0:
                keys |= _layer_keys(
                    f"{theirs}.downsample.0",
                    f"{theirs}.downsample.1",
                    (ours, "downsample_conv"),
                    (ours, "downsample_bn"),
                )
    keys["fc.weight"] = Target(("params", "fc", "kernel"), "linear") if classifier else None
    keys["fc.bias"] = Target(("params", "fc", "bias")) if classifier else None
    return keys


def _layer_keys(
    conv: str, norm: str, conv_path: tuple[str, ...], norm_path: tuple[str, ...]
) -> dict[str, Target | None]:
    keys = {f"{conv}.weight": Target(("params", *conv_path, "kernel"), "conv")}
    for theirs, (collection, ours) in _NORM.items():
        keys[f"{norm}.{theirs}"] = Target((collection, *norm_path, ours))
    return {**keys, f"{norm}.num_batches_tracked": None}
