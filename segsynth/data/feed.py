"""Batches from a config: the source, its transforms and the modalities that a system asks for."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax

from segsynth.data import modalities, pipeline, sources
from segsynth.data.cache import Cached
from segsynth.data.mask_transform import InpaintingMask
from segsynth.data.masks import InpaintingMasks, InstanceShapes
from segsynth.data.sources import Source
from segsynth.data.transforms import CropResize, Flip, Transform
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The keys of a config's ``data`` section.

    ``source``: "scenes" or "folder". ``root``: the folder. ``resolution``: side of a training
    example in px. ``length``, ``eval_length``, ``seed``: of procedural worlds. ``scale``: range of
    a random crop's side as a share of the picture's short side. ``flip``: probability. ``mask``,
    ``eval_mask``: settings of the hole masks in training and evaluation
    (`segsynth.data.masks.inpainting.InpaintingMasks`); empty = no mask. ``workers``: worker
    processes. ``cache``: keep examples in memory once read (`segsynth.data.cache.Cached`).
    ``min_side``, ``on_error``, ``val_share``: of a folder (`segsynth.data.folder.Folder`).
    """

    source: str
    resolution: int
    root: str = ""
    length: int = 1_000_000
    eval_length: int = 10_000
    seed: int = 0
    scale: tuple[float, float] = (1.0, 1.0)
    flip: float = 0.5
    mask: Mapping[str, Any] | None = None
    eval_mask: Mapping[str, Any] | None = None
    workers: int = 0
    min_side: int = 0
    on_error: str = "raise"
    val_share: float = 0.1
    cache: bool = False

    def open(self, split: str) -> Source:
        """Open the source."""
        source = sources.build(dataclasses.asdict(self), split)
        return Cached(source) if self.cache else source


def check(settings: Mapping[str, Any], system: Reader) -> Source:
    """Open the data of evaluation and of training, and return the latter.

    Raises :class:`UserError` for data that cannot be read or lack what ``system`` needs: ask before
    anything is compiled.
    """
    data = configure(DataConfig, settings["data"], "data")
    judged = data.open(settings["eval"].get("split", "val"))
    _keys(system, judged, _masks(data.eval_mask, judged, "eval_mask"), data.source, settings)
    source = data.open(settings["train"].get("split", "train"))
    _keys(system, source, _masks(data.mask, source, "mask"), data.source, settings)
    return source


def training(
    settings: Mapping[str, Any],
    system: Reader,
    *,
    seed: int,
    start_step: int,
    source: Source | None = None,
) -> pipeline.Batches:
    """Return endless shuffled batches of this process from ``start_step`` on; ``source`` is what
    :func:`check` opened, if it did.
    """
    data = configure(DataConfig, settings["data"], "data")
    source = source or data.open(settings["train"].get("split", "train"))
    transforms = [
        CropResize(data.resolution, data.scale),
        Flip(data.flip),
        *_masks(data.mask, source, "mask"),
    ]
    return pipeline.train_batches(
        source,
        transforms,
        global_batch=settings["train"]["global_batch"],
        seed=seed,
        keys=_keys(system, source, transforms, data.source, settings),
        start_step=start_step,
        workers=data.workers,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )


def evaluation(settings: Mapping[str, Any], system: Reader, *, seed: int) -> pipeline.Batches:
    """Return one pass over the evaluation split, the same at every call; padded examples have
    ``valid`` = 0.
    """
    data = configure(DataConfig, settings["data"], "data")
    source = data.open(settings["eval"].get("split", "val"))
    transforms = [
        CropResize(data.resolution, random=False),
        *_masks(data.eval_mask, source, "eval_mask"),
    ]
    return pipeline.eval_batches(
        source,
        transforms,
        batch=settings["eval"]["batch"],
        seed=seed,
        keys=_keys(system, source, transforms, data.source, settings),
        limit=_limit(settings),
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )


def evaluation_size(settings: Mapping[str, Any]) -> int:
    """Return how many examples :func:`evaluation` gives, padding not counted."""
    data = configure(DataConfig, settings["data"], "data")
    available = len(data.open(settings["eval"].get("split", "val")))
    limit = _limit(settings)
    return available if limit is None else min(available, limit)


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


def _keys(
    system: Reader,
    source: Source,
    transforms: Sequence[Transform],
    name: str,
    settings: Mapping[str, Any],
) -> tuple[str, ...]:
    """Return the modalities to put into a batch; a source that lacks one is refused before anything
    compiles.
    """
    made = ("mask", "mask_type") if any(isinstance(t, InpaintingMask) for t in transforms) else ()
    needs = (*system.inputs, *system.targets)
    modalities.check_provided(needs, (*source.provides, *made), settings["system"]["name"], name)
    return needs
