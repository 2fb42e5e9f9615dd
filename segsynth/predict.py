"""Use a run: ``segsynth.load(run)(image=..., mask=...)``, and the same for files and folders."""

import functools
import logging
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from segsynth import systems
from segsynth.data import modalities, pictures
from segsynth.engine import references, sharding
from segsynth.engine.run import Run
from segsynth.errors import UserError
from segsynth.settings import unknown
from segsynth.system import Predictor
from segsynth.types import Array, Frozen, PRNGKey, Variables

log = logging.getLogger(__name__)


def load(path: str | os.PathLike, *, phase: str = "", step: int | str = "newest") -> "Synthesizer":
    """Load a trained system from a run directory onto one device.

    Args:
      path: the run directory (the ``--workdir`` of a training); it may have been moved or trained
        elsewhere.
      phase: which phase; the last trained one by default.
      step: a number, "newest" or "best".

    Raises:
      UserError: no run, phase or checkpoint there, or frozen networks other than those it was
        trained with.
    """
    run = Run.open(path)
    phase = phase or run.last_trained()
    plan = sharding.plan(data=1)
    system = systems.build(run.settings(phase)["system"])
    variables, step = references.load_trained(run, phase, system, plan, step)
    frozen = references.load_frozen(run, phase, system, plan)
    log.info("%s: phase %s at step %d", run.path, phase, step)
    return Synthesizer(system, variables, frozen)


class Synthesizer:
    """A system with its weights. Calling it answers for one example.

    ``synthesizer(image=..., mask=..., seed=0) -> {"image": uint8 (h, w, 3), ...}``: a keyword for
    each name in :attr:`inputs`, which takes a path, a Pillow image or an array. Masks are 1 (or any
    other non-zero) = hole.
    """

    def __init__(self, system: Predictor, variables: Variables, frozen: Frozen):
        self.system = system
        self._variables, self._frozen = variables, frozen
        self._said: set[str] = set()

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the keywords; those with a default in the modality table may be left out."""
        return self.system.inputs

    def __call__(
        self, *, seed: int = 0, mask_polarity: str = "white-hole", **inputs: Any
    ) -> dict[str, np.ndarray]:
        """Return the outputs for one example of any size.

        ``mask_polarity`` says what white means in a mask given as a file: "white-hole" or
          "black-hole".

        Raises:
          UserError: an input that is missing, unknown, unreadable or of the wrong kind.
        """
        for name in inputs:
            if name not in self.inputs:
                raise UserError(unknown(name, self.inputs, "this system's input"))
        modalities.check_provided(self.inputs, tuple(inputs), "this system", "the call")
        arrays = {
            name: _to_array(name, inputs.get(name, modalities.get(name).default), mask_polarity)
            for name in self.inputs
        }
        for remark in self.system.remarks(self._variables, self._frozen, arrays):
            if remark not in self._said:
                self._said.add(remark)
                log.warning("%s", remark)
        return self.system.synthesize(self._predict, arrays, jax.random.key(seed))

    def _predict(
        self, system: Predictor, inputs: Mapping[str, np.ndarray], key: PRNGKey
    ) -> Mapping[str, Array]:
        return _compiled(system)(self._variables, self._frozen, inputs, key)


@functools.lru_cache(maxsize=16)
def _compiled(system: Predictor) -> Any:
    return jax.jit(system.predict)


def _to_array(name: str, value: Any, polarity: str) -> np.ndarray:
    """Turn what a user gave for a modality into its array."""
    modality = modalities.get(name)
    if not modality.spatial:
        return np.asarray(_choice(modality, value), modality.dtype)
    if isinstance(value, str | os.PathLike):
        return _read(name, value, polarity)
    array = np.asarray(value)
    if array.ndim == 2:
        array = array[..., None]
    if name == "mask":
        array = (array.max(axis=-1, keepdims=True) > 0).astype(np.uint8)
    array = array.astype(modality.dtype, casting="safe" if array.dtype == np.uint8 else "same_kind")
    modalities.check({name: array[None]}, [name])
    return array


def _read(name: str, path: str | os.PathLike, polarity: str) -> np.ndarray:
    if name == "mask":
        return pictures.read_mask(path, polarity)
    return pictures.read_image(path) if name == "image" else pictures.read_labels(path)


def _choice(modality: modalities.Modality, value: Any) -> int:
    if isinstance(value, str) and modality.choices:
        if value not in modality.choices:
            raise UserError(unknown(value, modality.choices, modality.name))
        return modality.choices.index(value)
    index = int(value)
    if modality.choices and not 0 <= index < len(modality.choices):
        names = ", ".join(f"{i} {name}" for i, name in enumerate(modality.choices))
        raise UserError(f"{modality.name} is {index}; expected one of {names}")
    return index


def predict_files(
    synthesizer: Synthesizer, inputs: Mapping[str, str], output: str | os.PathLike, **options: Any
) -> list[pathlib.Path]:
    """Answer for one picture, or for every picture of a folder; return the files written.

    ``inputs`` maps each input to a file - or, all spatial ones alike, to folders whose files share
    stems - and ``output`` is a PNG file or a folder accordingly. ``options`` go to
    :class:`Synthesizer`.

    Raises:
      UserError: a file or partner that is missing; nothing is half-written.
    """
    written = []
    for example, target in list(_jobs(inputs, pathlib.Path(output))):
        outputs = synthesizer(**example, **options)
        target.parent.mkdir(parents=True, exist_ok=True)
        pictures.write_png(target, outputs["image"])
        written.append(target)
        log.info("wrote %s", target)
    return written


def _jobs(
    inputs: Mapping[str, str], output: pathlib.Path
) -> Iterator[tuple[dict[str, Any], pathlib.Path]]:
    """Yield the inputs and the output file of each example."""
    spatial = {k: pathlib.Path(v) for k, v in inputs.items() if modalities.get(k).spatial}
    fixed = {k: v for k, v in inputs.items() if k not in spatial}
    folders = [name for name, path in spatial.items() if path.is_dir()]
    if not folders:
        if output.is_dir():
            raise UserError(f"--output {output} is a folder; give the name of a PNG file")
        yield {**spatial, **fixed}, output
        return
    lead = next(iter(spatial))
    if len(folders) != len(spatial):
        files = [name for name in spatial if name not in folders]
        raise UserError(
            f"--{folders[0]} is a folder and --{files[0]} is not; give files for all inputs or "
            "folders for all"
        )
    listed = {name: _by_stem(path) for name, path in spatial.items()}
    for stem in sorted(listed[lead]):
        lacking = [name for name in listed if stem not in listed[name]]
        if lacking:
            raise UserError(
                f"{listed[lead][stem]} has no partner in {spatial[lacking[0]]}; add {stem}.png "
                "there"
            )
        yield (
            {**{name: files[stem] for name, files in listed.items()}, **fixed},
            output / f"{stem}.png",
        )


def _by_stem(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Return the pictures below a folder by their path in it without suffix."""
    found: dict[str, pathlib.Path] = {}
    for path in pictures.list_pictures(folder):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in found:
            raise UserError(f"{found[stem]} and {path} differ in their suffix only; keep one")
        found[stem] = path
    return found
