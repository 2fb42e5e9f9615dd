r"""What can be read from coarse label maps at most: a map of every region that anyone drew, whole.

  python benchmarks/coarse_limit.py --config configs/mask_restoration.py
  python benchmarks/coarse_limit.py --config configs/mask_restoration.py:camvid \
      --config.data_root=DIR

A region is a connected part of a class in the true map. An oracle that knows the true outline of
every region in which a pixel was labelled, and takes the nearest label elsewhere, cannot know of
regions that were left out; nor can a network, but for what lies in the same place in all pictures.
Beside it the coarse map itself and the nearest label everywhere, over the pictures by which the
config is judged. No network.
"""

import sys
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from segsynth import cli, config_files
from segsynth.data import feed
from segsynth.engine.run import plain
from segsynth.errors import UserError
from segsynth.metrics.restoration import Restored
from segsynth.systems.mask_restoration.baselines import nearest_label


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
    for truth, coarse in examples({**settings, **phases[0]}):
        true = jnp.asarray(truth[None], jnp.uint8)
        for name, found in answers(truth, coarse, system["unlabelled"]).items():
            labels = jnp.asarray(found[None], jnp.uint8)
            metric = Restored.of(labels, true, jnp.ones(1), system["classes"])
            scores[name] = scores[name].merge(metric) if name in scores else metric
        number += 1
    print(f"{number} maps\n\n| | accu % | mIoU % |\n|---|---:|---:|")
    for name, metric in scores.items():
        rates = metric.compute()
        print(f"| {name} | {100 * rates['accuracy']:.1f} | {100 * rates['mean_iou']:.1f} |")


def examples(settings: dict) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the true and the coarse map of each picture, int64 (h, w)."""
    with feed.evaluation(settings, Maps(), seed=settings["seed"]) as batches:
        for batch in batches:
            used = np.asarray(batch["valid"]) > 0
            pair = (np.asarray(batch[name])[used, ..., 0] for name in ("labels", "coarse"))
            yield from zip(*(x.astype(np.int64) for x in pair), strict=True)


def answers(truth: np.ndarray, coarse: np.ndarray, unlabelled: int) -> dict[str, np.ndarray]:
    """Return the maps to judge by name."""
    missing = (coarse == unlabelled) | (coarse == 255)
    left = np.where(missing, unlabelled, coarse)
    fill = nearest_label(jnp.asarray(left[None], jnp.uint8), jnp.asarray(missing[None]))
    nearest = np.asarray(fill)[0].astype(np.int64)
    whole = np.where(drawn(truth, ~missing & (left == truth)), truth, nearest)
    return {"the coarse map": left, "the nearest label": nearest, "drawn regions whole": whole}


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
