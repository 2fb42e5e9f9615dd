"""A blind two-choice study that a team can run: pages to show, a key to keep, votes to count.

Each question shows a photograph and two drawings of it. Which method is left is drawn by chance,
left as often as right, and stands in the key alone, a file beside the folder of the pages. The
page works without a server and without a network; a rater saves a CSV file of votes.
"""

import csv
import html
import importlib.resources
import json
import logging
import math
import pathlib
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from segsynth.data import pictures
from segsynth.drawings.side_by_side import joined
from segsynth.engine.run import read_json, write_json
from segsynth.errors import UserError

log = logging.getLogger(__name__)

#: As Choi and Lee (2023) asked.
QUESTION = "Which line drawing expresses the original photo in more detail and more realistically?"
_SIDES = ("1", "2")
_COLUMNS = ("kit", "rater", "question", "choice")


def make_kit(
    photos: str | PathLike,
    base: str | PathLike,
    ours: str | PathLike,
    output: str | PathLike,
    *,
    count: int = 0,
    seed: int = 0,
    question: str = QUESTION,
) -> pathlib.Path:
    """Write the pages and, as ``<output>.key.json``, the key; return the key's path.

    Args:
        photos: folder of photographs.
        base: folder of one method's drawings.
        ours: folder of the other one's; all three join by path without suffix.
        output: a new folder, ``index.html`` and ``pictures/``, to hand out.
        count: how many questions, chosen by chance; 0 = all pictures.
        seed: of what is left to chance: order, sides, and which pictures.
        question: what is asked.

    Raises:
        UserError: a picture without partners, drawings of two sizes, a folder that is there
            already, a negative ``count``.

    """
    if count < 0:
        raise UserError(f"count is {count}; expected how many questions, or 0 for all pictures")
    output = pathlib.Path(output)
    if output.exists():
        raise UserError(f"{output} is there already, perhaps with votes on it; give another folder")
    triples = joined(photos, base, ours)
    _check_sizes(triples)
    random = np.random.default_rng(seed)
    stems = random.permutation(sorted(triples))[: count or None].tolist()
    left = random.permutation(np.arange(len(stems)) % 2).tolist()
    kit = f"{np.random.default_rng().integers(2**32):08x}"
    questions = []
    (output / "pictures").mkdir(parents=True)
    for i, (stem, ours_first) in enumerate(zip(stems, left, strict=True), start=1):
        photo, *drawings = triples[stem]
        names = ("ours", "base") if ours_first else ("base", "ours")
        files = (photo, *(drawings[("base", "ours").index(name)] for name in names))
        for file, kind in zip(files, ("photo", *_SIDES), strict=True):
            # Written anew: a copied file could tell by its name, its date or its metadata.
            pictures.write_png(
                output / "pictures" / f"{i:04d}_{kind}.png", pictures.read_image(file)
            )
        questions.append({"picture": stem, **dict(zip(_SIDES, names, strict=True))})
    (output / "index.html").write_text(_page(kit, question, len(questions)), encoding="utf-8")
    key = output.with_name(f"{output.name}.key.json")
    write_json(key, {"kit": kit, "question": question, "seed": seed, "questions": questions})
    log.info("wrote %s to hand out, and %s to keep", output / "index.html", key)
    return key


def _check_sizes(triples: Mapping[str, tuple[pathlib.Path, ...]]) -> None:
    """Refuse drawings that their sizes would tell apart."""
    for _, base, ours in triples.values():
        (a, b), (c, d) = (pictures.picture_size(file) for file in (base, ours))
        if (a, b) != (c, d):
            raise UserError(
                f"{base} is {b}x{a} px and {ours} {d}x{c}; draw both in one size, or raters see "
                "which is which"
            )


def _page(kit: str, question: str, count: int) -> str:
    text = (
        importlib.resources.files("segsynth.drawings").joinpath("choices.html").read_text("utf-8")
    )
    values = {"KIT": json.dumps(kit), "COUNT": str(count), "QUESTION": html.escape(question)}
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


class Tally(NamedTuple):
    """Votes for ``ours``: how many of ``votes``, their share and its 95 % interval."""

    ours: int
    votes: int
    share: float
    low: float
    high: float
    raters: int
    questions: int


def tally(key: str | PathLike, votes: Sequence[str | PathLike]) -> Tally:
    """Count the votes of CSV files against a key.

    The interval is Wilson's (JASA 1927), which takes votes as independent: raters who vote on many
    pictures, and pictures many vote on, make it too narrow.

    Raises:
        UserError: a file that is no file of votes, votes on another kit, a choice that is none, a
            rater who votes twice on a question.

    """
    answers = read_json(pathlib.Path(key))
    if not isinstance(answers, Mapping) or "questions" not in answers:
        raise UserError(f"{key} is no key of a kit; give the .key.json beside its folder")
    rows = [row for file in votes for row in _rows(pathlib.Path(file), answers)]
    if not rows:
        raise UserError("the files hold no votes; a rater saves them at the end of the page")
    _check_once(rows)
    won = sum(answers["questions"][int(r["question"]) - 1][r["choice"]] == "ours" for r in rows)
    low, high = wilson(won, len(rows))
    raters, asked = (len({row[name] for row in rows}) for name in ("rater", "question"))
    return Tally(won, len(rows), won / len(rows), low, high, raters, asked)


def _rows(file: pathlib.Path, key: Mapping[str, Any]) -> list[dict[str, str]]:
    if not file.is_file():
        raise UserError(f"no file of votes {file}; check the path")
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        if tuple(reader.fieldnames or ()) != _COLUMNS:
            raise UserError(
                f"{file} is no file of votes; expected the columns {','.join(_COLUMNS)}"
            )
        rows = list(reader)
    for number, row in enumerate(rows, start=2):
        asked = row["question"] or ""
        if row["kit"] != key["kit"]:
            raise UserError(f"{file} votes on kit {row['kit']}; the key is of {key['kit']}")
        known = asked.isdigit() and 1 <= int(asked) <= len(key["questions"])
        if not known or row["choice"] not in _SIDES:
            raise UserError(
                f"{file}, line {number}: question '{asked}', choice '{row['choice']}'; expected 1 "
                f"to {len(key['questions'])} and 1 or 2"
            )
    return rows


def _check_once(rows: Sequence[Mapping[str, str]]) -> None:
    seen = set()
    for row in rows:
        vote = row["rater"], row["question"]
        if vote in seen:
            raise UserError(
                f"'{vote[0]}' votes twice on question {vote[1]}; remove one of the files"
            )
        seen.add(vote)


def wilson(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Return Wilson's score interval of a share, 95 % by default."""
    share, weight = successes / trials, z**2 / trials
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / trials + weight / (4 * trials))
    return max(0.0, middle - half), min(1.0, middle + half)
