"""Photographs of any size, whole and in parts, and the frames of a film."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawings import LIGHT, build

from segsynth.errors import UserError
from segsynth.networks.resnet_generator import ResnetGenerator
from segsynth.predict import Synthesizer
from segsynth.systems.line_drawing import tiling
from segsynth.systems.line_drawing.any_size import pad_reflect
from segsynth.systems.line_drawing.manner import Manner
from segsynth.systems.line_drawing.published import PublishedDrawing
from segsynth.systems.line_drawing.tiling import reach, tiles

GENERATOR = ResnetGenerator(1, width=4, blocks=1)


def image(height, width, seed=0):
    """Noise that differs from part to part, so that the parts' own statistics would show."""
    random = np.random.default_rng(seed)
    shade = np.linspace(0, 1, width)[None, :, None]
    noise = random.random((height, width, 3)) * (0.2 + 0.8 * shade) * 255
    return noise.astype(np.uint8)


@pytest.fixture(scope="module")
def frozen():
    """Weights large enough for an output far from constant."""
    made = jax.jit(GENERATOR.init)(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    return {"drawer": jax.tree.map(lambda x: 10 * x, made)}


@functools.cache
def compiled(value):
    return jax.jit(value.predict)


@pytest.fixture(scope="module")
def run(frozen):
    empty = {"params": {}, "model_state": {}}
    return lambda value, inputs: compiled(value)(empty, frozen, inputs, jax.random.key(0))


@pytest.fixture(scope="module")
def synthesizer(frozen):
    system = PublishedDrawing(generator=GENERATOR)
    return Synthesizer(system, {"params": {}, "model_state": {}}, frozen)


def whole(run, picture, moments=None):
    """The drawing in one piece, in [0, 1]; without ``moments`` as a plain network makes it."""
    grown = pad_reflect(picture)[None]
    given = {"image": grown} if moments is None else {"image": grown, "moments": moments}
    drawn = run(tiling.Pass(GENERATOR), given)["drawing"]
    return np.asarray(drawn)[0, : picture.shape[0], : picture.shape[1]]


def in_parts(run, picture, tile, halo=0, moments=None):
    grown = pad_reflect(picture)
    parts = tiling.cut(GENERATOR, grown, tile, halo)
    if moments is None:
        moments = tiling.exact_moments(run, GENERATOR, grown, parts)
    drawn = tiling.draw(run, GENERATOR, grown, parts, moments)
    return drawn[: picture.shape[0], : picture.shape[1]]


@pytest.mark.parametrize("size", [(16, 16), (17, 30), (64, 65), (5, 130), (1, 40)])
def test_pictures_grow_by_reflection(size):
    picture = image(*size)
    grown = pad_reflect(picture)
    assert all(n % 4 == 0 and n >= max(16, m) for n, m in zip(grown.shape, size, strict=False))
    np.testing.assert_array_equal(grown[: size[0], : size[1]], picture)
    if size[0] == 17:
        np.testing.assert_array_equal(grown[17], grown[15])


@pytest.mark.parametrize("size", [(375, 1242), (390, 500), (2000, 61), (7, 9)])
def test_a_drawing_has_the_size_of_its_photograph(synthesizer, size):
    found = synthesizer(image=image(*size))["drawing"]
    assert found.shape == (*size, 1) and found.dtype == np.uint8 and found.std() > 5


def test_a_large_picture_in_parts_has_its_size(synthesizer):
    found = synthesizer.adjusted(tile=512, statistics="fast")(image=image(1100, 2000))["drawing"]
    assert found.shape == (1100, 2000, 1) and found.std() > 5


@pytest.mark.parametrize("size", [(64, 96), (33, 46)])
def test_users_get_what_evaluation_scores(synthesizer, frozen, size):
    picture = image(*size)
    system = synthesizer.system
    expected = jax.jit(system.predict)({}, frozen, {"image": picture[None]}, jax.random.key(0))
    np.testing.assert_array_equal(synthesizer(image=picture)["drawing"], expected["drawing"][0])


def test_a_trained_system_draws_with_its_own_generator(frozen):
    system = build(seg={"mode": "off"}, **LIGHT)
    variables = {"params": {"drawer": frozen["drawer"]["params"]}, "model_state": {}}
    found = Synthesizer(system, variables, {})(image=image(33, 46))["drawing"]
    given = {"image": pad_reflect(image(33, 46))[None]}
    expected = jax.jit(system.predict)(variables, {}, given, jax.random.key(0))["drawing"][0]
    np.testing.assert_array_equal(found, expected[:33, :46])


@pytest.mark.parametrize("side", [64, 65, 99, 130])
def test_predict_keeps_the_size(side):
    system = build(seg={"mode": "off"}, **LIGHT)
    state = jax.eval_shape(system.init, jax.random.key(0))
    photo = jax.ShapeDtypeStruct((2, side, side + 1, 3), jnp.uint8)
    answer = jax.eval_shape(
        system.predict, state.variables(), {}, {"image": photo}, jax.random.key(0)
    )
    assert answer["drawing"].shape == (2, side, side + 1, 1)
    assert answer["drawing"].dtype == jnp.uint8


@pytest.mark.parametrize(("blocks", "expected"), [(1, 20), (3, 36), (9, 84)])
def test_the_margin_is_as_wide_as_the_generator_sees(blocks, expected):
    assert reach(GENERATOR.clone(blocks=blocks)) == expected


@pytest.mark.parametrize("size", [(128, 96), (20, 132), (64, 64)])
def test_tiles_cover_the_picture_once(size):
    parts, covered = tiles(size, 32, 20), np.zeros(size, int)
    for part in parts:
        covered[part.core] += 1
        window = np.arange(size[0] * size[1]).reshape(size)[part.window]
        np.testing.assert_array_equal(
            window[part.inside()], np.arange(size[0] * size[1]).reshape(size)[part.core]
        )
        for w, c, n in zip(part.window, part.core, size, strict=True):
            assert w.start % 4 == 0 and (w.start == 0 or c.start - w.start >= 20)
            assert w.stop == n or w.stop - c.stop >= 20
    assert (covered == 1).all()
    assert len({tuple(s.stop - s.start for s in part.window) for part in parts}) == 1


@pytest.mark.parametrize("size", [(128, 96), (61, 70)])
def test_the_parts_together_are_the_whole(run, size):
    expected = whole(run, image(*size))
    assert expected.std() > 0.05
    np.testing.assert_allclose(in_parts(run, image(*size), 32), expected, atol=1e-5)


def test_parts_by_themselves_are_not(run):
    expected = whole(run, image(128, 96))
    naive = np.zeros_like(expected)
    for part in tiles((128, 96), 32, 20):
        given = {"image": image(128, 96)[part.window][None]}
        drawn = np.asarray(run(tiling.Pass(GENERATOR), given)["drawing"])[0]
        naive[part.core] = drawn[part.inside()]
    assert np.abs(naive - expected).max() > 0.05


def test_the_published_depth_of_network_in_parts():
    """Three blocks, 128 px in parts of 64, a margin of 36 px."""
    generator, picture = ResnetGenerator(1, width=4, blocks=3), image(128, 128)
    made = jax.jit(generator.init)(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    weights = {"drawer": jax.tree.map(lambda x: 10 * x, made)}
    empty = {"params": {}, "model_state": {}}

    def run(value, inputs):
        return compiled(value)(empty, weights, inputs, jax.random.key(0))

    expected = np.asarray(run(tiling.Pass(generator), {"image": picture[None]})["drawing"])[0]
    parts = tiling.cut(generator, picture, 64, 36)
    moments = run(tiling.Pass(generator, "moments"), {"image": picture[None]})["moments"]
    found = tiling.draw(run, generator, picture, parts, moments)
    assert expected.std() > 0.05 and len(parts) == 4
    np.testing.assert_allclose(found, expected, atol=1e-5)
    for halo, said in ((34, "expected 36 or more"), (38, "expected a multiple of 4")):
        with pytest.raises(UserError, match=f"halo is {halo} px; .*{said}"):
            tiling.cut(generator, picture, 64, halo)


def test_moments_of_the_parts_are_those_of_the_whole(run):
    picture = image(128, 96)
    ours = tiling.exact_moments(run, GENERATOR, picture, tiles((128, 96), 32, 20))
    theirs = run(tiling.Pass(GENERATOR, "moments"), {"image": picture[None]})["moments"]
    assert set(ours) == set(theirs) == set(GENERATOR.norm_layers())
    for layer in ours:
        for a, b in zip(ours[layer], theirs[layer], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_fast_statistics_of_a_small_picture_are_exact(run):
    picture = image(128, 96)
    moments = tiling.fast_moments(run, GENERATOR, picture)
    found = in_parts(run, picture, 32, moments=moments)
    np.testing.assert_allclose(found, whole(run, picture), atol=1e-5)


@pytest.mark.parametrize(
    ("halo", "message"),
    [(16, "halo is 16 px; expected 20 or more"), (22, "halo is 22 px; expected a multiple of 4")],
)
def test_a_margin_that_leaves_seams_is_refused(halo, message):
    with pytest.raises(UserError, match=message):
        tiling.cut(GENERATOR, image(64, 64), 32, halo)


def frames():
    """Three pictures of unlike brightness, as an instance norm would level them."""
    return [(image(48, 64, seed=i) * (0.3 + 0.3 * i)).astype(np.uint8) for i in range(3)]


def test_a_film_keeps_the_statistics_of_its_first_frame(synthesizer, run):
    film = synthesizer.adjusted(film="first").surveyed({"image": frame} for frame in frames())
    moments = run(tiling.Pass(GENERATOR, "moments"), {"image": frames()[0][None]})["moments"]
    for i, frame in enumerate(frames()):
        found = film(image=frame)["drawing"].astype(float)
        np.testing.assert_allclose(found, 255 * whole(run, frame, moments), atol=0.501)
        alone = synthesizer(image=frame)["drawing"].astype(float)
        assert (np.abs(found - alone).max() <= 1) == (i == 0)


def test_a_film_can_have_the_statistics_of_all_frames(run):
    each = [
        run(tiling.Pass(GENERATOR, "moments"), {"image": frame[None]})["moments"]
        for frame in frames()
    ]
    together = tiling.mean_moments(each)
    seen = [
        np.asarray(run(tiling.Pass(GENERATOR, "stem"), {"image": frame[None]})["stem"])
        for frame in frames()
    ]
    mean, variance = together["stem"]
    np.testing.assert_allclose(mean[0, 0, 0], np.mean(seen, (0, 1, 2, 3)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(variance[0, 0, 0], np.var(seen, (0, 1, 2, 3)), rtol=1e-4)


def test_a_film_in_parts_is_the_film(synthesizer):
    examples = [{"image": frame} for frame in frames()]
    one, parts = (
        synthesizer.adjusted(film="all", tile=tile).surveyed(examples) for tile in (0, 32)
    )
    for example in examples:
        a, b = (s(**example)["drawing"].astype(int) for s in (one, parts))
        assert np.abs(a - b).max() <= 1


def test_one_picture_is_no_film(synthesizer):
    with pytest.raises(UserError, match="film is for a folder of frames"):
        synthesizer.adjusted(film="first")(image=frames()[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": 30}, "tile is 30 px; expected a multiple of 4"),
        ({"size": 8}, "size is 8 px; expected 16 or more"),
        ({"statistics": "fast"}, "unless tile is set"),
        ({"ink": 0.0}, "ink is 0; expected a number above 0"),
        ({"shortest": 3.0}, "shortest is 3 px; expected 0 or more, with svg"),
        ({"film": "some"}, r"options\.film is 'some'; expected one of"),
        ({"tiles": 64}, "options has no 'tiles'; did you mean 'tile'"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(synthesizer, options, message):
    with pytest.raises(UserError, match=message):
        synthesizer.adjusted(**options)


def test_options_stay_with_what_was_adjusted(synthesizer):
    other = synthesizer.adjusted(invert=True).adjusted(alpha=True)
    assert synthesizer.options == Manner()
    assert other.options == Manner(invert=True, alpha=True)
    assert other.made_with["options"]["invert"] and "options" not in synthesizer.made_with


def test_a_drawing_can_be_of_another_size(synthesizer):
    found = synthesizer.adjusted(size=40)(image=image(60, 90))["drawing"]
    assert found.shape == (40, 60, 1)
