"""Names of figures: how they are written as identifiers, and which of them weights must earn.

A collection of metrics keeps its metrics as attributes, and a name such as ``frechet[standin]`` or
``photo/score`` is none; :func:`identifier` and :func:`name_of` translate.
"""

import keyword
import re
from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import clu.metrics

from segsynth.errors import UserError


class Published(NamedTuple):
    """A figure that others have published: whose features it is defined on, its name on others'."""

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
