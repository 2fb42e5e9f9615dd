"""Sources of examples by name: random-access sequences that say which modalities they give."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from segsynth.data.layouts.registry import LAYOUTS
from segsynth.errors import UserError
from segsynth.settings import configure

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
    """Builds the source that ``data_config["source"]`` names: a world, a folder or a data set.

    Args:
        data_config: mapping or ConfigDict with ``source``; for a world (`WORLDS`) also
            ``resolution``, ``length``, ``eval_length``, ``seed``; for "streets" optionally
            ``frame`` (height, width) and ``ids``; for "folder" also ``root`` and, optionally,
            ``min_side``, ``on_error``, ``val_share``; for a published data set
            (`segsynth.data.layouts.registry.LAYOUTS`) and for prepared data (`PREPARED`,
            `segsynth.data.records`) ``root`` and, optionally, ``ids``. Keywords
            that one world or data set alone has are in ``options``. With ``make_coarse``, coarse
            labels are made from the fine ones (`segsynth.data.coarsened.Coarsened`), by
            ``coarsening``, as in streets; with ``regroup``, label maps have the ids of that table
            (`segsynth.data.regrouped.Regrouped`); with ``guide``, an attribute's name, its guide
            from the parts of a face (`segsynth.data.guided.Guided`). Other keys are not looked at.
        split: "train" or "val"; a folder also has "all", a data set those of its layout.

    Raises:
        UserError: an unknown source, split or option, a key that the source needs, or what the
            source itself finds wrong.

    """
    try:
        return _derived(_opened(data_config, split), data_config)
    except OSError as error:
        raise UserError(
            f"{error.filename} cannot be read ({error.strerror}). Change its access rights."
        ) from error


def splits_of(name: str) -> tuple[str, ...]:
    """Returns the splits that a source may have, the training split first.

    Raises:
        UserError: an unknown source.

    """
    if name in LAYOUTS:
        return LAYOUTS[name].splits
    if name in (*WORLDS, "folder"):
        return ("train", "val") if name in WORLDS else ("train", "val", "all")
    if name in PREPARED:
        return ("train", "all")
    raise UserError(f"Unknown data.source {name!r}. Known: {_known()}.")


def _known() -> str:
    return ", ".join((*WORLDS, "folder", *LAYOUTS, *PREPARED))


def _opened(config: Any, split: str) -> Source:
    name = _required(config, "source")
    if name in WORLDS:
        return _world(name, config, split)
    if name == "folder":
        return _folder(config, split)
    if name in LAYOUTS:
        return _with_ids(LAYOUTS[name].open, config, split)
    if name in PREPARED:
        return _prepared(name, config, split)
    raise UserError(f"Unknown data.source {name!r}. Known: {_known()}.")


def _derived(source: Source, config: Any) -> Source:
    """The source with what is made from its examples."""
    from segsynth.data.coarsened import Coarsened
    from segsynth.data.guided import Guided
    from segsynth.data.regrouped import Regrouped

    if config.get("make_coarse"):
        source = Coarsened(source, config.get("seed") or 0, _annotator(config))
    elif config.get("coarsening") and config["source"] != "streets":
        raise UserError(
            f"data.coarsening is set, and the coarse labels of {config['source']} are not made; "
            "set data.make_coarse, or --config.data.coarsening={}"
        )
    if config.get("regroup"):
        source = Regrouped(source, config["regroup"])
    if config.get("guide") and "guide" not in source.provides:
        source = Guided(source, config["guide"])
    return source


def _annotator(config: Any) -> Any:
    from segsynth.data.coarsen import Coarsening

    return configure(Coarsening, dict(config.get("coarsening") or {}), "data.coarsening")


def _world(name: str, config: Any, split: str) -> Source:
    if split not in ("train", "val"):
        raise UserError(f"Source {name!r} has no split {split!r}, expected 'train' or 'val'.")
    train = split == "train"
    if train and _required(config, "length") > _VAL_START:
        raise UserError(
            f"data.length is {config['length']}, expected at most {_VAL_START}: the examples of "
            "validation follow. Lower it."
        )
    least = min(_required(config, key) for key in ("length", "eval_length", "seed"))
    if not isinstance(least, int) or least < 0:
        raise UserError(f"data.length, eval_length and seed of {name} must be 0 or more.")
    part = {
        "length": _required(config, "length" if train else "eval_length"),
        "seed": _required(config, "seed"),
        "start": 0 if train else _VAL_START,
    }
    return WORLDS[name](config, part)


def _scenes(config: Any, part: dict[str, int]) -> Source:
    from segsynth.data.worlds import scenes

    size = _required(config, "resolution")
    return _with_options(functools.partial(scenes.Scenes, size=size, **part), config)


def _streets(config: Any, part: dict[str, int]) -> Source:
    from segsynth.data.worlds import streets

    height, width = config.get("frame") or (_required(config, "resolution"),) * 2
    given = {"height": height, "width": width, "ids": config.get("ids") or "published"}
    given["annotator"] = _annotator(config)
    return _with_options(functools.partial(streets.Streets, **given, **part), config)


def _portraits(config: Any, part: dict[str, int]) -> Source:
    from segsynth.data import guides
    from segsynth.data.worlds import portraits

    size = _required(config, "resolution")
    edited: dict[str, Any] = {"guide": config["guide"]} if config.get("guide") else {}
    if edited:
        rendered = (*portraits.Portraits.provides, "guide", "counterfactual")
        several = len(guides.names(config["guide"])) > 1
        edited["provides"] = (*rendered, "attribute") if several else rendered
    return _with_options(
        functools.partial(portraits.Portraits, size=size, **edited, **part), config
    )


def _folder(config: Any, split: str) -> Source:
    from segsynth.data import folder

    options = {k: config[k] for k in ("min_side", "on_error", "val_share") if k in config}
    if not config.get("root"):
        raise UserError("no folder of pictures is set; give it with --config.data_root=DIR")
    return _with_options(functools.partial(folder.Folder, config["root"], split, **options), config)


def _prepared(name: str, config: Any, split: str) -> Source:
    from segsynth.data import records

    opened = records.records if name == "records" else records.prepared
    return _with_ids(opened, config, split)


def _with_ids(opened: Callable[..., Source], config: Any, split: str) -> Source:
    opened = functools.partial(opened, _root(config), split)
    chosen = "ids" in (config.get("options") or {})
    if not chosen and "ids" in inspect.signature(opened).parameters:
        opened = functools.partial(opened, ids=config.get("ids") or "published")
    return _with_options(opened, config)


def _with_options(opened: functools.partial[Source], config: Any) -> Source:
    options = config.get("options") or {}
    # What a world renders is preset by its guide, and may be less.
    twice = [key for key in options if key in opened.keywords and key != "provides"]
    if twice:
        raise UserError(
            f"data.options.{twice[0]} is not for {config['source']}: it follows from the other "
            "keys of data. Take it out of data.options."
        )
    return configure(opened, options, "data.options")


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


#: World -> ``(data_config, {length, seed, start}) -> Source``.
WORLDS: Mapping[str, Callable[[Any, dict[str, int]], Source]] = {
    "scenes": _scenes,
    "streets": _streets,
    "portraits": _portraits,
}

#: What prepared TFDS data are called: those of launch/prepare_data.py, and anybody's.
PREPARED = ("records", "tfds")
