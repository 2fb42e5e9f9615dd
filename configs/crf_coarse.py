r"""Coarse labels to pixel-accurate labels by a dense CRF. Nothing is trained but in :tune.

  python launch/evaluate.py --config configs/crf_coarse.py
      The demo: 24 procedural street scenes with coarse labels, coarse against refined.
  python launch/evaluate.py --config configs/crf_coarse.py:camvid --data-root DIR
      Frames of CamVid with coarse labels (DIR/images, labels, coarse, train.txt, val.txt).
  python launch/evaluate.py --config configs/crf_coarse.py:cityscapes --data-root DIR
      leftImg8bit, gtFine and gtCoarse of Cityscapes; the paper's Table 1 beside ours.
  python launch/train.py --config configs/crf_coarse.py:tune
      Learn weights, widths and penalties of pairs of classes on procedural street scenes of
      64 x 128 px. 5 to 10 minutes on two CPU cores.
  python launch/train.py --config configs/crf_coarse.py:tune_camvid --config.data_root DIR
      The same on the training frames of CamVid. Either writes a file that evaluation and prediction
      take: --config.system.parameters=runs/crf_coarse-tune_camvid/tune/parameters.json
  python launch/train.py --config configs/crf_coarse.py:smoke
      A few steps of tuning on tiny frames. Half a minute, nearly all of it compilation.
  python launch/reproduce.py --paper crf_coarse --workdir runs/crf_table
      The paper's Table 1 beside ours, class by class: the preset :table on the demo's streets; with
      --preset paper and --config.data_root=DIR, :table_paper, on Cityscapes.
  python launch/predict.py --config configs/crf_coarse.py:plain --image a.png --labels b.png \
      --output c.png
      Any label numbers 0 to 254; 255, or --config.system.unlabelled, is to be filled in; folders as
      well. The presets above read and write the published ids of their data set.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from segsynth.config_files import preset_of
from segsynth.data import label_sets

_TRAINED = label_sets.get("cityscapes").trained
#: Values of the preset that may be replaced. Widths in px of a picture 2048 wide.
_CRF = {
    **dict.fromkeys(("appearance", "appearance_xy", "appearance_rgb"), float),
    **dict.fromkeys(("smoothness", "smoothness_xy"), float),
    **{"iterations": int, "normalisation": str},
}
_UNARY = {"reading": str, "tau": float, "xy": float, "rgb": float}


def _unset(kinds: dict[str, type]) -> dict:
    """Return placeholders: the preset's value counts unless one is set."""
    return {name: placeholder(kind) for name, kind in kinds.items()}


def get_config(preset: str = "") -> ConfigDict:
    """Return the config of a preset; "" is the demo."""
    presets = {
        "demo": _demo,
        "camvid": _camvid,
        "cityscapes": _cityscapes,
        "plain": _plain,
        "tune": _tune,
        "tune_camvid": _tune_camvid,
        "smoke": _smoke,
        "table": lambda: _table(_demo()),
        "table_paper": lambda: _table(_cityscapes()),
    }
    return preset_of(preset, presets)()


def _base(label_set: str) -> ConfigDict:
    table = label_sets.get(label_set) if label_set else None
    config = ConfigDict()
    config.name = "crf_coarse"
    config.seed = 0
    config.data_root = ""
    config.system = {
        "name": "crf_coarse",
        "classes": tuple(row.name for row in table.trained) if table else (),
        "preset": "coarse",
        "fast": False,
        "unlabelled": 255,
        "crf": _unset(_CRF),
        "unary": _unset(_UNARY),
        "parameters": "",
        "paper": "",
    }
    config.data = {
        "source": "streets",
        "root": config.get_oneway_ref("data_root"),
        "label_set": label_set,
        "ids": "train",
        "frame": (128, 256),
        "make_coarse": False,
    }
    config.eval = {"split": "val", "examples": -1, "batch": 1}
    return config


def _demo() -> ConfigDict:
    config = _base("cityscapes")
    config.eval.examples = 24
    return config


def _camvid() -> ConfigDict:
    config = _base("camvid")
    config.data.update({"source": "camvid", "frame": (360, 480)})
    return config


def _cityscapes() -> ConfigDict:
    config = _base("cityscapes")
    config.data.update({"source": "cityscapes", "frame": (1024, 2048)})
    config.system.paper = "crf_coarse"
    return config


def _table(config: ConfigDict) -> ConfigDict:
    """Return a config with the paper's Table 1, class by class, in words of our metrics."""
    rows = [(row.name, "", row.name.replace(" ", "_") + "/") for row in _TRAINED]
    rates = [("recall", "Acc"), ("iou", "IoU")]
    config.table = {
        "paper": "crf_coarse",
        "data": "cityscapes",
        "rows": (*rows, ("mean", "", "mean_")),
        "columns": tuple(
            (f"{who} {'recall' if rate == 'recall' else 'IoU'}", f"{name} {who}", metric, 1.0)
            for rate, name in rates
            for who in ("coarse", "refined")
            for metric in (f"{who}/{{key}}{rate}",)
        ),
    }
    return config


def _plain() -> ConfigDict:
    return _base("")


def _tune() -> ConfigDict:
    """Return the training of the parameters that the presets above take."""
    config = _base("cityscapes")
    config.name = "crf_tuning"
    config.tensorboard = False
    config.mesh = {"data": -1, "fsdp": 1}
    config.system = {
        "name": "crf_tuning",
        "classes": config.system.classes,
        "preset": "coarse",
        "crf": _unset(_CRF),
        "unary": _unset(_UNARY),
        "appearance_xy": (160.0, 320.0),
        "appearance_rgb": (5.0, 8.0),
        "unlabelled": 255,
        "judged": 0.5,
        "average": 0.98,
        "optimizer": {"lr": 0.03, "warmup": 5, "clip": 1.0, "eps": 1e-4},
    }
    config.data.update({"frame": (64, 128), "flip": 0.5, "length": 64, "cache": True})
    config.eval.update({"examples": 24, "batch": 8})
    config.every = {"log": 10, "eval": 0, "checkpoint": 50, "diagnose": 0}
    config.run = ("tune",)
    config.phases = {"tune": {"train": {"steps": 100, "global_batch": 8}}}
    return config


def _tune_camvid() -> ConfigDict:
    config = _tune()
    table = label_sets.get("camvid")
    config.system.classes = tuple(row.name for row in table.trained)
    config.data.update({"source": "camvid", "label_set": "camvid", "frame": (90, 120)})
    config.eval.examples = -1
    return config


def _smoke() -> ConfigDict:
    config = _tune()
    config.system.update({"appearance_xy": (320.0,), "crf": {"iterations": 2}})
    config.data.update({"frame": (24, 48), "length": 16})
    config.eval.examples = 8
    config.every.update({"log": 2, "checkpoint": 4})
    config.phases.tune.train.steps = 6
    return config
