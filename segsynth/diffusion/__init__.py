"""Noise schedules, the forward process and its parameterisations, samplers."""
