"""Cascades for tests: tiny levels, and stand-ins for their networks that record what they see."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from segsynth import systems
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


def same(a, b):
    """Bit for bit, NaN and the names of what was recorded included."""
    return all(
        np.asarray(x).tobytes() == np.asarray(y).tobytes()
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )
