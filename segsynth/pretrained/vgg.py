"""VGG16 and VGG19 up to their last convolution (Simonyan and Zisserman, arXiv 1409.1556, table 1).

Input: RGB in [-1, 1], NHWC; ``pixels`` says what becomes of it first. torchvision's weights were
trained with "imagenet", Oxford's (and so Keras's) with "caffe". SPADE's perceptual loss feeds
torchvision's weights pictures in [-1, 1] as they are, "none".
"""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segsynth.errors import UserError
from segsynth.pretrained.convert import KeyMap, Target
from segsynth.pretrained.pixels import Pixels, prepare

#: Convolutions of each block.
VGG16 = (2, 2, 3, 3, 3)
VGG19 = (2, 2, 4, 4, 4)
#: What SPADE's perceptual loss compares, with weights 1/32, 1/16, 1/8, 1/4 and 1.
SPADE_TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
#: What LPIPS compares in VGG16.
LPIPS_TAPS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")

_WIDTHS = (64, 128, 256, 512, 512)
_CLASSIFIER = ("classifier.0", "classifier.3", "classifier.6")


class VGG(nn.Module):
    """The convolutions of a VGG network.

    Attributes:
        blocks: convolutions of each block: ``VGG16`` or ``VGG19``, or the first few of them.
        pixels: what becomes of the pictures first.
        widths: channels of each block.
        dtype: in which it computes; parameters are float32.

    """

    blocks: Sequence[int] = VGG19
    pixels: Pixels = "imagenet"
    widths: Sequence[int] = _WIDTHS
    dtype: DTypeLike = jnp.float32

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of all that it can return, in order."""
        return tuple(f"relu{name.removeprefix('conv')}" for name in names(self.blocks))

    @nn.compact
    def __call__(
        self, pictures: Float[Array, "b h w 3"], taps: Sequence[str] = ()
    ) -> Mapping[str, Float[Array, "b _ _ _"]]:
        """Return the rectified outputs of some convolutions, by name.

        Args:
            pictures: RGB in [-1, 1]; a side of at least 16 for all five blocks.
            taps: such as ``("relu1_1", "relu4_1")``, all if empty. Nothing after the last of them
                is computed, so initialise with all.

        Returns:
            Name -> ``(b, h / 2^(block-1), w / 2^(block-1), channels)``, sides rounded down.

        Raises:
            UserError: a tap that this network does not have.

        """
        wanted = tuple(taps) or self.taps
        if unknown := sorted(set(wanted) - set(self.taps)):
            raise UserError(f"VGG has no {unknown[0]!r}; it has {', '.join(self.taps)}")
        x = prepare(pictures, self.pixels).astype(self.dtype)
        found = {}
        for name in names(self.blocks):
            block, place = (int(part) for part in name.removeprefix("conv").split("_"))
            if block > 1 and place == 1:
                x = nn.max_pool(x, (2, 2), (2, 2))
            width = self.widths[block - 1]
            init = nn.initializers.he_normal()
            x = nn.Conv(width, (3, 3), padding=1, dtype=self.dtype, kernel_init=init, name=name)(x)
            x = nn.relu(x)
            found[name.replace("conv", "relu")] = x
            if set(wanted) <= set(found):
                break
        return {tap: found[tap] for tap in wanted}


def names(blocks: Sequence[int]) -> tuple[str, ...]:
    """Return the names of the convolutions: ``conv<block>_<place in it>``, counted from 1."""
    return tuple(f"conv{b}_{i}" for b, n in enumerate(blocks, 1) for i in range(1, n + 1))


def torchvision_keys(blocks: Sequence[int]) -> KeyMap:
    """Return where the tensors of torchvision's vgg16 or vgg19 go; the classifier is left out.

    ``features`` counts convolutions, rectifiers and pools.
    """
    keys: dict[str, Target | None] = {}
    index = 0
    for name in names(blocks):
        if name.endswith("_1") and name != "conv1_1":
            index += 1  # the pool
        keys[f"features.{index}.weight"] = Target(("params", name, "kernel"), "conv")
        keys[f"features.{index}.bias"] = Target(("params", name, "bias"))
        index += 2
    return keys | {f"{layer}.{k}": None for layer in _CLASSIFIER for k in ("weight", "bias")}


def keras_keys(blocks: Sequence[int]) -> KeyMap:
    """Return where the tensors of Keras's VGG go: ``block1_conv2/kernel``, laid out as ours."""
    return {
        f"{name.replace('conv', 'block').replace('_', '_conv')}/{kind}": Target(
            ("params", name, kind)
        )
        for name in names(blocks)
        for kind in ("kernel", "bias")
    }
