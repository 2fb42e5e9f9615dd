"""All faults of a data set at once: partners, headers, pixels, ranges, sizes."""

import collections
import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from concurrent import futures

import numpy as np

from segsynth.data import modalities, picture_files
from segsynth.data.layouts.joined import Joined
from segsynth.data.sources import Source
from segsynth.errors import UserError

_LABELS = ("labels", "coarse", "segmentation")


@dataclasses.dataclass(frozen=True)
class Finding:
    """What one example is like.

    Attributes:
        faults: a line each, the file first.
        size: height and width in pixels; None where nothing could be read.
        labels: ids that occur, by modality.
        modes: format and mode of the files, by modality, as "PNG L".

    """

    faults: tuple[str, ...]
    size: tuple[int, int] | None
    labels: Mapping[str, frozenset[int]]
    modes: Mapping[str, str]


@dataclasses.dataclass
class Report:
    """What the examples of a split are like.

    Attributes:
        split: its name.
        examples: how many.
        faults: a line each.
        sizes: height and width -> examples.
        labels: modality -> ids that occur.
        modes: modality -> format and mode -> files.

    """

    split: str
    examples: int = 0
    faults: list[str] = dataclasses.field(default_factory=list)
    sizes: collections.Counter[tuple[int, int]] = dataclasses.field(
        default_factory=collections.Counter
    )
    labels: dict[str, set[int]] = dataclasses.field(default_factory=dict)
    modes: dict[str, collections.Counter[str]] = dataclasses.field(default_factory=dict)

    def add(self, finding: Finding) -> None:
        """Counts an example in."""
        self.examples += 1
        self.faults += finding.faults
        if finding.size is not None:
            self.sizes[finding.size] += 1
        for key, ids in finding.labels.items():
            self.labels.setdefault(key, set()).update(ids)
        for key, mode in finding.modes.items():
            self.modes.setdefault(key, collections.Counter())[mode] += 1

    def lines(self) -> list[str]:
        """Returns a summary for people."""
        head = f"{self.split}: {self.examples} examples, {len(self.faults)} faults"
        files = [
            f"  {key}: {', '.join(f'{n} {mode}' for mode, n in sorted(modes.items()))}"
            for key, modes in self.modes.items()
        ]
        ids = [f"  ids in {key}: {_ranges(found)}" for key, found in self.labels.items()]
        return [head, *([f"  size: {_span(self.sizes)}"] if self.sizes else []), *files, *ids]


def check(
    source: Source, split: str, *, jobs: int = 1, advance: Callable[[], object] = lambda: None
) -> Report:
    """Reads every example of a source.

    Args:
        source: a `Joined` made within `joined.unchecked` has all of its files looked at; of any
            other, an example ends with its first fault.
        split: its name, for the report.
        jobs: threads; decoding runs outside Python's lock.
        advance: called after each example.

    """
    look = inspect_files if isinstance(source, Joined) else inspect_example
    report = Report(split)
    with futures.ThreadPoolExecutor(jobs) as pool:
        try:
            for finding in pool.map(lambda index: look(source, index), range(len(source))):
                report.add(finding)
                advance()
        finally:
            pool.shutdown(cancel_futures=True)
    return report


def inspect_files(source: Joined, index: int) -> Finding:
    """Reads every file of an example, whatever is wrong with the others."""
    name = source.names[index]
    headers, arrays, modes = source.header_faults(name), {}, {}
    faults = list(headers.values())
    for key, reader in source.readers.items():
        if name not in source.files[key]:
            continue
        entry = source.files[key][name]
        paths = reader.paths(entry)
        where = str(paths[0]) if paths else f"{key!r} of {name}"
        try:
            arrays[key] = reader.read(entry)
            faults += _range_faults(key, arrays[key], where)
            modes[key] = ", ".join(sorted({_mode(path) for path in paths}))
        except UserError as error:
            faults += [] if key in headers else [str(error)]  # a line a file is enough
    return _finding(faults, arrays, {key: mode for key, mode in modes.items() if mode})


def inspect_example(source: Source, index: int) -> Finding:
    """Reads an example of any source."""
    try:
        example = source[index]
    except UserError as error:
        return Finding((str(error),), None, {}, {})
    where = str(example.get("name", f"example {index}"))
    arrays = {key: value for key, value in example.items() if key != "name"}
    faults = [fault for key in arrays for fault in _range_faults(key, arrays[key], where)]
    return _finding(faults, arrays, {})


def strays(sources: Mapping[str, Joined]) -> list[str]:
    """Returns a line for each modality that has files of no example in any of the splits."""
    named = {name for source in sources.values() for name in source.names}
    found: dict[str, dict[str, str]] = {}
    for source in sources.values():
        for key, entries in source.files.items():
            for name in entries.keys() - named:
                paths = source.readers[key].paths(entries[name])
                found.setdefault(key, {})[name] = str(paths[0]) if paths else name
    return [
        f"{len(lost)} {key} belong to no example of {', '.join(sources)}, as {min(lost.values())}"
        for key, lost in found.items()
    ]


def _finding(
    faults: list[str], arrays: Mapping[str, np.ndarray], modes: Mapping[str, str]
) -> Finding:
    sizes = [a.shape[:2] for key, a in arrays.items() if modalities.get(key).spatial]
    # As 32-bit numbers: NumPy finds the ids of bytes several times slower.
    found = {key: arrays[key].astype(np.int32) for key in _LABELS if key in arrays}
    labels = {key: frozenset(np.unique(array).tolist()) for key, array in found.items()}
    return Finding(tuple(faults), sizes[0] if sizes else None, labels, modes)


def _range_faults(key: str, array: np.ndarray, where: str) -> list[str]:
    try:
        modalities.check({key: array[None]}, (key,))
        modalities.check_range(key, array)
    except UserError as error:
        return [f"{where}: {error}"]
    return []


def _mode(path: pathlib.Path) -> str:
    try:
        with picture_files.opened(path) as picture:
            return f"{picture.format} {picture.mode}"
    except UserError:  # it was read, so it is no picture: a table, strokes
        return path.suffix


def _span(sizes: collections.Counter[tuple[int, int]]) -> str:
    small, large = min(sizes, key=_area), max(sizes, key=_area)
    if small == large:
        return f"{small[0]} x {small[1]}"
    return f"{small[0]} x {small[1]} to {large[0]} x {large[1]}, {len(sizes)} different"


def _area(size: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    return size[0] * size[1], size


def _ranges(ids: set[int]) -> str:
    """Numbers as "0..3, 7"."""
    runs: list[list[int]] = []
    for number in sorted(ids):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}..{high}" for low, high in runs)
