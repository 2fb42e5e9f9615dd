"""Answer for files: one picture, or every picture of a folder, which may be half done."""

import json
import logging
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from segsynth.predict import TEXT_FILES, Synthesizer
from segsynth.settings import unknown
from segsynth.system import Telling

log = logging.getLogger(__name__)

#: In a folder of answers: what they were made with, and one JSON object a line for each example,
#: ``name``, ``inputs`` (as they were given) and ``outputs`` (files, as seen from the folder).
MANIFEST, LISTING = "predictions.json", "manifest.jsonl"


class Job(NamedTuple):
    """One example: the inputs of a call, the file of each picture of its answer, and the names of
    what is written in words beside the first one.
    """

    inputs: dict[str, Any]
    outputs: dict[str, pathlib.Path]
    name: str = ""
    texts: tuple[str, ...] = ()

    @property
    def files(self) -> list[pathlib.Path]:
        """The inputs that are files."""
        return [value for value in self.inputs.values() if isinstance(value, pathlib.Path)]

    def beside(self, name: str) -> pathlib.Path:
        """Return the file of what is called ``name`` and is no picture."""
        return next(iter(self.outputs.values())).with_suffix(f".{name}")

    @property
    def is_done(self) -> bool:
        """Whether the answer is there and no older than what it was made from."""
        files = [*self.outputs.values(), *(self.beside(name) for name in self.texts)]
        if not all(path.exists() for path in files):
            return False
        made = min(path.stat().st_mtime_ns for path in files)
        return all(file.exists() and file.stat().st_mtime_ns <= made for file in self.files)


def predict_files(
    synthesizer: Synthesizer,
    inputs: Mapping[str, str],
    output: str | PathLike,
    *,
    outputs: Sequence[str] = (),
    palette: bool = False,
    on_error: Literal["raise", "skip"] = "raise",
    **options: Any,
) -> list[pathlib.Path]:
    """Answer for one picture, or for every picture of a folder; return the files written.

    A folder is done in the order of its names, split over the processes of a distributed program.
    Answers that are there already, and no older than their inputs, are left alone, so that the same
    command continues an interrupted one; ``predictions.json`` in the folder tells whether they were
    made from the same folders with the same settings, ``manifest.jsonl`` which files belong
    together.

    Args:
      synthesizer: the system.
      inputs: each input -> a file; or, all spatial ones alike, folders whose files share stems.
        What is read from a text file, such as landmarks, is one for all or a folder, too.
      output: a PNG file, or a folder accordingly; what else a system answers in words, such as an
        SVG file, is written beside it. Depth has 16 bits, 65535 = nearest.
      outputs: which of the system's outputs to write, ("all",) for all; the first by default.
        Several have a folder each, ``<output>/<name>``; of one example, the first has the name
        given, and the others ``-<name>`` behind it.
      palette: write label maps as palette PNGs of the label set's colours. A label map whose input
        was one is always written so, with the palette of the input.
      on_error: "skip" goes on in a folder past what cannot be answered for.
      **options: go to :class:`Synthesizer`.

    Raises:
      UserError: a file or partner that is missing, answers of other settings in the folder, and, at
        the end, what ``on_error`` skipped; nothing is half-written.
    """
    output = pathlib.Path(output)
    names = _chosen(synthesizer.system.outputs, outputs)
    system = synthesizer.system
    texts = system.texts if isinstance(system, Telling) else ()
    jobs = every = [job._replace(texts=texts) for job in _jobs(inputs, output, names)]
    if palette and jobs:  # there are colours, or it says so before the work
        _palettes(synthesizer, jobs[0], palette)
    folder = any(pathlib.Path(inputs[name]).is_dir() for name in _spatial(inputs))
    if folder:
        made_with = {**synthesizer.made_with, **options, "inputs": _absolute(inputs)}
        _note_settings(output, {**made_with, "palette": palette, "outputs": names}, jobs)
        jobs = _remaining(jobs)
        if jobs:  # what was done before must not change how the rest is done
            polarity = options.get("mask_polarity", "white-hole")
            examples = (job.inputs for job in every)
            synthesizer = synthesizer.surveyed(examples, polarity, on_error)
    written, skipped = [], []
    for job in tqdm(jobs, unit="picture", disable=None if folder else True):
        try:
            answer = _answer(synthesizer, job, options)
            colours = _palettes(synthesizer, job, palette)
        except UserError as error:
            if on_error == "raise" or not folder:
                raise
            log.warning("skipped: %s", error)
            skipped.append(str(error))
            continue
        written += _write(job, answer, colours)
    if folder:
        _list(output, every)
    log.info("wrote %s", output if folder else written[0])
    if skipped:
        raise UserError(f"{len(skipped)} of {len(jobs)} pictures were skipped, first: {skipped[0]}")
    return written


def _remaining(jobs: Sequence[Job]) -> list[Job]:
    """Return what this process has still to do."""
    mine = jobs[jax.process_index() :: jax.process_count()]
    left = [job for job in mine if not job.is_done]
    if len(left) < len(mine):
        log.info("%d of %d are there already", len(mine) - len(left), len(mine))
    return left


def _chosen(known: Sequence[str], asked: Sequence[str]) -> tuple[str, ...]:
    """Return the outputs that are written, in the order of the system's."""
    for name in asked:
        if name not in (*known, "all"):
            raise UserError(unknown(name, (*known, "all"), "this system's output"))
    if "all" in asked:
        return tuple(known)
    return tuple(name for name in known if name in asked) or tuple(known[:1])


def _write(job: Job, answer: Mapping[str, Any], colours: Mapping[str, Any]) -> list[pathlib.Path]:
    """Write one answer; what is no picture first, as the pictures tell that all is there."""
    for path in job.outputs.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    texts = {job.beside(n): text for n, text in answer.items() if type(text) is str}
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    for name, path in job.outputs.items():
        if _is_depth(name):
            pictures.write_depth(path, answer[name])
        else:
            pictures.write_png(path, answer[name], colours[name])
    return [*texts, *job.outputs.values()]


def _list(folder: pathlib.Path, jobs: Sequence[Job]) -> None:
    """Write which files belong together, of all examples that are answered for by now.

    Each of several processes writes it at its end, so that the last one finds all.
    """
    lines = []
    for job in jobs:
        if job.is_done:  # what has changed since, and is no longer fit, has an old answer at most
            made = {name: x.relative_to(folder).as_posix() for name, x in job.outputs.items()}
            given = {name: str(value) for name, value in job.inputs.items()}
            lines.append(json.dumps({"name": job.name, "inputs": given, "outputs": made}))
    part = folder / f".{LISTING}.{jax.process_index()}.part"
    part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    part.replace(folder / LISTING)


def _absolute(inputs: Mapping[str, str]) -> dict[str, str]:
    """Return where the inputs lie; those that are no files as they are."""
    files = {*_spatial(inputs), *TEXT_FILES}
    return {n: str(pathlib.Path(v).resolve()) if n in files else v for n, v in inputs.items()}


def _spatial(inputs: Mapping[str, str]) -> list[str]:
    """Return the inputs that are pictures or folders of some."""
    return [name for name in inputs if modalities.get(name).spatial]


def _answer(synthesizer: Synthesizer, job: Job, options: Mapping[str, Any]) -> dict[str, Any]:
    """Answer, or say which file cannot be answered for."""
    try:
        return synthesizer(**job.inputs, **options)
    except UserError as error:
        files = [str(file) for file in job.files]
        if any(file in str(error) for file in files):
            raise
        raise UserError(f"{' with '.join(files)}: {error}") from error


def _palettes(
    synthesizer: Synthesizer, job: Job, wanted: bool
) -> dict[str, UInt8[np.ndarray, "256 3"] | None]:
    """Return the colours of each output that is a label map and is written with some."""
    return {
        name: _palette(synthesizer, job, wanted) if _has_palette(name) else None
        for name in job.outputs
    }


def _is_depth(name: str) -> bool:
    known = modalities.MODALITIES.get(name)
    return known is not None and known.spatial and known.dtype == "float32"


def _has_palette(name: str) -> bool:
    known = modalities.MODALITIES.get(name)
    return known is not None and known.draw == "palette"


def _palette(synthesizer: Synthesizer, job: Job, wanted: bool) -> UInt8[np.ndarray, "256 3"] | None:
    for given, value in job.inputs.items():
        if _has_palette(given):
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
    if found and any(path.exists() for job in jobs for path in job.outputs.values()):
        raise UserError(
            f"{folder} holds answers made with other settings ({found[0]}); give another --output"
        )
    if before != settings and jax.process_index() == 0:
        write_json(folder / MANIFEST, settings)


def _jobs(inputs: Mapping[str, str], output: pathlib.Path, names: Sequence[str]) -> Iterator[Job]:
    """Yield the inputs and the files of each example's answer."""
    spatial = {name: pathlib.Path(inputs[name]) for name in _spatial(inputs)}
    lead = next(iter(spatial), "")  # a call without any says what is not given
    folders = [name for name, path in spatial.items() if path.is_dir()]
    if not folders:
        if output.is_dir():
            raise UserError(f"--output {output} is a folder; give the name of a PNG file")
        if output.suffix.lower() != ".png":
            raise UserError(f"--output {output} is no PNG file; give a name that ends in .png")
        others = {name: output.with_stem(f"{output.stem}-{name}") for name in names[1:]}
        rest = _beside_pictures(inputs, spatial[lead].stem if lead else "")
        yield Job({**spatial, **rest}, {names[0]: output, **others})
        return
    if len(folders) != len(spatial):
        files = [name for name in spatial if name not in folders]
        raise UserError(
            f"--{folders[0]} is a folder and --{files[0]} is not; give files for all inputs or "
            "folders for all"
        )
    homes = {name: output / name if len(names) > 1 else output for name in names}
    _check_apart(spatial, output, homes.values())
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
        files = {name: home / f"{stem}.png" for name, home in homes.items()}
        yield Job({**found, **_beside_pictures(inputs, stem)}, files, stem)


def _check_apart(
    spatial: Mapping[str, pathlib.Path], output: pathlib.Path, homes: Iterable[pathlib.Path]
) -> None:
    """Refuse answers that would replace what they are made from, or be answered for next time."""
    for name, path in spatial.items():
        if any(home.resolve().is_relative_to(path.resolve()) for home in homes):
            raise UserError(
                f"--output {output} is the folder of --{name}, or writes into it; give another one"
            )


def _beside_pictures(inputs: Mapping[str, str], stem: str) -> dict[str, Any]:
    """Return the inputs of a picture that are none themselves; of a folder of text files, the one
    with the picture's name.
    """
    rest = {name: value for name, value in inputs.items() if not modalities.get(name).spatial}
    for name in [name for name in rest if name in TEXT_FILES]:
        path = pathlib.Path(rest[name])
        rest[name] = path / f"{stem}.txt" if path.is_dir() else path
    return rest


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
