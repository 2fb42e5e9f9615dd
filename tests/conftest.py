"""Strict JAX, eight virtual devices, cheap compilation, and where the real pictures lie."""

import gc
import os
import pathlib
import tempfile

# Before jax is imported, and in the environment so that subprocesses of tests inherit them: tests
# compile far more than they compute, so LLVM need not optimise, and no program is compiled twice.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"
_default = os.path.join(tempfile.gettempdir(), "segsynth-tests-xla")
# Processes that run tests side by side keep their programs apart: a file is not written at once.
os.environ["JAX_COMPILATION_CACHE_DIR"] = os.path.join(
    os.environ.get("JAX_COMPILATION_CACHE_DIR", _default), os.environ.get("PYTEST_XDIST_WORKER", "")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")

import jax
import pytest
from absl import flags

_MANY_MAPPINGS = 15_000

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()  # Grain's worker processes read absl flags


@pytest.fixture(autouse=True, scope="module")
def _few_programs():
    """Forget compiled programs when there are many: each holds some of the memory mappings that
    Linux grants a process (65,530), and the compiler crashes where there are no more.
    """
    yield
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and len(maps.read_bytes().splitlines()) > _MANY_MAPPINGS:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def test_data() -> pathlib.Path:
    """The folder of real images; a test that needs it is skipped by name where it is absent."""
    default = pathlib.Path(__file__).parents[1] / ".." / "shared" / "data"
    root = pathlib.Path(os.environ.get("SEGSYNTH_TEST_DATA", default)).resolve()
    if not root.is_dir():
        pytest.skip(f"no test data at {root}; set SEGSYNTH_TEST_DATA")
    return root
