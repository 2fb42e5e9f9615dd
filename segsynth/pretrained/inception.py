"""Inception-v3 in its two published forms: the one of the Fréchet distance, and torchvision's.

Both were trained on RGB in [-1, 1], which is what the network here takes. torchvision's
``transform_input=True``, which its weights switch on, only turns pictures that were normalised by
ImageNet's mean and deviation back into [-1, 1]; with pictures in [-1, 1] to begin with there is
nothing to do. (informative-drawings feeds [0, 1] and leaves ``transform_input`` out: whoever
follows it passes ``(pictures + 1) / 2``.)
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, UInt8

from segsynth.errors import UserError
from segsynth.pretrained.convert import KeyMap, Target
from segsynth.pretrained.inception_blocks import Block, Conv, ConvNorm, Mixed, layers, pooled

Variant = Literal["fid", "torchvision"]

#: Length of the features -> the layer that gives them, as pytorch-fid's ``dims``. The first three
#: are maps; their mean over the picture is compared.
FID_TAPS = {64: "maxpool1", 192: "maxpool2", 768: "Mixed_6e", 2048: "avgpool"}
#: Side of the pictures that the Fréchet distance is defined on.
FID_SIDE = 299
#: Classes of the published weights.
CLASSES = {"fid": 1008, "torchvision": 1000}

_STATISTICS = {"running_mean": "mean", "running_var": "var"}
_AFFINE = {"weight": "scale", "bias": "bias"}


def fid_pixels(
    pictures: Float[Array, "b h w 3"] | UInt8[Array, "b h w 3"],
) -> Float[Array, "b 299 299 3"]:
    """Return what the Fréchet distance's network is fed.

    The published distances are between 8-bit files, so pictures in [-1, 1] are first rounded to the
    256 levels of one (no gradient passes). Then, as pytorch-fid does: [0, 1], bilinear to 299x299
    without antialiasing and with half-pixel centres, [-1, 1].

    Args:
        pictures: RGB, uint8, or float in [-1, 1]; any size.

    """
    if pictures.dtype != jnp.uint8:
        pictures = jnp.round((jnp.clip(pictures, -1, 1) + 1) * 127.5)
    shape = (len(pictures), FID_SIDE, FID_SIDE, 3)
    levels = pictures.astype(jnp.float32) / 255
    return 2 * jax.image.resize(levels, shape, "bilinear", antialias=False) - 1


class Inception(nn.Module):
    """Inception-v3 without its auxiliary classifier, in inference form.

    Attributes:
        variant: "fid" or "torchvision".
        last: the last layer that it has; ``"Mixed_6b"`` for the geometry of line drawings.
        divisor: of all widths, for a small one.
        dtype: in which it computes; parameters, statistics and norms are float32.

    """

    variant: Variant = "fid"
    last: str = "fc"
    divisor: int = 1
    dtype: DTypeLike = jnp.float32

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of all that it can return, in order: torchvision's layers up to ``last``."""
        return names(self.variant, self.last)

    @nn.compact
    def __call__(
        self, pictures: Float[Array, "b h w 3"], taps: Sequence[str] = ()
    ) -> Mapping[str, Float[Array, "b ..."]]:
        """Return the outputs of some layers, by name.

        Args:
            pictures: RGB in [-1, 1], sides of at least 75; 299 is the networks' own size, and
                `fid_pixels` makes it.
            taps: such as ``("Mixed_6b",)`` or ``("avgpool",)``; all if empty. Nothing after the
                last of them is computed, so initialise with all.

        Returns:
            Maps ``(b, _, _, channels)``; ``avgpool`` (b, 2048) and ``fc``, the logits (b, classes),
            in float32.

        Raises:
            UserError: a tap that this network does not have.

        """
        wanted = tuple(taps) or self.taps
        if unknown := sorted(set(wanted) - set(self.taps)):
            raise UserError(f"Inception has no {unknown[0]!r}; it has {', '.join(self.taps)}")
        table = layers(self.variant)
        x, found = pictures.astype(self.dtype), {}
        for name in self.taps:
            x = found[name] = self._layer(name, table.get(name), x)
            if set(wanted) <= set(found):
                break
        return {tap: found[tap] for tap in wanted}

    def _layer(self, name: str, row: Conv | Block | str | None, x: Array) -> Array:
        if name == "avgpool":
            return x.astype(jnp.float32).mean((1, 2))
        if name == "fc":
            return nn.Dense(CLASSES[self.variant], name="fc")(x)
        if isinstance(row, str):
            return pooled(x, row)
        kind = ConvNorm if isinstance(row, Conv) else Mixed
        return kind(row, self.divisor, self.dtype, name=name)(x)


def names(variant: Variant, last: str = "fc") -> tuple[str, ...]:
    """Return the names of the layers up to ``last``, in order.

    Raises:
        UserError: there is no such layer.

    """
    known = (*layers(variant), "avgpool", "fc")
    if last not in known:
        raise UserError(f"Inception has no layer {last!r}; it has {', '.join(known)}")
    return known[: known.index(last) + 1]


def inception_keys(variant: Variant, last: str = "fc") -> KeyMap:
    """Return where the tensors of a published state dict go.

    "fid": ``pt_inception-2015-12-05-6726825d.pth`` of pytorch-fid. "torchvision":
    ``inception_v3_google-0cc3c7bd.pth``, whose auxiliary classifier is left out. So is what comes
    after the layer ``last``.
    """
    needed = names(variant, last)
    keys: dict[str, Target | None] = {}
    for name, row in layers(variant).items():
        convs = row.convolutions() if isinstance(row, Block) else ()
        paths = [(name, conv.name) for conv in convs] or [(name,)] * isinstance(row, Conv)
        for path in paths:
            keys |= _conv_keys(path, name in needed)
    keys |= _fc_keys("fc", "fc" in needed)
    if variant == "torchvision":
        keys |= _conv_keys(("AuxLogits", "conv0"), False) | _conv_keys(
            ("AuxLogits", "conv1"), False
        )
        keys |= _fc_keys("AuxLogits.fc", False)
    return keys


def _conv_keys(path: tuple[str, ...], needed: bool) -> dict[str, Target | None]:
    targets = {"conv.weight": Target(("params", *path, "conv", "kernel"), "conv")}
    for theirs, ours in _AFFINE.items():
        targets[f"bn.{theirs}"] = Target(("params", *path, "bn", ours))
    for theirs, ours in _STATISTICS.items():
        targets[f"bn.{theirs}"] = Target(("batch_stats", *path, "bn", ours))
    prefix = ".".join(path)
    keys = {f"{prefix}.{key}": target if needed else None for key, target in targets.items()}
    return {**keys, f"{prefix}.bn.num_batches_tracked": None}


def _fc_keys(name: str, needed: bool) -> dict[str, Target | None]:
    kernel, bias = Target(("params", "fc", "kernel"), "linear"), Target(("params", "fc", "bias"))
    return {
        f"{name}.weight": kernel if needed else None,
        f"{name}.bias": bias if needed else None,
    }
