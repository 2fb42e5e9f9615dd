"""What a result file says of how it was made."""

import importlib.metadata
import platform

import jax

import segsynth
from segsynth.engine import provenance


def test_the_digest_of_a_config_is_not_of_places():
    def digest(root, **more):
        data = {"root": root, "unpaired": {"root": root}, **more}
        places = {"data_root": root, "drawings_root": root}
        return provenance.config_sha256({**places, "phases": {"a": {"data": data}}})

    assert digest("/here") == digest("/there") != digest("/here", source="streets")


def test_a_result_says_with_what_it_was_made():
    found = provenance.provenance({"seed": 3})
    assert found["config_sha256"] == provenance.config_sha256({"seed": 3})
    assert found["config_sha256"] != provenance.config_sha256({"seed": 4})
    assert found["devices"] == f"{jax.device_count()} {jax.devices()[0].device_kind}"
    assert found["versions"]["python"] == platform.python_version()
    assert found["versions"]["segsynth"] == segsynth.__version__
    for name in ("jax", "flax", "optax", "numpy"):
        assert found["versions"][name] == importlib.metadata.version(name)
