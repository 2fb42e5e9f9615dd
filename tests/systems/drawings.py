"""A tiny system of line drawings, its frozen networks and a batch."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np

from segsynth import systems
from segsynth.pretrained.drawing_features import MeaningFeatures, ShapeFeatures

SIDE, CLASSES, COUNT = 16, 5, 2
TINY = {
    "name": "line_drawing",
    "side": SIDE,
    "generator": {"width": 4, "blocks": 1},
    "discriminator": {"width": 4, "layers": 2},
    "features": {"network": "standin", "side": 112},
    "geometry": {"width": 1, "blocks": 1},
    "clip": {"network": "standin"},
    "seg": {"classes": CLASSES, "width": 4, "levels": 1},
    "optimizer": {"lr": 1e-2, "eps": 1e-4},
}
#: Without what is expensive to compile.
LIGHT = {"loss": {"geometry": 0.0, "clip": 0.0}}


def build(**more):
    """Return the system with other settings; sections are laid over those of `TINY`."""
    section = dict(TINY)
    for name, value in more.items():
        both = isinstance(value, dict) and isinstance(section.get(name), dict)
        section[name] = {**section[name], **value} if both else value
    return _built(json.dumps(section))


@functools.cache
def _built(section):
    return systems.build(json.loads(section))


def batch(system, seed=0, side=SIDE, count=COUNT):
    random = np.random.default_rng(seed)
    shape = (count, side, side)
    rows = {
        "image": random.integers(0, 256, (*shape, 3)).astype(np.uint8),
        "drawing": random.integers(0, 256, (*shape, 1)).astype(np.uint8),
        "depth": random.random((*shape, 1)).astype(np.float32),
        "labels": random.integers(0, CLASSES, (*shape, 1)).astype(np.uint8),
        "subject": np.arange(count, dtype=np.int32) % 3,
    }
    return {name: jnp.asarray(rows[name]) for name in (*system.inputs, *system.targets)}


@functools.cache
def start(system, seed=0):
    """Return the state at step 0, and the frozen networks; made once for each system."""

    def make(key):
        frozen = {
            name: spec.init(jax.random.fold_in(key, i))
            for i, (name, spec) in enumerate(system.frozen.items())
        }
        return system.init(key), frozen

    return jax.jit(make)(jax.random.key(seed))


@functools.cache
def compiled(system, function="train_step"):
    """Return a function of a system, compiled once for all tests."""
    return jax.jit(getattr(system, function))


def blocks(pictures):
    """Means of 2x2 pixels, three channels."""
    b, h, w, c = pictures.shape
    means = pictures.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))
    return jnp.broadcast_to(means, (b, h // 2, w // 2, 3))


class Cells(ShapeFeatures):
    """In place of Inception, which takes long to compile: features of blocks of 2x2 pixels."""

    def init(self, key):
        return {"params": {"kernel": jax.random.normal(key, (3, 8))}}

    def __call__(self, variables, pictures):
        return jnp.tanh(blocks(pictures) @ variables["params"]["kernel"])


class Glance(MeaningFeatures):
    """In place of CLIP: their mean."""

    def init(self, key):
        return Cells().init(key)

    def __call__(self, variables, pictures):
        return Cells()(variables, pictures).mean((1, 2))


def quick(system):
    """Return a system that looks at features through `Cells` and `Glance`."""
    networks = dataclasses.replace(system.networks, features=Cells(), meaning=Glance())
    objective = dataclasses.replace(system.objective, networks=networks)
    return dataclasses.replace(system, objective=objective)


def norms(tree):
    """Return the norm of each network's leaves."""
    return {
        name: float(np.sqrt(sum(np.square(np.asarray(x, np.float64)).sum() for x in leaves)))
        for name, leaves in ((k, jax.tree.leaves(v)) for k, v in tree.items())
    }
