"""Figures that the papers print, one JSON file a paper, for tables beside ours."""
