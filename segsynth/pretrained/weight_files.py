"""Tensors from the files that weights are published in, without the library that wrote them.

What a file is, its first bytes say, not its suffix: .safetensors, .npz and PyTorch's three formats.
Reading executes nothing that the file brings (`segsynth.pretrained.torch_files`).
"""

import hashlib
import json
import math
import os
import pathlib
import zipfile
import zlib

import jax.numpy as jnp
import numpy as np

from segsynth.errors import UserError
from segsynth.pretrained import deep_compression, torch_files

#: Names of safetensors' types.
_TYPES = {
    **{"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": jnp.bfloat16},
    **{"I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8, "U8": np.uint8},
    "BOOL": np.bool_,
}
#: What readers raise where the bytes make no sense.
_DAMAGES = (
    *(zipfile.BadZipFile, EOFError, ValueError, TypeError, KeyError),
    *(OverflowError, RuntimeError, MemoryError, OSError, zlib.error),
)
_LONGEST_HEADER = 100 * 2**20
_CURE = "Check that it is the file of weights, and bring it again"


def read_tensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Return the tensors of a file of weights by name.

    In PyTorch's files, names of nested dictionaries and of a TorchScript module's parts are joined
    by dots; if all lies under one ``state_dict``, that is left away. Other values than tensors are
    left out.

    Args:
        path: .safetensors, .npz, .pth, .pt or .bin, and .net of Deep Compression.

    Raises:
        UserError: no such file, a file of another kind, a damaged one, a pickle that wants to call
            something or holds something that no file of weights needs.

    """
    path = pathlib.Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}); give a file of weights") from error
    try:
        return _reader(path, start)(path)
    except _DAMAGES as error:
        raise UserError(f"{path} is damaged or cut off ({_line(error)}). {_CURE}.") from error


def _reader(path: pathlib.Path, start: bytes):
    if start.startswith(b"PK"):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any(name.endswith("data.pkl") for name in names):
            return torch_files.read_zip
        if names and all(name.endswith(".npy") for name in names):
            return _read_npz
        raise UserError(f"{path} is a zip file without tensors, it holds {names[:1]}. {_CURE}.")
    if torch_files.is_legacy(start):
        return torch_files.read_legacy
    if start[8:9] == b"{":
        return _read_safetensors
    if path.suffix == ".net":
        return deep_compression.read_squeezenet
    raise UserError(
        f"{path} is {_kind(start)}; expected .safetensors, .npz or a file that torch.save wrote. "
        f"{_CURE}."
    )


def _kind(start: bytes) -> str:
    """Say what a file is that holds no weights, as far as its first bytes tell."""
    if not start:
        return "empty"
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "a web page, perhaps one that asks to confirm a download"
    if start.startswith(b"\x89HDF"):
        return "an HDF5 file"
    if start.startswith(b"version https://git-lfs"):
        return "the pointer of a file in Git LFS"
    if start.startswith(b"\x80"):
        return "a pickle, but none that torch.save wrote"
    return f"no file of weights (it begins with {start[:8]!r})"


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [repr(error)])[0][:200]


def _read_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def _read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The format: length of the header (8 bytes), header (JSON), bytes; all little-endian."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(_LONGEST_HEADER, size - 8):
            raise ValueError(f"a header of {length} bytes in a file of {size}")
        header = json.loads(file.read(length))
        data = np.frombuffer(file.read(), np.uint8)
    header.pop("__metadata__", None)
    return {name: _safetensor(name, entry, data) for name, entry in header.items()}


def _safetensor(name: str, entry: dict, data: np.ndarray) -> np.ndarray:
    if entry["dtype"] not in _TYPES:
        raise ValueError(f"{name!r} has the type {entry['dtype']}, expected one of {list(_TYPES)}")
    dtype = np.dtype(_TYPES[entry["dtype"]])
    start, stop = entry["data_offsets"]
    size = math.prod(entry["shape"]) * dtype.itemsize
    if not 0 <= start <= stop <= len(data) or stop - start != size:
        raise ValueError(f"{name!r} needs {size} bytes at {start} to {stop} of {len(data)}")
    return data[start:stop].copy().view(dtype).reshape(entry["shape"])


def sha256(path: str | os.PathLike) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
