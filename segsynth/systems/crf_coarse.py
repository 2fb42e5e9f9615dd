"""Dense labels from coarse ones by a fully connected CRF (docs/crf.md). Nothing is learned.

Batches hold ``image`` uint8 (b, h, w, 3), ``coarse`` uint8 (b, h, w, 1), the number of a class or
255 where nobody labelled, and for evaluation ``labels`` uint8 (b, h, w, 1), 255 = not judged.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import clu.metrics
import jax.numpy as jnp
import numpy as np

from segsynth.crf.parameters import Crf
from segsynth.crf.presets import Refinement, preset_of
from segsynth.crf.refinement import refine, refine_maps
from segsynth.crf.tuned import tuned
from segsynth.metrics.refinement import refinement_scores
from segsynth.papers.figures import figures
from segsynth.settings import configure
from segsynth.system import CompiledPredict, FrozenSpec
from segsynth.types import Frozen, HostBatch, PRNGKey, Variables

#: Value of a pixel without a label.
NONE = 255


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrfCoarse:
    """Refinement of coarse label maps of ``classes``; given labels stay (paper, eq. 5)."""

    classes: tuple[str, ...]
    refinement: Refinement
    fast: bool = False
    unlabelled: int = NONE
    paper: str = ""

    inputs = ("image", "coarse")
    targets = ("labels",)
    outputs = ("labels",)
    pictures = ("image", "coarse", "refined", "labels")
    on_host = True

    @classmethod
    def from_config(
        cls,
        *,
        classes: tuple[str, ...] = (),
        preset: str = "coarse",
        fast: bool = False,
        unlabelled: int = NONE,
        crf: Mapping[str, Any] | None = None,
        unary: Mapping[str, Any] | None = None,
        parameters: str = "",
        paper: str = "",
    ) -> "CrfCoarse":
        """Build from the keys of a config's ``system`` section.

        ``classes``: names by class number; none = numbers 0 to 254 without names. ``preset``:
        `segsynth.crf.presets.PRESETS`. ``crf``, ``unary``: values that replace the preset's (widths
        in px of a picture 2048 wide). ``unlabelled``: number of the pixels to fill in.
        ``parameters``: instead of the preset, the JSON file that tuning wrote for these classes
        (`segsynth.crf.tuned`). ``paper``: name of the file of a paper's figures in
        `segsynth.papers` that ``report`` prints beside ours.
        """
        chosen = tuned(parameters, classes) if parameters else preset_of(preset)
        parts = {"crf": Crf, "unary": type(chosen.unary)}
        for key, given in (("crf", crf), ("unary", unary)):
            known = dataclasses.asdict(getattr(chosen, key))
            set_ = {name: value for name, value in (given or {}).items() if value is not None}
            value = configure(parts[key], {**known, **set_}, f"system.{key}")
            chosen = dataclasses.replace(chosen, **{key: value})
        if paper:
            figures(paper)
        return cls(
            classes=tuple(classes),
            refinement=chosen,
            fast=fast,
            unlabelled=unlabelled,
            paper=paper,
        )

    @property
    def frozen(self) -> Mapping[str, FrozenSpec]:
        """None."""
        return {}

    @property
    def _count(self) -> int:
        return len(self.classes) or NONE

    def predict(
        self, variables: Variables, frozen: Frozen, inputs: HostBatch, key: PRNGKey
    ) -> dict[str, np.ndarray]:
        """Return ``labels`` uint8 (b, h, w, 1), a class in every pixel of a map that has any. Takes
        and returns arrays on the host; ``key`` decides nothing.
        """
        labels = refine_maps(
            inputs["image"],
            inputs["coarse"],
            num_classes=self._count,
            unlabelled=self.unlabelled,
            preset=self.refinement,
            fast=self.fast,
        )
        return {"labels": labels}

    def eval_step(
        self, variables: Variables, frozen: Frozen, batch: HostBatch, key: PRNGKey
    ) -> tuple[clu.metrics.Collection, dict[str, np.ndarray]]:
        """Score the coarse and the refined map against ``labels``, over the data set (``dataset``)
        and as the mean over pictures, on the examples with ``valid`` = 1.
        """
        refined = self.predict(variables, frozen, batch, key)["labels"]
        truth, valid = jnp.asarray(batch["labels"])[..., 0], jnp.asarray(batch["valid"])
        maps = {"coarse": batch["coarse"], "refined": refined}
        maps = {name: jnp.asarray(labels)[..., 0] for name, labels in maps.items()}
        scores = refinement_scores(maps, truth, valid, self._count, self.classes)
        pictures = {name: np.asarray(batch[name]) for name in ("image", "coarse", "labels")}
        pictures = {n: p if n == "image" else p.astype(np.int32) for n, p in pictures.items()}
        pictures["refined"] = refined.astype(np.int32)
        return clu.metrics.Collection.create_collection(**scores), pictures

    def remarks(self, variables: Variables, frozen: Frozen, inputs: HostBatch) -> tuple[str, ...]:
        """Say so when there is nothing to refine."""
        present = np.unique(inputs["coarse"])
        if self.unlabelled not in present:
            return ("every pixel has a label already; the map comes back as it is",)
        if len(present) == 2:
            only = int(present[present != self.unlabelled][0])
            only = self.classes[only] if only < len(self.classes) else only
            return (f"one class only, {only}; every pixel becomes that class",)
        return ()

    def synthesize(
        self, predict: CompiledPredict, inputs: HostBatch, key: PRNGKey
    ) -> dict[str, np.ndarray]:
        """Refine the map of one picture of any size; ``labels`` uint8 (h, w, 1).

        Raises :class:`UserError` as `segsynth.crf.refine` does.
        """
        found = refine(
            inputs["image"],
            inputs["coarse"][..., 0],
            num_classes=self._count,
            unlabelled=self.unlabelled,
            preset=self.refinement,
            fast=self.fast,
        )
        return {"labels": np.asarray(found, np.uint8)[..., None]}

    def report(self, metrics: Mapping[str, float]) -> str:
        """Return recall and IoU of each class, coarse and refined, as the paper's Table 1; beside
        them the paper's own figures where ``paper`` is set.
        """
        paper = figures(self.paper)["rows"] if self.paper else {}
        lines = [_HEAD + (_PAPER_HEAD if paper else ""), _RULE + (_PAPER_RULE if paper else "")]
        for name in (*self.classes, "mean"):
            keys = _MEANS if name == "mean" else _of_class(name)
            cells = [f"{metrics[key]:.3f}" if _known(metrics[key]) else "-" for key in keys]
            if paper:
                row = paper.get(name)
                cells += [f"{row[column]:.3f}" for column in _COLUMNS] if row else ["-"] * 4
            lines.append(f"| {name:13} | " + " | ".join(f"{cell:>7}" for cell in cells) + " |")
        rows = [
            ("over the data set", "_dataset__", ("mean_recall", "mean_iou")),
            ("pixel accuracy", "__", ("accuracy",)),
            ("near borders (3 px)", "__", ("border_accuracy",)),
        ]
        lines += ["", "|  | coarse | refined |", "|---|---:|---:|"]
        for title, separator, keys in rows:
            for key in keys:
                pair = [metrics[f"{who}{separator}{key}".replace("__", "/")] for who in _WHO]
                what = f", {key.replace('_', ' ')}" if len(keys) > 1 else ""
                lines.append(f"| {title}{what} | {pair[0]:.3f} | {pair[1]:.3f} |")
        return "\n".join(lines)


_WHO = ("coarse", "refined")
_COLUMNS = ("coarse recall", "refined recall", "coarse IoU", "refined IoU")
_MEANS = tuple(f"{who}/mean_{rate}" for rate in ("recall", "iou") for who in _WHO)
_HEAD = "| class         | Acc coarse | Acc ours | IoU coarse | IoU ours |"
_RULE = "|---|---:|---:|---:|---:|"
_PAPER_HEAD = " paper: Acc coarse | Acc ours | IoU coarse | IoU ours |"
_PAPER_RULE = "---:|---:|---:|---:|"


def _of_class(name: str) -> tuple[str, ...]:
    label = name.replace(" ", "_")
    return tuple(f"{who}/{label}/{rate}" for rate in ("recall", "iou") for who in _WHO)


def _known(value: float) -> bool:
    return value == value
