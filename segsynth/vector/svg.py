"""SVG files of strokes: a polyline each, which viewers, editors and plotters read alike."""

from collections.abc import Sequence

from segsynth.vector.strokes import Stroke


def svg(
    strokes: Sequence[Stroke], size: tuple[int, int], *, ink: str = "black", paper: str = "white"
) -> str:
    """Return the text of an SVG file.

    Args:
        strokes: the lines.
        size: height and width of the picture, px.
        ink: colour of the lines.
        paper: colour of the ground; "" = transparent.

    """
    height, width = size
    ground = f'<rect width="{width}" height="{height}" fill="{paper}"/>\n' if paper else ""
    lines = "".join(_polyline(stroke) for stroke in strokes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">\n{ground}'
        f'<g fill="none" stroke="{ink}" stroke-linecap="round" stroke-linejoin="round">\n'
        f"{lines}</g>\n</svg>\n"
    )


def _polyline(stroke: Stroke) -> str:
    points = stroke.points.tolist()
    if len(points) == 1:
        points *= 2  # a line of no length has round ends: a dot
    coordinates = " ".join(f"{x:.6g},{y:.6g}" for x, y in points)
    return f'<polyline points="{coordinates}" stroke-width="{stroke.width:.3g}"/>\n'
