"""Writes tests/golden/confusion.npz: rates of label maps by scikit-learn and the Cityscapes tools.

    python tests/oracles/confusion.py

``truth`` and ``predicted`` are uint8 maps of published Cityscapes ids, 0..33: some classes are
missing, some are only predicted, some pixels are wrongly void. ``iou`` and ``mean_iou`` are the
benchmark's own, for the 19 classes in the order of their train ids, NaN where it says so.
``jaccard`` and ``recall`` are scikit-learn's over the pixels whose true label is one of the 19.
"""

import argparse
import pathlib

import numpy as np
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as benchmark
from cityscapesscripts.helpers.labels import labels
from sklearn.metrics import jaccard_score, recall_score

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "confusion.npz"


def maps(rng):
    """Four pictures, and answers that are right in about two pixels of three."""
    ids = [label.id for label in labels if label.id >= 0]
    present = [i for i in ids if i not in (14, 16, 31)]  # a train is never there
    truth = rng.choice(present, (4, 24, 40))
    wrong = rng.choice(ids, truth.shape)
    predicted = np.where(rng.random(truth.shape) < 0.65, truth, wrong)
    predicted[predicted == 27] = 26  # trucks are there, and never found
    return truth.astype(np.uint8), predicted.astype(np.uint8)


def main():
    truth, predicted = maps(np.random.default_rng(0))
    arguments = argparse.Namespace(evalLabels=[label.id for label in labels if label.id >= 0])
    counts = benchmark.generateMatrix(arguments)
    np.add.at(counts, (truth.ravel(), predicted.ravel()), 1)
    trained = sorted((x for x in labels if not x.ignoreInEval), key=lambda x: x.trainId)
    iou = [benchmark.getIouScoreForLabel(x.id, counts, arguments) for x in trained]
    scores = {x.name: value for x, value in zip(trained, iou, strict=True)}
    judged = np.isin(truth, [x.id for x in trained])
    ids = [x.id for x in trained]
    both = dict(labels=ids, average=None, zero_division=0)
    np.savez_compressed(
        GOLDEN,
        truth=truth,
        predicted=predicted,
        iou=iou,
        mean_iou=benchmark.getScoreAverage(scores, arguments),
        jaccard=jaccard_score(truth[judged], predicted[judged], **both),
        recall=recall_score(truth[judged], predicted[judged], **both),
    )


if __name__ == "__main__":
    main()
