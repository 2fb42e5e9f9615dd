"""Two phases on the same pictures, one at a time: how often which is better, and how surely.

For methods that a study with people would compare. What is counted here are measures of the
systems' own evaluations; none of them is a preference, and they are not averaged into one number.
"""

import ast
import copy
import functools
import logging
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from segsynth import systems
from segsynth.data import feed
from segsynth.engine import provenance, references, sharding
from segsynth.engine.run import Run, write_json
from segsynth.errors import UserError
from segsynth.evaluate import evaluation_key
from segsynth.metrics.names import identifier, name_of
from segsynth.metrics.readability import HIGHER, LOWER, Interval, difference, win_rate
from segsynth.metrics.segmentation import Confusion, Entry

log = logging.getLogger(__name__)

_INTERVALS = ("gain", "rate")
Table = Mapping[str, Float[np.ndarray, " n"]]


class Evaluated(NamedTuple):
    """A phase on a data set: measures of each picture (NaN where there is none), and all figures
    of the whole.
    """

    each: Table
    whole: Mapping[str, float]


class Judged(NamedTuple):
    """A measure of two phases on the same pictures.

    ``baseline`` and ``ours`` are means over the pictures of which both have a number; ``gain`` is
    their difference and ``rate`` the share of pictures on which ours is better (a draw counts
    half), with 95 % intervals.
    """

    measure: str
    baseline: float
    ours: float
    gain: Interval
    rate: Interval


def compare(
    run: str | os.PathLike,
    pairs: Sequence[tuple[str, str]] = (),
    *,
    data_root: str = "",
    split: str = "",
    examples: int = 0,
    changes: Mapping[str, str] | None = None,
    output: str | os.PathLike = "",
) -> list[Judged]:
    """Compare phases of a run pair by pair, and write ``paired.md`` and ``paired.json``.

    Args:
        run: its directory.
        pairs: baseline and ours, phases each; ``table.pairs`` of the run's config by default.
        data_root: another folder of the same kind of data.
        split: of the data; that of each phase's evaluation by default.
        examples: how many; as in each phase's evaluation by default, -1 for all.
        changes: keys of a phase's settings and their values in words or as Python writes them, so
            that data of another kind can be read (``{"data.source": "fivek"}``).
        output: folder of the results; the run's ``eval`` by default.

    Returns:
        The measures of `readability.HIGHER` and `LOWER` that the phases have.

    Raises:
        UserError: no pairs, no such phase, data that cannot be read, pairs without a measure.

    """
    opened = Run.open(run)
    table = opened.config.get("table") or {}
    pairs = [tuple(pair) for pair in pairs or table.get("pairs", ())]
    if not pairs:
        raise UserError(f"{opened.path} says no pairs of phases; give --pair BASELINE:OURS")
    asked = {"data.root": data_root, "eval.split": split, "eval.examples": examples}
    given = {key: value for key, value in asked.items() if value}
    given |= {key: _value(text) for key, text in (changes or {}).items()}
    phases = dict.fromkeys(phase for pair in pairs for phase in pair)
    found = {phase: evaluated(opened, phase, given) for phase in phases}
    judged = [x for first, second in pairs for x in _judge(found[first], found[second])]
    if not judged:
        raise UserError(f"the phases {pairs} have no measure in common that says what is better")
    text = "\n".join([markdown(judged), *(_wholes(pair, found) for pair in pairs)])
    folder = pathlib.Path(output or opened.path / "eval").absolute()
    wholes = {phase: result.whole for phase, result in found.items()}
    rows = [x._asdict() | {name: getattr(x, name)._asdict() for name in _INTERVALS} for x in judged]
    made_with = {"seed": opened.config["seed"], **provenance.provenance(opened.config)}
    made_with["changes"] = given
    write_json(folder / "paired.json", {"measures": rows, **made_with, **wholes})
    (folder / "paired.md").write_text(text, encoding="utf-8")
    log.info("%s\nwrote %s", text, folder / "paired.md")
    return judged


def evaluated(run: Run, phase: str, changes: Mapping[str, Any] | None = None) -> Evaluated:
    """Evaluate a phase, one picture at a time.

    ``changes``: values for keys of the phase's settings, as "eval.examples".
    """
    settings = _changed(run.settings(phase), changes or {})
    plan = sharding.plan(data=1)
    settings["eval"]["batch"] = 1
    system = systems.build(settings["system"])
    variables, _ = references.load_trained(run, phase, system, plan)
    frozen = references.load_frozen(run, phase, system, plan)
    step = jax.jit(lambda *inputs: system.eval_step(*inputs)[0])
    merge = jax.jit(lambda whole, metrics: whole.merge(metrics))
    key, rows, whole = evaluation_key(run.config["seed"], plan), [], None
    with feed.evaluation(settings, system, seed=run.config["seed"]) as batches:
        for i, local in enumerate(batches):
            batch = plan.put_batch(dict(local))
            metrics = step(variables, frozen, batch, jax.random.fold_in(key, i))
            rows.append(_measures(metrics))
            whole = metrics if whole is None else merge(whole, metrics)
    figures = jax.device_get(whole.compute())
    return Evaluated(
        {name: np.asarray([row[name] for row in rows]) for name in rows[0]},
        {name_of(name): float(figure) for name, figure in figures.items()},
    )


def markdown(judged: Sequence[Judged]) -> str:
    """Return the table for people; what is in brackets is a 95 % interval."""
    lines = [
        "| | baseline | ours | difference | ours is better on | pictures |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for x in judged:
        cells = [f"auto: {x.measure}", f"{x.baseline:.4f}", f"{x.ours:.4f}"]
        cells.append(f"{x.gain.mean:+.4f} [{x.gain.low:+.4f}, {x.gain.high:+.4f}]")
        rate, low, high = (100 * share for share in x.rate[:3])
        cells += [f"{rate:.1f} % [{low:.1f}, {high:.1f}]", str(x.rate.pictures)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _wholes(pair: tuple[str, str], found: Mapping[str, Evaluated]) -> str:
    """Return the figures of the data set that both phases have."""
    first, second = (found[phase].whole for phase in pair)
    lines = [f"| | {pair[0]} | {pair[1]} |", "|---|---:|---:|"]
    both = (name for name in first if name in second)
    return "\n".join([*lines, *(f"| {n} | {first[n]:.4f} | {second[n]:.4f} |" for n in both), ""])


def _judge(first: Evaluated, second: Evaluated) -> list[Judged]:
    found, (baseline, ours) = [], (first.each, second.each)
    for name in (name for name in baseline if name in ours):
        pair = ours[name], baseline[name]
        counts = np.isfinite(pair[0]) & np.isfinite(pair[1])
        if counts.any():
            rate = win_rate(*pair, lower_is_better=name in LOWER)
            means = (float(x[counts].mean()) for x in reversed(pair))
            found.append(Judged(name, *means, difference(*pair), rate))
    return found


def _measures(metrics: Any) -> dict[str, float]:
    """Return what is known of one picture."""
    found = {name: getattr(metrics, identifier(name), None) for name in (*HIGHER, *LOWER)}
    return {name: _figure(metric) for name, metric in found.items() if metric is not None}


def _figure(metric: Any) -> float:
    """Return the value of a metric of one picture.

    A mean IoU is that over the classes which the picture holds: one that is not there cannot be
    found, and a single pixel of it would count as a class of which all is wrong.
    """
    if not (isinstance(metric, Entry) and isinstance(metric.of, Confusion)):
        return float(metric.compute())
    rates = {name: np.asarray(rate) for name, rate in metric.of.compute().items()}
    if metric.key != "mean_iou":
        return float(rates[metric.key])
    held = np.isfinite(rates["recall"])
    return float(rates["iou"][held].mean()) if held.any() else float("nan")


def _changed(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    settings = copy.deepcopy(dict(settings))
    for key, value in changes.items():
        *sections, last = key.split(".")
        if not sections or sections[0] not in settings:
            raise UserError(f"a phase has no {key!r}; its settings are {', '.join(settings)}")
        place = functools.reduce(lambda at, name: at.setdefault(name, {}), sections, settings)
        place[last] = value
    return settings


def _value(text: str) -> Any:
    """Return a number, tuple or truth value; anything else is a word."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
