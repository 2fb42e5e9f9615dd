"""Photographs to line drawings, learned without pairs (Choi and Lee, 2023; docs/line_drawing.md).

Two generators turn photographs into drawings and back under a discriminator each, as in CycleGAN.
A drawing must also let frozen networks read the photograph's depth and meaning (Chan, Durand,
Isola, CVPR 2022) and let a U-Net find its label map, which is what Choi and Lee add. With
``seg.mode`` "off" it is their baseline: the same networks from the same numbers, the U-Net and the
labels gone.

Batches hold ``image`` uint8 (b, h, w, 3) and, of other pictures, ``drawing`` uint8 (b, h, w, 1),
or ``colour_drawing`` uint8 (b, h, w, 3) if ``generator.channels`` is 3;
``depth`` float32 (b, h, w, 1), 1 = nearest, if it is compared; ``labels`` uint8 (b, h, w, 1), 255 =
unlabelled, if there is a segmenter. h and w are multiples of 4. Inside, pictures are in [0, 1].
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import clu.metrics
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float, UInt8

from segsynth.engine.optimizers import update_ema
from segsynth.errors import UserError
from segsynth.metrics.accumulators import finite_means
from segsynth.metrics.clip_score import PROMPT
from segsynth.networks.any_side import drawn
from segsynth.settings import configure
from segsynth.system import CompiledPredict, FrozenSpec, TrainState
from segsynth.systems.line_drawing import any_size, building, evaluation, pool
from segsynth.systems.line_drawing.manner import Manner
from segsynth.systems.line_drawing.networks import JUDGES, Networks
from segsynth.systems.line_drawing.objective import Examples, Objective, Played
from segsynth.systems.line_drawing.optimizers import adams
from segsynth.systems.line_drawing.panel import Panel
from segsynth.systems.line_drawing.presets import Preset, resolved
from segsynth.systems.line_drawing.segmentation import IGNORE, WARM_RATE
from segsynth.types import Array, Batch, Frozen, HostBatch, PRNGKey, Scalars, Variables


@dataclasses.dataclass(frozen=True, kw_only=True)
class LineDrawing:
    """Generators, discriminators and what helps them to learn."""

    objective: Objective
    generators_tx: optax.GradientTransformation
    judges_tx: optax.GradientTransformation
    side: int = 256
    pool: int = 0
    ema: float = 0.0
    panel: Panel = Panel()
    manner: Manner = Manner()

    inputs = ("image",)
    ignored_label = IGNORE
    on_host = False

    @classmethod
    def from_config(
        cls,
        *,
        preset: Preset = "paper",
        side: int = 256,
        generator: Mapping[str, Any] | None = None,
        discriminator: Mapping[str, Any] | None = None,
        features: Mapping[str, Any] | None = None,
        geometry: Mapping[str, Any] | None = None,
        clip: Mapping[str, Any] | None = None,
        loss: Mapping[str, Any] | None = None,
        seg: Mapping[str, Any] | None = None,
        pool: int | None = None,
        optimizer: Mapping[str, Any] | None = None,
        ema: float = 0.0,
        judged_by: tuple[str, ...] = (),
        subjects: tuple[str, ...] | None = None,
        prompt: str = PROMPT,
        things: tuple[int, ...] = (),
        style: Mapping[str, Any] | None = None,
        retrieval: Mapping[str, Any] | None = None,
        outsider: Mapping[str, Any] | None = None,
        dtype: Literal["float32", "bfloat16"] = "float32",
    ) -> "LineDrawing":
        """Build from the keys of a config's ``system`` section.

        ``preset``: the method (`presets.PRESETS`); what is None keeps its value. ``side``: of
        training pictures, which a pool must know. ``generator``: ``width``, ``blocks``,
        ``channels``, 1 or 3 for drawings in colour, whose grey is segmented;
        ``discriminator``: ``width``, ``layers``; ``features``: ``network``, ``side``
        (`segsynth.pretrained.drawing_features.ShapeFeatures`); ``geometry``: ``width``, ``blocks``
        of the depth head, ``finetune`` and ``loss``; ``clip``: ``network``, ``resize``, ``loss``,
        ``patches``; ``loss``: `losses.Weights`; ``seg``: `segmentation.Segmentation`. ``pool``:
        made pictures of each kind that are kept for the discriminators. ``optimizer``:
        `optimizers.adams`. ``ema``: decay of the drawer's moving average; 0 = none.
        ``judged_by`` and what follows it: who judges drawings in evaluations (`Panel`).
        """
        sections = {"generator": generator, "discriminator": discriminator, "features": features}
        sections |= {"geometry": geometry, "clip": clip, "loss": loss, "seg": seg, "pool": pool}
        settings = resolved(preset, sections)
        panel = Panel.from_config(
            judged_by=judged_by,
            subjects=subjects,
            prompt=prompt,
            things=things,
            style=style,
            retrieval=retrieval,
            outsider=outsider,
        )
        made = building.objective(settings, panel.judged_by, dtype)
        rates = dict(optimizer or {})
        if made.seg.mode == "warm_joint":
            rates.setdefault("segmenter", WARM_RATE)
        generators_tx, judges_tx = configure(adams, rates, "system.optimizer")
        return cls(
            objective=made,
            generators_tx=generators_tx,
            judges_tx=judges_tx,
            side=side,
            pool=settings["pool"],
            ema=ema,
            panel=panel,
        )

    @property
    def networks(self) -> Networks:
        """The modules."""
        return self.objective.networks

    @property
    def outputs(self) -> tuple[str, ...]:
        """Drawings."""
        return (self.networks.drawings,)

    @property
    def targets(self) -> tuple[str, ...]:
        """Drawings, and what is known of the photograph."""
        depth = ("depth",) if self.objective.weights.geometry else ()
        known = set(self.panel.targets) | ({"labels"} if self.objective.seg.used else set())
        return (*self.outputs, *depth, *(name for name in ("labels", "subject") if name in known))

    @property
    def label_limit(self) -> int:
        """Labels are 0 .. ``label_limit`` - 1, or `ignored_label`; borders are told from any."""
        classes = self.objective.seg.classes if self.objective.seg.used else IGNORE
        return min(classes, self.panel.label_limit)

    @property
    def pictures(self) -> tuple[str, ...]:
        """What an evaluation shows."""
        labels = ("labels",) if "labels" in self.targets else ()
        return ("photo", "drawing", "restored", *labels)

    @property
    def options(self) -> Manner:
        """How users want their drawings."""
        return self.manner

    @property
    def texts(self) -> tuple[str, ...]:
        """What is answered in words besides."""
        return ("svg",) if self.manner.svg else ()

    def adjusted(self, options: Manner) -> "LineDrawing":
        """Return the system with other options.

        Raises:
            UserError: what `Manner.checked` says; strokes of drawings in colour.

        """
        if options.svg and self.networks.drawer.out_channels != 1:
            raise UserError("svg draws lines of one colour, these drawings have more; leave it out")
        return dataclasses.replace(self, manner=options.checked())

    @property
    def players(self) -> tuple[str, ...]:
        """Networks of the generators' side that are trained."""
        geometry = self.objective.weights.geometry and self.objective.finetune
        helpers = {"geometry": geometry, "segmenter": self.objective.seg.trained}
        return ("drawer", "painter", *(name for name, learns in helpers.items() if learns))

    @property
    def continued(self) -> tuple[str, ...]:
        """Networks that must start from others' numbers, by ``init_from``."""
        return ("segmenter",) if self.objective.seg.mode == "warm_joint" else ()

    @property
    def frozen(self) -> Mapping[str, FrozenSpec]:
        """What reads drawings, as far as it is not trained."""
        nets, specs = self.networks, {}
        if self.objective.weights.geometry:
            specs["features"] = FrozenSpec(nets.features.init, "Inception features of a drawing")
            if not self.objective.finetune:
                specs["geometry"] = self._spec("geometry", "reads depth from features")
        if nets.meaning is not None:
            specs["clip"] = FrozenSpec(nets.meaning.init, "CLIP, for meaning")
        if self.objective.seg.used and not self.objective.seg.trained:
            specs["segmenter"] = self._spec("segmenter", "reads labels from a drawing")
        specs |= self.panel.frozen
        return {name: dataclasses.replace(spec, predicts=False) for name, spec in specs.items()}

    def init(self, key: PRNGKey) -> TrainState:
        """Return the state at step 0; a network's numbers do not depend on which others there
        are.
        """
        made = {name: self.networks.init(name, key) for name in (*self.players, *JUDGES)}
        params = {name: variables.pop("params") for name, variables in made.items()}
        model_state: dict[str, Any] = {name: rest for name, rest in made.items() if rest}
        if self.pool:
            model_state["pools"] = {
                name: pool.Pool.empty(self.pool, self.side, self.side, channels)
                for name, channels in self.networks.shown().items()
            }
        return TrainState.create(
            params=params,
            opt_state={
                "generators": self.generators_tx.init(_of(params, self.players)),
                "judges": self.judges_tx.init(_of(params, JUDGES)),
            },
            ema={"drawer": jax.tree.map(jnp.copy, params["drawer"])} if self.ema else {},
            model_state=model_state,
        )

    def train_step(
        self, state: TrainState, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> tuple[TrainState, Scalars]:
        """One step of the generators' side, then one of the discriminators on what the generators
        made before it.
        """
        examples, nets = self._examples(batch), self._nets(state.variables(), frozen)
        nets["drawer"] = {"params": state.params["drawer"]}
        mine, judging = _of(state.params, self.players), _of(state.params, JUDGES)
        guard_key, pool_key = (jax.random.fold_in(key, i) for i in range(2))

        def play(params: Any) -> tuple[Array, Played]:
            return self.objective.generators(
                _replaced(nets, params), examples, state.step, guard_key
            )

        gradient, played = jax.grad(play, has_aux=True)(mine)
        updates, generators_opt = self.generators_tx.update(
            gradient, state.opt_state["generators"], mine
        )
        moved = optax.apply_updates(mine, updates)
        made = dict(zip(JUDGES, (played.photo, played.drawing), strict=True))
        made, pools = self._from_pools(state.model_state, made, pool_key)
        real = dict(zip(JUDGES, (examples.photo, examples.drawing), strict=True))

        def judge(params: Any) -> tuple[Array, Scalars]:
            return self.objective.discriminators(_replaced(nets, params), real, made)

        slope, answers = jax.grad(judge, has_aux=True)(judging)
        updates, judges_opt = self.judges_tx.update(slope, state.opt_state["judges"], judging)
        judging = optax.apply_updates(judging, updates)
        averaged = _of(moved, tuple(state.ema))
        state = TrainState(
            step=state.step + 1,
            params={**moved, **judging},
            model_state={**state.model_state, **played.moved, **pools},
            ema=update_ema(state.ema, averaged, state.step, self.ema),
            opt_state={"generators": generators_opt, "judges": judges_opt},
        )
        return state, {**played.scalars, **answers}

    def predict(
        self, variables: Variables, frozen: Frozen, inputs: Batch, key: PRNGKey
    ) -> dict[str, Array]:
        """Return ``drawing`` uint8 (b, h, w, 1) or ``colour_drawing`` (b, h, w, 3), 255 = paper.
        ``key`` decides nothing.
        """
        photo = inputs["image"].astype(jnp.float32) / 255
        drawer = self._nets(variables, frozen)["drawer"]
        return {self.networks.drawings: to_bytes(drawn(self.networks.drawer, drawer, photo))}

    def eval_step(
        self, variables: Variables, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> tuple[clu.metrics.Collection, dict[str, Array]]:
        """Score drawings on the examples with ``valid`` = 1: the losses, what they show
        (`segsynth.metrics.readability`) and, given subjects, the CLIP score with its controls.
        """
        examples, nets = self._examples(batch), self._nets(variables, frozen)
        valid = batch["valid"]
        drawing = self.networks.draw(nets, examples.photo)
        restored = self.networks.paint(nets, drawing)
        common = (nets, examples, drawing)
        values = evaluation.loss_values(self.objective, *common, restored)
        if self.objective.weights.geometry:
            values |= evaluation.depth_values(self.objective, *common)
        values |= self.panel.values(examples, drawing)
        scores = finite_means(values, valid)
        meaning, subject = self.networks.meaning, batch.get("subject")
        scores |= self.panel.scores(meaning, nets, examples, drawing, subject, valid)
        shown = {"photo": batch["image"], "restored": to_bytes(restored)}
        shown["drawing"] = jnp.broadcast_to(to_bytes(drawing), batch["image"].shape)
        if examples.labels is not None:
            shown["labels"] = examples.labels[..., None]
        return clu.metrics.Collection.create_collection(**scores), shown

    def remarks(self, variables: Variables, frozen: Frozen, inputs: HostBatch) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def synthesize(
        self, predict: CompiledPredict, inputs: Mapping[str, Any], key: PRNGKey
    ) -> dict[str, Any]:
        """Draw one photograph of any size (`any_size`)."""
        answer = any_size.synthesize(predict, self.networks.drawer, inputs, self.manner)
        return {self.networks.drawings: answer.pop("drawing"), **answer}

    def survey(self, predict: CompiledPredict, examples: Iterable[HostBatch]) -> Mapping[str, Any]:
        """Return the statistics of a film."""
        return any_size.survey(predict, self.networks.drawer, examples, self.manner)

    def _spec(self, name: str, doc: str) -> FrozenSpec:
        return FrozenSpec(lambda key: self.networks.init(name, key), doc)

    def _nets(self, variables: Variables, frozen: Frozen) -> dict[str, Any]:
        """Return the linen variables of all networks."""
        state = variables["model_state"]
        mine = {
            name: {"params": p, **state.get(name, {})} for name, p in variables["params"].items()
        }
        return {**frozen, **mine}

    def _examples(self, batch: Batch) -> Examples:
        height, width = batch["image"].shape[1:3]
        if height % any_size.MULTIPLE or width % any_size.MULTIPLE:
            raise UserError(
                f"training pictures of {width}x{height} px; expected multiples of "
                f"{any_size.MULTIPLE}: set data.resolution"
            )
        named = {name: batch[name] for name in (*self.inputs, *self.targets)}
        return Examples.of(named, self.networks.drawings)

    def _from_pools(
        self, model_state: Mapping[str, Any], made: Mapping[str, Array], key: PRNGKey
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return what the discriminators are shown, and the pools after, if there are any."""
        if not self.pool:
            return dict(made), {}
        shown, after = {}, {}
        for i, (name, pictures) in enumerate(made.items()):
            drawn = pool.draws(jax.random.fold_in(key, i), len(pictures), self.pool)
            shown[name], after[name] = pool.push(model_state["pools"][name], pictures, *drawn)
        return shown, {"pools": after}


def to_bytes(picture: Float[Array, "b h w c"]) -> UInt8[Array, "b h w c"]:
    """Map [0, 1] to bytes by rounding."""
    return jnp.round(jnp.clip(picture, 0, 1) * 255).astype(jnp.uint8)


def _of(trees: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: trees[name] for name in names}


def _replaced(nets: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of all networks with other parameters for some."""
    return {**nets, **{name: {**nets[name], "params": tree} for name, tree in params.items()}}
