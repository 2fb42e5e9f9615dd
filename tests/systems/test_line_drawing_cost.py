"""What the full-size method costs, counted by XLA before it compiles anything."""

import jax
import jax.numpy as jnp
import pytest

from segsynth import systems
from segsynth.networks.resnet_generator import ResnetGenerator

SIDE = 256


def gigaflops(function, *shapes):
    return jax.jit(function).lower(*shapes).cost_analysis()["flops"] / 1e9


def test_a_drawing_costs_40_gigaflops():
    drawer = ResnetGenerator(1)
    photo = jax.ShapeDtypeStruct((1, SIDE, SIDE, 3), jnp.float32)
    variables = jax.eval_shape(drawer.init, jax.random.key(0), photo)
    assert gigaflops(drawer.apply, variables, photo) == pytest.approx(40.3, abs=0.5)


def step(mode):
    """Cost of a training step of one picture."""
    system = systems.build({"name": "line_drawing", "seg": {"mode": mode}})
    key = jax.random.key(0)
    state = jax.eval_shape(system.init, key)
    frozen = {name: jax.eval_shape(spec.init, key) for name, spec in system.frozen.items()}
    channels = {"image": (3, "uint8"), "drawing": (1, "uint8")}
    channels |= {"depth": (1, "float32"), "labels": (1, "uint8")}
    batch = {
        name: jax.ShapeDtypeStruct((1, SIDE, SIDE, channels[name][0]), channels[name][1])
        for name in (*system.inputs, *system.targets)
    }
    return gigaflops(system.train_step, state, frozen, batch, key)


@pytest.mark.slow
def test_the_segmentation_loss_costs_what_the_papers_times_say():
    """276 s for 198 s an epoch, a ratio of 1.394: a U-Net of full size that is trained."""
    off = step("off")
    assert step("joint") / off == pytest.approx(1.39, abs=0.05)
    assert step("frozen_draw") / off == pytest.approx(1.26, abs=0.05)
