"""When an editor of procedural mouths is good enough, and editors that must not pass for one."""

import numpy as np

#: Metric -> smallest and largest value; of 32 px faces whose jaw stays where it is.
GATE = {
    "accuracy": (0.90, 1.0),
    "to_on": (0.80, 1.0),
    "to_off": (0.80, 1.0),
    "judge2": (0.85, 1.0),
    "psnr_gain": (1.2, np.inf),
    "ssim_out": (0.990, 1.0),
    "edit_ratio": (0.3, 1.5),
}
#: The same for the mask.
MASK_GATE = {
    "coverage": (0.75, 1.0),
    "same_coverage": (0.85, 1.0),
    "iou": (0.35, 1.0),
    "leakage": (0.0, 0.01),
}


def failures(metrics, gate=GATE):
    """The metrics that are out of their range."""
    return [name for name, (low, high) in gate.items() if not low <= metrics[name] <= high]


def mouth_box(guides):
    """The rows and columns of every picture that hold a guide, a little widened, as slices."""
    boxes = []
    for guide in guides[..., 0]:
        rows, columns = np.where(guide > 0)
        boxes.append(
            (
                slice(max(0, rows.min() - 2), rows.max() + 3),
                slice(max(0, columns.min() - 2), columns.max() + 3),
            )
        )
    return boxes


def paste(images, guides, sources):
    """Each picture with the mouth's box of another one."""
    pasted = images.copy()
    for picture, source, (rows, columns) in zip(pasted, sources, mouth_box(guides), strict=True):
        picture[rows, columns] = source[rows, columns]
    return pasted


def mean_of(images, labels, target):
    """For each wanted value, the mean picture of the faces that have it."""
    means = {value: images[labels == value].mean(axis=0) for value in (0, 1)}
    return np.stack([means[int(value)] for value in target]).astype(images.dtype)


def nearest_of(images, labels, queries, target):
    """For each query, the most similar picture of the faces that have the wanted value."""
    flat, asked = images.reshape(len(images), -1), queries.reshape(len(queries), -1)
    distance = (flat**2).sum(1)[None] - 2 * asked @ flat.T
    distance = np.where(labels[None] == np.asarray(target)[:, None], distance, np.inf)
    return images[distance.argmin(axis=1)]
