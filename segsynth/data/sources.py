"""Sources of examples by name: random-access sequences that say which modalities they give."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from segsynth.errors import UserError

# The validation scenes start far behind any training scene: the two never meet.
_VAL_START = 10_000_000


@runtime_checkable
class Source(Protocol):
    """A random-access sequence of examples; picklable, because worker processes get a copy."""

    @property
    def provides(self) -> tuple[str, ...]:
        """Modality names of an example."""

    def __len__(self) -> int:
        """Number of examples."""

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Example ``index``: name -> array without a batch axis; the same at every call."""


def build(data_config: Any, split: str) -> Source:
    """Builds the source that ``data_config["source"]`` names.

    Args:
        data_config: mapping or ConfigDict with ``source``; for "scenes" and "streets" also
            ``resolution``, ``length``, ``eval_length``, ``seed``, for the latter optionally
            ``frame`` (height, width) and ``ids``; for "folder" also ``root`` and, optionally,
            ``min_side``, ``on_error``, ``val_share``; for "cityscapes" and "camvid" ``root`` and,
            optionally, ``ids``; with ``make_coarse``, coarse labels are made from the fine ones
            (`segsynth.data.coarsened.Coarsened`). Other keys are not looked at.
        split: "train" or "val"; a folder also has "all", CamVid "all" and "test", Cityscapes
            "test" and "train_extra".

    Raises:
        UserError: an unknown source or split, a key that the source needs, or what the source
            itself finds wrong.

    """
    name = _required(data_config, "source")
    if name not in REGISTRY:
        raise UserError(f"Unknown data.source {name!r}. Known: {', '.join(REGISTRY)}.")
    source = REGISTRY[name](data_config, split)
    return _coarsened(source, data_config) if data_config.get("make_coarse") else source


def _coarsened(source: Any, config: Any) -> Source:
    from segsynth.data.coarsened import Coarsened

    return Coarsened(source, config.get("seed") or 0)


def _scenes(config: Any, split: str) -> Source:
    from segsynth.data.worlds import scenes

    if split not in ("train", "val"):
        raise UserError(f"Source 'scenes' has no split {split!r}, expected 'train' or 'val'.")
    train = split == "train"
    return scenes.Scenes(
        size=_required(config, "resolution"),
        length=_required(config, "length" if train else "eval_length"),
        seed=_required(config, "seed"),
        start=0 if train else _VAL_START,
    )


def _streets(config: Any, split: str) -> Source:
    from segsynth.data.worlds import streets

    if split not in ("train", "val"):
        raise UserError(f"Source 'streets' has no split {split!r}, expected 'train' or 'val'.")
    train = split == "train"
    height, width = config.get("frame") or (_required(config, "resolution"),) * 2
    return streets.Streets(
        height=height,
        width=width,
        length=_required(config, "length" if train else "eval_length"),
        seed=_required(config, "seed"),
        start=0 if train else _VAL_START,
        ids=config.get("ids") or "published",
    )


def _folder(config: Any, split: str) -> Source:
    from segsynth.data import folder

    options = {k: config[k] for k in ("min_side", "on_error", "val_share") if k in config}
    if not config.get("root"):
        raise UserError("no folder of pictures is set; give it with --config.data_root=DIR")
    return folder.Folder(config["root"], split, **options)


def _camvid(config: Any, split: str) -> Source:
    from segsynth.data.layouts.camvid import camvid

    return camvid(_root(config), split, config.get("ids") or "published")


def _cityscapes(config: Any, split: str) -> Source:
    from segsynth.data.layouts.cityscapes import cityscapes

    return cityscapes(_root(config), split, config.get("ids") or "published")


def _root(config: Any) -> Any:
    if not config.get("root"):
        raise UserError(
            f"no folder of {config['source']} is set; give it with --config.data_root=DIR"
        )
    return config["root"]


def _required(config: Any, key: str) -> Any:
    value = config.get(key)
    if value is None or value == "":
        source = config.get("source") or "any source"
        raise UserError(f"data.{key} is not set, and {source!r} needs it. Set it in the config.")
    return value


#: Source name -> ``(data_config, split) -> Source``.
REGISTRY: Mapping[str, Callable[[Any, str], Source]] = {
    "scenes": _scenes,
    "folder": _folder,
    "streets": _streets,
    "camvid": _camvid,
    "cityscapes": _cityscapes,
}
