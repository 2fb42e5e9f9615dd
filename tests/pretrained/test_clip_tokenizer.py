"""The tokens of captions are those of the published tokenizer."""

import json
import pathlib

import numpy as np
import pytest

from segsynth.errors import UserError
from segsynth.pretrained.clip_tokenizer import (
    MERGES,
    clean,
    load_tokenizer,
    standin_tokenizer,
    words,
)

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden" / "clip_tokens.json").read_text())
#: Hugging Face's tokenizer takes entities and quotes as they are; OpenAI's cleans them.
CLEANED = {
    "Tom &amp; Jerry &amp;amp; Spike": "tom & jerry & spike",
    "man\u2019s \u201cbest\u201d  friend ": 'man\'s "best" friend',
    " A\n\tB ": "a b",
    "e\u0301": "\u00e9",
}


@pytest.fixture(scope="module")
def merges(test_data):
    path = test_data / "weights_small" / "clip_bpe" / MERGES
    if not path.is_file():
        pytest.skip(f"no {MERGES} in the test data")
    return path


@pytest.fixture(scope="module")
def tokenizer(merges):
    return load_tokenizer(merges)


@pytest.mark.parametrize("caption", GOLDEN)
def test_tokens(caption, tokenizer):
    tokens = GOLDEN[caption]
    assert [49406, *tokenizer.encode(caption), 49407] == tokens
    row = tokenizer([caption])[0]
    assert row.shape == (77,) and row.dtype == np.int32
    assert row[: len(tokens)].tolist() == tokens and not row[len(tokens) :].any()


def test_a_published_row(tokenizer):
    # The example of OpenAI's README, as its users print it.
    expected = [49406, 320, 1125, 539, 320, 2368, 49407]
    assert tokenizer(["a photo of a cat"], context=9).tolist() == [[*expected, 0, 0]]
    assert len(tokenizer.numbers) == 49408


@pytest.mark.parametrize("caption", CLEANED)
def test_cleaning(caption):
    assert clean(caption) == CLEANED[caption]


def test_words():
    found = list(words("it's 12 \u00bda_b!!'s <|endoftext|>x"))
    assert found == [
        "it",
        "'s",
        "1",
        "2",
        "\u00bd",
        "a",
        "_",
        "b",
        "!!'",
        "s",
        "<|endoftext|>",
        "x",
    ]


def test_the_standin_spells():
    spelled = standin_tokenizer()(["A cat"], context=8)[0].tolist()
    a, c, t = (ord(letter) - 33 for letter in "act")
    assert spelled == [49406, a + 256, c, a, t + 256, 49407, 0, 0]


def test_long_captions_are_refused_or_cut(tokenizer):
    with pytest.raises(UserError, match=r"'cat cat .* has 80 tokens, expected at most 75"):
        tokenizer(["cat " * 80])
    row = tokenizer(["cat " * 80], truncate=True)[0]
    assert row[0] == 49406 and (row[1:76] == 2368).all() and row[76] == 49407
    assert tokenizer(["cat " * 75])[0, 75] == 2368


def test_the_file_is_found_by_the_environment_and_checked(merges, tmp_path, monkeypatch):
    monkeypatch.setenv("SEGSYNTH_WEIGHTS", str(tmp_path))
    with pytest.raises(UserError, match="SEGSYNTH_WEIGHTS"):
        load_tokenizer()
    (tmp_path / MERGES).write_bytes(merges.read_bytes())
    assert load_tokenizer().encode("cat") == [2368]
    (tmp_path / MERGES).write_bytes(merges.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"has sha256 .* expected 924691ac288e5440"):
        load_tokenizer()
