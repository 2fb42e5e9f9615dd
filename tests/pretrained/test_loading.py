"""References, stand-ins, the catalogue's rows, and which names figures may carry."""

import functools
import json

import jax
import numpy as np
import pytest
import tiny
from flax import traverse_util

from segsynth.errors import UserError
from segsynth.pretrained import loading
from segsynth.pretrained.catalog import CATALOG
from segsynth.pretrained.loading import Loaded
from segsynth.pretrained.published import File

ROWS = sorted(CATALOG)


@functools.cache
def shapes(name):
    """Shapes of a published network's variables, and of what it returns for its inputs."""
    return _shapes(Loaded(CATALOG[name].network(), name, standin=False))


def _shapes(network):
    inputs = CATALOG[network.name].inputs
    variables = loading.abstract(network)
    return variables, jax.eval_shape(network.module.apply, variables, *inputs)


@pytest.mark.parametrize("name", ROWS)
def test_every_variable_of_a_row_has_one_tensor(name):
    row = CATALOG[name]
    assert row.name == name
    places = [target.path for target in row.keys().values() if target is not None]
    variables = traverse_util.flatten_dict(shapes(name)[0])
    assert len(places) == len(set(places)) and set(places) == set(variables)


@pytest.mark.parametrize("name", ROWS)
def test_a_standin_is_smaller_and_answers_in_the_same_form(name):
    (small, ours), (whole, theirs) = _shapes(loading.describe(f"standin:{name}")), shapes(name)
    counts = [sum(x.size for x in jax.tree.leaves(variables)) for variables in (small, whole)]
    assert counts[0] < counts[1] / 3
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.shape[:-1] == b.shape[:-1] and a.dtype == b.dtype  # channels may be fewer


@pytest.mark.parametrize("name", ROWS)
def test_a_row_says_what_its_files_are(name):
    row = CATALOG[name]
    assert row.files and row.doc and row.licence and row.preprocessing
    for file in row.files:
        assert file.url.startswith("https://") and "/" not in file.name and "?" not in file.name
        assert file.sha256 == "" or 8 <= len(file.sha256) <= 64
        assert set(file.sha256) <= set("0123456789abcdef")


def test_a_standin_is_the_same_each_time():
    first, again = (loading.standin("vgg19_blocks1-3") for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first.variables, again.variables)
    assert first.standin and first.sha256 == () and not first.published
    found = first.apply(jax.numpy.zeros((1, 8, 8, 3)))
    assert found["relu3_4"].shape == (1, 2, 2, 32)


def test_the_published_name_needs_the_published_weights(monkeypatch):
    row = tiny.catalogue(monkeypatch, b"weights")
    sha = row.files[0].sha256

    def published(standin=False, *shas):
        return Loaded(tiny.module(), "tiny", standin, shas).published

    assert published(False, sha)
    assert not published(False, sha[:-1] + ("0" if sha[-1] != "0" else "1"))
    assert not published(False) and not published(False, sha, sha)
    assert not published(True) and not published(True, sha)


def test_how_much_of_a_sha256_must_be_known():
    sha = "0123456789abcdef" * 4
    assert File("u", sha).is_this(sha) and File("u", sha[:8]).is_this(sha)
    assert not File("u", sha[:7]).is_this(sha) and not File("u").is_this(sha)
    assert not File("u", sha[1:9]).is_this(sha)
    assert not File("u", sha[:8]).is_this(sha[:8]) and not File("u", sha[:8]).is_this("é" * 64)


def test_references_that_name_nothing(monkeypatch, tmp_path):
    with pytest.raises(UserError, match="'weights' names no network; expected 'pretrained:<name>'"):
        loading.describe("weights")
    with pytest.raises(UserError, match="has no 'vgg91'; did you mean 'vgg19'"):
        loading.describe("standin:vgg91")
    monkeypatch.delenv("SEGSYNTH_WEIGHTS", raising=False)
    with pytest.raises(UserError, match="the folder that SEGSYNTH_WEIGHTS names, and it is not"):
        loading.describe("pretrained:vgg19")
    monkeypatch.setenv("SEGSYNTH_WEIGHTS", str(tmp_path))
    missing = r"there is no .*vgg19/manifest\.json; import .*import_weights\.py --network vgg19$"
    with pytest.raises(UserError, match=missing):
        loading.describe("pretrained:vgg19")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"network": "vgg19"}', "is damaged"),
        (json.dumps({"network": "alexnet", "files": [], "variables": "0"}), "is not of vgg19"),
    ],
)
def test_a_manifest_that_is_none(text, message, monkeypatch, tmp_path):
    monkeypatch.setenv("SEGSYNTH_WEIGHTS", str(tmp_path))
    (tmp_path / "vgg19").mkdir()
    (tmp_path / "vgg19" / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=rf"manifest\.json {message}.*import vgg19 again"):
        loading.describe("pretrained:vgg19")
