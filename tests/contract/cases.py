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
#: modality, where the system allows fewer than the table of modalities. ``side``: of the pictures,
#: where 16 px are too few. ``draws``: False for a step that draws nothing from its key.
#: ``scale``: factor of frozen parameters in place of noise, which a spectral norm that was stored
#: before would blow up. ``rest``: end of the paths of leaves that may stay where they are.
#: ``length``: of vectors. ``steps``: after which all devices must agree; 2 unless given.
TINY = {
    "classifier": {
        "system": {
            "network": {"width": 4, "resolution": 16},
            "attributes": ("Smiling", "Bangs", "Bald", "Big_Nose"),
            "shift": 1,
            "optimizer": {"lr": 1e-2, "warmup": 0, "eps": 1e-4},
        },
        "light": {},
        "moving": 1,
        "length": 4,
    },
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
    "depth": {
        "system": {
            "features": {"network": "standin", "side": 112},
            "head": {"width": 2, "blocks": 1},
            "drawer": {"width": 4, "blocks": 1},
            # The biases before a batch norm have gradients of rounding errors.
            "optimizer": {"lr": 1e-2, "warmup": 0, "eps": 1e-4},
        },
        "light": {"drawer": {}},
        "moving": 3,
        "draws": False,
    },
    "image_synthesis": {
        "system": {
            "classes": 5,
            "frame": (32, 32),
            "edges": True,
            "generator": {"width": 1, "hidden": 4, "upsampling": "normal"},
            "discriminator": {"width": 4, "layers": 2},
            "loss": {"l1": 1.0},
            "vgg": {"network": "standin"},
            # The biases before a batch norm have gradients of rounding errors, which Adam would
            # make as large as any.
            "optimizer": {"eps": 1e-2},
        },
        "light": {"loss": {"vgg": 0.0}, "order": "simultaneous"},
        "moving": 1,
        "high": {"labels": 4, "instance": 3},
        "side": 32,
        "draws": False,
        # Within the margins of the hinge loss, real and made pictures pull at it alike.
        "rest": ("['logits']['bias']",),
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
    "line_drawing": {
        "system": {
            "side": 16,
            "generator": {"width": 4, "blocks": 1},
            "discriminator": {"width": 4, "layers": 2},
            "features": {"network": "standin", "side": 112},
            "geometry": {"width": 2, "blocks": 1},
            "clip": {"network": "standin"},
            "seg": {"classes": 5, "width": 4, "levels": 1, "noise": 0.05},
            "pool": 2,
            "ema": 0.9,
            "judged_by": ("subject",),
            "subjects": ("cat", "dog", "house"),
            # The biases before instance and batch norms have gradients of rounding errors.
            "optimizer": {"lr": 1e-2, "eps": 1e-4},
        },
        "light": {
            "loss": {"geometry": 0.0, "clip": 0.0},
            "judged_by": (),
            "seg": {"mode": "joint", "classes": 5, "width": 4, "levels": 1},
            "optimizer": {"lr": 1e-3, "eps": 1e-2},
        },
        "moving": 3,
        "high": {"labels": 4, "subject": 2},
    },
    "mask_restoration": {
        "system": {
            "task": "holes",
            "classes": 5,
            "names": ("void", "road", "car", "sky", "tree"),
            "evaluated": (255, 0, 1, 2, 3),
            "unknown": "extra_channel",
            # What an untrained restorer sees hardly shows in its answer; what is drawn from that
            # answer does.
            "bridge": "gumbel_st",
            "frame": (32, 32),
            "restorer": {"width": 1, "hidden": 4, "upsampling": "normal"},
            "generator": {"width": 1, "hidden": 4, "upsampling": "normal"},
            "vgg": {"network": "standin"},
            "optimizer": {"eps": 1e-2},
        },
        "light": {"loss": {"vgg": 0.0}, "bridge": "softmax"},
        "moving": 1,
        "steps": 5,
        "high": {"labels": 4},
        "side": 32,
        "scale": 20.0,
    },
    "msagan": {
        "system": {
            "resolution": 32,
            "editor": {
                "width": 2,
                "downs": 1,
                "blocks": 1,
                "stem": 3,
                "attr_inject": "both",
                "norm_trunk": "batch",
            },
            "critic": {"width": 2, "conv_impl": "matmul"},
            # Biases before a norm have gradients of rounding errors.
            "optimizer": {"lr": 1e-2, "eps": 1e-2},
            "n_critic": 1,
            "ema": 0.9,
            "truth": True,
            "judges": {"judge": {"width": 2}, "judge2": {"width": 2, "head": "mean"}},
        },
        "light": {"editor": {"width": 2, "downs": 1, "blocks": 1, "stem": 3}},
        "moving": 1,
        "side": 32,
        # Real faces and made ones pull at it alike.
        "rest": ("['critic']['source']['bias']",),
    },
    "published_depth": {
        "system": {"network": "standin", "side": 28},
    },
    "published_drawing": {
        "system": {"width": 4, "blocks": 1, "labels": True},
        "high": {"labels": 4},
    },
    "segmenter": {
        "system": {
            "classes": 5,
            "width": 4,
            "levels": 2,
            "names": ("a", "b", "c", "d", "e"),
            "drawer": {"width": 4, "blocks": 1},
            "optimizer": {"lr": 1e-2, "warmup": 0, "eps": 1e-2},
        },
        "light": {"drawer": {}},
        "moving": 1,
        "high": {"labels": 4},
        "draws": False,
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
        scale = TINY[self.name].get("scale")
        if scale:
            params = {
                name: jax.tree.map(lambda x: scale * x, t["params"]) for name, t in trees.items()
            }
            return {name: {**tree, "params": params[name]} for name, tree in trees.items()}
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
        row = TINY[self.name]
        more = {"side": row.get("side", SIDE), "length": row.get("length", 1)}
        return make_batch(names, seed, row.get("high", {}), **more)

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


def make_batch(names, seed=0, highest=None, side=SIDE, length=1):
    """Return random legal values of each modality; masks and guides are a rectangle."""
    random = np.random.default_rng(seed)
    batch = {}
    for name in names:
        modality = modalities.get(name)
        shapes = {"spatial": (side, side, modality.channels), "vector": (length,)}
        shape = (BATCH, *shapes.get(modality.kind, ()))
        high = (highest or {}).get(name, min(modality.high, 255))
        batch[name] = random.integers(0, high + 1, shape).astype(modality.dtype)
        if name in ("mask", "guide"):
            batch[name][:] = 0
            batch[name][:, 4:12, 5:13] = modality.high
    return batch
