"""How users want their drawings: the options of prediction, and what is done to a finished one."""

import dataclasses
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

from segsynth.errors import UserError
from segsynth.networks.any_side import MULTIPLE, SMALLEST
from segsynth.vector.strokes import strokes
from segsynth.vector.svg import svg

Statistics = Literal["exact", "fast"]
Film = Literal["", "first", "all"]


def _option(default: Any, text: str) -> Any:
    return dataclasses.field(default=default, metadata={"help": text})


@dataclasses.dataclass(frozen=True)
class Manner:
    """The options; their defaults give the drawing as the network makes it."""

    size: int = _option(0, "shorter side of the drawing in px; 0 = that of the photograph")
    tile: int = _option(0, "draw in parts of so many px, for large pictures; 0 = as a whole")
    statistics: Statistics = _option(
        "exact", "with --tile: of the whole picture, or of a copy of 1024 px, which is faster"
    )
    film: Film = _option(
        "",
        "the folder is a film: normalise all frames by the first one, or by their mean",
    )
    ink: float = _option(1.0, "exponent of the grey levels: above 1 lines grow darker, below paler")
    invert: bool = _option(False, "light lines on black; colours become their complements")
    alpha: bool = _option(False, "write the drawing as the alpha channel of its ink")
    svg: bool = _option(False, "write the middle of the lines as SVG too, beside the PNG")
    shortest: float = _option(0.0, "with --svg: leave out lines that end freely before so many px")

    def checked(self) -> "Manner":
        """Return the same.

        Raises:
            UserError: a number outside its range, an option without the one it belongs to.

        """
        if self.size and self.size < SMALLEST:
            raise UserError(f"size is {self.size} px; expected {SMALLEST} or more, or 0")
        if self.tile < 0 or self.tile % MULTIPLE:
            raise UserError(f"tile is {self.tile} px; expected a multiple of {MULTIPLE}")
        if self.statistics != "exact" and not self.tile:
            raise UserError("statistics are those of the whole picture unless tile is set; set it")
        if not self.ink > 0:
            raise UserError(f"ink is {self.ink:g}; expected a number above 0")
        if self.shortest < 0 or (self.shortest and not self.svg):
            raise UserError(f"shortest is {self.shortest:g} px; expected 0 or more, with svg")
        return self


def finished(drawing: UInt8[np.ndarray, "h w c"], manner: Manner) -> dict[str, Any]:
    """Return ``drawing`` as it is written, and ``svg`` where it is wanted, which is for grey ones.

    As alpha channel, ``drawing`` is uint8 (h, w, 4): ink, black if the drawing is grey, as opaque
    as it is far from paper, so that over paper it is the drawing again.
    """
    levels = np.rint(255 * (np.arange(256) / 255) ** manner.ink).astype(np.uint8)[drawing]
    colour, opacity = _ink(levels) if manner.alpha else (levels, levels[..., :0])
    colour = 255 - colour if manner.invert else colour
    answer: dict[str, Any] = {"drawing": np.concatenate([colour, opacity], axis=-1)}
    if manner.svg:
        ink, paper = ("white", "black") if manner.invert else ("black", "white")
        lines = strokes(levels, shortest=manner.shortest)
        answer["svg"] = svg(lines, levels.shape[:2], ink=ink, paper="" if manner.alpha else paper)
    return answer


def _ink(
    drawing: UInt8[np.ndarray, "h w c"],
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 1"]]:
    """Return colour and opacity of the ink that makes a drawing of white paper, as little of it as
    will do.
    """
    paper = drawing.min(axis=-1, keepdims=True)
    opacity = 255 - paper
    colour = np.rint((drawing - paper) * 255.0 / np.maximum(opacity, 1)).astype(np.uint8)
    return np.broadcast_to(colour, (*drawing.shape[:2], 3)), opacity
