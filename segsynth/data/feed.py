"""Batches from a config: the source, its transforms and the modalities that a system asks for."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, Protocol, runtime_checkable

import jax
import numpy as np

from segsynth.data import modalities, pipeline, sources
from segsynth.data.cache import Cached
from segsynth.data.label_sets import NONE
from segsynth.data.mask_transform import InpaintingMask
from segsynth.data.masks import InpaintingMasks, InstanceShapes
from segsynth.data.sources import Source
from segsynth.data.transforms import CropResize, Flip, Resize, Transform
from segsynth.errors import UserError
from segsynth.settings import configure


@runtime_checkable
class Reader(Protocol):
    """What a feed has to know of a system."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Modalities that it predicts from."""
        ...

    @property
    def targets(self) -> tuple[str, ...]:
        """Modalities that it needs besides."""
        ...


@runtime_checkable
class LabelReader(Reader, Protocol):
    """A system for which a label outside its classes means nothing."""

    @property
    def label_limit(self) -> int:
        """Labels are 0 .. ``label_limit`` - 1."""
        ...


@runtime_checkable
class IgnoringReader(LabelReader, Protocol):
    """A system that leaves out pixels of one number: those that nobody labelled."""

    @property
    def ignored_label(self) -> int:
        """That number, which may be beyond the limit."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The keys of a config's ``data`` section.

    ``source``: a name that `segsynth.data.sources.build` knows. ``options``: keywords that this
    source alone has, e.g. ``style`` of "scenes". ``root``: its folder. ``resolution``: side of a
    training example in px, cut from the picture. ``frame``: instead, height and width to which
    whole pictures are resampled. ``label_set``: table of `segsynth.data.label_sets` by which
    prediction reads and writes label files; "" = ids as they stand. ``ids``: how street scenes
    number the classes, "published" or "train" (`segsynth.data.layouts.readers.Ids`).
    ``make_coarse``: make coarse labels from fine ones. ``coarsening``: how much is left out of
    coarse labels that are made, keys of `segsynth.data.coarsen.Coarsening`. ``regroup``: table to
    whose classes label maps are grouped, e.g. "cityscapes_categories". ``guide``: attribute of
    a face whose guide examples get, and in "portraits" the counterfactual; of several, parted by
    commas, each example has one in turn. ``length``, ``eval_length``, ``seed``: of procedural
    worlds. ``scale``: range of a random crop's side as a share of the picture's short side.
    ``flip``: probability. ``mask``, ``eval_mask``: settings of the hole masks in training and
    evaluation (`segsynth.data.masks.inpainting.InpaintingMasks`); empty = no mask. ``workers``:
    worker processes. ``unpaired``: the keys of another ``data`` section, for what a system wants of
    a second domain, e.g. drawings that are of no photograph. ``cache``: keep examples in memory
    once read (`segsynth.data.cache.Cached`). ``min_side``, ``on_error``, ``val_share``: of a folder
    (`segsynth.data.folder.Folder`).
    """

    source: str
    resolution: int = 0
    root: str = ""
    frame: tuple[int, ...] = ()
    options: Mapping[str, Any] | None = None
    label_set: str = ""
    ids: Literal["published", "train"] = "published"
    make_coarse: bool = False
    coarsening: Mapping[str, Any] | None = None
    regroup: str = ""
    guide: str = ""
    length: int = 1_000_000
    eval_length: int = 10_000
    seed: int = 0
    scale: tuple[float, float] = (1.0, 1.0)
    flip: float = 0.5
    mask: Mapping[str, Any] | None = None
    eval_mask: Mapping[str, Any] | None = None
    workers: int = 0
    unpaired: Mapping[str, Any] | None = None
    min_side: int = 0
    on_error: str = "raise"
    val_share: float = 0.1
    cache: bool = False


class Sources:
    """The sources of a run, each opened once: phases and evaluations of the same data share one
    reading of a folder's headers, and one cache.
    """

    def __init__(self) -> None:
        self._open: dict[str, Source] = {}

    def open(self, data: DataConfig, split: str) -> Source:
        """Return the source of ``data``; raises :class:`UserError` if it cannot be read."""
        settings = dataclasses.asdict(data)
        key = repr(([(k, settings[k]) for k in sorted(settings) if k not in _NOT_READ], split))
        if key not in self._open:
            source = sources.build(settings, split)
            self._open[key] = Cached(source) if data.cache else source
        return self._open[key]


#: Keys of :class:`DataConfig` at which no source looks.
_NOT_READ = ("scale", "flip", "mask", "eval_mask", "workers", "label_set", "unpaired")


def check(settings: Mapping[str, Any], system: Reader, opened: Sources) -> None:
    """Open the data of evaluation and of training.

    Raises :class:`UserError` for data that cannot be read or lack what ``system`` needs: ask before
    anything is compiled.
    """
    if settings["eval"].get("examples", -1) == 0:
        raise UserError("eval.examples is 0; give a number of examples, or -1 for all")
    _streams(settings, system, opened, random=False)
    _streams(settings, system, opened, random=True)


def training(
    settings: Mapping[str, Any],
    system: Reader,
    *,
    seed: int,
    start_step: int,
    opened: Sources | None = None,
) -> pipeline.Batches:
    """Return endless shuffled batches of this process from ``start_step`` on."""
    first, *unpaired = _streams(settings, system, opened or Sources(), random=True)
    return pipeline.train_batches(
        first.source,
        first.transforms,
        global_batch=settings["train"]["global_batch"],
        seed=seed,
        keys=first.keys,
        unpaired=unpaired,
        start_step=start_step,
        workers=settings["data"].get("workers", 0),
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )


def evaluation(
    settings: Mapping[str, Any], system: Reader, *, seed: int, opened: Sources | None = None
) -> pipeline.Batches:
    """Return one pass over the evaluation split, the same at every call; padded examples have
    ``valid`` = 0.
    """
    first, *unpaired = _streams(settings, system, opened or Sources(), random=False)
    return pipeline.eval_batches(
        first.source,
        first.transforms,
        batch=settings["eval"]["batch"],
        seed=seed,
        keys=first.keys,
        unpaired=unpaired,
        limit=_limit(settings),
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )


def evaluation_size(settings: Mapping[str, Any], opened: Sources | None = None) -> int:
    """Return how many examples :func:`evaluation` gives, padding not counted."""
    data = configure(DataConfig, settings["data"], "data")
    available = len((opened or Sources()).open(data, settings["eval"].get("split", "val")))
    limit = _limit(settings)
    return available if limit is None else min(available, limit)


def swaps(source: Source) -> tuple[tuple[int, int], ...]:
    """Return the pairs of class ids that change places in a mirror, as label maps hold them."""
    label_set = getattr(source, "label_set", None)
    if label_set is None or not label_set.mirrored:
        return ()
    if getattr(source, "ids", "published") == "published":
        return label_set.mirrored
    pairs = label_set.to_train_ids(np.array(label_set.mirrored))
    return tuple((int(left), int(right)) for left, right in pairs)


def _sized(data: DataConfig, *, random: bool) -> Transform:
    """Return what brings pictures to the size of a batch."""
    if not data.frame:
        if data.resolution < 1:
            raise UserError(
                f"data.resolution is {data.resolution}; give the side of an example in px, or "
                "data.frame, height and width of whole pictures"
            )
        return CropResize(data.resolution, data.scale if random else (1.0, 1.0), random=random)
    if len(data.frame) != 2:
        raise UserError(f"data.frame is {data.frame}, expected (height, width) in px")
    return Resize((data.frame[0], data.frame[1]))


def _limit(settings: Mapping[str, Any]) -> int | None:
    limit = settings["eval"].get("examples", -1)
    return None if limit < 0 else limit


def _masks(settings: Mapping[str, Any] | None, source: Source, where: str) -> list[Transform]:
    if not settings:
        return []
    masks = configure(InpaintingMasks, settings, f"data.{where}")
    if "instance" in source.provides:
        masks = dataclasses.replace(masks, shapes=InstanceShapes(source))
    return [InpaintingMask(masks)]


def _streams(
    settings: Mapping[str, Any], system: Reader, opened: Sources, *, random: bool
) -> list[pipeline.Stream]:
    """Return the examples of training or evaluation: those of ``data``, then of ``data.unpaired``.

    A source that lacks what ``system`` needs is refused before anything compiles.
    """
    part = "train" if random else "eval"
    split = settings[part].get("split", "train" if random else "val")
    data = configure(DataConfig, settings["data"], "data")
    first = _stream(data, split, opened, random=random)
    _check_table(data, first.source)
    needs = (*system.inputs, *system.targets)
    _check_labels(system, first.source, data)
    if not data.unpaired:
        modalities.check_provided(needs, first.keys, settings["system"]["name"], data.source)
        return [dataclasses.replace(first, keys=needs)]
    section = {"seed": data.seed, **data.unpaired}
    other = configure(DataConfig, section, "data.unpaired")
    second = _stream(other, split, opened, random=random)
    theirs = tuple(key for key in needs if key in second.keys and key not in first.keys)
    name = f"{data.source} with {other.source}"
    modalities.check_provided(needs, (*first.keys, *theirs), settings["system"]["name"], name)
    ours = tuple(key for key in needs if key not in theirs)
    return [dataclasses.replace(first, keys=ours), dataclasses.replace(second, keys=theirs)]


def _check_table(data: DataConfig, source: Source) -> None:
    """Refuse a table for prediction that is not that of the label maps."""
    own = getattr(source, "label_set", None)
    if data.label_set and own is not None and own.name != data.label_set:
        raise UserError(
            f"data.label_set is {data.label_set!r}, and the label maps of {data.source} are of "
            f"{own.name!r}; set data.label_set to that, or data.regroup"
        )


def _check_labels(system: Reader, source: Source, data: DataConfig) -> None:
    """Refuse a source whose numbers of classes go beyond those of the system, or whose pixels that
    nobody labelled it would take for a class.
    """
    label_set = getattr(source, "label_set", None)
    reads = {"labels", "coarse"} & {*system.inputs, *system.targets}
    if label_set is None or not reads or not isinstance(system, LabelReader):
        return
    published = getattr(source, "ids", "published") == "published"
    unlabelled = label_set.unlabelled if published else NONE
    numbers = {*label_set.ids, unlabelled} if published else {len(label_set.trained) - 1, NONE}
    if isinstance(system, IgnoringReader):
        if unlabelled != system.ignored_label:
            cure = "take data.regroup out" if data.regroup else "set data.ids to 'train'"
            raise UserError(
                f"label maps of {data.source} say {unlabelled} where nobody labelled, and the "
                f"system leaves out {system.ignored_label}; {cure}"
            )
        numbers -= {system.ignored_label}
    if (highest := max(numbers)) >= system.label_limit:
        raise UserError(
            f"label maps of {data.source} hold numbers up to {highest}, and the system has the "
            f"classes 0 to {system.label_limit - 1}; set these to {highest + 1}, or data.ids"
        )


def _stream(data: DataConfig, split: str, opened: Sources, *, random: bool) -> pipeline.Stream:
    """Return a source with its transforms; ``keys`` are all that it can give."""
    source = opened.open(data, split)
    name = "mask" if random else "eval_mask"
    masks = _masks(getattr(data, name), source, name)
    flips = [Flip(data.flip, swaps(source))] if random else []
    made = ("mask", "mask_type") if masks else ()
    transforms = [_sized(data, random=random), *flips, *masks]
    return pipeline.Stream(source, transforms, (*source.provides, *made))
