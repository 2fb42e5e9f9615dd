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

from segsynth import systems
from segsynth.data import feed, pictures
from segsynth.engine import images, references, sharding
from segsynth.engine.run import Run, write_json
from segsynth.engine.tables import metrics_table
from segsynth.system import Predictor
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
    def _step(self) -> Any:
        def step(variables: Variables, frozen: Frozen, batch: Any, key: PRNGKey) -> Any:
            metrics, drawn = self.system.eval_step(variables, frozen, batch, key)
            few = {name: pictures[: self.rows] for name, pictures in drawn.items()}
            gathered = jax.lax.with_sharding_constraint(few, self.plan.replicated)
            return jax.lax.with_sharding_constraint(metrics, self.plan.replicated), gathered

        return jax.jit(step)

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
            batch = self.plan.put_batch(dict(local))
            metrics, drawn = self._step(variables, frozen, batch, jax.random.fold_in(key, i))
            total = metrics if total is None else self._merge(total, metrics)
            first = first or {name: np.asarray(drawn[name]) for name in self.system.pictures}
        values = {name: float(value) for name, value in jax.device_get(total.compute()).items()}
        return {name.replace("__", "/"): value for name, value in values.items()}, first


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
      data_root: evaluate on another folder of pictures than the run was trained on.
      split: of the data; the config's ``eval.split`` by default. "all" takes every picture of a
        folder.
      examples: how many; the config's ``eval.examples`` by default, -1 for all.
      mesh: ``{"data": ..., "fsdp": ...}``; all devices as ``data`` by default.

    Returns:
      what was written: phase, step, n, data and ``metrics``.
    """
    run = Run.open(path)
    phase = phase or run.last_trained()
    settings = run.settings(phase)
    if data_root:
        settings["data"] |= {"source": "folder", "root": data_root}
    settings["eval"] |= {"split": split or settings["eval"].get("split", "val")}
    if examples:
        settings["eval"]["examples"] = examples
    plan = sharding.plan(**(mesh or {}))
    plan.check_batch(settings["eval"]["batch"], "eval.batch")
    system = systems.build(settings["system"])
    variables, step = references.load_trained(run, phase, system, plan, step)
    frozen = references.load_frozen(run, phase, system, plan)
    opened = feed.Sources()
    with feed.evaluation(settings, system, seed=run.config["seed"], opened=opened) as batches:
        key = evaluation_key(run.config["seed"], plan)
        metrics, drawn = Evaluator(system, plan)(variables, frozen, batches, key)
    record = {
        "phase": phase,
        "step": step,
        "n": feed.evaluation_size(settings, opened),
        "data": {key: settings["data"].get(key, "") for key in ("source", "root", "resolution")}
        | {"split": settings["eval"]["split"]},
        "frozen": run.directory(phase).frozen(),
        "metrics": metrics,
    }
    where = pathlib.Path(settings["data"].get("root") or settings["data"]["source"]).name
    default = run.path / "eval" / f"{where}-{settings['eval']['split']}-{step}"
    folder = pathlib.Path(output or default).absolute()
    if jax.process_index() == 0:
        write_json(folder / f"{phase}.json", record)  # makes the folder
        pictures.write_png(folder / f"{phase}.png", images.grid(drawn))
        log.info("%s step %d, n = %d\n%s", phase, step, record["n"], metrics_table(metrics))
        log.info("wrote %s and the grid beside it", folder / f"{phase}.json")
    return record
