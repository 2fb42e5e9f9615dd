"""A paper's table as one sweep: every row is trained or evaluated once, and a report is written.

``<workdir>/seed<k>`` is an ordinary run whose phases are the rows and what they share, such as an
image generator; so a killed sweep continues, and nothing that is finished is done again. Several
hosts that see one workdir share the rows among them; what two rows need is trained by the first
host that needs it, and the others wait for it.
"""

import dataclasses
import logging
import os
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from segsynth import attempts
from segsynth.engine import provenance
from segsynth.engine.run import Run, plain, read_json, write_json
from segsynth.errors import UserError
from segsynth.evaluate import evaluate_config
from segsynth.experiment import train_and_evaluate
from segsynth.paper_tables import PaperTable

log = logging.getLogger(__name__)

#: Seconds between two looks at what another host is training.
_PAUSE = 5.0
#: Variables that number processes: JAX's own, and those that srun, mpirun of Open MPI and of MPICH
#: set.
_NUMBERS = (
    ("JAX_PROCESS_ID", "JAX_NUM_PROCESSES"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
)


@dataclasses.dataclass(frozen=True)
class Share:
    """The part of the rows that one host takes: ``index`` of ``count``."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Share":
        """Read "0/4", or "process": the number of this process and how many there are, from the
        environment.

        Raises:
            UserError: something else, or an environment that does not say.

        """
        if text == "process":
            text = _of_environment()
        index, _, count = text.partition("/")
        if not (index.isdigit() and count.isdigit() and int(index) < int(count)):
            raise UserError(f"--share is {text!r}; expected INDEX/COUNT with INDEX < COUNT, as 0/4")
        return cls(int(index), int(count))


def _of_environment() -> str:
    for index, count in _NUMBERS:
        if index in os.environ and count in os.environ:
            return f"{os.environ[index]}/{os.environ[count]}"
    raise UserError(
        "--share process finds no number of a process in the environment; expected "
        f"{' or '.join(f'{index} and {count}' for index, count in _NUMBERS)}"
    )


def reproduce(
    config: Any,
    workdir: str | os.PathLike,
    *,
    seeds: int = 1,
    share: Share = Share(),
    command: str = "",
) -> pathlib.Path:
    """Fill the table that ``config.table`` describes; return the path of the report.

    Args:
        config: of a run with a phase for each row, or of a system that learns nothing.
        workdir: one for all hosts of a sweep.
        seeds: how many runs; their seeds are ``config.seed``, ``config.seed + 1``, ...
        share: which rows this host takes.
        command: what the user typed, for the report.

    Raises:
        UserError: a config without a table, or what training finds wrong.

    """
    settings = plain(config)
    if not settings.get("table"):
        raise UserError(
            "the config has no table; take the preset 'table' of a config, as in "
            "configs/crf_coarse.py:table"
        )
    table = PaperTable.of(settings["table"])
    workdir = pathlib.Path(workdir).absolute()
    measured, tried = [], []
    for number in range(seeds):
        folder = workdir / f"seed{settings['seed'] + number}"
        one = {**settings, "seed": settings["seed"] + number}
        if settings.get("run"):
            measured.append(_train(one, table.units, folder, share))
            if attempts.limits(settings):
                tried.append(_tried(one, table.units, folder, share))
                measured[-1] = attempts.measured(settings, tried[-1])
        elif share.index == 0:  # one evaluation gives all rows
            measured.append(_evaluate(one, folder))
    report = workdir / "report.md"
    if share.index == 0:
        runs = [workdir / f"seed{settings['seed'] + number}" for number in range(seeds)]
        more = [attempts.report(settings, table.units, tries) for tries in tried]
        said = [attempts.rate(settings, tried)] if tried else []
        _write(report, table, settings, measured, runs, command, more, said)
        log.info("%s\nwrote %s", report.read_text(), report)
    return report


def order(settings: Mapping[str, Any], units: Sequence[str]) -> list[str]:
    """Return the units, each behind all the phases that it takes networks from.

    Raises:
        UserError: a row of a phase that the config does not have, phases in a circle.

    """
    found: list[str] = []

    def add(phase: str, waiting: tuple[str, ...]) -> None:
        if phase not in settings["phases"]:
            known = ", ".join(settings["phases"])
            raise UserError(f"table.rows names the phase {phase!r}; the config has {known}")
        if phase in waiting:
            raise UserError(f"phase {phase} takes networks from itself by {', '.join(waiting[1:])}")
        if phase not in found:
            for parent in _parents(settings, phase):
                add(parent, (*waiting, phase))
            found.append(phase)

    # The config's own order of phases is lost: a ConfigDict sorts its keys.
    for unit in units:
        add(unit, ())
    return found


def _parents(settings: Mapping[str, Any], phase: str) -> list[str]:
    own = settings["phases"][phase]
    given = {**own.get("frozen", {}), **own.get("init_from", {})}
    return [name.removeprefix("phase:") for name in given.values() if name.startswith("phase:")]


def _owners(settings: Mapping[str, Any], units: Sequence[str], count: int) -> dict[str, int]:
    """Which host trains each phase: rows in turn, those that read another row together with it; a
    shared phase the first host that needs it.
    """
    needs = {unit: order(settings, [unit]) for unit in units}
    # What all other rows need brings no two of them together.
    common = {p for p in units if all(p in needs[unit] for unit in units if unit != p)}
    groups: dict[str, int] = {}
    owners: dict[str, int] = {}
    for unit in units:
        heads = [phase for phase in needs[unit] if phase in units and phase not in common]
        place = groups.setdefault(heads[0], len(groups)) if heads else 0
        for phase in needs[unit]:
            owners[phase] = min(place % count, owners.get(phase, count))
    return owners


def _train(settings: dict, units: Sequence[str], folder: pathlib.Path, share: Share) -> dict:
    owners = _owners(settings, units, share.count)
    mine = [unit for unit in units if owners[unit] == share.index]
    needed = order(settings, mine)
    # Owners have lower numbers than those who wait for them, so that no two wait for each other.
    for phase in needed:
        if owners[phase] != share.index:
            _wait(folder, phase)
    if needed:
        train_and_evaluate({**settings, "run": needed}, folder)
    wanted = units if share.index == 0 else mine
    return {unit: _wait(folder, unit)["metrics"] for unit in wanted}


def _tried(
    settings: dict, units: Sequence[str], folder: pathlib.Path, share: Share
) -> attempts.Tries:
    """Train again what collapsed in a finished run, each row on the host that it belongs to."""
    owners = _owners(settings, units, share.count)

    def again(changed: dict, place: pathlib.Path, unit: str) -> dict[str, Any]:
        # What has ended stays as it is, also where the sweep has been moved since.
        ended = (place / unit / "finished.json").exists()
        if place != folder and owners[unit] == share.index and not ended:
            train_and_evaluate(changed, place)
        return _wait(place, unit)

    wanted = [unit for unit in units if share.index in (0, owners[unit])]
    return attempts.made(settings, wanted, folder, again)


def _wait(folder: pathlib.Path, phase: str) -> dict[str, Any]:
    """Return what a phase left, once it has ended, here or on another host."""
    file = folder / phase / "finished.json"
    said = False
    while (finished := read_json(file)) is None:
        if not said:
            log.info("waiting for %s, which another host trains", file)
            said = True
        time.sleep(_PAUSE)
    return finished


def _evaluate(settings: dict, folder: pathlib.Path) -> dict[str, dict[str, float]]:
    """Evaluate a system that learns nothing, unless that was done with the same config."""
    file = folder / "finished.json"
    done = read_json(file)
    if done is None or done["config"] != settings:
        record = evaluate_config(settings, output=folder / "eval")
        write_json(file, {"config": settings, "n": record["n"], "metrics": record["metrics"]})
        done = read_json(file)
    return {"": done["metrics"]}


def _write(report, table: PaperTable, settings, measured, runs, command, more=(), said=()) -> None:
    lines = [
        f"# {table.paper}: {table.title}",
        "",
        f"`{command}`" if command else "",
        "",
        table.markdown(measured),
        "",
        *([by_class, ""] if (by_class := table.by_class(measured)) else []),
        *(f"- {remark}" for remark in (*said, *_remarks(table, settings, runs, len(measured)))),
        "",
        *(f"## Seed {settings['seed'] + i}\n\n{text}\n" for i, text in enumerate(more) if text),
        *_samples(report.parent, runs[0]),
    ]
    report.parent.mkdir(parents=True, exist_ok=True)
    made_with = provenance.provenance(settings)
    write_json(report.with_suffix(".json"), {"config": settings, **made_with, "measured": measured})
    part = report.with_name(".report.md.part")
    part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    part.replace(report)


def _remarks(table: PaperTable, settings, runs: Sequence[pathlib.Path], seeds: int) -> list[str]:
    """What a reader must know to compare the columns."""
    sources = sorted({_data(settings, unit)["source"] for unit in table.units})
    numbers = ", ".join(str(settings["seed"] + i) for i in range(seeds))
    spread = "s; mean ± half of the 95 % interval, Student's t" if seeds > 1 else ""
    remarks = [f"{seeds} seed{spread} (seed {numbers})"]
    remarks += [table.note] if table.note else []
    judged = sorted({_examples(settings, unit, runs[0]) for unit in table.units})
    remarks.append(f"examples that are judged, n: {', '.join(judged)}")
    if sources != [table.data]:
        remarks.append(
            f"**other data**: ours are of {', '.join(sources)}, the paper's of {table.data}; the "
            "columns do not compare"
        )
    standins = sorted({text for run in runs for text in _standins(run)})
    if standins:
        remarks.append(
            f"**stand-ins** with random weights, which others' figures do not compare with: "
            f"{', '.join(standins)}"
        )
    remarks.append("all that was measured, by seed and row: [report.json](report.json)")
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions().items())
    remarks.append(
        f"config sha256 {provenance.config_sha256(settings)[:12]}, {versions}, "
        f"{provenance.devices()} device(s)"
    )
    return remarks


def _data(settings: Mapping[str, Any], unit: str) -> Mapping[str, Any]:
    own = settings["phases"][unit].get("data", {}) if unit else {}
    return {**settings.get("data", {}), **own}


def _examples(settings: Mapping[str, Any], unit: str, run: pathlib.Path) -> str:
    """How many examples were judged; what was asked for where a run does not say."""
    own = settings["phases"][unit].get("eval", {}) if unit else {}
    count = {**settings.get("eval", {}), **own}.get("examples", -1)
    asked = "all of the split" if count < 0 else count
    return str((read_json(run / unit / "finished.json") or {}).get("n", asked))


def _standins(folder: pathlib.Path) -> list[str]:
    if not (folder / "config.json").is_file():
        return []
    run = Run.open(folder)
    return [
        f"{name} = {entry['reference']}"
        for phase in run.config["phases"]
        for name, entry in run.directory(phase).frozen().items()
        if entry["reference"].startswith("standin:")
    ]


def _samples(base: pathlib.Path, run: pathlib.Path) -> list[str]:
    """Links to the newest grid of pictures of each phase."""
    newest: dict[str, pathlib.Path] = {}
    for grid in sorted([*run.glob("*/samples/*.png"), *run.glob("eval/*/*.png")]):
        newest[grid.relative_to(run).parts[-3 if "samples" in grid.parts else -2]] = grid
    return [f"![{name}]({path.relative_to(base).as_posix()})" for name, path in newest.items()]
