"""LPIPS v0.1, a learned perceptual distance of pictures (Zhang et al., arXiv 1801.03924, eq. 1).

Features of an ImageNet network are normalised to unit length over the channels, their squared
differences weighted by heads of one non-negative number a channel, averaged over space and summed
over layers. Input: RGB in [-1, 1], NHWC.
"""

from collections.abc import Mapping
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segsynth.pretrained import alexnet, squeezenet, vgg
from segsynth.pretrained.convert import KeyMap, Target

Net = Literal["alex", "vgg", "squeeze"]

#: Features that are compared, of each network.
TAPS: Mapping[str, tuple[str, ...]] = {
    "alex": alexnet.TAPS,
    "vgg": vgg.LPIPS_TAPS,
    "squeeze": squeezenet.LPIPS_TAPS,
}
_EPSILON = 1e-10


class LPIPS(nn.Module):
    """The distance with one of its three networks.

    Attributes:
        net: "alex" is what papers report, "vgg" is closer to a perceptual loss.
        divisor: of all widths of the network, for a small one.
        dtype: in which the network computes; parameters and distances are float32.

    """

    net: Net = "alex"
    divisor: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w 3"], y: Float[Array, "b h w 3"]
    ) -> Float[Array, " b"]:
        """Return the distance of each pair: 0 for equal pictures, rarely above 1.

        ``x`` and ``y`` are RGB in [-1, 1] with sides of at least 31 (alex), 16 (vgg) or 19
        (squeeze). The gradient is defined also where all channels of a feature are 0.
        """
        features = _backbone(self.net, self.divisor, self.dtype)(jnp.concatenate([x, y]))
        total = jnp.zeros(len(x), jnp.float32)
        for i, tap in enumerate(TAPS[self.net]):
            a, b = jnp.split(unit_length(features[tap].astype(jnp.float32)), 2)
            head = self.param(f"head{i}", _head_init, (a.shape[-1],))
            total += jnp.einsum("bhwc,c->b", (a - b) ** 2, head) / (a.shape[1] * a.shape[2])
        return total


def _backbone(net: Net, divisor: int, dtype: DTypeLike) -> nn.Module:
    def narrow(widths):
        return tuple(width // divisor for width in widths)

    if net == "alex":
        module = alexnet.AlexNet
        return module("lpips", narrow(module.widths), dtype, name="backbone")
    if net == "vgg":
        return vgg.VGG(vgg.VGG16, "lpips", narrow(vgg.VGG.widths), dtype, name="backbone")
    return squeezenet.SqueezeNet("1.1", "lpips", divisor=divisor, dtype=dtype, name="backbone")


def _head_init(key: Array, shape: tuple[int, ...]) -> Array:
    """Non-negative weights that sum to 1: a random stand-in for the learned ones."""
    weights = jax.random.uniform(key, shape)
    return weights / weights.sum()


def unit_length(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Divide by the length over channels plus 1e-10; the gradient of zeros is that of x * 1e10."""
    square = jnp.sum(x**2, axis=-1, keepdims=True)
    positive = square > 0
    length = jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)
    return x / (length + _EPSILON)


def lpips_keys(net: Net) -> KeyMap:
    """Return where the tensors go: those of torchvision's network and of the v0.1 heads.

    The heads are ``lin<i>.model.1.weight``, (1, channels, 1, 1).
    """
    theirs = {
        "alex": alexnet.torchvision_keys,
        "vgg": lambda: vgg.torchvision_keys(vgg.VGG16),
        "squeeze": squeezenet.torchvision_keys,
    }[net]()
    keys = {key: target and _inside(target) for key, target in theirs.items()}
    heads = {
        f"lin{i}.model.1.weight": Target(("params", f"head{i}"), lambda w: w.reshape(-1))
        for i in range(len(TAPS[net]))
    }
    return keys | heads


def _inside(target: Target) -> Target:
    collection, *path = target.path
    return Target((collection, "backbone", *path), target.layout)
