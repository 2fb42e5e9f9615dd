"""A plain folder of pictures as a source, with label maps beside them if there are any."""

import dataclasses
import logging
import os
import pathlib
from concurrent import futures

import numpy as np

from segsynth.data import modalities, pictures, splits
from segsynth.errors import UserError

_LABELS = ("segmentation", "instance")
_HEADER_THREADS = 8
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Folder:
    """Pictures below ``root/images/``, or anywhere below ``root`` where there is no such folder.

    ``root/segmentation/`` and ``root/instance/`` hold label maps, joined by stem: the path below
    the folder without its suffix. `splits.choose` says what belongs to a split. All headers are
    read when the source is made; a file that turns out damaged later is, with ``on_error="skip"``,
    replaced by the next one, so that the position in the data stays a function of the step.

    Attributes:
        root: the folder.
        split: "train", "val" or "all".
        min_side: pictures whose short side is smaller are left out, in pixels.
        on_error: "raise" names the first bad file; "skip" logs and leaves out.
        val_share: share of validation pictures where no list says which.
        stems: the stems of the examples, in order.

    Raises:
        UserError: nothing to read, two pictures of one stem, a label map that is missing or of
            another size, a bad file, an illegal field.

    """

    root: str | os.PathLike[str]
    split: str = "train"
    min_side: int = 0
    on_error: str = "raise"
    val_share: float = 0.1
    stems: tuple[str, ...] = dataclasses.field(init=False, repr=False)
    _files: dict[str, dict[str, pathlib.Path]] = dataclasses.field(
        init=False, repr=False, compare=False
    )
    _reported: set[str] = dataclasses.field(
        init=False, repr=False, compare=False, default_factory=set
    )

    def __post_init__(self) -> None:
        if self.on_error not in ("raise", "skip"):
            raise UserError(f"on_error is {self.on_error!r}, expected 'raise' or 'skip'.")
        object.__setattr__(self, "_files", _find(pathlib.Path(self.root)))
        everything = list(self._files["image"])
        chosen = splits.choose(pathlib.Path(self.root), everything, self.split, self.val_share)
        self._require_labels(chosen)
        sizes = self._sizes(chosen)
        large = tuple(stem for stem in sizes if min(sizes[stem]) >= self.min_side)
        self._report_kept(len(everything), len(sizes), len(large))
        object.__setattr__(self, "stems", large)

    @property
    def provides(self) -> tuple[str, ...]:
        """Modality names of an example."""
        return tuple(self._files)

    def __len__(self) -> int:
        return len(self.stems)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Returns example ``index`` at its own size: image uint8 (H, W, 3), labels int32 (H, W, 1).

        Raises:
            IndexError: ``index`` is out of range.
            UserError: the file is damaged (with "skip": every file is).

        """
        first = range(len(self))[index]
        if self.on_error == "raise":
            return self._read(self.stems[first])
        for stem in self.stems[first:] + self.stems[:first]:
            try:
                return self._read(stem)
            except UserError as error:
                self._report_skipped(stem, error)
        raise UserError(
            f"None of the {len(self)} pictures of {self.root} can be read. Copy them again."
        )

    def _read(self, stem: str) -> dict[str, np.ndarray]:
        example = {"image": pictures.read_image(self._files["image"][stem])}
        for name in self.provides[1:]:
            example[name] = pictures.read_labels(self._files[name][stem])
            modalities.check_range(name, example[name], where=self._files[name][stem])
        return example

    def _require_labels(self, stems: list[str]) -> None:
        for name in self.provides[1:]:
            lost = [stem for stem in stems if stem not in self._files[name]]
            if lost:
                raise UserError(
                    f"{self._files['image'][lost[0]]} has no label map {lost[0]}.* in "
                    f"{pathlib.Path(self.root, name)} ({len(lost)} such). "
                    f"Add it, or rename the folder {name}/ to do without."
                )

    def _sizes(self, stems: list[str]) -> dict[str, tuple[int, int]]:
        """Sizes of the readable pictures, from their headers."""
        with futures.ThreadPoolExecutor(_HEADER_THREADS) as pool:
            answers = dict(zip(stems, pool.map(self._size, stems), strict=True))
        bad = [answer for answer in answers.values() if isinstance(answer, UserError)]
        if bad and self.on_error == "raise":
            raise UserError(f"{bad[0]} (on_error='skip' leaves such files out: {len(bad)} here.)")
        if bad:
            _log.warning("Left out %d files: %s", len(bad), " | ".join(map(str, bad)))
        return {k: answer for k, answer in answers.items() if not isinstance(answer, UserError)}

    def _size(self, stem: str) -> tuple[int, int] | UserError:
        try:
            sizes = {name: pictures.picture_size(self._files[name][stem]) for name in self._files}
        except UserError as error:
            return error
        for name, (height, width) in sizes.items():
            if (height, width) != sizes["image"]:
                rows, columns = sizes["image"]
                return UserError(
                    f"{self._files[name][stem]} is {height} x {width}, but its picture "
                    f"{self._files['image'][stem]} is {rows} x {columns}. Make them of one size."
                )
        return sizes["image"]

    def _report_kept(self, found: int, readable: int, kept: int) -> None:
        if kept == 0 and readable > 0:
            raise UserError(
                f"All {readable} pictures of {self.root} have a side below min_side = "
                f"{self.min_side} pixels. Choose a lower resolution (pictures are never enlarged)."
            )
        if kept == 0:
            raise UserError(
                f"No picture of {self.root} is left for the split {self.split!r} of {found} found. "
                "Add pictures, or a train.txt and val.txt that name the stems of each split."
            )
        if kept < readable:
            _log.warning(
                "%s: kept %d of %d pictures with both sides >= %d pixels",
                *(self.root, kept, readable, self.min_side),
            )

    def _report_skipped(self, stem: str, error: UserError) -> None:
        if stem not in self._reported:
            self._reported.add(stem)
            _log.warning("The next picture stands in for a bad one: %s", error)


def _find(root: pathlib.Path) -> dict[str, dict[str, pathlib.Path]]:
    """Files by modality and stem; "image" comes first."""
    images = root / "images" if (root / "images").is_dir() else root
    labels = {name: root / name for name in _LABELS if (root / name).is_dir()}
    found = pictures.list_pictures(images)
    if images == root:
        found = [p for p in found if p.relative_to(root).parts[0] not in labels]
    if not found:
        raise UserError(
            f"{images} holds no pictures, expected *{', *'.join(pictures.SUFFIXES)} in it or its "
            "subfolders. Check the path."
        )
    files = {"image": _by_stem(images, found)}
    return files | {
        name: _by_stem(folder, pictures.list_pictures(folder)) for name, folder in labels.items()
    }


def _by_stem(folder: pathlib.Path, paths: list[pathlib.Path]) -> dict[str, pathlib.Path]:
    files: dict[str, pathlib.Path] = {}
    for path in paths:
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in files:
            raise UserError(
                f"{files[stem]} and {path} have one stem, expected different ones. Rename one."
            )
        files[stem] = path
    return files
