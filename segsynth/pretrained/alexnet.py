"""AlexNet up to its last convolution, as torchvision has it (Krizhevsky, arXiv 1404.5997).

One tower, no local response normalisation. Input: RGB in [-1, 1], NHWC; ``pixels`` says what
becomes of it first, "imagenet" as it was trained.
"""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segsynth.pretrained.convert import KeyMap, Target
from segsynth.pretrained.pixels import Pixels, prepare

#: All that it returns, and what LPIPS compares.
TAPS = ("relu1", "relu2", "relu3", "relu4", "relu5")

_WIDTHS = (64, 192, 384, 256, 256)
_KERNELS = (11, 5, 3, 3, 3)
_STRIDES = (4, 1, 1, 1, 1)
_POOLED_BEFORE = (1, 2)
_FEATURES = (0, 3, 6, 8, 10)
_CLASSIFIER = ("classifier.1", "classifier.4", "classifier.6")


class AlexNet(nn.Module):
    """The convolutions of AlexNet; parameters float32, computed in ``dtype``."""

    pixels: Pixels = "imagenet"
    widths: Sequence[int] = _WIDTHS
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, pictures: Float[Array, "b h w 3"]) -> Mapping[str, Float[Array, "b _ _ _"]]:
        """Return the five rectified convolutions by name, relu1 at a quarter of the side.

        ``pictures`` are RGB in [-1, 1] with sides of at least 31.
        """
        x = prepare(pictures, self.pixels).astype(self.dtype)
        found = {}
        for i, tap in enumerate(TAPS):
            if i in _POOLED_BEFORE:
                x = nn.max_pool(x, (3, 3), (2, 2))
            x = nn.Conv(
                self.widths[i],
                (_KERNELS[i],) * 2,
                strides=_STRIDES[i],
                padding=2 if i < 2 else 1,
                dtype=self.dtype,
                kernel_init=nn.initializers.he_normal(),
                name=f"conv{i + 1}",
            )(x)
            x = found[tap] = nn.relu(x)
        return found


def torchvision_keys() -> KeyMap:
    """Return where the tensors of torchvision's alexnet go; the classifier is left out."""
    keys: dict[str, Target | None] = {}
    for i, index in enumerate(_FEATURES, 1):
        keys[f"features.{index}.weight"] = Target(("params", f"conv{i}", "kernel"), "conv")
        keys[f"features.{index}.bias"] = Target(("params", f"conv{i}", "bias"))
    return keys | {f"{layer}.{k}": None for layer in _CLASSIFIER for k in ("weight", "bias")}
