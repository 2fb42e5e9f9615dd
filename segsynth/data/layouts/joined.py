"""Photographs with their label maps, joined by name: what the street layouts have in common."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from concurrent import futures
from typing import Literal

import numpy as np
from jaxtyping import Int32, UInt8

from segsynth.data import picture_files, pictures
from segsynth.data.label_sets import NONE, LabelSet
from segsynth.errors import UserError

#: How label maps number the classes: as the files do, or 0.. with 255 for none.
Ids = Literal["published", "train"]

_HEADER_THREADS = 8


@dataclasses.dataclass(frozen=True)
class Joined:
    """A source of photographs, label maps and names.

    Every header is read when the source is made, and every label map is checked against the table
    when it is read.

    Attributes:
        label_set: the table of the files.
        files: modality -> example name -> path; ``image`` comes first, and its names, in order, are
            the examples. Other modalities: ``labels``, ``coarse``, ``instance``.
        ids: "published" keeps the numbers of the files; "train" maps ``labels`` and ``coarse`` to
            train ids, 255 where there is none.

    Raises:
        UserError: a photograph without a partner, one of another size than its labels, a label map
            in colour or of the wrong number of bits, a bad file, an unknown ``ids``.

    """

    label_set: LabelSet
    files: Mapping[str, Mapping[str, pathlib.Path]] = dataclasses.field(repr=False)
    ids: str = "published"

    def __post_init__(self) -> None:
        if self.ids not in ("published", "train"):
            raise UserError(f"ids is {self.ids!r}, expected 'published' or 'train'.")
        faults = self.faults()
        if faults:
            more = f" ({len(faults)} such files.)" if len(faults) > 1 else ""
            raise UserError(faults[0] + more)

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the examples, in order."""
        return tuple(self.files["image"])

    @property
    def provides(self) -> tuple[str, ...]:
        """Modality names of an example."""
        return (*self.files, "name")

    @property
    def unlabelled(self) -> int:
        """The number of no label in ``labels`` and ``coarse``."""
        return NONE if self.ids == "train" else self.label_set.unlabelled

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Returns example ``index`` at its own size.

        ``image`` uint8 (H, W, 3); ``labels`` and ``coarse`` uint8 (H, W, 1); ``instance`` int32
        (H, W, 1), 0 = no object; ``name`` the name, a scalar array of dtype object.

        Raises:
            IndexError: ``index`` is out of range.
            UserError: a file is damaged, or holds a label outside the table.

        """
        name = self.names[range(len(self))[index]]
        example = {"image": pictures.read_image(self.files["image"][name])}
        for key in self.provides[1:-1]:
            path = self.files[key][name]
            example[key] = self._instances(path) if key == "instance" else self._labels(path)
        self._check_sizes(name, {key: array.shape[:2] for key, array in example.items()})
        return example | {"name": np.asarray(name, object)}

    def faults(self) -> list[str]:
        """Returns what is wrong with partners and headers, a line for each bad example."""
        with futures.ThreadPoolExecutor(_HEADER_THREADS) as pool:
            found = pool.map(self._fault, self.names)
            return [message for message in found if message]

    def _fault(self, name: str) -> str:
        try:
            sizes = {}
            for key in self.files:
                path = self.files[key].get(name)
                if path is None:
                    image = self.files["image"][name]
                    return f"{image} has no partner for {key!r}. Add the file, joined by its name."
                sizes[key] = _header(path, key)
            self._check_sizes(name, sizes)
        except UserError as error:
            return str(error)
        return ""

    def _check_sizes(self, name: str, sizes: Mapping[str, tuple[int, ...]]) -> None:
        rows, columns = sizes["image"]
        for key, (height, width) in sizes.items():
            if (height, width) != (rows, columns):
                raise UserError(
                    f"{self.files[key][name]} is {height} x {width}, but its picture "
                    f"{self.files['image'][name]} is {rows} x {columns}. Make them of one size."
                )

    def _labels(self, path: pathlib.Path) -> UInt8[np.ndarray, "H W 1"]:
        labels = pictures.read_labels(path)
        self.label_set.check(labels, str(path))
        if self.ids == "train":
            return self.label_set.to_train_ids(labels)
        return labels.astype(np.uint8)

    def _instances(self, path: pathlib.Path) -> Int32[np.ndarray, "H W 1"]:
        # A published number is id * 1000 + n for an object, and the id alone elsewhere.
        stored = pictures.read_labels(path)
        ids = np.where(stored >= 1000, stored // 1000, stored)
        self.label_set.check(ids, str(path))
        return np.where(stored >= 1000, stored, 0)


def _header(path: pathlib.Path, key: str) -> tuple[int, int]:
    """Height and width in pixels; the mode of a label map is checked on the way."""
    size = pictures.picture_size(path)
    if key in ("labels", "coarse"):
        with picture_files.opened(path) as picture:
            mode = picture.mode
        if mode.startswith(("I", "F")):
            raise UserError(
                f"{path} has more than 8 bits a pixel, expected 8-bit labels. "
                "Give the file of label ids, not of instance ids."
            )
        if mode not in ("1", "L", "P"):
            raise UserError(
                f"{path} is a colour picture (mode {mode}), expected one number a pixel. "
                "Give the file of label ids, not of colours."
            )
    return size
