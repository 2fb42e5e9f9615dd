"""Published weights made ours: fetched, checked, converted and kept."""

import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from segsynth.engine import imported
from segsynth.errors import UserError
from segsynth.pretrained import loading
from segsynth.pretrained.catalog import CATALOG
from segsynth.pretrained.convert import convert
from segsynth.pretrained.download import by_hand, download
from segsynth.pretrained.published import File, Published
from segsynth.pretrained.weight_files import read_tensors, sha256

#: In the folder of imported networks: files as they were published, by network.
_FILES = "files"


def import_weights(
    network: str,
    files: Sequence[str] = (),
    output: str = "",
    *,
    fetch: bool = False,
    allow_unlisted: bool = False,
    show: Callable[[str], object] = print,
) -> pathlib.Path:
    """Import a published network, so that ``pretrained:<network>`` finds it.

    Args:
        network: its name in the catalogue.
        files: its files in the catalogue's order; those in ``<output>/files/<network>/`` if empty.
        output: the folder of imported networks; what SEGSYNTH_WEIGHTS names if empty.
        fetch: download what is not there.
        allow_unlisted: also take files of another sha256. The figures that are computed with them
            do not carry the published names.
        show: gets a line about what was done.

    Returns:
        ``<output>/<network>``.

    Raises:
        UserError: an unknown network; a file that is missing, of another sha256, no file of
            weights; a tensor too many or too few, named.

    """
    row = loading.find(network)
    folder = pathlib.Path(output).absolute() if output else loading.folder()
    paths = _given(row, files) if files else _kept(row, folder / _FILES / network, fetch)
    shas = [sha256(path) for path in paths]
    if not allow_unlisted:
        for path, file, found in zip(paths, row.files, shas, strict=True):
            _check(path, file, found)
    variables = converted(row, paths)
    record = [{"name": path.name, "sha256": found} for path, found in zip(paths, shas, strict=True)]
    place = imported.save(folder, network, variables, record)
    listed = loading.Loaded(row.network(), network, standin=False, sha256=tuple(shas)).published
    show(f"{place}: {network}{'' if listed else ', unlisted: not the published files'}")
    return place


def converted(row: Published, paths: Sequence[pathlib.Path]) -> dict[str, Any]:
    """Return the variables of a network from its files, each tensor in its place exactly once."""
    tensors: dict[str, np.ndarray] = {}
    for path in paths:
        found = read_tensors(path)
        if twice := sorted(set(tensors) & set(found)):
            raise UserError(f"{path} holds {twice[0]!r}, which another of the files holds, too.")
        tensors |= found
    name = " + ".join(str(path) for path in paths)
    expected = loading.abstract(loading.Loaded(row.network(), row.name, standin=False))
    return convert(row.prepare(tensors), row.keys(), expected, name)


def table() -> str:
    """Return the catalogue as lines: name, what it is, its files and their licence."""
    lines = []
    for row in CATALOG.values():
        lines += [f"{row.name}: {row.doc}", f"  licence: {row.licence}"]
        lines += [f"  {file.url}  sha256 {file.sha256 or 'unknown'}" for file in row.files]
    return "\n".join(lines)


def _given(row: Published, files: Sequence[str]) -> list[pathlib.Path]:
    if len(files) != len(row.files):
        raise UserError(
            f"{row.name} is made of {len(row.files)} files, in this order: "
            f"{', '.join(file.name for file in row.files)}; {len(files)} given with --file"
        )
    for file in files:
        if not os.path.isfile(file):
            raise UserError(f"there is no file {file}; give the file of weights with --file")
    return [pathlib.Path(file) for file in files]


def _kept(row: Published, folder: pathlib.Path, fetch: bool) -> list[pathlib.Path]:
    """Return the files in the folder, fetched if asked for."""
    paths = [folder / file.name for file in row.files]
    for file, path in zip(row.files, paths, strict=True):
        if fetch:
            download(file, path)
        elif not path.exists():
            raise UserError(
                f"{row.name} needs {file.name}: {by_hand(file, path)}, or give it with --file, "
                "or let --download fetch it"
            )
    return paths


def _check(path: pathlib.Path, file: File, found: str) -> None:
    if not file.is_this(found):
        raise UserError(
            f"{path} has sha256 {found[:16]}, and the published {file.name} has "
            f"{file.sha256[:16] or 'none that is known'}; bring the published file, or take this "
            "one with --allow-unlisted: figures computed with it will be called unlisted"
        )
