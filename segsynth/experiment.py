"""The only training loop: the phases of a config, in order, each on its own data.

A finished phase is never repeated; an interrupted one continues from its newest readable
checkpoint, on any number of devices, as if it had not been interrupted: the data position
and every random number are functions of the step.
"""

import contextlib
import dataclasses
import functools
import logging
import os
import time
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from clu import parameter_overview
from ml_collections import ConfigDict

from segsynth import systems
from segsynth.data import feed, pictures
from segsynth.engine import images, model_card, provenance, references, sharding, writers
from segsynth.engine.checkpoints import Checkpoints
from segsynth.engine.progress import Meter, Progress
from segsynth.engine.run import Run, plain, write_json
from segsynth.engine.stopping import StopRequest
from segsynth.errors import UserError
from segsynth.evaluate import Evaluator, described, evaluation_key
from segsynth.system import Calibrating, Diagnosable, Exporter, Probing, System, TrainState
from segsynth.types import Frozen, PRNGKey

log = logging.getLogger(__name__)


#: What an exported result tells about its data.
_ORIGIN = ("source", "root", "frame", "resolution")


class Stopped(Exception):
    """SIGTERM came: the state is saved, and the same command continues it."""


def train_and_evaluate(
    config: Mapping[str, Any] | ConfigDict, workdir: str | os.PathLike
) -> dict[str, Any]:
    """Train every phase of ``config`` that ``workdir`` has not finished, and evaluate each at its
    end.

    Returns ``{phase: {"step": ..., "metrics": ...}}``.

    Raises:
      UserError: a config, a workdir or data that cannot be used; training that diverged.
      Stopped: after SIGTERM, once the state is saved.
    """
    if not plain(config).get("run"):
        raise UserError(
            f"{config['system']['name']} has nothing to train; run launch/evaluate.py or "
            "launch/predict.py with this config"
        )
    run = Run.create(workdir, config)
    plan = sharding.plan(**run.config["mesh"])
    log.info("%s: %d devices as %s", run.path, plan.mesh.size, dict(plan.mesh.shape))
    waiting = [name for name in run.phases if run.directory(name).finished() is None]
    opened = feed.Sources()
    for name in waiting:  # a mistake in the last phase must not wait for the first ones to train
        _Phase.check(run, name, plan, opened)
    results = {}
    with StopRequest() as stop:
        for name in run.phases:
            if stop.asked:
                raise Stopped(f"stopped before {name}; the same command continues")
            finished = run.directory(name).finished()
            if finished is None:
                finished = _Phase.open(run, name, plan, opened).train(stop)
            else:
                log.info("%s: finished before, at step %d", name, finished["step"])
            results[name] = finished
    if jax.process_index() == 0:
        built = {name: systems.build(run.settings(name)["system"]) for name in run.phases}
        tables = {
            name: described(built[name], results[name]["metrics"], run.directory(name).frozen())
            for name in run.phases
        }
        last = run.phases[-1]
        model_card.write(run, results, tables, built[last].inputs)
        log.info("results of %s\n%s", last, tables[last])
    return results


@dataclasses.dataclass
class _Phase:
    """One phase being trained."""

    run: Run
    name: str
    plan: sharding.Plan
    settings: Mapping[str, Any]
    system: System
    opened: feed.Sources
    frozen: Frozen
    evaluator: Evaluator

    @classmethod
    def check(
        cls, run: Run, name: str, plan: sharding.Plan, opened: feed.Sources
    ) -> tuple[Mapping[str, Any], System]:
        """Find what can be found wrong with a phase before anything compiles; return its settings
        and system.
        """
        settings = run.settings(name)
        plan.check_batch(settings["train"]["global_batch"], "train.global_batch")
        plan.check_batch(settings["eval"]["batch"], "eval.batch")
        system = systems.build(settings["system"])
        if not isinstance(system, System):
            raise UserError(
                f"{settings['system']['name']} has nothing to train; run launch/evaluate.py or "
                "launch/predict.py"
            )
        if settings["every"].get("diagnose", 0) and not isinstance(system, Diagnosable):
            raise UserError(
                f"every.diagnose is {settings['every']['diagnose']}, and "
                f"{settings['system']['name']} has nothing to diagnose; set it to 0"
            )
        if settings["train"].get("calibration", 0) and not isinstance(system, Calibrating):
            raise UserError(
                f"train.calibration is {settings['train']['calibration']}, and "
                f"{settings['system']['name']} has no statistics to estimate; set it to 0"
            )
        references.check(run, name, system)
        feed.check(settings, system, opened)
        return settings, system

    @classmethod
    def open(cls, run: Run, name: str, plan: sharding.Plan, opened: feed.Sources) -> "_Phase":
        """Check a phase and load what it takes as frozen."""
        settings, system = cls.check(run, name, plan, opened)
        frozen = references.load_frozen(run, name, system, plan)
        if isinstance(system, Probing):
            try:
                system.check_frozen(frozen)
            except UserError as error:
                raise UserError(f"phase {name}: {error}") from error
        return cls(run, name, plan, settings, system, opened, frozen, Evaluator(system, plan))

    @property
    def total(self) -> int:
        """Steps of the whole phase."""
        return self.settings["train"]["steps"]

    @property
    def key(self) -> PRNGKey:
        """The phase's key, on every device."""
        seed, salt = self.run.config["seed"], zlib.crc32(self.name.encode())
        make = jax.jit(
            lambda: jax.random.fold_in(jax.random.key(seed), salt),
            out_shardings=self.plan.replicated,
        )
        return make()

    def train(self, stop: StopRequest) -> dict[str, Any]:
        """Train to the end and record the phase as finished."""
        keep = self.settings["eval"]
        checkpoints = Checkpoints(
            self.run.directory(self.name).checkpoints,
            keep=keep.get("keep", 3),
            best=keep.get("best", ""),
            best_mode=keep.get("best_mode", "max"),
        )
        with checkpoints:
            state = self._start(checkpoints)
            start = int(state.step)
            with contextlib.closing(self._writer(start)) as writer:
                state, metrics = self._loop(state, start, checkpoints, writer, stop)
        judged = feed.evaluation_size(self.settings, self.opened)
        record = {"step": self.total, "n": judged, "metrics": metrics}
        if jax.process_index() == 0:
            self._export(state)
            made_with = provenance.provenance(self.settings)
            told = {"phase": self.name, "seed": self.run.config["seed"], **made_with, **record}
            write_json(self.run.path / "eval" / f"{self.name}.json", told)
            self.run.directory(self.name).finish(record)
        return record

    def _export(self, state: TrainState) -> None:
        """Write what the system has to say of its result, if anything, into the run."""
        if isinstance(self.system, Exporter):
            data = {key: self.settings["data"].get(key, "") for key in _ORIGIN}
            origin = {"data": data, "steps": self.total, "seed": self.run.config["seed"]}
            exported = self.system.export(state.variables(), origin)
            write_json(self.run.directory(self.name).path / "parameters.json", exported)

    def _start(self, checkpoints: Checkpoints) -> TrainState:
        """Restore the newest state, or make the first one; either is born on its shardings."""
        try:
            abstract = self.plan.abstract(jax.eval_shape(self.system.init, self.key))
        except ValueError as error:  # a network refuses its sizes
            raise UserError(f"system: {error}") from error
        state = checkpoints.restore(abstract)
        if state is not None:
            log.info("%s: resumed at step %d", self.name, int(state.step))
            return state
        initial = references.load_initial(self.run, self.name, self.system, self.plan)
        shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract)
        # One jit builds the whole state, so that no two leaves share a buffer that a step will
        # donate.
        # It runs once: optimising it would take longer than running it.
        init = jax.jit(
            functools.partial(_init, self.system),
            out_shardings=shardings,
            compiler_options={"xla_backend_optimization_level": 0},
        )
        state = init(self.key, initial)
        self._describe(abstract)
        return state

    def _describe(self, abstract: TrainState) -> None:
        """Log the size of each network; the table of all parameters goes into the run."""
        for name, params in abstract.params.items():
            count = parameter_overview.count_parameters(params)
            log.info("%s: %s, %.2f M parameters", self.name, name, count / 1e6)
        if jax.process_index() == 0:
            overview = parameter_overview.get_parameter_overview(
                abstract.params, include_stats=False
            )
            (self.run.directory(self.name).path / "parameters.txt").write_text(overview + "\n")

    def _step(self, state: TrainState, frozen: Frozen, batch: Any, key: PRNGKey) -> Any:
        return self.system.train_step(state, frozen, batch, jax.random.fold_in(key, state.step))

    def _loop(self, state, start, checkpoints, writer, stop) -> tuple[TrainState, dict]:
        every, key = _Every(self.settings["every"], self.total), self.key
        shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
        step_fn = jax.jit(
            self._step, donate_argnums=0, out_shardings=(shardings, self.plan.replicated)
        )
        meter = Meter(self.name, self.settings["train"]["global_batch"])
        metrics: dict[str, float] = (
            self._evaluate(state, writer, start) if start >= self.total else {}
        )
        seed = self.run.config["seed"]
        with (
            feed.training(
                self.settings, self.system, seed=seed, start_step=start, opened=self.opened
            ) as batches,
            Progress(self.name, start, self.total) as progress,
        ):
            for step, batch in self._batches(batches, start, meter):
                with jax.transfer_guard("disallow"):
                    state, scalars = step_fn(state, self.frozen, batch, key)
                meter.add(scalars)
                progress.advance()
                stopping = stop.at(step)
                last = step == self.total or stopping
                if every.due("log", step) or every.due("checkpoint", step) or last:
                    self._log(step, meter, progress, writer)
                if every.due("diagnose", step):
                    self._diagnose(state, batch, writer, step)
                if step == self.total:
                    state = self._calibrated(state, shardings, batches, key)
                evaluated = {}
                if every.due("eval", step) or step == self.total:
                    metrics = evaluated = self._evaluate(state, writer, step)
                if every.due("checkpoint", step) or step == self.total or stopping:
                    checkpoints.save(step, state, evaluated)
                if stopping and step < self.total:
                    raise Stopped(
                        f"{self.name} saved at step {step}; the same command continues it"
                    )
        return state, metrics

    def _batches(self, batches: Iterator, start: int, meter: Meter) -> Iterator[tuple[int, Any]]:
        """Yield (number of the step that the batch makes, global batch)."""
        for step in range(start + 1, self.total + 1):
            began = time.perf_counter()
            local = next(batches)
            meter.waited(time.perf_counter() - began)
            yield step, self.plan.put_batch(local)

    def _calibrated(self, state: TrainState, shardings, batches: Iterator, key) -> TrainState:
        """Estimate the statistics of a finished state on batches that follow those of training."""
        count = self.settings["train"].get("calibration", 0)
        if not count:
            return state
        calibrate = jax.jit(self._calibration, donate_argnums=0, out_shardings=shardings)
        for i in range(count):
            batch = self.plan.put_batch(next(batches))
            number = jax.device_put(np.int32(i), self.plan.replicated)
            state = calibrate(state, self.frozen, batch, key, number)
        return state

    def _calibration(self, state, frozen, batch, key, number) -> TrainState:
        # Steps count from 0, so these keys are no step's.
        key = jax.random.fold_in(key, state.step + number)
        return self.system.calibrate(state, frozen, batch, key)

    def _log(self, step: int, meter: Meter, progress: Progress, writer: writers.Writer) -> None:
        means = meter.flush(step)
        if means:
            writer.write_scalars(step, {f"train/{name}": value for name, value in means.items()})
            writer.flush()
            progress.show(step, means)

    def _diagnose(self, state: TrainState, batch: Any, writer: writers.Writer, step: int) -> None:
        scalars = jax.device_get(self._diagnosis(state, self.frozen, batch, self.key))
        writer.write_scalars(step, {f"diagnose/{name}": value for name, value in scalars.items()})

    @functools.cached_property
    def _diagnosis(self) -> Any:
        return jax.jit(self.system.diagnose)

    def _evaluate(self, state: TrainState, writer: writers.Writer, step: int) -> dict[str, float]:
        seed = self.run.config["seed"]
        with feed.evaluation(self.settings, self.system, seed=seed, opened=self.opened) as batches:
            key = evaluation_key(seed, self.plan)
            metrics, drawn = self.evaluator(state.variables(), self.frozen, batches, key)
        writer.write_scalars(step, {f"eval/{name}": value for name, value in metrics.items()})
        if jax.process_index() == 0:
            grid = images.grid(drawn)
            samples = self.run.directory(self.name).samples
            samples.mkdir(exist_ok=True)
            pictures.write_png(samples / f"{step:08d}.png", grid)
            writer.write_images(step, {f"{self.name}/samples": grid})
        writer.flush()
        return metrics

    def _writer(self, start: int) -> writers.Writer:
        if jax.process_index() > 0:
            return writers.MultiWriter()
        folder = self.run.directory(self.name)
        folder.path.mkdir(parents=True, exist_ok=True)
        chosen: list[writers.Writer] = [writers.JsonlWriter(folder.metrics, start)]
        if self.run.config.get("tensorboard", False):
            chosen.append(writers.TensorBoardWriter(self.run.path / "events" / self.name))
        return writers.MultiWriter(*chosen)


def _init(system: System, key: PRNGKey, initial: Mapping[str, Any]) -> TrainState:
    """Return the first state, with the networks of ``initial`` in place of fresh ones."""
    state, params = system.init(key), initial["params"]
    averages = {name: jax.tree.map(jnp.copy, params[name]) for name in params if name in state.ema}
    return state.replace(
        params={**state.params, **params},
        model_state={**state.model_state, **initial["model_state"]},
        ema={**state.ema, **averages},
    )


@dataclasses.dataclass(frozen=True)
class _Every:
    """When the actions of the loop are due; 0 = never."""

    settings: Mapping[str, int]
    total: int

    def due(self, action: str, step: int) -> bool:
        n = self.settings.get(action, 0)
        return n > 0 and step % n == 0
