"""CLIP's byte-pair encoding: from a caption to 77 numbers (github.com/openai/CLIP).

A caption is cleaned and lowercased, split into words, and each word's UTF-8 bytes are merged pair
by pair in the order of the published merges. The original cleans with the package ftfy, which also
repairs text that was decoded with the wrong encoding; here HTML entities are resolved, curled
quotes made straight and characters composed (NFC), and mojibake stays as it is.
"""

import dataclasses
import functools
import gzip
import hashlib
import html
import itertools
import os
import pathlib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Int32

from segsynth.errors import UserError

#: Name and hash of the published merges.
MERGES = "bpe_simple_vocab_16e6.txt.gz"
MERGES_SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
CONTEXT = 77
_COUNT = 49152 - 256 - 2
_VOCABULARY = 49408
_START, _END = "<|startoftext|>", "<|endoftext|>"
_WORD_END = "</w>"
_CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
_QUOTES = str.maketrans(
    dict.fromkeys("\u02bc\u2018\u2019\u201a\u201b", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f", '"')
)


@dataclasses.dataclass(frozen=True)
class ClipTokenizer:
    """Numbers for captions. Made by `load_tokenizer`.

    Attributes:
        numbers: symbol -> its number.
        ranks: pair of symbols -> how early it is merged.

    """

    numbers: Mapping[str, int]
    ranks: Mapping[tuple[str, str], int]

    def __call__(
        self, captions: Sequence[str], context: int = CONTEXT, truncate: bool = False
    ) -> Int32[np.ndarray, "n {context}"]:
        """Return rows of start, tokens, end, zeros.

        Raises:
            UserError: a caption of more than ``context`` - 2 tokens, unless ``truncate``, which
                drops what is too much before the end.

        """
        rows = np.zeros((len(captions), context), np.int32)
        for row, caption in zip(rows, captions, strict=True):
            tokens = self.encode(caption)
            if len(tokens) > context - 2 and not truncate:
                raise UserError(
                    f"caption {caption[:40]!r} has {len(tokens)} tokens, expected at most "
                    f"{context - 2}; shorten it or truncate"
                )
            tokens = [self.numbers[_START], *tokens[: context - 2], self.numbers[_END]]
            row[: len(tokens)] = tokens
        return rows

    def encode(self, caption: str) -> list[int]:
        """Return the numbers of a caption, without start and end."""
        return [self.numbers[s] for word in words(clean(caption)) for s in self._symbols(word)]

    def _symbols(self, word: str) -> list[str]:
        if word in (_START, _END):
            return [word]
        symbols = [_byte_symbols()[byte] for byte in word.encode()]
        symbols[-1] += _WORD_END
        while len(symbols) > 1:
            pair = min(itertools.pairwise(symbols), key=lambda p: self.ranks.get(p, np.inf))
            if pair not in self.ranks:
                break
            symbols = _merged(symbols, pair)
        return symbols


def load_tokenizer(path: str | os.PathLike | None = None) -> ClipTokenizer:
    """Read the published merges.

    Args:
        path: of the file; without it, ``bpe_simple_vocab_16e6.txt.gz`` in the folder that the
            environment variable SEGSYNTH_WEIGHTS names.

    Raises:
        UserError: no such file, or one whose sha256 is not that of the published one.

    """
    if path is None:
        path = pathlib.Path(os.environ.get("SEGSYNTH_WEIGHTS", "")) / MERGES
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(
            f"no file {path}, expected the merges of CLIP; get {MERGES} from "
            "github.com/openai/CLIP (folder clip) into the folder SEGSYNTH_WEIGHTS"
        )
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != MERGES_SHA256:
        raise UserError(
            f"{path} has sha256 {found[:16]}..., expected {MERGES_SHA256[:16]}...; get it again"
        )
    return _tokenizer(gzip.decompress(data).decode())


def standin_tokenizer() -> ClipTokenizer:
    """Return a tokenizer without merges, one number for each byte, for a stand-in of the network.

    Numbers of bytes, start and end are the published ones.
    """
    return _with_merges([])


def _tokenizer(text: str) -> ClipTokenizer:
    # The first line is a comment; the file holds more merges than the published network knows.
    return _with_merges([tuple(line.split()) for line in text.split("\n")[1 : 1 + _COUNT]])


def _with_merges(merges: Sequence[tuple[str, str]]) -> ClipTokenizer:
    single = list(_byte_symbols().values())
    symbols = [*single, *(s + _WORD_END for s in single), *map("".join, merges)]
    numbers = {symbol: number for number, symbol in enumerate(symbols)}
    numbers |= {_START: _VOCABULARY - 2, _END: _VOCABULARY - 1}
    return ClipTokenizer(numbers, {pair: rank for rank, pair in enumerate(merges)})


def _merged(symbols: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for symbol in symbols:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged


@functools.cache
def _byte_symbols() -> dict[int, str]:
    """Return a visible character for each byte: itself where it is one, else one from U+0100 on.

    The order is that of the numbers: visible ones first.
    """
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    shifted = {byte: chr(256 + i) for i, byte in enumerate(hidden)}
    return {byte: chr(byte) for byte in visible} | shifted


def clean(caption: str) -> str:
    """Return a caption in lower case, with single spaces, composed, without HTML entities."""
    caption = html.unescape(html.unescape(caption)).translate(_QUOTES)
    return " ".join(unicodedata.normalize("NFC", caption).split()).lower()


def words(text: str) -> Iterator[str]:
    """Yield the pieces that are encoded apart: words, digits, runs of other signs, contractions."""
    position = 0
    while position < len(text):
        length = _length(text, position)
        if not text[position].isspace():
            yield text[position : position + length]
        position += length


def _length(text: str, start: int) -> int:
    for literal in (_START, _END, *_CONTRACTIONS):
        if text.startswith(literal, start):
            return len(literal)
    kind = _kind(text[start])
    if kind in ("number", "space"):
        return 1
    end = start + 1
    while end < len(text) and _kind(text[end]) == kind:
        end += 1
    return end - start


def _kind(character: str) -> str:
    if character.isspace():
        return "space"
    return {"L": "letter", "N": "number"}.get(unicodedata.category(character)[0], "other")
