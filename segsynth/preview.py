"""A contact sheet: random examples with all they have, so that a person sees that they are right.

Labels have the colours of their label set, or else those of PASCAL VOC; white is "unlabelled".
"""

import contextlib
import logging
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Integer, Shaped, UInt8

from segsynth.data import modalities, pictures, sources
from segsynth.data.captions import caption
from segsynth.data.label_sets import CELEBAMASK, NONE
from segsynth.data.sources import Source
from segsynth.data.transforms import Resize
from segsynth.engine import images
from segsynth.errors import UserError

_GAP = 4
_log = logging.getLogger(__name__)
#: Mean width of a letter of a caption, in pixels.
_LETTER = 6
_WHITE = np.uint8(255)
#: World -> options without which it does not render all that it can.
_FULLY: Mapping[str, Mapping[str, Any]] = {"portraits": {"guide": "Mouth_Slightly_Open"}}


def preview(
    data_set: str,
    path: str,
    *,
    root: str = "",
    split: str = "",
    options: Mapping[str, Any] | None = None,
    rows: int = 6,
    seed: int = 0,
    size: int = 256,
) -> None:
    """Writes a contact sheet of a world, a layout, a folder or prepared data as PNG.

    Args:
        data_set: its name.
        path: of the picture.
        root: folder of what is no world.
        split: "" = the first one that is there.
        options: keywords of the world or layout.
        rows: how many examples.
        seed: which ones.
        size: width of a column, and of a world's pictures, in pixels.

    Raises:
        UserError: an unknown data set, what it finds wrong, a folder that does not exist.

    """
    source = _source(data_set, root, split, dict(options or {}), size)
    indices = np.random.default_rng(seed).choice(len(source), min(rows, len(source)), replace=False)
    pictures.write_png(path, sheet(source, indices.tolist(), size))


def sheet(source: Source, indices: Sequence[int], width: int = 256) -> UInt8[np.ndarray, "H W 3"]:
    """Lays examples out: a captioned column a modality, each example's name and text below it.

    Args:
        source: whose ``label_set``, ``ids``, ``unlabelled`` and ``attribute_names`` are followed
            where it has them.
        indices: which examples, a row each.
        width: of a column, in pixels.

    Raises:
        UserError: nothing that can be drawn; what the source finds wrong.

    """
    keys = [key for key in source.provides if key == "parts" or modalities.get(key).draw]
    if not keys or not indices:
        raise UserError(f"{source} has nothing to draw; it provides {', '.join(source.provides)}.")
    strips = [_row([caption(_title(key), width) for key in keys])]
    for index in indices:
        example = source[index]
        height, across = example[keys[0]].shape[:2]
        sized = {key: example[key] for key in keys}
        sized = Resize((max(1, round(height * width / across)), width))(
            sized, np.random.default_rng(0)
        )
        strips.append(_row([drawn(key, sized[key], source) for key in keys]))
        strips += _text(source, example, index, strips[0].shape[1])
    return np.concatenate(strips)


def drawn(
    key: str,
    array: Integer[np.ndarray, "h w c"] | Float32[np.ndarray, "h w c"],
    source: Source | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Returns a modality in colours.

    Args:
        key: its name.
        array: as the modality says.
        source: whose label set gives the colours of ``labels`` and ``coarse``; None = VOC's.

    """
    modality = modalities.get(key)
    if key == "parts":
        return _merged(array[..., 0])
    if modality.draw == "rgb":
        return array
    if modality.draw == "palette":
        numbers = array[..., 0].astype(np.int64)
        return _colours(key, source)[_folded(numbers) if key == "instance" else numbers % 256]
    scale = 255 if modality.high == 1 else 1
    return np.repeat(np.rint(array * scale).clip(0, 255).astype(np.uint8), 3, axis=-1)


def _source(data_set: str, root: str, split: str, options: dict[str, Any], size: int) -> Source:
    config = {"source": data_set, "root": root, "options": options, "resolution": size}
    config |= {"length": 1_000_000, "eval_length": 10_000, "seed": 0}
    if data_set in sources.WORLDS and "provides" not in options:
        config["options"] = {**_FULLY.get(data_set, {}), **options}
        config["options"] |= _everything(config, split or "train")
    first, *others = [split] if split else sources.splits_of(data_set)
    try:
        return sources.build(config, first)
    except UserError as error:
        for other in others:
            with contextlib.suppress(UserError):
                source = sources.build(config, other)
                _log.warning("drawn: the split %r, as %s", other, error)
                return source
        raise error


def _everything(config: Mapping[str, Any], split: str) -> dict[str, Any]:
    """The option that has a world render all that it can: it is asked for one after the other."""
    can = []
    for key in modalities.MODALITIES:
        asked = config | {"options": {**config["options"], "provides": (key,)}}
        try:
            sources.build(asked, split)[0]
        except (KeyError, UserError):
            continue
        can.append(key)
    return {"provides": tuple(can)} if can else {}


def _title(key: str) -> str:
    return f"{key} (white: unlabelled)" if key in ("labels", "coarse") else key


def _colours(key: str, source: Source | None) -> np.ndarray:
    colours, table = images.palette(), getattr(source, "label_set", None)
    if key in ("labels", "coarse"):
        if table is not None:
            train = getattr(source, "ids", "published") == "train"
            colours = table.train_palette() if train else table.palette()
        colours = colours.copy()
        colours[getattr(source, "unlabelled", NONE)] = _WHITE
    return colours


def _folded(numbers: np.ndarray) -> np.ndarray:
    """Any numbers as 1..255, so that no object is black as "no object" is."""
    return np.where(numbers == 0, 0, (numbers - 1) % 255 + 1)


def _merged(parts: Shaped[np.ndarray, "h w"]) -> np.ndarray:
    """The mean of the colours of the parts at each pixel."""
    names = CELEBAMASK.classes[1:]
    bits = parts[..., None] >> np.arange(len(names)) & 1
    total = bits @ np.array([row.colour for row in names])
    return (total // np.maximum(bits.sum(-1, keepdims=True), 1)).astype(np.uint8)


def _row(cells: Sequence[np.ndarray]) -> np.ndarray:
    gap = np.full((cells[0].shape[0], _GAP, 3), _WHITE)
    return np.concatenate([part for cell in cells for part in (cell, gap)][:-1], axis=1)


def _text(
    source: Source, example: Mapping[str, np.ndarray], index: int, width: int
) -> list[np.ndarray]:
    """The example's name, its numbers by their names, and the attributes that it has."""
    words = [str(example.get("name", f"example {index}"))]
    for key, value in example.items():
        modality = modalities.get(key)
        if key == "attributes":
            names = getattr(source, "attribute_names", ()) or map(str, range(value.size))
            words.append(", ".join(n for n, has in zip(names, value, strict=True) if has))
        elif modality.kind == "scalar" and key != "name":
            words.append(f"{key} {modality.choices[value] if modality.choices else value}")
    lines = textwrap.wrap("   ".join(words), max(1, width // _LETTER)) or [""]
    return [caption(line, width) for line in lines]
