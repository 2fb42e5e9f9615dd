"""With what a figure was computed: its config, versions, devices."""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from typing import Any

import jax

import segsynth

_PACKAGES = ("jax", "flax", "optax", "numpy")


def versions(*more: str) -> dict[str, str]:
    """Return the versions of Python, of what decides figures, and of ``more`` packages."""
    found = {name: importlib.metadata.version(name) for name in (*_PACKAGES, *more)}
    return {"segsynth": segsynth.__version__, "python": platform.python_version(), **found}


def devices() -> str:
    """Return how many devices there are, and of what kind."""
    return f"{jax.device_count()} {jax.devices()[0].device_kind}"


def config_sha256(settings: Mapping[str, Any]) -> str:
    """Digest of what is computed: not of where the data and the workdir lie."""
    places = ("data_root", "drawings_root", "run")
    told = {key: value for key, value in settings.items() if key not in places}
    told = {"data": {}, **_without_roots(told)}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def provenance(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return all of these, for a result file."""
    return {
        "config_sha256": config_sha256(settings),
        "devices": devices(),
        "versions": versions(),
    }


def _without_roots(section: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_roots(value) if isinstance(value, Mapping) else value
        for key, value in section.items()
        if key != "root"
    }
