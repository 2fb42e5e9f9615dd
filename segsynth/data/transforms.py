"""Transforms of one example: plain callables ``(example, rng) -> example``.

Each draws its random numbers once and applies them to every spatial key, so that a picture and its
labels stay aligned; how a key is resampled is the business of its modality.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Int, Shaped, UInt8
from PIL import Image

from segsynth.data import modalities
from segsynth.data.label_sets import CELEBAMASK
from segsynth.errors import UserError

_FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
}
#: ``(example, rng) -> example``; must be picklable, and must not change its argument.
Transform = Callable[[dict[str, np.ndarray], np.random.Generator], dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class CropResize:
    """Cuts a square and resamples it to ``resolution`` x ``resolution`` pixels.

    The square's side is U(scale) x the short side of the picture, rounded to pixels. Each key is
    resampled by the filter of its modality: `filtered` or `nearest`.

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
        box = (left, top, left + side, top + side)
        return example | {n: _resampled(n, example[n], box, self.resolution) for n in names}

    def _square(self, height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int]:
        # Three numbers are drawn in any case, so that later transforms do not depend on the
        # picture's shape.
        share, down, across = rng.random(3) if self.random else (1.0, 0.5, 0.5)
        low, high = self.scale
        side = max(1, round((low + share * (high - low)) * min(height, width)))
        return _place(height - side, down), _place(width - side, across), side


@dataclasses.dataclass(frozen=True)
class Resize:
    """Resamples whole pictures to one size, whatever their shape; nothing is cut off.

    Each key is resampled by the filter of its modality: `filtered` or `nearest`.

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
        box = (0, 0, width, height)
        return example | {n: _resampled(n, example[n], box, self.size) for n in names}


@dataclasses.dataclass(frozen=True)
class Flip:
    """Mirrors all spatial keys left to right, together, with probability ``p``.

    Attributes:
        p: probability.
        swaps: pairs of class ids that change places in a mirror, as the left and the right eye
            do, in ``labels``, ``coarse`` and ``segmentation``. The bits of ``parts`` change places
            in any case, by `CELEBAMASK`.

    Raises:
        UserError: ``p`` outside 0..1.

    """

    p: float = 0.5
    swaps: tuple[tuple[int, int], ...] = ()

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
        for name in ("labels", "segmentation", "coarse"):
            if name in mirrored and self.swaps:
                mirrored[name] = _swapped_ids(mirrored[name], self.swaps)
        if "parts" in mirrored:
            mirrored["parts"] = _swapped_bits(mirrored["parts"], CELEBAMASK.mirrored)
        return example | mirrored


def _swapped_ids(labels: np.ndarray, swaps: tuple[tuple[int, int], ...]) -> np.ndarray:
    table = np.arange(256, dtype=labels.dtype)
    for left, right in swaps:
        table[[left, right]] = table[[right, left]]
    return table[labels]


def _swapped_bits(parts: np.ndarray, swaps: tuple[tuple[int, int], ...]) -> np.ndarray:
    for left, right in swaps:
        differs = (parts >> (left - 1) ^ parts >> (right - 1)) & 1
        parts = parts ^ (differs << (left - 1) | differs << (right - 1))
    return parts


def _resampled(
    name: str, array: np.ndarray, box: tuple[int, int, int, int], size: int | tuple[int, int]
) -> np.ndarray:
    """The box (left, top, right, bottom) of one key at ``size``, by the filter of its modality."""
    method = modalities.get(name).resize
    if method == "nearest":
        left, top, right, bottom = box
        return nearest(array[top:bottom, left:right], size)
    return filtered(array, box, size, method)


def filtered(
    image: Shaped[np.ndarray, "H W C"],
    box: tuple[int, int, int, int],
    size: int | tuple[int, int],
    method: str = "bicubic",
) -> Shaped[np.ndarray, "height width C"]:
    """Resamples the box (left, top, right, bottom) of a picture by a filter of Pillow, antialiased.

    Args:
        image: uint8 of 1 or 3 channels, or float32 of 1.
        box: in pixels.
        size: the side of a square, or (height, width).
        method: "bicubic", "bilinear" or "area", the mean of what an output pixel covers.

    """
    height, width = _height_width(size)
    picture = Image.fromarray(image if image.shape[-1] == 3 else image[..., 0])
    resized = np.array(picture.resize((width, height), _FILTERS[method], box=box))
    return resized if resized.ndim == 3 else resized[..., None]


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
