r"""Depth maps of photographs by Depth Anything V2, small (Yang et al., 2024). Nothing is trained.

  python launch/predict.py --config configs/published_depth.py --image DIR/photos \
      --output DIR/depth
      Every photograph of a folder, or one: a 16-bit grey PNG of the same name and size, bright =
      near, 0 to 65535 in each, as configs/line_drawing.py:coco_contour reads them. The folder that
      SEGSYNTH_WEIGHTS names must hold depth_anything_v2_small (launch/import_weights.py). Not run
      by us.
  python launch/evaluate.py --config configs/published_depth.py
      Such maps of 64 procedural scenes of 256 px beside their true depth.
  python launch/evaluate.py --config configs/published_depth.py:maps --data-root DIR
      The same of photographs, beside depth maps that DIR has already, of whatever estimator
      (DIR/photos, depth; segsynth/data/layouts/photo_depth.py).
  python launch/evaluate.py --config configs/published_depth.py:smoke
      A small network of random weights instead, which needs no import, on 8 scenes of 56 px.
      Seconds; what it finds is no depth.

--config.system.side is the shorter side at which the network looks at a photograph, a multiple of
14: less costs less and shows less.
"""

from ml_collections import ConfigDict

from segsynth.config_files import preset_of


def get_config(preset: str = "") -> ConfigDict:
    """Return the config of a preset; "" is the demo."""
    return preset_of(preset, {"demo": _demo, "maps": _maps, "smoke": _smoke})()


def _demo() -> ConfigDict:
    config = ConfigDict()
    config.name = "published_depth"
    config.seed = 0
    config.data_root = ""
    config.system = {"name": "published_depth", "network": "published", "side": 518}
    config.frozen = {"estimator": "pretrained:depth_anything_v2_small"}
    config.data = {
        "source": "scenes",
        "root": config.get_oneway_ref("data_root"),
        "resolution": 256,
        "length": 64,
        "seed": 0,
        "options": {"provides": ("image", "depth")},
    }
    config.eval = {"split": "val", "examples": 64, "batch": 8}
    return config


def _maps() -> ConfigDict:
    config = _demo()
    config.data.source = "photo_depth"
    config.data.options = ConfigDict()
    config.eval.update({"split": "all", "examples": -1})
    return config


def _smoke() -> ConfigDict:
    config = _demo()
    config.system.update({"network": "standin", "side": 56})
    config.frozen.estimator = "standin:depth_anything_v2_small"
    config.data.resolution = 56
    config.eval.examples = 8
    return config
