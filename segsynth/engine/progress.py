"""Progress of a phase: a bar on a terminal, else one line per log interval; and the meter behind
it.
"""

import datetime
import logging
import math
import sys
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from segsynth.errors import UserError

log = logging.getLogger(__name__)


class Meter:
    """Keeps scalars on the device between log intervals, and the time that the loop waited for
    data.
    """

    def __init__(self, phase: str, global_batch: int):
        self._phase, self._batch = phase, global_batch
        self._kept: list[Mapping[str, Any]] = []
        self._since, self._waited = time.perf_counter(), 0.0

    def add(self, scalars: Mapping[str, Any]) -> None:
        """Keep a step's scalars without looking at them."""
        self._kept.append(scalars)

    def waited(self, seconds: float) -> None:
        """Count time spent waiting for the next batch."""
        self._waited += seconds

    def flush(self, step: int) -> dict[str, float]:
        """Return means since the last flush, examples per second and the share of time spent
        waiting.

        Raises :class:`UserError` when a scalar is not finite.
        """
        if not self._kept:
            return {}
        fetched = jax.device_get(self._kept)
        means = {name: float(np.mean([row[name] for row in fetched])) for name in fetched[0]}
        for name, value in means.items():
            if not math.isfinite(value):
                raise UserError(
                    f"phase {self._phase}: {name} is {value} by step {step}; the last "
                    "checkpoint is kept, "
                    "lower system.optimizer.lr and start again in a new workdir"
                )
        elapsed = time.perf_counter() - self._since
        rate = {
            "examples_per_second": len(fetched) * self._batch / elapsed,
            "data_wait": min(1.0, self._waited / elapsed),
        }
        self._kept, self._since, self._waited = [], time.perf_counter(), 0.0
        return {**means, **rate}


class Progress:
    """Shows how far a phase has come; a context manager."""

    def __init__(self, phase: str, start: int, total: int):
        self._phase, self._start, self._total = phase, start, total
        self._began = time.perf_counter()
        self._bar = None
        if sys.stderr.isatty() and jax.process_index() == 0:
            self._bar = tqdm(total=total, initial=start, desc=phase, unit="step")

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self) -> None:
        """One step done."""
        if self._bar is not None:
            self._bar.update()

    def show(self, step: int, means: Mapping[str, float]) -> None:
        """Show the means of a log interval."""
        loss = means.get("loss", math.nan)
        if self._bar is not None:
            self._bar.set_postfix(loss=f"{loss:.4f}", wait=f"{means['data_wait']:.0%}")
            return
        left = (
            (time.perf_counter() - self._began) / max(step - self._start, 1) * (self._total - step)
        )
        log.info(
            "%s %d/%d  loss %.4f  %.1f examples/s  waiting for data %.0f%%  %s left",
            self._phase,
            step,
            self._total,
            loss,
            means["examples_per_second"],
            100 * means["data_wait"],
            datetime.timedelta(seconds=round(left)),
        )
