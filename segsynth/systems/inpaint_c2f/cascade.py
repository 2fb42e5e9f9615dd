"""The networks of the cascade and how they answer: denoise, combine, sample all levels."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Float, Int

from segsynth.diffusion.process import Param, add_noise, guide, x0_eps_from
from segsynth.diffusion.samplers import ddim
from segsynth.networks.attention import Attention, FeatureMap
from segsynth.systems.inpaint_c2f.categories import CategoryTables, LevelNet, negative_rows
from segsynth.systems.inpaint_c2f.combiner import (
    Combiner,
    CombinerNet,
    combine,
    surrounding_colours,
)
from segsynth.systems.inpaint_c2f.levels import Level
from segsynth.systems.inpaint_c2f.pyramid import build_pyramid, compose
from segsynth.types import Array, PRNGKey

#: Linen variables by network: "lcg", "level1", ..., "combiner2", ...
Networks = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cascade:
    """Static description of all networks, from the lowest level to the top.

    ``guidance``: the negative branch of classifier-free guidance. ``augmentation``: noise added to
    the combiner's output when sampling, in [0, 1).

    ``anchored``: networks predict v of what is left once an anchor is subtracted - the condition of
    an upper level, the surrounding colours at the lowest - so that they begin as the result below
    them instead of as noise. The lowest level then sees its anchor in the hole of the known image,
    which is 0 there otherwise. Same process, same losses.
    """

    levels: tuple[Level, ...]
    tokens: int = 10
    dim: int = 1024
    negative: Literal["opposite", "null"] = "opposite"
    combiner: Combiner = "learned"
    combiner_width: int = 64
    anchored: bool = False
    augmentation: float = 0.1
    param: Param = "v"
    schedule: Literal["cosine", "sd"] = "cosine"
    attn: Attention = "linear"
    feature_map: FeatureMap = "swish_shift"
    dtype: DTypeLike = jnp.float32

    @property
    def tables(self) -> CategoryTables:
        """The category tables, network "lcg"."""
        return CategoryTables(self.tokens, self.dim)

    def level_net(self, level: Level) -> LevelNet:
        """The denoiser of a level, network "level<l>"."""
        return LevelNet(level, self.dtype, self.attn, self.feature_map)

    def network_names(self, top: int) -> tuple[str, ...]:
        """Return the networks that sampling up to level ``top`` reads."""
        learned = range(2, top + 1) if self.combiner == "learned" else ()
        levels = tuple(f"level{i}" for i in range(1, top + 1))
        return ("lcg", *levels, *(f"combiner{i}" for i in learned))

    def init_network(self, name: str, key: PRNGKey) -> dict[str, Any]:
        """Return the linen variables of one network; the tables carry a count of the examples seen
        by class.
        """
        one = jnp.zeros((1,), jnp.int32)
        if name == "lcg":
            return {
                **self.tables.init(key, one, one.astype(jnp.float32)),
                "seen": jnp.zeros((2,), jnp.int32),
            }
        level = self.levels[int(name[-1]) - 1]
        if name.startswith("level"):
            rows = jnp.zeros((1, self.tokens, self.dim))
            net = self.level_net(level)
            return net.init(key, *net.init_inputs(rows))
        pooled = jnp.zeros((1, min(768, max(level.widths))))
        net = CombinerNet(level.patch, self.combiner_width)
        return net.init(key, *net.init_inputs(level.side, pooled))

    def rows(
        self, nets: Networks, category: Int[Array, " b"], null: Float[Array, " b"]
    ) -> Float[Array, "b tokens dim"]:
        """Return the table rows of each example."""
        return self.tables.apply({"params": nets["lcg"]["params"]}, category, null)

    def denoise(
        self,
        nets: Networks,
        level: Level,
        x_t: Float[Array, "b h w 3"],
        image: Float[Array, "b h w 3"],
        mask: Float[Array, "b h w 1"],
        lower: Float[Array, "b h w 3"] | None,
        t: Float[Array, " b"],
        aug: Float[Array, " b"] | None,
        rows: Float[Array, "b tokens dim"],
    ) -> Float[Array, "b h w 3"]:
        """Return the prediction of a level's network, which never sees ``image`` in the hole."""
        hole = jnp.zeros_like(image)
        if self.anchored and lower is None:  # upper levels see their anchor as ``lower``
            hole = surrounding_colours(image, mask, level.side)
        known = compose(mask, hole, image)
        params = {"params": nets[f"level{level.index}"]["params"]}
        return self.level_net(level).apply(params, x_t, known, mask, lower, t, aug, rows)

    def condition(
        self,
        nets: Networks,
        level: Level,
        lower: Float[Array, "b H W 3"],
        image: Float[Array, "b h w 3"],
        mask: Float[Array, "b h w 1"],
        rows: Float[Array, "b tokens dim"],
    ) -> Float[Array, "b h w 3"]:
        """Return the combiner's output c for a level from the lower level's output."""
        extra = {}
        if self.combiner == "learned":
            net, params = self.level_net(level), nets[f"level{level.index}"]["params"]
            extra = {
                "residual": CombinerNet(level.patch, self.combiner_width),
                "params": nets[f"combiner{level.index}"]["params"],
                "pooled": net.apply({"params": params}, rows, method="pool"),
                "gain": level.gain,
            }
        return combine(lower, image, mask, side=level.side, mode=self.combiner, **extra)

    def anchor(
        self,
        level: Level,
        image: Float[Array, "b h w 3"],
        mask: Float[Array, "b h w 1"],
        condition: Float[Array, "b h w 3"] | None,
    ) -> Float[Array, "b h w 3"] | None:
        """Return the image from which an anchored network starts, or ``None`` without anchoring."""
        if not self.anchored:
            return None
        if condition is None:
            return surrounding_colours(image, mask, level.side)
        return condition

    def add_anchor(
        self,
        v: Float[Array, "b h w 3"],
        level: Level,
        t: Float[Array, " b"],
        anchor: Float[Array, "b h w 3"] | None,
    ) -> Float[Array, "b h w 3"]:
        """Turn v of x - f, alpha eps - sigma (x - f), into v of x by subtracting sigma f."""
        if anchor is None:
            return v
        _, sigma = level.schedule(self.schedule).alpha_sigma(t)
        return v - sigma[:, None, None, None] * anchor

    def augment(
        self,
        c: Float[Array, "b h w 3"],
        image: Float[Array, "b h w 3"],
        mask: Float[Array, "b h w 1"],
        aug: Float[Array, " b"],
        eps: Float[Array, "b h w 3"],
    ) -> Float[Array, "b h w 3"]:
        """Noise the condition inside the hole, c~ = sqrt(1 - a^2) c + a eps, so that upper levels
        forgive errors.
        """
        return compose(mask, add_noise(c, eps, jnp.sqrt(1 - aug**2), aug), image)

    def sample(
        self,
        nets: Networks,
        image: Float[Array, "b h w 3"],
        mask: Float[Array, "b h w 1"],
        category: Int[Array, " b"],
        key: PRNGKey,
    ) -> list[Float[Array, "b _ _ 3"]]:
        """Fill the hole at every level, lowest first; known pixels are those of the pyramid of
        ``image``.

        ``image`` has the top level's scale; its sides are multiples of ``multiple``.
        """
        blank = compose(mask, jnp.zeros_like(image), image)
        outputs: list[Array] = []
        for level, (x, m) in zip(
            self.levels, build_pyramid(blank, mask, len(self.levels)), strict=True
        ):
            lower = outputs[-1] if outputs else None
            outputs.append(
                self._sample_level(
                    nets, level, x, m, lower, category, jax.random.fold_in(key, level.index)
                )
            )
        return outputs

    @property
    def multiple(self) -> int:
        """Sides at the top level must be multiples of this for every level to fit its network."""
        top = len(self.levels)
        return max(level.multiple * 2 ** (top - level.index) for level in self.levels)

    def _sample_level(self, nets, level, x, m, lower, category, key) -> Array:
        noise_key, aug_key = jax.random.split(key)
        rows = self.rows(nets, category, jnp.zeros(category.shape))
        start, aug = None, None
        if lower is not None:
            start = self.condition(nets, level, lower, x, m, rows)
            aug = jnp.full(category.shape, self.augmentation)
            lower = self.augment(start, x, m, aug, jax.random.normal(aug_key, x.shape))

        anchor = self.anchor(level, x, m, start)

        def predict(x_t: Array, t: Array) -> Array:
            if level.guidance == 1.0:
                v = self.denoise(nets, level, x_t, x, m, lower, t, aug, rows)
            else:
                v = self._guided(nets, level, x_t, x, m, lower, t, aug, rows, category)
            return self.add_anchor(v, level, t, anchor)

        return ddim(
            predict,
            level.schedule(self.schedule),
            noise_key,
            x,
            m,
            steps=level.steps,
            param=self.param,
            t_start=level.t_start if start is not None else 1.0,
            start=start,
        )

    def _guided(self, nets, level, x_t, x, m, lower, t, aug, rows, category) -> Array:
        """Run class and negative branch as one batch, neighbours in it, so that a sharded batch
        stays where it is.
        """
        lcg = nets["lcg"]
        negative = negative_rows(self.tables, lcg["params"], category, lcg["seen"], self.negative)
        both = jnp.stack([rows, negative], axis=1).reshape(-1, *rows.shape[1:])
        twice = [
            None if a is None else jnp.repeat(a, 2, axis=0) for a in (x_t, x, m, lower, t, aug)
        ]
        v = self.denoise(nets, level, *twice, both)
        v = v.reshape(-1, 2, *v.shape[1:])
        return guide(v[:, 0], v[:, 1], level.guidance)

    def one_step(
        self,
        nets: Networks,
        pyramid: list[tuple[Array, Array]],
        rows: Float[Array, "b tokens dim"],
        key: PRNGKey,
    ) -> Float[Array, "b h w 3"]:
        """Return what the top level of ``pyramid`` makes of its noised truth in one evaluation, t ~
        U(0.3, 1).

        Training an upper level on this instead of the halved truth closes the gap to sampling.
        """
        level, (x, m) = self.levels[len(pyramid) - 1], pyramid[-1]
        t_key, eps_key, aug_key, lower_key = jax.random.split(key, 4)
        c, lower, aug = None, None, None
        if level.index > 1:
            c = self.condition(
                nets, level, self.one_step(nets, pyramid[:-1], rows, lower_key), x, m, rows
            )
            aug = jnp.full(rows.shape[:1], self.augmentation)
            lower = self.augment(c, x, m, aug, jax.random.normal(aug_key, x.shape))
        t = jax.random.uniform(t_key, rows.shape[:1], minval=0.3, maxval=1.0)
        alpha, sigma = level.schedule(self.schedule).alpha_sigma(t)
        x_t = add_noise(x, jax.random.normal(eps_key, x.shape), alpha, sigma)
        prediction = self.denoise(nets, level, x_t, x, m, lower, t, aug, rows)
        prediction = self.add_anchor(prediction, level, t, self.anchor(level, x, m, c))
        x0, _ = x0_eps_from(prediction, x_t, alpha, sigma, self.param)
        return compose(m, jnp.clip(x0, -1, 1), x)
