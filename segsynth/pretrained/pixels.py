"""What published networks expect of their pixels, from RGB pictures in [-1, 1]."""

from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

#: "imagenet": [0, 1] minus mean over standard deviation, torchvision. "caffe": BGR in [0, 255]
#: minus the mean of the pixels, Oxford's VGG (and Keras). "caffe-integer": the same with the
#: rounded mean of BVLC's networks. "lpips": what LPIPS calls its scaling layer. "none": as they
#: are.
Pixels = Literal["imagenet", "caffe", "caffe-integer", "lpips", "none"]

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
#: LPIPS v0.1 rounds ImageNet's constants, on [-1, 1], to three digits.
_LPIPS_SHIFT = (-0.030, -0.088, -0.188)
_LPIPS_SCALE = (0.458, 0.448, 0.450)
_CAFFE_MEANS = {"caffe": (103.939, 116.779, 123.68), "caffe-integer": (104.0, 117.0, 123.0)}


def prepare(pictures: Float[Array, "*b h w 3"], pixels: Pixels) -> Float[Array, "*b h w 3"]:
    """Return what a network is fed for RGB ``pictures`` in [-1, 1]."""
    if pixels == "none":
        return pictures
    if pixels == "lpips":
        return _standardised(pictures, _LPIPS_SHIFT, _LPIPS_SCALE)
    if pixels == "imagenet":
        return _standardised((pictures + 1) / 2, _IMAGENET_MEAN, _IMAGENET_DEVIATION)
    return _standardised((pictures[..., ::-1] + 1) * 127.5, _CAFFE_MEANS[pixels], (1.0,) * 3)


def _standardised(x: Array, mean: Sequence[float], deviation: Sequence[float]) -> Array:
    shape = (1,) * (x.ndim - 1) + (3,)
    mean, deviation = (jnp.asarray(v, x.dtype).reshape(shape) for v in (mean, deviation))
    return (x - mean) / deviation
