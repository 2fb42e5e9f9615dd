"""A refinement as a JSON file: what tuning writes, and prediction and evaluation read."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np

from segsynth.crf.heat_map import Reading
from segsynth.crf.parameters import Crf
from segsynth.crf.presets import HardLabels, Heat, Refinement
from segsynth.errors import UserError

_MODES = ("full", "pinned")
_KEYS = ("classes", "mode", "unary", "crf", "compat", "origin")


def to_json(
    refinement: Refinement, classes: Sequence[str], origin: Mapping[str, Any]
) -> dict[str, Any]:
    """A refinement as `tuned` reads it: dicts, lists, strings and numbers.

    Args:
      refinement: what to write; widths in position in pixels of an image 2048 wide.
      classes: names by class number.
      origin: where the numbers come from; kept for people, not read.

    """
    compat = refinement.compat
    return {
        "classes": list(classes),
        "mode": refinement.mode,
        "unary": dataclasses.asdict(refinement.unary),
        "crf": dataclasses.asdict(refinement.crf),
        "compat": None if compat is None else [list(row) for row in compat],
        "origin": dict(origin),
    }


def tuned(path: str | os.PathLike, classes: Sequence[str]) -> Refinement:
    """Read what `to_json` described.

    Args:
      path: the JSON file.
      classes: names by class number of whoever asks; the file must be of the same.

    Raises:
      UserError: a file that is missing or malformed, has a key that is unknown or lacks one, or
        holds the parameters of other classes.

    """
    try:
        content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"cannot read the parameters {path} ({error.strerror}); tuning writes them as "
            "<run>/<phase>/parameters.json"
        ) from error
    except ValueError as error:  # JSON, or the encoding
        raise UserError(f"{path} is no JSON file ({error})") from error
    try:
        return _refinement(content, list(classes))
    except (UserError, TypeError, ValueError) as error:
        raise UserError(f"{path}: {error}") from error


def _refinement(content: Any, classes: list[str]) -> Refinement:
    content = _section(content, "the file", _KEYS)
    if content["classes"] != classes:
        raise UserError(_difference(content["classes"], classes))
    if content["mode"] not in _MODES:
        raise UserError(f"mode is {content['mode']!r}; expected one of {', '.join(_MODES)}")
    compat = content["compat"]
    return Refinement(
        unary=_unary(content["unary"]),
        crf=Crf(**_fields(content["crf"], "crf", Crf)),
        mode=content["mode"],
        compat=None if compat is None else _penalties(compat, len(classes)),
    )


def _section(section: Any, where: str, keys: Sequence[str]) -> dict[str, Any]:
    """A section that has just these keys."""
    if not isinstance(section, dict):
        raise UserError(f"{where} is no table of names and values")
    unknown = sorted(set(section) - set(keys))
    if unknown:
        raise UserError(f"{where} has no '{unknown[0]}'; it knows {', '.join(keys)}")
    missing = [key for key in keys if key not in section]
    if missing:
        raise UserError(f"{where} lacks '{missing[0]}'")
    return section


def _fields(section: Any, where: str, kind: type) -> dict[str, Any]:
    """A section that has just the fields of a dataclass, each of the field's type."""
    types = {field.name: field.type for field in dataclasses.fields(kind)}
    section = _section(section, where, list(types))
    for name, value in section.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if types[name] is float and not number:
            raise UserError(f"{where}.{name} is {value!r}, expected a number")
        if types[name] is int and type(value) is not int:
            raise UserError(f"{where}.{name} is {value!r}, expected a whole number")
    return {k: float(v) if types[k] is float else v for k, v in section.items()}


def _unary(section: Any) -> Heat | HardLabels:
    kind = HardLabels if isinstance(section, dict) and "gt_prob" in section else Heat
    section = _fields(section, "unary", kind)
    if kind is Heat and section["reading"] not in get_args(Reading):
        raise UserError(f"unary.reading is {section['reading']!r}")
    for name, value in section.items():
        if name != "reading" and not 0 < value < np.inf:
            raise UserError(f"unary.{name} is {value!r}; a finite positive number is needed")
    return kind(**section)


def _penalties(rows: Any, count: int) -> tuple[tuple[float, ...], ...]:
    compat = np.asarray(rows, np.float64)
    if compat.shape != (count, count):
        raise UserError(f"compat of shape {compat.shape}, expected {(count, count)}")
    if not (np.isfinite(compat) & (compat >= 0)).all():
        raise UserError("compat has an entry that is negative or not finite")
    return tuple(tuple(row) for row in compat.tolist())


def _difference(theirs: Any, mine: list[str]) -> str:
    if not isinstance(theirs, list):
        return "classes is no list of names"
    if len(theirs) != len(mine):
        return f"made for {len(theirs)} classes, and this system has {len(mine)} named ones"
    number = next(i for i, pair in enumerate(zip(theirs, mine, strict=True)) if pair[0] != pair[1])
    return f"made for other classes: {number} is {theirs[number]!r} there and {mine[number]!r} here"
