"""Learn the parameters of the dense CRF that refines coarse labels (docs/crf.md; beyond the paper).

The gradient of a cross-entropy reaches the kernels' weights and the penalties of pairs of classes
through unrolled mean field; widths have no useful gradient on a lattice and are tried on a grid.
Every point of the grid trains its own weights and penalties on the same batches, as if it were
alone; the one whose running loss is lowest is what prediction, evaluation and the exported file
take.

Weights are trained before a softplus. Penalties are projected after every step onto symmetric
matrices >= 0 with a zero diagonal, which start as Potts. The loss is that of the marginals at a
temperature that is trained with them and then dropped (`segsynth.crf.fit`). Batches hold ``image``
uint8 (b, h, w, 3), ``coarse`` and ``labels`` uint8 (b, h, w, 1), 255 = none.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import clu.metrics
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec

from segsynth.crf.fit import Fit
from segsynth.crf.parameters import Crf
from segsynth.crf.presets import Heat, Refinement, preset_of
from segsynth.crf.refinement import refine_maps
from segsynth.crf.tuned import to_json
from segsynth.engine.optimizers import adamw, update_ema
from segsynth.errors import UserError
from segsynth.metrics.refinement import refinement_scores
from segsynth.settings import configure
from segsynth.system import CompiledPredict, FrozenSpec, TrainState
from segsynth.types import Batch, Frozen, HostBatch, PRNGKey, Scalars, Variables


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrfTuning:
    """Tuning for ``classes``, side by side at every point of the grid of ``fit``."""

    classes: tuple[str, ...]
    fit: Fit
    tx: optax.GradientTransformation
    unlabelled: int = 255
    judged: float = 0.5
    average: float = 0.98

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
        crf: Mapping[str, Any] | None = None,
        unary: Mapping[str, Any] | None = None,
        appearance_xy: tuple[float, ...] = (),
        appearance_rgb: tuple[float, ...] = (),
        unlabelled: int = 255,
        judged: float = 0.5,
        average: float = 0.98,
        optimizer: Mapping[str, Any] | None = None,
    ) -> "CrfTuning":
        """Build from the keys of a config's ``system`` section.

        ``classes``: names by class number. ``preset``, ``crf``, ``unary``: where training starts,
        and what it leaves alone, as in `segsynth.systems.crf_coarse`; the unary is a heat map.
        ``appearance_xy``, ``appearance_rgb``: widths to try, each with each; none = the start's.
        ``unlabelled``: number of the pixels to fill in. ``judged``: share of the pixels that a step
        judges, drawn anew each step, in (0, 1]. ``average``: decay of the running losses.
        """
        start = preset_of(preset)
        if not classes:
            raise UserError("system.classes is empty; name the classes whose pairs are penalised")
        if not 0 < judged <= 1:
            raise UserError(f"system.judged is {judged}; expected a share in (0, 1]")
        if not isinstance(start.unary, Heat):
            raise UserError(f"system.preset '{preset}' has no heat map; start from 'coarse'")
        for key, part, given in (("crf", Crf, crf), ("unary", Heat, unary)):
            known = dataclasses.asdict(getattr(start, key))
            set_ = {name: value for name, value in (given or {}).items() if value is not None}
            value = configure(part, {**known, **set_}, f"system.{key}")
            start = dataclasses.replace(start, **{key: value})
        pairs = itertools.product(
            appearance_xy or (start.crf.appearance_xy,),
            appearance_rgb or (start.crf.appearance_rgb,),
        )
        grid = tuple((float(xy), float(rgb)) for xy, rgb in pairs)
        return cls(
            classes=tuple(classes),
            fit=Fit(start, grid, len(classes)),
            tx=configure(adamw, optimizer or {}, "system.optimizer"),
            unlabelled=unlabelled,
            judged=judged,
            average=average,
        )

    @property
    def frozen(self) -> Mapping[str, FrozenSpec]:
        """None."""
        return {}

    def init(self, key: PRNGKey) -> TrainState:
        """Return the state at step 0: every grid point at the start's weights, with Potts."""
        params = self.fit.first()
        running = {"loss": jnp.zeros(len(self.fit.grid), jnp.float32)}
        return TrainState.create(
            params={"crf": params},
            # Each point has its own moments, and its own norm to clip.
            opt_state={"adamw": jax.vmap(self.tx.init)(params)},
            model_state={"crf": running},
        )

    def train_step(
        self, state: TrainState, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> tuple[TrainState, Scalars]:
        """One AdamW step of each grid point on the cross-entropy of its tempered marginals.

        A batch in which nothing is judged counts as a loss and a gradient of 0.
        """
        params, grid = state.params["crf"], self.fit.grid
        coarse, truth = (batch[name][..., 0].astype(jnp.int32) for name in ("coarse", "labels"))
        given = jnp.where(coarse == self.unlabelled, -1, coarse)
        drawn = jax.random.bernoulli(key, self.judged, given.shape)
        sums = _on_each_device(self.fit.sums, params, (batch["image"], given, truth, drawn))
        pixels = jnp.maximum(sums.pixels.sum(), 1.0)
        losses = sums.loss.sum(0) / pixels
        gradient = jax.tree.map(lambda g: g.sum(0) / pixels, sums.gradient)
        update = jax.vmap(self.tx.update)
        updates, opt_state = update(gradient, state.opt_state["adamw"], params)
        params = self.fit.legal(optax.apply_updates(params, updates))
        before = state.model_state["crf"]
        running = update_ema(before, {"loss": losses}, state.step, self.average)
        best = jnp.argmin(running["loss"])
        state = state.replace(
            step=state.step + 1,
            params={"crf": params},
            model_state={"crf": running},
            opt_state={"adamw": opt_state},
        )
        weights = {name: params[name][best] for name in ("appearance", "smoothness")}
        scalars = {name: jax.nn.softplus(weight) for name, weight in weights.items()}
        scalars |= {f"loss_{xy:g}_{rgb:g}": losses[i] for i, (xy, rgb) in enumerate(grid)}
        return state, {"loss": losses[best], **scalars}

    def refinement(self, variables: Variables) -> Refinement:
        """Return the parameters of the grid point whose running loss is lowest."""
        best = int(np.argmin(np.asarray(variables["model_state"]["crf"]["loss"])))
        return self.fit.fitted(variables["params"]["crf"], best)

    def export(self, variables: Variables, origin: Mapping[str, Any]) -> dict[str, Any]:
        """Return what `segsynth.crf.tuned.tuned` reads; ``origin`` with the running losses, nats a
        pixel.
        """
        running = np.asarray(variables["model_state"]["crf"]["loss"]).tolist()
        grid = [
            {"appearance_xy": xy, "appearance_rgb": rgb, "loss": loss}
            for (xy, rgb), loss in zip(self.fit.grid, running, strict=True)
        ]
        origin = {**origin, "loss": min(running), "grid": grid}
        return to_json(self.refinement(variables), self.classes, origin)

    def predict(
        self, variables: Variables, frozen: Frozen, inputs: HostBatch, key: PRNGKey
    ) -> dict[str, np.ndarray]:
        """Return ``labels`` uint8 (b, h, w, 1), a class in every pixel, as
        `segsynth.systems.crf_coarse` does with the exported file.
        """
        labels = refine_maps(
            inputs["image"],
            inputs["coarse"],
            num_classes=len(self.classes),
            unlabelled=self.unlabelled,
            preset=self.refinement(variables),
        )
        return {"labels": labels}

    def eval_step(
        self, variables: Variables, frozen: Frozen, batch: HostBatch, key: PRNGKey
    ) -> tuple[clu.metrics.Collection, dict[str, np.ndarray]]:
        """Score the coarse and the refined map against ``labels`` on the examples with ``valid`` =
        1; see `segsynth.metrics.refinement`.
        """
        maps = {
            "coarse": np.asarray(batch["coarse"]),
            "refined": self.predict(variables, frozen, batch, key)["labels"],
        }
        truth, valid = jnp.asarray(batch["labels"])[..., 0], jnp.asarray(batch["valid"])
        flat = {name: jnp.asarray(labels)[..., 0] for name, labels in maps.items()}
        scores = refinement_scores(flat, truth, valid, len(self.classes))
        drawn = {name: x.astype(np.int32) for name, x in maps.items()}
        drawn["labels"] = np.asarray(batch["labels"]).astype(np.int32)
        drawn["image"] = np.asarray(batch["image"])
        return clu.metrics.Collection.create_collection(**scores), drawn

    def remarks(self, variables: Variables, frozen: Frozen, inputs: HostBatch) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def synthesize(
        self, predict: CompiledPredict, inputs: HostBatch, key: PRNGKey
    ) -> dict[str, np.ndarray]:
        """Refine the map of one picture of any size; ``labels`` uint8 (h, w, 1)."""
        batch = {name: np.asarray(inputs[name])[None] for name in self.inputs}
        return {"labels": np.asarray(predict(self, batch, key)["labels"])[0]}


def _on_each_device(work, params, arrays):
    """``work`` on each device's own examples, if the batch is split over a mesh."""
    mesh = jax.typeof(arrays[0]).sharding.mesh
    if mesh.empty:
        return work(params, *arrays)
    split = PartitionSpec(mesh.axis_names)
    specs = (PartitionSpec(), *(split for _ in arrays))
    spread = jax.shard_map(work, mesh=mesh, in_specs=specs, out_specs=split, check_vma=False)
    return spread(params, *arrays)
