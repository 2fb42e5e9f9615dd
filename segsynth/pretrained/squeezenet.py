"""SqueezeNet 1.0 and 1.1 (Iandola et al., arXiv 1602.07360, table 1; 1.1 from its repository).

Input: RGB in [-1, 1], NHWC; ``pixels`` says what becomes of it first: "imagenet" for torchvision's
weights, "caffe-integer" for the authors'. SqueezeNet 1.1 serves LPIPS. The authors published 1.0
also in 0.66 MB (Han et al., arXiv 1510.00149), so that one gives real ImageNet features anywhere.
"""

from collections.abc import Mapping
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segsynth.pretrained.convert import KeyMap, Target
from segsynth.pretrained.pixels import Pixels, prepare

#: What LPIPS compares in SqueezeNet 1.1.
LPIPS_TAPS = ("conv1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9")

_SQUEEZED = (16, 16, 32, 32, 48, 48, 64, 64)
_EXPANDED = (64, 64, 128, 128, 192, 192, 256, 256)
#: Fire modules before which a max pool stands.
_POOLED_BEFORE = {"1.0": (2, 5, 9), "1.1": (2, 4, 6)}
_FIRST = {"1.0": (96, 7), "1.1": (64, 3)}
_CLASSES = 1000
#: torchvision's ``features.<index>`` of fire2 to fire9 in 1.1.
_FIRE_INDICES = (3, 4, 6, 7, 9, 10, 11, 12)


class SqueezeNet(nn.Module):
    """SqueezeNet, with or without its classifier.

    Attributes:
        version: "1.0" or "1.1".
        pixels: what becomes of the pictures first.
        classifier: whether it ends in the logits of ImageNet's 1000 classes; its 1x1 convolution is
            padded by one pixel, as the authors' is.
        divisor: of all widths, for a small one.
        dtype: in which it computes; parameters are float32.

    """

    version: Literal["1.0", "1.1"] = "1.1"
    pixels: Pixels = "imagenet"
    classifier: bool = False
    divisor: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, pictures: Float[Array, "b h w 3"]) -> Mapping[str, Float[Array, "b ..."]]:
        """Return the features by name: ``conv1`` and ``fire2`` to ``fire9`` (all rectified).

        With the classifier also ``logits`` (b, 1000), float32. ``pictures`` are RGB in [-1, 1] with
        sides of at least 19; 227 is the authors' size.
        """
        x = prepare(pictures, self.pixels).astype(self.dtype)
        width, side = _FIRST[self.version]
        x = self._conv(x, width // self.divisor, side, "conv1", strides=2)
        found = {"conv1": x}
        for i, (squeezed, expanded) in enumerate(zip(_SQUEEZED, _EXPANDED, strict=True), 2):
            if i in _POOLED_BEFORE[self.version]:
                x = ceiled_max_pool(x)
            name = f"fire{i}"
            s = self._conv(x, squeezed // self.divisor, 1, f"{name}_squeeze")
            one = self._conv(s, expanded // self.divisor, 1, f"{name}_expand1")
            three = self._conv(s, expanded // self.divisor, 3, f"{name}_expand3", padding=1)
            x = found[name] = jnp.concatenate([one, three], axis=-1)
        if self.classifier:
            scores = self._conv(x, _CLASSES, 1, "classifier", padding=1)
            found["logits"] = scores.astype(jnp.float32).mean((1, 2))
        return found

    def _conv(
        self, x: Array, width: int, side: int, name: str, strides: int = 1, padding: int = 0
    ) -> Array:
        x = nn.Conv(
            width,
            (side, side),
            strides=strides,
            padding=padding,
            dtype=self.dtype,
            kernel_init=nn.initializers.he_normal(),
            name=name,
        )(x)
        return nn.relu(x)


def ceiled_max_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b _ _ c"]:
    """Max over 3x3 with stride 2; a last window may look past the border (Caffe's rounding up)."""
    past = [(0, -(side - 3) % 2) for side in x.shape[1:3]]
    return nn.max_pool(x, (3, 3), (2, 2), padding=past)


def torchvision_keys() -> KeyMap:
    """Return where the tensors of torchvision's squeezenet1_1 go; the classifier is left out."""
    layers = {"features.0": "conv1"}
    for i, index in enumerate(_FIRE_INDICES, 2):
        layers |= _fire(f"features.{index}", f"fire{i}", ("squeeze", "expand1x1", "expand3x3"))
    keys: dict[str, Target | None] = dict(_layers(layers, "weight", "bias", "."))
    return keys | {"classifier.1.weight": None, "classifier.1.bias": None}


def caffe_keys() -> KeyMap:
    """Return where the tensors of the authors' SqueezeNet 1.0 go, by its prototxt's names."""
    layers = {"conv1": "conv1", "conv_final": "classifier"}
    for i in range(2, 10):
        layers |= _fire(f"fire{i}", f"fire{i}", ("conv1x1_1", "conv1x1_2", "conv3x3_2"), "/")
    return _layers(layers, "w", "b", "/")


def _fire(theirs: str, ours: str, parts: tuple[str, str, str], join: str = ".") -> dict[str, str]:
    names = ("squeeze", "expand1", "expand3")
    return {f"{theirs}{join}{p}": f"{ours}_{n}" for p, n in zip(parts, names, strict=True)}


def _layers(layers: Mapping[str, str], kernel: str, bias: str, join: str) -> KeyMap:
    keys: dict[str, Target | None] = {}
    for theirs, ours in layers.items():
        keys[f"{theirs}{join}{kernel}"] = Target(("params", ours, "kernel"), "conv")
        keys[f"{theirs}{join}{bias}"] = Target(("params", ours, "bias"))
    return keys
