"""Checkpoints of one phase. The only file that knows Orbax.

A checkpoint is a Composite of one item per network and kind - ``params.level1``, ``ema.level1``,
``opt_state.model``
- so that a reader takes just the networks it needs, onto whatever devices it has.
"""

import contextlib
import errno
import logging
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint.checkpoint_managers import preservation_policy

from segsynth.errors import UserError
from segsynth.settings import unknown
from segsynth.system import TrainState

log = logging.getLogger(__name__)

#: What an operating system says when it has no more room.
_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
_KINDS = ("params", "model_state", "ema", "opt_state")


def _items(state: TrainState) -> dict[str, Any]:
    """Split a state into named items; Orbax refuses items without a leaf, so those are left out."""
    items = {"step": {"step": state.step}}
    for kind in _KINDS:
        for name, tree in getattr(state, kind).items():
            if jax.tree.leaves(tree):
                items[f"{kind}.{name}"] = tree
    return items


def _state(items: Mapping[str, Any], like: TrainState) -> TrainState:
    """Undo :func:`_items`; what had no leaf comes from ``like``."""
    parts = {
        kind: {
            name: items.get(f"{kind}.{name}", tree) for name, tree in getattr(like, kind).items()
        }
        for kind in _KINDS
    }
    return TrainState(step=items["step"]["step"], **parts)


class Checkpoints:
    """The checkpoints of one phase; a context manager, because errors of asynchronous saves surface
    at its end.

    ``keep`` newest ones are kept and, when ``best`` names a metric, the one that scored highest
    (lowest with ``best_mode="min"``) as well. A directory opened with ``read_only=True`` is never
    written.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        *,
        keep: int = 3,
        best: str = "",
        best_mode: str = "max",
        read_only: bool = False,
    ):
        self.directory = pathlib.Path(directory).absolute()  # relative paths fail silently in Orbax
        self._read_only, self._best = read_only, best
        self._manager = ocp.CheckpointManager(
            self.directory, options=_options(keep, best, best_mode, read_only)
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            with self._named_if_full():
                self._manager.close()
        except Exception:
            if not isinstance(error, UserError):  # else it says the same, or follows from it
                raise

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps that were saved whole, ascending."""
        return tuple(sorted(self._manager.all_steps()))

    def save(
        self, step: int, state: TrainState, metrics: Mapping[str, float] | None = None
    ) -> None:
        """Save asynchronously; ``state`` may be donated to a step once this returns.

        Raises :class:`UserError` when ``metrics`` lack the one that decides which is best - the
        state is saved nevertheless - and when the disk is full.
        """
        if step in self.steps:
            return
        misnamed = metrics and self._best and self._best not in metrics
        args = {name: ocp.args.StandardSave(tree) for name, tree in _items(state).items()}
        with self._named_if_full():
            self._manager.save(
                step,
                args=ocp.args.Composite(**args),
                metrics=dict(metrics) if metrics and not misnamed else None,
            )
        if misnamed:
            raise UserError(unknown(self._best, metrics, "the evaluation (eval.best)"))

    @contextlib.contextmanager
    def _named_if_full(self) -> Iterator[None]:
        """Name a full disk, which Orbax reports as errors of several types, often a save later."""
        try:
            yield
        except Exception as error:
            reason = next((text for text in _FULL if text in str(error)), None)
            if reason is None:
                raise
            raise UserError(
                f"cannot save a checkpoint in {self.directory} ({reason}); earlier ones are kept: "
                "free space, and the same command continues"
            ) from error

    def restore(self, abstract: TrainState) -> TrainState | None:
        """Return the newest readable state on the shardings of ``abstract``; ``None`` if none was
        ever saved.

        A checkpoint that cannot be read is set aside under ``unreadable/`` and named in the log.

        Raises :class:`UserError` when checkpoints exist and none can be read.
        """
        items = _items(abstract)
        found = self._newest(self.steps, lambda step: self._read(step, items))
        return None if found is None else _state(found[1], abstract)

    def network(self, name: str, abstract: Mapping[str, Any], step: int | str = "newest") -> Any:
        """Return the linen variables of one network for prediction: moving average, if any, and
        model state.

        ``abstract`` is its ``{"params": ..., <collection>: ...}`` with shardings; ``step`` a
        number, ``"newest"`` or ``"best"``. Returns ``(variables, step)``.

        Raises :class:`UserError` when there is no such step, network or readable checkpoint.
        """
        steps = self._select(step)
        known = set().union(*map(self._networks, steps))
        if known and name not in known:
            raise UserError(
                f"the checkpoints in {self.directory} hold no network {name!r}; they hold "
                f"{', '.join(sorted(known))}"
            )
        found = self._newest(
            steps, lambda step: self._read(step, self._names(step, name, abstract))
        )
        if found is None:
            raise UserError(f"no checkpoint in {self.directory}; train this phase first")
        step, items = found
        params = items.get(f"ema.{name}", items.get(f"params.{name}"))
        return {"params": params, **items.get(f"model_state.{name}", {})}, step

    def _select(self, step: int | str) -> tuple[int, ...]:
        if step == "newest" or not self.steps:
            return self.steps
        wanted = self._manager.best_step() if step == "best" else step
        found = tuple(known for known in self.steps if str(known) == str(wanted))
        if not found:
            raise UserError(
                f"no checkpoint of step {wanted} in {self.directory}; it holds steps "
                f"{list(self.steps)}"
            )
        return found

    def _names(self, step: int, name: str, abstract: Mapping[str, Any]) -> dict[str, Any]:
        """Return the items that hold network ``name`` at ``step``."""
        averaged = (self.directory / str(step) / f"ema.{name}").exists()
        items = {f"{'ema' if averaged else 'params'}.{name}": abstract["params"]}
        collections = {k: v for k, v in abstract.items() if k != "params"}
        return {**items, f"model_state.{name}": collections} if collections else items

    def _networks(self, step: int) -> set[str]:
        """Return the names of the networks that a step holds, which may be damaged."""
        kinds = ("params.", "ema.")
        found = (path.name for path in (self.directory / str(step)).glob("*.*"))
        return {name.partition(".")[2] for name in found if name.startswith(kinds)}

    def _read(self, step: int, items: Mapping[str, Any]) -> Mapping[str, Any]:
        args = {name: ocp.args.StandardRestore(tree) for name, tree in items.items()}
        return self._manager.restore(step, args=ocp.args.Composite(**args))

    def _newest(self, steps: tuple[int, ...], read: Callable[[int], Any]) -> tuple[int, Any] | None:
        """Return the newest step that ``read`` manages, with what it read."""
        failed: dict[int, str] = {}
        for step in reversed(steps):
            try:
                found = read(step)
            except (
                Exception
            ) as error:  # Orbax raises anything from JSON to zarr errors on damaged files
                failed[step] = (
                    str(error).strip().splitlines()[0][:200] if str(error) else repr(error)
                )
                log.warning(
                    "checkpoint %s/%d is unreadable (%s)", self.directory, step, failed[step]
                )
                continue
            self._set_aside(failed)
            return step, found
        if failed:
            newest = max(failed)
            raise UserError(
                f"no readable checkpoint in {self.directory}: step {newest} fails with "
                f"'{failed[newest]}'; ask for the sizes that were trained, bring its files back or "
                "delete the folder to train this phase again"
            )
        return None

    def _set_aside(self, steps: Mapping[int, str]) -> None:
        """Move damaged checkpoints out of the way of the saves to come."""
        if self._read_only or not steps:
            return
        if jax.process_index() == 0:
            for step in steps:
                target = _free(self.directory.parent / "unreadable" / str(step))
                target.parent.mkdir(exist_ok=True)
                (self.directory / str(step)).rename(target)
                log.warning(
                    "moved checkpoint %d to %s; continuing from an earlier one", step, target
                )
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("unreadable checkpoints")
        self._manager.reload()


def _free(path: pathlib.Path) -> pathlib.Path:
    """Return ``path``, numbered if it is taken."""
    candidates: Iterator[pathlib.Path] = (
        path.with_name(f"{path.name}-{i}") for i in range(1, 1000)
    )
    return path if not path.exists() else next(p for p in candidates if not p.exists())


def _options(keep: int, best: str, best_mode: str, read_only: bool) -> ocp.CheckpointManagerOptions:
    if read_only:
        return ocp.CheckpointManagerOptions(
            read_only=True,
            save_interval_steps=0,
            create=False,
            best_fn=_metric(best),
            best_mode=best_mode,
        )
    policies = [preservation_policy.LatestN(keep)]
    if best:
        policies.append(
            preservation_policy.BestN(
                get_metric_fn=_metric(best),
                reverse=best_mode == "min",
                n=1,
                keep_checkpoints_without_metrics=False,
            )
        )
    return ocp.CheckpointManagerOptions(
        preservation_policy=preservation_policy.AnyPreservationPolicy(policies),
        best_fn=_metric(best),
        best_mode=best_mode,
    )


def _metric(name: str) -> Callable[[Mapping[str, float]], float] | None:
    return (lambda metrics: metrics[name]) if name else None
