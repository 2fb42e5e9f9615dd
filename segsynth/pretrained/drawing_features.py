"""What line drawings are compared by: Inception features for shape, CLIP's for meaning; and sets of
them, for style, the features of the Fréchet distance.

As frozen networks of a system, after Chan, Durand, Isola (CVPR 2022). Pictures are in [0, 1], 1 or
3 channels.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32

from segsynth.errors import UserError
from segsynth.pretrained import loading
from segsynth.pretrained.clip import Clip, clip_pixels
from segsynth.pretrained.clip_tokenizer import load_tokenizer, standin_tokenizer
from segsynth.pretrained.inception import Inception

Network = Literal["published", "standin"]

_TAP = "Mixed_6b"
#: Sides below this leave no cell at Mixed_6b.
_SMALLEST_SIDE = 43


@dataclasses.dataclass(frozen=True)
class ShapeFeatures:
    """Mixed_6b of torchvision's Inception-v3, fed [0, 1] as informative-drawings feeds it.

    Attributes:
        network: "published" for ``pretrained:inception_v3_mixed6b``, "standin" for its stand-in.
        side: shorter side to which smaller pictures are enlarged first; 0 = none. The grid has
            14x14 cells at 256 px, 5x5 at 112 and 2x2 at 64.

    """

    network: Network = "published"
    side: int = 0

    @property
    def module(self) -> Inception:
        """The linen module."""
        return _module("inception_v3_mixed6b", self.network)

    def init(self, key: Array) -> Any:
        """Return its variables, for their shapes."""
        return self.module.init(key, jnp.zeros((1, 75, 75, 3)))

    def __call__(
        self, variables: Any, pictures: Float[Array, "b h w c"]
    ) -> Float[Array, "b _ _ f"]:
        """Return the features; differentiable in ``pictures``.

        Raises:
            UserError: pictures of less than 43 px.

        """
        pictures = self._enlarged(pictures)
        if min(pictures.shape[1:3]) < _SMALLEST_SIDE:
            raise UserError(
                f"features of pictures of {pictures.shape[2]}x{pictures.shape[1]} px; expected "
                f"{_SMALLEST_SIDE} px or more: set system.features.side"
            )
        return self.module.apply(variables, _rgb(pictures), (_TAP,))[_TAP]

    def _enlarged(self, pictures: Array) -> Array:
        shorter = min(pictures.shape[1:3])
        if shorter >= self.side:
            return pictures
        size = (round(n * self.side / shorter) for n in pictures.shape[1:3])
        return jax.image.resize(pictures, (len(pictures), *size, pictures.shape[-1]), "bilinear")


@dataclasses.dataclass(frozen=True)
class MeaningFeatures:
    """Both towers of CLIP; features are not normalised.

    Attributes:
        network: "published" for ``pretrained:<row>``, "standin" for its stand-in.
        resize: "bicubic", or "nearest" as in informative-drawings, which then passes no gradient to
            the pixels in between (`segsynth.pretrained.clip.clip_pixels`).
        row: of the catalogue: ViT-B/32 or "clip_vit_b16".

    """

    network: Network = "published"
    resize: Literal["bicubic", "nearest"] = "bicubic"
    row: str = "clip_vit_b32"

    @property
    def module(self) -> Clip:
        """The linen module."""
        return _module(self.row, self.network)

    def init(self, key: Array) -> Any:
        """Return its variables, for their shapes."""
        return self.module.init(key, jnp.zeros((1, 224, 224, 3)), jnp.zeros((1, 77), jnp.int32))

    def __call__(self, variables: Any, pictures: Float[Array, "b h w c"]) -> Float[Array, "b f"]:
        """Return features of pictures; differentiable."""
        pixels = clip_pixels(2 * pictures - 1, resize=self.resize)
        return self.module.apply(variables, pixels, method="pictures")

    def captions(self, variables: Any, tokens: Int32[np.ndarray, "n 77"]) -> Float[Array, "n f"]:
        """Return features of captions that `tokens` numbered."""
        return self.module.apply(variables, jnp.asarray(tokens), method="captions")

    def tokens(self, captions: Sequence[str]) -> Int32[np.ndarray, "n 77"]:
        """Return the numbers of captions; the published network needs CLIP's file of merges.

        Raises:
            UserError: the file is not there, or a caption is too long.

        """
        load = standin_tokenizer if self.network == "standin" else load_tokenizer
        return load()(list(captions))

    @property
    def described(self) -> loading.Loaded:
        """Which weights these are, for the names of figures; without the weights."""
        return _described(self.row, self.network)


@dataclasses.dataclass(frozen=True)
class Retriever:
    """CLIP ViT-B/16, which no loss looks at: it finds photographs by their drawings.

    Attributes:
        network: "published" for ``pretrained:clip_vit_b16``, "standin" for its stand-in.
        capacity: examples of an evaluation for which there is room.

    """

    network: Network = "published"
    capacity: int = 2048

    @property
    def encode(self) -> MeaningFeatures:
        """Its features."""
        return MeaningFeatures(self.network, row="clip_vit_b16")


def _described(name: str, network: Network) -> loading.Loaded:
    kinds: Mapping[str, str] = {"published": "pretrained", "standin": "standin"}
    return loading.describe(f"{kinds[network]}:{name}")


def _module(name: str, network: Network) -> Any:
    row = loading.find(name)
    return row.network() if network == "published" else row.standin()


def _rgb(pictures: Float[Array, "b h w c"]) -> Float[Array, "b h w 3"]:
    return jnp.repeat(pictures, 3, axis=-1) if pictures.shape[-1] == 1 else pictures
