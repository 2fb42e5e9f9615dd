"""Rows of a sweep whose training may collapse: they are trained again, with other seeds.

``table.retries`` of a config, ``most`` and ``min_updates``, asks for it; the metric ``collapsed``
of a row says when. A further try is a run of its own beside the row's, with the same frozen
networks, so that all tries are judged alike. A system with tables of its own
(`segsynth.system.Tabulating`) gets all of them.
"""

import functools
import pathlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from segsynth import systems
from segsynth.engine.run import Run
from segsynth.engine.writers import read_jsonl
from segsynth.errors import UserError
from segsynth.papers.tries import Try, with_retries
from segsynth.settings import configure
from segsynth.system import Tabulating

Tries = dict[str, tuple[Try, ...]]
#: Train a phase of a config in a folder, here or on another host; return what it left.
Train = Callable[[dict[str, Any], pathlib.Path, str], Mapping[str, Any]]
#: Between the seeds of the tries of a row: more than anybody's seeds of a sweep.
STRIDE = 1000


def limits(settings: Mapping[str, Any]) -> dict[str, int] | None:
    """Return ``table.retries`` with its defaults; None of a config that has none."""
    section = settings["table"].get("retries")
    return None if section is None else configure(_limits, section, "table.retries")


def _limits(*, most: int = 3, min_updates: int = 0) -> dict[str, int]:
    return {"max_tries": most, "min_updates": min_updates}


def made(
    settings: dict[str, Any],
    units: Sequence[str],
    folder: pathlib.Path,
    train: Train,
) -> Tries:
    """Return the tries of each row; the first ones are what ``folder`` holds.

    Args:
        settings: a config with ``table.retries``.
        units: rows.
        folder: the run of the first tries, in which all rows have ended.
        train: makes a further try.

    Raises:
        UserError: a row that is not judged by ``collapsed``.

    """
    return {
        unit: with_retries(
            functools.partial(_try, settings, unit, folder, train),
            settings["seed"],
            stride=STRIDE,
            **(limits(settings) or {}),
        )
        for unit in units
    }


def measured(settings: Mapping[str, Any], tries: Tries) -> dict[str, dict[str, Any]]:
    """Return the metrics of the kept try of each row, and whether its first one collapsed.

    ``first_collapsed`` and ``collapsed``, of the kept one, are 1 or 0, and None where a training is
    not judged.
    """
    least = _least(settings)
    return {
        unit: {
            **found[-1].metrics,
            "first_collapsed": _number(found[0].collapsed(least)),
            "collapsed": _number(found[-1].collapsed(least)),
        }
        for unit, found in tries.items()
    }


def rate(settings: Mapping[str, Any], tried: Sequence[Tries]) -> str:
    """Say how many first tries of all rows and seeds collapsed, and how many that are kept."""
    every, least = [row for tries in tried for row in tries.values()], _least(settings)
    said = []
    for name, place in (("first tries collapsed", 0), ("kept ones", -1)):
        flags = [row[place].collapsed(least) for row in every]
        judged = [fell for fell in flags if fell is not None]
        rest = f" ({len(flags) - len(judged)} not judged)" if len(judged) < len(flags) else ""
        said.append(f"{name}: {sum(judged)} of {len(judged)}{rest}")
    return "; ".join(said)


def _least(settings: Mapping[str, Any]) -> int:
    return (limits(settings) or {}).get("min_updates", 0)


def _number(fell: bool | None) -> float | None:
    return None if fell is None else float(fell)


def report(settings: Mapping[str, Any], units: Sequence[str], tries: Tries) -> str:
    """Return the system's own tables of all tries; "" of a system that has none."""
    run = Run(pathlib.Path(), dict(settings))
    system = systems.build(run.settings(units[0])["system"])
    found = limits(settings)
    if found is None or not isinstance(system, Tabulating):
        return ""
    return system.tables(tries, found["min_updates"])


def _try(settings: dict, unit: str, folder: pathlib.Path, train: Train, seed: int) -> Try:
    first = seed == settings["seed"]
    place = folder if first else folder.with_name(f"{folder.name}-{unit}-seed{seed}")
    changed = settings if first else _alone(settings, unit, seed, folder)
    ended = train(changed, place, unit)
    if "collapsed" not in ended["metrics"]:
        raise UserError(
            f"table.retries trains what has collapsed again, and {place / unit} has no metric "
            "'collapsed'; take table.retries out of the config"
        )
    return Try(seed, ended["step"], ended["metrics"], _seconds(settings, unit, place))


def _alone(settings: dict, unit: str, seed: int, folder: pathlib.Path) -> dict[str, Any]:
    """Return the config of one row with another seed, and the frozen networks of ``folder``."""
    phase = dict(settings["phases"][unit])
    for key in ("frozen", "init_from"):
        given = phase.get(key, {})
        phase[key] = {
            name: f"run:{folder}#{reference.removeprefix('phase:')}"
            if reference.startswith("phase:")
            else reference
            for name, reference in given.items()
        }
    return {**settings, "seed": seed, "run": [unit], "phases": {unit: phase}}


def _seconds(settings: dict, unit: str, place: pathlib.Path) -> float | None:
    """Return the median time of a step, by the speeds that the training logged."""
    run = Run(place, settings)
    rows = read_jsonl(run.directory(unit).metrics)
    speeds = [row[_SPEED] for row in rows if row.get(_SPEED)]
    examples = run.settings(unit)["train"]["global_batch"]
    return examples / statistics.median(speeds) if speeds else None


_SPEED = "train/examples_per_second"
