import numpy as np
import pytest
from scenes import coarse_scene

from segsynth.crf import nearest_cells
from segsynth.crf.class_density import density, density_exact
from segsynth.crf.heat_map import label_heatmap
from segsynth.errors import UserError

READINGS = ("nearest", "kde_sum", "kde_mean", "softmax_mean")


@pytest.fixture(scope="module")
def scene():
    return coarse_scene(48, 60, noise=14)


@pytest.fixture(scope="module")
def tiny():
    return coarse_scene(16, 20, classes=3, noise=20, erode=2)


def scores(image, labels, classes, reading, tau, xy, rgb):
    """Eq. 2 in plain loops over classes, and the distances."""
    y, x = np.mgrid[: labels.shape[0], : labels.shape[1]]
    points = np.dstack([x / xy, y / xy, image / rgb]).reshape(-1, 5).astype(float)
    distance = np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1))
    flat, out = labels.ravel(), []
    for label in range(classes):
        d = distance[:, flat == label]
        kernel = np.exp(-(d**2) / 2)
        out.append(
            {
                "nearest": lambda d=d, k=kernel: -tau * d.min(1),
                "kde_sum": lambda d=d, k=kernel: np.log(k.sum(1)),
                "kde_mean": lambda d=d, k=kernel: np.log(k.mean(1)),
                "softmax_mean": lambda d=d, k=kernel: k.mean(1),
            }[reading]()
        )
    return np.stack(out, -1).reshape(*labels.shape, classes)


@pytest.mark.parametrize("reading", READINGS)
def test_exact_is_the_formula(tiny, reading):
    image, _, labels = tiny
    heat = label_heatmap(image, labels, 3, reading=reading, tau=1.5, xy=0.2, rgb=60.0, exact=True)
    s = scores(image, labels, 3, reading, 1.5, 0.2 * 20, 60.0)
    expected = np.exp(s - s.max(-1, keepdims=True))
    expected /= expected.sum(-1, keepdims=True)
    unlabelled = labels < 0
    assert unlabelled.mean() > 0.2
    np.testing.assert_allclose(heat[unlabelled], expected[unlabelled], atol=1e-5)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("reading", READINGS)
def test_rows_are_probabilities_and_given_labels_stay(scene, reading, exact):
    image, _, labels = scene
    labels = np.where(labels == 1, -1, labels)
    heat = label_heatmap(image, labels, 6, reading=reading, exact=exact)
    assert heat.shape == (48, 60, 6) and heat.dtype == np.float32
    known = labels >= 0
    assert np.array_equal(heat[known], np.eye(6, dtype=np.float32)[labels[known]])
    assert not heat[..., [1, 4, 5]].any()
    assert np.abs(heat.sum(-1) - 1).max() <= 1e-6 and (heat >= 0).all()
    assert (heat[~known].max(-1) < 1).any()


def test_cells_find_the_class_that_the_exact_search_finds(scene):
    image, _, labels = scene
    cells, exact = (label_heatmap(image, labels, 4, exact=exact) for exact in (False, True))
    gap = labels < 0
    assert (cells[gap].argmax(-1) == exact[gap].argmax(-1)).mean() >= 0.97
    assert np.abs(cells - exact)[gap].mean() < 0.02


def test_cells_give_the_distance_itself():
    rng = np.random.default_rng(0)
    queries, points = rng.random((2, 400, 5), np.float32) * 3
    labels = rng.integers(0, 2, 400)
    cells = nearest_cells.nearest_by_cells(queries, points, labels, 2)
    exact = nearest_cells.nearest_exact(queries, points, labels, 2)
    assert np.abs(cells - exact).mean() < 0.05 and exact.mean() > 0.5
    assert (cells.argmin(1) == exact.argmin(1)).mean() > 0.95


def test_cells_agree_with_the_exact_search_on_a_street(test_data):
    Image = pytest.importorskip("PIL.Image")
    folder = test_data / "street_camvid"
    if not folder.is_dir():
        pytest.skip("no street_camvid in the test data")
    stem = (folder / "val.txt").read_text().split()[0]
    image = np.asarray(Image.open(folder / f"images/{stem}.jpg").convert("RGB"))[::2, ::2]
    coarse = np.asarray(Image.open(folder / f"coarse/{stem}.png")).astype(int)[::2, ::2]
    labels = np.where(coarse < 11, coarse, -1)[60:150, 60:180]
    image = image[60:150, 60:180]
    cells, exact = (label_heatmap(image, labels, 11, exact=exact) for exact in (False, True))
    gap = labels < 0
    assert (cells[gap].argmax(-1) == exact[gap].argmax(-1)).mean() >= 0.97


def test_the_lattice_gives_the_density_of_a_class(scene):
    image, _, labels = scene
    sums = density(image, labels, 4, xy=5.0, rgb=30.0)
    y, x = np.mgrid[:48, :60]
    points = np.dstack([x / 5, y / 5, image / 30]).reshape(-1, 5)
    known = labels.ravel() >= 0
    exact = density_exact(points, points[known], labels.ravel()[known], 4).reshape(48, 60, 4)
    factor = sums.sum() / exact.sum()
    assert 0.3 < factor < 1.1
    assert np.abs(sums / factor - exact).sum() / exact.sum() < 0.05


def test_where_no_label_is_near_densities_fall_back_to_the_nearest(scene):
    image, _, labels = scene
    image = image.copy()
    spot = tuple(np.argwhere(labels < 0)[0])
    image[spot] = [255, 0, 255]
    nearest = label_heatmap(image, labels, 4)
    for reading in ("kde_sum", "kde_mean", "softmax_mean"):
        heat = label_heatmap(image, labels, 4, reading=reading)
        np.testing.assert_allclose(heat[spot], nearest[spot], atol=1e-6)


def test_merging_takes_means_and_never_wraps(monkeypatch):
    points = np.random.default_rng(0).normal(0, 50, (500, 5)).astype(np.float32)
    means, mine = nearest_cells.merge(points, 20.0)
    assert len(means) < 500
    cell = mine == mine[0]
    np.testing.assert_allclose(means[mine[0]], points[cell].mean(0), rtol=1e-5)
    assert np.ptp(np.floor(points[cell] / 20.0), axis=0).max() == 0
    monkeypatch.setattr(nearest_cells, "_LARGEST", 600 * 30)
    again, other = nearest_cells.merge(points, 20.0)
    assert np.array_equal(again[other], means[mine])


def test_one_class_is_everywhere_and_full_maps_are_one_hot(scene):
    image, truth, _ = scene
    one = np.full(truth.shape, -1)
    one[3, 4] = 2
    assert np.array_equal(
        label_heatmap(image, one, 5), np.broadcast_to(np.eye(5, dtype=np.float32)[2], (48, 60, 5))
    )
    assert np.array_equal(label_heatmap(image, truth, 4), np.eye(4, dtype=np.float32)[truth])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"labels": np.full((48, 60), -1)}, "no pixel is labelled"),
        ({"num_classes": 3}, "label 3, expected 0..2"),
        ({"labels": np.zeros((5, 6), int)}, "resize"),
        ({"labels": np.zeros((48, 60))}, "float64"),
        ({"image": np.full((48, 60, 3), 0.5)}, "multiply"),
        ({"image": np.full((48, 60, 3), np.nan)}, "NaN"),
        ({"image": np.zeros((48, 60), np.uint8)}, "expected"),
        ({"image": np.full((48, 60, 3), 257, np.uint16)}, "divide its 16 bits by 257"),
        ({"image": np.full((48, 60, 3), -1, np.int16)}, "not in 0..255"),
        ({"tau": 0.0}, "tau"),
        ({"rgb": float("inf")}, "rgb"),
    ],
)
def test_refusals_are_one_line(scene, change, says):
    image, _, labels = scene
    arguments = {"image": image, "labels": labels, "num_classes": 4} | change
    with pytest.raises(UserError) as error:
        label_heatmap(**arguments)
    assert says in str(error.value) and "\n" not in str(error.value)
