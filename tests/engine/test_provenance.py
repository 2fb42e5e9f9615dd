"""What a result file says of how it was made."""

import importlib.metadata
import platform

import jax

from segsynth.engine import provenance


def test_the_digest_of_a_config_is_not_of_places():
    def digest(root, **more):
        data = {"root": root, "unpaired": {"root": root}, **more}
        return provenance.config_sha256({"data_root": root, "phases": {"a": {"data": data}}})

    assert digest("/here") == digest("/there") != digest("/here", source="streets")


def test_a_result_says_with_what_it_was_made():
    found = provenance.provenance({"seed": 3})
    assert found["config_sha256"] == provenance.config_sha256({"seed": 3})
    assert found["config_sha256"] != provenance.config_sha256({"seed": 4})
    assert found["devices"] == f"{jax.device_count()} {jax.devices()[0].device_kind}"
    assert found["versions"]["python"] == platform.python_version()
    for name in ("segsynth", "jax", "flax", "optax", "numpy"):
        assert found["versions"][name] == importlib.metadata.version(name)
