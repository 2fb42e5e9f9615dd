r"""Line drawings by the generators of Chan, Durand and Isola (CVPR 2022). Nothing is trained.

  python launch/predict.py --config configs/published_drawing.py:contour --image a.png \
      --output drawing.png
      One photograph, or a folder of them, in the style contour; :anime and :opensketch are the
      other two. The folder that SEGSYNTH_WEIGHTS names must hold informative_drawings_contour (or
      _anime, _opensketch; launch/import_weights.py).
  python launch/evaluate.py --config configs/published_drawing.py
      The demo: what the style contour shows of 64 procedural scenes of 256 px.
  python launch/evaluate.py --config configs/published_drawing.py:contour --data-root DIR
      The same on a folder of photographs, without their borders.
  python launch/evaluate.py --config configs/published_drawing.py:smoke
      A small network of random weights instead, which needs no import. Seconds.
"""

from ml_collections import ConfigDict

from segsynth.config_files import preset_of

_STYLES = ("contour", "anime", "opensketch")


def get_config(preset: str = "") -> ConfigDict:
    """Return the config of a preset; "" is the demo."""
    styles = {style: lambda style=style: _base(style) for style in _STYLES}
    return preset_of(preset, {"demo": _demo, "smoke": _smoke, **styles})()


def _base(style: str) -> ConfigDict:
    config = ConfigDict()
    config.name = f"published_drawing_{style}"
    config.seed = 0
    config.data_root = ""
    config.system = {
        "name": "published_drawing",
        "width": 64,
        "blocks": 3,
        "labels": False,
        "things": (),
    }
    config.frozen = {"drawer": f"pretrained:informative_drawings_{style}"}
    config.data = {
        "source": "folder",
        "root": config.get_oneway_ref("data_root"),
        "resolution": 256,
        "options": {},
    }
    config.eval = {"split": "all", "examples": -1, "batch": 8}
    return config


def _demo() -> ConfigDict:
    config = _base("contour")
    config.system.update({"labels": True, "things": tuple(range(6, 12))})
    config.data.update({"source": "scenes", "length": 64, "seed": 0})
    config.data.options = {"provides": ("image", "labels")}
    config.eval.update({"split": "val", "examples": 64})
    return config


def _smoke() -> ConfigDict:
    config = _demo()
    config.system.width = 8
    config.frozen.drawer = "standin:informative_drawings_contour"
    config.data.resolution = 32
    config.eval.examples = 8
    return config
