"""Line drawings of photographs that keep depth, meaning and segments.

  python launch/train.py --config configs/line_drawing.py
      The demo: procedural scenes of 32 px and contour drawings of other scenes. Half an hour on one
      CPU core; too short for drawings that can be judged (docs/line_drawing.md).
      :smoke trains every phase for a few steps on tiny networks.
  python launch/train.py --config configs/line_drawing.py:photos --config.data_root DIR \
      --config.drawings_root DIR2
      Any folder of pictures at 96 px, and contours that people drew: the tree of BSDS 500
      (segsynth/data/layouts/bsds.py), whose own pictures will do (DIR = DIR2). Without depth maps
      and labels, the cycle alone holds drawings. An hour on one CPU core. :photos_labelled takes
      COCO-Stuff (segsynth/data/layouts/coco_stuff.py) and the segmentation loss, :photos_colour
      drawings in colour and an identity loss.
  python launch/train.py --config configs/line_drawing.py:coco_contour --config.data_root DIR \
      --config.drawings_root DIR2
      Photographs of COCO-Stuff with depth maps and labels (DIR/photos, depth, seg;
      segsynth/data/layouts/photo_depth.py) and the Contour Drawing Dataset, at 256 px, read by
      inception_v3_mixed6b and clip_vit_b32 in the folder that SEGSYNTH_WEIGHTS names.
      :coco_sketch has the anime sketch colorization pairs. For accelerators; not run by us.
  python launch/reproduce.py --paper line_drawing --workdir runs/drawing_table
      The preset :table, the baseline beside the segmentation loss at the demo's scale, judged by an
      outsider, a segmenter that learned from the drawings of others, and by a segmenter and a depth
      head that were trained on what each draws; launch/compare.py --run runs/drawing_table/seed0
      then compares them scene by scene. With --preset paper, --config.data_root and
      --config.drawings_root, :table_paper, the same on the data of :coco_contour, for accelerators;
      not run by us. :table_long is that of benchmarks/line_drawing_long.py.

+frozen_photo, +frozen_draw or +warm_joint behind a preset, as in :demo+frozen_draw, trains the
segmenter beforehand, on grey photographs or on the drawings of a baseline, in phases of their own.
--config.phases.drawing.system.preset is the method, "paper", "informative" (the baseline) or
"cyclegan", which needs --config.run=drawing. The presets of this file set the weights of the losses
but :coco_*, which leaves them to the method. The demo, :smoke, :table and :table_long compare
features of stand-ins of Inception and CLIP, small networks of random weights, so that nothing has
to be downloaded; what they reach says nothing of the published networks.
"""

from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict, FieldReference
from ml_collections.config_dict import placeholder

from segsynth.config_files import copied, follow, preset_of
from segsynth.data.worlds.scene_plan import SUBJECTS
from segsynth.errors import UserError
from segsynth.metrics.readability import COLUMNS, FACTORS

#: Of the procedural scenes: classes, and those that are objects.
_SCENES = {"classes": 12, "things": tuple(range(6, 12))}
#: COCO-Stuff's numbers: things are 0 to 90.
_COCO = {"classes": 182, "things": tuple(range(91))}
#: Steps of the demo's generators, and their blocks where several phases must know them.
_DEMO_STEPS, _BLOCKS = 2000, 3
#: Published networks that read drawings, and that judge them in tables.
_LOSS_NETWORKS = {"features": "inception_v3_mixed6b", "clip": "clip_vit_b32"}
_JUDGES = {"style": "inception_fid", "retrieval": "clip_vit_b16"}
#: How a segmenter is trained beforehand, behind a preset and a "+".
_MODES = ("frozen_photo", "frozen_draw", "warm_joint")
#: Photographs of an epoch, as the baseline's code caps a folder.
_EPOCH_PHOTOS, _EPOCHS, _RATE = 10_000, 100, {"constant": 50, "decay": 50}
_LOSSES = ("adversarial", "cycle", "identity", "geometry", "clip")


def get_config(preset: str = "") -> ConfigDict:
    """Return the config of a preset; "" is the demo, and "<preset>+<mode>" one of `_MODES`."""
    presets = {
        "demo": _demo,
        "smoke": _smoke,
        "photos": _photos,
        "photos_labelled": _photos_labelled,
        "photos_colour": _photos_colour,
        "coco_contour": lambda: _coco("contour_drawing"),
        "coco_sketch": lambda: _coco("anime_sketch"),
        "table": _table_of_scenes,
        "table_long": _table_long,
        "table_paper": _table_of_coco,
    }
    name, plus, mode = preset.partition("+")
    config = preset_of(name, presets)()
    return _read_before(config, mode) if plus else config


def _base(weights: str) -> ConfigDict:
    """Return what all presets share; ``weights``: "pretrained", or "standin" for random ones."""
    config = ConfigDict({"name": "line_drawing", "seed": 0, "data_root": "", "drawings_root": ""})
    config.update({"tensorboard": False, "mesh": {"data": -1, "fsdp": 1}, "side": 256})
    kind = {"pretrained": "published", "standin": "standin"}[weights]
    config.features = {"network": kind, "side": 0}
    config.generator = {"width": 64, "blocks": placeholder(int), "channels": 1}
    config.head = {"width": 64, "blocks": 9}
    config.unet = {"width": 64, "levels": 4, "norm": "batch", **_SCENES}
    config.data = {"source": "scenes", "length": 1_000_000, "seed": 0, "options": {}}
    config.data.update({"scale": (1.0, 1.0), "flip": 0.0, "workers": 0, "cache": False})
    config.data.ids = "published"
    config.data.root = config.get_oneway_ref("data_root")
    config.data.resolution = config.get_ref("side")
    config.every = {"log": 50, "eval": 0, "checkpoint": 500, "diagnose": 0}
    config.eval = {"split": "val", "examples": 64, "batch": 16, "keep": 2}
    depth, drawing = _reader(config, "depth", weights), _drawing(config, kind, weights)
    config.phases = {"depth": depth, "drawing": drawing}
    config.run = ("depth", "drawing")
    return config


def _reader(config: ConfigDict, name: str, weights: str, drawer: str = "") -> dict:
    """Return a phase of depth or segmenter, which read photographs or a phase's drawings."""
    adamw = {"lr": 1e-3, "warmup": 100, "weight_decay": 0.0, "clip": 1.0, "decay_steps": 0}
    system, frozen = {"name": name, "optimizer": adamw, "dtype": "float32"}, {}
    if name == "depth":
        system |= {"features": follow(config.features), "head": follow(config.head)}
        frozen["features"] = f"{weights}:{_LOSS_NETWORKS['features']}"
    else:
        system |= {key: value for key, value in follow(config.unet).items() if key != "things"}
    if drawer:
        system["drawer"] = follow(config.generator)
        frozen["drawer"] = f"phase:{drawer}"
    return {"system": system, "train": {"steps": 1, "global_batch": 8}, "frozen": frozen}


def _outsider(config: ConfigDict, weights: str) -> dict:
    """Return the phase of a segmenter that learns from the scenes' own drawings, or else from those
    by the generator that the baseline's authors published.
    """
    phase = _reader(config, "segmenter", weights)
    if weights == "standin":
        phase["system"]["sees"] = "drawing"
        phase["data"] = {"options": {"provides": ("drawing", "labels"), "style": "contour"}}
    else:
        phase["system"]["drawer"] = {"width": 64, "blocks": 3, "channels": 1}
        phase["frozen"]["drawer"] = "pretrained:informative_drawings_contour"
    return phase


def _drawing(config: ConfigDict, kind: str, weights: str) -> dict:
    """Return the phase of the generators; what is left open is for ``preset`` to say."""
    unet = follow(config.unet)
    guards = {"noise": 0.0, "binarised": False, "gradient": 1.0, "warmup": 0}
    system = {
        "name": "line_drawing",
        "preset": "paper",
        "side": config.get_ref("side"),
        "generator": follow(config.generator),
        "discriminator": {"width": 64, "layers": 4},
        "features": follow(config.features),
        "geometry": {**follow(config.head), "finetune": True, "loss": "bce"},
        "clip": {"network": kind, "resize": "bicubic", "loss": "mse", "patches": 1},
        "loss": {name: placeholder(float) for name in _LOSSES},
        "things": unet.pop("things"),
        "seg": {"mode": placeholder(str), "weight": placeholder(float), **unet, **guards},
        "pool": placeholder(int),
        "optimizer": {"lr": 2e-4, "epoch": 0, **_RATE, "helpers_decay": False, "clip": 0.0},
        "ema": 0.0,
        "judged_by": (),
        "subjects": (),
        "prompt": "a line drawing of",
        "style": {"network": kind, "capacity": 2048},
        "retrieval": {"network": kind, "capacity": 2048},
        "outsider": dict(unet),
        "dtype": "float32",
    }
    return {
        "system": system,
        "data": {"unpaired": _scene_drawings(config)},
        "train": {"steps": 1, "global_batch": 8},
        "frozen": {n: f"{weights}:{row}" for n, row in _LOSS_NETWORKS.items()} | {"outsider": ""},
        "init_from": {"geometry": "phase:depth"},
    }


def _scene_drawings(config: ConfigDict) -> dict:
    """Return the second domain of the demo: drawings of other scenes."""
    return {
        "source": "scenes",
        "resolution": config.get_ref("side"),
        "options": {"provides": ("drawing",), "style": "contour"},
        "length": config.data.get_ref("length"),
        "seed": 1,
        "flip": config.data.get_oneway_ref("flip"),
        "cache": config.data.get_ref("cache"),
    }


def _small(config: ConfigDict) -> ConfigDict:
    """Make a config of what two cores can train."""
    config.side = 32
    config.features.side, config.generator.width = 112, 16
    config.head.update({"width": 8, "blocks": 1})
    config.unet.update({"width": 8, "levels": 3})
    config.data.update({"length": 1024, "cache": True, "flip": 0.5})
    config.data.options = {"provides": ("image", "depth", "labels", "subject")}
    return config


def _demo() -> ConfigDict:
    config = _small(_base("standin"))
    config.phases.depth.train.steps = 300
    _shorten(config.phases.drawing, steps=_DEMO_STEPS)
    return config


def _shorten(phase: ConfigDict, steps: int) -> None:
    """Set the generators' phase up for so many steps on scenes."""
    phase.system.discriminator.update({"width": 16, "layers": 3})
    phase.system.optimizer.lr = 8e-4
    # At the published weights, which belong to the published networks, a short training bends
    # drawings to what the stand-ins like before the discriminator has taught it what lines are.
    phase.system.loss.update({"cycle": 5.0, "geometry": 1.0, "clip": 0.1})
    phase.system.update({"judged_by": ("labels", "subject"), "subjects": SUBJECTS})
    phase.train.steps = steps


def _smoke() -> ConfigDict:
    config = _demo()
    config.generator.update({"width": 4, "blocks": 1})
    config.head.update({"width": 1, "blocks": 1})
    config.unet.update({"width": 4, "levels": 2})
    config.phases.drawing.system.discriminator.update({"width": 4, "layers": 2})
    config.data.length = 16
    config.every.update({"log": 2, "checkpoint": 4})
    config.eval.update({"examples": 8, "batch": 8})
    for phase in config.phases.values():
        phase.train.steps = 6
    return config


def _photos() -> ConfigDict:
    config = _small(_base("standin"))
    config.side, config.unet.things = 96, ()
    config.data.update({"source": "folder", "scale": (0.5, 1.0)})
    config.data.options = {}
    config.run, phase = ("drawing",), config.phases.drawing
    del config.phases["depth"]
    _shorten(phase, steps=2000)
    phase.system.loss.update({"cycle": 10.0, "geometry": 0.0, "clip": 0.0})
    phase.system.seg.mode = "off"
    phase.system.update({"judged_by": (), "subjects": ()})
    phase.frozen, phase.init_from = ConfigDict({"outsider": ""}), ConfigDict()
    # Contours are one pixel wide and would turn pale when they are made smaller.
    phase.data.unpaired = {**_drawings(config, "bsds"), "options": {"pen": 3}}
    config.eval.examples = -1
    return config


def _drawings(config: ConfigDict, source: str) -> dict:
    """Return the second domain from a published data set."""
    return {
        "source": source,
        "root": config.get_oneway_ref("drawings_root"),
        "options": {},
        "resolution": config.get_ref("side"),
        "workers": 0,
        **{key: config.data.get_oneway_ref(key) for key in ("scale", "flip")},
    }


def _photos_labelled() -> ConfigDict:
    config = _photos()
    config.name = "line_drawing_labelled"
    config.unet.update(_COCO)
    config.data.update({"source": "coco_stuff", "options": {"keys": ("labels",)}})
    config.phases.drawing.system.seg.mode = "joint"
    config.phases.drawing.system.judged_by = ("labels",)
    return config


def _photos_colour() -> ConfigDict:
    config = _photos()
    config.name = "line_drawing_colour"
    config.generator.channels = 3
    phase = config.phases.drawing
    phase.system.loss.identity = 5.0
    phase.data.unpaired = {**_drawings(config, "drawings"), "options": {"colour": True}}
    return config


def _coco(drawings: str) -> ConfigDict:
    """Return the published method; the paper's silence is filled by the baseline's settings, but
    for batches of 8 pictures instead of 4.
    """
    config = _base("pretrained")
    config.name = f"line_drawing_{drawings}"
    config.unet.update(_COCO)
    # The baseline resizes to 286 px and cuts 256 out.
    config.data.update({"source": "photo_depth", "workers": 16, "scale": (256 / 286, 256 / 286)})
    config.every.update({"log": 100, "eval": 5000, "checkpoint": 2500})
    config.eval.update({"examples": 1024, "batch": 16})
    config.phases.depth.system.optimizer.lr = 2e-4
    config.phases.depth.train.steps = _epochs(config.phases.depth, 20)
    _lengthen(config, config.phases.drawing, drawings)
    return config


def _epochs(phase: ConfigDict, count: int) -> FieldReference:
    """Return the steps of so many epochs, which follow the phase's batch."""
    return count * (_EPOCH_PHOTOS // phase.train.get_ref("global_batch"))


def _lengthen(config: ConfigDict, phase: ConfigDict, drawings: str) -> None:
    """Set the generators' phase up for all epochs on those drawings."""
    phase.data.unpaired = _drawings(config, drawings)
    phase.system.optimizer.epoch, phase.train.steps = _epochs(phase, 1), _epochs(phase, _EPOCHS)


def _table_of_scenes() -> ConfigDict:
    return _table(_demo(), "standin", lambda phase: _shorten(phase, _DEMO_STEPS), lambda _: 300)


def _table_long() -> ConfigDict:
    config = _demo()
    config.side, config.generator.width = 64, 32
    config.data.length, config.eval.examples = 10_000, 256
    table = _table(config, "standin", lambda phase: _shorten(phase, 15_000), lambda _: 2000)
    for phase in (table.phases.baseline, table.phases.segmentation):
        phase.system.loss.cycle, phase.system.optimizer.lr = 10.0, 3e-4
        # Halves of the drawings, whose distances then have a deviation.
        phase.system.style.subset = config.eval.examples // 2
    return table


def _table_of_coco() -> ConfigDict:
    config = _coco("contour_drawing")

    def set_up(phase: ConfigDict) -> None:
        _lengthen(config, phase, "contour_drawing")
        phase.system.judged_by = ("labels",)

    return _table(config, "pretrained", set_up, lambda judge: _epochs(judge, 20))


def _table(
    config: ConfigDict, weights: str, set_up: Callable[..., None], steps: Callable[..., Any]
) -> ConfigDict:
    """Return baseline and segmentation loss, and the readers that judge them after ``steps``."""
    del config.phases["drawing"]
    config.generator.blocks = config.generator.blocks or _BLOCKS
    kind = "published" if weights == "pretrained" else "standin"
    config.phases.outsider = _outsider(config, weights)
    config.phases.outsider.train.steps = steps(config.phases.outsider)
    run, rows = ["outsider", "depth"], [("drawings of others", "outsider", "", "ours")]
    for name, mode in (("baseline", "off"), ("segmentation", "joint")):
        phase = ConfigDict(_drawing(config, kind, weights))
        set_up(phase)
        phase.system.judged_by += ("style", "retrieval", "outsider")
        phase.frozen.update({judge: f"{weights}:{row}" for judge, row in _JUDGES.items()})
        phase.frozen.outsider = "phase:outsider"
        phase.system.seg.mode = mode
        config.phases[name] = phase
        run.append(name)
        rows.append((name, name, ""))
        for reader in ("segmenter", "depth"):
            judge = ConfigDict(_reader(config, reader, weights, drawer=name))
            judge.train.steps = steps(judge)
            config.phases[f"{reader}_{name}"] = judge
            run.append(f"{reader}_{name}")
            rows.append((f"{name}, read by a new {reader}", f"{reader}_{name}", ""))
    config.run = tuple(run)
    config.table = {
        "paper": "line_drawing",
        "data": "coco_stuff",
        "rows": tuple(rows),
        "columns": tuple(("", f"auto: {n}", m, FACTORS.get(m, 1.0)) for n, m in COLUMNS.items()),
        # For launch/compare.py, picture by picture.
        "pairs": tuple(
            (f"{by}baseline", f"{by}segmentation") for by in ("", "segmenter_", "depth_")
        ),
    }
    return config


def _read_before(config: ConfigDict, mode: str) -> ConfigDict:
    """Train the segmenter of the generators' phase in a phase before it, as ``mode`` says.

    What it reads are photographs, or drawings by "baseline", a phase of the same generators
    without a segmenter.
    """
    mode = preset_of(mode, dict(zip(_MODES, _MODES, strict=True)))
    if "drawing" not in config.phases:
        raise UserError(f"the rows of {config.name} say how segmenters learn; take '+{mode}' out")
    phase, before = config.phases.drawing, ["segmenter"]
    epochs = phase.system.optimizer.epoch > 0
    drawer = "" if mode == "frozen_photo" else "baseline"
    if drawer:
        config.generator.blocks = config.generator.blocks or _BLOCKS
        baseline = copied(phase)
        del baseline.system.seg["mode"]  # it would follow, too
        baseline.system.seg.mode = "off"
        if epochs:
            baseline.train = ConfigDict(phase.train.to_dict())
            del baseline.system.optimizer["epoch"]
            _lengthen(config, baseline, phase.data.unpaired.source)
        config.phases[drawer] = baseline
        before.insert(0, drawer)
    reader = ConfigDict(_reader(config, "segmenter", "", drawer=drawer))
    a_fifth = max(1, phase.train.steps // 5)
    reader.train.steps = _epochs(reader, _EPOCHS // 5) if epochs else a_fifth
    config.phases["segmenter"] = reader
    phase.system.seg.mode = mode
    (phase.init_from if mode == "warm_joint" else phase.frozen).segmenter = "phase:segmenter"
    config.run = (*config.run[:-1], *before, "drawing")
    return config
