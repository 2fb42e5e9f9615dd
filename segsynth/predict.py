"""Use a run: ``segsynth.load(run)(image=..., mask=...)``."""

import copy
import dataclasses
import functools
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import jax
import numpy as np

from segsynth import systems
from segsynth.data import label_sets, landmarks, modalities, pictures
from segsynth.engine import references, sharding
from segsynth.engine.run import Run, plain
from segsynth.errors import UserError
from segsynth.settings import configure, unknown
from segsynth.system import Adjustable, Answering, Offering, Predictor, Surveying, System
from segsynth.types import Frozen, PRNGKey, Variables

log = logging.getLogger(__name__)

#: Modalities that are read from a text file, and how.
TEXT_FILES = {"landmarks": landmarks.read}


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
    # Processes read a checkpoint together; each then answers alone, on a device of its own.
    plan = sharding.plan(data=1 if jax.process_count() == 1 else -1)
    system = systems.build(run.settings(phase)["system"])
    variables, step = references.load_trained(run, phase, system, plan, step)
    frozen = references.load_frozen(run, phase, system, plan, predicting=True)
    variables, frozen = jax.tree.map(lambda x: x.addressable_data(0), (variables, frozen))
    log.info("%s: phase %s at step %d", run.path, phase, step)
    data = run.settings(phase)["data"]
    label_set = data.get("label_set", "")
    made_with = {"run": str(run.path), "phase": phase, "step": step}
    return Synthesizer(system, variables, frozen, label_set, made_with, ids=_ids_of(data))


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
    data = settings.get("data", {})
    label_set = data.get("label_set", "")
    # The value of the system says also what a preset's name or a file of parameters stood for.
    made_with = {
        "system": settings["system"],
        "frozen": settings.get("frozen", {}),
        "label_set": label_set,
        "value": repr(system),
    }
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    frozen = references.load_published(settings.get("frozen", {}), system, here)
    nothing = {"params": {}, "model_state": {}}
    return Synthesizer(system, nothing, frozen, label_set, made_with, ids=_ids_of(data))


def _ids_of(data: Mapping[str, Any]) -> str:
    """How a ``data`` section numbers the label maps that the system sees."""
    return data.get("ids", "published")


class Synthesizer:
    """A system with its weights. Calling it answers for one example.

    ``synthesizer(image=..., mask=..., seed=0) -> {"image": uint8 (h, w, 3), ...}``: a keyword for
    each name in :attr:`inputs`, which takes a path, a Pillow image or an array. Masks are 1 (or any
    other non-zero) = hole. With a ``label_set``, label maps in and out have its published ids;
    ``ids`` says whether the system itself works with these, or with "train" ids.
    ``made_with`` tells which weights and settings these are; `adjusted` gives one with other
    :attr:`options`.
    """

    def __init__(
        self,
        system: Predictor,
        variables: Variables,
        frozen: Frozen,
        label_set: str = "",
        made_with: Mapping[str, Any] | None = None,
        ids: str = "train",
    ):
        self.system, self.made_with = system, dict(made_with or {})
        self.label_set = label_sets.get(label_set) if label_set else None
        self._mapped = self.label_set is not None and ids == "train"
        self._variables, self._frozen = variables, frozen
        self._said: set[str] = set()
        self._surveyed: Mapping[str, Any] = {}

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the keywords; those with a default in the modality table may be left out, and so
        may what the system takes besides what it learns from.
        """
        return (*self.system.inputs, *self._offers.optional)

    @property
    def _offers(self) -> Offering:
        return self.system if isinstance(self.system, Offering) else _Nothing()

    @property
    def weights(self) -> tuple[Variables, Frozen]:
        """What ``system.predict`` takes first: the trained networks, and the frozen ones."""
        return self._variables, self._frozen

    @property
    def flags(self) -> dict[str, list[str]]:
        """The flags of launch/predict.py by input."""
        names = {name: (name, *modalities.get(name).aliases) for name in self.inputs}
        return {
            name: [f"--{flag.replace('_', '-')}" for flag in flags] for name, flags in names.items()
        }

    @property
    def options(self) -> Any:
        """What is chosen for the answers (`segsynth.system.Adjustable`); None = nothing can be."""
        return self.system.options if isinstance(self.system, Adjustable) else None

    def adjusted(self, **options: Any) -> "Synthesizer":
        """Return one with other values of :attr:`options`, by name.

        Raises:
          UserError: an option that the system does not have, or a value that it does not take.
        """
        if not options:
            return self
        now = self.options
        if now is None:
            raise UserError(f"this system has no options; '{next(iter(options))}' was given")
        known = {field.name: getattr(now, field.name) for field in dataclasses.fields(now)}
        chosen = configure(type(now), {**known, **options}, "options")
        made_with = {**self.made_with, "options": dataclasses.asdict(chosen)}
        return self._with(system=self.system.adjusted(chosen), made_with=made_with)

    def surveyed(
        self,
        examples: Iterable[Mapping[str, Any]],
        mask_polarity: str = "white-hole",
        on_error: Literal["raise", "skip"] = "raise",
    ) -> "Synthesizer":
        """Return one for the pictures of one folder: what the system wants to know of all of them
        before it answers for any is found now. ``examples``: the keywords of each call.

        Raises:
          UserError: an input that cannot be read; with ``on_error`` "skip", only if none can.
        """
        if not isinstance(self.system, Surveying):
            return self
        readable = self._readable(examples, mask_polarity, on_error)
        return self._with(_surveyed=self.system.survey(self._predict, readable))

    def _readable(
        self, examples: Iterable[Mapping[str, Any]], polarity: str, on_error: str
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yield the arrays of each example that can be read."""
        some, last = False, None
        for example in examples:
            try:
                arrays = self._arrays(self._given(example), polarity)
            except UserError as error:
                if on_error == "raise":
                    raise
                last = error
            else:
                some = True
                yield arrays
        if last is not None and not some:
            raise last

    def _with(self, **attributes: Any) -> "Synthesizer":
        one = copy.copy(self)
        vars(one).update(attributes)
        return one

    def __call__(
        self, *, seed: int = 0, mask_polarity: str = "white-hole", **inputs: Any
    ) -> dict[str, Any]:
        """Return the outputs for one example of any size: arrays, and what is no picture as text.

        ``mask_polarity`` says what white means in a mask given as a file: "white-hole" or
          "black-hole".

        Raises:
          UserError: an input that is missing, unknown, unreadable or of the wrong kind.
        """
        given = self._given(inputs)
        arrays = self._arrays(given, mask_polarity)
        for remark in self.system.remarks(self._variables, self._frozen, arrays):
            if remark not in self._said:
                self._said.add(remark)
                log.warning("%s", remark)
        arrays = {**arrays, **self._surveyed}
        outputs = self.system.synthesize(self._predict, arrays, jax.random.key(seed))
        return self._published(outputs, given)

    def _given(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Check the names of inputs, and add what may be left out."""
        for name in inputs:
            if name not in self.inputs:
                raise UserError(unknown(name, self.inputs, "this system's input"))
        needed = self.system.inputs
        lacking = [n for n in needed if n not in inputs and modalities.get(n).default is None]
        if lacking:
            flags = " and ".join(" or ".join(self.flags[name]) for name in lacking)
            raise UserError(f"{' and '.join(lacking)} not given; bring {flags}")
        given = {name: modalities.get(name).default for name in needed} | dict(inputs)
        return given

    def _arrays(self, given: Mapping[str, Any], polarity: str) -> dict[str, np.ndarray]:
        return {name: self._to_array(name, given[name], polarity) for name in given}

    def _predict(
        self, system: Answering, inputs: Mapping[str, Any], key: PRNGKey
    ) -> Mapping[str, Any]:
        answer = system.predict if system.on_host else _compiled(system)
        return answer(self._variables, self._frozen, inputs, key)

    def _to_array(self, name: str, value: Any, polarity: str) -> np.ndarray:
        """Turn what a user gave for a modality into its array."""
        array = _to_array(name, value, polarity, self._offers.choices.get(name))
        if self.label_set is None or not _is_label_map(name):
            return array
        # Whether a map in published ids may hold "none" is for the system to say.
        judged = array if self._mapped else array[array != label_sets.NONE]
        self.label_set.check(judged, f"{name} {value}" if _is_path(value) else name)
        return self.label_set.to_train_ids(array) if self._mapped else array

    def _published(self, outputs: dict[str, np.ndarray], given: Mapping[str, Any]) -> dict:
        """Give label maps their published ids; what was given and is no class to be found stays."""
        if not self._mapped:
            return outputs
        table = self.label_set
        kept = [row.id for row in table.classes if row.ignored and row.id != table.unlabelled]
        for name in [name for name in outputs if _is_label_map(name)]:
            outputs[name] = table.to_ids(outputs[name])
            for source in [source for source in given if _is_label_map(source)]:
                labels = _to_array(source, given[source], "")
                outputs[name] = np.where(np.isin(labels, kept), labels, outputs[name])
        return outputs


@functools.lru_cache(maxsize=64)
def _compiled(system: Answering) -> Any:
    return jax.jit(system.predict)


def _to_array(
    name: str, value: Any, polarity: str, choices: tuple[str, ...] | None = None
) -> np.ndarray:
    """Turn what a user gave for a modality into its array; ``choices`` instead of the table's."""
    modality = modalities.get(name)
    if name in TEXT_FILES:
        array = TEXT_FILES[name](value) if _is_path(value) else value
        return np.asarray(array, modality.dtype)
    if not modality.spatial:
        known = modality.choices if choices is None else choices
        return np.asarray(_number(modality, value, known), modality.dtype)
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
    if name == "drawing":
        return pictures.read_drawing(path)
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


def _number(modality: modalities.Modality, value: Any, choices: tuple[str, ...]) -> float:
    """Return a legal value of a scalar, given as a number, as text, or as the name of a choice."""
    if isinstance(value, str) and choices:
        if value not in choices:
            raise UserError(unknown(value, choices, modality.name))
        return float(choices.index(value))
    whole = np.dtype(modality.dtype).kind in "iu"
    kind = "a whole number" if whole else "a number"
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise UserError(f"{modality.name} is {value!r}; expected {kind}") from error
    if choices and number not in range(len(choices)):
        named = enumerate(choices)
        names = ", ".join(name if name == str(i) else f"{i} {name}" for i, name in named)
        raise UserError(f"{modality.name} is {number:g}; expected one of {names}")
    low, high = modality.low, modality.high
    if not low <= number <= high or (whole and not number.is_integer()):
        raise UserError(f"{modality.name} is {number:g}; expected {kind} from {low} to {high}")
    return number


@dataclasses.dataclass(frozen=True)
class _Nothing:
    """What a system takes besides its inputs unless it says so."""

    optional: tuple[str, ...] = ()
    choices: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
