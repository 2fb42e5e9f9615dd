"""Two folders of pictures to compare: what they hold, who is whose partner, and batches of them."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float32, UInt8

from segsynth.data import pictures
from segsynth.data.transforms import filtered
from segsynth.errors import UserError

_READERS = 8


class Folder(NamedTuple):
    """Pictures by stem, the path below the folder without its suffix, in order.

    ``sizes`` are (height, width) in pixels, as stored; ``left_out`` the names of other files.
    """

    path: pathlib.Path
    files: Mapping[str, pathlib.Path]
    sizes: Mapping[str, tuple[int, int]]
    left_out: Sequence[str]


class Batch(NamedTuple):
    """Pictures of one size of each folder, and which of them count; this process's rows."""

    pictures: tuple[UInt8[np.ndarray, "b h w 3"], ...]
    valid: Float32[np.ndarray, " b"]


def listed(path: pathlib.Path) -> Folder:
    """Return what is below a folder, all headers read.

    Raises:
        UserError: no folder, no pictures, two that differ in their suffix only, a file that is no
            picture whatever its name says.

    """
    files: dict[str, pathlib.Path] = {}
    for file in pictures.list_pictures(path):
        stem = file.relative_to(path).with_suffix("").as_posix()
        if stem in files:
            raise UserError(f"{files[stem]} and {file} differ in their suffix only; keep one")
        files[stem] = file
    if not files:
        raise UserError(
            f"{path} holds no pictures ({', '.join(pictures.SUFFIXES)}); check --folders"
        )
    with futures.ThreadPoolExecutor(_READERS) as pool:
        sizes = dict(zip(files, pool.map(pictures.picture_size, files.values()), strict=True))
    return Folder(path, files, sizes, _others(path, set(files.values())))


def _others(path: pathlib.Path, known: set[pathlib.Path]) -> list[str]:
    """Names of the files that are not hidden and are no pictures by name."""
    found = (file.relative_to(path) for file in path.rglob("*") if file.is_file())
    visible = (file for file in found if not any(part.startswith(".") for part in file.parts))
    return sorted(file.as_posix() for file in visible if path / file not in known)


def check_partners(real: Folder, fake: Folder) -> None:
    """Raise `UserError`, naming a file, unless each picture has one of its stem in the other."""
    for one, other in ((real, fake), (fake, real)):
        if alone := [stem for stem in one.files if stem not in other.files]:
            raise UserError(
                f"{one.files[alone[0]]} has no partner {alone[0]}.* in {other.path} ({len(alone)} "
                f"such; {real.path} holds {len(real.files)} pictures, {fake.path} "
                f"{len(fake.files)}); add it, or compare whole sets: --unpaired"
            )


def check_sizes(real: Folder, fake: Folder, smallest: int, resize: int) -> None:
    """Raise `UserError`, naming a file, where partners differ in size or a side is too small."""
    for stem, size in real.sizes.items():
        theirs = fake.sizes[stem]
        if size != theirs and not resize:
            raise UserError(
                f"{fake.files[stem]} is {theirs[0]} x {theirs[1]}, and its partner "
                f"{real.files[stem]} {size[0]} x {size[1]}; make them of one size, or let "
                "--resize N do it"
            )
        least = resize or min(size)
        if least < smallest:
            raise UserError(
                f"{real.files[stem]} has a side of {least} px, and these metrics need {smallest}; "
                "enlarge it, or let --resize N do it"
            )


def batches(folders: Sequence[Folder], size: int, resize: int = 0) -> Iterator[tuple[int, Batch]]:
    """Yield how many examples a batch holds over all processes, and this process's share of it.

    Args:
        folders: of the same stems; an example is a picture of each.
        size: examples of a batch over all processes, which it is filled up to.
        resize: side of the square that all are resampled to (bicubic, antialiased, as Pillow); 0 =
            none, and then each batch is of one size.

    """
    share = size // jax.process_count()
    start = jax.process_index() * share
    with futures.ThreadPoolExecutor(_READERS) as pool:
        for stems in _groups(folders, resize):
            for first in range(0, len(stems), size):
                chunk = stems[first : first + size]
                mine = chunk[start : start + share]
                read = [_stack(pool, folder, mine, chunk[0], share, resize) for folder in folders]
                valid = (np.arange(share) < len(mine)).astype(np.float32)
                yield len(chunk), Batch(tuple(read), valid)


def _groups(folders: Sequence[Folder], resize: int) -> list[list[str]]:
    """Stems by the sizes of their pictures."""
    groups: dict[object, list[str]] = {}
    for stem in sorted(folders[0].files):
        sizes = () if resize else tuple(folder.sizes[stem] for folder in folders)
        groups.setdefault(sizes, []).append(stem)
    return [groups[sizes] for sizes in sorted(groups)]


def _stack(
    pool: futures.Executor, folder: Folder, stems: Sequence[str], model: str, rows: int, resize: int
) -> UInt8[np.ndarray, "rows h w 3"]:
    """Read pictures; black ones fill up, of the size of ``model``."""
    shape = (resize, resize) if resize else folder.sizes[model]
    table = np.zeros((rows, *shape, 3), np.uint8)
    found = pool.map(lambda stem: _read(folder.files[stem], resize), stems)
    for row, picture in zip(table, found, strict=False):
        row[:] = picture
    return table


def _read(file: pathlib.Path, resize: int) -> UInt8[np.ndarray, "h w 3"]:
    picture = pictures.read_image(file)
    height, width = picture.shape[:2]
    if not resize or (height, width) == (resize, resize):
        return picture
    return filtered(picture, (0, 0, width, height), resize)
