"""Fixtures of the systems' tests."""

import jax
import pytest


@pytest.fixture
def on_one_device():
    """Ordered callbacks need a program of one device."""
    with jax.default_device(jax.devices()[0]):
        yield
