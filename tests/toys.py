"""A system that learns nothing but which batches and keys it saw, for tests of the loop."""

import dataclasses

import clu.metrics
import jax
import jax.numpy as jnp

from segsynth.metrics.accumulators import MeanOverExamples
from segsynth.system import TrainState

#: Batches that the memory has room for.
ROOM = 16


@dataclasses.dataclass(frozen=True)
class Plain:
    """Writes down a number for each batch; answers with the map that it is given."""

    on_host = False
    inputs = ("labels",)
    targets = ()
    outputs = ("labels",)
    pictures = ("labels",)

    @classmethod
    def from_config(cls):
        return cls()

    @property
    def frozen(self):
        return {}

    def init(self, key):
        memory = {
            "batches": jnp.zeros(ROOM),
            "keys": jnp.zeros(ROOM),
            "calibrated": jnp.zeros((), jnp.int32),
        }
        params = {"net": {"w": jnp.zeros(3)}}
        return TrainState.create(params=params, opt_state={}, model_state={"net": memory})

    def _noted(self, state, batch, key):
        memory = state.model_state["net"]
        place = state.step + memory["calibrated"]
        rows = jnp.arange(batch["labels"].shape[1])[None, :, None, None]
        told = batch["labels"] * rows
        return {
            **memory,
            "batches": memory["batches"].at[place].set(told.mean()),
            "keys": memory["keys"].at[place].set(jax.random.uniform(key)),
        }

    def train_step(self, state, frozen, batch, key):
        memory = {**self._noted(state, batch, key), "calibrated": jnp.zeros((), jnp.int32)}
        moved = jax.tree.map(lambda w: w + 1, state.params)
        state = state.replace(step=state.step + 1, params=moved, model_state={"net": memory})
        return state, {"loss": memory["batches"].sum()}

    def predict(self, variables, frozen, inputs, key):
        return {"labels": inputs["labels"]}

    def eval_step(self, variables, frozen, batch, key):
        calibrated = variables["model_state"]["net"]["calibrated"].astype(jnp.float32)
        scores = {
            "calibrated": MeanOverExamples.of(
                jnp.broadcast_to(calibrated, batch["valid"].shape), batch["valid"]
            )
        }
        drawn = {"labels": batch["labels"].astype(jnp.int32)}
        return clu.metrics.Collection.create_collection(**scores), drawn

    def remarks(self, variables, frozen, inputs):
        return ()

    def synthesize(self, predict, inputs, key):
        return {"labels": inputs["labels"]}


class Calibrated(Plain):
    """The same with statistics to estimate."""

    def calibrate(self, state, frozen, batch, key):
        memory = self._noted(state, batch, key)
        counted = {"calibrated": memory["calibrated"] + 1}
        return state.replace(model_state={"net": {**memory, **counted}})


def config(system, *, steps, calibration=0, **more):
    """The config of a run of one phase on tiny procedural streets."""
    train = {"steps": steps, "global_batch": 2, "calibration": calibration}
    return {
        "name": "toy",
        "seed": 3,
        "mesh": {"data": 1, "fsdp": 1},
        "system": {"name": system},
        "data": {
            "source": "streets",
            "frame": (8, 16),
            "length": 12,
            "eval_length": 2,
            "seed": 0,
            "cache": True,
        },
        "every": {"log": 1, "eval": 2, "checkpoint": 2},
        "eval": {"batch": 2},
        "run": ("toy",),
        "phases": {"toy": {"train": train}},
        **more,
    }
