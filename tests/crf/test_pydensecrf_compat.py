import json

import brute_force
import numpy as np
import pytest
from scenes import coarse_scene

from segsynth.crf import pydensecrf_compat as dcrf
from segsynth.errors import UserError

FRAMES = ("0016E5_07959", "0016E5_08009", "0016E5_08059", "0016E5_08111")
NORMS = {
    "none": dcrf.NO_NORMALIZATION,
    "before": dcrf.NORMALIZE_BEFORE,
    "after": dcrf.NORMALIZE_AFTER,
    "symmetric": dcrf.NORMALIZE_SYMMETRIC,
}


@pytest.fixture(scope="module")
def golden(test_data):
    folder = test_data / "crf_pydensecrf" / "golden"
    if not folder.is_dir():
        pytest.skip("no crf_pydensecrf/golden in the test data")
    return folder


@pytest.fixture(scope="module", params=["symmetric", "none"])
def small(request, golden):
    """The library's inputs and outputs on a small image, and the same model here."""
    stored = np.load(golden / f"small_{request.param}.npz")
    model = dcrf.DenseCRF2D(120, 90, 11)
    model.setUnaryEnergy(stored["unary"])
    near, far = (3, 10) if request.param == "symmetric" else (0.1, 0.1)
    norm = NORMS[request.param]
    model.addPairwiseGaussian(3, near, normalization=norm)
    model.addPairwiseBilateral(20, 13, stored["image"], compat=far, normalization=norm)
    return stored, model


def test_marginals_are_the_library_s(small):
    stored, model = small
    q = model.inference(5)
    assert q.shape == (11, 10800) and q.dtype == np.float32
    assert np.abs(q - stored["Q"]).max() <= 1e-4
    assert (q.argmax(0) == stored["Q"].argmax(0)).mean() >= 0.9999
    assert np.array_equal(model.map(5), q.argmax(0))


def test_steps_and_divergences_are_the_library_s(small):
    stored, model = small
    q, *buffers = model.startInference()
    divergences = [model.klDivergence(q)]
    for _ in range(5):
        model.stepInference(q, *buffers)
        divergences.append(model.klDivergence(q))
    np.testing.assert_allclose(divergences, stored["kl"], rtol=2e-5)
    np.testing.assert_allclose(q, model.inference(5), atol=1e-5)


@pytest.mark.parametrize(
    "frame", [FRAMES[0], *(pytest.param(frame, marks=pytest.mark.slow) for frame in FRAMES[1:])]
)
def test_label_maps_of_whole_frames_are_the_library_s(golden, test_data, frame):
    Image = pytest.importorskip("PIL.Image")
    street = test_data / "street_camvid"
    image = np.asarray(Image.open(street / f"images/{frame}.jpg").convert("RGB"))
    coarse = np.asarray(Image.open(street / f"coarse/{frame}.png")).astype(int)
    model = dcrf.DenseCRF2D(480, 360, 11)
    model.setUnaryEnergy(dcrf.unary_from_labels((coarse + 1) % 12, 11, gt_prob=0.7))
    model.addPairwiseGaussian(sxy=3, compat=3)
    model.addPairwiseBilateral(sxy=40, srgb=13, rgbim=image, compat=10)
    expected = np.asarray(Image.open(golden / f"{frame}_map.png"))
    q = model.inference(5)
    assert (q.argmax(0).reshape(360, 480) == expected).mean() >= 0.9999
    stored = json.loads((golden / "golden.json").read_text())["frames"][frame]["kl"]
    assert model.klDivergence(q) == pytest.approx(stored[-1], rel=1e-4)


@pytest.fixture(scope="module")
def scene():
    image, _, coarse = coarse_scene(20, 30, classes=3, noise=15)
    return image, dcrf.unary_from_labels(coarse + 1, 3, 0.8)


def model_of(scene, *pairwise):
    image, unary = scene
    model = dcrf.DenseCRF2D(30, 20, 3)
    model.setUnaryEnergy(unary)
    for add in pairwise:
        add(model, image)
    return model


@pytest.mark.parametrize(("norm", "number"), list(NORMS.items())[1:])
@pytest.mark.parametrize("kind", ["potts", "vector", "matrix"])
def test_compatibilities_have_the_library_s_sign(scene, norm, number, kind):
    matrix = np.array([[0.0, 1.0, 3.0], [2.0, 0.5, 1.0], [0.0, 2.0, -1.0]])
    compat, mu = {
        "potts": (2.0, -2.0 * np.eye(3)),
        "vector": (np.array([-1.0, -2.0, -3.0]), np.diag([-1.0, -2.0, -3.0])),
        "matrix": (matrix, (matrix + matrix.T) / 2),
    }[kind]
    model = model_of(
        scene, lambda m, im: m.addPairwiseBilateral(5, 60, im, compat, normalization=number)
    )
    q = model.inference(3).T.reshape(20, 30, 3)
    kernel = brute_force.kernel(brute_force.bilateral(scene[0], 5, 60))
    unary = scene[1].T.reshape(20, 30, 3)
    expected = brute_force.mean_field(unary, [kernel], [1.0], [mu], 3, norm)
    start = np.exp(-unary) / np.exp(-unary).sum(-1, keepdims=True)
    assert np.abs(start - expected).mean() > 0.03
    assert np.abs(q - expected).mean() < 0.01


def test_features_of_one_s_own_are_the_same_kernel(scene):
    y, x = np.mgrid[:20, :30].astype(np.float32)
    features = np.stack([x / 4, y / 6, *np.moveaxis(scene[0] / np.float32([20, 30, 40]), -1, 0)])
    own = model_of(scene, lambda m, im: m.addPairwiseEnergy(features.reshape(5, -1), 4.0))
    same = model_of(scene, lambda m, im: m.addPairwiseBilateral((4, 6), (20, 30, 40), im, 4.0))
    other = model_of(scene, lambda m, im: m.addPairwiseBilateral((6, 4), (20, 30, 40), im, 4.0))
    q = same.inference(2)
    np.testing.assert_allclose(own.inference(2), q, atol=1e-4)
    assert np.abs(other.inference(2) - q).max() > 1e-3


def test_kernels_may_be_normalised_differently_and_their_order_is_free(scene):
    def near(m, im):
        m.addPairwiseGaussian(2, 1.0, normalization=dcrf.NORMALIZE_BEFORE)

    def far(m, im):
        m.addPairwiseBilateral(5, 30, im, 3.0, normalization=dcrf.NORMALIZE_AFTER)

    q = model_of(scene, near, far).inference(3)
    np.testing.assert_allclose(q, model_of(scene, far, near).inference(3), atol=1e-5)
    np.testing.assert_allclose(q.sum(0), 1, atol=1e-5)
    assert np.abs(q - model_of(scene, far).inference(3)).max() > 1e-3


def test_without_pairwise_terms_the_unary_decides(scene):
    q = model_of(scene).inference(5)
    np.testing.assert_allclose(q, np.exp(-scene[1]) / np.exp(-scene[1]).sum(0), atol=1e-6)


def test_unary_of_labels():
    labels = np.array([[0, 1], [2, 3]])
    unsure = dcrf.unary_from_labels(labels, 3, 0.6)
    expected = np.log([[3, 1 / 0.6, 5, 5], [3, 5, 1 / 0.6, 5], [3, 5, 5, 1 / 0.6]])
    np.testing.assert_allclose(unsure, expected, rtol=1e-6)
    sure = dcrf.unary_from_labels(labels, 4, 0.7, zero_unsure=False)
    np.testing.assert_allclose(np.exp(-sure), np.where(np.eye(4), 0.7, 0.1), rtol=1e-6)
    with pytest.raises(UserError, match=r"expected 0\.\.2"):
        dcrf.unary_from_labels(labels, 2, 0.7)


def test_unary_of_probabilities():
    p = np.array([[[1.0, 0.25]], [[0.0, 0.75]]])
    expected = -np.log([[1.0, 0.25], [1e-5, 0.75]])
    np.testing.assert_allclose(dcrf.unary_from_softmax(p), expected, rtol=1e-5)
    np.testing.assert_allclose(
        np.exp(-dcrf.unary_from_softmax(p, scale=0.5)), [[0.75, 0.375], [0.25, 0.625]], rtol=1e-6
    )
    assert np.isinf(dcrf.unary_from_softmax(p, clip=None)).any()
    with pytest.raises(UserError):
        dcrf.unary_from_softmax(p, scale=1.5)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m, im: m.setUnaryEnergy(np.zeros((600, 3))), "expected (3, 600)"),
        (lambda m, im: m.setUnaryEnergy(np.full((3, 600), np.nan)), "NaN"),
        (lambda m, im: m.addPairwiseBilateral(5, 5, im.transpose(1, 0, 2), 1.0), "(20, 30, 3)"),
        (lambda m, im: m.addPairwiseBilateral(5, 5, im / 255, 1.0), "uint8"),
        (lambda m, im: m.addPairwiseGaussian(0, 1.0), "sxy"),
        (lambda m, im: m.addPairwiseGaussian(3, np.zeros(5)), "compat"),
        (lambda m, im: m.addPairwiseGaussian(3, 1.0, normalization=9), "normalization"),
        (lambda m, im: m.addPairwiseEnergy(np.zeros((2, 5)), 1.0), "(d, 600)"),
    ],
)
def test_refusals_are_one_line(scene, call, says):
    with pytest.raises(UserError) as error:
        model_of(scene, call)
    assert says in str(error.value) and "\n" not in str(error.value)
