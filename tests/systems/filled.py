"""States of SPADE systems without their initialisation, which takes longer to compile than a step:
weights by NumPy, with the singular vectors that belong to them.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util


def variables_of(abstract, seed=0):
    """Fill ``{"params": ..., "batch_stats": ...}`` of one network; any tree of shapes."""
    random = np.random.default_rng(seed)
    params = traverse_util.flatten_dict(abstract["params"])
    filled = {path: _weights(path, leaf, random) for path, leaf in params.items()}
    result = {"params": traverse_util.unflatten_dict(filled)}
    stats = traverse_util.flatten_dict(abstract.get("batch_stats", {}))
    if stats:
        made = {path: _statistics(path, leaf, filled) for path, leaf in stats.items()}
        result["batch_stats"] = traverse_util.unflatten_dict(made)
    return result


def state_of(system, seed=0):
    """Return a state at step 0 of a system whose networks are filled so."""
    abstract = jax.eval_shape(system.init, jax.random.key(0))
    made = {
        name: variables_of({"params": tree, **abstract.model_state[name]}, seed + i)
        for i, (name, tree) in enumerate(sorted(abstract.params.items()))
    }
    params = {name: tree.pop("params") for name, tree in made.items()}
    rest = {name: _zeros(tree) for name, tree in abstract.model_state.items() if name not in made}
    return abstract.replace(
        step=jnp.zeros((), jnp.int32),
        params=params,
        ema={name: jax.tree.map(jnp.copy, params[name]) for name in abstract.ema},
        opt_state=_zeros(abstract.opt_state),
        model_state={**made, **rest},
    )


def _zeros(tree):
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), tree)


def _weights(path, leaf, random):
    scale = 0.1 if path[-1] != "kernel" else np.sqrt(2.0 / np.prod(leaf.shape[:-1]))
    return jnp.asarray(scale * random.standard_normal(leaf.shape), leaf.dtype)


def _statistics(path, leaf, params):
    if path[-1] in ("mean", "var"):
        return jnp.full(leaf.shape, path[-1] == "var", leaf.dtype)
    kernel = np.asarray(params[(*path[:-1], "kernel")])
    left, _, right = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), full_matrices=False)
    return jnp.asarray({"u": right[0], "v": left[:, 0]}[path[-1]], leaf.dtype)
