"""One tiny case of every system for the contract, and what is expensive to make of it."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from segsynth import systems
from segsynth.data import modalities
from segsynth.engine import sharding

BATCH, SIDE = 8, 16
#: One small system per registry entry, with frozen networks if it can have any. ``light``: keys to
#: make it smaller still, for what has to be compiled several times over. ``microbatches``: the key
#: of gradient accumulation, where there is one. ``moving``: steps until every leaf has moved, which
#: zero-initialised layers and a warm-up that starts at 0 delay. ``high``: largest value of a
#: modality, where the system allows fewer than the table of modalities.
TINY = {
    "crf_coarse": {
        "system": {"classes": ("a", "b", "c"), "unlabelled": 3, "crf": {"iterations": 2}},
        "high": {"coarse": 3, "labels": 2},
    },
    "crf_tuning": {
        "system": {
            "classes": ("a", "b", "c", "d"),
            "crf": {"iterations": 2},
            "unlabelled": 4,
            # Four points of four classes: penalties large enough to be sharded.
            "appearance_xy": (160.0, 320.0),
            "appearance_rgb": (8.0, 30.0),
            "optimizer": {"lr": 1e-2, "warmup": 1},
        },
        "light": {},
        "moving": 3,
        "high": {"coarse": 4, "labels": 3},
    },
    "inpaint_c2f": {
        "system": {
            "train": "level2",
            "levels": {
                "res": (8, 16),
                "patch": (1, 2),
                "widths": ((8,), (8,)),
                "blocks": ((1,), (1,)),
                "attn_grids": ((), ()),
                "steps": (2, 2),
                "cfg": (1.5, 1.0),
                "gain": (1.0, 0.75),
                "shift": (-2.77, -1.39),
                "remat": (False, False),
                "up": (0.05, 0.1),
                "t_start": (1.0, 1.0),
            },
            "lcg": {"tokens": 2, "dim": 8},
            "optimizer": {"lr": 1e-3, "warmup": 1},
        },
        "light": {"train": "lcg"},
        "microbatches": "microbatches",
        "moving": 6,
    },
}


@dataclasses.dataclass
class Case:
    """One system with random frozen weights and a batch, and what is expensive to make."""

    name: str
    light: bool = False

    def section(self, **more):
        row = TINY[self.name]
        return {"name": self.name, **row["system"], **(row["light"] if self.light else {}), **more}

    @functools.cached_property
    def system(self):
        return systems.build(self.section())

    @functools.cached_property
    def frozen(self):
        # Noise on top of an initialisation: zero-initialised layers would hide what flows there.
        def make(key):
            return {name: spec.init(key) for name, spec in self.system.frozen.items()}

        if not self.system.frozen:
            return {}
        trees = jax.jit(make)(jax.random.key(7))
        keys = iter(jax.random.split(jax.random.key(8), len(jax.tree.leaves(trees))))
        return jax.tree.map(
            lambda x: (
                x + 0.05 * jax.random.normal(next(keys), x.shape)
                if jnp.issubdtype(x.dtype, jnp.floating)
                else x
            ),
            trees,
        )

    @functools.cached_property
    def batch(self):
        return self.make((*self.system.inputs, *self.system.targets))

    def make(self, names, seed=0):
        return make_batch(names, seed, TINY[self.name].get("high", {}))

    @functools.cached_property
    def abstract(self):
        return jax.eval_shape(self.system.init, jax.random.key(0))

    @functools.cached_property
    def first(self):
        return jax.device_get(jax.jit(self.system.init)(jax.random.key(0)))

    @functools.cached_property
    def variables(self):
        learns = hasattr(self.system, "train_step")
        return self.first.variables() if learns else {"params": {}, "model_state": {}}

    @functools.cached_property
    def one(self):
        return On(self, sharding.plan(data=1))

    @functools.cached_property
    def predict(self):
        return self.system.predict if self.system.on_host else jax.jit(self.system.predict)

    @functools.cached_property
    def eval_step(self):
        return self.system.eval_step if self.system.on_host else jax.jit(self.system.eval_step)

    def outputs(self, inputs):
        """The names that ``predict`` gives; without computing them if it can be traced."""
        arguments = self.variables, self.frozen, inputs, jax.random.key(0)
        if self.system.on_host:
            return set(self.predict(*arguments))
        return set(jax.eval_shape(self.system.predict, *arguments))


class On:
    """A case on a mesh, laid out as the loop does it."""

    def __init__(self, case, plan, system=None):
        self.plan = plan
        self.shardings = plan.tree(case.abstract)
        self.first = case.first
        self.frozen = jax.device_put(case.frozen, plan.replicated)
        self.batch = plan.put_batch(case.batch)
        self.compiled = jax.jit(
            (system or case.system).train_step,
            donate_argnums=0,
            out_shardings=(self.shardings, plan.replicated),
        )

    def state(self):
        return jax.tree.map(jnp.copy, jax.device_put(self.first, self.shardings))

    def step(self, state, i, batch=None):
        key = jax.device_put(jax.random.key(i), self.plan.replicated)
        return self.compiled(state, self.frozen, batch or self.batch, key)

    def run(self, count):
        """Return the state after the first steps, and the scalars of each."""
        state, rows = self.state(), []
        for i in range(count):
            state, scalars = self.step(state, i)
            rows.append(jax.device_get(scalars))
        return state, rows


def make_batch(names, seed=0, highest=None):
    """Return random legal values of each modality; masks get a rectangular hole."""
    random = np.random.default_rng(seed)
    batch = {}
    for name in names:
        modality = modalities.get(name)
        shape = (BATCH, SIDE, SIDE, modality.channels) if modality.spatial else (BATCH,)
        high = (highest or {}).get(name, min(modality.high, 255))
        batch[name] = random.integers(0, high + 1, shape).astype(modality.dtype)
        if name == "mask":
            batch[name][:] = 0
            batch[name][:, 4:12, 5:13] = 1
    return batch
