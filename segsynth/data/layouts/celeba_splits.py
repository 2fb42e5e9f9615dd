"""Which of the 30,000 pictures of CelebA-HQ are for training: three conventions, or lists.

The release has no split. Its authors point to CelebA's (switchablenorms/CelebAMask-HQ, issue 19):
a picture belongs where its original does. They are looked up by file number, 1..162770 / ..182637 /
..202599 in list_eval_partition.txt; the authors' g_partition.py compares the index, which counts
from 0, with limits that count from 1, and so puts a picture on a limit into the split before.
"""

import pathlib
from collections.abc import Mapping, Sequence

from segsynth.data.layouts import numbered, trees
from segsynth.data.layouts.celeba_tables import original_numbers
from segsynth.errors import UserError

COUNT = 30_000
SPLITS = ("train", "val", "test", "all")
MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"
#: Pictures of each split, by the partition. "celeba": as their originals, no person in two splits.
#: "msagan": by number, in the sizes that the paper states; a reconstruction, and persons are in
#: several splits. "inpainting": by number, as is usual in inpainting.
PUBLISHED: Mapping[str, Mapping[str, int]] = {
    "celeba": {"train": 24_183, "val": 2_993, "test": 2_824},
    "msagan": {"train": 20_000, "val": 5_000, "test": 5_000},
    "inpainting": {"train": 28_000, "val": 2_000},
}
#: The last file of each split of CelebA, counted from 1.
LAST_ORIGINAL: Mapping[str, int] = {"train": 162_770, "val": 182_637, "test": 202_599}


def choose(
    root: pathlib.Path,
    found: Mapping[int, pathlib.Path],
    split: str,
    partition: str,
    lists: str = "",
) -> dict[int, pathlib.Path]:
    """Returns the pictures of a split by number.

    Args:
        root: the folder of the mapping file.
        found: all pictures by number.
        split: "train", "val", "test" or "all".
        partition: a key of `PUBLISHED`.
        lists: folder of <split>.txt, which replace the partition: one file name a line. Relative to
            ``root``.

    Raises:
        UserError: an unknown split or partition, a split that the partition lacks, a bad table or
            list, no picture.

    """
    if split == "all":
        return numbered.choose(root, split, found, range(COUNT), COUNT)
    if lists:
        return _listed(root / lists / f"{split}.txt", found, root)
    if partition not in PUBLISHED:
        raise UserError(f"partition is {partition!r}, expected one of {', '.join(PUBLISHED)}.")
    sizes = PUBLISHED[partition]
    if split not in sizes:
        raise UserError(
            f"The partition {partition!r} has no split {split!r}, expected one of "
            f"{', '.join(sizes)}. Choose another partition."
        )
    wanted = _by_original(root, found) if partition == "celeba" else _by_number(sizes)
    return numbered.choose(root, split, found, wanted[split], sizes[split])


def original_split(number: int) -> str:
    """Returns the split of CelebA to which file ``number``, counted from 1, belongs.

    Raises:
        UserError: CelebA has no such file.

    """
    for split, last in LAST_ORIGINAL.items():
        if 1 <= number <= last:
            return split
    raise UserError(f"CelebA has no picture {number}, expected 1..{LAST_ORIGINAL['test']}.")


def _by_original(root: pathlib.Path, found: Mapping[int, pathlib.Path]) -> dict[str, Sequence[int]]:
    path = root / MAPPING
    originals = original_numbers(path)
    lost = [number for number in found if number not in originals]
    if lost:
        raise UserError(
            f"{path} has no row for {found[lost[0]]} ({len(lost)} such). Copy the table again."
        )
    numbers: dict[str, list[int]] = {split: [] for split in LAST_ORIGINAL}
    for number, original in sorted(originals.items()):
        numbers[original_split(original)].append(number)
    return dict(numbers)


def _by_number(sizes: Mapping[str, int]) -> dict[str, Sequence[int]]:
    numbers: dict[str, Sequence[int]] = {}
    start = 0
    for split, size in sizes.items():
        numbers[split] = range(start, start + size)
        start += size
    return numbers


def _listed(
    path: pathlib.Path, found: Mapping[int, pathlib.Path], folder: pathlib.Path
) -> dict[int, pathlib.Path]:
    stems = [pathlib.PurePosixPath(line).stem for line in trees.listed(path)]
    named = {str(number): number for number in found}
    picked = trees.pick(named, [stem.lstrip("0") or "0" for stem in stems], path, folder)
    return {number: found[number] for number in picked.values()}
