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
        UserError: an unknown network; no folder; a file that is missing, of another sha256, no
            file of weights; one to fetch whose sha256 nobody published, before it is fetched; a
            tensor too many or too few, named.

    """
    row = loading.find(network)
    folder = _folder(row, output, show_files=not files and not fetch)
    kept = [folder / _FILES / network / file.name for file in row.files]
    paths = _given(row, files) if files else _kept(row, kept, fetch, allow_unlisted)
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
        lines += [f"  {file.source}  sha256 {file.sha256 or 'unknown'}" for file in row.files]
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


def _folder(row: Published, output: str, *, show_files: bool) -> pathlib.Path:
    """Return the folder of imported networks; where none is named, say what the network needs."""
    if output:
        return pathlib.Path(output).absolute()
    if os.environ.get(loading.FOLDER):
        return loading.folder()
    cure = (
        f"{loading.FOLDER}, the folder of imported networks, is not set: set it, or name the "
        "folder with --output"
    )
    place = pathlib.Path(f"${loading.FOLDER}", _FILES, row.name)
    paths = [place / file.name for file in row.files]
    raise UserError(f"{_needed(row, paths)}; {cure}" if show_files else cure)


def _kept(
    row: Published, paths: Sequence[pathlib.Path], fetch: bool, allow_unlisted: bool
) -> Sequence[pathlib.Path]:
    """Return the files at ``paths``, fetched if asked for."""
    missing = [f for f, path in zip(row.files, paths, strict=True) if not path.exists()]
    if missing and not fetch:
        raise UserError(_needed(row, paths))
    for file in missing:
        if not (file.sha256 or file.member or allow_unlisted):
            raise UserError(
                f"{row.name} was not fetched: nobody published the sha256 of {file.name}, so what "
                f"comes from {file.url} cannot be checked; take it all the same with "
                "--allow-unlisted: figures computed with it will be called unlisted"
            )
    for file, path in zip(row.files, paths, strict=True):
        download(file, path)
    return paths


def _needed(row: Published, paths: Sequence[pathlib.Path]) -> str:
    """Say which files are missing, where from, where to, and how else they can be given."""
    missing = [(f, path) for f, path in zip(row.files, paths, strict=True) if not path.exists()]
    names = " and ".join(file.name for file, _ in missing)
    ways = [by_hand(file, path) for file, path in missing]
    ways.append(f"or give {'it' if len(row.files) == 1 else 'all its files'} with --file")
    if not any(file.member for file, _ in missing):
        ways.append("or let --download fetch it")
    if not all(file.sha256 for file, _ in missing):
        ways[-1] += "; add --allow-unlisted, for nobody published its sha256"
    return f"{row.name} needs {names}: {', '.join(ways)}"


def _check(path: pathlib.Path, file: File, found: str) -> None:
    if not file.is_this(found):
        raise UserError(
            f"{path} has sha256 {found[:16]}, and the published {file.name} has "
            f"{file.sha256[:16] or 'none that is known'}; bring the published file, or take this "
            "one with --allow-unlisted: figures computed with it will be called unlisted"
        )
