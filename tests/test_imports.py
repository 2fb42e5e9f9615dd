"""The layer table: imports point down only, and each heavy package has one room."""

import ast
import importlib
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "segsynth"

_BASE = ("types", "errors", "settings")
#: Room -> rooms of segsynth that it may import. A room is a folder or a module of the package; a
#: dotted name allows one module of a room.
LAYERS = {
    "types": (),
    "errors": (),
    "settings": ("errors",),
    "system": ("types",),
    "cli": ("errors",),
    "config_files": ("errors", "settings"),
    "networks": ("types", "errors", "networks"),
    "losses": ("types", "errors", "losses"),
    "diffusion": ("types", "errors", "diffusion"),
    "crf": ("types", "errors", "crf"),
    "metrics": ("types", "errors", "metrics"),
    "vector": ("errors", "vector"),
    "papers": ("errors", "settings", "papers"),
    "pretrained": (*_BASE, "networks", "pretrained"),
    "data": (*_BASE, "data"),
    "engine": (*_BASE, "system", "data", "engine", "__init__", "pretrained.loading"),
    "systems": (
        *_BASE,
        *("system", "networks", "losses", "diffusion", "crf", "pretrained", "metrics", "systems"),
        *("papers", "engine.optimizers", "vector"),
    ),
    "weights": (*_BASE, "engine", "pretrained"),
    "evaluate": (*_BASE, "system", "systems", "engine", "data", "metrics.names"),
    "folder_pictures": ("errors", "data"),
    "folder_scores": ("engine", "metrics", "pretrained", "folder_pictures"),
    "folders": (*_BASE, *("engine", "metrics", "pretrained", "folder_pictures", "folder_scores")),
    "paired": (*_BASE, "systems", "engine", "data", "evaluate", "metrics"),
    "drawings": ("errors", "engine", "data", "predict", "drawings"),
    "predict": (*_BASE, "system", "systems", "engine", "data"),
    "predict_files": (*_BASE, "system", "engine", "data", "predict"),
    "portable": ("errors", "data", "predict"),
    "prepare": ("errors", "data"),
    "preview": ("errors", "data", "engine"),
    "experiment": (*_BASE, "system", "systems", "engine", "data", "evaluate"),
    "paper_tables": ("errors", "settings", "papers"),
    "attempts": ("errors", "settings", "system", "systems", "engine", "papers"),
    "report_copies": (),
    "reproduce": (
        *("errors", "engine", "evaluate", "experiment", "attempts", "paper_tables", "__init__"),
    ),
    "__init__": ("predict", "systems", "crf"),
    "launch": (
        "errors",
        "cli",
        "config_files",
        "drawings",
        "experiment",
        "evaluate",
        "folders",
        "paired",
        "portable",
        "predict",
        "predict_files",
        "prepare",
        "preview",
        "report_copies",
        "reproduce",
        "weights",
    ),
}
#: Package -> the only places that may import it.
HOMES = {
    "orbax": ("engine/checkpoints.py",),
    "tensorboardX": ("engine/writers.py",),
    "grain": ("data/",),
    "tensorflow_datasets": ("data/",),
    "PIL": ("data/",),
    "torch": (),
    "tensorflow": (),
    "third_party": (),
}


def modules(path, source=None):
    """Return the absolute names that a file imports, at any depth of it, ``from a import b`` as
    ``a.b``.
    """
    found = []
    for node in ast.walk(ast.parse(source or path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def room(path):
    """Return the room of a file of the package or of launch/."""
    relative = path.relative_to(ROOT)
    if relative.parts[0] != "segsynth":
        return relative.parts[0]
    return path.stem if len(relative.parts) == 2 else relative.parts[1]


def violations(path, source=None):
    """Return what a file imports that the table does not allow it."""
    mine, bad = room(path), []
    for name in modules(path, source):
        first, *rest = name.split(".")
        inside = path.is_relative_to(PACKAGE)
        homes = HOMES.get(first)
        place = path.relative_to(PACKAGE).as_posix() if inside else path.name
        if homes is not None and not any(place.startswith(home) for home in homes):
            bad.append(name)
        if first == "segsynth":
            known = rest and ((PACKAGE / rest[0]).is_dir() or rest[0] in LAYERS)
            target = rest[0] if known else "__init__"
            allowed = {target, ".".join(rest[:2])} & set(LAYERS[mine])
            if not allowed or _another_system(path, rest):
                bad.append(name)
    return bad


def _another_system(path, rest):
    """Whether a file in one system's folder, or the file of one system, imports another's."""
    if room(path) != "systems" or (path.parent == PACKAGE / "systems" and path.stem == "__init__"):
        return False
    own = path.relative_to(PACKAGE / "systems").parts[0].removesuffix(".py")
    return rest[:1] == ["systems"] and rest[1:2] != [own]


FILES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "launch").glob("*.py")])


def test_every_file_is_in_a_room_of_the_table():
    assert len(FILES) > 40 and {room(path) for path in FILES} <= set(LAYERS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    assert violations(path) == []


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("networks/x.py", "from segsynth.losses import adversarial"),
        ("networks/x.py", "from segsynth import systems"),
        ("networks/x.py", "def f():\n    import segsynth.systems.inpaint_c2f"),
        ("data/x.py", "from segsynth.engine.run import Run"),
        ("engine/x.py", "from segsynth import systems"),
        ("engine/x.py", "import orbax.checkpoint as ocp"),
        ("engine/x.py", "from PIL import Image"),
        ("systems/x.py", "from segsynth.engine import checkpoints"),
        ("systems/x.py", "from segsynth.systems.inpaint_c2f import InpaintC2F"),
        ("systems/x.py", "from segsynth.data import modalities"),
        ("systems/x/y.py", "from segsynth.systems.xx import z"),
        ("types.py", "from segsynth import errors"),
        ("predict.py", "import torch"),
        ("data/x.py", "import tensorflow as tf"),
        ("metrics/x.py", "from third_party import anything"),
    ],
)
def test_the_table_refuses(place, line):
    assert violations(PACKAGE / place, line)


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("systems/x.py", "from segsynth.engine.optimizers import adamw"),
        ("systems/x.py", "from segsynth.engine import optimizers"),
        ("systems/x/y.py", "from segsynth.systems.x.z import f"),
        ("systems/__init__.py", "from segsynth.systems.inpaint_c2f import InpaintC2F"),
        ("engine/checkpoints.py", "import orbax.checkpoint as ocp"),
        ("data/x.py", "import tensorflow_datasets as tfds"),
    ],
)
def test_the_table_allows(place, line):
    assert not violations(PACKAGE / place, line)


def test_no_file_postpones_its_annotations():
    # jaxtyping's shapes would go unchecked.
    assert not [p for p in FILES if any(name.startswith("__future__") for name in modules(p))]


@pytest.mark.parametrize(
    "path", [p for p in FILES if p.is_relative_to(PACKAGE)], ids=lambda p: str(p.relative_to(ROOT))
)
def test_every_annotation_can_be_checked(path):
    # The tests' import hook compiles each annotation of a module when it imports it.
    parts = path.relative_to(ROOT).with_suffix("").parts
    importlib.import_module(".".join(parts).removesuffix(".__init__"))
