"""Transforms of one example: plain callables ``(example, rng) -> example``.

Each draws its random numbers once and applies them to every spatial key, so that a picture and its
labels stay aligned; how a key is resampled is the business of its modality.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from segsynth.data import modalities
from segsynth.errors import UserError

#: ``(example, rng) -> example``; must be picklable, and must not change its argument.
Transform = Callable[[dict[str, np.ndarray], np.random.Generator], dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class CropResize:
    """Cuts a square and resamples it to ``resolution`` x ``resolution`` pixels.

    The square's side is U(scale) x the short side of the picture, rounded to pixels. Images are
    resampled by Pillow's bicubic filter (antialiased), labels and masks by `nearest`.

    Attributes:
        resolution: side of the result, in pixels.
        scale: range of the square's side as a share of the short side, 0 < low <= high <= 1.
        random: True = random side and place; False = the largest square of the range, in the
            centre.

    Raises:
        UserError: an illegal field; spatial keys of different sizes.

    """

    resolution: int
    scale: tuple[float, float] = (1.0, 1.0)
    random: bool = True

    def __post_init__(self) -> None:
        low, high = self.scale
        if self.resolution < 1 or not 0 < low <= high <= 1:
            raise UserError(
                f"CropResize got resolution {self.resolution} and scale {self.scale}; "
                "expected resolution >= 1 and 0 < low <= high <= 1."
            )

    def __call__(
        self, example: dict[str, np.ndarray], rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Returns the example with every spatial key cropped and resampled."""
        names = _spatial(example)
        height, width = _common_size(example, names)
        top, left, side = self._square(height, width, rng)
        if height == width == side == self.resolution:
            return example
        cut = {name: self._resampled(name, example[name], top, left, side) for name in names}
        return example | cut

    def _square(self, height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int]:
        # Three numbers are drawn in any case, so that later transforms do not depend on the
        # picture's shape.
        share, down, across = rng.random(3) if self.random else (1.0, 0.5, 0.5)
        low, high = self.scale
        side = max(1, round((low + share * (high - low)) * min(height, width)))
        return _place(height - side, down), _place(width - side, across), side

    def _resampled(
        self, name: str, array: np.ndarray, top: int, left: int, side: int
    ) -> np.ndarray:
        if modalities.get(name).resize == "nearest":
            return nearest(array[top : top + side, left : left + side], self.resolution)
        return bicubic(array, (left, top, left + side, top + side), self.resolution)


@dataclasses.dataclass(frozen=True)
class Resize:
    """Resamples whole pictures to one size, whatever their shape; nothing is cut off.

    Images are resampled by Pillow's bicubic filter (antialiased), labels and masks by `nearest`.

    Attributes:
        size: height and width of the result, in pixels.

    Raises:
        UserError: a size below 1; spatial keys of different sizes.

    """

    size: tuple[int, int]

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise UserError(f"Resize got the size {self.size}, expected height and width >= 1.")

    def __call__(
        self, example: dict[str, np.ndarray], rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Returns the example with every spatial key resampled; draws nothing."""
        names = _spatial(example)
        height, width = _common_size(example, names)
        if (height, width) == self.size:
            return example
        resampled = {}
        for name in names:
            if modalities.get(name).resize == "nearest":
                resampled[name] = nearest(example[name], self.size)
            else:
                resampled[name] = bicubic(example[name], (0, 0, width, height), self.size)
        return example | resampled


@dataclasses.dataclass(frozen=True)
class Flip:
    """Mirrors all spatial keys left to right, together, with probability ``p``.

    Raises:
        UserError: ``p`` outside 0..1.

    """

    p: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise UserError(f"Flip got p = {self.p}, expected a probability 0..1.")

    def __call__(
        self, example: dict[str, np.ndarray], rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Returns the example, mirrored or not."""
        if rng.random() >= self.p:
            return example
        mirrored = {
            name: np.ascontiguousarray(example[name][:, ::-1]) for name in _spatial(example)
        }
        return example | mirrored


def bicubic(
    image: UInt8[np.ndarray, "H W 3"],
    box: tuple[int, int, int, int],
    size: int | tuple[int, int],
) -> UInt8[np.ndarray, "height width 3"]:
    """Resamples the box (left, top, right, bottom) of an image, antialiased.

    ``size`` is the side of a square, or (height, width).
    """
    height, width = _height_width(size)
    picture = Image.fromarray(image)
    return np.array(picture.resize((width, height), Image.Resampling.BICUBIC, box=box))


def nearest(
    labels: Int[np.ndarray, "H W C"] | UInt8[np.ndarray, "H W C"], size: int | tuple[int, int]
) -> np.ndarray:
    """Resamples labels by pixel centres: output pixel i takes source pixel floor((i + 0.5) * s).

    s = source side / output side; in integers floor((2 i + 1) * source / (2 output)), so rounding
    cannot move a label. ``size`` is the side of a square, or (height, width).
    """
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new)
        for new, old in zip(_height_width(size), labels.shape, strict=False)
    )
    return labels[rows[:, None], columns[None, :]]


def _height_width(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _place(room: int, share: float) -> int:
    """A whole offset 0..room, each equally likely for a uniform ``share``."""
    return min(int(share * (room + 1)), room)


def _spatial(example: dict[str, np.ndarray]) -> list[str]:
    return [name for name in example if modalities.get(name).spatial]


def _common_size(example: dict[str, np.ndarray], names: list[str]) -> tuple[int, int]:
    sizes = {name: example[name].shape[:2] for name in names}
    if len(set(sizes.values())) != 1:
        found = ", ".join(f"{name} {h} x {w}" for name, (h, w) in sizes.items())
        raise UserError(
            f"The spatial keys of an example are {found or 'missing'}, expected all of one size. "
            "Give each picture labels of its own size."
        )
    return next(iter(sizes.values()))
