"""Published networks by reference: ``pretrained:<name>``, and ``standin:<name>`` in their place.

A stand-in is the same kind of network, small, with random weights of a fixed seed: what is written
against one runs with the other. Its numbers mean nothing, and their names say so
(`segsynth.metrics.names`).
"""

import dataclasses
import json
import os
import pathlib
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from segsynth.errors import UserError
from segsynth.pretrained.catalog import CATALOG
from segsynth.pretrained.published import Published
from segsynth.pretrained.quick_random import quick_key
from segsynth.settings import unknown

#: The environment variable that names the folder of imported networks.
FOLDER = "SEGSYNTH_WEIGHTS"
#: In the folder of an imported network; written last.
MANIFEST = "manifest.json"

_PRETRAINED, _STANDIN = "pretrained", "standin"


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A network by reference.

    Attributes:
        module: the linen module; of a stand-in the small one.
        name: of the network in the catalogue.
        standin: whether its weights are random.
        sha256: of the files that its weights were imported from; none for a stand-in.
        variables: linen variables; ``None`` where only the rest was asked for.

    """

    module: nn.Module
    name: str
    standin: bool
    sha256: tuple[str, ...] = ()
    variables: Any = None

    def apply(self, *args: Any, **options: Any) -> Any:
        """Apply the module to its variables.

        Inside ``jax.jit`` call ``module.apply`` with the variables as an argument of the compiled
        function: closed over, they become constants of the program.
        """
        return self.module.apply(self.variables, *args, **options)

    @property
    def published(self) -> bool:
        """Whether its weights are those of the catalogue, by their sha256."""
        files = CATALOG[self.name].files
        return (
            not self.standin
            and len(files) == len(self.sha256)
            and all(file.is_this(sha) for file, sha in zip(files, self.sha256, strict=True))
        )


def is_reference(reference: str) -> bool:
    """Whether a reference is of one of the two kinds, right or wrong."""
    return reference.partition(":")[0] in (_PRETRAINED, _STANDIN)


def find(name: str) -> Published:
    """Return the row of the catalogue; raise :class:`UserError` where there is none."""
    if name not in CATALOG:
        raise UserError(unknown(name, CATALOG, "the catalogue of published networks"))
    return CATALOG[name]


def describe(reference: str) -> Loaded:
    """Return what a reference names, without its variables.

    Raises:
        UserError: another kind of reference, a name that is not in the catalogue, a network that
            was not imported.

    """
    kind, _, name = reference.partition(":")
    if kind not in (_PRETRAINED, _STANDIN):
        raise UserError(
            f"'{reference}' names no network; expected 'pretrained:<name>' or 'standin:'"
        )
    row = find(name)
    if kind == _STANDIN:
        return Loaded(row.standin(), name, standin=True)
    shas = tuple(file["sha256"] for file in manifest(name)["files"])
    return Loaded(row.network(), name, standin=False, sha256=shas)


def abstract(network: Loaded) -> Any:
    """Return the shapes and types of a network's variables."""
    return jax.eval_shape(_init(network))


def standin(name: str, sharding: Any = None) -> Loaded:
    """Return the stand-in of a network: seed 0, the same wherever it is made.

    ``sharding`` says where its variables shall live.
    """
    network = describe(f"{_STANDIN}:{name}")
    variables = jax.jit(_init(network), out_shardings=sharding)()
    return dataclasses.replace(network, variables=variables)


def _init(network: Loaded) -> Any:
    inputs = CATALOG[network.name].inputs
    return lambda: network.module.init(quick_key(0), *(jnp.zeros(x.shape, x.dtype) for x in inputs))


def folder() -> pathlib.Path:
    """Return the folder of imported networks; raise :class:`UserError` where none is named."""
    named = os.environ.get(FOLDER, "")
    if not named:
        raise UserError(
            f"published networks are looked up in the folder that {FOLDER} names, and it is not "
            "set; set it, and fill the folder with launch/import_weights.py"
        )
    return pathlib.Path(named).absolute()


def set_aside(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Return where an imported network lies while a new import takes its place."""
    return folder / f".{name}.before"


def place(name: str) -> pathlib.Path:
    """Return the folder of an imported network.

    An import that was killed while it replaced another leaves only the one that it had set aside.
    """
    found = folder() / name
    before = set_aside(folder(), name)
    return before if before.is_dir() and not found.exists() else found


def manifest(name: str) -> dict[str, Any]:
    """Return what was recorded of a network when it was imported.

    ``network``, ``files`` (``name`` and ``sha256`` of each), ``variables`` (sha256 of what was made
    of them).

    Raises:
        UserError: it was not imported, or what lies there is no such record.

    """
    path = place(name) / MANIFEST
    if not path.is_file():
        raise UserError(
            f"there is no {path}; import the network: "
            f"python launch/import_weights.py --network {name}"
        )
    try:
        found = json.loads(path.read_text())
        whole = found["network"] == name and found["variables"]
        whole = whole and all(file["name"] and file["sha256"] for file in found["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error!r}); import {name} again") from error
    if not whole:
        raise UserError(f"{path} is not of {name}; import {name} again")
    return found
