"""The sha256 of a tree of arrays."""

import hashlib
from typing import Any

import jax
import numpy as np


def digest(tree: Any) -> str:
    """Return the sha256 of a replicated tree: names, types, shapes and bytes of its leaves."""
    sha = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        value = np.asarray(leaf.addressable_data(0))
        sha.update(f"{jax.tree_util.keystr(path)} {value.dtype} {value.shape}".encode())
        sha.update(value.tobytes())
    return sha.hexdigest()
