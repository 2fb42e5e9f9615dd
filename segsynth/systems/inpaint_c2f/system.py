"""Coarse-to-fine diffusion inpainting with latent categories guidance (Lee and Han;
docs/inpaint_c2f.md).

A hole is filled at the lowest level of a pyramid; each higher level gets the lower result,
corrected by a combiner, and adds the octave that it lacks. Category rows tell background from
foreground, and guidance falls from level to level.

One phase trains one level: ``train="lcg"`` the category tables with level 1, ``train="level<l>"``
level l and its combiner under the frozen lower ones. Batches hold ``image`` uint8 (b, h, w, 3),
``mask`` uint8 (b, h, w, 1), 1 = hole, and ``mask_type`` or ``category`` int32 (b,). A phase whose
pictures are larger than its level (``data.resolution`` = its side times a power of two) trains and
is judged on what the pyramid makes of them: exactly what the level is given inside the cascade.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Literal

import clu.metrics
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

from segsynth.engine.optimizers import accumulate, adamw, update_ema
from segsynth.errors import UserError
from segsynth.metrics.inpainting import hole_metrics
from segsynth.settings import configure
from segsynth.system import CompiledPredict, FrozenSpec, TrainState
from segsynth.systems.inpaint_c2f import any_size, baselines
from segsynth.systems.inpaint_c2f.cascade import Cascade
from segsynth.systems.inpaint_c2f.categories import CATEGORIES
from segsynth.systems.inpaint_c2f.combiner import Combiner
from segsynth.systems.inpaint_c2f.levels import Levels
from segsynth.systems.inpaint_c2f.losses import NAMES, Losses, boundary_band
from segsynth.systems.inpaint_c2f.pyramid import build_pyramid, compose
from segsynth.systems.inpaint_c2f.training import Objective, count_seen
from segsynth.types import Array, Batch, Frozen, PRNGKey, Scalars, Variables


@dataclasses.dataclass(frozen=True, kw_only=True)
class InpaintC2F:
    """The cascade up to the level that this phase trains."""

    cascade: Cascade
    objective: Objective
    tx: optax.GradientTransformation
    trains_tables: bool = False
    ema: float = 0.9999
    microbatches: int = 1

    inputs = ("image", "mask", "category")
    targets = ("mask_type",)
    on_host = False

    @classmethod
    def from_config(
        cls,
        *,
        train: str = "level3",
        levels: Mapping[str, Any] | None = None,
        lcg: Mapping[str, Any] | None = None,
        loss: Mapping[str, Any] | None = None,
        optimizer: Mapping[str, Any] | None = None,
        combiner: Combiner = "learned",
        combiner_width: int = 64,
        anchored: bool = False,
        augmentation: tuple[float, float] = (0.5, 0.1),
        coarse: Literal["gt", "mix"] = "mix",
        gt_steps: int = 0,
        param: Literal["v", "eps"] = "v",
        schedule: Literal["cosine", "sd"] = "cosine",
        attn: Literal["linear", "softmax"] = "linear",
        feature_map: Literal["swish_shift", "elu1", "relu"] = "swish_shift",
        dtype: Literal["float32", "bfloat16"] = "float32",
        ema: float = 0.9999,
        microbatches: int = 1,
    ) -> "InpaintC2F":
        """Build from the keys of a config's ``system`` section.

        ``train``: "lcg" or "level<l>". ``augmentation``: noise level of the condition, (upper end
        in training, value when sampling). ``microbatches``: parts of a batch over which gradients
        are accumulated.
        """
        if anchored and param != "v":
            raise UserError(
                f"system.anchored needs system.param 'v', found '{param}'; set one of them"
            )
        every = configure(Levels, levels or {}, "system.levels").build()
        top = 1 if train == "lcg" else _level_number(train, len(every))
        lcg = {"tokens": 10, "dim": 1024, "drop": 0.1, "negative": "opposite"} | dict(lcg or {})
        drop = lcg.pop("drop")
        cascade = configure(
            functools.partial(
                Cascade,
                levels=every[:top],
                combiner=combiner,
                combiner_width=combiner_width,
                anchored=anchored,
                augmentation=augmentation[1],
                param=param,
                schedule=schedule,
                attn=attn,
                feature_map=feature_map,
                dtype=jnp.dtype(dtype),
            ),
            lcg,
            "system.lcg",
        )
        objective = Objective(
            cascade=cascade,
            losses=configure(Losses, loss or {}, "system.loss"),
            drop=drop,
            augmentation=augmentation[0],
            coarse=coarse,
            gt_steps=gt_steps,
        )
        return cls(
            cascade=cascade,
            objective=objective,
            tx=configure(adamw, optimizer or {}, "system.optimizer"),
            trains_tables=train == "lcg",
            ema=ema,
            microbatches=microbatches,
        )

    @property
    def top(self) -> int:
        """Number of the level that this phase trains."""
        return len(self.cascade.levels)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The filled image, and that of every lower level."""
        return ("image", *(f"level{i}" for i in range(1, self.top)))

    @property
    def pictures(self) -> tuple[str, ...]:
        """The input with a white hole, every level's fill from the lowest up, and the truth."""
        return ("masked", *self.outputs[1:], "image", "truth")

    @property
    def trained(self) -> tuple[str, ...]:
        """Networks that this phase trains."""
        mine = {f"level{self.top}", f"combiner{self.top}"} | (
            {"lcg"} if self.trains_tables else set()
        )
        return tuple(name for name in self.cascade.network_names(self.top) if name in mine)

    @property
    def frozen(self) -> Mapping[str, FrozenSpec]:
        """Networks of the cascade that an earlier phase trained."""
        return {
            name: FrozenSpec(
                functools.partial(self.cascade.init_network, name), f"{name} of the cascade"
            )
            for name in self.cascade.network_names(self.top)
            if name not in self.trained
        }

    def init(self, key: PRNGKey) -> TrainState:
        """Return the state at step 0."""
        networks = {
            name: dict(self.cascade.init_network(name, jax.random.fold_in(key, i)))
            for i, name in enumerate(self.trained)
        }
        params = {name: variables.pop("params") for name, variables in networks.items()}
        return TrainState.create(
            params=params,
            opt_state={"adamw": self.tx.init(params)},
            ema=jax.tree.map(jnp.copy, params),
            model_state={name: rest for name, rest in networks.items() if rest},
        )

    def train_step(
        self, state: TrainState, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> tuple[TrainState, Scalars]:
        """One AdamW step on the top level's four losses, and one step of the moving averages."""
        example = self._example(state, frozen, batch, key)

        def loss(params: Any, part: Any) -> tuple[Array, Scalars]:
            return self.objective.loss(_networks(params, state.model_state, frozen), part)

        gradient, scalars = accumulate(loss, state.params, example, self.microbatches)
        updates, opt_state = self.tx.update(gradient, state.opt_state["adamw"], state.params)
        params = optax.apply_updates(state.params, updates)
        model_state = state.model_state
        if self.trains_tables:
            model_state = {"lcg": {"seen": model_state["lcg"]["seen"] + count_seen(example)}}
        state = TrainState(
            step=state.step + 1,
            params=params,
            model_state=model_state,
            ema=update_ema(state.ema, params, state.step, self.ema),
            opt_state={"adamw": opt_state},
        )
        return state, {**scalars, "grad_norm": optax.tree.norm(gradient)}

    def diagnose(self, state: TrainState, frozen: Frozen, batch: Batch, key: PRNGKey) -> Scalars:
        """Return the gradient norm of each weighted loss alone; 5-50 % of the noise loss's is a
        healthy balance.
        """
        example = self._example(state, frozen, batch, key)
        consistency = self.cascade.levels[-1].consistency

        def term(params: Any, part: Any, name: str) -> tuple[Array, None]:
            nets = _networks(params, state.model_state, frozen)
            only = {name: self.objective.terms(nets, part)[name]}
            return self.objective.losses.total(only, consistency).mean(), None

        norms = {}
        for name in NAMES:
            loss = functools.partial(term, name=name)
            gradient, _ = accumulate(loss, state.params, example, self.microbatches)
            norms[f"grad_norm_{name}"] = optax.tree.norm(gradient)
        return norms

    def predict(
        self, variables: Variables, frozen: Frozen, inputs: Batch, key: PRNGKey
    ) -> dict[str, Array]:
        """Fill the hole: ``image`` uint8 whose known bytes are those of the input, and each lower
        level's fill.
        """
        image, mask = normalise(inputs["image"]), inputs["mask"].astype(jnp.float32)
        nets = _networks(variables["params"], variables["model_state"], frozen)
        *lower, y = self.cascade.sample(nets, image, mask, inputs["category"], key)
        filled = compose(mask, to_uint8(y), inputs["image"])
        return {"image": filled, **{f"level{i}": to_uint8(z) for i, z in enumerate(lower, start=1)}}

    def eval_step(
        self, variables: Variables, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> tuple[clu.metrics.Collection, dict[str, Array]]:
        """Score the fill of every level, and of the fills that need no network, on the examples
        with ``valid`` = 1.

        The class asked for is background, as a user who only has a hole would ask.
        """
        image, mask = self._at_level(batch)
        seen = to_uint8(image)
        category = jnp.zeros(mask.shape[:1], jnp.int32)
        inputs = {"image": seen, "mask": mask.astype(jnp.uint8), "category": category}
        outputs = self.predict(variables, frozen, inputs, key)
        fills = {
            "": normalise(outputs["image"]),
            "mean_colour__": baselines.mean_colour(image, mask),
            "nearest_known__": baselines.nearest_known(image, mask),
        }
        scores = {}
        for prefix, fill in fills.items():
            scores |= self._score(prefix, fill, image, mask, batch["valid"])
        for i, (x, m) in enumerate(build_pyramid(image, mask, self.top)[:-1], start=1):
            scores |= self._score(
                f"level{i}__", normalise(outputs[f"level{i}"]), x, m, batch["valid"]
            )
        pictures = {
            "masked": compose(mask, jnp.full_like(seen, 255), seen),
            "truth": seen,
            **outputs,
        }
        return clu.metrics.Collection.create_collection(**scores), pictures

    def remarks(
        self, variables: Variables, frozen: Frozen, inputs: Mapping[str, np.ndarray]
    ) -> tuple[str, ...]:
        """Say so when a class is asked for that training never showed."""
        seen = np.asarray({**variables["model_state"], **frozen}["lcg"]["seen"])
        return tuple(
            f"the category asked for is {CATEGORIES[i]}, and training saw no hole of it; the "
            "answer comes from untrained rows"
            for i in np.unique(inputs["category"])
            if seen[i] == 0
        )

    def synthesize(
        self, predict: CompiledPredict, inputs: Mapping[str, np.ndarray], key: PRNGKey
    ) -> dict[str, np.ndarray]:
        """Fill the hole of one picture of any size; see
        :mod:`segsynth.systems.inpaint_c2f.any_size`.
        """
        return any_size.synthesize(self, predict, inputs, key)

    def up_to(self, top: int) -> "InpaintC2F":
        """Return the system that stops at level ``top``."""
        cascade = dataclasses.replace(self.cascade, levels=self.cascade.levels[:top])
        objective = dataclasses.replace(self.objective, cascade=cascade)
        return dataclasses.replace(self, cascade=cascade, objective=objective)

    def _example(
        self, state: TrainState, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> dict[str, Array]:
        draw_key, lower_key = jax.random.split(key)
        image, mask = self._at_level(batch)
        draws = self.objective.draw(batch["mask_type"], image, draw_key)
        nets = _networks(state.params, state.model_state, frozen)
        lower = self.objective.lower(nets, image, mask, draws, state.step, lower_key)
        return {"image": image, "mask": mask, "lower": lower, **draws}

    def _at_level(self, batch: Batch) -> tuple[Array, Array]:
        """Return image and mask of a batch at the side of this phase's level."""
        side, given = self.cascade.levels[-1].side, batch["image"].shape[1]
        halvings = max(0, (given // side).bit_length() - 1)
        if given != side * 2**halvings:
            raise UserError(
                f"data.resolution is {given} where level {self.top} has {side} px; give {side} "
                "times a power of two"
            )
        image, mask = normalise(batch["image"]), batch["mask"].astype(jnp.float32)
        return build_pyramid(image, mask, halvings + 1)[0]

    def _score(self, prefix: str, fill: Array, image: Array, mask: Array, valid: Array) -> dict:
        radius = self.objective.losses.radius(image.shape[1])
        band = boundary_band(mask, radius)
        scores = hole_metrics(fill, image, mask, band, valid)
        return {f"{prefix}{name}": metric for name, metric in scores.items()}


def normalise(image: Array) -> Float[Array, "b h w 3"]:
    """Map uint8 to float32 in [-1, 1]; exact both ways for all 256 values."""
    return image.astype(jnp.float32) / 127.5 - 1


def to_uint8(image: Float[Array, "b h w 3"]) -> Array:
    """Map [-1, 1] to uint8 by rounding (truncation would darken every second grey value)."""
    return jnp.round((jnp.clip(image, -1, 1) + 1) * 127.5).astype(jnp.uint8)


def _level_number(train: str, count: int) -> int:
    names = [f"level{i}" for i in range(1, count + 1)]
    if train not in names:
        raise UserError(f"system.train is '{train}'; expected 'lcg' or one of {', '.join(names)}")
    return names.index(train) + 1


def _networks(params: Mapping[str, Any], model_state: Mapping[str, Any], frozen: Frozen) -> dict:
    """Return the linen variables of all networks."""
    mine = {name: {"params": tree, **model_state.get(name, {})} for name, tree in params.items()}
    return {**frozen, **mine}
