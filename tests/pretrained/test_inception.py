"""Inception-v3 against pytorch-fid's and torchvision's, filled with the same tensors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import count, filled, load, worst
from weights import image

from segsynth.errors import UserError
from segsynth.pretrained.inception import FID_TAPS, Inception, fid_pixels, inception_keys, names

SIDES = (75, 128)
SHAPE = (1, 75, 75, 3)
TAPS = {
    "fid": ("maxpool1", "maxpool2", "Mixed_6b", "Mixed_6e", "avgpool", "fc"),
    "torchvision": ("Mixed_6b", "avgpool", "fc"),
}
GRADIENT = {"fid": "avgpool", "torchvision": "Mixed_6b"}


@pytest.fixture(scope="module")
def golden():
    return load("inception")


def shapes(golden, variant):
    pairs = zip(golden[f"{variant}/keys"], golden[f"{variant}/shapes"], strict=True)
    return {str(key): tuple(int(n) for n in text.split(",") if n) for key, text in pairs}


@pytest.fixture(scope="module")
def variables(golden):
    """Variant -> its variables, filled; made when asked for."""
    made = {}

    def of(variant):
        if variant not in made:
            theirs, keys = shapes(golden, variant), inception_keys(variant)
            assert set(keys) == set(theirs)
            made[variant] = filled(Inception(variant), (jnp.zeros(SHAPE),), theirs, keys)
        return made[variant]

    return of


def summary(value):
    """What the oracle keeps of an output."""
    if value.ndim == 2:
        return value
    few = value[:, ::3, ::3, ::16].reshape(len(value), -1)
    return np.concatenate([value.mean((1, 2)), few], axis=1)


def probe(shape):
    return np.random.default_rng(7).standard_normal(shape).astype(np.float32)


def small(variant, **fields):
    return Inception(variant, divisor=16, **fields)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("variant", ["fid", "torchvision"])
def test_outputs_and_gradients_are_the_originals(variant, side, golden, variables):
    x = jnp.asarray(image(f"inception {side}", (1, side, side + 9, 3)))
    module, tap = Inception(variant), GRADIENT[variant]

    def weighted(x, variables):
        found = module.apply(variables, x, TAPS[variant])
        return (found[tap] * probe(found[tap].shape)).sum(), found

    run = jax.jit(jax.grad(weighted, has_aux=True))
    gradient, found = jax.device_get(run(x, variables(variant)))
    for name, value in found.items():
        assert worst(summary(value), golden[f"{variant}/{side}/{name}"]) < 1e-4, name
    assert worst(gradient[:, ::4, ::4], golden[f"{variant}/{side}/gradient"]) < 1e-4


@pytest.mark.parametrize("variant", ["fid", "torchvision"])
def test_the_sizes_are_the_originals(variant, golden, variables):
    assert count(variables(variant)) == golden[f"{variant}/parameters"]
    assert set(inception_keys(variant)) == set(shapes(golden, variant))


def test_the_trunk_up_to_mixed_6b(golden):
    module, keys = Inception("torchvision", "Mixed_6b"), inception_keys("torchvision", "Mixed_6b")
    picture = jnp.zeros((1, 256, 256, 3))
    made = jax.eval_shape(module.init, jax.random.key(0), picture)
    assert sum(x.size for x in jax.tree.leaves(made["params"])) == 3_441_888
    out = jax.eval_shape(module.apply, made, picture)
    assert "Mixed_6c" not in out and out["Mixed_6b"].shape == (1, 14, 14, 768)
    trunk = filled(module, (jnp.zeros(SHAPE),), shapes(golden, "torchvision"), keys)
    assert len(jax.tree.leaves(trunk)) == sum(target is not None for target in keys.values())


def test_layers_have_the_published_widths_at_299():
    module, picture = Inception("fid"), jnp.zeros((2, 299, 299, 3))
    made = jax.eval_shape(module.init, jax.random.key(0), picture)
    out = jax.eval_shape(module.apply, made, picture)
    assert {n: out[tap].shape[-1] for n, tap in FID_TAPS.items()} == {n: n for n in FID_TAPS}
    assert out["maxpool1"].shape[1:3] == (73, 73) and out["Mixed_7c"].shape[1:3] == (8, 8)
    assert out["avgpool"].shape == (2, 2048) and out["fc"].shape == (2, 1008)


def test_the_variants_differ_only_in_pools():
    fid, plain = (inception_keys(name) for name in TAPS)
    assert {k for k in plain if "AuxLogits" not in k} == set(fid)
    picture = jnp.asarray(image("pools", SHAPE))
    made = jax.jit(small("fid", last="Mixed_5b").init)(jax.random.key(0), picture)
    taps = ("maxpool2", "Mixed_5b")
    ours, theirs = (small(name, last="Mixed_5b").apply(made, picture, taps) for name in TAPS)
    np.testing.assert_array_equal(ours["maxpool2"], theirs["maxpool2"])
    assert np.abs(ours["Mixed_5b"] - theirs["Mixed_5b"]).max() > 1e-3


def test_bfloat16_stays_near():
    picture = jnp.asarray(image("bfloat16", SHAPE))
    made = jax.jit(small("fid", last="Mixed_5b").init)(jax.random.key(0), picture)
    full = small("fid", last="Mixed_5b").apply(made, picture, ("Mixed_5b",))["Mixed_5b"]
    module = small("fid", last="Mixed_5b", dtype=jnp.bfloat16)
    half = module.apply(made, picture, ("Mixed_5b",))["Mixed_5b"]
    assert half.dtype == jnp.bfloat16 and worst(half, full) < 0.05


def test_the_pixels_of_the_frechet_distance(golden):
    levels = np.random.default_rng(3).integers(0, 256, (1, 40, 517, 3)).astype(np.uint8)
    found = np.asarray(fid_pixels(jnp.asarray(levels)))
    np.testing.assert_allclose(found[:, ::13, ::13], golden["resized"], atol=2e-6)
    # Floats are rounded to the levels of an 8-bit file.
    floats = levels / np.float32(127.5) - 1 + np.float32(0.9 / 255)
    np.testing.assert_array_equal(fid_pixels(jnp.asarray(floats)), found)
    assert np.abs(fid_pixels(jnp.asarray(2 * floats))).max() <= 1


def test_unknown_layers_are_named():
    with pytest.raises(UserError, match="no layer 'Mixed_9z'"):
        names("fid", "Mixed_9z")
    made = {"params": {}, "batch_stats": {}}
    with pytest.raises(UserError, match="has no 'fc'"):
        Inception("fid", "Mixed_6b").apply(made, jnp.zeros(SHAPE), ("fc",))
