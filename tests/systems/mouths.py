"""Procedural mouths for tests that train: the data, judges and editors of configs/msagan.py."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from segsynth import config_files, systems
from segsynth.data.worlds.portraits import Portraits
from segsynth.engine.run import Run, plain
from segsynth.networks.planes import to_unit
from segsynth.settings import merge
from segsynth.systems.msagan.evaluation import Faces, edit_scores

MOUTH = "Mouth_Slightly_Open"
HELD_OUT = 10_000_000
JUDGES = ("judge", "judge2")
#: `tests/conftest.py` switches LLVM's optimiser off for all programs; these run for minutes.
OPTIMISED = {"xla_backend_optimization_level": 3}


@functools.cache
def settings(phase):
    """The sections of a phase of the demo."""
    file = pathlib.Path(__file__).parents[2] / "configs" / "msagan.py"
    config, _ = config_files.load(str(file))
    return Run(pathlib.Path("unused"), plain(config)).settings(phase)


def build(phase, **more):
    """The system of a phase of the demo, with some of its keys changed."""
    return systems.build(merge(settings(phase)["system"], more))


@functools.cache
def faces(length, start=0, jaw=0.5):
    """Pictures, attributes, guides and true edits, one array each."""
    keys = ("image", "attributes", "guide", "counterfactual")
    source = Portraits(
        settings("editing")["data"]["resolution"],
        length,
        0,
        start,
        framing="tight",
        attributes=(MOUTH,),
        guide=MOUTH,
        jaw_coupling=jaw,
        provides=keys,
    )
    examples = [source[i] for i in range(length)]
    return {key: np.stack([example[key] for example in examples]) for key in keys}


def train(phase, data, steps, seed=0, start=lambda state: state, **more):
    """Return the system, its state after some steps, and the scalars of each; ``start`` may change
    the first state."""
    system, examples = build(phase, **more), settings(phase)["train"]["global_batch"]
    needs = [name for name in (*system.inputs, *system.targets) if name in data]
    state = start(jax.jit(system.init)(jax.random.key(seed)))
    step = jax.jit(system.train_step, donate_argnums=0, compiler_options=OPTIMISED)
    rng, key, rows = np.random.default_rng(seed), jax.random.key(seed + 1), []
    for i in range(steps):
        chosen = rng.integers(0, len(data["image"]), examples)
        batch = {name: data[name][chosen] for name in needs}
        if rng.random() < 0.5:
            batch = {n: x[:, :, ::-1] if x.ndim == 4 else x for n, x in batch.items()}
        state, scalars = step(state, {}, batch, jax.random.fold_in(key, i))
        rows.append(scalars)
    return system, state, jax.device_get(rows)


def judged_by(trained):
    """The judges as functions: pictures in [-1, 1] -> logits."""
    judges = {}
    for name, (system, state, _) in trained.items():
        variables = {"params": state.params[name], **state.model_state.get(name, {})}
        judges[name] = functools.partial(system.classifier.logits, variables)
    return judges


def edits(system, state, data):
    """What an editor makes of all faces at once: edited pictures and the masks of both edits."""
    image, label = to_unit(jnp.asarray(data["image"])), jnp.asarray(data["attributes"], jnp.float32)

    @functools.partial(jax.jit, compiler_options=OPTIMISED)
    def both(variables, image, label):
        made, kept = (system._edit(variables, image, c) for c in (1 - label, label))
        return made.image, {"edit": made.mask, "same": kept.mask}

    return jax.device_get(both(state.variables(), image, label))


def scores(judges, data, edited, masks):
    """The metrics of edited pictures, float32 in [-1, 1]."""
    given = Faces(
        image=to_unit(jnp.asarray(data["image"])),
        target=1.0 - jnp.asarray(data["attributes"][:, 0], jnp.float32),
        guide=jnp.asarray(data["guide"], jnp.float32) / 255.0,
        valid=jnp.ones(len(data["image"])),
        truth=to_unit(jnp.asarray(data["counterfactual"])),
    )
    found = edit_scores(given, jnp.asarray(edited), jax.tree.map(jnp.asarray, masks), judges)
    return {name: float(metric.compute()) for name, metric in found.items()}
