"""Losses that several systems share: plain functions of arrays, in float32."""
