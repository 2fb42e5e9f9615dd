"""Photographs from label maps by SPADE.

  python launch/train.py --config configs/image_synthesis.py
      The demo: procedural street scenes of 64 x 128 px.
  python launch/train.py --config configs/image_synthesis.py:smoke
      A few steps of tiny networks, nearly all of it compilation.
  python launch/train.py --config configs/image_synthesis.py:camvid --config.data_root DIR
      Frames of CamVid (DIR/images, labels, train.txt, val.txt) at 96 x 128 px, its 12 labels.
  python launch/train.py --config configs/image_synthesis.py:cityscapes --config.data_root DIR
      leftImg8bit and gtFine of Cityscapes at 256 x 512 px, the published network and schedule. For
      accelerators; not run by us. The folder that SEGSYNTH_WEIGHTS names must hold vgg19 and
      inception_fid (launch/import_weights.py).

The demo, smoke and camvid compare features of stand-ins of VGG19 and, in evaluations of the demo
and camvid, Inception: small networks of random weights, so that nothing has to be downloaded. Their
distances between sets of pictures are not called FID and KID.
"""

from ml_collections import ConfigDict

from segsynth.config_files import preset_of


def get_config(preset: str = "") -> ConfigDict:
    """Return the config of a preset; "" is the demo."""
    presets = {
        "demo": _demo,
        "smoke": _smoke,
        "camvid": _camvid,
        "cityscapes": _cityscapes,
    }
    return preset_of(preset, presets)()


def _base() -> ConfigDict:
    """Return what all presets share: the published network on Cityscapes' 35 labels."""
    config = ConfigDict()
    config.name = "image_synthesis"
    config.seed = 0
    config.data_root = ""
    config.tensorboard = False
    config.mesh = {"data": -1, "fsdp": 1}
    config.frame = (256, 512)
    config.system = {
        "name": "image_synthesis",
        "classes": 35,
        "frame": config.get_ref("frame"),
        "edges": False,
        "generator": {
            "width": 64,
            "hidden": 128,
            "upsampling": "more",
            "norm": "batch",
            "remat": False,
        },
        "discriminator": {"scales": 2, "width": 64, "layers": 4},
        "loss": {"features": 10.0, "vgg": 10.0, "l1": 0.0},
        "vgg": {"network": "published", "pixels": "none"},
        "optimizer": {
            "preset": "ttur",
            "lr": 2e-4,
            "eps": 1e-8,
            "constant_steps": 0,
            "decay_steps": 0,
        },
        "distances": {"network": "published", "capacity": 1000},
        "order": "sequential",
        "ema": 0.999,
        "dtype": "float32",
    }
    config.data = {
        "source": "streets",
        "root": config.get_oneway_ref("data_root"),
        "frame": config.get_ref("frame"),
        "ids": "published",
        "flip": 0.5,
        "workers": 0,
        "length": 1_000_000,
        "cache": False,
    }
    config.every = {"log": 50, "eval": 0, "checkpoint": 500, "diagnose": 0}
    config.eval = {"split": "val", "examples": 64, "batch": 16, "keep": 2}
    config.run = ("synthesis",)
    config.phases = {
        "synthesis": {
            "train": {"steps": 1, "global_batch": 16, "calibration": 30},
            "frozen": {"vgg": "pretrained:vgg19", "inception": "pretrained:inception_fid"},
        }
    }
    return config


def _demo() -> ConfigDict:
    config = _base()
    config.frame = (64, 128)
    config.system.generator.update({"width": 8, "hidden": 24, "upsampling": "normal"})
    config.system.discriminator.update({"width": 16, "layers": 3})
    config.system.vgg.network = "standin"
    config.system.distances.network = "standin"
    config.system.optimizer.update({"preset": "balanced", "lr": 1e-3})
    config.system.loss.l1 = 10.0
    config.system.order = "simultaneous"
    config.system.ema = 0.99
    config.data.update({"length": 512, "cache": True})
    phase = config.phases.synthesis
    phase.frozen.update({"vgg": "standin:vgg19", "inception": "standin:inception_fid"})
    phase.train.update({"steps": 600, "global_batch": 8, "calibration": 20})
    return config


def _smoke() -> ConfigDict:
    config = _demo()
    config.frame = (32, 64)
    config.system.generator.update({"width": 2, "hidden": 8})
    config.system.discriminator.update({"width": 4, "layers": 2})
    config.system.distances.network = ""
    del config.phases.synthesis.frozen.inception
    config.data.length = 32
    config.every.update({"log": 2, "checkpoint": 4})
    config.eval.update({"examples": 8, "batch": 8})
    config.phases.synthesis.train.update({"steps": 6, "calibration": 2})
    return config


def _camvid() -> ConfigDict:
    config = _demo()
    config.frame = (96, 128)
    config.system.classes = 12
    config.data.source = "camvid"
    config.eval.examples = -1
    return config


def _cityscapes() -> ConfigDict:
    config = _base()
    config.name = "image_synthesis_cityscapes"
    config.data.update({"source": "cityscapes", "workers": 16})
    config.system.dtype = "bfloat16"
    # 200 epochs of 2975 pictures in batches of 32, the rate falling to 0 over the second hundred.
    epoch = 2975 // 32
    config.system.optimizer.update({"constant_steps": 100 * epoch, "decay_steps": 100 * epoch})
    config.every.update({"log": 100, "eval": 5000, "checkpoint": 2000})
    config.eval.update({"examples": -1, "batch": 16})
    config.phases.synthesis.train.update({"steps": 200 * epoch, "global_batch": 32})
    return config
