"""Files of a data set joined by name: what all published layouts have in common."""

import contextlib
import contextvars
import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping
from concurrent import futures
from typing import Any

import numpy as np

from segsynth.data import modalities, pictures
from segsynth.data.label_sets import NONE, LabelSet
from segsynth.data.layouts.readers import Instances, Labels, Photo, Reader
from segsynth.errors import UserError

#: Layouts of more files than this make `Joined` without a scan: that of 1.8 million takes minutes.
SCAN_LIMIT = 200_000
_HEADER_THREADS = 8
_CHECKED = contextvars.ContextVar("checked", default=True)


@dataclasses.dataclass(frozen=True)
class Joined:
    """A source of examples that lie in files, one or more a modality.

    Every header is read when the source is made (unless ``scan`` is False), and every label map is
    checked against the table when it is read.

    Attributes:
        files: modality -> example name -> what its reader reads, in most cases a path. The names
            of the first modality, in order, are the examples.
        readers: modality -> how it is read.
        label_set: the table of label maps; None where there are none.
        ids: "published" or "train" (`segsynth.data.layouts.readers.Labels`).
        attribute_names: names of the columns of ``attributes``.
        scan: False = look at partners only and leave the headers to `faults`; a bad file is then
            named when its example is read.

    Raises:
        UserError: an example without a partner, files of one example that differ in size, a label
            map in colour or of the wrong number of bits, a bad file.

    """

    files: Mapping[str, Mapping[str, Any]] = dataclasses.field(repr=False)
    readers: Mapping[str, Reader] = dataclasses.field(repr=False)
    label_set: LabelSet | None = None
    ids: str = "published"
    attribute_names: tuple[str, ...] = ()
    scan: bool = True

    def __post_init__(self) -> None:
        if not _CHECKED.get():
            return
        faults = self.faults() if self.scan else self._partner_faults()
        if faults:
            more = f" ({len(faults)} such files.)" if len(faults) > 1 else ""
            raise UserError(faults[0] + more)

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the examples, in order."""
        return tuple(self.files[self._first])

    @property
    def provides(self) -> tuple[str, ...]:
        """Modality names of an example."""
        return (*self.files, "name")

    @property
    def unlabelled(self) -> int:
        """The number of no label in ``labels`` and ``coarse``."""
        published = NONE if self.label_set is None else self.label_set.unlabelled
        return NONE if self.ids == "train" else published

    @property
    def _first(self) -> str:
        return next(iter(self.files))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Returns example ``index`` at its own size: arrays as the modalities say, and ``name``.

        Raises:
            IndexError: ``index`` is out of range.
            UserError: a file is damaged, or holds what it must not.

        """
        name = self.names[range(len(self))[index]]
        example = {key: self.readers[key].read(self.files[key][name]) for key in self.files}
        self._check_sizes(
            name, {k: v.shape[:2] for k, v in example.items() if modalities.get(k).spatial}
        )
        return example | {"name": np.asarray(name, object)}

    def paths(self, name: str) -> tuple[pathlib.Path, ...]:
        """The files of an example, in the order of the modalities."""
        return tuple(
            path for key in self.files for path in self.readers[key].paths(self.files[key][name])
        )

    def faults(self) -> list[str]:
        """Returns what is wrong with partners and headers, a line for each bad example."""
        with futures.ThreadPoolExecutor(_HEADER_THREADS) as pool:
            found = pool.map(self.header_faults, self.names)
            return [next(iter(messages.values())) for messages in found if messages]

    def header_faults(self, name: str) -> dict[str, str]:
        """Returns what is wrong with the partners and headers of one example, by modality."""
        faults, sizes = {}, {}
        for key, reader in self.readers.items():
            if name not in self.files[key]:
                faults[key] = self._no_partner(key, name)
                continue
            try:
                size = reader.size(self.files[key][name])
                if size is not None:
                    sizes[key] = size
                    self._check_sizes(name, {k: sizes[k] for k in (next(iter(sizes)), key)})
            except UserError as error:
                faults[key] = str(error)
        return faults

    def _partner_faults(self) -> list[str]:
        return [
            self._no_partner(key, name)
            for key, entries in self.files.items()
            for name in self.names
            if name not in entries
        ]

    def _no_partner(self, key: str, name: str) -> str:
        return (
            f"{self._shown(self._first, name)} has no partner for {key!r}. "
            "Add the file, joined by its name."
        )

    def _check_sizes(self, name: str, sizes: Mapping[str, tuple[int, ...]]) -> None:
        first = next(iter(sizes), "")
        for key, (height, width) in sizes.items():
            rows, columns = sizes[first]
            if (height, width) != (rows, columns):
                raise UserError(
                    f"{self._shown(key, name)} is {height} x {width}, but its picture "
                    f"{self._shown(first, name)} is {rows} x {columns}. Make them of one size."
                )

    def _shown(self, key: str, name: str) -> str:
        """What a message calls an entry: its first file, or the modality of the example."""
        paths = self.readers[key].paths(self.files[key][name])
        return str(paths[0]) if paths else f"{key!r} of {name}"


@contextlib.contextmanager
def unchecked() -> Iterator[None]:
    """Inside, `Joined` lets faults pass: for who opens a data set to report all of them."""
    token = _CHECKED.set(False)
    try:
        yield
    finally:
        _CHECKED.reset(token)


def labelled(
    label_set: LabelSet, files: Mapping[str, Mapping[str, pathlib.Path]], ids: str = "published"
) -> Joined:
    """Returns photographs with label maps.

    Args:
        label_set: the table of the files.
        files: modality -> name -> path, of ``image``, ``labels``, ``coarse`` and ``instance`` (as
            Cityscapes stores it).
        ids: "published" keeps the numbers of the files; "train" maps ``labels`` and ``coarse`` to
            train ids, 255 where there is none.

    Raises:
        UserError: as `Joined`; an unknown ``ids``.

    """
    labels = Labels(label_set, ids)
    readers = {
        "image": Photo(),
        "labels": labels,
        "coarse": labels,
        "instance": Instances(label_set),
    }
    return Joined(files, {key: readers[key] for key in files}, label_set, ids)


def by_stem(folder: pathlib.Path, end: str = "") -> dict[str, pathlib.Path]:
    """Returns the pictures below a folder by stem, sorted.

    Args:
        folder: where.
        end: of the stems; it is cut off, and other pictures are passed over.

    Raises:
        UserError: no such folder, or two pictures of one stem.

    """
    files: dict[str, pathlib.Path] = {}
    for path in pictures.list_pictures(folder):
        if not path.stem.endswith(end):
            continue
        name = path.stem.removesuffix(end)
        if name in files:
            raise UserError(f"{files[name]} and {path} have one stem. Rename or delete one.")
        files[name] = path
    return files
