"""A classifier of a face's attributes: the judge of face editing (docs/msagan.md).

It must not be the one that an editor plays against, nor be trained with it. The paper's is
ResNet50, trained for 50 epochs on the training split (Yang, Han, Moon, JKSCI 25(5) 2020); a second
one of another architecture guards against edits that only fool the first.

Batches hold ``image`` uint8 (b, h, w, 3) and ``attributes`` int32 (b, n), 0 or 1.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import clu.metrics
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Shaped

from segsynth.engine.optimizers import adamw
from segsynth.errors import UserError
from segsynth.metrics.accumulators import MeanOverExamples
from segsynth.metrics.editing import EditingAccuracy
from segsynth.metrics.names import collected
from segsynth.metrics.segmentation import Entry
from segsynth.networks.planes import to_unit
from segsynth.pretrained.attribute_classifier import AttributeClassifier
from segsynth.settings import configure
from segsynth.system import CompiledPredict, FrozenSpec, TrainState
from segsynth.types import Array, Batch, Frozen, HostBatch, PRNGKey, Scalars, Variables

#: Our names of the shares of `EditingAccuracy`, where the target is the label.
_SHARES = {
    "accuracy": "accuracy",
    "balanced": "balanced",
    "with_it": "to_on",
    "without_it": "to_off",
    "low": "low",
    "high": "high",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classifier:
    """A classifier of ``attributes``; a run keeps it under the name ``called``."""

    classifier: AttributeClassifier
    attributes: tuple[str, ...]
    called: str
    tx: optax.GradientTransformation
    shift: int = 4

    inputs = ("image",)
    targets = ("attributes",)
    outputs = ("attributes",)
    pictures = ("image",)
    on_host = False

    @classmethod
    def from_config(
        cls,
        *,
        network: Mapping[str, Any] | None = None,
        attributes: tuple[str, ...] = ("Mouth_Slightly_Open",),
        called: str = "classifier",
        shift: int = 4,
        optimizer: Mapping[str, Any] | None = None,
    ) -> "Classifier":
        """Build from the keys of a config's ``system`` section.

        ``network``: keys of `segsynth.pretrained.attribute_classifier.AttributeClassifier`.
        ``attributes``: what the columns of ``attributes`` are called. ``called``: the name by
        which other phases take the network as frozen. ``shift``: training pictures are moved by up
        to so many px. ``optimizer``: keys of `segsynth.engine.optimizers.adamw`.
        """
        if not attributes:
            raise UserError("system.attributes is empty; name what the classifier is to tell")
        shape = {**(network or {}), "attributes": len(attributes)}
        return cls(
            classifier=configure(AttributeClassifier, shape, "system.network"),
            attributes=tuple(attributes),
            called=called,
            tx=configure(adamw, optimizer or {}, "system.optimizer"),
            shift=shift,
        )

    @property
    def frozen(self) -> Mapping[str, FrozenSpec]:
        """None."""
        return {}

    def init(self, key: PRNGKey) -> TrainState:
        """Return the state at step 0."""
        variables = dict(self.classifier.init(key))
        params = {self.called: variables.pop("params")}
        return TrainState.create(
            params=params,
            opt_state={"adamw": self.tx.init(params)},
            model_state={self.called: variables} if variables else {},
        )

    def train_step(
        self, state: TrainState, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> tuple[TrainState, Scalars]:
        """One AdamW step on the binary cross-entropy of all attributes."""
        images = to_unit(shifted(batch["image"], key, self.shift))
        labels = self._labels(batch)

        def loss(params: Any) -> tuple[Array, Any]:
            mine = {"params": params[self.called], **state.model_state.get(self.called, {})}
            logits, after = self.classifier.train(mine, images)
            return optax.sigmoid_binary_cross_entropy(logits, labels).mean(), (logits, after)

        (value, (logits, after)), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
        updates, opt_state = self.tx.update(gradient, state.opt_state["adamw"], state.params)
        correct = ((logits > 0) == (labels > 0)).astype(jnp.float32)
        state = state.replace(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            model_state={self.called: after} if after else {},
            opt_state={"adamw": opt_state},
        )
        return state, {"loss": value, "accuracy": correct.mean()}

    def predict(
        self, variables: Variables, frozen: Frozen, inputs: Batch, key: PRNGKey
    ) -> dict[str, Array]:
        """Return ``attributes`` int32 (b, n): 1 where the logit is above 0."""
        logits = self._logits(variables, inputs["image"])
        return {"attributes": (logits > 0).astype(jnp.int32)}

    def eval_step(
        self, variables: Variables, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> tuple[clu.metrics.Collection, dict[str, Array]]:
        """Score the decisions on the examples with ``valid`` = 1.

        ``accuracy`` over all attributes; for each, the same with its 95 % bootstrap interval
        ``low`` to ``high``, the shares right ``with_it`` and ``without_it``, and ``balanced``, the
        mean of these two.
        """
        logits, labels = self._logits(variables, batch["image"]), self._labels(batch)
        right = ((logits > 0) == (labels > 0)).astype(jnp.float32).mean(axis=1)
        cost = optax.sigmoid_binary_cross_entropy(logits, labels).mean(axis=1)
        scores: dict[str, clu.metrics.Metric] = {
            "accuracy": MeanOverExamples.of(right, batch["valid"]),
            "loss": MeanOverExamples.of(cost, batch["valid"]),
        }
        for i, name in enumerate(self.attributes):
            metric = EditingAccuracy.of(logits[:, i], labels[:, i], batch["valid"])
            prefix = f"{name}/" if len(self.attributes) > 1 else ""
            scores |= collected({f"{prefix}{o}": Entry(metric, key) for o, key in _SHARES.items()})
        return clu.metrics.Collection.create_collection(**scores), {"image": batch["image"]}

    def remarks(self, variables: Variables, frozen: Frozen, inputs: HostBatch) -> tuple[str, ...]:
        """Say so when the picture is not of the size of the training pictures."""
        height, width = inputs["image"].shape[:2]
        side = self.classifier.resolution
        if (height, width) == (side, side):
            return ()
        return (f"the picture is {width}x{height} px and training saw {side}x{side}",)

    def synthesize(
        self, predict: CompiledPredict, inputs: HostBatch, key: PRNGKey
    ) -> dict[str, np.ndarray]:
        """Judge one picture of the training size.

        Raises :class:`UserError` for another size.
        """
        height, width = inputs["image"].shape[:2]
        side = self.classifier.resolution
        if (height, width) != (side, side):
            raise UserError(f"the picture is {width}x{height} px; expected {side}x{side}")
        batch = {"image": np.asarray(inputs["image"])[None]}
        return {"attributes": np.asarray(predict(self, batch, key)["attributes"])[0]}

    def _logits(self, variables: Variables, images: Array) -> Array:
        mine = {
            "params": variables["params"][self.called],
            **variables["model_state"].get(self.called, {}),
        }
        return self.classifier.logits(mine, to_unit(images))

    def _labels(self, batch: Batch) -> Array:
        labels = batch["attributes"]
        if labels.shape[-1] != len(self.attributes):
            raise UserError(
                f"examples have {labels.shape[-1]} attributes where system.attributes names "
                f"{len(self.attributes)}; set data.options.attributes to the same names"
            )
        return labels.astype(jnp.float32)


def shifted(images: Shaped[Array, "b h w c"], key: PRNGKey, by: int) -> Shaped[Array, "b h w c"]:
    """Move each picture by -by .. by px in both directions; its border is repeated."""
    if not by:
        return images
    pads = ((0, 0), (by, by), (by, by), (0, 0))
    padded = jnp.pad(images, pads, mode="edge")
    places = jax.random.randint(key, (len(images), 2), 0, 2 * by + 1)

    def cut(image: Array, place: Array) -> Array:
        return jax.lax.dynamic_slice(image, (place[0], place[1], 0), images.shape[1:])

    return jax.vmap(cut)(padded, places)
