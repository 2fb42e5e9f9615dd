"""Weights by reference: ``phase:<name>`` of this run, ``run:<directory>#<phase>`` of another.

``pretrained:<name>`` and ``standin:<name>`` are networks that others have published.
"""

import logging
from collections.abc import Mapping
from typing import Any

import jax

from segsynth.engine import imported
from segsynth.engine.checkpoints import Checkpoints
from segsynth.engine.digests import digest
from segsynth.engine.run import Run
from segsynth.engine.sharding import Plan
from segsynth.errors import UserError
from segsynth.pretrained import loading
from segsynth.system import Continuing, FrozenSpec, Predictor, System

log = logging.getLogger(__name__)


def resolve(reference: str, run: Run) -> tuple[Run, str]:
    """Return the run and the phase that a reference names.

    Raises :class:`UserError` for another kind of reference.
    """
    kind, _, rest = reference.partition(":")
    if kind == "phase" and rest in run.phases:
        return run, rest
    if kind == "run" and "#" in rest:
        directory, phase = rest.split("#", 1)
        return Run.open(directory), phase
    raise UserError(
        f"cannot resolve the weights '{reference}'; expected 'phase:<one of "
        f"{', '.join(run.phases)}>', "
        "'run:<directory>#<phase>', 'pretrained:<name>' or 'standin:<name>'"
    )


def load_network(
    reference: str, name: str, spec: FrozenSpec, run: Run, plan: Plan, step: int | str = "newest"
) -> tuple[Any, int]:
    """Return the linen variables of network ``name``, replicated, and the step they come from.

    The step of a published network is 0.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    if loading.is_reference(reference):
        shapes = jax.eval_shape(spec.init, key)
        return imported.collections(reference, shapes, plan.replicated), 0
    owner, phase = resolve(reference, run)
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=plan.replicated),
        jax.eval_shape(spec.init, key),
    )
    judged = owner.settings(phase)["eval"]
    with Checkpoints(
        owner.directory(phase).checkpoints,
        best=judged.get("best", ""),
        best_mode=judged.get("best_mode", "max"),
        read_only=True,
    ) as checkpoints:
        return checkpoints.network(spec.stored or name, abstract, step)


def check(run: Run, phase: str, system: Predictor, predicting: bool = False) -> None:
    """Raise :class:`UserError` unless every frozen network of a phase has a reference that names a
    phase or a published network; ``predicting``: every one that ``predict`` reads. So must those
    have one in ``init_from`` with which a system goes on.
    """
    references, initial = (run.settings(phase)[name] for name in ("frozen", "init_from"))
    for name in system.continued if isinstance(system, Continuing) else ():
        if not initial.get(name):
            raise UserError(
                f"phase {phase} goes on with a {name} that was trained before; set "
                f"phases.{phase}.init_from.{name} to 'phase:<name>' or 'run:<directory>#<phase>'"
            )
    for name in _read(system, predicting):
        if not references.get(name):
            raise UserError(
                f"phase {phase} needs the frozen network {name}; set phases.{phase}.frozen.{name} "
                "to 'phase:<name>', 'run:<directory>#<phase>', 'pretrained:<name>' or "
                "'standin:<name>'"
            )
        if loading.is_reference(references[name]):
            loading.describe(references[name])
        else:
            resolve(references[name], run)


def load_frozen(
    run: Run, phase: str, system: Predictor, plan: Plan, predicting: bool = False
) -> dict[str, Any]:
    """Return the frozen networks of a phase, and keep in the run which they were.

    When the phase has loaded them before, the same step is taken and its hash checked.
    ``predicting``: only those that ``predict`` reads, and nothing is kept.

    Raises :class:`UserError` when a network has no reference, or is not the one that the phase
    began with.
    """
    check(run, phase, system, predicting)
    references = run.settings(phase)["frozen"]
    recorded, frozen, record = run.directory(phase).frozen(), {}, {}
    for name, spec in _read(system, predicting).items():
        before = recorded.get(name, {})
        variables, step = load_network(
            references[name], name, spec, run, plan, before.get("step", "newest")
        )
        frozen[name], sha = variables, digest(variables)
        if before and before["sha256"] != sha:
            raise UserError(
                f"phase {phase} began with {name} of sha256 {before['sha256'][:12]}, and "
                f"{references[name]} now "
                f"holds {sha[:12]}; bring the old weights back or train in a new workdir"
            )
        record[name] = {"reference": references[name], "step": step, "sha256": sha}
        if loading.is_reference(references[name]):
            record[name]["files"] = list(loading.describe(references[name]).sha256)
    if record and not recorded and not predicting and jax.process_index() == 0:
        run.directory(phase).record_frozen(record)
    return frozen


def load_published(
    references: Mapping[str, str], system: Predictor, sharding: jax.sharding.Sharding
) -> dict[str, Any]:
    """Return the frozen networks of a system that learns nothing, which have no run.

    Raises :class:`UserError` when one has no reference, or one to something else than a published
    network.
    """
    key, frozen = jax.eval_shape(lambda: jax.random.key(0)), {}
    for name, spec in system.frozen.items():
        reference = references.get(name, "")
        if not loading.is_reference(reference):
            raise UserError(
                f"frozen.{name} is '{reference}'; expected 'pretrained:<name>' or 'standin:<name>'"
            )
        shapes = jax.eval_shape(spec.init, key)
        frozen[name] = imported.collections(reference, shapes, sharding)
    return frozen


def _read(system: Predictor, predicting: bool) -> dict[str, FrozenSpec]:
    """Return the frozen networks that are needed."""
    specs = system.frozen.items()
    return {name: spec for name, spec in specs if spec.predicts or not predicting}


def load_initial(run: Run, phase: str, system: System, plan: Plan) -> dict[str, dict[str, Any]]:
    """Return ``params`` and ``model_state`` of the networks with which a phase starts, by
    ``init_from``; what names a network that the phase does not train is passed over.
    """
    abstract = jax.eval_shape(system.init, jax.eval_shape(lambda: jax.random.key(0)))
    params, model_state = {}, {}
    for name, reference in run.settings(phase)["init_from"].items():
        if name not in abstract.params:
            log.warning("phase %s trains no %s; init_from.%s is not used", phase, name, name)
            continue
        shapes = {"params": abstract.params[name], **abstract.model_state.get(name, {})}
        spec = FrozenSpec(lambda _, shapes=shapes: shapes, name)
        variables, _ = load_network(reference, name, spec, run, plan)
        params[name] = variables.pop("params")
        model_state |= {name: variables} if variables else {}
    return {"params": params, "model_state": model_state}


def load_trained(
    run: Run, phase: str, system: Predictor, plan: Plan, step: int | str = "newest"
) -> tuple[Mapping[str, Any], int]:
    """Return what a phase trained, as ``predict`` reads it, and the step it comes from."""
    state = jax.eval_shape(system.init, jax.eval_shape(lambda: jax.random.key(0)))
    params, model_state = {}, {}
    for name, tree in state.params.items():
        rest = state.model_state.get(name, {})
        spec = FrozenSpec(lambda _, tree=tree, rest=rest: {"params": tree, **rest}, name)
        variables, step = load_network(f"phase:{phase}", name, spec, run, plan, step)
        params[name] = variables.pop("params")
        model_state |= {name: variables} if variables else {}
    return {"params": params, "model_state": model_state}, step
