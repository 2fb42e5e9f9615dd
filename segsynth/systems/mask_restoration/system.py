"""Damaged label maps restored by a second generator, under a frozen image generator.

docs/mask_restoration.md. A SPADE generator that ends in logits completes the map; its softmax goes
through the frozen image generator, and the cross-entropy of the map and the distance of the picture
from the photograph train it. Nothing but the restorer learns.

Batches hold ``labels`` uint8 (b, h, w, 1), 0 .. classes - 1; ``coarse`` of the same kind for that
task; ``image`` uint8 (b, h, w, 3) where a picture is compared; ``instance`` where the image
generator is told the true borders of objects. A user brings the damaged map alone.
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

from segsynth.engine.optimizers import update_ema
from segsynth.metrics.restoration import to_byte
from segsynth.networks.planes import label_planes, to_bytes, to_unit
from segsynth.networks.statistics import running_mean
from segsynth.pretrained.set_features import SetFeatures
from segsynth.pretrained.spade_features import SpadeFeatures
from segsynth.settings import configure
from segsynth.system import CompiledPredict, FrozenSpec, TrainState
from segsynth.systems.mask_restoration import any_size, judging, tasks
from segsynth.systems.mask_restoration.answers import Answers
from segsynth.systems.mask_restoration.bridges import Bridge, confidence
from segsynth.systems.mask_restoration.building import adam, check, spade
from segsynth.systems.mask_restoration.degradations import Damaged, Labels
from segsynth.systems.mask_restoration.frozen_generator import (
    Edges,
    FrozenGenerator,
    assert_connected,
)
from segsynth.systems.mask_restoration.objective import Objective, Weights
from segsynth.systems.mask_restoration.restorer import Restorer, Unknown, planes_of
from segsynth.systems.mask_restoration.table import table
from segsynth.types import Array, Batch, Frozen, HostBatch, PRNGKey, Scalars, Variables

_EXPERIMENTAL = (
    "Experimental: trained by photographs alone, without a true map; thin and rare classes are "
    "the first to be lost."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskRestoration:
    """A restorer of one task, and the frozen generator, if there is one."""

    task: tasks.Task
    classes: int
    frame: tuple[int, int]
    restorer: Restorer
    objective: Objective
    tx: optax.GradientTransformation
    generator: FrozenGenerator | None = None
    names: tuple[str, ...] = ()
    evaluated: tuple[int, ...] = ()
    told: float = 0.0
    image_target: Literal["photo", "synth"] = "photo"
    options: Answers = Answers()
    distances: SetFeatures = SetFeatures()
    ema: float = 0.999

    on_host = False

    @classmethod
    def from_config(
        cls,
        *,
        task: str = "coarse",
        mixture: tuple[str, ...] = (),
        damage: Mapping[str, Any] | None = None,
        told: float = 0.0,
        classes: int = 35,
        names: tuple[str, ...] = (),
        evaluated: tuple[int, ...] = (),
        unlabelled: int = 0,
        unknown: Unknown = "as_class0",
        frame: tuple[int, int] = (256, 512),
        restorer: Mapping[str, Any] | None = None,
        generator: Mapping[str, Any] | None = None,
        edges: Edges = "none",
        generator_norm: Literal["running", "batch"] = "running",
        bridge: Bridge = "softmax",
        tau: float = 1.0,
        loss: Mapping[str, Any] | None = None,
        vgg: Mapping[str, Any] | None = None,
        distances: Mapping[str, Any] | None = None,
        image_target: Literal["photo", "synth"] = "photo",
        clamp_known: bool = False,
        confidence: bool = False,
        optimizer: Mapping[str, Any] | None = None,
        ema: float = 0.999,
        dtype: Literal["float32", "bfloat16"] = "float32",
    ) -> "MaskRestoration":
        """Build from the keys of a config's ``system`` section.

        ``task``: a name of `tasks.KINDS`, or "mixture" of those in ``mixture``. ``damage``: fields
        of the kinds (`tasks.build`). ``told``: probability that a mixture's restorer is told the
        kind of an example in extra planes, as a user may; 0 = it has no such planes.
        ``classes``: with void ones; ``names`` of them; ``evaluated``: their numbers in the official
        benchmark, 255 = void. ``unlabelled``: label of the pixels without one. ``unknown``: whether
        such pixels are of that class for the restorer, or have a plane of their own. ``restorer``,
        ``generator``: keys of `segsynth.networks.spade.SpadeGenerator`; an empty ``generator``
        means none, and then no loss may look at a picture. ``edges``, ``generator_norm``:
        `FrozenGenerator`. ``bridge``, ``tau``: `bridges`. ``loss``: `objective.Weights`.
        ``image_target``: the picture y, the photograph or what the generator makes of the true map.
        ``clamp_known``: known pixels keep their label. ``confidence``: also an output of that name.
        ``distances``: `SetFeatures` by which evaluation compares sets of pictures.
        """
        weights = configure(Weights, loss or {}, "system.loss")
        chosen = tasks.build(
            task,
            mixture,
            damage or {},
            classes=classes,
            unlabelled=unlabelled,
            none_is_missing=unknown == "extra_channel",
        )
        check(chosen, weights, bool(generator), told)
        kinds = len(chosen.kinds) if told else 0
        planes = planes_of(classes, unknown, kinds)
        size = {"out_hw": tuple(frame), "dtype": dtype}
        shape = {"label_channels": planes, "out_channels": classes, "final": "logits", **size}
        made = spade({**(restorer or {}), **shape}, "system.restorer")
        frozen = None
        if generator:
            shape = {"label_channels": classes + (edges != "none"), **size}
            module = spade({**generator, **shape}, "system.generator")
            frozen = FrozenGenerator(module, edges, generator_norm)
        return cls(
            task=chosen,
            classes=classes,
            frame=made.out_hw,
            restorer=Restorer(made, classes, unknown, kinds),
            objective=Objective(
                weights=weights,
                features=configure(SpadeFeatures, vgg or {}, "system.vgg"),
                bridge=bridge,
                tau=tau,
            ),
            tx=adam(optimizer or {}),
            generator=frozen,
            names=tuple(names),
            evaluated=tuple(evaluated),
            told=told,
            image_target=image_target,
            options=Answers(clamp_known, confidence).checked(chosen, told),
            distances=configure(SetFeatures, distances or {}, "system.distances"),
            ema=ema,
        )

    @property
    def label_limit(self) -> int:
        """Labels are 0 .. ``label_limit`` - 1, void ones too."""
        return self.classes

    @property
    def inputs(self) -> tuple[str, ...]:
        """The damaged map, and the objects whose true borders the generator is told."""
        return (self.task.given, "instance") if self._told_borders else (self.task.given,)

    @property
    def targets(self) -> tuple[str, ...]:
        """The true map, what is damaged if it is another, and the photograph."""
        wanted = ("labels", *self.task.reads, *(("image",) if self.generator else ()))
        return tuple(name for name in dict.fromkeys(wanted) if name not in self.inputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The restored map, the picture made from it, and how certain the map is."""
        image = ("image",) if self.generator else ()
        return ("labels", *image, *(("confidence",) if self.options.confidence else ()))

    @property
    def pictures(self) -> tuple[str, ...]:
        """Maps, and the picture of the restored one beside the photograph."""
        images = ("image", "photo") if self.generator else ()
        return ("damaged", "restored", "truth", *images)

    @property
    def frozen(self) -> Mapping[str, FrozenSpec]:
        """The image generator, VGG19 if it is compared, and the network of an evaluation."""
        specs = {}
        if self.generator:
            specs["generator"] = FrozenSpec(self.generator.init, "makes pictures from label maps")
        if self.objective.weights.vgg:
            features = self.objective.features
            specs["vgg"] = FrozenSpec(features.init, "features of pictures", predicts=False)
        if self.generator and self.distances.network:
            doc = "features of sets of pictures"
            specs["inception"] = FrozenSpec(self.distances.init, doc, predicts=False)
        return specs

    def adjusted(self, options: Answers) -> "MaskRestoration":
        """Return the system with other options of its answers."""
        return dataclasses.replace(self, options=options.checked(self.task, self.told))

    def check_frozen(self, frozen: Frozen) -> None:
        """Raise :class:`UserError` unless the weights of the generator give a gradient.

        The step itself checks the program alone.
        """
        if self.generator and self.objective.weights.image:
            self.generator.check(frozen["generator"])

    def init(self, key: PRNGKey) -> TrainState:
        """Return the state at step 0."""
        made = dict(self.restorer.init(key))
        params = {"restorer": made["params"]}
        return TrainState.create(
            params=params,
            opt_state={"adam": self.tx.init(params)},
            ema=jax.tree.map(jnp.copy, params),
            model_state={
                "restorer": {"batch_stats": made["batch_stats"]},
                "calibration": {"batches": jnp.zeros((), jnp.int32)},
            },
        )

    def train_step(
        self, state: TrainState, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> tuple[TrainState, Scalars]:
        """One Adam step of the restorer; networks without a weight are not run."""
        planes, key = self._example(batch, key)

        def loss(params: Any) -> tuple[Array, Any]:
            mine = params["restorer"], state.model_state["restorer"]
            logits, moved = self.restorer.learn(*mine, planes)
            terms = self._terms(logits, frozen, batch, key)
            return self.objective.total(terms), (terms, moved)

        compute = jax.value_and_grad(loss, has_aux=True)
        (total, (terms, moved)), gradient = compute(state.params)
        updates, opt_state = self.tx.update(gradient, state.opt_state["adam"])
        params = optax.apply_updates(state.params, updates)
        state = TrainState(
            step=state.step + 1,
            params=params,
            model_state={
                "restorer": moved,
                "calibration": {"batches": jnp.zeros((), jnp.int32)},
            },
            ema=update_ema(state.ema, params, state.step, self.ema),
            opt_state={"adam": opt_state},
        )
        return state, {"loss": total, **terms, "grad_norm": optax.tree.norm(gradient)}

    def calibrate(
        self, state: TrainState, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> TrainState:
        """Take one more batch into the running mean of the statistics of the averaged restorer."""
        before, count = state.model_state["restorer"], state.model_state["calibration"]["batches"]
        planes, _ = self._example(batch, key)
        after = running_mean(
            before,
            count,
            lambda fresh: self.restorer.learn(state.ema["restorer"], fresh, planes)[1],
        )
        counted = {"batches": count + 1}
        return state.replace(
            model_state={**state.model_state, "restorer": after, "calibration": counted}
        )

    def diagnose(self, state: TrainState, frozen: Frozen, batch: Batch, key: PRNGKey) -> Scalars:
        """Return what each weighted loss sends back to the logits: the norm of its gradient, and
        the share of pixels that get any.
        """
        planes, key = self._example(batch, key)
        mine = state.params["restorer"], state.model_state["restorer"]
        logits, _ = self.restorer.learn(*mine, planes)
        found = {}
        for name, weight in self.objective.weights.used.items():
            gradient = jax.grad(
                lambda z, name=name, weight=weight: (
                    weight * self._terms(z, frozen, batch, key)[name]
                )
            )(logits)
            found[f"grad_norm_{name}"] = optax.tree.norm(gradient)
            found[f"reached_{name}"] = (gradient != 0).any(-1).mean()
        return found

    def predict(
        self, variables: Variables, frozen: Frozen, inputs: Batch, key: PRNGKey
    ) -> dict[str, Array]:
        """Restore damaged maps: ``labels`` uint8 (b, h, w, 1), the ``image`` made from them and
        ``confidence`` uint8 (b, h, w, 1), 255 = certain. ``key`` decides nothing.
        """
        damaged = self.task.as_given(inputs[self.task.given][..., 0])
        kind = None
        if self.options.damage:
            kind = jnp.full(len(damaged.labels), self.task.names.index(self.options.damage))
        logits = self.logits(variables, damaged, kind)
        labels = self.labels(logits, damaged)[..., None]
        outputs = {"labels": labels}
        if self.generator:
            planes = label_planes(labels, self.classes)
            outputs["image"] = to_bytes(self._picture(frozen, inputs, planes))
        if self.options.confidence:
            outputs["confidence"] = to_byte(confidence(logits))[..., None]
        return outputs

    def eval_step(
        self, variables: Variables, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> tuple[clu.metrics.Collection, dict[str, Array]]:
        """Score the restored map, the damaged one and what needs no network against the true map,
        and the pictures made from them against the photograph, where ``valid`` = 1: one by one,
        and as sets (``distances``).
        """
        damaged, kind = self.task.damage(batch, key)
        scores, drawn = judging.judge(self, variables, frozen, batch, damaged, kind)
        return clu.metrics.Collection.create_collection(**scores), drawn

    def report(self, metrics: Mapping[str, float]) -> str:
        """Return the table of an evaluation (`table`), and a remark on a row beyond the paper."""
        weights = self.objective.weights
        title = f"{'+'.join(self.task.names)}, {'_'.join(weights.used)}"
        text = table(metrics, title, self.names)
        return text if weights.ce else f"{text}\n\n{_EXPERIMENTAL}"

    def remarks(self, variables: Variables, frozen: Frozen, inputs: HostBatch) -> tuple[str, ...]:
        """Say so when nothing is damaged, or the size is not that of training."""
        return any_size.remarks(self, inputs)

    def synthesize(
        self, predict: CompiledPredict, inputs: HostBatch, key: PRNGKey
    ) -> dict[str, np.ndarray]:
        """Restore one map of any size; see `any_size`."""
        return any_size.synthesize(self, predict, inputs, key)

    @property
    def _told_borders(self) -> bool:
        return self.generator is not None and self.generator.edges == "true_instance"

    def _example(self, batch: Batch, key: PRNGKey) -> tuple[Array, PRNGKey]:
        """Return the planes of a damaged batch, and a key for what else is drawn."""
        damage_key, tell_key, rest = jax.random.split(key, 3)
        damaged, kind = self.task.damage(batch, damage_key)
        if self.told:
            told = jax.random.bernoulli(tell_key, self.told, kind.shape)
            kind = jnp.where(told, kind, -1)
        return self.restorer.planes(damaged, kind), rest

    def logits(
        self, variables: Variables, damaged: Damaged, kind: Array | None = None
    ) -> Float[Array, "b h w c"]:
        """Complete damaged maps by running statistics; ``kind`` of the damage, where told."""
        mine = {
            "params": variables["params"]["restorer"],
            **variables["model_state"]["restorer"],
        }
        return self.restorer(mine, self.restorer.planes(damaged, kind))

    def labels(self, logits: Float[Array, "b h w c"], damaged: Damaged) -> Labels:
        """Return the most probable labels, known ones kept where a user wants it."""
        found = logits.argmax(-1).astype(jnp.uint8)
        return (
            jnp.where(damaged.known, damaged.labels, found) if self.options.clamp_known else found
        )

    def _picture(self, frozen: Frozen, batch: Batch, planes: Array) -> Float[Array, "b h w 3"]:
        return self.generator(frozen["generator"], planes, batch.get("instance"))

    def _terms(self, logits: Array, frozen: Frozen, batch: Batch, key: PRNGKey) -> Scalars:
        labels = batch["labels"][..., 0].astype(jnp.int32)
        if not self.objective.weights.image:
            return self.objective.terms(logits, labels, None, None, None, key)
        picture = functools.partial(self._picture, frozen, batch)
        shape = jax.ShapeDtypeStruct(logits.shape, jnp.float32)
        assert_connected(picture, shape)
        photo = to_unit(batch["image"])
        if self.image_target == "synth":
            photo = picture(label_planes(batch["labels"], self.classes))
        vgg = frozen.get("vgg")
        return self.objective.terms(logits, labels, photo, picture, vgg, key)
