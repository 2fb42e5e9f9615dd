"""Published networks as they are kept after import: an Orbax checkpoint and a manifest.

``<folder>/<name>/checkpoints/0`` holds the variables, ``manifest.json`` the sha256 of the published
files and of the variables.
"""

import dataclasses
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from segsynth.engine import digests
from segsynth.engine.checkpoints import Checkpoints
from segsynth.engine.run import write_json
from segsynth.errors import UserError
from segsynth.pretrained import loading
from segsynth.pretrained.loading import Loaded
from segsynth.system import TrainState

_CHECKPOINTS = "checkpoints"


def save(
    folder: pathlib.Path, name: str, variables: Any, files: Sequence[Mapping[str, str]]
) -> pathlib.Path:
    """Keep a network in ``folder/<name>``, whole or not at all, in place of what was there.

    Killed at any time, it leaves what was there before or the new one to be found. ``files`` are
    ``name`` and ``sha256`` of what it was imported from. Returns ``folder/<name>``.
    """
    place, fresh = folder / name, folder / f".{name}.partial"
    shutil.rmtree(fresh, ignore_errors=True)
    arrays = jax.tree.map(jax.numpy.asarray, variables)
    rest = {kind: tree for kind, tree in arrays.items() if kind != "params"}
    state = TrainState.create(
        params={name: arrays["params"]}, opt_state={}, model_state={name: rest} if rest else {}
    )
    with Checkpoints(fresh / _CHECKPOINTS, keep=1) as checkpoints:
        checkpoints.save(0, state)
    record = {"network": name, "files": list(files), "variables": digests.digest(arrays)}
    write_json(fresh / loading.MANIFEST, record)
    _replace(place, fresh, loading.set_aside(folder, name))
    return place


def _replace(place: pathlib.Path, fresh: pathlib.Path, before: pathlib.Path) -> None:
    """Rename ``fresh`` to ``place``; what was there lies at ``before`` until that is done.

    Where an earlier replacement was killed in between, nothing is at ``place``, and what it left at
    ``before`` is kept until the new one is there.
    """
    if place.exists():
        shutil.rmtree(before, ignore_errors=True)
        place.rename(before)
    fresh.rename(place)
    shutil.rmtree(before, ignore_errors=True)


def load(reference: str, sharding: Any = None) -> Loaded:
    """Return the network that ``pretrained:<name>`` or ``standin:<name>`` names.

    Its variables live as ``sharding`` says, on one device by default.

    Raises:
        UserError: an unknown network, one that was not imported, one whose checkpoint is damaged or
            of other weights than its manifest.

    """
    network = loading.describe(reference)
    sharding = sharding or jax.sharding.SingleDeviceSharding(jax.devices()[0])
    if network.standin:
        return loading.standin(network.name, sharding)
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        loading.abstract(network),
    )
    place = loading.place(network.name)
    with Checkpoints(place / _CHECKPOINTS, read_only=True) as checkpoints:
        variables, _ = checkpoints.network(network.name, shapes)
    if digests.digest(variables) != loading.manifest(network.name)["variables"]:
        raise UserError(
            f"{place} does not hold what was imported there (its sha256 differs); import "
            f"{network.name} again: python launch/import_weights.py --network {network.name}"
        )
    return dataclasses.replace(network, variables=variables)


def collections(reference: str, abstract: Mapping[str, Any], sharding: Any) -> dict[str, Any]:
    """Return the variables of a network in the collections that ``abstract`` has.

    Raises:
        UserError: its variables have other names or shapes than ``abstract``.

    """
    found = load(reference, sharding).variables
    found = {kind: tree for kind, tree in found.items() if kind in abstract}
    theirs, ours = (
        {jax.tree_util.keystr(path): x.shape for path, x in jax.tree_util.tree_leaves_with_path(t)}
        for t in (found, dict(abstract))
    )
    if different := sorted(k for k in {*theirs, *ours} if theirs.get(k) != ours.get(k)):
        key = different[0]
        raise UserError(
            f"{reference} has {theirs.get(key, 'nothing')} for {key}, and the system expects "
            f"{ours.get(key, 'nothing')}; name the network that the system is configured for"
        )
    return found
