"""CLIP score of drawings: the probability that CLIP gives to what the photo shows, with controls.

``mean_i softmax_c(100 cos(picture_i, caption_c))[label_i]``, the reading of Choi and Lee (2023)
that can be computed: they do not state classes or captions, so no number here is theirs. A bare
mean says little, as answering with the commonest class always scores its share of the data set.
`ControlledClipScore` therefore also takes the photos and a blank page, and adds what shuffled
labels and the commonest class would score.

Features come from any CLIP; the encoder that a loss was trained with flatters its own drawings.
"""

from collections.abc import Mapping
from typing import Any

import clu.metrics
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Float, Integer

from segsynth.metrics.names import Network, collected, figure_name
from segsynth.metrics.segmentation import Entry
from segsynth.types import Array

#: Subject of a photo of MIT-Adobe FiveK -> its words in a caption; "unknown" is left out.
FIVEK_SUBJECTS = {
    "man_made": "man-made objects",
    "people": "people",
    "nature": "nature",
    "animals": "animals",
    "abstract": "abstract shapes",
}
#: What captions begin with.
PROMPT = "a line drawing of"
#: The published temperature of CLIP.
SCALE = 100.0
#: What is computed, and prefixes of whose: the drawings themselves, then their controls.
COLUMNS = ("score", "top_1", "class_balanced")
ROWS = ("", "photo/", "blank_page/", "shuffled_labels/", "majority_prior/")


def captions(subjects: Mapping[str, str], kind: str = PROMPT) -> list[str]:
    """Return a caption for each subject, in order; ``kind="a photo of"`` is the other usual one."""
    return [f"{kind} {words}" for words in subjects.values()]


def caption_probabilities(
    pictures: Float[Array, "b f"], words: Float[Array, "c f"], scale: float = SCALE
) -> Float[Array, "b c"]:
    """Probability of each caption for each picture; features need not be of unit length."""
    return jax.nn.softmax(scale * _unit(pictures) @ _unit(words).T, axis=-1)


def _unit(x: Float[Array, "*b f"]) -> Float[Array, "*b f"]:
    x = x.astype(jnp.float32)
    return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


@flax.struct.dataclass
class ClipScore(clu.metrics.Metric):
    """Probabilities and first choices, added up by true class (row) and caption (column).

    ``compute`` gives, for each column of `COLUMNS`, the value, and under ``shuffled_<column>`` the
    value expected if the labels were dealt out at random, under ``majority_<column>`` that of
    always choosing the commonest class; and ``pictures``, how many counted. ``score`` is the mean
    probability of the true caption, ``top_1`` the share of right first choices, ``class_balanced``
    the mean over the classes that occur of the class's score. NaN where no picture counted.
    """

    probability: Float[Array, "c c"]
    choices: Float[Array, "c c"]

    @classmethod
    def empty(cls, classes: int) -> "ClipScore":
        """Return the neutral element of ``merge``."""
        return cls(*(jnp.zeros((classes, classes)) for _ in range(2)))

    @classmethod
    def of(
        cls,
        probabilities: Float[Array, "b c"],
        labels: Integer[Array, " b"],
        valid: Float[Array, " b"],
    ) -> "ClipScore":
        """Take the pictures where ``valid`` is 1 and the label is in 0..c-1."""
        classes = probabilities.shape[1]
        true = jax.nn.one_hot(labels, classes) * (valid > 0)[:, None]
        first = jax.nn.one_hot(probabilities.argmax(axis=-1), classes)
        seen = jnp.where((valid > 0)[:, None], probabilities, 0.0)
        add = lambda x: jnp.einsum("bt,bc->tc", true, x, precision="highest")  # noqa: E731
        return cls(probability=add(seen), choices=add(first))

    def merge(self, other: "ClipScore") -> "ClipScore":
        """Add the sums."""
        return ClipScore(self.probability + other.probability, self.choices + other.choices)

    def compute(self) -> dict[str, Any]:
        """Return the scalars."""
        counts = self.choices.sum(axis=1)
        occurs, total = counts > 0, counts.sum()
        share = counts / total
        balanced = lambda rates: jnp.where(occurs, rates, 0).sum() / occurs.sum()  # noqa: E731
        mean_probability = self.probability.sum(axis=0) / total
        return {
            "score": jnp.trace(self.probability) / total,
            "top_1": jnp.trace(self.choices) / total,
            "class_balanced": balanced(jnp.diagonal(self.probability) / jnp.maximum(counts, 1)),
            "shuffled_score": (share * mean_probability).sum(),
            "shuffled_top_1": (share * self.choices.sum(axis=0) / total).sum(),
            "shuffled_class_balanced": balanced(mean_probability),
            "majority_score": share.max(),
            "majority_top_1": share.max(),
            "majority_class_balanced": 1 / occurs.sum(),
            "pictures": total,
        }


@flax.struct.dataclass
class ControlledClipScore(clu.metrics.Metric):
    """The score of drawings with its controls, all on the same labels; one cannot be had without
    the others.

    ``compute`` gives ``clip_<column>`` of the drawings for each of `COLUMNS`, and the same as
    ``<row>/clip_<column>`` for the rows ``photo`` (the ceiling), ``blank_page``,
    ``shuffled_labels`` (of the drawings, in expectation) and ``majority_prior``.
    """

    drawing: ClipScore
    photo: ClipScore
    blank_page: ClipScore

    @classmethod
    def of(
        cls,
        drawing: Float[Array, "b c"],
        photo: Float[Array, "b c"],
        blank_page: Float[Array, " c"],
        labels: Integer[Array, " b"],
        valid: Float[Array, " b"],
    ) -> "ControlledClipScore":
        """Take `caption_probabilities` of drawings, of their photos and of one white page."""
        page = jnp.broadcast_to(blank_page[None], drawing.shape)
        return cls(*(ClipScore.of(p, labels, valid) for p in (drawing, photo, page)))

    def merge(self, other: "ControlledClipScore") -> "ControlledClipScore":
        """Merge each."""
        mine, theirs = vars(self), vars(other)
        return ControlledClipScore(**{name: mine[name].merge(theirs[name]) for name in mine})

    def compute(self) -> dict[str, Any]:
        """Return the scalars."""
        own, photo, page = (s.compute() for s in (self.drawing, self.photo, self.blank_page))
        rows = {"": own, "photo/": photo, "blank_page/": page}
        for row, part in {"shuffled_labels/": "shuffled_", "majority_prior/": "majority_"}.items():
            rows[row] = {column: own[part + column] for column in COLUMNS}
        return {f"{row}clip_{c}": values[c] for row, values in rows.items() for c in COLUMNS}


def clip_scores(network: Network, metric: ControlledClipScore) -> dict[str, clu.metrics.Metric]:
    """Return each number as a metric for a collection, `ROWS` times `COLUMNS` of them.

    They are called ``<row>clip_<column>`` if ``network``, whose features these are, earns it, else
    ``<row>caption_<column>`` with a mark (`segsynth.metrics.names.figure_name`).
    """
    columns = {f"clip_{column}": figure_name(f"clip_{column}", network) for column in COLUMNS}
    return collected(
        {f"{row}{name}": Entry(metric, row + key) for row in ROWS for key, name in columns.items()}
    )
