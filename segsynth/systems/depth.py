"""Depth from the features of a picture: the head that line drawings are trained against
(docs/line_drawing.md).

Inception features of a photograph go through the geometry head of Chan, Durand, Isola (CVPR 2022),
which learns the depth maps of any estimator. With a ``drawer``, a frozen generator of drawings, it
learns to read drawings instead: a fresh judge of how much depth they keep.

Batches hold ``image`` uint8 (b, h, w, 3) and ``depth`` float32 (b, h, w, 1) in [0, 1], 1 = nearest.
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
from segsynth.metrics import readability
from segsynth.metrics.accumulators import finite_means
from segsynth.networks import any_side
from segsynth.networks.geometry_head import GeometryHead, resized
from segsynth.networks.resnet_generator import ResnetGenerator
from segsynth.pretrained.drawing_features import ShapeFeatures
from segsynth.settings import configure
from segsynth.system import CompiledPredict, FrozenSpec, TrainState
from segsynth.types import Array, Batch, Frozen, HostBatch, PRNGKey, Scalars, Variables

#: Cells of the features on which the head is initialised, and px that have as many.
_CELLS, _SIDE = 5, 112


@dataclasses.dataclass(frozen=True, kw_only=True)
class Depth:
    """A geometry head on frozen features."""

    features: ShapeFeatures
    head: GeometryHead
    tx: optax.GradientTransformation
    drawer: ResnetGenerator | None = None

    inputs = ("image",)
    targets = ("depth",)
    outputs = ("depth",)
    pictures = ("image", "depth", "truth")
    on_host = False

    @classmethod
    def from_config(
        cls,
        *,
        features: Mapping[str, Any] | None = None,
        head: Mapping[str, Any] | None = None,
        drawer: Mapping[str, Any] | None = None,
        optimizer: Mapping[str, Any] | None = None,
        dtype: Literal["float32", "bfloat16"] = "float32",
    ) -> "Depth":
        """Build from the keys of a config's ``system`` section.

        ``features``: `segsynth.pretrained.drawing_features.ShapeFeatures`. ``head``: ``width``,
        ``blocks`` of `GeometryHead`. ``drawer``: ``width``, ``blocks``, ``channels`` of the
        generator whose drawings are read; empty = photographs are.
        """
        kind = jnp.dtype(dtype)

        def geometry(*, width: int = 64, blocks: int = 9) -> GeometryHead:
            return GeometryHead(width, blocks, dtype=kind)

        def generator(*, width: int = 64, blocks: int = 3, channels: int = 1) -> ResnetGenerator:
            return ResnetGenerator(channels, width, blocks, kind)

        return cls(
            features=configure(ShapeFeatures, features or {}, "system.features"),
            head=configure(geometry, head or {}, "system.head"),
            tx=configure(adamw, optimizer or {}, "system.optimizer"),
            drawer=configure(generator, drawer, "system.drawer") if drawer else None,
        )

    @property
    def frozen(self) -> Mapping[str, FrozenSpec]:
        """The features, and the generator of drawings."""
        specs = {"features": FrozenSpec(self.features.init, "Inception features")}
        if self.drawer is not None:
            specs["drawer"] = FrozenSpec(self._init_drawer, "makes drawings from photographs")
        return specs

    def init(self, key: PRNGKey) -> TrainState:
        """Return the state at step 0."""
        picture = jnp.zeros((1, _SIDE, _SIDE, 3))
        variables = jax.eval_shape(self.features.init, key)
        channels = jax.eval_shape(self.features, variables, picture).shape[-1]
        made = dict(self.head.init(key, jnp.zeros((1, _CELLS, _CELLS, channels))))
        params = {"geometry": made.pop("params")}
        return TrainState.create(
            params=params,
            opt_state={"adamw": self.tx.init(params)},
            model_state={"geometry": made},
        )

    def train_step(
        self, state: TrainState, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> tuple[TrainState, Scalars]:
        """One step on the mean absolute difference of depth. ``key`` decides nothing."""
        depth = batch["depth"]
        features = self.features(frozen["features"], self._seen(frozen, batch["image"]))

        def loss(params: Any) -> tuple[Array, Any]:
            variables = {"params": params["geometry"], **state.model_state["geometry"]}
            logits, moved = self.head.apply(variables, features, True, mutable=["batch_stats"])
            found = jax.nn.sigmoid(resized(logits, depth.shape[1:3]))
            return jnp.abs(found - depth).mean(), moved

        (value, moved), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
        updates, opt_state = self.tx.update(gradient, state.opt_state["adamw"], state.params)
        state = state.replace(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            model_state={"geometry": moved},
            opt_state={"adamw": opt_state},
        )
        return state, {"loss": value, "grad_norm": optax.tree.norm(gradient)}

    def predict(
        self, variables: Variables, frozen: Frozen, inputs: Batch, key: PRNGKey
    ) -> dict[str, Array]:
        """Return ``depth`` float32 (b, h, w, 1) in [0, 1], 1 = nearest. ``key`` decides nothing."""
        return {"depth": self._read(variables, frozen, self._seen(frozen, inputs["image"]))}

    def eval_step(
        self, variables: Variables, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> tuple[clu.metrics.Collection, dict[str, Array]]:
        """Score depth on the examples with ``valid`` = 1: mean absolute error as it is and after
        the best scale and shift, and the order of pairs of pixels.
        """
        seen = self._seen(frozen, batch["image"])
        found, truth = self._read(variables, frozen, seen), batch["depth"]
        values = {"l1": jnp.abs(found - truth).mean((1, 2, 3))}
        scores = finite_means(values | readability.depth_values(found, truth), batch["valid"])
        drawn = {"image": seen, "depth": found, "truth": truth}
        return clu.metrics.Collection.create_collection(**scores), {
            name: _grey(picture) for name, picture in drawn.items()
        }

    def remarks(self, variables: Variables, frozen: Frozen, inputs: HostBatch) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def synthesize(
        self, predict: CompiledPredict, inputs: HostBatch, key: PRNGKey
    ) -> dict[str, np.ndarray]:
        """Answer for one picture of any size."""
        answer = predict(self, {"image": inputs["image"][None]}, key)
        return {"depth": np.asarray(answer["depth"])[0]}

    def _init_drawer(self, key: PRNGKey) -> Any:
        return self.drawer.init(key, jnp.zeros((1, 64, 64, 3)))

    def _seen(self, frozen: Frozen, image: UInt8[Array, "b h w 3"]) -> Float[Array, "b h w c"]:
        """Return what is read, in [0, 1]: photographs or drawings of them."""
        photo = image.astype(jnp.float32) / 255
        if self.drawer is None:
            return photo
        return any_side.drawn(self.drawer, frozen["drawer"], photo)

    def _read(
        self, variables: Variables, frozen: Frozen, seen: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w 1"]:
        mine = {
            "params": variables["params"]["geometry"],
            **variables["model_state"]["geometry"],
        }
        logits = self.head.apply(mine, self.features(frozen["features"], seen))
        return jax.nn.sigmoid(resized(logits, seen.shape[1:3])).mean(-1, keepdims=True)


def _grey(picture: Float[Array, "b h w c"]) -> UInt8[Array, "b h w 3"]:
    """Map [0, 1] to bytes of three channels."""
    grey = jnp.round(jnp.clip(picture, 0, 1) * 255).astype(jnp.uint8)
    return jnp.broadcast_to(grey, (*grey.shape[:3], 3))
