"""Line drawings: sizes, who learns from what, the order of play, the baseline as a setting."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawings import CLASSES, LIGHT, SIDE, TINY, batch, build, compiled, norms, quick, start

from segsynth import systems
from segsynth.errors import UserError
from segsynth.losses import adversarial
from segsynth.systems.line_drawing import pool
from segsynth.systems.line_drawing.networks import JUDGES, Networks
from segsynth.systems.line_drawing.objective import Examples

KEY = jax.random.key(5)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_the_published_numbers_of_parameters():
    system = systems.build({"name": "line_drawing"})
    params = jax.eval_shape(system.init, jax.random.key(0)).params
    assert {name: count(tree) for name, tree in params.items()} == {
        "drawer": 4_290_945,
        "painter": 4_290_947,
        "photo_judge": 2_764_737,
        "drawing_judge": 2_762_689,
        "geometry": 32_413_379,
        "segmenter": 31_048_246,
    }
    variables = jax.eval_shape(system.networks.judge.init, KEY, jnp.zeros((1, 256, 256, 1)))
    logits = jax.eval_shape(system.networks.judge.apply, variables, jnp.zeros((1, 256, 256, 1)))[-1]
    assert logits.shape == (1, 30, 30, 1)
    features = system.networks.features
    variables = jax.eval_shape(features.init, KEY)
    grid = jax.eval_shape(features, variables, jnp.zeros((1, 256, 256, 1)))
    assert grid.shape == (1, 14, 14, 768)


@pytest.mark.parametrize(
    ("preset", "blocks", "pool", "targets", "frozen"),
    [
        ("paper", 3, 0, ("drawing", "depth", "labels"), {"features", "clip"}),
        ("informative", 3, 0, ("drawing", "depth"), {"features", "clip"}),
        ("cyclegan", 9, 50, ("drawing",), set()),
    ],
)
def test_the_presets(preset, blocks, pool, targets, frozen):
    system = systems.build({"name": "line_drawing", "preset": preset})
    assert (system.networks.drawer.blocks, system.pool) == (blocks, pool)
    assert system.targets == targets and set(system.frozen) == frozen
    assert ("segmenter" in system.players) == (preset == "paper")
    assert system.objective.weights.cycle == (10.0 if preset == "cyclegan" else 0.1)


@pytest.mark.parametrize(
    ("mode", "learns", "frozen"),
    [
        ("off", False, False),
        ("joint", True, False),
        ("warm_joint", True, False),
        ("frozen_photo", False, True),
        ("frozen_draw", False, True),
    ],
)
def test_who_trains_the_segmenter(mode, learns, frozen):
    system = build(seg={"mode": mode}, **LIGHT)
    assert ("segmenter" in system.players) == learns
    assert ("segmenter" in system.frozen) == frozen
    assert ("labels" in system.targets) == (mode != "off")
    judged = build(seg={"mode": mode}, judged_by=["labels"], **LIGHT)
    assert "labels" in judged.targets


def test_the_depth_head_is_frozen_or_trained():
    assert "geometry" in build().players
    frozen = build(geometry={"finetune": False})
    assert "geometry" not in frozen.players and "geometry" in frozen.frozen


class Told(Networks):
    """Networks that need no compiling and tell whether they were to learn."""

    def draw(self, nets, photo):
        return photo[..., :1]

    def paint(self, nets, drawing):
        return jnp.repeat(drawing, 3, -1)

    def judged(self, nets, name, pictures):
        return pictures[..., :1]

    def depth(self, nets, drawing, train):
        nets["learned"]["geometry"] = train
        return jnp.repeat(drawing, 3, -1), {"batch_stats": 1.0} if train else {}

    def segments(self, nets, drawing, train):
        nets["learned"]["segmenter"] = train
        return drawing * jnp.ones((1, 1, 1, CLASSES)), {"batch_stats": 2.0} if train else {}


@pytest.mark.parametrize("mode", ["joint", "warm_joint", "frozen_draw", "frozen_photo"])
def test_what_is_frozen_keeps_its_statistics_and_the_weight_of_labels_rises(mode):
    trained = mode in ("joint", "warm_joint")
    made = build(
        seg={"mode": mode, "warmup": 4, "weight": 3.0},
        geometry={"finetune": trained},
        loss={"clip": 0.0},
    )
    objective = dataclasses.replace(made.objective, networks=Told(**vars(made.networks)))
    given, nets = Examples.of(batch(made)), {"learned": {}}
    for step, weight in ((0, 0.75), (1, 1.5), (9, 3.0)):
        total, played = objective.generators(nets, given, jnp.int32(step), KEY)
        terms = {name: float(value) for name, value in played.scalars.items()}
        others = terms["adversarial"] + 0.1 * terms["cycle"] + 10 * terms["geometry"]
        assert float(total) - others == pytest.approx(weight * terms["segmentation"], rel=1e-4)
    assert nets["learned"] == dict.fromkeys(("geometry", "segmenter"), trained)
    assert set(played.moved) == ({"geometry", "segmenter"} if trained else set())


@pytest.mark.slow
def test_what_is_frozen_stays_and_the_weight_of_labels_rises():
    system = quick(build(seg={"mode": "frozen_draw", "warmup": 4}, geometry={"finetune": False}))
    (state, frozen), step = start(system), compiled(system)
    assert set(frozen) == {"features", "clip", "geometry", "segmenter"}
    before, first = jax.device_get((frozen, state.model_state)), state
    for i in range(20):
        state, scalars = step(state, frozen, batch(system, seed=i), jax.random.key(i))
        plain = {k: float(v) for k, v in scalars.items()}
        others = plain["adversarial"] + 0.1 * plain["cycle"]
        others += 10 * (plain["geometry"] + plain["clip"])
        risen = (plain["loss"] - others) / plain["segmentation"]
        assert risen == pytest.approx(min(1.0, (i + 1) / 4), rel=1e-3)
    # Nothing of what is frozen comes to be part of the state, as statistics would that had moved.
    assert set(state.params) == set(first.params) and state.model_state == before[1] == {}
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(frozen), before[0])
    nets, given = system._nets(state.variables(), frozen), Examples.of(batch(system))
    for name, reads in (("geometry", "depth"), ("segmenter", "segments")):
        read = jax.jit(getattr(system.networks, reads), static_argnums=2)
        running, by_batch = (read(nets, given.drawing, train)[0] for train in (False, True))
        assert not np.allclose(running, by_batch), name


def test_a_warm_segmenter_learns_at_a_tenth_of_the_rate():
    first = {}
    for mode in ("joint", "warm_joint"):
        system = build(seg={"mode": mode}, **LIGHT)
        params = {name: {"kernel": jnp.zeros(3)} for name in system.players}
        gradient = jax.tree.map(jnp.ones_like, params)
        tx = system.generators_tx
        first[mode] = tx.update(gradient, tx.init(params), params)[0]
    for name, factor in (("segmenter", 0.1), ("drawer", 1.0), ("painter", 1.0)):
        kernels = [first[mode][name]["kernel"] for mode in ("warm_joint", "joint")]
        np.testing.assert_allclose(kernels[0], factor * kernels[1], rtol=1e-5)


def players_of(system, state):
    return {name: state.params[name] for name in system.players}


def test_what_each_loss_teaches():
    """Which networks get a gradient from which loss, all losses in one program."""
    system = quick(build())
    state, frozen = start(system)
    given = Examples.of(batch(system))
    nets = system._nets(state.variables(), frozen)

    def losses(params):
        mine = {**nets, **{k: {**nets[k], "params": v} for k, v in params.items()}}
        _, played = system.objective.generators(mine, given, state.step, KEY)
        stop = jax.lax.stop_gradient
        terms = {n: played.scalars[n] for n in ("cycle", "geometry", "clip", "segmentation")}
        judge = system.objective.adversarial
        terms["photo"] = judge(mine, played.photo, stop(played.drawing))
        terms["drawing"] = judge(mine, stop(played.photo), played.drawing)
        return terms

    slopes = jax.jit(jax.jacrev(losses))(players_of(system, state))
    taught = {
        loss: {name for name, norm in norms(tree).items() if norm > 0}
        for loss, tree in slopes.items()
    }
    assert taught == {
        "cycle": {"drawer", "painter"},
        "geometry": {"drawer", "geometry"},
        "clip": {"drawer"},
        "segmentation": {"drawer", "segmenter"},
        "photo": {"painter"},
        "drawing": {"drawer"},
    }


def test_what_each_discriminator_learns_from_and_a_frozen_segmenter_teaches():
    system = build(seg={"mode": "frozen_draw"}, **LIGHT)
    state, frozen = start(system)
    given = Examples.of(batch(system))
    nets = system._nets(state.variables(), frozen)
    real = dict(zip(JUDGES, (given.photo, given.drawing), strict=True))

    def losses(params):
        mine = {**nets, **{k: {**nets[k], "params": v} for k, v in params.items()}}
        _, played = system.objective.generators(mine, given, state.step, KEY)
        made = dict(zip(JUDGES, (played.photo, played.drawing), strict=True))
        _, scalars = system.objective.discriminators(mine, real, made)
        terms = {name: scalars[name] for name in JUDGES}
        return {**terms, "segmentation": played.scalars["segmentation"]}

    slopes = jax.jit(jax.jacrev(losses))(
        {**state.params, "segmenter": frozen["segmenter"]["params"]}
    )
    for name in JUDGES:
        assert {k for k, norm in norms(slopes[name]).items() if norm > 0} == {name}
    assert norms(slopes["segmentation"])["drawer"] > 0
    assert "segmenter" not in state.params and "segmenter" not in state.opt_state["generators"]


def test_the_step_is_the_published_order_of_play():
    """Both discriminators are asked before they learn, and learn from what the generators made
    before they did.
    """
    system = build(seg={"mode": "off"}, **LIGHT)
    state, _ = start(system)
    given = batch(system)
    after, scalars = compiled(system)(state, {}, given, KEY)
    photo, drawing = (given[name].astype(jnp.float32) / 255 for name in ("image", "drawing"))
    g, judge = system.networks, system.networks.judge

    def ask(params, name, x):
        return judge.apply({"params": params[name]}, x)[-1]

    @jax.jit
    def by_hand(params):
        draw = lambda x: g.drawer.apply({"params": params["drawer"]}, x)  # noqa: E731
        paint = lambda x: g.painter.apply({"params": params["painter"]}, x)  # noqa: E731
        fb, fa = draw(photo), paint(drawing)
        asked = [
            ((ask(params, n, x) - 1) ** 2).mean() for n, x in zip(JUDGES, (fa, fb), strict=True)
        ]
        there = jnp.abs(paint(fb) - photo).mean() + jnp.abs(draw(fa) - drawing).mean()
        pairs = ((photo, fa), (drawing, fb))
        taught = {
            name: adversarial.least_squares_discriminator(
                [ask(params, name, real)], [ask(params, name, fake)]
            )
            for name, (real, fake) in zip(JUDGES, pairs, strict=True)
        }
        return sum(asked), there, taught, (fa, fb)

    asked, there, taught, (fa, fb) = by_hand(state.params)
    assert float(scalars["adversarial"]) == pytest.approx(float(asked), rel=1e-4)
    assert float(scalars["cycle"]) == pytest.approx(float(there), rel=1e-4)
    assert float(scalars["loss"]) == pytest.approx(float(asked + 0.1 * there), rel=1e-4)
    for name in JUDGES:
        assert float(scalars[name]) == pytest.approx(float(taught[name]), rel=1e-4)
    tx = system.judges_tx

    def loss(params):
        pairs = zip(JUDGES, ((photo, fa), (drawing, fb)), strict=True)
        return sum(
            adversarial.least_squares_discriminator([ask(params, n, a)], [ask(params, n, b)])
            for n, (a, b) in pairs
        )

    mine = {name: state.params[name] for name in JUDGES}
    updates, _ = tx.update(jax.jit(jax.grad(loss))(mine), tx.init(mine), mine)
    for name in JUDGES:
        expected = jax.tree.map(jnp.add, mine[name], updates[name])
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), after.params[name], expected
        )


def run(system, steps=5):
    state, frozen = start(system)
    step = compiled(system)
    for i in range(steps):
        state, _ = step(state, frozen, batch(system, seed=i), jax.random.key(i))
    return jax.device_get(state.params)


@pytest.mark.parametrize(
    "loss", [{**LIGHT["loss"], "cycle": 0.0}, pytest.param({}, marks=pytest.mark.slow)]
)
def test_the_baseline_is_a_setting(loss):
    """Without a segmenter, or with one of weight 0, the others are and become the same."""
    off, none, full = (
        build(loss=loss, seg=seg) for seg in ({"mode": "off"}, {"weight": 0.0}, {"weight": 1.0})
    )
    first = [start(system)[0].params for system in (off, full)]
    assert set(first[1]) - set(first[0]) == {"segmenter"}
    for name in first[0]:
        jax.tree.map(np.testing.assert_array_equal, first[0][name], first[1][name])
    ends = [run(system) for system in (off, none, full)]
    for name in ends[0]:
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), ends[0][name], ends[1][name]
        )
    apart = jax.tree.map(lambda a, b: np.abs(a - b).max(), ends[0]["drawer"], ends[2]["drawer"])
    assert max(jax.tree.leaves(apart)) > 1e-4


def test_with_and_without_a_segmenter_users_run_the_same_program():
    programs = set()
    for mode in ("off", "joint"):
        system = build(seg={"mode": mode}, **LIGHT)
        state = jax.eval_shape(system.init, KEY)
        photo = jax.ShapeDtypeStruct((1, SIDE, SIDE, 3), jnp.uint8)
        arguments = state.variables()["params"]["drawer"], photo
        answer = jax.make_jaxpr(
            lambda p, x, system=system: system.predict(
                {"params": {"drawer": p}, "model_state": {}}, {}, {"image": x}, KEY
            )
        )
        programs.add(str(answer(*arguments)))
    assert len(programs) == 1


def test_a_pool_is_part_of_the_state():
    system = build(pool=2, seg={"mode": "off"}, **LIGHT)
    state = jax.eval_shape(system.init, KEY)
    shapes = {name: p.pictures.shape for name, p in state.model_state["pools"].items()}
    assert shapes == {"photo_judge": (2, SIDE, SIDE, 3), "drawing_judge": (2, SIDE, SIDE, 1)}
    full = {
        name: pool.Pool(jnp.full((2, 2, 2, 1), 5.0 + i), jnp.int32(2))
        for i, name in enumerate(JUDGES)
    }
    made = {name: jnp.arange(8 * 4.0).reshape(8, 2, 2, 1) for name in JUDGES}
    shown, after = system._from_pools({"pools": full}, made, KEY)
    for i, name in enumerate(JUDGES):
        drawn = pool.draws(jax.random.fold_in(KEY, i), 8, 2)
        expected, held = pool.push(full[name], made[name], *drawn)
        np.testing.assert_array_equal(shown[name], expected)
        np.testing.assert_array_equal(after["pools"][name].pictures, held.pictures)
        assert (shown[name] == 5.0 + i).all((1, 2, 3)).any() and (drawn[0] > 0.5).any()
    without = build(**LIGHT)
    assert "pools" not in jax.eval_shape(without.init, KEY).model_state
    made = dict.fromkeys(JUDGES, jnp.ones((2, SIDE, SIDE, 1)))
    assert without._from_pools({}, made, KEY) == (made, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preset": "other"}, "system.preset is 'other'"),
        ({"judged_by": ["mask"]}, "system.judged_by has 'mask'"),
        ({"loss": {"style": 5.0}}, "system.loss has no 'style'"),
        ({"seg": {"mode": "on"}}, "system.seg.mode is 'on'"),
        ({"optimizer": {"rate": 1.0}}, "system.optimizer has no 'rate'"),
    ],
)
def test_a_wrong_setting_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        systems.build({**TINY, **change})


def test_training_pictures_of_other_sides_are_refused():
    system = build(seg={"mode": "off"}, **LIGHT)
    state = jax.eval_shape(system.init, KEY)
    with pytest.raises(UserError, match="18x18 px; expected multiples of 4"):
        jax.eval_shape(system.train_step, state, {}, batch(system, side=18), KEY)
