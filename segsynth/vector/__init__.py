"""From pixels to strokes of a pen: centrelines of a drawing, and SVG files of them."""
