r"""What can be read from coarse label maps at most: a map of every region that anyone drew, whole.

  python benchmarks/coarse_limit.py --config configs/mask_restoration.py
  python benchmarks/coarse_limit.py --config configs/mask_restoration.py:camvid \
      --config.data_root=DIR

A region is a connected part of a class in the true map. An oracle that knows the true outline of
every region in which a pixel was labelled, and takes the nearest label elsewhere, cannot know of
regions that were left out; nor can a network, but for what lies in the same place in all pictures.
Beside it, over the pictures by which the config is judged:

- the coarse map itself, and the nearest label everywhere;
- the nearest label among those of classes that are evaluated: void that somebody drew stays where
  it was drawn;
- regions grown back: each drawn region is thickened by its own depth, by the annotator's largest
  margin at most, and what several reach is the one's that reaches deepest. That undoes an annotator
  who keeps a margin that depends on the depth of a region, without learning anything.

No network.
"""

import sys
from collections.abc import Iterator, Sequence

import jax.numpy as jnp
import numpy as np
from clu.metrics import Metric
from jaxtyping import Bool
from scipy import ndimage

from segsynth import cli, config_files
from segsynth.data import feed
from segsynth.data.coarsen import REFERENCE, Coarsening
from segsynth.engine.run import plain
from segsynth.errors import UserError
from segsynth.metrics.restoration import mask_scores
from segsynth.systems.mask_restoration.baselines import nearest_label

KEYS = ("accuracy", "mean_iou", "mean_iou_official")


class Maps:
    """What is read of an example."""

    inputs, targets = ("coarse",), ("labels",)


def main() -> None:
    """Parse the flags, judge the maps, print the table."""
    flags = cli.Flags(__doc__)
    flags.add_argument("--config", required=True, metavar="FILE[:PRESET]", help="with coarse maps")
    known, overrides = flags.parse_known_args()
    settings = plain(config_files.load(known.config, overrides)[0])
    phases = [x for x in settings["phases"].values() if x["system"].get("task") == "coarse"]
    if not phases:
        raise UserError(f"{known.config} has no phase of the task coarse; take another preset")
    system, scores, number = phases[0]["system"], {}, 0
    void = [label for label, place in enumerate(system["evaluated"]) if place == 255]
    most = Coarsening(**settings["data"]["coarsening"]).radius[1] / REFERENCE
    for truth, coarse in examples({**settings, **phases[0]}):
        found = answers(truth, coarse, system["unlabelled"], void, most * truth.shape[1])
        for name, metric in judged(found, truth, system).items():
            scores[name] = scores[name].merge(metric) if name in scores else metric
        number += 1
    print(f"{number} maps\n\n| | accu % | mIoU % | mIoU official % |\n|---|---:|---:|---:|")
    for name in found:
        rates = (float(scores[f"{name}__{key}"].compute()) for key in KEYS)
        print(f"| {name} | {' | '.join(f'{100 * rate:.1f}' for rate in rates)} |")


def judged(found: dict[str, np.ndarray], truth: np.ndarray, system: dict) -> dict[str, Metric]:
    """Return the project's own scores of the maps of a picture, ``<name>__<key>``."""
    maps = {name: jnp.asarray(labels[None], jnp.uint8) for name, labels in found.items()}
    known = jnp.zeros((1, *truth.shape), bool)
    scores = mask_scores(
        *(maps, jnp.asarray(truth[None], jnp.uint8), known, jnp.ones(1), system["classes"]),
        evaluated=system["evaluated"],
    )
    return {f"{name}__{key}": scores[f"{name}__{key}"] for name in found for key in KEYS}


def examples(settings: dict) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the true and the coarse map of each picture, int64 (h, w)."""
    with feed.evaluation(settings, Maps(), seed=settings["seed"]) as batches:
        for batch in batches:
            used = np.asarray(batch["valid"]) > 0
            pair = (np.asarray(batch[name])[used, ..., 0] for name in ("labels", "coarse"))
            yield from zip(*(x.astype(np.int64) for x in pair), strict=True)


def answers(
    truth: np.ndarray, coarse: np.ndarray, unlabelled: int, void: Sequence[int], most: float
) -> dict[str, np.ndarray]:
    """Return the maps to judge by name; ``void``: labels that are not evaluated, ``most``: px."""
    missing = (coarse == unlabelled) | (coarse == 255)
    left = np.where(missing, unlabelled, coarse)
    nearest = filled(left, missing)
    evaluated = np.where(missing, filled(left, missing | np.isin(left, void)), left)
    whole = np.where(drawn(truth, ~missing & (left == truth)), truth, nearest)
    return {
        "the coarse map": left,
        "the nearest label": nearest,
        "the nearest evaluated label": evaluated,
        "regions grown back": grown(left, missing, most),
        "drawn regions whole": whole,
    }


def filled(labels: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Return the labels with that of the nearest pixel which is not missing."""
    fill = nearest_label(jnp.asarray(labels[None], jnp.uint8), jnp.asarray(missing[None]))
    return np.asarray(fill)[0].astype(np.int64)


def grown(labels: np.ndarray, missing: np.ndarray, most: float) -> np.ndarray:
    """Return each missing pixel as of the region that reaches it deepest."""
    best, found = np.full(labels.shape, np.inf), labels.copy()
    for label in np.unique(labels[~missing]):
        regions, count = ndimage.label((labels == label) & ~missing, np.ones((3, 3)))
        for number in range(1, count + 1):
            region = regions == number
            # A region goes on beyond the frame.
            depth = ndimage.distance_transform_edt(np.pad(region, 1, mode="edge")).max()
            left = ndimage.distance_transform_edt(~region) - min(most, depth)
            found[missing & (left < best)] = label
            best = np.minimum(best, left)
    return found


def drawn(truth: np.ndarray, labelled: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Return the pixels of regions in which any pixel has its label."""
    found = np.zeros(truth.shape, bool)
    for label in np.unique(truth):
        regions, _ = ndimage.label(truth == label, np.ones((3, 3)))
        seen = np.unique(regions[labelled & (truth == label)])
        found |= np.isin(regions, seen[seen > 0])
    return found


if __name__ == "__main__":
    sys.exit(cli.run(main))
