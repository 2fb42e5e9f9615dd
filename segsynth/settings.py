"""Config sections to keyword arguments: the typed signature of a constructor is the schema of its
section.
"""

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

from segsynth.errors import UserError

T = TypeVar("T")


def configure(constructor: Callable[..., T], section: Mapping[str, Any], where: str) -> T:
    """Call ``constructor`` with the keys of a config section; lists become tuples, as JSON loses
    the difference.

    Raises :class:`UserError` for a key that the constructor does not take (with the nearest name
    that it does), for one that it needs and does not get, for a value outside the ``Literal`` that
    annotates it, and for one that the constructor refuses with ``ValueError``.
    """
    known = inspect.signature(constructor).parameters
    for key, value in section.items():
        if key not in known:
            raise UserError(unknown(key, known, where))
        choices = get_args(known[key].annotation)
        if get_origin(known[key].annotation) is Literal and value not in choices:
            raise UserError(f"{where}.{key} is {value!r}; expected one of {choices}")
        if (wanted := _mismatch(known[key].annotation, value)) is not None:
            raise UserError(f"{where}.{key} is {value!r}; expected {wanted}")
    missing = [name for name, p in known.items() if p.default is p.empty and name not in section]
    if missing:
        raise UserError(f"{where} lacks {', '.join(missing)}; set {where}.{missing[0]}")
    try:
        return constructor(**{key: _tuples(value) for key, value in section.items()})
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error


def _mismatch(annotation: Any, value: Any) -> str | None:
    """What a plain annotation wants where ``value`` is something else; ``None`` where it fits."""
    if get_origin(annotation) is tuple and isinstance(value, str):
        return "a tuple, as in ('a',)"  # a string would be taken letter by letter
    accepted = {int: (int,), float: (int, float), str: (str,)}.get(annotation)
    if accepted is None or (isinstance(value, accepted) and not isinstance(value, bool)):
        return None
    return {int: "a whole number", float: "a number", str: "text"}[annotation]


def unknown(name: str, known: Any, where: str) -> str:
    """Return the one-line message for a name that is not among ``known``."""
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"it knows {', '.join(sorted(known))}"
    return f"{where} has no '{name}'; {hint}"


def merge(*sections: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections laid over each other, later ones on top; nested sections are merged,
    other values replaced.
    """
    merged: dict[str, Any] = {}
    for section in sections:
        for key, value in section.items():
            nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
            merged[key] = merge(merged[key], value) if nested else value
    return merged


def _tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _tuples(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_tuples(item) for item in value)
    return value
