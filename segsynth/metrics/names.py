"""Names of figures: how they are written as identifiers, and which of them weights must earn.

A collection of metrics keeps its metrics as attributes, and a name such as ``frechet[standin]`` or
``photo/score`` is none; :func:`identifier` and :func:`name_of` translate.
"""

import keyword
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import clu.metrics

from segsynth.errors import UserError


class Published(NamedTuple):
    """A figure that others have published: the network it is defined on, and what it is called on
    any other.
    """

    network: str
    general: str


#: Published name -> what earns it.
PUBLISHED: Mapping[str, Published] = {
    "fid": Published("inception_fid", "frechet"),
    "kid": Published("inception_fid", "kernel"),
    "p_ids": Published("inception_fid", "paired_fooling"),
    "u_ids": Published("inception_fid", "unpaired_fooling"),
    "lpips": Published("lpips_alex", "perceptual"),
    "lpips_vgg": Published("lpips_vgg", "perceptual"),
    "lpips_squeeze": Published("lpips_squeeze", "perceptual"),
    "clip_score": Published("clip_vit_b32", "caption_score"),
    "clip_top_1": Published("clip_vit_b32", "caption_top_1"),
    "clip_class_balanced": Published("clip_vit_b32", "caption_class_balanced"),
    "clip_cosine": Published("clip_vit_b16", "photo_cosine"),
    "clip_retrieval": Published("clip_vit_b16", "retrieval"),
}

#: A single underscore between letters or digits stays, but where it would read as an escape.
_PLAIN = re.compile(r"(?<=[A-Za-z0-9])_(?=[A-Za-z0-9])(?!x[0-9a-f]+(?![A-Za-z0-9]))|[A-Za-z0-9]+")
_ESCAPED = re.compile(r"_x([0-9a-f]+)_|__")


@runtime_checkable
class Network(Protocol):
    """What is asked of a network, as `segsynth.pretrained.loading.Loaded` answers it."""

    @property
    def name(self) -> str:
        """In the catalogue."""

    @property
    def standin(self) -> bool:
        """Whether its weights are random."""

    @property
    def published(self) -> bool:
        """Whether its weights are those of the catalogue, by their sha256."""


def figure_name(published: str, network: Network) -> str:
    """Return the name under which a figure may appear that was computed with ``network``.

    ``published``, a key of `PUBLISHED`, needs that very network with its published weights. Else
    it is the general name with a mark: ``frechet[standin]`` for random weights,
    ``frechet[unlisted]`` for weights that the catalogue does not know, ``frechet[resnet50]`` for
    the published weights of another network.
    """
    needed, general = PUBLISHED[published]
    if network.standin:
        return f"{general}[standin]"
    if not network.published:
        return f"{general}[unlisted]"
    return published if network.name == needed else f"{general}[{network.name}]"


def figure_of(general: str, published: str, network: Network) -> str:
    """Return `figure_name`, of a metric that is called ``general`` on any network.

    Raises:
        UserError: ``published`` is no name of this metric.

    """
    known = [name for name, row in PUBLISHED.items() if row.general == general]
    if published not in known:
        raise UserError(f"'{published}' is no {general} figure; expected {' or '.join(known)}")
    return figure_name(published, network)


def marked(names: Iterable[str], mark: str) -> list[str]:
    """Return the figures with ``[mark]`` among names of rows and parts of figures, sorted."""
    found = (re.findall(rf"[^/]*\[{re.escape(mark)}\]", name) for name in names)
    return sorted({figure for figures in found for figure in figures})


def collected(figures: Mapping[str, clu.metrics.Metric]) -> dict[str, clu.metrics.Metric]:
    """Return metrics by the `identifier` of their names, as a collection takes them."""
    return {identifier(name): metric for name, metric in figures.items()}


def identifier(name: str) -> str:
    """Return a Python identifier that a ``clu.metrics.Collection`` takes, and no two names share.

    ``/`` becomes ``__``; any other character that is no ASCII letter, digit or single underscore
    between two of them ``_x<its number, hexadecimal>_``. The first character, too, where the name
    would else be a keyword, begin with a digit or be an attribute of collections.

    Raises:
        UserError: an empty name.

    """
    if not name:
        raise UserError("a metric has an empty name; give it one")
    found, end = [], 0
    for match in _PLAIN.finditer(name):
        found += [*map(_escape, name[end : match.start()]), match.group()]
        end = match.end()
    key = "".join([*found, *map(_escape, name[end:])])
    taken = keyword.iskeyword(key) or hasattr(clu.metrics.Collection, key)
    if taken or not key.isidentifier():
        return f"_x{ord(key[0]):x}_{key[1:]}"
    return key


def _escape(character: str) -> str:
    return "__" if character == "/" else f"_x{ord(character):x}_"


def name_of(key: str) -> str:
    """Return the name whose `identifier` is ``key``."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)) if found[1] else "/", key)
