"""The four losses: zero on the truth, fair to small holes, felt by every trained network."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import ndimage

from segsynth import systems
from segsynth.diffusion.process import velocity
from segsynth.system import TrainState
from segsynth.systems.inpaint_c2f.cascade import Cascade
from segsynth.systems.inpaint_c2f.losses import NAMES, Losses, boundary_band
from segsynth.systems.inpaint_c2f.pyramid import halve

BATCH, TOKENS, DIM = 4, 2, 8
TIMES = (0.01, 0.5, 0.99)
PARAMS = ("v", "eps")
LEVELS = dict(
    res=(8, 16, 32),
    patch=(1, 2, 4),
    widths=((16,),) * 3,
    blocks=((0,),) * 3,
    attn_grids=((),) * 3,
    steps=(2, 2, 2),
    remat=(False,) * 3,
)


@functools.cache
def build(train="level3", **options):
    return systems.build(
        dict(
            name="inpaint_c2f",
            train=train,
            levels=LEVELS,
            lcg=dict(tokens=TOKENS, dim=DIM),
            coarse="gt",
            combiner_width=16,
            **options,
        )
    )


def tables(seed=0):
    """The category tables, as an earlier phase would leave them."""
    rng = np.random.default_rng(seed)
    rows = {n: rng.normal(size=(TOKENS, DIM)) for n in ("background", "foreground", "null")}
    return {"params": jax.tree.map(lambda x: x.astype(np.float32), rows)}


def with_cascade(objective, kind, **changes):
    """The same objective over another class of cascade."""
    cascade = objective.cascade
    fields = {f.name: getattr(cascade, f.name) for f in dataclasses.fields(cascade)}
    return dataclasses.replace(objective, cascade=kind(**fields), **changes)


def example(side, t=0.5, seed=0):
    """What the top level trains on: pictures, masks, the lower result and the random numbers."""
    rng = np.random.default_rng(seed)
    image = rng.uniform(-0.9, 0.9, (BATCH, side, side, 3)).astype(np.float32)
    mask = np.zeros((BATCH, side, side, 1), np.float32)
    mask[:, side // 4 : side // 4 * 3, 1 : side // 2] = 1
    normal = rng.normal(size=(2, *image.shape)).astype(np.float32)
    return {
        "image": image,
        "mask": mask,
        "lower": np.asarray(halve(jnp.asarray(image))),
        "t": np.full(BATCH, t, np.float32),
        "eps": normal[0],
        "null": np.zeros(BATCH, np.float32),
        "aug": np.full(BATCH, 0.2, np.float32),
        "aug_eps": normal[1],
        "category": np.asarray([0, 1, 0, 1], np.int32),
        "kappa": np.ones(BATCH, np.float32),
    }


# --- with networks that are right, or silent -------------------------------------------------


class Oracle(Cascade):
    """Knows the truth, which in training is what it is given before the hole is blanked."""

    def denoise(self, nets, level, x_t, image, mask, lower, t, aug, rows):
        alpha, sigma = level.schedule(self.schedule).alpha_sigma(t)
        over = lambda a: a[:, None, None, None]  # noqa: E731
        eps = (x_t - over(alpha) * image) / over(sigma)
        return eps if self.param == "eps" else velocity(image, eps, alpha, sigma)


class Silent(Cascade):
    def denoise(self, nets, level, x_t, *rest):
        return jnp.zeros_like(x_t)


@functools.cache
def terms_of(kind, top, param):
    system = build(f"level{top}", param=param, combiner="analytic")
    objective = with_cascade(system.objective, kind)
    return jax.jit(lambda batch: objective.terms({"lcg": tables()}, batch))


@pytest.mark.parametrize("param", PARAMS)
@pytest.mark.parametrize("top", [1, 2, 3])
def test_zero_for_an_oracle_and_positive_for_a_silent_net(top, param):
    side = LEVELS["res"][top - 1]
    for t in TIMES:
        right = terms_of(Oracle, top, param)(example(side, t))
        for name in NAMES:
            assert np.abs(right[name]).max() < 1e-6, (name, t)
    silent = terms_of(Silent, top, param)(example(side, 0.5))
    for name in NAMES:
        assert silent[name].shape == (BATCH,)
        assert (np.asarray(silent[name]) > 1e-3).all(), name


# --- the formulas ----------------------------------------------------------------------------

SIDE = 32


@functools.partial(jax.jit, static_argnames=("losses", "side"))
def loss_terms(given, losses, side):
    return losses.terms(side=side, **given)


def terms(mask, error, eps_error=0.0, kappa=1.0, losses=Losses(), side=SIDE, alpha=0.8):
    """The losses of predictions that are off by given errors, one hole for each example."""
    rng = np.random.default_rng(1)
    b = mask.shape[0]
    x = np.broadcast_to(rng.uniform(-0.5, 0.5, (1, side, side, 3)), (b, side, side, 3))
    eps = np.broadcast_to(rng.normal(size=(1, side, side, 3)), x.shape)
    given = {
        "eps": eps,
        "eps_hat": eps + eps_error,
        "x": x,
        "x0_hat": x + error,
        "mask": mask,
        "alpha": np.full(b, alpha),
        "sigma": np.full(b, np.sqrt(1 - alpha**2)),
        "kappa": np.full(b, kappa),
    }
    given = {name: np.asarray(value, np.float32) for name, value in given.items()}
    given["lower"] = halve(jnp.asarray(given["x"]))
    got = loss_terms(given, losses, side)
    return {name: np.asarray(value) for name, value in got.items()}


def hole_of(rows, columns, side=SIDE, count=1):
    mask = np.zeros((count, side, side, 1), np.float32)
    mask[:, slice(*rows), slice(*columns)] = 1
    return mask


def test_small_holes_weigh_as_much_as_large_ones():
    """5 % and 50 % of the picture with errors of the same size, of random sign."""
    mask = np.concatenate([hole_of((2, 19), (3, 6)), hole_of((0, 16), (0, 32))])
    assert mask.mean(axis=(1, 2, 3)).tolist() == pytest.approx([0.05, 0.5], abs=1e-3)
    sign = np.random.default_rng(2).choice([-1.0, 1.0], (1, SIDE, SIDE, 3))
    got = terms(mask, 0.3 * sign, 0.2 * sign)
    for name in ("noise", "l1"):
        assert got[name][0] == pytest.approx(got[name][1], rel=1e-5)
    assert got["noise"][0] == pytest.approx(1.1 * 0.2**2 / 0.8**2, rel=1e-4)
    assert got["l1"][0] == pytest.approx(0.8**2 * 1.1 * 0.3, rel=1e-4)


def test_kappa_scales_the_hole_part_of_object_samples_only():
    system = build("level1")
    types = jnp.arange(4, dtype=jnp.int32)

    def noise(kappa):
        losses = Losses(kappa=kappa)
        objective = dataclasses.replace(system.objective, losses=losses)
        weights = objective.draw(types, jnp.zeros((4, 2, 2, 3)), jax.random.key(0))["kappa"]
        mask = hole_of((4, 20), (5, 18), count=4)
        return terms(mask, 0.0, 0.2, np.asarray(weights), losses)["noise"]

    once, doubled = noise((1.0,) * 4), noise((2.0, 1.0, 1.0, 1.0))
    hole = 0.2**2 / 0.8**2
    np.testing.assert_allclose(once, 1.1 * hole, rtol=1e-4)  # a tenth of it is the known part's
    np.testing.assert_allclose(doubled - once, [hole, 0, 0, 0], rtol=1e-4, atol=1e-8)


def test_boundary_loss_sees_the_band_only():
    mask = hole_of((6, 26), (4, 28))
    losses = Losses(band=2 / SIDE)
    band = np.asarray(boundary_band(jnp.asarray(mask), 2))
    noise = np.random.default_rng(3).normal(size=(1, SIDE, SIDE, 3)) * 0.1
    base = 0.2 * np.ones((1, SIDE, SIDE, 3))
    expected = terms(mask, base, losses=losses)
    beyond = terms(mask, base + noise * (band == 0), losses=losses)
    assert beyond["boundary"] == expected["boundary"]
    assert beyond["l1"] != expected["l1"]  # the control: the change is there
    within = terms(mask, base + noise * (band == 1) * mask, losses=losses)
    assert abs(within["boundary"] - expected["boundary"]) > 1e-4


@pytest.mark.parametrize("radius", [1, 3])
def test_boundary_band_against_scipy(radius):
    rng = np.random.default_rng(4)
    mask = np.zeros((3, 24, 20), bool)
    mask[0, 5:20, 0:9] = True  # touches the border, which is not an edge
    mask[1] = rng.random((24, 20)) < 0.1
    mask[2] = True
    square = np.ones((2 * radius + 1,) * 2, bool)
    expected = [
        ndimage.binary_dilation(m, square) & ~ndimage.binary_erosion(m, square, border_value=1)
        for m in mask
    ]
    band = boundary_band(jnp.asarray(mask[..., None], jnp.float32), radius)
    np.testing.assert_array_equal(np.asarray(band)[..., 0] > 0.5, expected)
    assert not np.asarray(band)[2].any()


def test_consistency_counts_colour_but_not_texture():
    full, alpha = np.ones((1, SIDE, SIDE, 1), np.float32), 0.8
    colour = np.asarray([0.1, -0.2, 0.05])
    shifted = terms(full, colour, alpha=alpha)["consistency"][0]
    assert shifted == pytest.approx(alpha**2 * np.abs(colour).mean(), abs=1e-4)
    checks = 0.3 * (-1.0) ** np.add.outer(np.arange(SIDE), np.arange(SIDE))[None, :, :, None]
    textured = terms(full, np.broadcast_to(checks, (1, SIDE, SIDE, 3)), alpha=alpha)
    print(f"checkerboard: {textured['consistency'][0] / (alpha**2 * 0.3):.2e} of its amplitude")
    assert textured["consistency"][0] < 0.01 * alpha**2 * 0.3
    assert textured["l1"][0] > 0.9 * alpha**2 * 0.3  # the control: the L1 loss does count it


def test_total_is_the_weighted_sum():
    losses = Losses(l1=0.2, boundary=0.3)
    ones = {name: jnp.asarray([10.0**i]) for i, name in enumerate(NAMES)}
    assert losses.total(ones, 0.5).tolist() == pytest.approx([1 + 0.2 * 10 + 0.3 * 100 + 500])


# --- gradients -------------------------------------------------------------------------------


@functools.cache
def initial(top):
    return jax.jit(build(f"level{top}").init)(jax.random.key(0, impl="rbg")).params


@functools.cache
def gradient_of(top):
    """Gradient of a weighted sum of the losses under both parameterisations; one program, with one
    evaluation of the network, serves every loss, parameterisation and time.
    """

    def weighted(params, batch, weights):
        evaluated = []

        class Once(Cascade):
            def denoise(self, *arguments):
                if not evaluated:
                    evaluated.append(super().denoise(*arguments))
                return evaluated[0]

        nets = {"lcg": tables(), **{name: {"params": tree} for name, tree in params.items()}}
        total = 0.0
        for param, row in zip(PARAMS, weights, strict=True):
            objective = with_cascade(build(f"level{top}", param=param).objective, Once)
            each = objective.terms(nets, batch)
            total += sum(row[i] * each[name].mean() for i, name in enumerate(NAMES))
        return total

    def norms(params, batch, weights):
        gradient = jax.grad(weighted)(params, batch, weights)
        return gradient, {name: optax.tree.norm(tree) for name, tree in gradient.items()}

    return jax.jit(norms)


@pytest.mark.parametrize("param", PARAMS)
@pytest.mark.parametrize("top", [1, 2, 3])
def test_each_loss_alone_reaches_the_level_and_its_combiner(top, param):
    gradient, params = gradient_of(top), initial(top)
    side = LEVELS["res"][top - 1]

    def only(weights):
        return np.asarray([weights if name == param else np.zeros(4) for name in PARAMS], "f")

    first, at_start = gradient(params, example(side), only([1.0, 0.1, 0.1, 0.1]))
    if top > 1:  # heads start at zero, so the first step reaches the network's head alone
        assert at_start[f"combiner{top}"] == 0
    # The first step of Adam: the sign of the gradient, where there is one.
    params = jax.tree.map(lambda p, g: p - 1e-3 * g / (np.abs(g) + 1e-8), params, first)
    smallest = dict.fromkeys(params, np.inf)
    for t in TIMES:
        for weights in np.eye(4):
            _, norms = gradient(params, example(side, t), only(weights))
            smallest = {name: min(smallest[name], float(norm)) for name, norm in norms.items()}
            assert all(np.isfinite(norm) for norm in norms.values()), (t, weights, norms)
    print(f"{param}: smallest gradient norms {smallest}")
    assert smallest[f"level{top}"] > 1e-8
    assert smallest.get(f"combiner{top}", 1.0) > 0


class Scaled:
    """A denoiser with one parameter, quick to compile."""

    def apply(self, variables, *args, method=None):
        scale = variables["params"]["scale"]
        if method == "pool":
            return scale * args[0].mean(axis=1)
        x_t, known, mask, lower, _t, _aug, rows = args
        out = scale * x_t + 0.1 * known + mask * rows.mean(axis=(1, 2))[:, None, None, None]
        return out if lower is None else out + 0.5 * lower


class ScaledCascade(Cascade):
    def level_net(self, level):
        return Scaled()


def test_gradient_stays_within_the_level():
    """The lower result is recomputed under the loss, and still only level 3 feels the gradient."""
    cascade = build("level3").cascade
    objective = with_cascade(build("level3").objective, ScaledCascade, coarse="mix")
    nets = {"lcg": tables(), **{f"level{i}": {"params": {"scale": 0.3}} for i in (1, 2, 3)}}
    for level in cascade.levels[1:]:
        shapes = jax.eval_shape(
            functools.partial(cascade.init_network, f"combiner{level.index}"), jax.random.key(0)
        )
        # The stub pools the table rows themselves, so the FiLM layer has DIM inputs.
        shapes["params"]["film"]["kernel"] = jax.ShapeDtypeStruct((DIM, 128), jnp.float32)
        rng = np.random.default_rng(level.index)
        nets[f"combiner{level.index}"] = jax.tree.map(
            lambda x: rng.normal(0, 0.1, x.shape).astype(np.float32),  # noqa: B023
            shapes,
        )

    def loss(nets, batch, key):
        draws = {name: batch[name] for name in ("category",)}
        lower = objective.lower(nets, batch["image"], batch["mask"], draws, jnp.asarray(9), key)
        return objective.loss(nets, {**batch, "lower": lower})[0]

    gradient = jax.jit(jax.grad(loss))(nets, example(32), jax.random.key(1))
    norms = {name: float(optax.tree.norm(tree)) for name, tree in gradient.items()}
    for name in ("level1", "level2", "combiner2"):
        assert norms[name] == 0.0
    for name in ("lcg", "level3", "combiner3"):
        assert norms[name] > 1e-6, norms


def test_diagnose_reports_the_norm_of_each_weighted_loss():
    system = build("level1")
    losses = dataclasses.replace(system.objective.losses, l1=0.0)
    objective = with_cascade(system.objective, ScaledCascade, losses=losses)
    system = dataclasses.replace(system, cascade=objective.cascade, objective=objective)
    state = TrainState.create(params={"level1": {"scale": jnp.asarray(0.3)}}, opt_state={})
    given = example(8)
    batch = {
        "image": ((given["image"] + 1) * 127.5).astype(np.uint8),
        "mask": given["mask"].astype(np.uint8),
        "mask_type": np.zeros(BATCH, np.int32),
    }
    batch = jax.tree.map(jnp.asarray, batch)
    norms = jax.jit(system.diagnose)(state, {"lcg": tables()}, batch, jax.random.key(3))
    assert set(norms) == {f"grad_norm_{name}" for name in NAMES}
    assert norms.pop("grad_norm_l1") == 0  # its weight is
    assert all(np.isfinite(norm) and norm > 1e-8 for norm in norms.values())
