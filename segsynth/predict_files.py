"""Answer for files: one picture, or every picture of a folder, which may be half done."""

import logging
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from segsynth.data import modalities, pictures
from segsynth.data.layouts.cityscapes import SUFFIXES
from segsynth.engine.run import differences, plain, read_json, write_json
from segsynth.errors import UserError
from segsynth.predict import Synthesizer

log = logging.getLogger(__name__)

#: What a folder of answers was made with, in that folder.
MANIFEST = "predictions.json"


class Job(NamedTuple):
    """One example: the inputs of a call, and the file of its answer."""

    inputs: dict[str, Any]
    output: pathlib.Path


def predict_files(
    synthesizer: Synthesizer,
    inputs: Mapping[str, str],
    output: str | PathLike,
    *,
    palette: bool = False,
    on_error: Literal["raise", "skip"] = "raise",
    **options: Any,
) -> list[pathlib.Path]:
    """Answer for one picture, or for every picture of a folder; return the files written.

    A folder is done in the order of its names, split over the processes of a distributed program.
    Answers that are there already, and no older than their inputs, are left alone, so that the same
    command continues an interrupted one; ``predictions.json`` in the folder tells whether they were
    made from the same folders with the same settings.

    Args:
      synthesizer: the system.
      inputs: each input -> a file; or, all spatial ones alike, folders whose files share stems.
      output: a PNG file, or a folder accordingly.
      palette: write label maps as palette PNGs of the label set's colours. A label map whose input
        was one is always written so, with the palette of the input.
      on_error: "skip" goes on in a folder past what cannot be answered for.
      **options: go to :class:`Synthesizer`.

    Raises:
      UserError: a file or partner that is missing, answers of other settings in the folder, and, at
        the end, what ``on_error`` skipped; nothing is half-written.
    """
    output = pathlib.Path(output)
    jobs = list(_jobs(inputs, output))
    name = synthesizer.system.outputs[0]
    if palette and jobs:
        _palette(synthesizer, jobs[0], name, palette)  # it has colours, or says so before the work
    folder = any(_is_folder(value) for value in inputs.values())
    if folder:
        made_with = {**synthesizer.made_with, **options, "inputs": _absolute(inputs)}
        _note_settings(output, {**made_with, "palette": palette}, jobs)
        mine = jobs[jax.process_index() :: jax.process_count()]
        jobs = [job for job in mine if not _is_done(job)]
        if len(jobs) < len(mine):
            log.info("%d of %d are there already", len(mine) - len(jobs), len(mine))
    written, skipped = [], []
    for job in tqdm(jobs, unit="picture", disable=None if folder else True):
        try:
            answer = _answer(synthesizer, job, options)[name]
            colours = _palette(synthesizer, job, name, palette)
        except UserError as error:
            if on_error == "raise" or not folder:
                raise
            log.warning("skipped: %s", error)
            skipped.append(str(error))
            continue
        job.output.parent.mkdir(parents=True, exist_ok=True)
        pictures.write_png(job.output, answer, colours)
        written.append(job.output)
    log.info("wrote %s", output if folder else written[0])
    if skipped:
        raise UserError(f"{len(skipped)} of {len(jobs)} pictures were skipped, first: {skipped[0]}")
    return written


def _absolute(inputs: Mapping[str, str]) -> dict[str, str]:
    """Return where the inputs lie; those that are no files as they are."""
    spatial = {name for name in inputs if modalities.get(name).spatial}
    return {n: str(pathlib.Path(v).resolve()) if n in spatial else v for n, v in inputs.items()}


def _is_done(job: Job) -> bool:
    """Whether the answer is there and no older than what it was made from."""
    if not job.output.exists():
        return False
    made = job.output.stat().st_mtime_ns
    files = [value for value in job.inputs.values() if isinstance(value, pathlib.Path)]
    return all(file.stat().st_mtime_ns <= made for file in files)


def _answer(synthesizer: Synthesizer, job: Job, options: Mapping[str, Any]) -> dict[str, Any]:
    """Answer, or say which file cannot be answered for."""
    try:
        return synthesizer(**job.inputs, **options)
    except UserError as error:
        files = [str(value) for value in job.inputs.values() if isinstance(value, pathlib.Path)]
        if any(file in str(error) for file in files):
            raise
        raise UserError(f"{' with '.join(files)}: {error}") from error


def _palette(
    synthesizer: Synthesizer, job: Job, name: str, wanted: bool
) -> UInt8[np.ndarray, "256 3"] | None:
    """Return the colours of a label map that is written with some."""
    if modalities.get(name).draw != "palette":
        return None
    for given, value in job.inputs.items():
        if modalities.get(given).draw == "palette":
            found = pictures.read_palette(value)
            if found is not None:
                return found
    if not wanted:
        return None
    if synthesizer.label_set is None:
        raise UserError("--palette needs colours: set data.label_set, or bring palette PNGs")
    return synthesizer.label_set.palette()


def _note_settings(folder: pathlib.Path, settings: Mapping[str, Any], jobs: Sequence[Job]) -> None:
    """Record what the answers of a folder are made with, or refuse to mix them."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write to {folder} ({error.strerror}); give another --output"
        ) from error
    before, settings = read_json(folder / MANIFEST), plain(dict(settings))
    found = differences(before, settings, free=()) if before is not None else []
    if found and any(job.output.exists() for job in jobs):
        raise UserError(
            f"{folder} holds answers made with other settings ({found[0]}); give another --output"
        )
    if before != settings and jax.process_index() == 0:
        write_json(folder / MANIFEST, settings)


def _is_folder(value: str) -> bool:
    return pathlib.Path(value).is_dir()


def _jobs(inputs: Mapping[str, str], output: pathlib.Path) -> Iterator[Job]:
    """Yield the inputs and the output file of each example."""
    spatial = {k: pathlib.Path(v) for k, v in inputs.items() if modalities.get(k).spatial}
    fixed = {k: v for k, v in inputs.items() if k not in spatial}
    folders = [name for name, path in spatial.items() if path.is_dir()]
    if not folders:
        if output.is_dir():
            raise UserError(f"--output {output} is a folder; give the name of a PNG file")
        if output.suffix.lower() != ".png":
            raise UserError(f"--output {output} is no PNG file; give a name that ends in .png")
        yield Job({**spatial, **fixed}, output)
        return
    lead = next(iter(spatial))
    if len(folders) != len(spatial):
        files = [name for name in spatial if name not in folders]
        raise UserError(
            f"--{folders[0]} is a folder and --{files[0]} is not; give files for all inputs or "
            "folders for all"
        )
    for name, path in spatial.items():
        if path.resolve() == output.resolve():
            raise UserError(f"--output {output} is the folder of --{name}; give another one")
    listed = {name: _by_stem(path, SUFFIXES.get(name, "")) for name, path in spatial.items()}
    if not listed[lead]:
        kinds = ", ".join(pictures.SUFFIXES)
        raise UserError(f"{spatial[lead]} holds no pictures ({kinds}); check --{lead}")
    for stem in sorted(listed[lead]):
        lacking = [name for name in listed if stem not in listed[name]]
        if lacking:
            raise UserError(
                f"{listed[lead][stem]} has no partner in {spatial[lacking[0]]}; add {stem}.png "
                "there"
            )
        found = {name: files[stem] for name, files in listed.items()}
        yield Job({**found, **fixed}, output / f"{stem}.png")


def _by_stem(folder: pathlib.Path, suffix: str) -> dict[str, pathlib.Path]:
    """Return the pictures below a folder by their path in it without file suffix.

    Where names end in ``suffix``, as those of a published tree do, only these count, without it.
    """
    stems = {
        path: path.relative_to(folder).with_suffix("").as_posix()
        for path in pictures.list_pictures(folder)
    }
    if suffix and any(stem.endswith(suffix) for stem in stems.values()):
        stems = {p: s.removesuffix(suffix) for p, s in stems.items() if s.endswith(suffix)}
    found: dict[str, pathlib.Path] = {}
    for path, stem in stems.items():
        if stem in found:
            raise UserError(f"{found[stem]} and {path} differ in their suffix only; keep one")
        found[stem] = path
    return found
