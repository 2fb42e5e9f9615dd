"""Photographs from label maps by SPADE (Park et al., arXiv 1903.07291; docs/mask_restoration.md).

A generator whose normalisations are scaled and shifted by the label map plays against patch
discriminators at two scales: hinge loss, feature matching and a perceptual loss. Facts about
training follow the published code (github.com/NVlabs/SPADE).

Batches hold ``labels`` uint8 (b, h, w, 1), 0 .. classes - 1, ``image`` uint8 (b, h, w, 3) and, with
``edges``, ``instance`` int32 (b, h, w, 1), of which the generator sees the borders of objects.
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

from segsynth.engine.optimizers import players, update_ema
from segsynth.errors import UserError
from segsynth.losses import adversarial
from segsynth.losses.features import feature_matching, perceptual
from segsynth.metrics.accumulators import MeanOverExamples
from segsynth.metrics.set_distances import set_scores
from segsynth.metrics.structural import structural_scores
from segsynth.networks import planes as planes_
from segsynth.networks.patch_discriminator import MultiScaleDiscriminator
from segsynth.networks.spade import DOUBLINGS, SpadeGenerator, start_size
from segsynth.networks.statistics import running_mean
from segsynth.pretrained.set_features import SetFeatures
from segsynth.pretrained.spade_features import SpadeFeatures
from segsynth.settings import configure
from segsynth.system import CompiledPredict, FrozenSpec, TrainState
from segsynth.types import Array, Batch, Frozen, HostBatch, PRNGKey, Scalars, Variables

Order = Literal["sequential", "simultaneous"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weights:
    """Weights of the generator's losses besides the adversarial one, whose weight is 1.

    ``features``: matching the discriminators' features; ``vgg``: perceptual; ``l1``: mean absolute
    difference of pixels, which SPADE does not have. What has weight 0 is not computed.
    """

    features: float = 10.0
    vgg: float = 10.0
    l1: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSynthesis:
    """A SPADE generator and its discriminators for pictures of ``frame`` = (height, width)."""

    classes: int
    frame: tuple[int, int]
    edges: bool
    generator: SpadeGenerator
    discriminator: MultiScaleDiscriminator
    weights: Weights
    features: SpadeFeatures
    generator_tx: optax.GradientTransformation
    discriminator_tx: optax.GradientTransformation
    order: Order = "sequential"
    distances: SetFeatures = SetFeatures()
    ema: float = 0.999

    outputs = ("image",)
    targets = ("image",)
    pictures = ("labels", "image", "photo")
    on_host = False

    @classmethod
    def from_config(
        cls,
        *,
        classes: int = 35,
        frame: tuple[int, int] = (256, 512),
        edges: bool = False,
        generator: Mapping[str, Any] | None = None,
        discriminator: Mapping[str, Any] | None = None,
        loss: Mapping[str, Any] | None = None,
        vgg: Mapping[str, Any] | None = None,
        distances: Mapping[str, Any] | None = None,
        optimizer: Mapping[str, Any] | None = None,
        order: Order = "sequential",
        ema: float = 0.999,
        dtype: Literal["float32", "bfloat16"] = "float32",
    ) -> "ImageSynthesis":
        """Build from the keys of a config's ``system`` section.

        ``classes``: of ``labels``, void ones too. ``frame``: height and width of training pictures,
        multiples of 2^n. ``edges``: whether the generator sees the borders of objects.
        ``generator``: keys of `segsynth.networks.spade.SpadeGenerator`; ``discriminator``: of
        `MultiScaleDiscriminator`. ``order``: "sequential", the discriminators see what the updated
        generator makes, as in SPADE's code; or "simultaneous", one pass of the generator for both.
        ``ema``: decay of the generator's moving average. ``dtype``: of convolutions.
        ``distances``: `SetFeatures` by which evaluation compares sets of pictures.
        """
        shape = {"label_channels": classes + edges, "out_hw": tuple(frame), "dtype": dtype}
        made = configure(SpadeGenerator, {**(generator or {}), **shape}, "system.generator")
        try:
            start_size(made.out_hw, made.upsampling)
        except ValueError as error:
            raise UserError(f"system.frame: {error}") from error
        judge = {**(discriminator or {}), "dtype": dtype}
        generator_tx, discriminator_tx = configure(players, optimizer or {}, "system.optimizer")
        return cls(
            classes=classes,
            frame=made.out_hw,
            edges=edges,
            generator=made,
            discriminator=configure(MultiScaleDiscriminator, judge, "system.discriminator"),
            weights=configure(Weights, loss or {}, "system.loss"),
            features=configure(SpadeFeatures, vgg or {}, "system.vgg"),
            generator_tx=generator_tx,
            discriminator_tx=discriminator_tx,
            order=order,
            distances=configure(SetFeatures, distances or {}, "system.distances"),
            ema=ema,
        )

    @property
    def label_limit(self) -> int:
        """Labels are 0 .. ``label_limit`` - 1, void ones too."""
        return self.classes

    @property
    def inputs(self) -> tuple[str, ...]:
        """The label map, and the map of objects whose borders are drawn."""
        return ("labels", "instance") if self.edges else ("labels",)

    @property
    def frozen(self) -> Mapping[str, FrozenSpec]:
        """VGG19, if it is compared, and the network of an evaluation."""
        specs = {}
        if self.weights.vgg:
            specs["vgg"] = FrozenSpec(
                self.features.init, "features of the perceptual loss", predicts=False
            )
        if self.distances.network:
            doc = "features of sets of pictures"
            specs["inception"] = FrozenSpec(self.distances.init, doc, predicts=False)
        return specs

    def init(self, key: PRNGKey) -> TrainState:
        """Return the state at step 0."""
        keys = jax.random.split(key)
        labels = jnp.zeros((1, *self.frame, self.generator.label_channels))
        pair = jnp.zeros((1, *self.frame, self.generator.label_channels + 3))
        generator = dict(self.generator.init(keys[0], labels))
        discriminator = dict(self.discriminator.init(keys[1], pair))
        params = {"generator": generator["params"], "discriminator": discriminator["params"]}
        return TrainState.create(
            params=params,
            opt_state={
                "generator": self.generator_tx.init(params["generator"]),
                "discriminator": self.discriminator_tx.init(params["discriminator"]),
            },
            ema={"generator": jax.tree.map(jnp.copy, params["generator"])},
            model_state={
                "generator": {"batch_stats": generator["batch_stats"]},
                "discriminator": {"batch_stats": discriminator["batch_stats"]},
                "calibration": {"batches": jnp.zeros((), jnp.int32)},
            },
        )

    def train_step(
        self, state: TrainState, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> tuple[TrainState, Scalars]:
        """One step of the generator, then one of the discriminators.

        In "sequential" order both networks are run twice in training mode, so their statistics
        advance twice, as in SPADE's code. ``key`` decides nothing.
        """
        planes, real = self._planes(batch), planes_.to_unit(batch["image"])
        params, before, opt = state.params, state.model_state, state.opt_state

        def play(mine: Any) -> tuple[Array, Any]:
            fake, moved = self._generate(mine, before["generator"], planes)
            answers = self._judge(
                params["discriminator"], before["discriminator"], planes, fake, real
            )
            terms = self._generator_terms(answers, fake, real, frozen)
            return terms["loss"], (terms, fake, moved, answers[2])

        gradient, (scalars, fake, moved, judged) = jax.grad(play, has_aux=True)(params["generator"])
        updates, generator_opt = self.generator_tx.update(gradient, opt["generator"])
        generator = optax.apply_updates(params["generator"], updates)
        if self.order == "sequential":
            fake, moved = self._generate(generator, moved, planes)
        else:
            judged = before["discriminator"]

        def judge(mine: Any) -> tuple[Array, Any]:
            made, true, after = self._judge(mine, judged, planes, jax.lax.stop_gradient(fake), real)
            loss = adversarial.hinge_discriminator(_logits(true), _logits(made))
            return loss, (loss, after)

        slope, (loss, judged) = jax.grad(judge, has_aux=True)(params["discriminator"])
        updates, discriminator_opt = self.discriminator_tx.update(slope, opt["discriminator"])
        discriminator = optax.apply_updates(params["discriminator"], updates)
        state = TrainState(
            step=state.step + 1,
            params={"generator": generator, "discriminator": discriminator},
            model_state={
                "generator": moved,
                "discriminator": judged,
                "calibration": {"batches": jnp.zeros((), jnp.int32)},
            },
            ema=update_ema(state.ema, {"generator": generator}, state.step, self.ema),
            opt_state={"generator": generator_opt, "discriminator": discriminator_opt},
        )
        return state, {**scalars, "discriminator": loss}

    def calibrate(
        self, state: TrainState, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> TrainState:
        """Take one more batch into the running mean of the statistics of the averaged generator."""
        before, count = state.model_state["generator"], state.model_state["calibration"]["batches"]
        planes = self._planes(batch)
        after = running_mean(
            before, count, lambda fresh: self._generate(state.ema["generator"], fresh, planes)[1]
        )
        counted = {"batches": count + 1}
        return state.replace(
            model_state={**state.model_state, "generator": after, "calibration": counted}
        )

    def predict(
        self, variables: Variables, frozen: Frozen, inputs: Batch, key: PRNGKey
    ) -> dict[str, Array]:
        """Return ``image`` uint8 (b, h, w, 3); h and w are multiples of 2^n. ``key`` decides
        nothing.
        """
        return {"image": planes_.to_bytes(self._picture(variables, inputs))}

    def eval_step(
        self, variables: Variables, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> tuple[clu.metrics.Collection, dict[str, Array]]:
        """Score the made picture against the photograph, on the examples with ``valid`` = 1: L1
        and structural similarity, PSNR in dB; pictures in [-1, 1].

        These say whether a generator follows its labels, not whether its pictures look real: a
        distance between sets of pictures does.
        """
        fake, real = self._picture(variables, batch), planes_.to_unit(batch["image"])
        distance = jnp.abs(fake - real).mean((1, 2, 3))
        scores = {"image_l1": MeanOverExamples.of(distance, batch["valid"])}
        scores |= structural_scores(fake, real, batch["valid"])
        made = planes_.to_bytes(fake)
        if self.distances.network:
            features = functools.partial(self.distances, frozen["inception"])
            written = planes_.to_bytes(fake, self.distances.bytes)
            shown = {"": written}, batch["image"], batch["valid"]
            sort = self.distances
            scores |= set_scores(features, sort.described, *shown, sort.capacity, sort.subset)
        pictures = {
            "labels": batch["labels"].astype(jnp.int32),
            "image": made,
            "photo": batch["image"],
        }
        return clu.metrics.Collection.create_collection(**scores), pictures

    def remarks(self, variables: Variables, frozen: Frozen, inputs: HostBatch) -> tuple[str, ...]:
        """Say so when the map is not of the size of the training pictures."""
        height, width = inputs["labels"].shape[:2]
        if (height, width) == self.frame:
            return ()
        return (
            f"the map is {width}x{height} px and training saw {self.frame[1]}x{self.frame[0]}; "
            "textures keep the size that they had there",
        )

    def synthesize(
        self, predict: CompiledPredict, inputs: HostBatch, key: PRNGKey
    ) -> dict[str, np.ndarray]:
        """Make the picture of one map of any size: grown by its last row and column to multiples of
        2^n, and cut back.

        Raises :class:`UserError` for a label that is no class, and for a map of objects of another
        size.
        """
        labels = inputs["labels"]
        if labels.max(initial=0) >= self.classes:
            raise UserError(
                f"labels hold {labels.max()}; expected 0 to {self.classes - 1}, as in training"
            )
        if any(inputs[name].shape != labels.shape for name in self.inputs):
            raise UserError("labels and instance differ in size; bring two maps of one picture")
        multiple = 2 ** DOUBLINGS[self.generator.upsampling]
        height, width = labels.shape[:2]
        more = ((0, -height % multiple), (0, -width % multiple), (0, 0))
        batch = {name: np.pad(inputs[name], more, mode="edge")[None] for name in self.inputs}
        image = np.asarray(predict(self, batch, key)["image"])[0]
        return {"image": image[:height, :width]}

    def _planes(self, batch: Batch) -> Float[Array, "b h w c"]:
        labels = planes_.label_planes(batch["labels"], self.classes)
        if not self.edges:
            return labels
        return jnp.concatenate([labels, planes_.edge_plane(batch["instance"])], axis=-1)

    def _at(self, planes: Array) -> SpadeGenerator:
        """Return the generator for the size of ``planes``; it has the same variables at any."""
        size = planes.shape[1:3]
        try:
            start_size(size, self.generator.upsampling)
        except ValueError as error:
            raise UserError(f"pictures of {size[0]}x{size[1]}: {error}") from error
        return self.generator.clone(out_hw=size)

    def _generate(self, params: Any, state: Any, planes: Array) -> tuple[Array, Any]:
        variables = {"params": params, **state}
        return self._at(planes).apply(variables, planes, train=True, mutable=["batch_stats"])

    def _picture(self, variables: Variables, batch: Batch) -> Float[Array, "b h w 3"]:
        planes = self._planes(batch)
        mine = {
            "params": variables["params"]["generator"],
            **variables["model_state"]["generator"],
        }
        return self._at(planes).apply(mine, planes)

    def _judge(self, params: Any, state: Any, planes: Array, fake: Array, real: Array) -> tuple:
        """Return the discriminators' answers to made and to real pictures, and their state."""
        pairs = [jnp.concatenate([planes, image], axis=-1) for image in (fake, real)]
        outputs, after = self.discriminator.apply(
            {"params": params, **state},
            jnp.concatenate(pairs),
            train=True,
            mutable=["batch_stats"],
        )
        half = len(fake)
        made, true = (
            [[x[part] for x in scale] for scale in outputs]
            for part in (slice(half), slice(half, None))
        )
        return made, true, after

    def _generator_terms(self, answers: tuple, fake: Array, real: Array, frozen: Frozen) -> Scalars:
        """Return the unweighted losses of the generator, and ``loss``, their weighted sum."""
        made, true, _ = answers
        terms = {"adversarial": adversarial.hinge_generator(_logits(made))}
        if self.weights.features:
            terms["features"] = feature_matching(made, true)
        if self.weights.vgg:
            terms["vgg"] = perceptual(*self.features.both(frozen["vgg"], fake, real))
        if self.weights.l1:
            terms["l1"] = jnp.abs(fake - real).mean()
        weight = {"adversarial": 1.0, **dataclasses.asdict(self.weights)}
        total = sum((weight[name] * term for name, term in terms.items()), start=jnp.zeros(()))
        return {"loss": total, **terms}


def _logits(answers: Any) -> list[Array]:
    return [scale[-1] for scale in answers]
