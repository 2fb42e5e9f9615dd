"""The file in which Han et al. published SqueezeNet 1.0: pruned weights from a codebook.

Han, Mao and Dally, arXiv 1510.00149, sections 2 and 3; the layout of the file is that of the script
decode.py in github.com/songhan/SqueezeNet-Deep-Compression.
"""

import io
import math
import os
import pathlib
from collections.abc import Iterator

import numpy as np

#: Squeezed and expanded (each half) channels of fire2 to fire9.
_FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
_CODES = 256
_CLASSES = 1000


def _layers() -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    """Name and shape (out, in, height, width) of each convolution in the prototxt's order."""
    yield "conv1", (96, 3, 7, 7)
    width = 96
    for i, (squeezed, expanded) in enumerate(_FIRES, 2):
        yield f"fire{i}/conv1x1_1", (squeezed, width, 1, 1)
        yield f"fire{i}/conv1x1_2", (expanded, squeezed, 1, 1)
        yield f"fire{i}/conv3x3_2", (expanded, squeezed, 3, 3)
        width = 2 * expanded
    yield "conv_final", (_CLASSES, width, 1, 1)


def read_squeezenet(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Return ``<layer>/w`` (out, in, height, width) and ``<layer>/b``, float32.

    First stands the number of weights that are left in each layer, uint32; then of each layer 256
    values, its biases, a code of each weight in 8 bits and the gap before it in 4.

    Raises:
        ValueError: a file of another length.

    """
    layers = dict(_layers())
    file = io.BytesIO(pathlib.Path(path).read_bytes())
    left = _take(file, np.uint32, len(layers))
    tensors = {}
    for (name, shape), count in zip(layers.items(), left, strict=True):
        codebook = _take(file, np.float32, _CODES)
        tensors[f"{name}/b"] = _take(file, np.float32, shape[0])
        codes = _take(file, np.uint8, int(count))
        packed = _take(file, np.uint8, (int(count) + 1) // 2)
        gaps = np.stack([packed & 15, packed >> 4], axis=1).ravel()[:count]
        places = np.cumsum(gaps.astype(np.int64) + 1) - 1
        flat = np.zeros(math.prod(shape), np.float32)
        if len(places) and places[-1] >= len(flat):
            raise ValueError(f"{name} has a weight at {places[-1]} of {len(flat)}")
        flat[places] = codebook[codes]
        tensors[f"{name}/w"] = flat.reshape(shape)
    if file.read(1):
        raise ValueError("there is more in it than SqueezeNet")
    return tensors


def _take(file: io.BytesIO, dtype: type, count: int) -> np.ndarray:
    data = file.read(count * np.dtype(dtype).itemsize)
    if len(data) < count * np.dtype(dtype).itemsize:
        raise ValueError(f"it ends after {file.tell()} bytes")
    return np.frombuffer(data, dtype)
