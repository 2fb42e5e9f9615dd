"""Use a run: ``segsynth.load(run)(image=..., mask=...)``."""

import functools
import logging
import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from segsynth import systems
from segsynth.data import label_sets, modalities, pictures
from segsynth.engine import references, sharding
from segsynth.engine.run import Run, plain
from segsynth.errors import UserError
from segsynth.settings import unknown
from segsynth.system import Predictor, System
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
    label_set = run.settings(phase)["data"].get("label_set", "")
    made_with = {"run": str(run.path), "phase": phase, "step": step}
    return Synthesizer(system, variables, frozen, label_set, made_with)


def from_config(config: Any) -> "Synthesizer":
    """Make a system that learns nothing, as its config describes it.

    Raises:
      UserError: the system of ``config`` has to be trained first.
    """
    settings = plain(config)
    system = systems.build(settings["system"])
    if isinstance(system, System):
        raise UserError(
            f"{settings['system']['name']} has to be trained first: run launch/train.py, then "
            "give its --workdir as --run"
        )
    label_set = settings.get("data", {}).get("label_set", "")
    # The value of the system says also what a preset's name or a file of parameters stood for.
    made_with = {"system": settings["system"], "label_set": label_set, "value": repr(system)}
    return Synthesizer(system, {"params": {}, "model_state": {}}, {}, label_set, made_with)


class Synthesizer:
    """A system with its weights. Calling it answers for one example.

    ``synthesizer(image=..., mask=..., seed=0) -> {"image": uint8 (h, w, 3), ...}``: a keyword for
    each name in :attr:`inputs`, which takes a path, a Pillow image or an array. Masks are 1 (or any
    other non-zero) = hole. With a ``label_set``, label maps in and out have its published ids.
    ``made_with`` tells which weights and settings these are.
    """

    def __init__(
        self,
        system: Predictor,
        variables: Variables,
        frozen: Frozen,
        label_set: str = "",
        made_with: Mapping[str, Any] | None = None,
    ):
        self.system, self.made_with = system, dict(made_with or {})
        self.label_set = label_sets.get(label_set) if label_set else None
        self._variables, self._frozen = variables, frozen
        self._said: set[str] = set()

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the keywords; those with a default in the modality table may be left out."""
        return self.system.inputs

    @property
    def flags(self) -> dict[str, list[str]]:
        """The flags of launch/predict.py by input."""
        names = {name: (name, *modalities.get(name).aliases) for name in self.inputs}
        return {
            name: [f"--{flag.replace('_', '-')}" for flag in flags] for name, flags in names.items()
        }

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
        lacking = [n for n in self.inputs if n not in inputs and modalities.get(n).default is None]
        if lacking:
            flags = " and ".join(" or ".join(self.flags[name]) for name in lacking)
            raise UserError(f"{' and '.join(lacking)} not given; bring {flags}")
        given = {name: modalities.get(name).default for name in self.inputs} | inputs
        arrays = {name: self._to_array(name, given[name], mask_polarity) for name in self.inputs}
        for remark in self.system.remarks(self._variables, self._frozen, arrays):
            if remark not in self._said:
                self._said.add(remark)
                log.warning("%s", remark)
        outputs = self.system.synthesize(self._predict, arrays, jax.random.key(seed))
        return self._published(outputs, given)

    def _predict(
        self, system: Predictor, inputs: Mapping[str, np.ndarray], key: PRNGKey
    ) -> Mapping[str, Array]:
        answer = system.predict if system.on_host else _compiled(system)
        return answer(self._variables, self._frozen, inputs, key)

    def _to_array(self, name: str, value: Any, polarity: str) -> np.ndarray:
        """Turn what a user gave for a modality into its array."""
        array = _to_array(name, value, polarity)
        if self.label_set is None or not _is_label_map(name):
            return array
        self.label_set.check(array, f"{name} {value}" if _is_path(value) else name)
        return self.label_set.to_train_ids(array)

    def _published(self, outputs: dict[str, np.ndarray], given: Mapping[str, Any]) -> dict:
        """Give label maps their published ids; what was given and is no class to be found stays."""
        if self.label_set is None:
            return outputs
        table = self.label_set
        kept = [row.id for row in table.classes if row.ignored and row.id != table.unlabelled]
        for name in [name for name in outputs if _is_label_map(name)]:
            outputs[name] = table.to_ids(outputs[name])
            for source in [source for source in given if _is_label_map(source)]:
                labels = _to_array(source, given[source], "")
                outputs[name] = np.where(np.isin(labels, kept), labels, outputs[name])
        return outputs


@functools.lru_cache(maxsize=16)
def _compiled(system: Predictor) -> Any:
    return jax.jit(system.predict)


def _to_array(name: str, value: Any, polarity: str) -> np.ndarray:
    """Turn what a user gave for a modality into its array."""
    modality = modalities.get(name)
    if not modality.spatial:
        return np.asarray(_choice(modality, value), modality.dtype)
    if _is_path(value):
        return _read(name, value, polarity)
    array = np.asarray(value)
    if array.ndim == 2:
        array = array[..., None]
    if name == "mask":
        array = (array.max(axis=-1, keepdims=True) > 0).astype(np.uint8)
    if array.dtype.kind not in "biu":
        raise UserError(f"{name} is an array of {array.dtype}; expected {modality.dtype}")
    modalities.check_range(name, array)
    array = array.astype(modality.dtype)
    modalities.check({name: array[None]}, [name])
    return array


def _read(name: str, path: str | os.PathLike, polarity: str) -> np.ndarray:
    if name == "mask":
        return pictures.read_mask(path, polarity)
    if name == "image":
        return pictures.read_image(path)
    labels, modality = pictures.read_labels(path), modalities.get(name)
    if labels.max(initial=0) > modality.high:
        raise UserError(
            f"{path} holds the label {labels.max()}; expected labels up to {modality.high}"
        )
    return labels.astype(modality.dtype)


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike)


def _is_label_map(name: str) -> bool:
    return modalities.get(name).draw == "palette" if name in modalities.MODALITIES else False


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
