"""The figures of two folders of pictures: one pass over them, on all devices."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from segsynth import folder_pictures
from segsynth.engine import sharding
from segsynth.folder_pictures import Batch, Folder
from segsynth.metrics.examples import FeatureRows
from segsynth.metrics.frechet import FrechetDistance
from segsynth.metrics.kernel_distance import KernelDistance
from segsynth.metrics.moments import FeatureMoments
from segsynth.metrics.paired_fooling import PairedFooling
from segsynth.metrics.perceptual import PerceptualDistance
from segsynth.metrics.structural import structural_scores
from segsynth.pretrained.inception import fid_pixels
from segsynth.pretrained.loading import Loaded

#: Metrics that compare two sets, and metrics of partners.
OF_SETS, OF_PAIRS = ("frechet", "kid"), ("psnr", "ssim", "lpips", "pids")
#: Of these, which read features, which keep them, and which read the pixels of partners.
OF_FEATURES, OF_ROWS = ("frechet", "kid", "pids"), ("kid", "pids")
OF_PIXELS = ("psnr", "ssim", "lpips")

_TAP = "avgpool"


def any_of(metrics: Sequence[str], among: Sequence[str]) -> bool:
    """Whether one of ``metrics`` is among others."""
    return not set(metrics).isdisjoint(among)


@dataclasses.dataclass
class Scorer:
    """The compiled parts; ``pixels`` and ``inputs`` once for each size of pictures, the rest once.

    Products are taken in full float32 on every device.
    """

    metrics: Sequence[str]
    features: Loaded | None
    lpips: Loaded | None
    plan: sharding.Plan

    @functools.cached_property
    def pixels(self) -> Any:
        """``(variables, real, fake, valid)`` -> metrics of partners, by name."""

        def step(variables: Any, real: Any, fake: Any, valid: Any) -> dict[str, Any]:
            real, fake = (x.astype(np.float32) / 127.5 - 1 for x in (real, fake))
            found = {}
            if any_of(self.metrics, ("psnr", "ssim")):
                found = dict(structural_scores(fake, real, valid))
            if self.lpips is not None:
                with jax.default_matmul_precision("highest"):
                    distances = self.lpips.module.apply(variables, real, fake)
                found["lpips"] = PerceptualDistance.of(distances, valid)
            wanted = {name: found[name] for name in found if name in self.metrics}
            return jax.lax.with_sharding_constraint(wanted, self.plan.replicated)

        return jax.jit(step)

    inputs = functools.cached_property(lambda self: jax.jit(fid_pixels))

    @functools.cached_property
    def described(self) -> Any:
        """``(variables, inputs, valid)`` -> moments, features, valid."""

        def step(variables: Any, inputs: Any, valid: Any) -> Any:
            with jax.default_matmul_precision("highest"):
                found = self.features.module.apply(variables, inputs, taps=(_TAP,))[_TAP]
            made = FeatureMoments.of(found, valid), found, valid
            return jax.lax.with_sharding_constraint(made, self.plan.replicated)

        return jax.jit(step)

    merged = functools.cached_property(
        lambda self: jax.jit(lambda a, b: {name: a[name].merge(b[name]) for name in a})
    )
    added = functools.cached_property(lambda self: jax.jit(lambda a, b: a + b))


@dataclasses.dataclass
class _Set:
    """Features of one folder as they come in; rows, on the host, only where a metric needs them."""

    keep_rows: bool
    moments: FeatureMoments | None = None
    rows: list[np.ndarray] = dataclasses.field(default_factory=list)

    def take(self, scorer: Scorer, pictures: Any, valid: Any) -> None:
        made = scorer.described(scorer.features.variables, scorer.inputs(pictures), valid)
        self.moments = made[0] if self.moments is None else scorer.added(self.moments, made[0])
        if self.keep_rows:
            rows, used = jax.device_get(made[1:])
            self.rows.append(rows[used > 0])

    def table(self) -> FeatureRows:
        rows = np.concatenate(self.rows)
        return FeatureRows(jnp.asarray(rows), jnp.int32(len(rows)), len(rows))


def scores(
    scorer: Scorer,
    folders: Sequence[Folder],
    *,
    paired: bool,
    resize: int = 0,
    per_device: int = 8,
) -> dict[str, Any]:
    """Go over the pictures of two folders; return what each metric computes.

    ``fid``, ``kid`` (mean and deviation over subsets), ``psnr`` in dB, ``ssim``, ``lpips``,
    ``p_ids``, ``u_ids``: as far as `Scorer.metrics` asks for them; all under published names, which
    `segsynth.folders` turns into those that the networks' weights allow.

    Args:
        scorer: what to compute.
        folders: of real and of made pictures, of the same stems if ``paired``.
        paired: whether a real and a made picture are read together.
        resize: as `folder_pictures.batches` takes it.
        per_device: pictures of each folder that a device holds at once.

    """
    devices = scorer.plan.mesh.size
    counts = [len(folder.files) for folder in folders]
    size = devices * min(per_device, -(-max(counts) // devices))
    sets = [_Set(any_of(scorer.metrics, OF_ROWS)) for _ in folders]
    passes = [(0, 1)] if paired else [(0,), (1,)]
    total: dict[str, Any] = {}
    hidden = None if jax.process_index() == 0 else True
    with tqdm(total=sum(counts), unit="picture", disable=hidden) as bar:
        for which in passes:
            together = [folders[i] for i in which]
            for count, batch in folder_pictures.batches(together, size, resize):
                found = _take(scorer, batch, [sets[i] for i in which])
                total = scorer.merged(total, found) if total else found
                bar.update(count * len(which))
    return _computed(scorer.metrics, sets, total)


def _take(scorer: Scorer, batch: Batch, sets: Sequence[_Set]) -> dict[str, Any]:
    """Add the features of a batch to those of its folders; return its metrics of partners."""
    arrays = {str(i): x for i, x in enumerate((*batch.pictures, batch.valid))}
    *pictures, valid = scorer.plan.put_batch(arrays).values()
    if scorer.features is not None:
        for one, picture in zip(sets, pictures, strict=True):
            one.take(scorer, picture, valid)
    if not any_of(scorer.metrics, OF_PIXELS):
        return {}
    return scorer.pixels(scorer.lpips and scorer.lpips.variables, *pictures, valid)


def _computed(
    metrics: Sequence[str], sets: Sequence[_Set], total: Mapping[str, Any]
) -> dict[str, Any]:
    values = {name: float(metric.compute()) for name, metric in total.items()}
    if "frechet" in metrics:
        values["fid"] = float(FrechetDistance(*(x.moments for x in sets)).compute())
    if "kid" in metrics:
        found = KernelDistance(*(x.table() for x in sets)).compute()
        values["kid"] = float(found["mean"]), float(found["std"])
    if "pids" in metrics:
        values |= PairedFooling(*(x.table() for x in sets)).compute()
    return values
