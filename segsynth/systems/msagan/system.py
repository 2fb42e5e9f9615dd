"""Face attribute editing with guide masks (Yang, Han, Moon, JKSCI 25(5) 2020; docs/msagan.md).

An editor draws an attribute image and a mask, and only under the mask does the face change. It
plays against a critic that also tells the attribute; a mask loss pulls the mask over a guide that
is made from the parts of the face. The form of the game and the layers are those of the published
spatial-attention GAN (github.com/elvisyjlin/SpatialAttentionGAN).

A step is ``n_critic`` updates of the critic and one of the editor, each on a batch of its own: what
a step gets as its batch holds ``n_critic + 1`` of them. ``step`` counts updates of the editor.

Batches hold ``image`` uint8 (b, h, w, 3), ``attributes`` int32 (b, n), ``guide`` uint8 (b, h, w, 1)
of the attribute that is edited, of several ``attribute`` int32 (b,), the place of that one, and,
with ``truth``, ``counterfactual`` uint8 (b, h, w, 3), the face as it truly looks with the other
value. Judges, classifiers that other phases trained, serve evaluation only.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import clu.metrics
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from segsynth.engine.optimizers import update_ema
from segsynth.errors import UserError
from segsynth.losses.masks import MaskLoss
from segsynth.networks.attribute_discriminator import AttributeDiscriminator
from segsynth.networks.editing import EditingNetwork, blend
from segsynth.networks.planes import to_bytes, to_unit
from segsynth.pretrained.attribute_classifier import AttributeClassifier
from segsynth.settings import configure, unknown
from segsynth.system import CompiledPredict, FrozenSpec, TrainState
from segsynth.systems.msagan import evaluation, photos, tables
from segsynth.systems.msagan.training import (
    Edit,
    Form,
    Game,
    Groups,
    Weights,
    adams,
    faces_of,
    parts_of,
    told,
)
from segsynth.types import Array, Batch, Frozen, PRNGKey, Scalars, Variables


@dataclasses.dataclass(frozen=True, kw_only=True)
class MSaGAN:
    """An editor of one or several attributes, one at a time, for pictures of ``resolution`` px."""

    game: Game
    judges: tuple[tuple[str, AttributeClassifier], ...]
    attributes: tuple[str, ...]
    resolution: int
    n_critic: int = 3
    ema: float = 0.999
    floor: float = 0.02
    truth: bool = False

    outputs = ("image", "attention", "attribute_image")
    on_host = False

    @classmethod
    def from_config(
        cls,
        *,
        attributes: tuple[str, ...] = ("Mouth_Slightly_Open",),
        exclusive: tuple[tuple[str, ...], ...] = (),
        resolution: int = 128,
        editor: Mapping[str, Any] | None = None,
        critic: Mapping[str, Any] | None = None,
        mask: Mapping[str, Any] | None = None,
        loss: Mapping[str, Any] | None = None,
        adversarial: Form = "wgan",
        optimizer: Mapping[str, Any] | None = None,
        n_critic: int = 3,
        ema: float = 0.999,
        floor: float = 0.02,
        truth: bool = False,
        judges: Mapping[str, Mapping[str, Any]] | None = None,
        dtype: Literal["float32", "bfloat16"] = "float32",
    ) -> "MSaGAN":
        """Build from the keys of a config's ``system`` section.

        ``attributes``: what can be edited; ``exclusive``: groups of them of which a face has one at
        most, so that setting one takes the others away. ``editor``: keys of
        `segsynth.networks.editing.EditingNetwork`; ``critic``: of
        `segsynth.networks.attribute_discriminator.AttributeDiscriminator`; ``mask``: of
        `segsynth.losses.masks.MaskLoss`; ``loss``: of `Weights`; ``optimizer``: of `adams`.
        ``n_critic``: updates of the critic to one of the editor; ``train.global_batch`` must be a
        multiple of one more. ``ema``: decay of the editor's moving average, 0 = none. ``floor``:
        below it a mask counts as 0 when faces are edited, so that their bytes stay. ``truth``:
        evaluate against the true edits too, which only procedural faces have. ``judges``: for each
        classifier by its name, the first one first, keys of
        `segsynth.pretrained.attribute_classifier.AttributeClassifier`. ``dtype``: of the editor's
        convolutions.
        """
        _check(attributes, resolution, n_critic, floor)
        _check_mask(attributes, editor or {})
        classes = {"attributes": len(attributes)}
        rates = {**(optimizer or {}), "n_critic": n_critic}
        editor_tx, critic_tx = configure(adams, rates, "system.optimizer")
        game = Game(
            editor=configure(EditingNetwork, {**(editor or {}), "dtype": dtype}, "system.editor"),
            critic=configure(
                AttributeDiscriminator, {**(critic or {}), **classes}, "system.critic"
            ),
            weights=configure(Weights, loss or {}, "system.loss"),
            mask_loss=configure(MaskLoss, mask or {}, "system.mask"),
            form=adversarial,
            exclusive=_places(attributes, exclusive),
            editor_tx=editor_tx,
            critic_tx=critic_tx,
        )
        known = {"judge": {}} if judges is None else judges
        if not known:
            raise UserError("system.judges is empty; name the classifier that judges edits")
        return cls(
            game=game,
            judges=tuple(
                (name, _judge({**known[name], **classes, "resolution": resolution}, name))
                for name in known
            ),
            attributes=tuple(attributes),
            resolution=resolution,
            n_critic=n_critic,
            ema=ema,
            floor=floor,
            truth=truth,
        )

    @property
    def inputs(self) -> tuple[str, ...]:
        """The face, what it is to have, and by how much; of several attributes, which one."""
        asked = ("image", "value", "strength")
        return (*asked, "attribute") if len(self.attributes) > 1 else asked

    @property
    def optional(self) -> tuple[str, ...]:
        """Landmarks, by which a face is aligned; and the name of the attribute if there is one."""
        return ("landmarks",) if len(self.attributes) > 1 else ("attribute", "landmarks")

    @property
    def choices(self) -> Mapping[str, tuple[str, ...]]:
        """What can be edited."""
        return {"attribute": self.attributes}

    @property
    def targets(self) -> tuple[str, ...]:
        """The attribute's value, its guide and, with ``truth``, the true edit."""
        known = ("attributes", "guide")
        return (*known, "counterfactual") if self.truth else known

    @property
    def pictures(self) -> tuple[str, ...]:
        """From the face to its edit, and the true edit."""
        drawn = ("input", "mask", "attribute_image", "edit")
        return (*drawn, "truth") if self.truth else drawn

    @property
    def frozen(self) -> Mapping[str, FrozenSpec]:
        """The judges."""
        return {
            name: FrozenSpec(judge.init, "judges edits", predicts=False)
            for name, judge in self.judges
        }

    def init(self, key: PRNGKey) -> TrainState:
        """Return the state at step 0."""
        keys = jax.random.split(key)
        image = jnp.zeros((1, self.resolution, self.resolution, 3))
        editor = dict(self.game.editor.init(keys[0], image, jnp.zeros((1, len(self.attributes)))))
        critic = self.game.critic.init(keys[1], image)
        params = {"editor": editor.pop("params"), "critic": critic["params"]}
        return TrainState.create(
            params=params,
            opt_state={
                "editor": self.game.editor_tx.init(params["editor"]),
                "critic": self.game.critic_tx.init(params["critic"]),
            },
            ema={"editor": jax.tree.map(jnp.copy, params["editor"])} if self.ema else {},
            model_state={"editor": editor} if editor else {},
        )

    def train_step(
        self, state: TrainState, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> tuple[TrainState, Scalars]:
        """``n_critic`` updates of the critic, then one of the editor, each on its own part of the
        batch.

        Part i is every (n_critic + 1)-th example from i on. The updates are written out one after
        the other: inside a loop XLA would run convolution gradients on one slow thread of a CPU.
        """
        several = ("attribute",) if len(self.attributes) > 1 else ()
        folded = parts_of(batch, ("image", "attributes", "guide", *several), self.n_critic + 1)
        *parts, last = [faces_of(part, len(self.attributes)) for part in folded]
        params, opt = dict(state.params), dict(state.opt_state)
        moved, scalars = state.model_state.get("editor", {}), {}
        for i, faces in enumerate(parts):
            params["critic"], opt["critic"], moved, scalars = self.game.critic_update(
                params, opt, moved, faces, jax.random.fold_in(key, i)
            )
        params["editor"], opt["editor"], moved, terms = self.game.editor_update(
            params, opt, moved, last
        )
        ema = state.ema
        if self.ema:
            ema = update_ema(ema, {"editor": params["editor"]}, state.step, self.ema)
        state = TrainState(
            step=state.step + 1,
            params=params,
            model_state={"editor": moved} if moved else {},
            ema=ema,
            opt_state=opt,
        )
        return state, {**terms, **scalars}

    def predict(
        self, variables: Variables, frozen: Frozen, inputs: Batch, key: PRNGKey
    ) -> dict[str, Array]:
        """Set the attribute, or that of number ``attribute``, to ``value``, 0 or 1, by
        ``strength`` from 0 to 1.

        Returns ``image`` uint8, whose bytes are the input's wherever the mask is 0; ``attention``
        uint8 (b, h, w, 1), the mask times ``strength``, 255 = all of the attribute image; and
        ``attribute_image`` uint8. ``key`` decides nothing.
        """
        image, value = to_unit(inputs["image"]), inputs["value"].astype(jnp.float32)
        which = inputs.get("attribute", jnp.zeros(len(image), jnp.int32))
        edit = self._edit(variables, image, told(value, which, len(self.attributes)))
        mask = edit.mask * inputs["strength"].astype(jnp.float32)[:, None, None, None]
        edited = to_bytes(blend(image, edit.attribute_image, mask))
        return {
            "image": jnp.where(mask > 0, edited, inputs["image"]),
            "attention": jnp.round(255.0 * mask).astype(jnp.uint8),
            "attribute_image": to_bytes(edit.attribute_image),
        }

    def eval_step(
        self, variables: Variables, frozen: Frozen, batch: Batch, key: PRNGKey
    ) -> tuple[clu.metrics.Collection, dict[str, Array]]:
        """Edit each face to the other value and score it, on the examples with ``valid`` = 1; see
        `segsynth.systems.msagan.evaluation.edit_scores`.

        Pictures are not rounded to bytes before they are judged.
        """
        given = faces_of(batch, len(self.attributes))
        edit = self._edit(variables, given.image, given.told(1.0 - given.value))
        same = self._edit(variables, given.image, given.told(given.value))
        faces = evaluation.Faces(
            image=given.image,
            target=1.0 - given.value,
            guide=given.guide,
            valid=batch["valid"],
            truth=to_unit(batch["counterfactual"]) if self.truth else None,
        )

        def seen(judge: AttributeClassifier, known: Any, pictures: Array) -> Array:
            return jnp.take_along_axis(judge.logits(known, pictures), given.which[:, None], axis=1)

        judges = {name: functools.partial(seen, judge, frozen[name]) for name, judge in self.judges}
        masks = {"edit": edit.mask, "same": same.mask}
        scores = evaluation.edit_scores(faces, edit.image, masks, judges)
        if len(self.attributes) > 1:
            known = (self.attributes, given.which)
            scores |= evaluation.each(*known, faces, edit.image, edit.mask, judges)
        drawn = {
            "input": batch["image"],
            "mask": jnp.repeat(jnp.round(255.0 * edit.mask).astype(jnp.uint8), 3, axis=-1),
            "attribute_image": to_bytes(edit.attribute_image),
            "edit": to_bytes(edit.image),
        }
        if self.truth:
            drawn["truth"] = batch["counterfactual"]
        return clu.metrics.Collection.create_collection(**scores), drawn

    def remarks(
        self, variables: Variables, frozen: Frozen, inputs: Mapping[str, np.ndarray]
    ) -> tuple[str, ...]:
        """Say what part of the picture is edited, if not all of it, and if it is enlarged."""
        return photos.remarks(inputs, self.resolution)

    def synthesize(
        self, predict: CompiledPredict, inputs: Mapping[str, np.ndarray], key: PRNGKey
    ) -> dict[str, np.ndarray]:
        """Edit one picture of any size; see `segsynth.systems.msagan.photos`."""
        return photos.synthesize(self, predict, inputs, key, self.resolution)

    def report(self, metrics: Mapping[str, float]) -> str:
        """Return the table of an evaluation."""
        return evaluation.report(metrics, self.attributes if len(self.attributes) > 1 else ())

    def tables(self, tries: Mapping[str, Sequence[Any]], min_updates: int) -> str:
        """Return the paper's figures beside ours, with and without what collapsed."""
        return tables.report(tables.cells_of(tries), min_updates)

    def _edit(
        self, variables: Variables, image: Float[Array, "b h w 3"], label: Float[Array, "b n"]
    ) -> Edit:
        """Edit with the averaged parameters; a mask below the floor is 0."""
        moved = variables["model_state"].get("editor", {})
        edit = self.game.edit(variables["params"]["editor"], moved, image, label)
        mask = jnp.where(edit.mask < self.floor, 0.0, edit.mask)
        return edit._replace(mask=mask, image=blend(image, edit.attribute_image, mask))


def _judge(section: Mapping[str, Any], name: str) -> AttributeClassifier:
    return configure(AttributeClassifier, section, f"system.judges.{name}")


def _places(known: tuple[str, ...], groups: tuple[tuple[str, ...], ...]) -> Groups:
    for name in (name for group in groups for name in group):
        if name not in known:
            raise UserError(unknown(name, known, "system.exclusive: system.attributes"))
    return tuple(tuple(known.index(name) for name in group) for group in groups)


def _check(attributes: tuple[str, ...], resolution: int, n_critic: int, floor: float) -> None:
    if not attributes:
        raise UserError("system.attributes is empty; name what is edited")
    # Evaluation compares windows of 11 px.
    if resolution < 16 or resolution & (resolution - 1):
        raise UserError(f"system.resolution is {resolution}; expected a power of two >= 16")
    if n_critic < 0:
        raise UserError(f"system.n_critic is {n_critic}; expected 0 or more updates of the critic")
    if not 0 <= floor < 1:
        raise UserError(f"system.floor is {floor}; expected a mask value in [0, 1)")


def _check_mask(attributes: tuple[str, ...], editor: Mapping[str, Any]) -> None:
    blind = editor.get("structure") == "E2D2" and not editor.get("mask_sees_attr")
    if len(attributes) > 1 and blind:
        raise UserError(
            f"system.editor.structure is E2D2, whose mask would be the same for all of "
            f"{', '.join(attributes)}; set system.editor.mask_sees_attr, or take E2D1, E1D2 or E1D1"
        )
