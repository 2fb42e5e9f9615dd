"""The levels of the cascade: their static settings, by default those of 256, 512 and 1024 px."""

import dataclasses
import itertools
from typing import Literal

from segsynth.diffusion.schedules import ScaledLinear, Schedule, ShiftedCosine
from segsynth.errors import UserError


@dataclasses.dataclass(frozen=True)
class Level:
    """One level of the pyramid.

    ``side``: image side in px. ``guidance``: scale of classifier-free guidance when sampling.
    ``gain``: factor of what the category rows add inside the network, in training and sampling.
    ``shift``: shift of the log-SNR. ``consistency``: weight of the upsampling-consistency loss.
    ``t_start``: time at which sampling starts.
    """

    index: int
    side: int
    patch: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    attention: tuple[int, ...]
    steps: int
    guidance: float
    gain: float
    shift: float
    remat: bool
    consistency: float
    t_start: float

    @property
    def multiple(self) -> int:
        """Sides of this level's inputs must be multiples of this."""
        return self.patch * 2 ** (len(self.widths) - 1)

    def schedule(self, kind: Literal["cosine", "sd"]) -> Schedule:
        """Return the noise schedule: cosine with this level's shift, or the scaled-linear table of
        Stable Diffusion.
        """
        return ShiftedCosine(self.shift) if kind == "cosine" else ScaledLinear()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Levels:
    """All levels as parallel tuples, as a config states them; lowest level first."""

    res: tuple[int, ...] = (256, 512, 1024)
    patch: tuple[int, ...] = (2, 2, 4)
    widths: tuple[tuple[int, ...], ...] = (
        (128, 256, 512, 768),
        (64, 128, 256, 512, 512),
        (96, 192, 384, 512),
    )
    blocks: tuple[tuple[int, ...], ...] = ((2, 2, 2, 2), (1, 2, 2, 2, 2), (1, 2, 2, 2))
    attn_grids: tuple[tuple[int, ...], ...] = ((64, 32, 16), (64, 32, 16), (64, 32))
    steps: tuple[int, ...] = (60, 40, 30)
    cfg: tuple[float, ...] = (3.0, 2.0, 1.5)
    gain: tuple[float, ...] = (1.0, 0.75, 0.5)
    shift: tuple[float, ...] = (-2.77, -1.39, -1.39)
    remat: tuple[bool, ...] = (True, True, True)
    up: tuple[float, ...] = (0.05, 0.1, 0.1)
    t_start: tuple[float, ...] = (1.0, 1.0, 1.0)

    def __post_init__(self):
        """Refuse unequal lengths, sides that do not double, and scales that do not fall."""
        for field in dataclasses.fields(self):
            length = len(getattr(self, field.name))
            if length != len(self.res):
                raise UserError(
                    f"levels.{field.name} has {length} entries for {len(self.res)} levels; "
                    "give one a level"
                )
        for low, high in itertools.pairwise(self.res):
            if high != 2 * low:
                raise UserError(
                    f"levels.res goes from {low} to {high}; each level doubles the one below"
                )
        for name in ("cfg", "gain"):
            values = getattr(self, name)
            if any(high >= low for low, high in itertools.pairwise(values)):
                raise UserError(
                    f"levels.{name} = {values} does not fall; guidance must weaken from each "
                    "level to the next"
                )

    def build(self) -> tuple[Level, ...]:
        """Return one :class:`Level` a level.

        Raises :class:`UserError` when a side cannot pass through its network.
        """
        rows = zip(*(getattr(self, f.name) for f in dataclasses.fields(self)), strict=True)
        levels = tuple(Level(i, *row) for i, row in enumerate(rows, start=1))
        for level in levels:
            if level.side % level.multiple:
                raise UserError(
                    f"levels.res {level.side} is not a multiple of {level.multiple}, which "
                    f"patch {level.patch} "
                    f"and {len(level.widths)} widths need"
                )
        return levels
