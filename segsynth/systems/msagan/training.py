"""The two players of an editing network: what each minimises, and one update of each."""

import dataclasses
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, Int

from segsynth.errors import UserError
from segsynth.losses import adversarial
from segsynth.losses.masks import MaskLoss
from segsynth.networks.attribute_discriminator import AttributeDiscriminator
from segsynth.networks.editing import EditingNetwork, blend
from segsynth.networks.planes import to_unit
from segsynth.types import Array, Batch, PRNGKey, Scalars

Form = Literal["wgan", "hinge", "lsgan"]
#: Places of attributes of which a face has one at most, as the colours of hair.
Groups = tuple[tuple[int, ...], ...]
Image = Float[Array, "b h w 3"]
Label = Float[Array, "b n"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weights:
    """Weights of the losses besides the adversarial one (eqs. 6 and 7 and the published code).

    ``classes``: the attribute of the edit, for the editor, and of real faces, for the critic; of
    several, their sum, so that the edited one weighs as much as if it were alone.
    ``cycle``: L1 of edit and edit back. ``same``: L1 of the edit that keeps the attribute.
    ``penalty``: of the critic's gradient; the mask's own weights are those of `MaskLoss`.
    ``smoothing``: what the critic is told of real faces lies so much inside 0 and 1. Logits of real
    faces are then bounded, and an edit convinces only where it is as strong as they are; without
    it, as published, they grow until half of an edit is enough.
    """

    classes: float = 1.0
    cycle: float = 20.0
    same: float = 100.0
    penalty: float = 10.0
    smoothing: float = 0.0


class Edit(NamedTuple):
    """An edited face, its attribute image and its mask, and batch statistics after it."""

    image: Float[Array, "b h w 3"]
    attribute_image: Float[Array, "b h w 3"]
    mask: Float[Array, "b h w 1"]
    state: Any


class Faces(NamedTuple):
    """A batch as networks take it: pictures in [-1, 1], attributes and guides in [0, 1].

    ``which``: the attribute that is edited, by its place; ``guide`` is that one's.
    """

    image: Float[Array, "b h w 3"]
    label: Float[Array, "b n"]
    guide: Float[Array, "b h w 1"]
    which: Int[Array, " b"]

    @property
    def value(self) -> Float[Array, " b"]:
        """The edited attribute, 0 or 1."""
        return jnp.take_along_axis(self.label, self.which[:, None], axis=1)[:, 0]

    def target(self, groups: Groups = ()) -> Float[Array, "b n"]:
        """Return all attributes after the edit: what excludes one that is set is taken away."""
        count = self.label.shape[-1]
        chosen = jax.nn.one_hot(self.which, count)
        rivals = np.zeros((count, count), np.float32)
        for group in groups:
            rivals[np.ix_(group, group)] = 1.0
        np.fill_diagonal(rivals, 0.0)
        gone = (1.0 - self.value)[:, None] * (chosen @ rivals)
        return jnp.where(chosen > 0, 1.0 - self.label, self.label * (gone == 0))

    def told(self, value: Float[Array, " b"]) -> Float[Array, "b n"]:
        """Return what sets the edited attribute to ``value``; see `told`."""
        return told(value, self.which, self.label.shape[-1])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Game:
    """The editor against the critic."""

    editor: EditingNetwork
    critic: AttributeDiscriminator
    weights: Weights
    mask_loss: MaskLoss
    form: Form
    exclusive: Groups = ()
    editor_tx: optax.GradientTransformation
    critic_tx: optax.GradientTransformation

    def edit(
        self, params: Any, state: Any, image: Image, label: Label, train: bool = False
    ) -> Edit:
        """Set the attribute to ``label``."""
        variables = {"params": params, **state}
        if train and state:
            (drawn, mask), state = self.editor.apply(
                variables, image, label, True, mutable=["batch_stats"]
            )
        else:
            drawn, mask = self.editor.apply(variables, image, label)
        return Edit(blend(image, drawn, mask), drawn, mask, state)

    def critic_terms(self, params: Any, faces: Faces, fake: Image, share: Array) -> Scalars:
        """Return ``critic``, the sum that the critic minimises, and its parts (eq. 7).

        ``share``: of the fakes in the pictures between where the gradient is penalised, (b,).
        """

        def source(images: Array) -> Array:
            return self.critic.apply({"params": params}, images)[0]

        both = jnp.concatenate([jax.lax.stop_gradient(fake), faces.image])
        answer, logits = self.critic.apply({"params": params}, both)
        half = len(fake)
        play = _CRITIC[self.form]([answer[half:]], [answer[:half]])
        inside = self.weights.smoothing
        told = inside + (1.0 - 2.0 * inside) * faces.label
        classes = _entropy(logits[half:], told)
        total = play + self.weights.classes * classes
        terms = {"critic_play": play, "critic_classes": classes}
        if self.weights.penalty:
            penalty = adversarial.gradient_penalty(source, faces.image, fake, share)
            total += self.weights.penalty * penalty
            terms["critic_penalty"] = penalty
        return {"critic": total, **terms}

    def editor_terms(
        self, params: Any, state: Any, critic: Any, faces: Faces
    ) -> tuple[Scalars, Any]:
        """Return ``loss``, the sum that the editor minimises, its parts (eq. 6), and batch
        statistics.

        The guide is that of the first picture for all three edits.
        """
        image, guide = faces.image, faces.guide
        there, here = faces.told(1.0 - faces.value), faces.told(faces.value)
        edit = self.edit(params, state, image, there, train=True)
        same = self.edit(params, edit.state, image, here, train=True)
        back = self.edit(params, same.state, edit.image, here, train=True)
        answer, logits = self.critic.apply({"params": critic}, edit.image)
        masks = {"edit": edit.mask, "same": same.mask, "cycle": back.mask}
        terms = {
            "adversarial": _EDITOR[self.form]([answer]),
            "classes": _entropy(logits, faces.target(self.exclusive)),
            "cycle": jnp.abs(back.image - image).mean(),
            "same": jnp.abs(same.image - image).mean(),
            "mask": self.mask_loss(masks, guide),
        }
        weights = {**dataclasses.asdict(self.weights), "adversarial": 1.0, "mask": 1.0}
        total = sum((weights[name] * term for name, term in terms.items()), start=jnp.zeros(()))
        area = jnp.maximum(guide.sum(), 1.0)
        seen = {f"coverage_{key}": (masks[key] * guide).sum() / area for key in ("edit", "same")}
        return {"loss": total, **terms, **seen}, back.state

    def critic_update(
        self, params: dict, opt: dict, state: Any, faces: Faces, key: PRNGKey
    ) -> tuple[Any, Any, Any, Scalars]:
        """One Adam step of the critic: its parameters, its optimizer's state, the editor's batch
        statistics, and scalars.
        """
        wanted = faces.told(1.0 - faces.value)
        edit = self.edit(params["editor"], state, faces.image, wanted, train=True)
        share = jax.random.uniform(key, (len(faces.image),))

        def loss(mine: Any) -> tuple[Array, Scalars]:
            terms = self.critic_terms(mine, faces, edit.image, share)
            return terms["critic"], terms

        gradient, terms = jax.grad(loss, has_aux=True)(params["critic"])
        updates, after = self.critic_tx.update(gradient, opt["critic"])
        return optax.apply_updates(params["critic"], updates), after, edit.state, terms

    def editor_update(
        self, params: dict, opt: dict, state: Any, faces: Faces
    ) -> tuple[Any, Any, Any, Scalars]:
        """One Adam step of the editor; returns what `critic_update` does."""

        def loss(mine: Any) -> tuple[Array, tuple[Scalars, Any]]:
            terms, after = self.editor_terms(mine, state, params["critic"], faces)
            return terms["loss"], (terms, after)

        gradient, (terms, state) = jax.grad(loss, has_aux=True)(params["editor"])
        updates, after = self.editor_tx.update(gradient, opt["editor"])
        return optax.apply_updates(params["editor"], updates), after, state, terms


def told(value: Float[Array, " b"], which: Int[Array, " b"], count: int) -> Float[Array, "b n"]:
    """Return what an editor is told in order to set one attribute to ``value``, 0 or 1.

    The value, as published, if there is one attribute. Of several, 1 or -1 for the one of place
    ``which`` and 0 for the others, which it is to leave alone and need not know.
    """
    if count == 1:
        return value[:, None]
    return (2.0 * value - 1.0)[:, None] * jax.nn.one_hot(which, count)


def faces_of(batch: Batch, count: int = 1) -> Faces:
    """Bring a batch into the networks' range.

    Raises :class:`UserError` where faces have other than the ``count`` attributes that are edited.
    """
    label = batch["attributes"]
    if label.shape[-1] != count:
        raise UserError(
            f"examples have {label.shape[-1]} attributes and {count} can be edited; set "
            "data.options.attributes to system.attributes"
        )
    guide = batch["guide"].astype(jnp.float32) / 255.0
    which = batch["attribute"] if count > 1 else jnp.zeros(len(label), jnp.int32)
    return Faces(to_unit(batch["image"]), label.astype(jnp.float32), guide, which)


def parts_of(batch: Batch, names: tuple[str, ...], count: int) -> list[Batch]:
    """Split a batch into ``count`` of equal size.

    Part i takes every ``count``-th example: examples that lie on one device stay there, and every
    device has some of each part.

    Raises :class:`UserError` where that leaves a rest.
    """
    size = len(batch[names[0]])
    if size % count:
        raise UserError(
            f"train.global_batch is {size}; expected a multiple of system.n_critic + 1 = {count}, "
            "the batches of one step"
        )
    folded = {name: batch[name].reshape(-1, count, *batch[name].shape[1:]) for name in names}
    return [{name: x[:, i] for name, x in folded.items()} for i in range(count)]


def adams(
    *,
    lr: float = 2e-4,
    betas: tuple[float, float] = (0.5, 0.999),
    eps: float = 1e-8,
    constant_steps: int = 0,
    decay_steps: int = 0,
    n_critic: int = 3,
) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
    """Return Adam of the editor and of the critic, which takes ``n_critic`` steps to its one.

    After ``constant_steps`` steps of the editor both rates fall linearly to 0 over ``decay_steps``,
    if that is not 0.
    """
    chains = []
    for times in (1, max(1, n_critic)):
        schedule = optax.constant_schedule(lr)
        if decay_steps:
            schedule = optax.linear_schedule(lr, 0.0, times * decay_steps, times * constant_steps)
        chains.append(optax.adam(schedule, b1=betas[0], b2=betas[1], eps=eps))
    return chains[0], chains[1]


def _entropy(logits: Float[Array, "b n"], wanted: Float[Array, "b n"]) -> Float[Array, ""]:
    """Binary cross-entropy, summed over attributes, its mean over faces."""
    return optax.sigmoid_binary_cross_entropy(logits, wanted).sum(axis=-1).mean()


_CRITIC = {
    "wgan": adversarial.wasserstein_discriminator,
    "hinge": adversarial.hinge_discriminator,
    "lsgan": adversarial.least_squares_discriminator,
}
_EDITOR = {
    "wgan": adversarial.hinge_generator,  # -D(fake) in either
    "hinge": adversarial.hinge_generator,
    "lsgan": adversarial.least_squares_generator,
}
