"""Photographs of users: the aligned square and the way back, and what they say at a terminal."""

import jax
import numpy as np
import pytest
from PIL import Image

from segsynth import systems
from segsynth.data import landmarks, pictures
from segsynth.errors import UserError
from segsynth.predict import Synthesizer
from segsynth.predict_files import predict_files
from segsynth.system import Offering
from segsynth.systems.msagan import alignment, photos

SIDE = 16
TINY = {
    "name": "msagan",
    "resolution": SIDE,
    "editor": {"width": 4, "downs": 1, "blocks": 1, "stem": 3, "attr_inject": "both"},
    "critic": {"width": 2},
    "judges": {"judge": {"width": 2}},
    "floor": 0.45,
}
#: Eyes, nose, corners of the mouth of an upright face: its square has 56 px around (50, 41.5).
FIVE = np.array([[43, 40], [57, 40], [50, 47], [45, 55], [55, 55]], np.float32)


def turned(points, angle, around=(50.0, 41.5)):
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (points - around) @ matrix.T + around


def test_the_square_of_an_upright_face():
    found = alignment.square(FIVE)
    np.testing.assert_allclose(found.middle, (50, 41.5))  # a tenth of the way to the mouth
    np.testing.assert_allclose(found.half, (28, 0))  # 2.0 x 14 px between the eyes is the larger
    lower = FIVE + np.array([[0, 0], [0, 0], [0, 0], [0, 5], [0, 5]], np.float32)
    np.testing.assert_allclose(alignment.square(lower).half, (36, 0))  # 1.8 x 20 px


def test_a_turned_face_has_a_turned_square():
    found = alignment.square(turned(FIVE, 0.3).astype(np.float32))
    np.testing.assert_allclose(found.middle, (50, 41.5), atol=1e-4)
    np.testing.assert_allclose(found.half, 28 * np.array([np.cos(0.3), np.sin(0.3)]), atol=1e-4)
    many = np.zeros((70, 2), np.float32)
    many[36:42], many[42:48], many[48], many[54] = FIVE[0], FIVE[1], FIVE[3], FIVE[4]
    np.testing.assert_allclose(alignment.square(many).half, (28, 0))


def ramps(height, width):
    """A picture that says where its pixels are, in two channels."""
    y, x = np.mgrid[:height, :width] + 0.5
    return np.stack([x, y], axis=-1).astype(np.float32)


def test_a_cut_and_the_way_back():
    frame = alignment.square(turned(FIVE, 0.3).astype(np.float32))
    cut = frame.cut(ramps(90, 100), 28)
    middle = cut[13:15, 13:15].mean(axis=(0, 1))
    np.testing.assert_allclose(middle, frame.middle, atol=1e-3)
    np.testing.assert_allclose(cut[14, 20] - cut[14, 6], frame.half, atol=1e-3)  # 14 of 28 px
    back = alignment.sampled(cut, frame.places(90, 100, 28), "constant")
    y, x = 45, 55
    np.testing.assert_allclose(back[y, x], (x + 0.5, y + 0.5), atol=1e-3)
    assert (back[0] == 0).all()  # beyond the square


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((7, 2)), "landmarks are 7 points; expected 68"),
        (np.zeros((98, 2)), "landmarks are 98 points; expected 68"),
        (np.ones((5, 2)), "are one point; expected those of a face"),
    ],
)
def test_points_that_are_no_face(points, message):
    with pytest.raises(UserError, match=message):
        alignment.square(points)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (FIVE.T, r"landmarks are an array of \(2, 5\); expected x and y of each"),
        (FIVE.ravel(), r"landmarks are an array of \(10,\)"),
        (np.where(FIVE == 47, np.nan, FIVE), "all finite"),
        # Of a picture that is ten times as large: 560 px around (500, 415).
        (10 * FIVE, r"a square of 560 px around \(500, 415\), and the picture has 100x90 px"),
        (FIVE - np.array([60, 0]), r"around \(-10, 42\)"),
        (FIVE + np.array([0, 50]), r"around \(50, 92\)"),
        # Within, and too large: 56 px times 7.2.
        (7.2 * (FIVE - [50, 41.5]) + [50, 41.5], "a square of 403 px"),
    ],
)
def test_landmarks_of_another_picture(points, message):
    with pytest.raises(UserError, match=message):
        alignment.framed(points, 90, 100)


def test_a_square_may_be_larger_than_the_picture():
    points = 7 * (FIVE - [50, 41.5]) + [50, 41.5]
    assert alignment.framed(points, 90, 100).side == pytest.approx(392)
    assert alignment.framed(FIVE.astype(int).tolist(), 90, 100).side == 56


def test_faces_are_cut_as_published_ones(test_data):
    """Pictures that were aligned with FFHQ's own steps, whose last one is a cubic."""
    folder = test_data / "faces_synthetics"
    if not folder.is_dir():
        pytest.skip(f"no faces at {folder}")
    for name in ("000000", "000003"):
        image = pictures.read_image(folder / "images" / f"{name}.jpg")
        aligned = pictures.read_image(folder / "aligned256" / f"{name}.jpg").astype(np.float32)
        frame = alignment.square(landmarks.read(folder / "landmarks" / f"{name}.txt"))
        fine = frame.cut(image, 4 * 256).reshape(256, 4, 256, 4, 3).mean(axis=(1, 3))
        error = np.abs(fine - aligned)[32:-32, 32:-32].mean()
        shifted = np.abs(np.roll(fine, 2, axis=1) - aligned)[32:-32, 32:-32].mean()
        assert error < 4 and error < shifted / 2, (error, shifted)


@pytest.fixture(scope="module")
def editor():
    system = systems.build(TINY)
    state = jax.device_get(jax.jit(system.init)(jax.random.key(0)))
    assert isinstance(system, Offering)
    return Synthesizer(system, state.variables(), {})


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(0).integers(0, 256, (90, 100, 3)).astype(np.uint8)


def test_an_aligned_face_is_put_back_where_it_was(editor, photo):
    points = turned(FIVE, 0.3)
    found = editor(image=photo, landmarks=points)
    frame = alignment.square(points)
    assert found["image"].shape == photo.shape and found["attention"].shape == (SIDE, SIDE, 1)
    rows, columns = frame.places(90, 100, SIDE)
    outside = (rows < -1) | (rows > SIDE) | (columns < -1) | (columns > SIDE)
    np.testing.assert_array_equal(found["image"][outside], photo[outside])
    moved = (found["image"] != photo).any(-1)
    assert 0.05 < moved[~outside].mean() < 0.95  # the floor leaves some of the square alone
    still = alignment.sampled(found["attention"], np.stack([rows, columns]), "constant")[..., 0]
    assert not moved[still == 0].any()
    nothing = editor(image=photo, landmarks=points, strength=0)
    np.testing.assert_array_equal(nothing["image"], photo)


def test_a_small_face_is_said_to_be_enlarged(editor, photo):
    small = 0.2 * (FIVE - [50, 41.5]) + [50, 41.5]
    inputs = {"image": photo, "landmarks": small}
    said = "the face has 11 px and training saw 16; it is enlarged for the edit"
    assert editor.system.remarks({}, {}, inputs) == (said,)
    assert editor.system.remarks({}, {}, {**inputs, "landmarks": FIVE}) == ()


class Drawn:
    """Instead of networks: an attribute image of one's own, and a mask of 1."""

    inputs = ("image", "value", "strength")

    def __init__(self, drawn, mask):
        self.answer = {"attribute_image": drawn[None], "attention": mask[None]}

    def __call__(self, system, batch, key):
        return {**self.answer, "image": batch["image"]}

    def edited(self, image, **more):
        inputs = {"image": image, "value": 1, "strength": 1.0, **more}
        return photos.synthesize(self, self, inputs, jax.random.key(0), SIDE)


def ramp(size):
    """An attribute image that says where its pixels are, in [0, 240]."""
    y, x = np.mgrid[:size, :size]
    return np.stack([15 * x, 15 * y, 0 * x], axis=-1).astype(np.uint8)


def test_all_of_a_turned_square_is_the_attribute_image_where_the_mask_is_1(photo):
    points = turned(FIVE, 0.5)
    full = Drawn(ramp(SIDE), np.full((SIDE, SIDE, 1), 255, np.uint8))
    found = full.edited(photo, landmarks=points)["image"].astype(float)
    frame = alignment.square(points)
    rows, columns = frame.places(90, 100, SIDE)
    inside = (rows >= 0) & (rows <= SIDE - 1) & (columns >= 0) & (columns <= SIDE - 1)
    assert 1500 < inside.sum() < 56**2
    expected = np.stack([15 * columns, 15 * rows, 0 * rows], axis=-1)
    np.testing.assert_allclose(found[inside], expected[inside], atol=0.51)
    # The way back is not its own judge: the left of the upper side, by hand.
    across, down = np.array([np.cos(0.5), np.sin(0.5)]), np.array([-np.sin(0.5), np.cos(0.5)])
    x, y = frame.middle - 20 * across - 10 * down
    column, row = (28 - 20) / 56 * SIDE - 0.5, (28 - 10) / 56 * SIDE - 0.5
    there = found[round(y - 0.5), round(x - 0.5)]
    np.testing.assert_allclose(there, (15 * column, 15 * row, 0), atol=15 * SIDE / 56)


def test_half_a_mask_is_half_of_both(photo):
    half = Drawn(ramp(SIDE), np.full((SIDE, SIDE, 1), 51, np.uint8))  # a fifth
    found = half.edited(photo, landmarks=FIVE)["image"].astype(float)
    rows, columns = alignment.square(FIVE).places(90, 100, SIDE)
    drawn = np.stack([15 * columns, 15 * rows, 0 * rows], axis=-1)
    expected = 0.8 * photo + 0.2 * drawn
    inside = slice(20, 60), slice(30, 70)
    np.testing.assert_allclose(found[inside], expected[inside], atol=0.51)


@pytest.mark.parametrize("mask", [255, 0])
def test_the_middle_of_a_larger_picture_becomes_the_attribute_image(photo, mask):
    full = Drawn(ramp(SIDE), np.full((SIDE, SIDE, 1), mask, np.uint8))
    found = full.edited(photo)
    if not mask:
        np.testing.assert_array_equal(found["image"], photo)
        return
    np.testing.assert_array_equal(found["image"][:, 5:95], found["attribute_image"])
    np.testing.assert_array_equal(found["image"][:, :5], photo[:, :5])
    np.testing.assert_array_equal(found["image"][:, 95:], photo[:, 95:])
    places = (np.arange(90) + 0.5) / 90 * SIDE - 0.5
    middle = found["image"][10:80, 15:85].astype(float)
    down, across = np.meshgrid(15 * places[10:80], 15 * places[10:80], indexing="ij")
    np.testing.assert_allclose(middle[..., 0], across, atol=1)
    np.testing.assert_allclose(middle[..., 1], down, atol=1)


def test_flags_of_the_command_line(editor, photo):
    assert editor.inputs == ("image", "value", "strength", "attribute", "landmarks")
    full = editor(image=photo, attribute="Mouth_Slightly_Open", value="1", strength="1")
    half = editor(image=photo, strength="0.5")
    ratio = half["attention"].astype(float).sum() / full["attention"].sum()
    assert ratio == pytest.approx(0.5, abs=0.01)
    np.testing.assert_array_equal(editor(image=photo)["image"], full["image"])
    assert (editor(image=photo, value=0)["image"] != full["image"]).any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"strength": "much"}, "strength is 'much'; expected a number"),
        ({"strength": 1.5}, "strength is 1.5; expected a number from 0 to 1"),
        ({"strength": "nan"}, "strength is nan; expected a number from 0 to 1"),
        ({"value": "2"}, "value has no '2'; it knows 0, 1"),
        ({"value": 0.5}, "value is 0.5; expected one of 0, 1"),
        ({"attribute": "Smiling"}, "attribute has no 'Smiling'; it knows Mouth_Slightly_Open"),
        ({"gaze": 1}, "this system's input has no 'gaze'"),
        ({"landmarks": np.zeros((3, 2))}, "landmarks are 3 points"),
        ({"landmarks": FIVE.T}, "landmarks are an array of"),
        ({"landmarks": 100 * FIVE}, "a square of 5600 px around"),
    ],
)
def test_a_wrong_flag_is_one_line(editor, photo, given, message):
    with pytest.raises(UserError, match=message) as caught:
        editor(image=photo, **given)
    assert "\n" not in str(caught.value)


def test_a_folder_of_photographs_with_landmarks(editor, photo, tmp_path):
    for folder in ("faces", "points"):
        (tmp_path / folder).mkdir()
    for name, angle in (("a", 0.0), ("b", 0.3)):
        Image.fromarray(photo).save(tmp_path / "faces" / f"{name}.png")
        np.savetxt(tmp_path / "points" / f"{name}.txt", turned(FIVE, angle))
    inputs = {"image": str(tmp_path / "faces"), "landmarks": str(tmp_path / "points")}
    written = predict_files(editor, inputs, tmp_path / "out")
    assert [path.name for path in written] == ["a.png", "b.png"]
    edited = [pictures.read_image(path) for path in written]
    assert (edited[0] != edited[1]).any()  # each has the landmarks of its own name
    expected = editor(image=photo, landmarks=np.float32(turned(FIVE, 0.3)))
    np.testing.assert_array_equal(edited[1], expected["image"])
    everything = predict_files(editor, inputs, tmp_path / "all", outputs=("all",))
    names = {path.relative_to(tmp_path / "all").as_posix() for path in everything}
    kinds = ("image", "attention", "attribute_image")
    assert names == {f"{kind}/{name}.png" for kind in kinds for name in "ab"}
    mask = np.asarray(Image.open(tmp_path / "all/attention/b.png"))
    np.testing.assert_array_equal(mask, expected["attention"][..., 0])
    (tmp_path / "points/b.txt").unlink()
    with pytest.raises(UserError, match=r"cannot read the landmarks .*b\.txt"):
        predict_files(editor, inputs, tmp_path / "again")
