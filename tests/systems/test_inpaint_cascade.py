"""Sampling all levels: nothing leaks, known bytes stay, schedules hold, any size fits."""

import collections
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth import systems
from segsynth.data import masks
from segsynth.diffusion.process import velocity
from segsynth.systems.inpaint_c2f import pyramid
from segsynth.systems.inpaint_c2f.cascade import Cascade

TOKENS, DIM = 2, 8
LEVELS = dict(
    res=(8, 16, 32),
    patch=(1, 1, 2),
    widths=((16, 32), (16,), (16,)),
    blocks=((0, 0), (0,), (0,)),
    attn_grids=((4,), (), ()),
    steps=(4, 3, 2),
    remat=(False,) * 3,
)
PAPER_STEPS = (60, 40, 30)


def build(levels=LEVELS, train="level3", **options):
    lcg = dict(tokens=TOKENS, dim=DIM)
    return systems.build(
        dict(name="inpaint_c2f", train=train, levels=levels, lcg=lcg, **options),
    )


def replaced(cascade, kind, **changes):
    """The same cascade as another class."""
    fields = {f.name: getattr(cascade, f.name) for f in dataclasses.fields(cascade)}
    return kind(**{**fields, **changes})


def with_cascade(system, cascade):
    objective = dataclasses.replace(system.objective, cascade=cascade)
    return dataclasses.replace(system, cascade=cascade, objective=objective)


def tables(seen=(1, 1)):
    rng = np.random.default_rng(0)
    rows = {n: rng.normal(size=(TOKENS, DIM)) for n in ("background", "foreground", "null")}
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), rows)
    return {"params": params, "seen": jnp.asarray(seen, jnp.int32)}


#: What a cascade of stand-ins reads: the tables, and levels without parameters.
NETS = {"lcg": tables(), **{f"level{i}": {"params": {}} for i in (1, 2, 3)}}


@dataclasses.dataclass(frozen=True)
class Mixer:
    """A stand-in for a level's network: what it returns depends on everything that it is given, and
    each call is reported with its inputs.
    """

    index: int
    report: object = None

    def apply(self, variables, x_t, known, mask, lower, t, aug, rows):
        inputs = dict(x_t=x_t, known=known, mask=mask, rows=rows)
        if lower is not None:
            inputs |= dict(lower=lower, aug=aug)
        if self.report is not None:
            call = functools.partial(self.report, self.index)
            jax.debug.callback(call, inputs, ordered=True)
        scalars = t + rows.mean(axis=(1, 2)) + known.mean(axis=(1, 2, 3))
        mixed = 0.5 * x_t + known + 0.1 * mask + scalars[:, None, None, None]
        mixed = mixed if lower is None else mixed + 0.3 * jnp.roll(lower, 1, axis=1)
        return jnp.sin(3 * mixed)


class Recording(Cascade):
    """Mixers for networks. Keeps what each of them saw and each condition c; subclassed anew for
    each recording.
    """

    calls = None

    def level_net(self, level):
        return Mixer(level.index, self.report)

    def condition(self, nets, level, *rest):
        c = super().condition(nets, level, *rest)
        jax.debug.callback(functools.partial(self.report, f"c{level.index}"), c, ordered=True)
        return c

    @classmethod
    def report(cls, index, inputs):
        cls.calls.append((index, jax.tree.map(np.asarray, inputs)))


class Quiet(Cascade):
    def level_net(self, level):
        return Mixer(level.index)


def recording(cascade, **changes):
    kind = type("Recording", (Recording,), {"calls": []})
    return replaced(cascade, kind, combiner="analytic", **changes)


def picture(side=32, count=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (count, side, side, 3)).astype(np.float32)


def hole(side=32, count=2):
    mask = np.zeros((count, side, side, 1), np.float32)
    mask[:, side // 4 : side // 8 * 5, side // 3 : side // 8 * 7] = 1
    mask[:, -3, 3] = 1
    return mask


@pytest.fixture
def on_one_device():
    """Ordered callbacks need a program of one device."""
    with jax.default_device(jax.devices()[0]):
        yield


# --- no leak ---------------------------------------------------------------------------------


def same(a, b):
    """Bit for bit, NaN and the names of what was recorded included."""
    return all(
        np.asarray(x).tobytes() == np.asarray(y).tobytes()
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


def test_no_network_input_and_no_condition_depends_on_the_hole(on_one_device):
    cascade = recording(build().cascade)
    run = jax.jit(cascade.sample)

    def sample(fill):
        cascade.calls.clear()
        image = np.where(hole() > 0.5, np.asarray(fill, np.float32), picture())
        category = np.asarray([0, 1], np.int32)
        outputs = run(NETS, image, hole(), category, jax.random.key(3))
        jax.effects_barrier()
        return jax.tree.map(np.asarray, outputs), list(cascade.calls)

    outputs, calls = sample(0.0)
    counts = collections.Counter(index for index, _ in calls)
    assert counts == {1: 4, "c2": 1, 2: 3, "c3": 1, 3: 2}
    seen = jax.tree.leaves((outputs, [inputs for _, inputs in calls]))
    assert all(np.isfinite(x).all() for x in seen)
    for fill in (0.9, np.nan, np.inf, picture(seed=5)):
        changed_outputs, changed_calls = sample(fill)
        assert same(changed_calls, calls)
        assert same(changed_outputs, outputs)


def test_a_max_pooled_mask_would_leak(on_one_device, monkeypatch):
    """The control, on training's pyramid, which holds the truth in the hole."""

    def known_inputs(fill):
        image, mask = picture(), hole()
        image = jnp.asarray(np.where(mask > 0.5, np.float32(fill), image))
        levels = pyramid.build_pyramid(image, jnp.asarray(mask), 3)
        return [np.asarray(pyramid.compose(m, jnp.zeros_like(x), x)) for x, m in levels]

    assert same(known_inputs(0.9), known_inputs(-0.9))

    def max_pool(mask):
        b, h, w, c = mask.shape
        return mask.reshape(b, h // 2, 2, w // 2, 2, c).max(axis=(2, 4))

    monkeypatch.setattr(pyramid, "halve_mask", max_pool)
    assert not same(known_inputs(0.9), known_inputs(-0.9))


# --- known pixels ----------------------------------------------------------------------------


class Poison(Cascade):
    def level_net(self, level):
        class Net:
            def apply(self, variables, x_t, *rest, method=None):
                return jnp.full_like(x_t, jnp.nan)

        return Net()


def twenty_masks(side=32):
    """One hole pixel, one known pixel, none, all; the rest random."""
    rng = np.random.default_rng(9)
    kinds = ("mat_large", "mat_small", "box", "lama_medium")
    drawn = [masks.draw(rng, side, kinds[i % 4]) for i in range(16)]
    one = np.zeros((side, side, 1), np.uint8)
    one[13, 30] = 1
    return np.stack([one, 1 - one, 0 * one, 0 * one + 1, *drawn])


@functools.cache
def real_system():
    """All levels with real networks, every parameter random: no branch is silent."""
    system = build()
    names = system.cascade.network_names(3)
    rng = np.random.default_rng(1)
    nets = {}
    for name in names:
        shapes = jax.eval_shape(
            functools.partial(system.cascade.init_network, name), jax.random.key(0)
        )
        nets[name] = jax.tree.map(
            lambda x: (
                rng.normal(0, 0.1, x.shape).astype(np.float32)
                if x.dtype == np.float32
                else np.ones(x.shape, x.dtype)
            ),
            shapes,
        )
    params = {name: nets.pop(name)["params"] for name in system.trained}
    variables = {"params": params, "model_state": {}}
    return functools.partial(jax.jit(system.predict), variables, nets)


@functools.cache
def poisoned_system():
    system = build(combiner="analytic")
    system = with_cascade(system, replaced(system.cascade, Poison))
    variables = {"params": {}, "model_state": {}}
    return jax.jit(functools.partial(system.predict, variables, NETS))


@pytest.mark.parametrize("predict", [real_system, poisoned_system])
def test_bytes_outside_the_hole_are_the_callers(predict):
    rng = np.random.default_rng(2)
    mask = twenty_masks()
    image = rng.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    category = np.arange(20, dtype=np.int32) % 2
    inputs = dict(image=image, mask=mask, category=category)
    outputs = predict()(inputs, jax.random.key(0))
    filled = np.asarray(outputs["image"])
    assert filled.dtype == np.uint8
    assert filled[mask[..., 0] == 0].tobytes() == image[mask[..., 0] == 0].tobytes()
    assert (filled[mask[..., 0] == 1] != image[mask[..., 0] == 1]).any()
    # The known part of each lower level is the reduced picture's, whatever the network answered.
    whole = pyramid.build_pyramid(
        jnp.asarray(image / 127.5 - 1, jnp.float32), jnp.asarray(mask, jnp.float32), 3
    )
    for i, (x, m) in enumerate(whole[:-1], start=1):
        known = np.asarray(m)[..., 0] == 0
        expected = np.round((np.asarray(x) + 1) * 127.5)
        got = np.asarray(outputs[f"level{i}"]).astype(int)
        assert np.abs(got - expected)[known].max() <= 1
    # And other bytes in the hole change nothing at all.
    other = np.where(mask, rng.integers(0, 256, image.shape, dtype=np.uint8), image)
    again = predict()(dict(image=other, mask=mask, category=category), jax.random.key(0))
    if predict is real_system:
        assert same(again, outputs)


def test_an_empty_hole_calls_no_network():
    def refuse(*_):
        raise AssertionError("a network was called")

    image = np.random.default_rng(0).integers(0, 256, (21, 17, 3), dtype=np.uint8)
    inputs = dict(image=image, mask=np.zeros((21, 17, 1), np.uint8), category=0)
    result = build().synthesize(refuse, inputs, jax.random.key(0))
    assert result["image"].tobytes() == image.tobytes()
    assert result["image"] is not image
    inputs["mask"][3, 3] = 1
    with pytest.raises(AssertionError, match="network was called"):
        build().synthesize(refuse, inputs, jax.random.key(0))


def test_evaluation_scores_every_level_and_baseline():
    """Examples that are not valid or have no hole leave no trace in the scores."""
    system = build(combiner="analytic")
    system = with_cascade(system, replaced(system.cascade, Quiet))
    evaluate = jax.jit(functools.partial(system.eval_step, {"params": {}, "model_state": {}}, NETS))
    rng = np.random.default_rng(3)
    mask = np.zeros((4, 32, 32, 1), np.uint8)
    mask[:3, 5:20, 8:25] = 1
    batch = dict(
        image=rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8),
        mask=mask,
        mask_type=np.full(4, 2, np.int32),
        valid=np.asarray([1, 1, 0, 1], np.float32),
    )
    metrics, pictures = evaluate(batch, jax.random.key(0))
    values = {name: float(value) for name, value in metrics.compute().items()}
    measures = ("hole_psnr", "hole_l1", "band_l1", "seam_ratio")
    prefixes = ("", "mean_colour__", "nearest_known__", "level1__", "level2__")
    assert set(values) == {f"{prefix}{name}" for prefix in prefixes for name in measures}
    assert np.isfinite(list(values.values())).all()
    names = ["masked", "level1", "level2", "image", "truth"]
    assert set(pictures) == set(names)
    batch["image"][2:] = 255 - batch["image"][2:]
    again, _ = evaluate(batch, jax.random.key(0))
    assert {name: float(value) for name, value in again.compute().items()} == values


# --- schedules -------------------------------------------------------------------------------


@pytest.mark.parametrize("guided", [True, False])
def test_evaluations_are_counted(on_one_device, guided):
    cascade = build({**LEVELS, "steps": PAPER_STEPS}).cascade
    if not guided:
        levels = tuple(dataclasses.replace(level, guidance=1.0) for level in cascade.levels)
        cascade = dataclasses.replace(cascade, levels=levels)
    cascade = recording(cascade)
    arguments = picture(count=1), hole(count=1), np.zeros(1, np.int32), jax.random.key(0)
    jax.jit(cascade.sample)(NETS, *arguments)
    jax.effects_barrier()
    examples = {i: 0 for i in (1, 2, 3)}
    for index, inputs in cascade.calls:
        if index in examples:
            examples[index] += len(inputs["x_t"])
    factor = 2 if guided else 1
    assert examples == {i: factor * steps for i, steps in enumerate(PAPER_STEPS, start=1)}


def test_guidance_pairs_each_class_with_its_negative(on_one_device):
    """Class and negative branch are neighbours in one batch that agrees in all else."""
    cascade = recording(Cascade(**_first_level(), negative="opposite"))
    category = np.asarray([0, 1], np.int32)
    jax.jit(cascade.sample)(NETS, picture(8), hole(8), category, jax.random.key(0))
    jax.effects_barrier()
    params = NETS["lcg"]["params"]
    background, foreground = params["background"], params["foreground"]
    for _, inputs in cascade.calls:
        expected = [background, foreground, foreground, background]
        np.testing.assert_array_equal(inputs["rows"], expected)
        for name in ("x_t", "known", "mask"):
            np.testing.assert_array_equal(inputs[name][0::2], inputs[name][1::2])


def _first_level(**changes):
    cascade = build().cascade
    level = dataclasses.replace(cascade.levels[0], steps=3, **changes)
    return dict(levels=(level,), tokens=TOKENS, dim=DIM)


@functools.partial(jax.jit, static_argnames=("guidance", "negative"))
def sampled(category, guidance, negative="opposite"):
    cascade = Quiet(**_first_level(guidance=guidance), negative=negative)
    image, mask, key = jnp.asarray(picture(8)), jnp.asarray(hole(8)), jax.random.key(4)
    return cascade.sample(NETS, image, mask, jnp.full(2, category), key)[0]


def test_scale_0_is_the_negative_and_1_the_class_branch():
    foreground, background = sampled(1, 1.0), sampled(0, 1.0)  # without guidance
    assert np.abs(foreground - background).max() > 0.1  # the control: the class matters
    np.testing.assert_allclose(sampled(1, 1.0 + 1e-9), foreground, atol=1e-6)  # guided by 1
    np.testing.assert_allclose(sampled(1, 0.0), background, atol=1e-6)
    np.testing.assert_allclose(sampled(0, 0.0), foreground, atol=1e-6)
    null = sampled(1, 0.0, "null")
    assert np.abs(null - background).max() > 0.1
    np.testing.assert_array_equal(null, sampled(0, 0.0, "null"))


class Knowing(Cascade):
    """Returns the true v or eps of the pictures of `picture`, at every level."""

    def denoise(self, nets, level, x_t, image, mask, lower, t, aug, rows):
        truth = nets[f"truth{level.index}"]
        truth = jnp.repeat(truth, x_t.shape[0] // truth.shape[0], axis=0)
        alpha, sigma = level.schedule(self.schedule).alpha_sigma(t)
        over = lambda a: a[:, None, None, None]  # noqa: E731
        eps = (x_t - over(alpha) * truth) / over(sigma)
        return eps if self.param == "eps" else velocity(truth, eps, alpha, sigma)


@pytest.mark.parametrize(("param", "schedule"), [("v", "cosine"), ("eps", "cosine"), ("v", "sd")])
def test_an_oracle_reproduces_the_truth(param, schedule):
    levels = {**LEVELS, "steps": PAPER_STEPS}
    cascade = build(levels, param=param, schedule=schedule).cascade
    cascade = replaced(cascade, Knowing, combiner="analytic")
    image, mask = jnp.asarray(picture()), jnp.asarray(hole())
    truth = pyramid.build_pyramid(image, mask, 3)
    nets = NETS | {f"truth{i}": x for i, (x, _) in enumerate(truth, start=1)}
    outputs = jax.jit(cascade.sample)(nets, image, mask, np.zeros(2, np.int32), jax.random.key(8))
    for y, (x, m) in zip(outputs, truth, strict=True):
        inside = np.asarray(m)[..., 0] > 0.5
        assert inside.any()
        error = np.asarray(y - x)[inside]
        psnr = 10 * np.log10(4 / max(np.mean(error**2), 1e-20))
        print(f"{param}, {schedule}, {y.shape[1]} px: {psnr:.0f} dB")
        assert psnr > 60
        known = np.asarray(m)[..., 0] < 0.5
        assert np.asarray(y)[known].tobytes() == np.asarray(x)[known].tobytes()


def test_odd_sizes_through_the_stand_in_networks():
    """The real chain of pad, pyramid, sample, compose and cut, with known bytes kept."""
    system = build(combiner="analytic")
    system = with_cascade(system, replaced(system.cascade, Quiet))
    variables = {"params": {}, "model_state": {}}

    def predict(system, batch, key):
        return jax.jit(functools.partial(system.predict, variables, NETS))(batch, key)

    rng = np.random.default_rng(27)
    image = rng.integers(10, 256, (27, 18, 3), dtype=np.uint8)
    mask = (rng.random((27, 18, 1)) < 0.2).astype(np.uint8)
    inputs = dict(image=image, mask=mask, category=1)
    result = system.synthesize(predict, inputs, jax.random.key(0))
    known = inputs["mask"][..., 0] == 0
    assert result["image"][known].tobytes() == inputs["image"][known].tobytes()
    assert result["level1"].shape == (7, 5, 3)
    assert result["level2"].shape == (14, 9, 3)
