"""Evaluation: fold a system's ``eval_step`` over one pass of the data, and print what came out.

The same fold serves the training loop and ``launch/evaluate.py``.
"""

import dataclasses
import functools
import logging
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from segsynth import systems
from segsynth.data import feed, pictures, sources
from segsynth.engine import images, provenance, references, sharding
from segsynth.engine.run import Run, plain, write_json
from segsynth.engine.tables import report
from segsynth.errors import UserError
from segsynth.metrics.names import marked, name_of
from segsynth.system import Predictor, System
from segsynth.types import Frozen, PRNGKey, Variables

log = logging.getLogger(__name__)


@dataclasses.dataclass
class Evaluator:
    """Runs one system's ``eval_step``; compiled once, whatever the number of passes. ``rows``: how
    many examples' pictures are kept.
    """

    system: Predictor
    plan: sharding.Plan
    rows: int = 8

    @functools.cached_property
    def _compiled(self) -> Any:
        def step(variables: Variables, frozen: Frozen, batch: Any, key: PRNGKey) -> Any:
            metrics, drawn = self.system.eval_step(variables, frozen, batch, key)
            few = {name: pictures[: self.rows] for name, pictures in drawn.items()}
            gathered = jax.lax.with_sharding_constraint(few, self.plan.replicated)
            return jax.lax.with_sharding_constraint(metrics, self.plan.replicated), gathered

        return jax.jit(step)

    def _step(self, variables: Variables, frozen: Frozen, local: Any, key: PRNGKey) -> Any:
        if not self.system.on_host:
            return self._compiled(variables, frozen, self.plan.put_batch(dict(local)), key)
        metrics, drawn = self.system.eval_step(variables, frozen, local, key)
        return metrics, {name: picture[: self.rows] for name, picture in drawn.items()}

    @functools.cached_property
    def _merge(self) -> Any:
        return jax.jit(lambda a, b: a.merge(b))

    def __call__(
        self,
        variables: Variables,
        frozen: Frozen,
        batches: Iterable[Mapping[str, np.ndarray]],
        key: PRNGKey,
    ) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Return the metrics over all batches, and the first ``rows`` pictures of the first one.

        ``batches`` holds this process's rows. The same ``key`` gives the same numbers at every
        call.
        """
        total, first = None, {}
        for i, local in enumerate(batches):
            metrics, drawn = self._step(variables, frozen, local, jax.random.fold_in(key, i))
            total = metrics if total is None else self._merge(total, metrics)
            first = first or {name: np.asarray(drawn[name]) for name in self.system.pictures}
        if self.system.on_host:
            total = self._of_all_processes(total)
        values = {key: float(value) for key, value in jax.device_get(total.compute()).items()}
        return {name_of(key): value for key, value in values.items()}, first

    def _of_all_processes(self, mine: Any) -> Any:
        """Merge what each process counted on its own rows."""
        if jax.process_count() == 1:
            return mine
        gathered = multihost_utils.process_allgather(mine)
        parts = [jax.tree.map(lambda x, i=i: x[i], gathered) for i in range(jax.process_count())]
        return functools.reduce(self._merge, parts)


def evaluation_key(seed: int, plan: sharding.Plan) -> PRNGKey:
    """Return the key of every evaluation of a run: all checkpoints are judged on the same noise."""
    make = jax.jit(
        lambda: jax.random.fold_in(jax.random.key(seed), 0xE7A1), out_shardings=plan.replicated
    )
    return make()


def evaluate_run(
    path: str | os.PathLike,
    *,
    phase: str = "",
    step: int | str = "newest",
    output: str | os.PathLike = "",
    data_root: str = "",
    split: str = "",
    examples: int = 0,
    mesh: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Evaluate a checkpoint of a run; prints a table and writes ``<output>/<phase>.json`` and a
    grid beside it.

    Args:
      path: the run directory.
      phase: which phase; the last one trained by default.
      step: a number, "newest" or "best".
      output: folder of the results; ``<run>/eval/<data>-<split>-<step>`` by default.
      data_root: evaluate on another folder than the run was trained on: pictures, or, for a run on
        a published layout, another tree of that layout.
      split: of the data; the config's ``eval.split`` by default. "all" takes every picture of a
        folder.
      examples: how many; the config's ``eval.examples`` by default, -1 for all.
      mesh: ``{"data": ..., "fsdp": ...}``; all devices as ``data`` by default.

    Returns:
      what was written: phase, step, n, data and ``metrics``.
    """
    run = Run.open(path)
    phase = phase or run.last_trained()
    settings = _asked(run.settings(phase), data_root, split, examples)
    plan = sharding.plan(**(mesh or {}))
    system = systems.build(settings["system"])
    variables, step = references.load_trained(run, phase, system, plan, step)
    frozen = references.load_frozen(run, phase, system, plan)
    return _judge(
        system,
        settings,
        (variables, frozen),
        plan,
        seed=run.config["seed"],
        record={"phase": phase, "step": step, "frozen": run.directory(phase).frozen()},
        folder=output or run.path / "eval" / f"{_data_name(settings)}-{step}",
    )


def evaluate_config(
    config: Any,
    *,
    output: str | os.PathLike,
    data_root: str = "",
    split: str = "",
    examples: int = 0,
) -> dict[str, Any]:
    """Evaluate a system that learns nothing, as its config describes it.

    Prints a table and writes ``<output>/<data>-<split>/<system>.json`` and a grid beside it; takes
    and returns what :func:`evaluate_run` does.

    Raises:
      UserError: the system of ``config`` learns, or its data cannot be read.
    """
    config = plain(config)
    shared = {name: config.get(name, {}) for name in ("system", "data", "train", "eval", "frozen")}
    settings = _asked(shared, data_root, split, examples)
    name = settings["system"]["name"]
    system = systems.build(settings["system"])
    if isinstance(system, System):
        raise UserError(
            f"{name} has to be trained first: run launch/train.py on this config, then "
            "launch/evaluate.py --run on its workdir"
        )
    plan = sharding.plan(**config.get("mesh", {}))
    frozen = references.load_published(settings["frozen"], system, plan.replicated)
    taken = {name: {"reference": reference} for name, reference in settings["frozen"].items()}
    return _judge(
        system,
        settings,
        ({"params": {}, "model_state": {}}, frozen),
        plan,
        seed=config["seed"],
        record={"phase": name, "step": 0, "frozen": taken, "system": settings["system"]},
        folder=pathlib.Path(output) / _data_name(settings),
    )


def _asked(settings: Any, data_root: str, split: str, examples: int) -> dict[str, Any]:
    """Lay what the caller asks for over a config's sections."""
    if data_root:
        known = settings["data"]["source"]
        source = "folder" if known in sources.WORLDS else known
        settings["data"] |= {"source": source, "root": data_root}
    settings["eval"] |= {"split": split or settings["eval"].get("split", "val")}
    if examples:
        settings["eval"]["examples"] = examples
    return settings


def _data_name(settings: Mapping[str, Any]) -> str:
    where = pathlib.Path(settings["data"].get("root") or settings["data"]["source"]).name
    return f"{where}-{settings['eval']['split']}"


def _judge(system, settings, weights, plan, *, seed, record, folder) -> dict[str, Any]:
    """Evaluate, print, write."""
    if system.on_host:  # each process takes a batch of its own
        settings["eval"]["batch"] *= jax.process_count()
    else:
        plan.check_batch(settings["eval"]["batch"], "eval.batch")
    opened = feed.Sources()
    with feed.evaluation(settings, system, seed=seed, opened=opened) as batches:
        key = evaluation_key(seed, plan)
        metrics, drawn = Evaluator(system, plan)(*weights, batches, key)
    record = {
        **record,
        "n": feed.evaluation_size(settings, opened),
        "data": {key: settings["data"].get(key, "") for key in ("source", "root", "resolution")}
        | {"split": settings["eval"]["split"]},
        "seed": seed,
        **provenance.provenance(settings),
        "metrics": metrics,
    }
    folder = pathlib.Path(folder).absolute()
    if jax.process_index() == 0:
        file = folder / f"{record['phase']}.json"
        write_json(file, record)  # makes the folder
        pictures.write_png(file.with_suffix(".png"), images.grid(drawn))
        log.info("%s step %d, n = %d", record["phase"], record["step"], record["n"])
        log.info("%s", described(system, metrics, record["frozen"]))
        log.info("wrote %s and the grid beside it", file)
    return record


def described(
    system: Predictor, metrics: Mapping[str, float], frozen: Mapping[str, Mapping[str, Any]]
) -> str:
    """Return the table of an evaluation, and below it what is not of published weights.

    Args:
      system: whose metrics these are.
      metrics: figures by name.
      frozen: the record of each frozen network; "reference" is read.
    """
    return "\n\n".join([report(system, metrics), *on_weights(metrics, frozen)])


def on_weights(metrics: Iterable[str], frozen: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return in words which figures, and which frozen networks, are not of published weights.

    Args:
      metrics: names of figures.
      frozen: the record of each frozen network; "reference" is read.
    """
    metrics = tuple(metrics)
    standins = [
        f"{name} = {entry['reference']}"
        for name, entry in frozen.items()
        if entry["reference"].startswith("standin:")
    ]
    found = {
        "figures of a stand-in with random weights, which tell nothing of pictures": marked(
            metrics, "standin"
        ),
        "figures of weights that the catalogue does not know": marked(metrics, "unlisted"),
        "frozen networks that are stand-ins with random weights": standins,
    }
    return [f"{what}: {', '.join(which)}" for what, which in found.items() if which]
