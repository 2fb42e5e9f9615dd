"""Trainings of one row of a paper's table: those that fail are made again, and none is hidden."""

import dataclasses
import math
from collections.abc import Callable, Mapping


@dataclasses.dataclass(frozen=True)
class Try:
    """One training: its seed, how many updates, what it reached, and how long an update took.

    ``metrics`` with ``collapsed``, 1 or 0, or NaN where nothing was evaluated; ``seconds`` is None
    if they were not measured.
    """

    seed: int
    updates: int
    metrics: Mapping[str, float]
    seconds: float | None = None

    def collapsed(self, min_updates: int) -> bool | None:
        """Return whether it collapsed; None for a training that is not judged, as it is too short
        or nothing was evaluated.
        """
        found = self.metrics["collapsed"]
        return None if self.updates < min_updates or math.isnan(found) else bool(found)


def with_retries(
    train: Callable[[int], Try],
    seed: int,
    *,
    max_tries: int = 3,
    min_updates: int = 0,
    stride: int = 1,
) -> tuple[Try, ...]:
    """Train with seeds ``seed``, ``seed + stride``, ... until a try does not collapse.

    ``train(seed)`` trains and evaluates. What is too short to be judged is not repeated. Returns
    all tries in order; the last one is kept.
    """
    tries: list[Try] = []
    while len(tries) < max_tries:
        tries.append(train(seed + stride * len(tries)))
        if not tries[-1].collapsed(min_updates):
            break
    return tuple(tries)
