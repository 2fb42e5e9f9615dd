"""Photographs to line drawings that keep depth, meaning and segments; see `system`."""

from segsynth.systems.line_drawing.published import PublishedDrawing
from segsynth.systems.line_drawing.system import LineDrawing

__all__ = ["LineDrawing", "PublishedDrawing"]
