"""Names as identifiers and back, and which weights earn a published name."""

import contextlib
import itertools
import json
import pathlib
import sys

import clu.metrics
import jax
import jax.numpy as jnp
import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "pretrained"))

import tiny

from segsynth import evaluate
from segsynth.data import feed
from segsynth.engine import imported, sharding
from segsynth.errors import UserError
from segsynth.evaluate import Evaluator
from segsynth.metrics.accumulators import MeanOverExamples
from segsynth.metrics.names import PUBLISHED, figure_name, identifier, name_of
from segsynth.pretrained import loading
from segsynth.pretrained.catalog import CATALOG
from segsynth.weights import import_weights

FIGURES = {
    "frechet[standin]": "frechet_x5b_standin_x5d_",
    "photo/clip_score[standin]": "photo__clip_score_x5b_standin_x5d_",
    "refined/traffic_sign/iou": "refined__traffic_sign__iou",
    "ssim_in": "ssim_in",
}
AWKWARD = ("class", "1st", "merge", "compute", "_reduction_counter", "a__b", "é", "_x5b_", "x_xa/")


@pytest.mark.parametrize("name", FIGURES)
def test_how_names_are_written(name):
    assert identifier(name) == FIGURES[name] and name_of(FIGURES[name]) == name


@pytest.mark.parametrize("name", [*FIGURES, *AWKWARD])
def test_a_collection_takes_any_name(name):
    metric = MeanOverExamples.of(jnp.ones(2), jnp.ones(2))
    total = clu.metrics.Collection.create_collection(**{identifier(name): metric})
    total = jax.jit(lambda a, b: a.merge(b))(total, total)
    assert {name_of(key): float(value) for key, value in total.compute().items()} == {name: 1.0}


def test_no_two_names_share_an_identifier():
    letters = itertools.chain(*(itertools.product("_xa5/[", repeat=n) for n in range(1, 6)))
    names = ["".join(name) for name in letters]
    keys = [identifier(name) for name in names]
    assert len(set(keys)) == len(names) and all(key.isidentifier() for key in keys)
    assert [name_of(key) for key in keys] == names


def test_an_empty_name():
    with pytest.raises(UserError, match="empty name"):
        identifier("")


def test_an_evaluation_gives_the_names_back():
    class Judge:
        on_host, frozen = True, {}
        inputs = targets = outputs = pictures = ()

        def eval_step(self, variables, frozen, batch, key):
            metric = MeanOverExamples.of(jnp.ones(2), jnp.ones(2))
            names = map(identifier, ("frechet[standin]", "photo/psnr"))
            return clu.metrics.Collection.create_collection(**dict.fromkeys(names, metric)), {}

        predict = remarks = synthesize = eval_step

    evaluator = Evaluator(Judge(), sharding.plan())
    found, _ = evaluator({}, {}, [{}, {}], jax.random.key(0))
    assert found == {"frechet[standin]": 1.0, "photo/psnr": 1.0}


class Network:
    def __init__(self, name, standin, published):
        self.name, self.standin, self.published = name, standin, published


@pytest.mark.parametrize("published", PUBLISHED)
def test_only_its_own_published_weights_earn_a_name(published):
    needed, general = PUBLISHED[published]
    assert general not in PUBLISHED
    assert needed in CATALOG
    assert figure_name(published, Network(needed, False, True)) == published
    # A network that claims both is a stand-in.
    for claim in (True, False):
        assert figure_name(published, Network(needed, True, claim)) == f"{general}[standin]"
    assert figure_name(published, Network(needed, False, False)) == f"{general}[unlisted]"
    assert figure_name(published, Network("resnet50", False, True)) == f"{general}[resnet50]"


def test_an_evaluation_says_which_figures_are_of_a_stand_in(monkeypatch, tmp_path, caplog):
    figures = ("photo/caption_score[standin]", "frechet[standin]/n", "frechet[standin]", "psnr")
    names = (*figures, "kernel[unlisted]")

    class Judged:
        on_host, frozen = True, {}
        inputs = targets = outputs = ()
        pictures = ("image",)

        def eval_step(self, variables, frozen, batch, key):
            metric = MeanOverExamples.of(jnp.ones(2), jnp.ones(2))
            picture = {"image": np.zeros((2, 8, 8, 3), np.uint8)}
            metrics = dict.fromkeys(map(identifier, names), metric)
            return clu.metrics.Collection.create_collection(**metrics), picture

        predict = remarks = synthesize = eval_step

    monkeypatch.setattr(feed, "evaluation", lambda *_, **__: contextlib.nullcontext([{}]))
    monkeypatch.setattr(feed, "evaluation_size", lambda *_: 2)
    frozen = {"clip": {"reference": "standin:clip_vit_b32"}, "vgg": {"reference": "phase:x"}}
    settings = {"eval": {"batch": 2, "split": "val"}, "data": {}}
    record = {"phase": "p", "step": 1, "frozen": frozen}
    arguments = dict(seed=0, record=record, folder=tmp_path)
    with caplog.at_level("INFO", "segsynth"):
        evaluate._judge(Judged(), settings, ({}, {}), sharding.plan(), **arguments)
    lines = "\n".join(caplog.messages).splitlines()
    said = [line for line in lines if "stand-in" in line or "catalogue" in line]
    assert [line.partition(": ")[2] for line in said] == [
        *("caption_score[standin], frechet[standin]", "kernel[unlisted]"),
        "clip = standin:clip_vit_b32",
    ]
    assert "random weights" in said[0] and "random weights" in said[2]
    assert evaluate.on_weights(["psnr", "fid"], {"vgg": {"reference": "pretrained:vgg19"}}) == []


@pytest.fixture
def weights(monkeypatch, tmp_path):
    """A folder of imported networks, and the bytes that are published as inception_fid."""
    monkeypatch.setenv("SEGSYNTH_WEIGHTS", str(tmp_path / "weights"))
    data = tiny.npz(**tiny.tensors())
    tiny.catalogue(monkeypatch, data, name="inception_fid")
    return tmp_path / "weights", data


def _name():
    return figure_name("fid", loading.describe("pretrained:inception_fid"))


def test_a_renamed_file_earns_nothing(weights, tmp_path):
    """Random weights under the name of the published file, in the place where it belongs."""
    folder, data = weights
    file = folder / "files" / "inception_fid" / "tiny.npz"
    file.parent.mkdir(parents=True)
    file.write_bytes(tiny.npz(**tiny.tensors(seed=1)))
    with pytest.raises(UserError, match=r"has sha256 .*, and the published tiny"):
        import_weights("inception_fid", show=lambda _: None)
    import_weights("inception_fid", allow_unlisted=True, show=lambda _: None)
    assert _name() == "frechet[unlisted]"
    # The control: the published bytes under any name.
    (tmp_path / "x.npz").write_bytes(data)
    import_weights("inception_fid", [str(tmp_path / "x.npz")], show=lambda _: None)
    assert _name() == "fid"
    assert figure_name("fid", loading.describe("standin:inception_fid")) == "frechet[standin]"


def test_other_weights_behind_the_published_manifest(weights, tmp_path):
    """Its sha256 of the variables does not fit them: they cannot be loaded at all."""
    folder, data = weights
    for seed, name in ((0, "published"), (1, "random")):
        (tmp_path / f"{name}.npz").write_bytes(tiny.npz(**tiny.tensors(seed)) if seed else data)
    manifest = folder / "inception_fid" / "manifest.json"
    import_weights("inception_fid", [str(tmp_path / "published.npz")], show=lambda _: None)
    record = json.loads(manifest.read_text())
    imported.load("pretrained:inception_fid")
    import_weights(
        "inception_fid",
        [str(tmp_path / "random.npz")],
        allow_unlisted=True,
        show=lambda _: None,
    )
    manifest.write_text(json.dumps(record))
    with pytest.raises(UserError, match="does not hold what was imported there"):
        imported.load("pretrained:inception_fid")
