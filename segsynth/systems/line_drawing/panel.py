"""Who judges drawings in the evaluations of a training, besides the losses.

What a drawing shows by itself and against the label map is always told. ``judged_by`` names what
needs more than that: networks of their own, which no loss looks at, or what is known of
photographs.
"""

import dataclasses
from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from segsynth.errors import UserError
from segsynth.metrics.clip_score import FIVEK_SUBJECTS, PROMPT
from segsynth.networks.segmentation_unet import SegmentationUNet
from segsynth.pretrained.drawing_features import MeaningFeatures, Retriever
from segsynth.pretrained.set_features import SetFeatures
from segsynth.settings import configure
from segsynth.system import FrozenSpec
from segsynth.systems.line_drawing import evaluation
from segsynth.systems.line_drawing.building import Section
from segsynth.systems.line_drawing.networks import Variables
from segsynth.systems.line_drawing.objective import Examples
from segsynth.systems.line_drawing.segmentation import IGNORE
from segsynth.types import PRNGKey

_JUDGED_BY = ("labels", "subject", "style", "retrieval", "outsider")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel:
    """What evaluations ask, beyond the losses.

    Attributes:
        judged_by: "labels" and "subject", which evaluation reads besides what training does;
            "style", a kernel distance from the real drawings; "retrieval", whether photographs are
            found by their drawings; "outsider", how much of the label map a segmenter finds that
            learned from drawings of others.
        subjects: classes of ``subject`` and their words in captions.
        prompt: what captions begin with.
        things: classes of ``labels`` that are objects, to tell kinds of borders.
        style, retriever, outsider: networks of those judges, if they are asked.

    """

    judged_by: tuple[str, ...] = ()
    subjects: tuple[tuple[str, str], ...] = ()
    prompt: str = PROMPT
    things: tuple[int, ...] = ()
    style: SetFeatures | None = None
    retriever: Retriever | None = None
    outsider: SegmentationUNet | None = None

    @classmethod
    def from_config(
        cls,
        *,
        judged_by: tuple[str, ...] = (),
        subjects: tuple[str, ...] | None = None,
        prompt: str = PROMPT,
        things: tuple[int, ...] = (),
        style: Section | None = None,
        retrieval: Section | None = None,
        outsider: Section | None = None,
    ) -> "Panel":
        """Build from keys of a config's ``system`` section.

        ``subjects``: words for the classes of ``subject``; MIT-Adobe FiveK's if None or empty.
        ``prompt``: "a photo of" for another reading of the CLIP score. ``style``: ``network`` of
        the distance, ``capacity``, the most examples of an evaluation, and ``subset``, those of a
        subset; ``retrieval``: ``network`` and ``capacity`` of
        `segsynth.pretrained.drawing_features.Retriever`; ``outsider``: ``classes``, ``width``,
        ``levels`` and ``norm`` of that segmenter, whose numbers are another phase's.

        Raises:
            UserError: an unknown judge, or one without a network.

        """
        if unknown := set(judged_by) - set(_JUDGED_BY):
            raise UserError(
                f"system.judged_by has {min(unknown)!r}; expected of {', '.join(_JUDGED_BY)}"
            )
        words = tuple(zip(subjects, subjects, strict=True)) if subjects else FIVEK_SUBJECTS.items()
        finder = configure(Retriever, retrieval or {}, "system.retrieval")
        stranger = configure(_outsider, outsider or {}, "system.outsider")
        return cls(
            judged_by=tuple(judged_by),
            subjects=tuple(words),
            prompt=prompt,
            things=tuple(things),
            style=_style(style or {}) if "style" in judged_by else None,
            retriever=finder if "retrieval" in judged_by else None,
            outsider=stranger if "outsider" in judged_by else None,
        )

    @property
    def targets(self) -> tuple[str, ...]:
        """What of the photograph must be known."""
        named = {"labels": "labels", "outsider": "labels", "subject": "subject"}
        return tuple({named[name]: 0 for name in self.judged_by if name in named})

    @property
    def label_limit(self) -> int:
        """Labels are 0 .. ``label_limit`` - 1, or 255; borders are told from any."""
        return IGNORE if self.outsider is None else self.outsider.classes

    @property
    def frozen(self) -> dict[str, FrozenSpec]:
        """The judges' networks."""
        specs = {}
        if self.style is not None:
            specs["style"] = FrozenSpec(self.style.init, "compares sets of drawings")
        if self.retriever is not None:
            specs["retrieval"] = FrozenSpec(self.retriever.encode.init, "finds photographs")
        if self.outsider is not None:
            told = "reads labels, and knows drawings of others"
            specs["outsider"] = FrozenSpec(self._init_outsider, told, stored="segmenter")
        return specs

    def values(self, examples: Examples, drawing: Array) -> dict[str, Float[Array, " b"]]:
        """Return what each drawing shows (`evaluation.drawing_values`), and how much ink and grey
        the real ones have.
        """
        given = examples.photo, examples.labels
        found = evaluation.drawing_values(drawing, *given, self.things)
        real = evaluation.drawing_values(examples.drawing, examples.photo, None)
        return found | {f"real_drawings__{name}": real[name] for name in ("ink_ratio", "mid_grey")}

    def scores(
        self,
        meaning: MeaningFeatures | None,
        nets: Variables,
        examples: Examples,
        drawing: Array,
        subject: Int[Array, " b"] | None,
        valid: Float[Array, " b"],
    ) -> evaluation.Metrics:
        """Return what the judges say of a batch; ``meaning``: CLIP, which reads captions."""
        found: evaluation.Metrics = {}
        pair = (drawing, examples.photo)
        if "subject" in self.judged_by:
            words, clip = dict(self.subjects), nets["clip"]
            found |= evaluation.clip_values(meaning, clip, words, pair, subject, valid, self.prompt)
        if self.style is not None:
            both = (examples.drawing, drawing)
            found |= evaluation.style_values(self.style, nets["style"], both, valid)
        if self.retriever is not None:
            found |= evaluation.retrieval_values(self.retriever, nets["retrieval"], pair, valid)
        if self.outsider is not None:
            given = nets["outsider"], drawing, examples.labels, valid
            found |= evaluation.outsider_values(self.outsider, *given)
        return found

    def _init_outsider(self, key: PRNGKey) -> Any:
        return self.outsider.init(key, jnp.zeros((1, 64, 64, 1)))


def _outsider(
    *,
    classes: int = 182,
    width: int = 64,
    levels: int = 4,
    norm: Literal["batch", "group"] = "batch",
) -> SegmentationUNet:
    return SegmentationUNet(classes, width, levels, norm)


def _style(settings: Section) -> SetFeatures:
    made = configure(SetFeatures, {"network": "published", **settings}, "system.style")
    if not made.network:
        raise UserError(
            "system.judged_by names style, and system.style.network is empty; set it to published "
            "or standin, or take style out"
        )
    return made
