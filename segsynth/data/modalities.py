"""What each key of a batch means: one table for sources, transforms, systems and pictures."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from segsynth.errors import UserError


@dataclasses.dataclass(frozen=True)
class Modality:
    """The meaning of one key.

    Attributes:
        name: the key.
        kind: "spatial" for ``(H, W, channels)``, which crops and flips; "vector" for ``(n,)``;
            "scalar" for one number per example.
        channels: size of the last axis of a spatial modality; 0 for the others.
        dtype: NumPy dtype name on the host and at the entry of a jitted step.
        low: smallest legal value.
        high: largest legal value, inclusive.
        resize: filter that changes its size; None where it has no size. All but "nearest" are
            antialiased; "area" is the mean of what a pixel covers.
        doc: one line for people.
        draw: how a picture of it is made; None for what cannot be drawn.
        default: value an example gets when it lacks the key; None = the key must be provided.
        choices: names of the values 0, 1, ... where they have names.
        cure: what a user sets to get the key when the source does not provide it.
        aliases: other names of its flag in launch/predict.py.

    """

    name: str
    kind: Literal["spatial", "vector", "scalar"]
    channels: int
    dtype: str
    low: int
    high: int
    resize: Literal["bicubic", "bilinear", "area", "nearest"] | None
    doc: str
    draw: Literal["rgb", "grey", "binary", "palette"] | None = None
    default: int | None = None
    choices: tuple[str, ...] = ()
    cure: str = "Choose a source that provides it"
    aliases: tuple[str, ...] = ()

    @property
    def spatial(self) -> bool:
        """Whether it has height and width."""
        return self.kind == "spatial"


def _spatial(name: str, channels: int, dtype: str, high: int, **more: Any) -> Modality:
    return Modality(name, "spatial", channels, dtype, 0, high, **more)


def _vector(name: str, dtype: str, high: int, **more: Any) -> Modality:
    return Modality(name, "vector", 0, dtype, 0, high, resize=None, **more)


def _scalar(name: str, dtype: str, high: int, **more: Any) -> Modality:
    return Modality(name, "scalar", 0, dtype, 0, high, resize=None, **more)


_INT32_MAX = 2**31 - 1
_LABELS = {"resize": "nearest", "draw": "palette"}
_LABELS_CURE = "Put a folder {}/ beside images/, or choose a source that has labels"
_STREET_CURE = "Choose a source that has {}, and unpack its folder of them below data.root"
_FACE_CURE = "Choose a source of faces that has {}, as 'portraits' or 'celebamask'"
_MASK_CURE = "Set data.mask to the name of a mask generator"

_TABLE = (
    _spatial("image", 3, "uint8", 255, resize="bicubic", draw="rgb", doc="RGB photograph"),
    _spatial(
        "mask",
        1,
        "uint8",
        1,
        resize="nearest",
        draw="binary",
        doc="hole mask: 1 = hole, 0 = known",
        cure=_MASK_CURE,
    ),
    # Published label maps write 255 for "void": out of range, so that nobody trains on it unawares.
    _spatial(
        "segmentation",
        1,
        "int32",
        254,
        **_LABELS,
        doc="class id of each pixel",
        cure=_LABELS_CURE.format("segmentation"),
    ),
    _spatial(
        "instance",
        1,
        "int32",
        _INT32_MAX,
        **_LABELS,
        doc="number of the object each pixel belongs to; 0 = no object",
        cure=_LABELS_CURE.format("instance"),
    ),
    # 255 is legal here: evaluation knows it as "ignore", and a coarse map as "not annotated".
    _spatial(
        "labels",
        1,
        "uint8",
        255,
        **_LABELS,
        doc="fine label of each pixel, by the label table of the source",
        cure=_STREET_CURE.format("fine labels"),
    ),
    _spatial(
        "coarse",
        1,
        "uint8",
        255,
        **_LABELS,
        doc="coarse label of each pixel: that of `labels`, or unlabelled",
        aliases=("labels",),
        cure=_STREET_CURE.format("coarse labels"),
    ),
    _spatial(
        "depth",
        1,
        "float32",
        1,
        resize="bilinear",
        draw="grey",
        doc="inverse depth: 0 = infinitely far, 1 = nearest",
        cure="Choose a source that has depth, as 'streets' or 'scenes'",
    ),
    _spatial(
        "drawing",
        1,
        "uint8",
        255,
        resize="bicubic",
        draw="grey",
        doc="line drawing: 0 = ink, 255 = paper",
        cure="Choose a source of drawings, as 'drawings', 'bsds' or 'scenes'",
    ),
    _spatial(
        "colour_drawing",
        3,
        "uint8",
        255,
        resize="bicubic",
        draw="rgb",
        doc="drawing in colours: 255 in all channels = paper",
        cure="Choose the source 'drawings' with its option colour=True",
    ),
    # One number holds all parts of a pixel, as they overlap: a mouth lies on the skin.
    _spatial(
        "parts",
        1,
        "int32",
        2**18 - 1,
        resize="nearest",
        doc="parts of the face at each pixel, hidden ones too: bit k - 1 is part k",
        cure=_FACE_CURE.format("parts"),
    ),
    _spatial(
        "guide",
        1,
        "uint8",
        255,
        resize="area",
        draw="grey",
        doc="where an attribute may show: 255 = wholly inside the guide",
        cure="Set data.guide to the name of an attribute",
    ),
    _spatial(
        "counterfactual",
        3,
        "uint8",
        255,
        resize="bicubic",
        draw="rgb",
        doc="the same person with the attribute of the guide changed",
        cure="Choose the source 'portraits': no photograph has it",
    ),
    _vector(
        "attributes",
        "int32",
        1,
        doc="whether the face has each of data.attributes",
        cure=_FACE_CURE.format("attributes"),
    ),
    _scalar("name", "object", 0, doc="what the source calls the example; text, stays on the host"),
    _scalar("mask_type", "int32", 3, doc="id of the generator that drew the mask", cure=_MASK_CURE),
    _scalar(
        "category",
        "int32",
        1,
        doc="what belongs into the hole",
        default=0,
        choices=("background", "foreground"),
    ),
    _scalar(
        "value",
        "int32",
        1,
        doc="what an attribute is set to: 1 = the face has it",
        default=1,
        choices=("0", "1"),
    ),
    _scalar(
        "strength",
        "float32",
        1,
        doc="how much of an edit is made, from 0 = nothing to 1 = all of it",
        default=1,
    ),
    _scalar(
        "attribute",
        "int32",
        39,
        doc="which attribute of a face is edited, by its name",
        cure="Set data.guide to the names of several attributes, parted by commas",
    ),
    _vector(
        "landmarks",
        "float32",
        2**20,
        doc="x y of a face's landmarks in px: 68 in iBUG's order, or eyes, nose, mouth's corners",
    ),
    _scalar(
        "subject",
        "int32",
        254,
        doc="class id of what the picture is of",
        cure="Choose a source that has it, as 'scenes' or 'fivek'",
    ),
    _scalar("index", "int32", _INT32_MAX, doc="position of the example in its source"),
    _scalar("valid", "float32", 1, doc="0 = padding of the last evaluation batch, 1 = an example"),
)

#: Every modality by name.
MODALITIES: Mapping[str, Modality] = {modality.name: modality for modality in _TABLE}


def get(name: str) -> Modality:
    """Returns the modality called ``name``.

    Raises:
        UserError: there is none of that name.

    """
    if name not in MODALITIES:
        raise UserError(f"Unknown modality {name!r}. Known: {', '.join(MODALITIES)}.")
    return MODALITIES[name]


def check_provided(needs: Sequence[str], provides: Sequence[str], who: str, source: str) -> None:
    """Checks before anything is read or compiled that a source gives what its reader needs.

    Args:
        needs: modality names that ``who`` reads; those with a default are never missing.
        provides: modality names of the examples, transforms included.
        who: name of the reader, e.g. ``"inpaint_c2f"``.
        source: name of the source, e.g. ``"folder"``.

    Raises:
        UserError: names what is missing and how to get the first of them.

    """
    missing = [name for name in needs if name not in provides and get(name).default is None]
    if missing:
        raise UserError(
            f"{who} needs {', '.join(missing)}; source {source!r} provides "
            f"{', '.join(provides) or 'nothing'}. {get(missing[0]).cure}."
        )


def check(batch: Mapping[str, Any], names: Sequence[str], resolution: int | None = None) -> None:
    """Checks presence, rank, dtype and channels of arrays with a leading batch axis.

    Args:
        batch: arrays (NumPy or JAX): ``(B, H, W, channels)`` if spatial, ``(B, n)`` for a vector,
            else ``(B,)``.
        names: the modalities that must be there; other keys are not looked at.
        resolution: height and width of the spatial ones, in pixels; None = any.

    Raises:
        UserError: names the first key that differs, what it is and what it should be.

    """
    for name in names:
        if name not in batch:
            raise UserError(
                f"The batch lacks {name!r}; it has {', '.join(batch) or 'nothing'}. "
                f"{get(name).cure}."
            )
        _check_array(get(name), batch[name], resolution)


def _check_array(modality: Modality, array: Any, resolution: int | None) -> None:
    side = "*" if resolution is None else resolution
    shapes = {"spatial": ("*", side, side, modality.channels), "vector": ("*", "*")}
    expected = shapes.get(modality.kind, ("*",))
    same_rank = len(array.shape) == len(expected)
    fits = same_rank and all(
        want in ("*", got) for want, got in zip(expected, array.shape, strict=True)
    )
    if not fits or np.dtype(array.dtype) != np.dtype(modality.dtype):
        wanted = f"{modality.dtype}[{', '.join(map(str, expected))}]"
        found = f"{np.dtype(array.dtype).name}[{', '.join(map(str, array.shape))}]"
        raise UserError(
            f"Batch key {modality.name!r} is {found}, expected {wanted}. "
            "Convert it in the source or in a transform."
        )


def check_range(name: str, array: np.ndarray, *, high: int | None = None, where: Any = "") -> None:
    """Checks on the host that all values are legal: inside a jitted step, bad labels go unnoticed.

    (``jax.nn.one_hot`` maps 255 to zeros, and an index of -1 wraps to the last class.)

    Args:
        name: modality name.
        array: values, any shape.
        high: largest legal value, inclusive, instead of the table's; ``classes - 1`` for labels.
        where: what the message calls the array, e.g. a path; its name by default.

    Raises:
        UserError: names the first illegal value and the legal range.

    """
    modality = get(name)
    top = modality.high if high is None else high
    bad = array[~((array >= modality.low) & (array <= top))]
    if bad.size:
        raise UserError(
            f"{where or name} holds the value {bad.flat[0]} ({bad.size} of {array.size} values are "
            f"outside {modality.low}..{top}). Map such values (void is often 255 or -1) to legal "
            "ones."
        )
