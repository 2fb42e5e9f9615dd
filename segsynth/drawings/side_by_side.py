"""Drawings in one picture: what two methods draw differently, and a training by its steps."""

import logging
import pathlib
from collections.abc import Mapping
from os import PathLike

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from segsynth import predict
from segsynth.data import pictures
from segsynth.engine import images
from segsynth.engine.checkpoints import Checkpoints
from segsynth.engine.run import Run
from segsynth.errors import UserError

log = logging.getLogger(__name__)

#: How pale lines are that both drawings have: one third of their ink.
_SHARED = 3


def diff_map(
    base: UInt8[np.ndarray, "h w 1"], ours: UInt8[np.ndarray, "H W 1"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Return what ``ours`` draws beyond ``base`` in red, and what it leaves out in blue.

    As strong as the difference of their greys; lines of both are pale grey (as Choi and Lee, 2023,
    fig. 4). Both are dark ink on white.

    Raises:
        UserError: drawings of two sizes.

    """
    if base.shape != ours.shape:
        (a, b), (c, d) = base.shape[:2], ours.shape[:2]
        raise UserError(f"the drawings are {b}x{a} and {d}x{c} px; bring two of one photograph")
    ink = [255 - drawing[..., 0].astype(np.int16) for drawing in (base, ours)]
    added, removed = (np.maximum(x, 0) for x in (ink[1] - ink[0], ink[0] - ink[1]))
    ground = 255 - np.minimum(*ink) // _SHARED
    channels = (ground - removed, ground - added - removed, ground - added)
    return np.clip(np.stack(channels, axis=-1), 0, 255).astype(np.uint8)


def diff_maps(
    base: str | PathLike, ours: str | PathLike, output: str | PathLike
) -> list[pathlib.Path]:
    """Write the `diff_map` of each drawing of two folders; return the files.

    Drawings are joined by their path without suffix. Both folders must hold the same.

    Raises:
        UserError: a drawing without a partner, or of another size than it.

    """
    output, written = pathlib.Path(output), []
    for stem, (first, second) in tqdm(joined(base, ours).items(), unit="picture", disable=None):
        try:
            found = diff_map(*(pictures.read_drawing(path) for path in (first, second)))
        except UserError as error:
            raise UserError(f"{first} with {second}: {error}") from error
        written.append(output / f"{stem}.png")
        written[-1].parent.mkdir(parents=True, exist_ok=True)
        pictures.write_png(written[-1], found)
    log.info("wrote %d pictures to %s", len(written), output)
    return written


def epoch_strip(
    photo: UInt8[np.ndarray, "h w 3"], drawings: Mapping[str, UInt8[np.ndarray, "h w _"]]
) -> UInt8[np.ndarray, "H W 3"]:
    """Lay a photograph and its drawings out in a row, each under its caption, in their order."""
    drawn = {name: np.broadcast_to(drawing, photo.shape) for name, drawing in drawings.items()}
    columns = {"photo": photo, **drawn}
    return images.grid({name: picture[None] for name, picture in columns.items()})


def strip_of_run(
    run: str | PathLike,
    image: str | PathLike,
    output: str | PathLike,
    *,
    phase: str = "",
    steps: tuple[int, ...] = (),
) -> pathlib.Path:
    """Write the `epoch_strip` of a photograph for the checkpoints that a run has kept.

    Args:
        run: the workdir of a training, whose ``eval.keep`` says how many checkpoints it keeps.
        image: the photograph.
        output: PNG file.
        phase: which phase; the last one trained by default.
        steps: which checkpoints; all by default.

    Raises:
        UserError: no such checkpoint, a phase that makes no drawings.

    """
    opened = Run.open(run)
    phase = phase or opened.last_trained()
    with Checkpoints(opened.directory(phase).checkpoints, read_only=True) as checkpoints:
        kept = checkpoints.steps
    photo, drawings = pictures.read_image(image), {}
    for step in tqdm(steps or kept, unit="checkpoint", disable=None):
        one = predict.load(run, phase=phase, step=step)
        made = one.system.outputs[0]
        if made not in ("drawing", "colour_drawing"):
            raise UserError(f"phase {phase} of {run} makes no drawings; give another --phase")
        drawings[f"step {step}"] = one(image=photo)[made]
    output = pathlib.Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    pictures.write_png(output, epoch_strip(photo, drawings))
    log.info("wrote %s", output)
    return output


def joined(*folders: str | PathLike) -> dict[str, tuple[pathlib.Path, ...]]:
    """Return the pictures of several folders by their path without suffix, in order.

    Raises:
        UserError: an empty folder, a picture that is not in all of them.

    """
    found = [_by_stem(pathlib.Path(folder)) for folder in folders]
    for i, here in enumerate(found):
        for folder, there in zip(folders, found, strict=True):
            if lacking := sorted(set(here) - set(there)):
                raise UserError(
                    f"{here[lacking[0]]} has no partner in {folder}; draw the same photographs "
                    f"for {folders[i]} and {folder}"
                )
    return {stem: tuple(files[stem] for files in found) for stem in sorted(found[0])}


def _by_stem(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    listed = pictures.list_pictures(folder)
    if not listed:
        raise UserError(f"{folder} holds no pictures; check the path")
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in listed}
