"""Label maps from grey photographs or from drawings, by a U-Net (docs/line_drawing.md).

It is what line drawings are trained against where their segmenter is to be trained before; and,
trained on the finished drawings of a model or on those of others, a judge of how well drawings can
be segmented. With a ``drawer``, a frozen generator, it sees that one's drawings, with ``sees``
"drawing" those of the data set, else photographs in grey.

Batches hold ``image`` uint8 (b, h, w, 3) or ``drawing`` uint8 (b, h, w, 1), and ``labels`` uint8
(b, h, w, 1), 255 = unlabelled.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import clu.metrics
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, UInt8

from segsynth.engine.optimizers import adamw
from segsynth.errors import UserError
from segsynth.losses.labels import cross_entropy
from segsynth.metrics import readability
from segsynth.metrics.reading import reading_scores
from segsynth.networks import any_side
from segsynth.networks.resnet_generator import ResnetGenerator
from segsynth.networks.segmentation_unet import SegmentationUNet
from segsynth.settings import configure
from segsynth.system import CompiledPredict, FrozenSpec, TrainState
from segsynth.types import Array, Batch, Frozen, HostBatch, PRNGKey, Scalars, Variables

#: What there is of a scene: its photograph, or somebody's drawing of it.
Sees = Literal["image", "drawing"]

_IGNORE = 255


@dataclasses.dataclass(frozen=True, kw_only=True)
class Segmenter:
    """A U-Net for ``network.classes`` classes."""

    network: SegmentationUNet
    tx: optax.GradientTransformation
    drawer: ResnetGenerator | None = None
    sees: Sees = "image"
    names: tuple[str, ...] = ()

    targets = ("labels",)
    outputs = ("labels",)
    ignored_label = _IGNORE
    on_host = False

    @classmethod
    def from_config(
        cls,
        *,
        classes: int = 182,
        width: int = 64,
        levels: int = 4,
        norm: Literal["batch", "group"] = "batch",
        drawer: Mapping[str, Any] | None = None,
        sees: Sees = "image",
        names: tuple[str, ...] = (),
        optimizer: Mapping[str, Any] | None = None,
        dtype: Literal["float32", "bfloat16"] = "float32",
    ) -> "Segmenter":
        """Build from the keys of a config's ``system`` section.

        ``classes``: of the labels, 0 .. classes - 1; ``names`` of them, for a row of metrics each.
        ``width``, ``levels``, ``norm``: `SegmentationUNet`. ``drawer``: ``width``, ``blocks`` and
        ``channels`` of the generator whose drawings are seen, in grey; empty = there is none.
        ``sees``: "image", photographs, of which a drawer makes drawings first, or "drawing", those
        of the data set, which have one channel.

        Raises:
            UserError: a drawer that would be given drawings.

        """
        if drawer and sees != "image":
            raise UserError(f"system.sees is {sees!r} and there is a drawer; leave one of them out")
        kind = jnp.dtype(dtype)

        def generator(*, width: int = 64, blocks: int = 3, channels: int = 1) -> ResnetGenerator:
            return ResnetGenerator(channels, width, blocks, kind)

        return cls(
            network=SegmentationUNet(classes, width, levels, norm, kind),
            tx=configure(adamw, optimizer or {}, "system.optimizer"),
            drawer=configure(generator, drawer, "system.drawer") if drawer else None,
            sees=sees,
            names=tuple(names),
        )

    @property
    def inputs(self) -> tuple[str, ...]:
        """What is seen."""
        return (self.sees,)

    @property
    def pictures(self) -> tuple[str, ...]:
        """What an evaluation shows."""
        photo = ("image",) if self.sees == "image" else ()
        return (*photo, "seen", "labels", "truth")

    @property
    def label_limit(self) -> int:
        """Labels are 0 .. ``label_limit`` - 1, or `ignored_label`."""
        return self.network.classes

    @property
    def frozen(self) -> Mapping[str, FrozenSpec]:
        """The generator of drawings, if there is one."""
        if self.drawer is None:
            return {}
        return {"drawer": FrozenSpec(self._init_drawer, "makes drawings from photographs")}

    def init(self, key: PRNGKey) -> TrainState:
        """Return the state at step 0."""
        made = dict(self.network.init(key, jnp.zeros((1, 64, 64, 1))))
        params = {"segmenter": made.pop("params")}
        return TrainState.create(
            params=params,
            opt_state={"adamw": self.tx.init(params)},
            model_state={"segmenter": made} if made else {},
        )

    def train_step(
        self, state: TrainState, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> tuple[TrainState, Scalars]:
        """One step on the cross-entropy of labelled pixels. ``key`` decides nothing."""
        seen, labels = self._seen(frozen, batch[self.sees]), _labels(batch)
        before = state.model_state.get("segmenter", {})

        def loss(params: Any) -> tuple[Array, Any]:
            variables = {"params": params["segmenter"], **before}
            logits, moved = self.network.apply(variables, seen, True, mutable=["batch_stats"])
            return cross_entropy(logits, labels, ignore=(_IGNORE,)), moved

        (value, moved), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
        updates, opt_state = self.tx.update(gradient, state.opt_state["adamw"], state.params)
        state = state.replace(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            model_state={"segmenter": moved} if moved else {},
            opt_state={"adamw": opt_state},
        )
        return state, {"loss": value, "grad_norm": optax.tree.norm(gradient)}

    def predict(
        self, variables: Variables, frozen: Frozen, inputs: Batch, key: PRNGKey
    ) -> dict[str, Array]:
        """Return ``labels`` uint8 (b, h, w, 1). ``key`` decides nothing."""
        logits = self._logits(variables, self._seen(frozen, inputs[self.sees]))
        return {"labels": logits.argmax(-1, keepdims=True).astype(jnp.uint8)}

    def eval_step(
        self, variables: Variables, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> tuple[clu.metrics.Collection, dict[str, Array]]:
        """Score labels on the examples with ``valid`` = 1, over the data set.

        Drawings are also shown in black and white (``binarised``): what a segmenter only finds in
        shades of grey is a code and no line.
        """
        seen, truth = self._seen(frozen, batch[self.sees]), _labels(batch)
        drawings = self.drawer is not None or self.sees == "drawing"
        scores, labels = reading_scores(
            lambda x: self._logits(variables, x),
            seen,
            truth,
            batch["valid"],
            names=self.names,
            crisp=drawings,
        )
        grey = jnp.round(jnp.clip(seen, 0, 1) * 255).astype(jnp.uint8)
        drawn = {"image": batch["image"]} if self.sees == "image" else {}
        drawn |= {"seen": jnp.repeat(grey, 3, axis=-1)}
        drawn |= {name: x[..., None] for name, x in (("labels", labels), ("truth", truth))}
        return clu.metrics.Collection.create_collection(**scores), drawn

    def remarks(self, variables: Variables, frozen: Frozen, inputs: HostBatch) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def synthesize(
        self, predict: CompiledPredict, inputs: HostBatch, key: PRNGKey
    ) -> dict[str, np.ndarray]:
        """Answer for one picture of any size."""
        answer = predict(self, {self.sees: inputs[self.sees][None]}, key)
        return {"labels": np.asarray(answer["labels"])[0]}

    def _init_drawer(self, key: PRNGKey) -> Any:
        return self.drawer.init(key, jnp.zeros((1, 64, 64, 3)))

    def _seen(self, frozen: Frozen, given: UInt8[Array, "b h w c"]) -> Float[Array, "b h w 1"]:
        """Return what is segmented, in [0, 1]: grey photographs or drawings of them."""
        picture = given.astype(jnp.float32) / 255
        if self.drawer is None:
            return readability.luma(picture)
        return readability.luma(any_side.drawn(self.drawer, frozen["drawer"], picture))

    def _logits(self, variables: Variables, seen: Float[Array, "b h w 1"]) -> Array:
        mine = {
            "params": variables["params"]["segmenter"],
            **variables["model_state"].get("segmenter", {}),
        }
        return self.network.apply(mine, seen)


def _labels(batch: Batch) -> Array:
    return batch["labels"][..., 0].astype(jnp.int32)
