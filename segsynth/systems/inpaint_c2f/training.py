"""One training example of a level: what is drawn at random, and the loss that follows from it."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from segsynth.diffusion.process import add_noise, x0_eps_from
from segsynth.diffusion.schedules import antithetic_times
from segsynth.systems.inpaint_c2f.cascade import Cascade, Networks
from segsynth.systems.inpaint_c2f.categories import BACKGROUND, FOREGROUND, category_of
from segsynth.systems.inpaint_c2f.losses import Losses
from segsynth.systems.inpaint_c2f.pyramid import build_pyramid, halve
from segsynth.types import Array, PRNGKey


@dataclasses.dataclass(frozen=True, kw_only=True)
class Objective:
    """How the top level of ``cascade`` is trained.

    ``drop``: probability that an example's category rows are the null rows. ``augmentation``: upper
    end of the uniform noise level of the condition. ``coarse``: the lower level's result in
    training, ``"gt"`` = the halved truth, ``"mix"`` = with probability 1/2 a one-step prediction of
    the frozen lower level, after ``gt_steps`` steps of truth.
    """

    cascade: Cascade
    losses: Losses = Losses()
    drop: float = 0.1
    augmentation: float = 0.5
    coarse: Literal["gt", "mix"] = "mix"
    gt_steps: int = 0

    def draw(
        self, mask_type: Int[Array, " b"], image: Float[Array, "b h w 3"], key: PRNGKey
    ) -> dict[str, Array]:
        """Return the random numbers of a batch, one row an example, so that any part of the batch
        can be taken.

        Noise levels are spread evenly over the whole batch.
        """
        b = image.shape[0]
        t, eps, null, aug, aug_eps = jax.random.split(key, 5)
        return {
            "t": antithetic_times(t, b),
            "eps": jax.random.normal(eps, image.shape),
            "null": jax.random.bernoulli(null, self.drop, (b,)).astype(jnp.float32),
            "aug": jax.random.uniform(aug, (b,), maxval=self.augmentation),
            "aug_eps": jax.random.normal(aug_eps, image.shape),
            "category": category_of(mask_type),
            "kappa": jnp.asarray(self.losses.kappa)[mask_type],
        }

    def lower(
        self,
        nets: Networks,
        image: Float[Array, "b h w 3"],
        mask: Float[Array, "b h w 1"],
        draws: dict[str, Array],
        step: Int[Array, ""],
        key: PRNGKey,
    ) -> Float[Array, "b H W 3"]:
        """Return the lower level's result on which this step trains, without a gradient."""
        truth = halve(image)
        top = len(self.cascade.levels)
        if top == 1 or self.coarse == "gt":
            return truth
        pick_key, step_key = jax.random.split(key)
        pyramid = build_pyramid(image, mask, top)[:-1]
        rows = self.cascade.rows(nets, draws["category"], jnp.zeros(mask.shape[0]))
        picked = jax.random.bernoulli(pick_key, 0.5, (mask.shape[0], 1, 1, 1))

        def mixed() -> Array:
            return jnp.where(picked, self.cascade.one_step(nets, pyramid, rows, step_key), truth)

        return jax.lax.stop_gradient(jax.lax.cond(step < self.gt_steps, lambda: truth, mixed))

    def terms(self, nets: Networks, example: dict[str, Array]) -> dict[str, Float[Array, " b"]]:
        """Return the four unweighted losses of the top level for each example.

        ``example`` holds ``image`` and ``mask`` at the top level, ``lower`` and what :meth:`draw`
        returned.
        """
        cascade, level = self.cascade, self.cascade.levels[-1]
        x, m = example["image"], example["mask"]
        alpha, sigma = level.schedule(cascade.schedule).alpha_sigma(example["t"])
        x_t = add_noise(x, example["eps"], alpha, sigma)
        rows = cascade.rows(nets, example["category"], example["null"])
        c, condition, aug = None, None, None
        if level.index > 1:
            aug = example["aug"]
            c = cascade.condition(nets, level, example["lower"], x, m, rows)
            condition = cascade.augment(c, x, m, aug, example["aug_eps"])
        prediction = cascade.denoise(nets, level, x_t, x, m, condition, example["t"], aug, rows)
        anchor = cascade.anchor(level, x, m, c)
        prediction = cascade.add_anchor(prediction, level, example["t"], anchor)
        x0_hat, eps_hat = x0_eps_from(prediction, x_t, alpha, sigma, cascade.param)
        return self.losses.terms(
            eps=example["eps"],
            eps_hat=eps_hat,
            x=x,
            x0_hat=x0_hat,
            mask=m,
            lower=example["lower"],
            alpha=alpha,
            sigma=sigma,
            kappa=example["kappa"],
            side=level.side,
        )

    def loss(self, nets: Networks, example: dict[str, Array]) -> tuple[Array, dict[str, Any]]:
        """Return the weighted sum, a mean over examples, and the scalars to log."""
        terms = self.terms(nets, example)
        total = self.losses.total(terms, self.cascade.levels[-1].consistency).mean()
        return total, {"loss": total, **{name: term.mean() for name, term in terms.items()}}


def count_seen(draws: dict[str, Array]) -> Int[Array, "2"]:
    """Return how many examples of (background, foreground) trained their table in this batch."""
    category, kept = draws["category"], draws["null"] < 0.5
    return jnp.stack([(kept & (category == c)).sum() for c in (BACKGROUND, FOREGROUND)])
