"""Guides: which parts of a face an attribute's edit may touch, by the names of the parts.

A guide is the union of regions, and a region a union of parts, widened or cut. The table serves
the procedural portraits and CelebAMask-HQ alike; take the parts one by one, not from a merged map,
where hair that hides a lip would cut the guide (Yang, Han, Moon 2020, section 3).
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from scipy import ndimage

from segsynth.data.label_sets import CELEBAMASK
from segsynth.errors import UserError

#: Side in px at which `Region.dilate` is given; it scales with the picture.
REFERENCE = 128
#: Pixels that a part covers by less are not widened; a thin rim covers hardly any by half.
_THIN = 0.25

Coverage = Float32[np.ndarray, "height width"]
_PARTS = tuple(row.name for row in CELEBAMASK.classes[1:])


@dataclasses.dataclass(frozen=True)
class Region:
    """A union of parts, widened, and cut by a horizontal line.

    Attributes:
        parts: names of `CELEBAMASK`; a face may lack some or all of them.
        dilate: by how many px at 128 x 128 they are widened.
        direction: "all" = by a disc; "down" = downwards only.
        above: keep the rows above the middle of these parts; where there are none, all rows.
        below: keep the rows below these parts.

    Raises:
        UserError: an unknown part, no part, a negative width.

    """

    parts: tuple[str, ...]
    dilate: float = 0.0
    direction: Literal["all", "down"] = "all"
    above: tuple[str, ...] = ()
    below: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = sorted({*self.parts, *self.above, *self.below} - set(_PARTS))
        if unknown or not self.parts or self.dilate < 0 or self.direction not in ("all", "down"):
            raise UserError(
                f"{self} is no region of a face{': unknown ' + unknown[0] if unknown else ''}; "
                f"expected parts of {', '.join(_PARTS)}, dilate >= 0, direction all or down."
            )


Guide = tuple[Region, ...]

_LIPS = ("u_lip", "mouth", "l_lip")
_EYES = ("l_eye", "r_eye")
_BROWS = ("l_brow", "r_brow")
_EARS = ("l_ear", "r_ear")
_BARE = ("skin", "nose", *_EARS, "neck")
_FACE = ("skin", "nose", "eye_g", *_EYES, *_BROWS, *_EARS, *_LIPS)


def _each(names: Sequence[str], *regions: Region) -> dict[str, Guide]:
    return dict.fromkeys(names, regions)


#: Guide by attribute of CelebAMask-HQ; more may be added. Those of `WHOLE_FACE` suit losses that
#: forgive a large guide only, as the set difference does.
GUIDES: dict[str, Guide] = {
    **_each(("Mouth_Slightly_Open", "Wearing_Lipstick", "Big_Lips"), Region(_LIPS)),
    **_each(("Smiling",), Region(_LIPS, dilate=6.0)),  # cheeks move
    # Removing needs the glasses; adding them to a bare face needs the place where they go.
    **_each(("Eyeglasses",), Region(("eye_g",)), Region((*_EYES, *_BROWS), dilate=10.0)),
    **_each(
        ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair", "Straight_Hair", "Wavy_Hair"),
        Region(("hair",)),
    ),
    **_each(
        ("Bangs", "Bald", "Receding_Hairline"), Region(("hair",)), Region(("skin",), above=_BROWS)
    ),
    **_each(("Wearing_Hat",), Region(("hat", "hair"), dilate=8.0)),
    **_each(("Bushy_Eyebrows", "Arched_Eyebrows"), Region(_BROWS)),
    **_each(("Narrow_Eyes",), Region(_EYES)),
    **_each(("Bags_Under_Eyes",), Region(_EYES, dilate=8.0, direction="down")),
    **_each(("Big_Nose", "Pointy_Nose"), Region(("nose",), dilate=4.0)),
    **_each(
        ("Mustache", "Goatee", "No_Beard", "5_o_Clock_Shadow", "Sideburns"),
        Region(("skin", *_LIPS), below=("nose",)),
    ),
    **_each(("Pale_Skin", "Rosy_Cheeks"), Region(_BARE)),
    **_each(("Heavy_Makeup", "Young", "Male"), Region((*_FACE, "neck"))),
    **_each(("Wearing_Earrings",), Region(("ear_r", *_EARS))),
    **_each(("Wearing_Necklace",), Region(("neck_l", "neck"))),
    **_each(("Wearing_Necktie",), Region(("cloth", "neck"))),
}

#: Attributes whose guide is nearly all of the face.
WHOLE_FACE = ("Pale_Skin", "Rosy_Cheeks", "Heavy_Makeup", "Young", "Male")


def names(text: str) -> tuple[str, ...]:
    """Return the attributes of ``data.guide``, which are parted by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def places(wanted: Sequence[str], known: Sequence[str]) -> tuple[int, ...]:
    """Return the places of attributes among those of a source.

    Raises:
        UserError: one that the source does not have.

    """
    for name in wanted:
        if name not in known:
            raise UserError(
                f"data.guide names {name}, and examples have the attributes {', '.join(known)}; "
                "set it to one of these, or add it to data.options.attributes"
            )
    return tuple(known.index(name) for name in wanted)


def get(attribute: str) -> Guide:
    """Returns the guide of an attribute, one of `GUIDES`.

    Raises:
        UserError: there is none.

    """
    if attribute not in GUIDES:
        raise UserError(
            f"There is no guide for {attribute!r}; there are some for {', '.join(GUIDES)}. "
            "Name its parts in segsynth.data.guides.GUIDES, as in (Region(('hair',), dilate=4.0),)."
        )
    return GUIDES[attribute]


def draw(guide: Guide, parts: Mapping[str, Coverage]) -> UInt8[np.ndarray, "height width 1"]:
    """Draws a guide.

    Args:
        guide: the regions.
        parts: coverage of the pixels, 0..1, by the name of the part, at least one; a part that
            the face lacks may be missing. Widths scale with the height of the arrays.

    Returns:
        Coverage by the guide, 0..255; all 0 where the face lacks every part.

    """
    shape = next(iter(parts.values())).shape
    union = np.zeros(shape, np.float32)
    for region in guide:
        np.maximum(union, _region(region, parts, shape), out=union)
    return np.rint(union * 255.0).astype(np.uint8)[..., None]


def _region(region: Region, parts: Mapping[str, Coverage], shape: tuple[int, int]) -> Coverage:
    found = _union(region.parts, parts, shape)
    radius = region.dilate * shape[0] / REFERENCE
    if radius and found.any():
        widen = _down if region.direction == "down" else _around
        found = np.maximum(found, widen(found >= _THIN, radius))
    rows = np.arange(shape[0], dtype=np.float32)[:, None] + np.float32(0.5)
    if (above := _union(region.above, parts, shape)).any():
        middle = np.average(rows[:, 0], weights=above.sum(axis=1))
        found = found * np.clip(middle - rows + 0.5, 0.0, 1.0).astype(np.float32)
    if (below := _union(region.below, parts, shape)).any():
        lowest = np.flatnonzero((below >= 0.5).any(axis=1)).max(initial=-1) + 1
        found = found * (rows > lowest)
    return found


def _union(names: Sequence[str], parts: Mapping[str, Coverage], shape: tuple[int, int]) -> Coverage:
    union = np.zeros(shape, np.float32)
    for name in names:
        if name in parts:
            np.maximum(union, parts[name], out=union)
    return union


def _around(inside: Bool[np.ndarray, "height width"], radius: float) -> Coverage:
    """Widened by a disc, with an antialiased edge."""
    out = np.zeros(inside.shape, np.float32)
    if not inside.any():
        return out
    margin = math.ceil(radius) + 1
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    box = tuple(slice(max(0, at[0] - margin), at[-1] + 1 + margin) for at in (rows, columns))
    # The edge of the parts lies half a pixel outside the last centre.
    distance = ndimage.distance_transform_edt(~inside[box])
    out[box] = np.clip(radius + 1.0 - distance, 0.0, 1.0)
    return out


def _down(inside: Bool[np.ndarray, "height width"], radius: float) -> Coverage:
    """Widened downwards, with an antialiased edge."""
    rows = np.arange(inside.shape[0], dtype=np.float32)[:, None]
    last = np.maximum.accumulate(np.where(inside, rows, -np.inf), axis=0)
    return np.clip(radius + 1.0 - (rows - last), 0.0, 1.0).astype(np.float32)
