"""Which pictures of a folder are for training and which for validation."""

import hashlib
import pathlib
from collections.abc import Sequence

from segsynth.data.text_files import read_lines
from segsynth.errors import UserError

SPLITS = ("train", "val", "all")


def choose(root: pathlib.Path, stems: Sequence[str], split: str, val_share: float) -> list[str]:
    """Returns the stems of one split, in the order of ``stems``.

    ``train.txt`` and ``val.txt`` in ``root`` decide where they exist (one stem a line; with only
    one of them, the other split is the rest). Without them a hash of the stem does, so that a
    picture keeps its split when others come or go.

    Args:
        root: folder of the lists.
        stems: every picture's path below the picture folder, without suffix.
        split: "train", "val" or "all".
        val_share: about which share of the pictures goes to "val" when there are no lists, 0 <=
            share < 1.

    Raises:
        UserError: an unreadable list, a listed stem without a picture, a stem in both lists, an
            unknown split, an illegal share.

    """
    if split not in SPLITS or not 0 <= val_share < 1:
        raise UserError(
            f"Got split {split!r} and val_share {val_share}; "
            f"expected one of {', '.join(SPLITS)} and 0 <= val_share < 1."
        )
    if split == "all":
        return list(stems)
    validation = _listed_validation(root, stems)
    if validation is None:
        validation = _hashed_validation(stems, val_share)
    if split == "val":
        return [stem for stem in stems if stem in validation]
    training = _listed(root / "train.txt", stems)
    return [s for s in stems if s not in validation and (training is None or s in training)]


def _listed_validation(root: pathlib.Path, stems: Sequence[str]) -> set[str] | None:
    training = _listed(root / "train.txt", stems)
    validation = _listed(root / "val.txt", stems)
    if validation is None:
        return None if training is None else set(stems) - training
    both = sorted(validation & (training or set()))
    if both:
        raise UserError(
            f"{both[0]} is listed in train.txt and in val.txt of {root} ({len(both)} such), "
            "expected in one. Delete it from one of them."
        )
    return validation


def _listed(path: pathlib.Path, stems: Sequence[str]) -> set[str] | None:
    if not path.is_file():
        return None
    listed = [line.strip() for line in read_lines(path)]
    listed = [stem for stem in listed if stem]
    known = set(stems)
    lost = [stem for stem in listed if stem not in known]
    if lost:
        raise UserError(
            f"{path} lists {lost[0]} ({len(lost)} such), for which there is no picture. "
            "Expected paths below the picture folder without suffix; correct the list."
        )
    return set(listed)


def _hashed_validation(stems: Sequence[str], share: float) -> set[str]:
    if share == 0 or len(stems) < 2:
        return set()
    chosen = {stem for stem in stems if _uniform(stem) < share}
    return chosen or {min(stems, key=_uniform)}  # a small folder has something to validate on too


def _uniform(stem: str) -> float:
    """A number in [0, 1) that depends on the text only; Python's `hash` differs between runs."""
    return int.from_bytes(hashlib.sha256(stem.encode()).digest()[:8], "big") / 2**64
