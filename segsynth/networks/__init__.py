"""Linen modules: they know shapes, and no losses."""
