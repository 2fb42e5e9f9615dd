"""Reads the figures of a paper: ``paper``, ``table``, ``columns`` and ``rows`` of numbers."""

import importlib.resources
import json
from typing import Any

from segsynth.errors import UserError
from segsynth.settings import unknown


def figures(paper: str) -> dict[str, Any]:
    """Return what is stored of a paper.

    ``rows`` is row -> column -> figure, ``None`` where the paper prints none.

    Raises:
        UserError: there is nothing of that name.

    """
    folder = importlib.resources.files("segsynth.papers")
    known = sorted(file.name[:-5] for file in folder.iterdir() if file.name.endswith(".json"))
    if paper not in known:
        raise UserError(unknown(paper, known, "segsynth.papers"))
    stored = json.loads((folder / f"{paper}.json").read_text(encoding="utf-8"))
    rows = {
        name: dict(zip(stored["columns"], row, strict=True)) for name, row in stored["rows"].items()
    }
    return {**stored, "rows": rows}
