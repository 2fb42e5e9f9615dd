"""What is recorded of a network whose weights others have published."""

import dataclasses
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from segsynth.pretrained.convert import KeyMap

#: Of a sha256 that tell a file from others; torchvision publishes so many.
_FEWEST_DIGITS = 8

Tensors = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class File:
    """A file as its authors publish it.

    Attributes:
        url: where it is.
        sha256: in hexadecimal, whole or as much of its beginning as is known; empty if unknown, and
            then no file passes for it.
        size: in bytes, roughly; 0 if unknown.
        member: its path, where it is not the last part of ``url``: it is in an archive or behind a
            page, and no program fetches it.
        archive: name of the archive that ``url`` leads to and ``member`` is in, if it is in one.

    """

    url: str
    sha256: str = ""
    size: int = 0
    member: str = ""
    archive: str = ""

    @property
    def name(self) -> str:
        """Name of the file, without folders."""
        return (self.member or self.url).rsplit("/", 1)[-1]

    @property
    def source(self) -> str:
        """Where it is, in words: ``<url>`` or ``<member> in <archive> from <url>``."""
        inside = f"{self.member} in {self.archive}" if self.archive else self.member
        return f"{inside} from {self.url}" if inside else self.url

    def is_this(self, sha256: str) -> bool:
        """Whether a file of this sha256, 64 hexadecimal digits, is the published one."""
        whole = len(sha256) == 64 and set(sha256) <= set("0123456789abcdef")
        return whole and len(self.sha256) >= _FEWEST_DIGITS and sha256.startswith(self.sha256)


@dataclasses.dataclass(frozen=True)
class Published:
    """A network whose weights others have published.

    Attributes:
        name: what comes after ``pretrained:`` and ``standin:``.
        doc: what it is, in a line.
        files: its weights; the tensors of several files are put together, and their names differ.
        licence: of the weights.
        preprocessing: what the network expects of its input, in words.
        network: makes the linen module, as published.
        standin: makes a module of the same interface, small, for random weights.
        inputs: shapes and types of the arguments of its ``__call__`` for initialisation.
        keys: returns where each tensor of the files goes.
        prepare: tensors of the files -> tensors that ``keys`` names, for a network whose variables
            are not one tensor each (spectral norm, a matrix that holds three).

    """

    name: str
    doc: str
    files: tuple[File, ...]
    licence: str
    preprocessing: str
    network: Callable[[], nn.Module]
    standin: Callable[[], nn.Module]
    inputs: tuple[jax.ShapeDtypeStruct, ...]
    keys: Callable[[], KeyMap]
    prepare: Callable[[Tensors], Tensors] = lambda tensors: tensors


def pictures(height: int, width: int, channels: int = 3) -> jax.ShapeDtypeStruct:
    """Return the shape of one NHWC float32 picture, for :attr:`Published.inputs`."""
    return jax.ShapeDtypeStruct((1, height, width, channels), jnp.float32)
