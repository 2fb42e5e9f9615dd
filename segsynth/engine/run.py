"""A run directory: its config, its phases, what was finished and how it went.

``config.json``, ``<phase>/{checkpoints/, metrics.jsonl, samples/, frozen.json, finished.json}``,
``events/``, ``eval/<phase>.json``, ``README.md``. References inside are relative to the run, so the
directory can be moved.
"""

import dataclasses
import json
import math
import os
import pathlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from segsynth.errors import UserError
from segsynth.settings import merge, unknown

#: Keys in which a resumed command may differ: they change where and how a run runs, not what it
#: computes.
FREE = (
    *("mesh", "data_root", "drawings_root", "root", "every", "eval", "workers", "cache"),
    *("on_error", "tensorboard", "run", "table"),
)


@dataclasses.dataclass(frozen=True)
class PhaseDirectory:
    """The folder of one phase."""

    path: pathlib.Path

    @property
    def checkpoints(self) -> pathlib.Path:
        """Orbax checkpoints by step."""
        return self.path / "checkpoints"

    @property
    def metrics(self) -> pathlib.Path:
        """Scalars, one JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def samples(self) -> pathlib.Path:
        """Image grids by step."""
        return self.path / "samples"

    def finished(self) -> dict[str, Any] | None:
        """Return what :meth:`finish` recorded, or ``None``; metrics that are no number as NaN."""
        record = read_json(self.path / "finished.json")
        if record is None:
            return None
        metrics = record.get("metrics", {}).items()
        numbers = {name: math.nan if value is None else value for name, value in metrics}
        return {**record, "metrics": numbers}

    def finish(self, record: Mapping[str, Any]) -> None:
        """Mark the phase as finished; it is never trained again."""
        write_json(self.path / "finished.json", record)

    def frozen(self) -> dict[str, Any]:
        """Return the networks that the phase took as frozen: reference, step and sha256 of each."""
        return read_json(self.path / "frozen.json") or {}

    def record_frozen(self, record: Mapping[str, Any]) -> None:
        """Keep what :meth:`frozen` returns."""
        write_json(self.path / "frozen.json", record)


@dataclasses.dataclass(frozen=True)
class Run:
    """A run directory and its config."""

    path: pathlib.Path
    config: Mapping[str, Any]

    @classmethod
    def create(cls, path: str | os.PathLike, config: Mapping[str, Any] | ConfigDict) -> "Run":
        """Open ``path`` for training: make it, or resume it.

        Raises :class:`UserError` when it holds another config (the difference is named) or cannot
        be written.
        """
        run = cls(pathlib.Path(path).absolute(), plain(config))
        file = run.path / "config.json"
        try:
            run.path.mkdir(parents=True, exist_ok=True)
            before = read_json(file)
            if before is not None and run.begun():
                _refuse_difference(before, run.config, run.path)
            if jax.process_index() == 0:  # several at once would take away each other's file
                write_json(file, run.config)
        except OSError as error:
            raise UserError(
                f"cannot write to workdir {run.path} ({error.strerror}); give another one with "
                "--workdir"
            ) from error
        return run

    @classmethod
    def open(cls, path: str | os.PathLike) -> "Run":
        """Open ``path`` for reading.

        Raises :class:`UserError` when it is no run directory.
        """
        run = pathlib.Path(path).absolute()
        config = read_json(run / "config.json")
        if config is None:
            raise UserError(
                f"{run} is no run directory (it has no config.json); give the --workdir of a "
                "training"
            )
        return cls(run, config)

    @property
    def phases(self) -> tuple[str, ...]:
        """Phases in the order of training; ``--config.run lcg,level1`` is one string."""
        return tuple(name for entry in self.config["run"] for name in entry.split(","))

    def directory(self, phase: str) -> PhaseDirectory:
        """Return the folder of a phase."""
        return PhaseDirectory(self.path / phase)

    def settings(self, phase: str) -> dict[str, Any]:
        """Return a phase's sections, each laid over the section of the same name that all phases
        share.

        Raises :class:`UserError` for a phase that the config does not have.
        """
        if phase not in self.config["phases"]:
            raise UserError(unknown(phase, self.config["phases"], "this run"))
        own = self.config["phases"][phase]
        shared = {
            name: self.config.get(name, {}) for name in ("system", "data", "train", "every", "eval")
        }
        return merge({"frozen": {}, "init_from": {}}, shared, own)

    def begun(self) -> bool:
        """Whether any phase has something to lose: a checkpoint, or its end."""
        return any(
            self.directory(phase).finished() or _steps(self.directory(phase).checkpoints)
            for phase in read_json(self.path / "config.json")["phases"]
        )

    def last_trained(self) -> str:
        """Return the last phase that has a checkpoint.

        Raises :class:`UserError` when none has.
        """
        for phase in reversed(self.phases):
            if _steps(self.directory(phase).checkpoints):
                return phase
        raise UserError(f"{self.path} holds no checkpoint yet; train it first")


def _steps(folder: pathlib.Path) -> list[str]:
    """Return the names of whole checkpoints."""
    found = folder.iterdir() if folder.is_dir() else ()
    return [child.name for child in found if child.name.isdigit()]


def plain(value: Any) -> Any:
    """Return a config as JSON would give it back: dicts, lists, strings and numbers."""
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    return json.loads(json.dumps(value))


def read_json(path: pathlib.Path) -> Any:
    """Return the content of a JSON file, or ``None`` where there is none."""
    return json.loads(path.read_text()) if path.is_file() else None


def write_json(path: pathlib.Path, value: Any) -> None:
    """Write a JSON file whole or not at all; a number that is none becomes ``null``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # By chance: the hosts of a sweep write the same files, and would take away each other's.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    temporary.write_text(json.dumps(_legal(value), indent=2, allow_nan=False) + "\n")
    temporary.replace(path)


def _legal(value: Any) -> Any:
    """Return a value without what JSON cannot say: infinities and NaN."""
    if isinstance(value, Mapping):
        return {key: _legal(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_legal(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def differences(before: Any, after: Any, path: str = "", free: Sequence[str] = FREE) -> list[str]:
    """Return ``key: before -> after`` for every key that differs outside ``free``."""
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        return [] if before == after else [f"{path}: {before} -> {after}"]
    found = []
    for key in sorted(set(before) | set(after)):
        if key not in free:
            inner = f"{path}.{key}" if path else key
            found += differences(before.get(key), after.get(key), inner, free)
    return found


def _refuse_difference(before: Any, after: Any, path: pathlib.Path) -> None:
    different = differences(before, after)
    if different:
        more = f" and {len(different) - 1} more" if len(different) > 1 else ""
        raise UserError(
            f"{path} holds a run of another config ({different[0]}{more}); "
            "give another --workdir, or the same config to resume"
        )
