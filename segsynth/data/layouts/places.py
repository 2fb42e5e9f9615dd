"""Places365 (Places2) in the trees of its archives, of torchvision, and in the "easy format".

    ROOT/data_256[_standard]/a/airfield/00000001.jpg ...    ROOT/{val,test}_256/<name>.jpg
    ROOT/data_large[_standard]/...                          ROOT/{val,test}_large/<name>.jpg
    ROOT/data_{256,large}_challenge/...                     ROOT/{val,test}_{256,large}/<name>.jpg
    ROOT/[places365_standard/]{train,val}/<category>/<name>.jpg
    [ROOT/places365_{train_standard,train_challenge,val,test}.txt]

256 x 256 pixels, or with a short side of at most 512 ("large"). Where the file list of a split is
there, in ROOT or in the folder of its archive, it says which pictures belong to the split. Zhou et
al. 2017; the layout as in torchvision's Places365.
"""

import dataclasses
import logging
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping

from segsynth.data import pictures
from segsynth.data.layouts import trees
from segsynth.data.layouts.joined import SCAN_LIMIT, Joined
from segsynth.data.layouts.readers import Photo
from segsynth.errors import UserError

#: Pictures of each split, and of the challenge's training set.
PUBLISHED: Mapping[str, int] = {"train": 1_803_460, "val": 36_500, "test": 328_500}
CHALLENGE_TRAIN = 8_026_628
_SMALL = {"val": ("val_256",), "test": ("test_256",)}
_LARGE = {"val": ("val_large",), "test": ("test_large",)}
#: Variant -> split -> its folder, by whichever of its names is there.
_TREES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "256": {"train": ("data_256_standard", "data_256")} | _SMALL,
    "large": {"train": ("data_large_standard", "data_large")} | _LARGE,
    "256_challenge": {"train": ("data_256_challenge",)} | _SMALL,
    "large_challenge": {"train": ("data_large_challenge",)} | _LARGE,
    "easyformat": {
        "train": ("places365_standard/train", "train"),
        "val": ("places365_standard/val", "val"),
    },
}
_ARCHIVES = ("", "filelist_places365-standard", "filelist_places365-challenge")
_CHALLENGE = "places365_train_challenge.txt"
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class Below(Mapping[str, pathlib.Path]):
    """Paths by name, made when they are asked for: those of millions of files fill the memory.

    Attributes:
        folder: where the files are.
        stems: paths below it without the suffix .jpg; the values say nothing.

    """

    folder: pathlib.Path
    stems: Mapping[str, None]

    def __getitem__(self, name: str) -> pathlib.Path:
        if name not in self.stems:
            raise KeyError(name)
        return self.folder / f"{name}.jpg"

    def __iter__(self) -> Iterator[str]:
        return iter(self.stems)

    def __len__(self) -> int:
        return len(self.stems)

    def __contains__(self, name: object) -> bool:
        return name in self.stems


def places(root: str | os.PathLike[str], split: str = "train", *, variant: str = "") -> Joined:
    """Opens one split.

    With more than `segsynth.data.layouts.joined.SCAN_LIMIT` pictures, as in "train", headers are
    left to `Joined.faults`: reading those of 1.8 million takes minutes.

    Args:
        root: the folder that holds data_256/, val_256/, ..., or one of these folders.
        split: "train", "val" or "test".
        variant: "256", "large", "256_challenge", "large_challenge" or "easyformat" (256 pixels, no
            "test"); "" = the one whose training pictures are there, or else any.

    Returns:
        A source of ``image`` and ``name``, the path below the split's folder without suffix.

    Raises:
        UserError: no such tree, split or variant, several variants and none named, a listed picture
            that is missing, what `Joined` refuses.

    """
    trees.check_split("places", split, PUBLISHED)
    root, variant = _unpacked(pathlib.Path(root), variant)
    folder = next(iter(_folders(root, variant, split)), None)
    if folder is None:
        names = " nor ".join(_TREES[variant].get(split, ())) or f"a split {split!r}"
        raise UserError(f"{root} has the variant {variant!r}, but not {names}. Unpack it there.")
    stems = _stems(folder)
    trees.check_found(stems, f"{folder} holds no <name>.jpg")
    listed = _file_list(root, variant, split)
    if listed is not None:
        stems = trees.pick(stems, _listed(listed), listed, folder)
    challenge = variant.endswith("challenge") or (listed and listed.name == _CHALLENGE)
    published = CHALLENGE_TRAIN if challenge and split == "train" else PUBLISHED[split]
    trees.report_count(root, split, len(stems), published)
    return Joined(
        {"image": Below(folder, stems)}, {"image": Photo()}, scan=len(stems) <= SCAN_LIMIT
    )


def _unpacked(root: pathlib.Path, variant: str) -> tuple[pathlib.Path, str]:
    """The folder that holds those of the splits, and which variant it is."""
    if variant and variant not in _TREES:
        raise UserError(f"variant is {variant!r}, expected one of {', '.join(_TREES)}.")
    wanted = [variant] if variant else list(_TREES)
    if any(_folders(root, name) for name in wanted):
        return root, _only(root, wanted)
    inside = [name for name in wanted if root in _folders(root.parent, name)]
    if inside:
        return root.parent, _only(root.parent, inside)
    raise UserError(
        f"{root} is no Places365 tree{f' of the variant {variant!r}' if variant else ''}: it holds "
        f"none of {', '.join(_names(wanted))}. Check the path."
    )


def _only(root: pathlib.Path, variants: list[str]) -> str:
    there = [name for name in variants if _folders(root, name)]
    trained = [name for name in there if _folders(root, name, "train")] or there
    kinds = {tuple(_folders(root, name)): name for name in reversed(trained)}
    if len(kinds) > 1:
        raise UserError(
            f"{root} holds the variants {' and '.join(reversed(kinds.values()))}. "
            "Say which with data.options.variant."
        )
    return next(iter(kinds.values()))


def _folders(root: pathlib.Path, variant: str, split: str = "") -> list[pathlib.Path]:
    """The folders of a variant that are there, those of one split or of all."""
    tree = _TREES[variant]
    names = tree.get(split, ()) if split else (name for part in tree.values() for name in part)
    return [root / name for name in names if (root / name).is_dir()]


def _names(variants: Iterable[str]) -> list[str]:
    return [f"{names[0]}/" for v in variants for s, names in _TREES[v].items() if s == "train"]


def _stems(folder: pathlib.Path) -> dict[str, None]:
    """Paths of all .jpg below a folder without the suffix, sorted; one walk, on plain text."""
    found: list[str] = []
    start = len(str(folder)) + 1
    for parent, files in pictures.walk(folder):
        below = f"{parent}{os.sep}"[start:].replace(os.sep, "/")
        found += [f"{below}{name[:-4]}" for name in files if name.endswith(".jpg")]
    return dict.fromkeys(sorted(found))


def _file_list(root: pathlib.Path, variant: str, split: str) -> pathlib.Path | None:
    names = [f"places365_{split}.txt"]
    if split == "train":
        names = [_CHALLENGE] if "challenge" in variant else ["places365_train_standard.txt"]
        names += [_CHALLENGE] if variant in ("256", "large") else []
    if variant == "easyformat":
        return None
    paths = (root / archive / name for name in names for archive in _ARCHIVES)
    return next((path for path in paths if path.is_file()), None)


def _listed(path: pathlib.Path) -> list[str]:
    """The names of a list of lines "/a/airfield/00000001.jpg 0"; the number is the category."""
    return [line.split()[0].lstrip("/").removesuffix(".jpg") for line in trees.listed(path)]
