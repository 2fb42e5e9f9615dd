"""What ``torch.save`` and ``torch.jit.save`` wrote, read without PyTorch.

Three formats: a zip archive with a pickle and one file a storage (since 1.6), four pickles and the
storages one after another (before), and TorchScript, which is the first with a module as its root
and its code beside it. A pickle is a program; here it may build tensors, dictionaries and, for a
module of TorchScript, bags of attributes, and nothing else. Its code is never looked at.
"""

import collections
import io
import pathlib
import pickle
import pickletools
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

from segsynth.errors import UserError

_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_START = pickle.dumps(_MAGIC, protocol=2)
_STORAGES = {
    **{"DoubleStorage": np.float64, "FloatStorage": np.float32, "HalfStorage": np.float16},
    **{"BFloat16Storage": jnp.bfloat16, "LongStorage": np.int64, "IntStorage": np.int32},
    **{"ShortStorage": np.int16, "CharStorage": np.int8, "ByteStorage": np.uint8},
    "BoolStorage": np.bool_,
}
#: More than any file of weights has; a pickle beyond them is made to exhaust the reader. Tuples
#: inside each other are hashed by recursion, and memo numbers are places of an array.
_MOST_TUPLES, _MOST_MEMO, _MOST_NODES = 10_000, 1_000_000, 1_000_000
_MOST_PICKLE = 100 * 2**20
_UNNEEDED = ("ADDITEMS", "FROZENSET", "EXT1", "EXT2", "EXT4")
_CURE = (
    "Save the state_dict alone in PyTorch, torch.save(model.state_dict(), path), if you trust the "
    "file"
)


def is_legacy(start: bytes) -> bool:
    """Whether a file begins as ``torch.save`` began it before version 1.6."""
    return start.startswith(_LEGACY_START)


def read_zip(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Return the tensors of an archive of ``torch.save`` or ``torch.jit.save``."""
    with zipfile.ZipFile(path) as archive:
        pickles = [n for n in archive.namelist() if n.split("/")[-1] == "data.pkl"]
        folder = min(pickles, key=len).removesuffix("data.pkl")
        order = f"{folder}byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise UserError(f"{path} was written on a big-endian machine. Save it on another.")

        def storage(dtype: np.dtype, key: str, size: int) -> np.ndarray:
            name = f"{folder}data/{key}"
            # Looked at before it is unpacked: a small file may unpack to a very large one.
            if archive.getinfo(name).file_size != size * dtype.itemsize:
                raise ValueError(f"storage {key} is not of {size} numbers")
            return _sized(archive.read(name), dtype, size, key)

        if archive.getinfo(f"{folder}data.pkl").file_size > _MOST_PICKLE:
            raise ValueError("its pickle is larger than that of any file of weights")
        stream = io.BytesIO(archive.read(f"{folder}data.pkl"))
        return _tensors(_Unpickler(stream, path, storage).load(), path)


def read_legacy(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Return the tensors of a file of ``torch.save`` before version 1.6.

    The bytes of the storages come after the pickle that refers to them, so it is read twice: once
    to learn the type and size of each, and again when they are there.
    """
    sizes: dict[str, tuple[np.dtype, int]] = {}

    def seen(dtype: np.dtype, key: str, size: int) -> np.ndarray:
        sizes[key] = dtype, size
        return np.broadcast_to(np.zeros((), dtype), (size,))

    with path.open("rb") as file:
        for _ in range(2):  # the magic number, the version of the protocol
            _Unpickler(file, path, None).load()
        if not _Unpickler(file, path, None).load()["little_endian"]:
            raise UserError(f"{path} was written on a big-endian machine. Save it on another.")
        begin = file.tell()
        _Unpickler(file, path, seen).load()
        storages = {}
        for key in _Unpickler(file, path, None).load():
            dtype, size = sizes[key]
            if int.from_bytes(file.read(8), "little") != size:
                raise ValueError(f"storage {key} is not of {size} numbers")
            storages[key] = _sized(file.read(size * dtype.itemsize), dtype, size, key)
        file.seek(begin)
        root = _Unpickler(file, path, lambda dtype, key, size: storages[key]).load()
    return _tensors(root, path)


def _sized(data: bytes, dtype: np.dtype, size: int, key: str) -> np.ndarray:
    if len(data) < size * dtype.itemsize:
        raise ValueError(f"storage {key} has {len(data)} bytes, expected {size * dtype.itemsize}")
    return np.frombuffer(data, dtype, size)


class _Bag:
    """Attributes of an object whose class is not known."""

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)


class _Sealed:
    """A function that a pickle may call, or an array: nothing that a pickle could change."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        object.__setattr__(self, "value", value)

    def __call__(self, *args: Any) -> Any:
        return self.value(*args)

    def __setattr__(self, name: str, value: Any) -> None:
        raise ValueError(f"its pickle sets {name!r}")


class _Storage(_Sealed):
    """The numbers that tensors view; only `persistent_load` makes one."""

    __slots__ = ()


def _tensor(sealed: Any, offset: int, size: tuple, stride: tuple, *_: Any) -> _Sealed:
    """``torch._utils._rebuild_tensor_v2``: a view of a storage, whose bounds are checked."""
    if not isinstance(sealed, _Storage):
        raise ValueError("a tensor of what is no storage")  # the bounds of a view are not its own
    storage = sealed.value
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min((offset, *size, *stride)) < 0 or (0 not in size and last >= len(storage)):
        raise ValueError(f"a tensor of shape {list(size)} past its storage of {len(storage)}")
    steps = tuple(step * storage.itemsize for step in stride)
    view = np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False)
    return _Sealed(view)


#: Module and name -> what a pickle gets for it.
_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
    ("torch", "Size"): tuple,
    ("torch.jit._pickle", "build_intlist"): list,
    ("torch.jit._pickle", "build_doublelist"): list,
    ("torch.jit._pickle", "build_boollist"): list,
    ("torch.jit._pickle", "build_tensorlist"): list,
    ("torch.jit._pickle", "restore_type_tag"): lambda data, *_: data,
}


class _Unpickler(pickle.Unpickler):
    """Knows what a file of weights needs, and refuses all else by name before anything is built."""

    def __init__(
        self,
        file: Any,
        path: pathlib.Path,
        storage: Callable[[np.dtype, str, int], np.ndarray] | None,
    ):
        super().__init__(file, encoding="utf-8")
        self._file = file
        self._path, self._storage = path, storage
        self._read: dict[str, np.ndarray] = {}

    def load(self) -> Any:
        """Return the next object of the file."""
        begin = self._file.tell()
        _look_over(self._file)
        self._file.seek(begin)
        try:
            return super().load()
        except (pickle.UnpicklingError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"its pickle makes no sense: {error}") from error

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a class or function of the pickle."""
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module in ("torch", "torch.storage") and name in _STORAGES:
            return name
        if (module, name) in _ALLOWED:
            return _Sealed(_ALLOWED[module, name])
        if module.split(".")[0] == "__torch__":
            return type("Bag", (_Bag,), {})
        raise UserError(
            f"{self._path} is refused: its pickle asks for {module}.{name}, which weights do not "
            f"need and which could run any program. {_CURE}."
        )

    def persistent_load(self, pid: Any) -> _Sealed:
        """Return the storage that a tensor views."""
        tag, kind, key, _, size, *view = pid
        if tag != "storage" or kind not in _STORAGES or self._storage is None:
            raise ValueError(f"no storage: {pid!r}")
        if view and view[0] is not None:
            raise UserError(f"{self._path} holds views of storages, as PyTorch 0.1 wrote. {_CURE}.")
        if key not in self._read:
            self._read[key] = self._storage(np.dtype(_STORAGES[kind]), key, size)
        return _Storage(self._read[key])


def _look_over(file: Any) -> None:
    """Refuse a pickle that is made to exhaust memory or the stack, before it is loaded.

    Extension codes are refused as well: Python remembers what they stood for when one was last
    read, and does not ask `find_class` again.
    """
    tuples = 0
    for opcode, argument, _ in pickletools.genops(file):
        tuples += "TUPLE" in opcode.name
        too_far = "PUT" in opcode.name and int(argument) > _MOST_MEMO
        if tuples > _MOST_TUPLES or too_far or opcode.name in _UNNEEDED:
            raise ValueError(f"its pickle has more or other {opcode.name} than weights need")


def _tensors(root: Any, path: pathlib.Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for name, tensor in _leaves(root, "", [0]):
        if name in found:
            raise ValueError(f"it has two tensors {name!r}")
        found[name] = tensor
    if not found:
        raise UserError(f"{path} holds no tensors but {type(root).__name__}. {_CURE}.")
    if all(name.startswith("state_dict.") for name in found):
        found = {name.removeprefix("state_dict."): tensor for name, tensor in found.items()}
    return found


def _leaves(node: Any, name: str, seen: list[int]) -> Iterator[tuple[str, np.ndarray]]:
    seen[0] += 1
    if seen[0] > _MOST_NODES:
        raise ValueError("its pickle holds more than weights need")
    if isinstance(node, _Sealed) and isinstance(node.value, np.ndarray):
        yield name, node.value
    parts: Any = {}
    if isinstance(node, dict | _Bag):
        parts = node if isinstance(node, dict) else vars(node)
    elif isinstance(node, list | tuple):
        parts = dict(enumerate(node))
    for key, value in parts.items():
        yield from _leaves(value, f"{name}.{key}" if name else str(key), seen)
