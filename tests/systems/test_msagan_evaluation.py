"""Scores of edits on faces made by hand, where every number is known."""

import clu.metrics
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segsynth.metrics.names import name_of
from segsynth.metrics.structural import ssim_map
from segsynth.systems.msagan import evaluation
from segsynth.systems.msagan.evaluation import Faces, each, edit_scores

SIDE, COUNT = 32, 6
ROWS, COLUMNS = slice(18, 22), slice(12, 20)


def judge(pictures):
    """The attribute: a bright mouth."""
    return pictures[:, ROWS, COLUMNS].mean((1, 2, 3))[:, None]


def brightest(pictures):
    """Another judge: a mouth with one bright pixel."""
    return pictures[:, ROWS, COLUMNS].max((1, 2, 3))[:, None] - 0.9


JUDGES = {"judge": judge, "judge2": brightest}
TARGET = np.array([1, 1, 1, 1, 0, 0], np.float32)


def people():
    """Faces of noise whose mouths are dark where they are to become bright, and the reverse."""
    random = np.random.default_rng(0)
    image = random.uniform(-0.2, 0.2, (COUNT, SIDE, SIDE, 3)).astype(np.float32)
    truth = image.copy()
    guide = np.zeros((COUNT, SIDE, SIDE, 1), np.float32)
    guide[:, ROWS, COLUMNS] = 1.0
    sign = np.where(TARGET > 0, 1.0, -1.0)[:, None, None, None].astype(np.float32)
    image[:, ROWS, COLUMNS] = -sign
    truth[:, ROWS, COLUMNS] = sign
    return Faces(*(jnp.asarray(x) for x in (image, TARGET, guide, np.ones(COUNT), truth)))


@jax.jit
def computed(faces, edited, masks):
    return edit_scores(Faces(*faces), edited, masks, JUDGES)


def scored(faces, edited, mask=None):
    mask = faces.guide if mask is None else jnp.asarray(mask)
    arrays = (faces.image, faces.target, faces.guide, faces.valid, faces.truth)
    found = computed(arrays, jnp.asarray(edited), {"edit": mask, "same": 0.5 * mask})
    return {name: float(metric.compute()) for name, metric in found.items()}


def test_an_untouched_face_and_a_true_edit():
    faces = people()
    kept = scored(faces, faces.image, jnp.zeros_like(faces.guide))
    assert kept["accuracy"] == kept["to_on"] == kept["to_off"] == kept["judge2"] == 0.0
    assert kept["ssim"] == kept["ssim_out"] == 1.0
    assert kept["psnr_gain"] == kept["edit_ratio"] == kept["coverage"] == 0.0
    assert kept["collapsed"] == 1.0 and kept["n"] == COUNT
    true = scored(faces, faces.truth)
    assert true["accuracy"] == true["judge2"] == 1.0 and true["edit_ratio"] == pytest.approx(1.0)
    assert true["psnr_gain"] > 90 and true["collapsed"] == 0.0
    for name in ("accuracy", "judge2", "ssim", "ssim_out"):
        assert true[name] == pytest.approx(true[f"oracle__{name}"])
    assert kept["oracle__accuracy"] == 1.0 and true["identity__accuracy"] == 0.0


def test_half_of_an_edit():
    faces = people()
    half = faces.image + 0.5 * (faces.truth - faces.image)
    found = scored(faces, half + 1e-3)  # all mouths a little bright
    assert found["to_on"] == 1.0 and found["to_off"] == 0.0
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["balanced"] == pytest.approx(0.5)
    assert found["edit_ratio"] == pytest.approx(0.5, abs=1e-3)
    assert found["psnr_gain"] == pytest.approx(20 * np.log10(2), abs=0.05)
    assert found["judge2"] == pytest.approx(2 / 6)  # no pixel is bright enough for the other judge


def test_masks_against_guides():
    faces = people()
    mask = np.zeros((COUNT, SIDE, SIDE, 1), np.float32)
    mask[:, 18:22, 12:16] = 0.8  # half of the guide
    mask[:, 18:22, 8:12] = 0.6  # as much beside it
    mask[:, 0, :16] = 0.9  # and far away
    found = scored(faces, faces.truth, mask)
    assert found["coverage"] == pytest.approx(0.4)
    assert found["same_coverage"] == pytest.approx(0.2)
    assert found["iou"] == pytest.approx(16 / (32 + 16 + 16))
    assert found["same_iou"] == 0.0
    near = (4 + 2 * 2) * (8 + 2 * 2)  # the guide widened by 2 px, a sixteenth of the side
    leaked = 0.9 * 16 + 0.6 * 4 * 2
    assert found["leakage"] == pytest.approx(leaked / (SIDE**2 - near), rel=1e-5)
    assert found["mask_mean"] == pytest.approx(mask.mean(), rel=1e-5)


def test_similarity_outside_leaves_the_widened_guide_out():
    faces = people()
    found = scored(faces, faces.truth)
    similarity = np.asarray(ssim_map(faces.truth, faces.image)).mean(-1)
    outside = np.ones((SIDE, SIDE), bool)
    outside[16:24, 10:22] = False
    expected = similarity[:, outside[5:-5, 5:-5]].mean()
    assert found["ssim_out"] == pytest.approx(float(expected), rel=1e-5)
    assert found["ssim"] < found["ssim_out"] < 1.0


def test_a_face_without_a_guide_and_one_that_is_padding():
    faces = people()
    guide = faces.guide.at[0].set(0.0)
    mask = guide.at[0].set(1.0)
    some = Faces(faces.image, faces.target, guide, faces.valid, faces.truth)
    found = scored(some, faces.truth, mask)
    assert found["coverage"] == found["iou"] == 1.0 and found["leakage"] == 0.0
    fewer = Faces(faces.image, faces.target, guide, faces.valid.at[4:].set(0.0), faces.truth)
    found = scored(fewer, faces.image)
    assert found["n"] == 4 and np.isnan(found["to_off"])


def test_photographs_have_no_truth():
    faces = people()
    photos = Faces(faces.image, faces.target, faces.guide, faces.valid)
    masks = {"edit": faces.guide, "same": faces.guide}
    found = edit_scores(photos, faces.image, masks, JUDGES)
    assert not {"psnr_gain", "edit_ratio"} & set(found)
    assert not any(name.startswith("oracle") for name in found)
    values = {name.replace("__", "/"): float(m.compute()) for name, m in found.items()}
    assert "oracle" not in evaluation.report(values)


NAMES = ("Smiling", "5_o_Clock_Shadow", "Bald")


def of_two(edited, mask):
    """Scores of edits of two attributes in turn; nobody has the third one edited."""
    faces, which = people(), jnp.arange(COUNT) % 2

    @jax.jit
    def scored(arrays, edited, mask):
        given = Faces(*arrays)
        found = edit_scores(given, edited, {"edit": mask, "same": mask}, JUDGES)
        return found | each(NAMES, which, given, edited, mask, JUDGES)

    arrays = (faces.image, faces.target, faces.guide, faces.valid, faces.truth)
    found = scored(arrays, jnp.asarray(edited(faces)), jnp.asarray(mask(faces)))
    values = clu.metrics.Collection.create_collection(**found).compute()
    return {name_of(name): float(value) for name, value in values.items()}


def test_each_of_several_attributes_has_its_own_scores():
    first = (jnp.arange(COUNT) % 2 == 0)[:, None, None, None]
    found = of_two(lambda f: jnp.where(first, f.truth, f.image), lambda f: f.guide)
    assert found["accuracy"] == 0.5 and found["collapsed"] == 1.0  # of one of them
    for name, reached in zip(NAMES, (1.0, 0.0), strict=False):
        assert found[f"{name}/accuracy"] == found[f"{name}/judge2"] == reached
        assert found[f"{name}/identity/accuracy"] == found[f"{name}/identity/judge2"] == 0.0
        assert found[f"{name}/collapsed"] == 1.0 - reached and found[f"{name}/n"] == 3
    assert np.isnan(found["Bald/accuracy"]) and np.isnan(found["Bald/collapsed"])
    lines = evaluation.report(found, NAMES).splitlines()
    assert lines[-1].startswith("collapsed: yes") and lines[-1].endswith("(of 5_o_Clock_Shadow)")
    rows = {line.split("|")[1].strip(): line for line in lines if line.startswith("|")}
    assert rows["Smiling"].endswith("| 1.000 | 3 | 0.000 |")
    assert rows["5_o_Clock_Shadow"].endswith("| 0.000 | 3 | 1.000 |")
    assert "| 0.000 |" in rows["Smiling, identity"]


def test_the_mask_of_one_of_several_attributes_may_be_silent():
    first = (jnp.arange(COUNT) % 2 == 0)[:, None, None, None]
    found = of_two(lambda f: f.truth, lambda f: jnp.where(first, f.guide, 0.0))
    assert found["accuracy"] == 1.0 and found["collapsed"] == 1.0
    assert [found[f"{name}/collapsed"] for name in NAMES[:2]] == [0.0, 1.0]
    fine = of_two(lambda f: f.truth, lambda f: f.guide)
    assert fine["collapsed"] == 0.0  # also where one attribute has no face


def test_the_report_has_a_row_for_each_editor():
    faces = people()
    values = {k.replace("__", "/"): v for k, v in scored(faces, faces.truth).items()}
    lines = evaluation.report(values).splitlines()
    names = [line.split("|")[1].strip() for line in lines if line.startswith("|")]
    editors = ["", "---", "this model", "identity", "oracle"]
    assert names == [*editors, "mask of", "---", "the edit", "keeping"]
    assert "judge2" in lines[0] and lines[-1] == "collapsed: no"
    assert "| 1.000 |" in lines[2] and lines[3].startswith("| identity | 0.000 |")
