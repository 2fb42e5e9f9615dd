"""What the tests of published networks share: golden files, and how near an output must come."""

import pathlib
import sys

import jax
import numpy as np

HERE = pathlib.Path(__file__).parents[1]
if str(HERE / "oracles") not in sys.path:
    sys.path.insert(0, str(HERE / "oracles"))

import weights

from segsynth.pretrained.convert import convert


def load(name):
    """Return the arrays of tests/golden/<name>.npz."""
    with np.load(HERE / "golden" / f"{name}.npz") as file:
        return dict(file)


def filled(module, inputs, shapes, keys):
    """Return the variables of a module, from tensors filled by tests/oracles/weights.py.

    Every tensor of ``shapes`` (name -> shape) must have its place in ``keys``; those that inference
    does not need are not filled.
    """
    needed = weights.fill({k: s for k, s in shapes.items() if keys.get(k, k) is not None})
    unneeded = {k: np.zeros(0) for k in shapes if k not in needed}
    expected = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    return convert(needed | unneeded, keys, expected, "filled")


def count(variables):
    """Number of parameters."""
    return sum(x.size for x in jax.tree.leaves(variables["params"]))


def thin(x):
    """About 500 of the numbers of an array, evenly spaced, as the oracles thin them."""
    flat = np.asarray(x).ravel()
    return flat[:: max(1, flat.size // 500)]


def worst(found, expected):
    """Largest difference, relative to the largest expected value."""
    found, expected = (np.asarray(x, np.float64) for x in (found, expected))
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / np.abs(expected).max()
