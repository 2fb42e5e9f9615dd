"""Every config file, every preset: it builds, its phases fit, its docstring has the commands."""

import ast
import functools
import json
import pathlib
import re

import jax
import pytest

from segsynth import config_files, systems
from segsynth.data import feed
from segsynth.engine.run import Run, plain
from segsynth.errors import UserError
from segsynth.pretrained import loading
from segsynth.system import System

ROOT = pathlib.Path(__file__).parents[2]
FILES = sorted((ROOT / "configs").glob("*.py"))


def _presets(file):
    """The presets of a config file, as its refusal of a wrong one lists them."""
    try:
        config_files.load(f"{file}:0")
    except UserError as error:
        return tuple(str(error).split("knows ")[1].split(", "))
    return ("",)


ALL = [(file, preset) for file in FILES for preset in _presets(file)]
NAMES = [f"{file.stem}:{preset}" for file, preset in ALL]
#: Sizes that the papers publish, and that only an accelerator can train.
PAPER = {"inpaint_c2f": ("places2", "ffhq", "celebahq")}


def _run(file, preset, *overrides):
    config, name = config_files.load(f"{file}:{preset}", overrides)
    return Run(pathlib.Path("unused"), plain(config)), name


@functools.cache
def _built(section):
    """The system of a section in JSON, and the shapes of what it trains; presets share many."""
    system = systems.build(json.loads(section))
    return system, jax.eval_shape(system.init, jax.random.key(0)).params


def test_there_are_configs():
    assert FILES and len(ALL) > len(FILES)


@pytest.mark.parametrize(("file", "preset"), ALL, ids=NAMES)
def test_every_phase_builds_and_knows_its_shapes(file, preset):
    run, name = _run(file, preset)
    assert name == f"{file.stem}-{preset}"
    if "run" not in run.config:  # a method that learns nothing
        assert not isinstance(systems.build(run.config["system"]), System)
        return
    trained = {}
    for phase in run.phases:
        settings = run.settings(phase)
        system, params = _built(json.dumps(settings["system"]))
        trained[phase] = {k: jax.tree.map(_kind, tree) for k, tree in params.items()}
        assert settings["train"]["global_batch"] % 8 == 0 and settings["eval"]["batch"] % 8 == 0
        assert set(settings["frozen"]) >= set(system.frozen)  # a switched-off loss has one, too
        for network, reference in {**settings["frozen"], **settings["init_from"]}.items():
            kind, _, source = reference.partition(":")
            if not reference:  # for users to name
                assert network not in system.frozen
                continue
            if kind != "phase":  # published weights need not be here
                assert loading.is_reference(reference) and loading.find(source)
                continue
            assert _stored(system, network) in trained[source], f"{phase}: {network}"
        for network, reference in settings["frozen"].items():
            known = preset in PAPER.get(file.stem, ()) or preset.startswith("table")
            if not reference.startswith("phase:") or known or network not in system.frozen:
                continue  # the same code as for the others, and slow to trace
            shapes = jax.eval_shape(system.frozen[network].init, jax.random.key(0))["params"]
            expected = trained[reference.partition(":")[2]][_stored(system, network)]
            assert jax.tree.map(_kind, shapes) == expected


def _stored(system, network):
    """The name of a network in the phase that trains it."""
    spec = system.frozen.get(network)
    return (spec and spec.stored) or network


def _kind(x):
    return x.shape, x.dtype


@pytest.mark.parametrize("stem", sorted(PAPER))
def test_the_papers_sizes_are_the_papers(stem):
    for preset in PAPER[stem]:
        run, _ = _run(ROOT / "configs" / f"{stem}.py", preset)
        _, params = _built(json.dumps(run.settings(run.phases[-1])["system"]))
        count = sum(x.size for x in jax.tree.leaves(params)) / 1e6
        assert count > 100, f"{preset}: {count:.0f} M parameters"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_docstring_has_a_command_for_every_preset(file):
    doc = ast.get_docstring(ast.parse(file.read_text()))
    command = rf"python launch/(train|evaluate|predict)\.py --config configs/{re.escape(file.name)}"
    assert re.search(rf"{command}$", doc, re.M), "the demo's command"
    for preset in _presets(file):
        assert preset in ("", "demo") or f":{preset}" in doc, f"{preset} is not described"
    for line in doc.splitlines():
        if re.search(command, line):  # every command that it gives can be loaded
            _, _, rest = line.partition("--config ")
            path, *flags = rest.split()
            overrides, _ = config_files.split_overrides(flags)
            config_files.load(str(ROOT / path), overrides)


@pytest.mark.parametrize(
    ("file", "preset"),
    [case for case in ALL if case[1] in ("photos", *PAPER.get(case[0].stem, ()))],
    ids=lambda value: getattr(value, "stem", value),
)
def test_a_preset_on_pictures_asks_for_them_in_one_line(file, preset, tmp_path):
    for overrides, found in (
        ((), "no folder of pictures is set"),
        ((f"--config.data_root={tmp_path}",), f"{tmp_path} holds no pictures"),
    ):
        run, _ = _run(file, preset, *overrides)
        settings = run.settings(run.phases[0])
        with pytest.raises(UserError, match=re.escape(found)) as error:
            feed.check(settings, systems.build(settings["system"]), feed.Sources())
        assert "\n" not in str(error.value)


def test_the_two_dashes_of_an_override_may_be_apart():
    config, _ = config_files.load(f"{FILES[0]}:smoke", ["--config.seed", "5"])
    assert config.seed == 5


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("--config.sed=1", "the config has no 'sed'; did you mean 'seed'?"),
        ("--config.seed=abc", "invalid literal|flag --config.seed"),
        ("--sede=1", "Unknown command line flag 'sede'"),
        ("seed=1", "unexpected argument 'seed=1'"),
    ],
)
def test_a_wrong_override_is_one_line(override, message):
    with pytest.raises(UserError, match=message) as error:
        config_files.load(str(FILES[0]), [override])
    assert "\n" not in str(error.value)
