"""Damaged label maps restored through a frozen SPADE image generator.

  python launch/train.py --config configs/mask_restoration.py
      The demo: procedural street scenes of 32 x 64 px in the seven categories of Cityscapes and
      void; an image generator, then coarse maps and 8x low resolution restored with all three
      losses. Who drew the coarse maps kept two pixels away from every border. Twenty minutes on
      one CPU core.
  python launch/train.py --config configs/mask_restoration.py:rows
      The same with all four rows of losses of both tasks.
  python launch/train.py --config configs/mask_restoration.py:classes
      The demo with all classes of Cityscapes; 5 minutes a phase.
  python launch/train.py --config configs/mask_restoration.py:smoke
      Both kinds of phase for a few steps on tiny networks, nearly all of it compilation.
  python launch/train.py --config configs/mask_restoration.py:camvid --config.data_root DIR
      The demo's phases on frames of CamVid at 96 x 128 px (DIR/images, labels, train.txt, val.txt);
      coarse maps are made from the fine ones. Half an hour on one CPU core.
  python launch/train.py --config configs/mask_restoration.py:cityscapes --config.data_root DIR
      leftImg8bit, gtFine and gtCoarse of Cityscapes at 256 x 512 px, published networks, all rows
      of the paper's Table 1. For accelerators; not run by us. The folder that SEGSYNTH_WEIGHTS
      names must hold vgg19 and inception_fid (launch/import_weights.py). :cityscapes_short is a
      quarter of its 200 epochs.
  python launch/reproduce.py --paper mask_restoration --preset demo --workdir runs/masks --seeds 3
      The paper's Table 1 beside ours, with the maps that need no network: the preset :table, which
      is :rows. With --preset classes, :table_classes, the rows of :classes. With
      --config.data_root=DIR and --preset paper, :table_paper, on Cityscapes, or --preset camvid,
      :table_camvid. With --preset smoke, :table_smoke, all at the size of :smoke.

The first phase trains the image generator; each of the others one restorer under it, named after
its task and its losses. Another row is another set of weights, for instance without VGG:
--config.phases.sparse_ce_vgg_l1.system.loss.vgg=0, and another task or bridge another value, as
--config.phases.sparse_ce_vgg_l1.system.task=holes. What made coarse maps leave out are values, too,
such as --config.data.coarsening.drop=0.2. All but cityscapes compare features of stand-ins of VGG19
and Inception, small networks of random weights, so that nothing has to be downloaded; what is
computed from them is called so.
"""

import dataclasses
from collections.abc import Mapping

from ml_collections import ConfigDict

from segsynth.config_files import follow, preset_of
from segsynth.data import label_sets
from segsynth.data.coarsen import STEADY, Coarsening

#: Rows of the paper's Table 1: weights of cross-entropy, VGG and L1.
_ROWS = {
    "ce_vgg_l1": (1.0, 1.0, 1.0),
    "ce": (1.0, 0.0, 0.0),
    "ce_vgg": (1.0, 1.0, 0.0),
    "ce_l1": (1.0, 0.0, 1.0),
}
_TASKS = {"sparse": "coarse", "sr8": "sr8"}
_ONE_TASK = {"sparse": "coarse"}
#: Name of a task in the paper's table, and the maps that need no network to beat, by key.
_PRINTED = {"sparse": "sparse", "sr8": "x8"}
_FILLS = {"nearest": "nearest label", "bilinear": "bilinear, largest"}


def get_config(preset: str = "") -> ConfigDict:
    """Return the config of a preset; "" is the demo."""
    presets = {
        "demo": _demo,
        "rows": lambda: _demo(tuple(_ROWS)),
        "classes": lambda: _demo(label_set="cityscapes"),
        "smoke": _smoke,
        "camvid": _camvid,
        "cityscapes": _cityscapes,
        "cityscapes_short": lambda: _cityscapes(epochs=50),
        "table": lambda: _table(_judged(_demo(tuple(_ROWS)), "standin"), "standin"),
        "table_classes": lambda: _table(
            _judged(_demo(tuple(_ROWS), label_set="cityscapes"), "standin"), "standin"
        ),
        "table_paper": lambda: _table(_cityscapes(), "published"),
        "table_camvid": lambda: _table(_judged(_camvid(tuple(_ROWS)), "standin"), "standin"),
        "table_smoke": lambda: _table(_judged(_smoke(tuple(_ROWS), _TASKS), "standin"), "standin"),
    }
    return preset_of(preset, presets)()


def _base(
    rows: tuple[str, ...], vgg: str, label_set: str, tasks: Mapping[str, str] = _TASKS
) -> ConfigDict:
    """Return the published networks and schedule; ``vgg`` is "pretrained" or "standin"."""
    table = label_sets.get(label_set)
    config = ConfigDict()
    config.name = "mask_restoration"
    config.seed = 0
    config.data_root = ""
    config.tensorboard = False
    config.mesh = {"data": -1, "fsdp": 1}
    config.frame = (256, 512)
    config.data = {
        "source": "streets",
        "root": config.get_oneway_ref("data_root"),
        "frame": config.get_ref("frame"),
        "label_set": label_set,
        "ids": "published",
        "make_coarse": False,
        "coarsening": {},
        "regroup": "",
        "flip": 0.5,
        "workers": 0,
        "length": 1_000_000,
        "cache": False,
    }
    config.every = {"log": 50, "eval": 0, "checkpoint": 500, "diagnose": 0}
    config.eval = {"split": "val", "examples": 96, "batch": 16, "keep": 2}
    # Ids of the files, void ones too: position in the table, Cityscapes' license plate (-1) last.
    config.generator = {
        "width": 64,
        "hidden": 128,
        "upsampling": "more",
        "norm": "batch",
        "remat": False,
    }
    config.dtype = "float32"
    kind = {"pretrained": "published", "standin": "standin"}[vgg]
    features = {"network": kind, "pixels": "none"}
    shared = {
        "classes": len(table.classes),
        "frame": config.get_ref("frame"),
        "generator": follow(config.generator),
        "dtype": config.get_ref("dtype"),
        "ema": 0.999,
        "distances": {"network": "", "capacity": 1000, "bytes": "truncated"},
    }
    config.phases = {"synthesis": _synthesis({**shared, "vgg": features}, vgg)}
    for task, damage in tasks.items():
        for row in rows:
            system = {**shared, "vgg": features, "task": damage}
            system["restorer"] = follow(config.generator)
            config.phases[f"{task}_{row}"] = _restoration(system, row, vgg, table)
    # A ConfigDict sorts its keys.
    config.run = ("synthesis", *(f"{task}_{row}" for task in tasks for row in rows))
    return config


def _judged(config: ConfigDict, network: str) -> ConfigDict:
    """Return a config whose evaluations compare sets of pictures, too."""
    for phase in config.phases.values():
        phase.system.distances.network = network
    return config


def _optimizer(preset: str) -> dict:
    return {"preset": preset, "lr": 2e-4, "eps": 1e-8, "constant_steps": 0, "decay_steps": 0}


def _synthesis(shared: dict, vgg: str) -> dict:
    """Return the phase of the image generator."""
    system = {
        "name": "image_synthesis",
        **shared,
        "edges": False,
        "discriminator": {"scales": 2, "width": 64, "layers": 4},
        "loss": {"features": 10.0, "vgg": 10.0, "l1": 0.0},
        "optimizer": _optimizer("ttur"),
        "order": "sequential",
    }
    train = {"steps": 1, "global_batch": 16, "calibration": 30}
    return {"system": system, "train": train, "frozen": _published(vgg)}


def _published(weights: str) -> dict:
    return {"vgg": f"{weights}:vgg19", "inception": f"{weights}:inception_fid"}


def _restoration(shared: dict, row: str, vgg: str, table: label_sets.LabelSet) -> dict:
    """Return the phase of one restorer."""
    weights = dict(zip(("ce", "vgg", "l1"), _ROWS[row], strict=True))
    system = {
        "name": "mask_restoration",
        **shared,
        "names": tuple(each.name for each in table.classes),
        "evaluated": tuple(255 if each.ignored else each.train_id for each in table.classes),
        "unlabelled": table.unlabelled,
        "unknown": "as_class0",
        "edges": "none",
        "generator_norm": "running",
        "bridge": "softmax",
        "tau": 1.0,
        "loss": {**weights, "ignore": (), "balance": False},
        "image_target": "photo",
        "mixture": (),
        "told": 0.0,
        "damage": {
            "low_resolution": {"index": "corner"},
            "holes": {"blocks": 3, "strokes": 4, "size": 0.4, "thickness": 0.12},
            "noisy": {"radius": 4.0, "grain": 8},
            "classes": {"share": 0.3},
        },
        "clamp_known": False,
        "confidence": False,
        "optimizer": _optimizer("balanced"),
    }
    # Those of losses and distances that are off are not loaded.
    frozen = {"generator": "phase:synthesis", **_published(vgg)}
    train = {"steps": 1, "global_batch": 16, "calibration": 30}
    return {"system": system, "train": train, "frozen": frozen}


def _demo(
    rows: tuple[str, ...] = ("ce_vgg_l1",),
    tasks: Mapping[str, str] = _TASKS,
    label_set: str = "cityscapes_categories",
) -> ConfigDict:
    config = _base(rows, "standin", label_set, tasks)
    grouped = label_set == "cityscapes_categories"
    config.data.regroup = label_set if grouped else ""
    config.data.coarsening = dataclasses.asdict(STEADY if grouped else Coarsening())
    config.frame = (32, 64)
    config.generator.update({"width": 8, "hidden": 24, "upsampling": "normal"})
    # One light, so that a photograph follows from its labels and a distance from it tells of them.
    config.data.update({"length": 1024, "cache": True, "options": {"light": "steady"}})
    for name, phase in config.phases.items():
        phase.system.ema = 0.99
        phase.system.optimizer.update({"preset": "balanced", "lr": 1e-2})
        phase.train.update({"global_batch": 8, "calibration": 20})
        _last(phase, _demo_steps(phase, grouped))
        if name == "synthesis":
            phase.system.discriminator.update({"width": 16, "layers": 3})
            phase.system.loss.l1 = 10.0
            phase.system.order = "simultaneous"
            phase.system.optimizer.lr = 1e-3
    return config


def _demo_steps(phase: ConfigDict, grouped: bool) -> int:
    if phase.system.name == "image_synthesis":
        return 600
    if not grouped:
        return 1000
    return 2000 if phase.system.task == "coarse" else 600


def _last(phase: ConfigDict, steps: int) -> None:
    """Train for ``steps``, the rate falling to 0 over the second half."""
    phase.train.steps = steps
    phase.system.optimizer.update({"constant_steps": steps // 2, "decay_steps": steps // 2})


def _smoke(
    rows: tuple[str, ...] = ("ce_vgg_l1",), tasks: Mapping[str, str] = _ONE_TASK
) -> ConfigDict:
    config = _demo(rows, tasks)
    config.generator.update({"width": 1, "hidden": 4})
    config.data.length = 16
    config.every.update({"log": 2, "checkpoint": 4})
    config.eval.update({"examples": 8, "batch": 8})
    for phase in config.phases.values():
        phase.train.update({"steps": 4, "calibration": 0})
    synthesis = config.phases.synthesis
    synthesis.train.calibration = 2
    synthesis.system.discriminator.update({"width": 4, "layers": 2})
    synthesis.system.loss.vgg = 0.0  # the restorer has it
    return config


def _camvid(rows: tuple[str, ...] = ("ce_vgg_l1",)) -> ConfigDict:
    config = _demo(rows, label_set="camvid")
    config.frame = (96, 128)
    config.data.update({"source": "camvid", "make_coarse": True})
    del config.data.options
    config.eval.examples = -1
    for phase in config.phases.values():
        _last(phase, 400)
    return config


def _cityscapes(epochs: int = 200) -> ConfigDict:
    config = _base(tuple(_ROWS), "pretrained", "cityscapes")
    config.name = "mask_restoration_cityscapes"
    config.data.update({"source": "cityscapes", "workers": 16})
    config.dtype = "bfloat16"
    config.every.update({"log": 100, "eval": 5000, "checkpoint": 2000})
    config.eval.update({"examples": -1, "batch": 16})
    for name, phase in config.phases.items():
        phase.train.global_batch = 32 if name == "synthesis" else 16
        _last(phase, epochs * (2975 // phase.train.global_batch))
    return _judged(config, "published")


def _table(config: ConfigDict, network: str) -> ConfigDict:
    """Return a config of all rows with the paper's Table 1 in words of our metrics."""
    first = next(iter(_ROWS))
    rows = [("synthesis", f"sparse_{first}", "synthesis")]
    rows.append(("most frequent class", f"sparse_{first}", "majority", "ours"))
    for task, name in _PRINTED.items():
        rows.append((f"{name}, none", f"{task}_{first}", "none"))
        for key, fill in _FILLS.items():
            if (task, key) != ("sparse", "bilinear"):
                rows.append((f"{name}, {fill}", f"{task}_{first}", key, "ours"))
        for row in _ROWS:
            title = f"{name}, {row.upper().replace('_', '+')}"
            rows.append((title, f"{task}_{row}", "restored"))
        title = f"{name}, {first.upper().replace('_', '+')}"
        for key, more in {"clamped": "known pixels kept", "restored_soft": "soft planes"}.items():
            rows.append((f"{title}, {more}", f"{task}_{first}", key, "ours"))
    mark, frechet, kernel = {
        "published": ("", "fid", "kid"),
        "standin": (" (stand-in)", "frechet[standin]", "kernel[standin]"),
    }[network]
    names = ("FID", "KID") if network == "published" else ("Fréchet", "kernel")
    classes = label_sets.get(config.data.label_set).classes
    # The number of what nobody labelled is no class of a map that was grouped.
    counted = len(classes) - bool(config.data.regroup)
    config.table = {
        "paper": "mask_restoration",
        "classes": {
            "title": "IoU %",
            "names": tuple(each.name for each in classes),
            "metric": "{key}/{name}/iou",
            "factor": 100.0,
        },
        "data": "cityscapes",
        "rows": tuple(rows),
        "columns": (
            ("FID", f"{names[0]}{mark}", f"{{key}}/{frechet}", 1.0),
            ("", f"{names[1]}{mark} x 1000", f"{{key}}/{kernel}", 1000.0),
            ("accu %", "accu %", "{key}/accuracy", 100.0),
            ("mIoU %", f"mIoU % of {counted}", "{key}/mean_iou", 100.0),
            ("", "mIoU official %", "{key}/mean_iou_official", 100.0),
            ("", "border accu %", "{key}/border_accuracy", 100.0),
            ("", "known accu %", "{key}/known_accuracy", 100.0),
            ("", "unknown accu %", "{key}/unknown_accuracy", 100.0),
            ("", "calibration error %", "{key}/calibration_error", 100.0),
            ("", "image L1", "{key}/image_l1", 1.0),
            ("", "image SSIM", "{key}/image_ssim", 1.0),
        ),
    }
    return config
