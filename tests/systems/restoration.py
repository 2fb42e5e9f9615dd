"""Tiny restorers, generators and maps for the tests of mask restoration."""

import functools

import filled
import jax
import jax.numpy as jnp
import numpy as np

from segsynth import systems

SIDE, CLASSES, COUNT = 32, 4, 2
SPADE = {"width": 1, "hidden": 4, "upsampling": "normal"}
NAMES = ("void", "road", "car", "sky")
ROWS = {
    "ce": {"vgg": 0.0, "l1": 0.0},
    "ce_vgg": {"l1": 0.0},
    "ce_l1": {"vgg": 0.0},
    "ce_vgg_l1": {},
    "vgg_l1": {"ce": 0.0},
}


def section_of(**more):
    section = {
        "name": "mask_restoration",
        "task": "sr8",
        "classes": CLASSES,
        "names": NAMES,
        "evaluated": (255, 0, 1, 2),
        "frame": (SIDE, SIDE),
        "restorer": SPADE,
        "generator": SPADE,
        "vgg": {"network": "standin"},
        "optimizer": {"lr": 1e-3},
    }
    return {**section, **more}


def build(**more):
    return systems.build(section_of(**more))


def scenes(count=COUNT, seed=0, side=SIDE, classes=CLASSES):
    """Maps of rectangles and a photograph in the colours of their classes."""
    random = np.random.default_rng(seed)
    labels = np.ones((count, side, side, 1), np.uint8)
    for each in labels:
        for _ in range(6):
            top, left = random.integers(0, side - 6, 2)
            high, wide = random.integers(3, side // 2, 2)
            each[top : top + high, left : left + wide] = random.integers(1, classes)
    colours = random.integers(0, 256, (classes, 3))
    image = colours[labels[..., 0]] + random.integers(-8, 9, (count, side, side, 3))
    coarse = np.where(random.random(labels.shape) < 0.4, 0, labels)
    return {
        "labels": jnp.asarray(labels),
        "image": jnp.asarray(image.clip(0, 255).astype(np.uint8)),
        "coarse": jnp.asarray(coarse.astype(np.uint8)),
    }


@functools.cache
def frozen_of(system):
    """Random variables of a system's frozen networks, such that pictures depend on their labels."""
    shapes = {n: jax.eval_shape(spec.init, jax.random.key(0)) for n, spec in system.frozen.items()}
    return {name: filled.variables_of(tree, seed=7) for name, tree in shapes.items()}
