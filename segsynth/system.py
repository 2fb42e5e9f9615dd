"""What a system is: a value with pure functions. Nothing inherits from anything here.

A *Predictor* answers (``predict``, ``eval_step``); a *System* also learns (``init``,
``train_step``). Both are protocols: the loop in :mod:`segsynth.experiment` takes any object that
has these functions. The other protocols here are what a system may have besides.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import clu.metrics
import flax.struct
import jax.numpy as jnp
import numpy as np

from segsynth.types import Array, Batch, Frozen, Params, PRNGKey, Scalars, Variables


class TrainState(flax.struct.PyTreeNode):
    """Everything that a phase trains.

    ``params``, ``model_state`` (batch statistics, pools, counters) and ``ema`` are keyed by
    network, ``opt_state`` by optimizer. A network without an exponential moving average is absent
    from ``ema``. ``step`` is a scalar int32, or - as every other leaf - its shape or sharding in a
    state of shapes or shardings.
    """

    step: Any
    params: dict[str, Params]
    model_state: dict[str, Any]
    ema: dict[str, Params]
    opt_state: dict[str, Any]

    @classmethod
    def create(
        cls,
        *,
        params: dict[str, Params],
        opt_state: dict[str, Any],
        ema: dict[str, Params] | None = None,
        model_state: dict[str, Any] | None = None,
    ) -> "TrainState":
        """Return the state at step 0."""
        return cls(
            step=jnp.zeros((), jnp.int32),
            params=params,
            model_state=model_state or {},
            ema=ema or {},
            opt_state=opt_state,
        )

    def variables(self) -> dict[str, Any]:
        """Return what prediction reads: moving averages where there are any, else parameters."""
        return {"params": {**self.params, **self.ema}, "model_state": self.model_state}


@dataclasses.dataclass(frozen=True)
class FrozenSpec:
    """A network that a phase reads and never writes.

    ``init(key)`` returns its linen variables (``{"params": ..., ...}``); it is only ever run
    abstractly, to learn the shapes that a checkpoint must hold. ``predicts``: whether ``predict``
    reads it; one that only training and evaluation read need not be there for users. ``stored``:
    the name under which the phase that trained it keeps it; "" = the name that it has here.
    """

    init: Callable[[PRNGKey], Any]
    doc: str
    predicts: bool = True
    stored: str = ""


#: ``predict`` of one `Answering` value, compiled: ``(value, inputs, key) -> outputs``.
CompiledPredict = Callable[[Any, Mapping[str, Any], PRNGKey], Mapping[str, Any]]


@runtime_checkable
class Answering(Protocol):
    """What can be compiled by itself: a system, or a part of what it does for one answer."""

    @property
    def on_host(self) -> bool:
        """As a `Predictor`'s."""
        ...

    def predict(
        self, variables: Variables, frozen: Frozen, inputs: Any, key: PRNGKey
    ) -> dict[str, Any]:
        """Return arrays, or trees of them, by name."""
        ...


@runtime_checkable
class Predictor(Protocol):
    """A system that answers, learned or not."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Modalities that ``predict`` reads."""
        ...

    @property
    def targets(self) -> tuple[str, ...]:
        """Modalities that training and evaluation read besides ``inputs``."""
        ...

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names that ``predict`` returns."""
        ...

    @property
    def pictures(self) -> tuple[str, ...]:
        """Names of the pictures that ``eval_step`` returns, in the order of a grid's columns."""
        ...

    @property
    def frozen(self) -> Mapping[str, FrozenSpec]:
        """Networks that must be given, by name."""
        ...

    @property
    def on_host(self) -> bool:
        """Whether ``predict`` and ``eval_step`` take this process's NumPy arrays and compile what
        they need themselves; else the caller compiles them whole, over all devices.
        """
        ...

    def predict(
        self, variables: Variables, frozen: Frozen, inputs: Batch, key: PRNGKey
    ) -> dict[str, Array]:
        """Return the outputs for a batch: the same function for grids, evaluation and users."""
        ...

    def eval_step(
        self, variables: Variables, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> tuple[clu.metrics.Collection, dict[str, Array]]:
        """Return mergeable metrics of a batch, and pictures of it (uint8 or integer labels) to look
        at.
        """
        ...

    def remarks(
        self, variables: Variables, frozen: Frozen, inputs: Mapping[str, np.ndarray]
    ) -> tuple[str, ...]:
        """Return what a user should know of the answer to ``inputs``, a line each; mostly none."""
        ...

    def synthesize(
        self, predict: CompiledPredict, inputs: Mapping[str, np.ndarray], key: PRNGKey
    ) -> dict[str, np.ndarray]:
        """Answer for one example of any size on the host: pad, ``predict``, undo the padding.

        An answer that is text, say of an SVG file, is named by the suffix of that file.
        """
        ...


@runtime_checkable
class Adjustable(Protocol):
    """A system whose answers users can adjust: its options are flags of launch/predict.py."""

    @property
    def options(self) -> Any:
        """A dataclass of what is chosen: a field an option, of type int, float, str, bool (a switch
        that is off) or Literal (its values are the choices); ``metadata`` holds "help", one line.
        """
        ...

    def adjusted(self, options: Any) -> Predictor:
        """Return the system with other options, a value of the same dataclass.

        Raises :class:`segsynth.errors.UserError` for those that contradict each other.
        """
        ...


@runtime_checkable
class Surveying(Protocol):
    """A system that may look through a whole folder before it answers for a picture of it."""

    def survey(
        self, predict: CompiledPredict, examples: Iterable[Mapping[str, np.ndarray]]
    ) -> Mapping[str, Any]:
        """Return what ``synthesize`` shall find among the inputs of each example besides them."""
        ...


@runtime_checkable
class Reporter(Protocol):
    """A system whose metrics read better than as the general table."""

    def report(self, metrics: Mapping[str, float]) -> str:
        """Return the table that is printed after an evaluation, in Markdown."""
        ...


@runtime_checkable
class Tabulating(Protocol):
    """A system with tables of its own for the rows of a sweep, which may be tried several times."""

    def tables(self, tries: Mapping[str, Sequence[Any]], min_updates: int) -> str:
        """Return them in Markdown.

        ``tries``: phase -> `segsynth.papers.tries.Try` in order, of which the last is kept;
        ``min_updates``: below so many a training is too short to be judged.
        """
        ...


@runtime_checkable
class Offering(Protocol):
    """A system that takes more from a user than what a batch holds."""

    @property
    def optional(self) -> tuple[str, ...]:
        """Modalities that ``synthesize`` gets besides ``inputs`` if they are given."""
        ...

    @property
    def choices(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the values of a scalar, where they differ from system to system."""
        ...


@runtime_checkable
class Diagnosable(Protocol):
    """A system whose training can be looked into; ``every.diagnose`` asks for it."""

    def diagnose(self, state: TrainState, frozen: Frozen, batch: Batch, key: PRNGKey) -> Scalars:
        """Return scalars about one step that costs more than the step itself."""
        ...


@runtime_checkable
class Calibrating(Protocol):
    """A system whose statistics are estimated anew once training has ended, for its averaged
    parameters; ``train.calibration`` says on how many batches.
    """

    def calibrate(
        self, state: TrainState, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> TrainState:
        """Return the state after one more batch of the estimate."""
        ...


@runtime_checkable
class Probing(Protocol):
    """A system that cannot learn through just any frozen network of the right shapes."""

    def check_frozen(self, frozen: Frozen) -> None:
        """Raise :class:`segsynth.errors.UserError` for weights that it cannot learn through.

        Called on values, where a phase begins or is resumed.
        """
        ...


@runtime_checkable
class Continuing(Protocol):
    """A system that goes on with networks that were trained before."""

    @property
    def continued(self) -> tuple[str, ...]:
        """Networks that ``init_from`` must name."""
        ...


@runtime_checkable
class Telling(Protocol):
    """A system whose ``synthesize`` may answer in words, too."""

    @property
    def texts(self) -> tuple[str, ...]:
        """Suffixes of the files that its answers are, with what it has been adjusted to."""
        ...


@runtime_checkable
class Exporter(Protocol):
    """A system whose result is more than a checkpoint: a run keeps it as parameters.json."""

    def export(self, variables: Variables, origin: Mapping[str, Any]) -> dict[str, Any]:
        """Return what JSON can hold; ``origin`` tells on what data, and for how many steps."""
        ...


@runtime_checkable
class System(Predictor, Protocol):
    """A predictor that learns."""

    def init(self, key: PRNGKey) -> TrainState:
        """Return the state at step 0. Called inside one jit, and abstractly."""
        ...

    def train_step(
        self, state: TrainState, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> tuple[TrainState, Scalars]:
        """Return the next state and the scalars to log; ``key`` differs from step to step."""
        ...
