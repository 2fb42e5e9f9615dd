"""Stopping on SIGTERM: a cluster's notice that the machine is about to be taken."""

import signal
import threading
from typing import Any

import jax
from jax.experimental import multihost_utils


class StopRequest:
    """Turns SIGTERM into a flag while the context lasts, so that a loop can save and leave."""

    def __init__(self) -> None:
        self._asked = False
        self._before: Any = None

    def __enter__(self) -> "StopRequest":
        # Several processes must stop at the same step: there jax's own notifier agrees on one.
        alone = jax.process_count() == 1 and threading.current_thread() is threading.main_thread()
        self._before = signal.signal(signal.SIGTERM, self._ask) if alone else None
        return self

    def __exit__(self, *exception: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    @property
    def asked(self) -> bool:
        """Whether SIGTERM has come to this process."""
        return self._asked

    def _ask(self, *_: object) -> None:
        self._asked = True

    def at(self, step: int) -> bool:
        """Return whether the loop should leave after ``step``."""
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._asked
