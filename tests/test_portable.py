"""Systems as portable programs: the same answers without segsynth."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth import portable, systems
from segsynth.errors import UserError
from segsynth.networks.resnet_generator import ResnetGenerator
from segsynth.predict import Synthesizer

ALONE = """
import sys
import jax, numpy
program = jax.export.deserialize(bytearray(open(sys.argv[1], "rb").read()))
picture = numpy.load(sys.argv[2])
numpy.save(sys.argv[3], program.call({"image": picture}, jax.numpy.int32(0))["drawing"])
assert not [name for name in sys.modules if name.startswith(("segsynth", "flax"))]
"""


@pytest.fixture(scope="module")
def drawer():
    system = systems.build({"name": "published_drawing", "width": 4, "blocks": 1})
    frozen = {name: jax.jit(spec.init)(jax.random.key(1)) for name, spec in system.frozen.items()}
    return Synthesizer(system, {"params": {}, "model_state": {}}, frozen)


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(0, 256, (2, 20, 32, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def file(drawer, tmp_path_factory):
    found = tmp_path_factory.mktemp("portable") / "drawing.stablehlo"
    found.write_bytes(portable.export(drawer, 20, 32, batch=2))
    return found


def test_a_file_answers_as_the_system(drawer, picture, file):
    expected = [drawer(image=each)["drawing"] for each in picture]
    found = portable.load(file)(image=picture)["drawing"]
    assert found.dtype == np.uint8 and len(np.unique(found)) > 10
    np.testing.assert_array_equal(found, expected)


def test_jax_alone_runs_it(picture, file, tmp_path):
    np.save(tmp_path / "picture.npy", picture)
    paths = [str(path) for path in (file, tmp_path / "picture.npy", tmp_path / "drawing.npy")]
    subprocess.run([sys.executable, "-c", ALONE, *paths], check=True)
    expected = portable.load(file)(image=picture)["drawing"]
    np.testing.assert_array_equal(np.load(paths[2]), expected)


def test_a_generator_round_trips(tmp_path):
    module = ResnetGenerator(1, width=4, blocks=1)
    photo = jax.random.uniform(jax.random.key(0), (1, 16, 16, 3))
    variables = module.init(jax.random.key(1), photo)
    data = portable.serialized(lambda x: module.apply(variables, x), photo)
    found = jax.export.deserialize(bytearray(data)).call(photo)
    np.testing.assert_allclose(found, module.apply(variables, photo), atol=1e-5)


class Noise:
    """Draws its answer from the key."""

    inputs, on_host = ("image",), False

    def predict(self, variables, frozen, inputs, key):
        return {"image": jax.random.bits(key, inputs["image"].shape, jnp.uint8)}


def of(system):
    made = Synthesizer.__new__(Synthesizer)
    vars(made).update(system=system, _variables={}, _frozen={})
    return made


def test_the_seed_is_that_of_prediction(tmp_path):
    (tmp_path / "a").write_bytes(portable.export(of(Noise()), 4, 4))
    image = np.zeros((1, 4, 4, 3), np.uint8)
    for seed in (0, 3):
        found = portable.load(tmp_path / "a")(image=image, seed=seed)["image"]
        drawn = jax.random.bits(jax.random.key(seed), image.shape, jnp.uint8)
        np.testing.assert_array_equal(found, drawn)


def test_what_cannot_be_exported_or_read(tmp_path):
    on_host = of(Noise())
    on_host.system.on_host = True
    with pytest.raises(UserError, match="answers on the host"):
        portable.export(on_host, 8, 8)
    of_vector = of(Noise())
    of_vector.system.inputs = ("image", "attributes")
    with pytest.raises(UserError, match="attributes has no fixed shape"):
        portable.export(of_vector, 8, 8)
    with pytest.raises(UserError, match="cannot read"):
        portable.load(tmp_path / "none")
    (tmp_path / "damaged").write_bytes(b"no program")
    with pytest.raises(UserError, match="damaged holds no exported program"):
        portable.load(tmp_path / "damaged")
