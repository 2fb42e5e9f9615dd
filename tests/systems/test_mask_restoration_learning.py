"""What restoration learns on toy streets, through a generator that was trained on them.

The photographs are easy renderings: this shows that the wiring works, not how well it does on
Cityscapes.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import toy_streets
from restoration import build

from segsynth.networks.planes import label_planes, to_unit
from segsynth.networks.spade import SpadeGenerator
from segsynth.pretrained.spade_features import SpadeFeatures

pytestmark = pytest.mark.slow

OPTIMISED = {"xla_backend_optimization_level": 3}
SIZE = (toy_streets.HEIGHT, toy_streets.WIDTH)
SPADE = {"width": 8, "hidden": 24, "upsampling": "normal"}
BATCH, GENERATOR_STEPS, STEPS, CALIBRATION = 8, 300, 400, 20
HELD_OUT = 100


@functools.cache
def data():
    """400 streets to learn from, and 100 others."""
    return toy_streets.examples(400, seed=1), toy_streets.examples(HELD_OUT, seed=2)


def batches(given, seed):
    """Endless random batches."""
    random = np.random.default_rng(seed)
    while True:
        chosen = random.choice(len(given["labels"]), BATCH, replace=False)
        yield {name: x[chosen] for name, x in given.items()}


@functools.cache
def frozen():
    """VGG's stand-in, and a generator trained to render the streets in L1."""
    module = SpadeGenerator(label_channels=toy_streets.CLASSES, out_hw=SIZE, **SPADE)
    variables = jax.jit(module.init)(jax.random.key(5), jnp.zeros((1, *SIZE, 9)))
    params, stats = variables["params"], variables["batch_stats"]
    tx = optax.adam(2e-3, b1=0.5)
    opt = tx.init(params)

    @functools.partial(jax.jit, compiler_options=OPTIMISED)
    def step(params, stats, opt, batch):
        planes = label_planes(batch["labels"], toy_streets.CLASSES)

        def loss(params):
            both = {"params": params, "batch_stats": stats}
            made, moved = module.apply(both, planes, True, mutable=["batch_stats"])
            return jnp.abs(made - to_unit(batch["image"])).mean(), moved["batch_stats"]

        (value, moved), slope = jax.value_and_grad(loss, has_aux=True)(params)
        updates, opt = tx.update(slope, opt)
        return optax.apply_updates(params, updates), moved, opt, value

    stream = batches(data()[0], 0)
    for _ in range(GENERATOR_STEPS):
        params, stats, opt, value = step(params, stats, opt, next(stream))
    assert float(value) < 0.12, "the generator has not learned its maps"
    features = SpadeFeatures("standin")
    vgg = jax.jit(features.init)(jax.random.key(6))
    return {"generator": {"params": params, "batch_stats": stats}, "vgg": vgg}


@functools.cache
def compiled(task, **weights):
    """A system and its step."""
    system = build(
        task=task,
        classes=toy_streets.CLASSES,
        names=toy_streets.NAMES,
        evaluated=(),
        frame=SIZE,
        restorer=SPADE,
        generator=SPADE,
        loss=weights,
        optimizer={"lr": 2e-3},
        ema=0.95,
    )
    step = jax.jit(system.train_step, donate_argnums=0, compiler_options=OPTIMISED)
    return system, step, jax.jit(system.eval_step, compiler_options=OPTIMISED)


def judge(task, state, given, **weights):
    """Return the metrics over all examples."""
    eval_step, total = compiled(task, **weights)[2], None
    for i in range(0, len(given["labels"]), 20):
        part = {name: x[i : i + 20] for name, x in given.items()}
        part["valid"] = np.ones(len(part["labels"]), np.float32)
        found, _ = eval_step(state.variables(), frozen(), part, jax.random.key(0))
        total = found if total is None else total.merge(found)
    return {name: float(value) for name, value in total.compute().items()}


def trained(task, seed, steps=STEPS, **weights):
    system, step, _ = compiled(task, **weights)
    state = jax.jit(system.init)(jax.random.key(seed))
    stream, terms = batches(data()[0], seed + 10), frozen()
    for i in range(steps):
        state, _ = step(state, terms, next(stream), jax.random.key(i))
    calibrate = jax.jit(system.calibrate, compiler_options=OPTIMISED)
    for i in range(CALIBRATION):  # as every training ends
        state = calibrate(state, terms, next(stream), jax.random.key(steps + i))
    return state


def gains(found, over):
    told = ("accuracy", "mean_iou", "image_l1")
    print({name: round(value, 4) for name, value in found.items() if name.endswith(told)})
    return tuple(found[f"restored__{m}"] - found[f"{over}__{m}"] for m in ("accuracy", "mean_iou"))


@pytest.mark.parametrize("task", ["sr8", "coarse"])
def test_eight_pictures_are_learned_by_heart(task):
    """All eight in one batch; the last steps at a low rate would do better still."""
    system, step, _ = compiled(task)
    given = {name: x[:BATCH] for name, x in data()[0].items()}
    state, found = jax.jit(system.init)(jax.random.key(0)), {}
    for i in range(1500):
        state, scalars = step(state, frozen(), given, jax.random.key(0))
        if i % 50 == 49 and float(scalars["ce"]) < 0.02:
            found = judge(task, state, given)
            if found["restored__accuracy"] > 0.995:
                break
    assert found.get("restored__accuracy", 0.0) > 0.995 and float(scalars["ce"]) < 0.05


def test_photographs_alone_restore_maps():
    """No mask label is used; a detached bridge would send no gradient at all."""
    found = judge("sr8", trained("sr8", 0, ce=0.0), data()[1], ce=0.0)
    assert gains(found, "none")[0] >= 0.12


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("task", ["sr8", "coarse"])
def test_restored_maps_are_better(task, seed):
    found = judge(task, trained(task, seed), data()[1])
    if task == "sr8":
        accuracy, iou = gains(found, "none")
        assert accuracy >= 0.12 and iou >= 0.15
    else:
        accuracy, iou = gains(found, "nearest")
        assert accuracy >= 0.04 and iou >= 0.15
    assert found["restored__image_l1"] <= 0.75 * found["none__image_l1"]
    soft, hard = found["restored_soft__image_l1"], found["restored__image_l1"]
    assert abs(hard - soft) / hard < 0.10
