"""One file or folder per paper, and the table of their names."""

from collections.abc import Mapping
from typing import Any

from segsynth.errors import UserError
from segsynth.settings import configure, unknown
from segsynth.system import Predictor
from segsynth.systems.classifier import Classifier
from segsynth.systems.crf_coarse import CrfCoarse
from segsynth.systems.crf_tuning import CrfTuning
from segsynth.systems.depth import Depth
from segsynth.systems.image_synthesis import ImageSynthesis
from segsynth.systems.inpaint_c2f import InpaintC2F
from segsynth.systems.line_drawing import LineDrawing, PublishedDrawing
from segsynth.systems.mask_restoration import MaskRestoration
from segsynth.systems.msagan import MSaGAN
from segsynth.systems.published_depth import PublishedDepth
from segsynth.systems.segmenter import Segmenter

#: Config name -> class. ``from_config`` of the class takes the other keys of the config's
#: ``system`` section.
REGISTRY: dict[str, Any] = {
    "classifier": Classifier,
    "crf_coarse": CrfCoarse,
    "crf_tuning": CrfTuning,
    "depth": Depth,
    "image_synthesis": ImageSynthesis,
    "inpaint_c2f": InpaintC2F,
    "line_drawing": LineDrawing,
    "mask_restoration": MaskRestoration,
    "msagan": MSaGAN,
    "published_depth": PublishedDepth,
    "published_drawing": PublishedDrawing,
    "segmenter": Segmenter,
}


def build(section: Mapping[str, Any]) -> Predictor:
    """Build the system that ``section["name"]`` names from the section's other keys.

    Raises :class:`UserError` for an unknown name or key.
    """
    settings = dict(section)
    name = settings.pop("name", "")
    if name not in REGISTRY:
        raise UserError(unknown(name, REGISTRY, "system.name"))
    return configure(REGISTRY[name].from_config, settings, "system")
