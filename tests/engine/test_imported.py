"""Imported networks: kept as Orbax checkpoints, found by reference, trusted by their sha256."""

import pathlib
import shutil
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "pretrained"))

import tiny

from segsynth.engine import imported, references, sharding
from segsynth.engine.run import Run
from segsynth.errors import UserError
from segsynth.pretrained import loading
from segsynth.pretrained.convert import convert
from segsynth.system import FrozenSpec

CONFIG = {"run": ["only"], "phases": {"only": {"frozen": {"net": "pretrained:tiny"}}}}


class Reader:
    """As much of a system as references ask for."""

    inputs = targets = outputs = pictures = ()
    on_host = False

    def __init__(self, module):
        self.module = module

    @property
    def frozen(self):
        return {"net": FrozenSpec(lambda key: self.module.init(key, jnp.zeros((1, 8, 8, 3))), "")}

    def predict(self, *_):
        raise NotImplementedError

    eval_step = remarks = synthesize = predict


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """A folder of imported networks with one in it."""
    monkeypatch.setenv("SEGSYNTH_WEIGHTS", str(tmp_path / "weights"))
    return keep(tiny.catalogue(monkeypatch, b"tiny"), tmp_path / "weights")


def keep(row, folder, seed=0):
    module = row.network()
    expected = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    variables = convert(tiny.tensors(seed), row.keys(), expected, "tiny")
    files = [{"name": "tiny.npz", "sha256": row.files[0].sha256}]
    imported.save(folder, row.name, variables, files)
    return folder


def kernel(variables):
    return np.asarray(variables["params"]["conv1_1"]["kernel"])


def test_what_was_saved_is_found_by_reference(folder):
    found = imported.load("pretrained:tiny")
    np.testing.assert_array_equal(kernel(found.variables), tiny.tensors()["block1_conv1/kernel"])
    assert found.published and not found.standin
    assert found.apply(jnp.zeros((1, 4, 4, 3)))["relu2_1"].shape == (1, 2, 2, 4)
    assert {p.name for p in folder.iterdir()} == {"tiny"}


def test_a_second_import_replaces_the_first(folder, monkeypatch):
    keep(tiny.catalogue(monkeypatch, b"tiny"), folder, seed=1)
    found = imported.load("pretrained:tiny")
    np.testing.assert_array_equal(kernel(found.variables), tiny.tensors(1)["block1_conv1/kernel"])


class Killed(BaseException):
    """As the process that imports is killed."""


@pytest.mark.parametrize("step", range(5))
def test_an_import_killed_while_it_replaces_another(step, folder, monkeypatch):
    row, done = tiny.catalogue(monkeypatch, b"tiny"), []

    def until_killed(function):
        def call(path, *args, **options):
            if pathlib.Path(path).parent == folder:  # Orbax renames deeper folders
                if len(done) == step:
                    raise Killed
                done.append(path)
            return function(path, *args, **options)

        return call

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", until_killed(shutil.rmtree))
        patched.setattr(pathlib.Path, "rename", until_killed(pathlib.Path.rename))
        with pytest.raises(Killed):
            keep(row, folder, seed=1)
    expected = tiny.tensors(1 if step == 4 else 0)["block1_conv1/kernel"]
    np.testing.assert_array_equal(kernel(imported.load("pretrained:tiny").variables), expected)
    assert (folder / "tiny").exists() != (step == 3)
    keep(row, folder, seed=2)
    expected = tiny.tensors(2)["block1_conv1/kernel"]
    np.testing.assert_array_equal(kernel(imported.load("pretrained:tiny").variables), expected)
    assert {p.name for p in folder.iterdir()} == {"tiny"}


def test_weights_exchanged_after_the_import_are_refused(folder, monkeypatch):
    manifest = (folder / "tiny" / "manifest.json").read_text()
    keep(tiny.catalogue(monkeypatch, b"tiny"), folder, seed=1)
    (folder / "tiny" / "manifest.json").write_text(manifest)
    with pytest.raises(UserError, match="does not hold what was imported there"):
        imported.load("pretrained:tiny")


def test_a_phase_takes_a_published_network_as_frozen(folder, tmp_path):
    run, plan = Run.create(tmp_path / "run", CONFIG), sharding.plan()
    references.check(run, "only", Reader(tiny.module()))
    frozen = references.load_frozen(run, "only", Reader(tiny.module()), plan)
    np.testing.assert_array_equal(kernel(frozen["net"]), tiny.tensors()["block1_conv1/kernel"])
    assert all(x.sharding == plan.replicated for x in jax.tree.leaves(frozen))
    record = run.directory("only").frozen()["net"]
    assert record["reference"] == "pretrained:tiny" and record["step"] == 0
    assert record["files"] == list(imported.load("pretrained:tiny").sha256)
    references.load_frozen(run, "only", Reader(tiny.module()), plan)


def test_a_run_refuses_other_weights_than_it_began_with(folder, tmp_path, monkeypatch):
    run, plan = Run.create(tmp_path / "run", CONFIG), sharding.plan(data=1)
    references.load_frozen(run, "only", Reader(tiny.module()), plan)
    keep(tiny.catalogue(monkeypatch, b"tiny"), folder, seed=1)
    with pytest.raises(UserError, match="phase only began with net of sha256"):
        references.load_frozen(run, "only", Reader(tiny.module()), plan)


def test_a_standin_needs_no_import(monkeypatch, tmp_path):
    monkeypatch.delenv("SEGSYNTH_WEIGHTS", raising=False)
    tiny.catalogue(monkeypatch, b"tiny")
    config = {"run": ["only"], "phases": {"only": {"frozen": {"net": "standin:tiny"}}}}
    run, plan = Run.create(tmp_path / "run", config), sharding.plan()
    frozen = references.load_frozen(run, "only", Reader(tiny.module(2)), plan)
    assert kernel(frozen["net"]).shape == (3, 3, 3, 2)
    np.testing.assert_array_equal(kernel(frozen["net"]), kernel(loading.standin("tiny").variables))
    assert run.directory("only").frozen()["net"]["files"] == []
    with pytest.raises(UserError, match=r"standin:tiny has \(.*\) for .*, and the system"):
        references.load_frozen(run, "only", Reader(tiny.module()), plan)


def test_a_reference_is_refused_before_anything_is_trained(folder, tmp_path):
    config = {"run": ["only"], "phases": {"only": {"frozen": {"net": "pretrained:tony"}}}}
    run = Run.create(tmp_path / "run", config)
    with pytest.raises(UserError, match="has no 'tony'; did you mean 'tiny'"):
        references.check(run, "only", Reader(tiny.module()))
