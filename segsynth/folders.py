"""Score the pictures of any method: a folder of real ones against a folder of made ones.

What is compared and how, is the protocol of docs/metrics.md; results tell it beside the figures.
"""

import logging
import os
import pathlib
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, NamedTuple

import jax

from segsynth import folder_pictures
from segsynth.engine import digests, imported, provenance, sharding
from segsynth.engine.run import differences, read_json, write_json
from segsynth.errors import UserError
from segsynth.folder_pictures import Folder
from segsynth.folder_scores import (
    OF_FEATURES,
    OF_PAIRS,
    OF_PIXELS,
    OF_SETS,
    Scorer,
    any_of,
    scores,
)
from segsynth.metrics.kernel_distance import SUBSET_SIZE, SUBSETS
from segsynth.metrics.names import PUBLISHED, figure_name
from segsynth.metrics.structural import WINDOW
from segsynth.pretrained import loading
from segsynth.pretrained.inception import FID_SIDE
from segsynth.pretrained.loading import Loaded
from segsynth.settings import unknown

log = logging.getLogger(__name__)

FEATURE_NETWORKS = ("inception_fid", "inception_v3")
#: LPIPS network -> the smallest side that it takes.
LPIPS_NETWORKS = {"lpips_alex": 31, "lpips_vgg": 16, "lpips_squeeze": 19}
#: Packages that decide these figures, besides those that decide all.
_PACKAGES = ("scipy", "pillow")


class Figure(NamedTuple):
    """One row of the table: the value, and of how many pictures it is."""

    name: str
    value: float
    n: str


def score_folders(
    real: str | PathLike,
    fake: str | PathLike,
    *,
    metrics: Sequence[str] = (),
    paired: bool | None = None,
    features: str = "",
    lpips: str = "",
    resize: int = 0,
    output: str | PathLike = "",
    per_device: int = 8,
) -> dict[str, Any]:
    """Compare two folders; prints a table and writes ``<output>/folders.json``.

    The figures of an earlier call are replaced if it was asked the same of the same folders, and
    else kept: this one is refused.

    Args:
        real: folder of true pictures, subfolders included.
        fake: folder of made ones.
        metrics: of `OF_SETS` and `OF_PAIRS`; all if empty, without pairs those of sets.
        paired: whether pictures are partners of those of the same name; by default where
            ``metrics`` has one of `OF_PAIRS`.
        features: ``pretrained:`` or ``standin:`` and the network of the features; by default
            inception_fid, its stand-in where it has not been imported.
        lpips: the same for LPIPS, lpips_alex by default.
        resize: resample all to squares of this side first; 0 = not.
        output: folder of the results; ``runs/folders/<real>-<fake>`` by default.
        per_device: pictures of each folder that a device holds at once.

    Returns:
        what was written.

    Raises:
        UserError: an unknown metric; what `folder_pictures` finds wrong with the folders; too few
            pictures for a metric; a network that cannot be had, or that no metric asks for; figures
            of another call where these are to be written.

    """
    metrics, paired = _asked(metrics, paired)
    _check_needed("features", features, metrics, OF_FEATURES)
    _check_needed("lpips", lpips, metrics, ("lpips",))
    if resize < 0:
        raise UserError(f"--resize {resize}; expected the side of a square in pixels, or 0")
    plan, described, judge = sharding.plan(), None, None
    if any_of(metrics, OF_FEATURES):
        described = _network(features, FEATURE_NETWORKS, "features")
    if "lpips" in metrics:
        judge = _network(lpips, tuple(LPIPS_NETWORKS), "lpips")
    folders = tuple(folder_pictures.listed(pathlib.Path(path)) for path in (real, fake))
    _check(folders, metrics, paired, judge, resize)
    name = "-".join(folder.path.resolve().name for folder in folders)
    file = pathlib.Path(output or f"runs/folders/{name}").absolute() / "folders.json"
    settings = _settings(folders, metrics, paired, resize, described, judge)
    again = _replaces(file, settings)
    scorer = Scorer(metrics, _loaded(described, plan), _loaded(judge, plan), plan)
    values = scores(scorer, folders, paired=paired, resize=resize, per_device=per_device)
    figures = _figures(values, scorer, [len(folder.files) for folder in folders])
    lines = protocol(scorer, folders, paired, resize)
    record = {**_record(figures, lines, scorer, folders), "settings": settings}
    if jax.process_index() == 0:
        write_json(file, record)  # makes the folder
        log.info("%s\n\n%s", table(figures), "\n".join(lines))
        log.info("wrote %s%s", file, ", in place of its former figures" if again else "")
    return record


def _asked(metrics: Sequence[str], paired: bool | None) -> tuple[tuple[str, ...], bool]:
    """Return the metrics in our order, and whether pictures are partners."""
    known = (*OF_SETS, *OF_PAIRS)
    for name in metrics:
        if name not in known:
            raise UserError(unknown(name, known, "--metrics"))
    chosen = set(metrics) or set(OF_SETS if paired is False else known)
    ordered = tuple(name for name in known if name in chosen)
    if paired is False and any_of(ordered, OF_PAIRS):
        name = next(name for name in ordered if name in OF_PAIRS)
        raise UserError(f"--metrics {name} compares partners; leave it out, or --unpaired")
    return ordered, any_of(ordered, OF_PAIRS) if paired is None else paired


def _check_needed(flag: str, given: str, metrics: Sequence[str], readers: Sequence[str]) -> None:
    """Refuse a network that nothing would be computed with."""
    if given and not any_of(metrics, readers):
        raise UserError(
            f"--{flag} {given} goes with --metrics {' or '.join(readers)}, and asked for is "
            f"{','.join(metrics)}; add one, or leave --{flag} out"
        )


def _settings(
    folders: Sequence[Folder],
    metrics: Sequence[str],
    paired: bool,
    resize: int,
    described: Loaded | None,
    judge: Loaded | None,
) -> dict[str, Any]:
    """Return what was asked for: what else the figures depend on are the pictures."""
    return {
        "real": str(folders[0].path.resolve()),
        "fake": str(folders[1].path.resolve()),
        "metrics": ",".join(metrics),
        "paired": paired,
        "resize": resize,
        "features": described and _weights(described),
        "lpips": judge and _weights(judge),
    }


def _replaces(file: pathlib.Path, settings: Mapping[str, Any]) -> bool:
    """Whether there are figures of the same settings; refuse to lose those of others."""
    before = read_json(file)
    if before is None:
        return False
    if found := differences(before.get("settings", {}), settings, free=()):
        raise UserError(
            f"{file} holds figures of other settings ({found[0]}); give another --output"
        )
    return True


def _network(asked: str, allowed: Sequence[str], flag: str) -> Loaded:
    """Return a network without its variables; if none is asked for, the first of ``allowed``, or
    its stand-in.
    """
    reference = asked
    if not asked:
        default = allowed[0]
        there = os.environ.get(loading.FOLDER) and loading.place(default).is_dir()
        reference = f"{'pretrained' if there else 'standin'}:{default}"
        if not there:
            log.warning(
                "%s has not been imported below %s: a stand-in with random weights takes its "
                "place, and its figures say so in their names",
                *(default, loading.FOLDER),
            )
    network = loading.describe(reference)
    if network.name not in allowed:
        raise UserError(f"--{flag} {reference}; expected one of {', '.join(allowed)}")
    return network


def _reference(network: Loaded) -> str:
    return f"{'standin' if network.standin else 'pretrained'}:{network.name}"


def _loaded(network: Loaded | None, plan: sharding.Plan) -> Loaded | None:
    return network and imported.load(_reference(network), plan.replicated)


def _check(
    folders: Sequence[Folder],
    metrics: Sequence[str],
    paired: bool,
    lpips: Loaded | None,
    resize: int,
) -> None:
    """Refuse folders that cannot be compared; say which files are no pictures."""
    for folder in folders:
        if folder.left_out:
            log.warning(
                "%s: left out what is no picture by its name, %d in all, such as %s",
                *(folder.path, len(folder.left_out), folder.left_out[0]),
            )
    if paired:
        folder_pictures.check_partners(*folders)
    for folder in folders:
        if len(folder.files) < 2 and any_of(metrics, OF_SETS):
            only = next(iter(folder.files.values()))
            raise UserError(
                f"{only} is the only picture of {folder.path}; a distance of two sets needs 2 of "
                "each, and thousands to mean something: ask for --metrics psnr,ssim,lpips"
            )
    if any_of(metrics, OF_PIXELS):
        needed = [WINDOW] * any_of(metrics, ("psnr", "ssim"))
        needed += [LPIPS_NETWORKS[lpips.name]] if lpips is not None else []
        folder_pictures.check_sizes(*folders, max(needed), resize)


def _figures(values: Mapping[str, Any], scorer: Scorer, counts: Sequence[int]) -> list[Figure]:
    """Return the rows, under the names that the networks' weights allow."""
    sets, pairs = f"{counts[0]} real, {counts[1]} fake", f"{counts[0]} pairs"
    figures = []
    if "fid" in values:
        figures.append(Figure(figure_name("fid", scorer.features), values["fid"], sets))
    if "kid" in values:
        name, (mean, std) = figure_name("kid", scorer.features), values["kid"]
        figures += [Figure(name, mean, sets), Figure(f"{name}/std", std, sets)]
    figures += [Figure(key, values[key], pairs) for key in ("psnr", "ssim") if key in values]
    if "lpips" in values:
        name = next(k for k, v in PUBLISHED.items() if v.network == scorer.lpips.name)
        figures.append(Figure(figure_name(name, scorer.lpips), values["lpips"], pairs))
    for key in ("p_ids", "u_ids"):
        if key in values:
            figures.append(Figure(figure_name(key, scorer.features), values[key], pairs))
    return figures


def table(figures: Sequence[Figure]) -> str:
    """Lay the figures out as a Markdown table."""
    rows = [(figure.name, f"{figure.value:.6g}", figure.n) for figure in figures]
    widths = [max(len(row[i]) for row in (*rows, ("figure", "value", "n"))) for i in range(3)]
    a, b, c = widths
    lines = [f"| {'figure':{a}} | {'value':>{b}} | {'n':{c}} |"]
    lines += [f"|{'-' * (a + 2)}|{'-' * (b + 1)}:|{'-' * (c + 2)}|"]
    return "\n".join(lines + [f"| {x:{a}} | {y:>{b}} | {z:{c}} |" for x, y, z in rows])


def protocol(scorer: Scorer, folders: Sequence[Folder], paired: bool, resize: int) -> list[str]:
    """Return in words what was compared and how, one line for each part."""
    metrics = scorer.metrics
    size = f"resampled to {resize} x {resize} px (bicubic, antialiased)" if resize else "as stored"
    lines = [f"pictures: 8-bit RGB, {size}; {'pairs by name' if paired else 'whole sets'}"]
    if scorer.features is not None:
        lines.append(
            f"features: {_weights(scorer.features)}; bilinear to {FID_SIDE} x {FID_SIDE}, "
            "half-pixel centres, not antialiased; mean over the last maps"
        )
    if "frechet" in metrics:
        lines.append("Fréchet distance: covariances over n - 1, float64")
    if "kid" in metrics:
        counts = [len(folder.files) for folder in folders]
        size = min(SUBSET_SIZE, *counts)
        subsets = "one subset of all" if size == max(counts) else f"{SUBSETS} subsets of {size}"
        lines.append(f"kernel distance: (x.y / d + 1)^3, unbiased, {subsets}, not scaled")
    if "pids" in metrics:
        lines.append("fooling rates: linear support vector machine, cost 1, shares in [0, 1]")
    if any_of(metrics, ("psnr", "ssim")):
        lines.append(
            "PSNR: mean over pictures in dB, at most 100; SSIM: Gaussian windows of 11, "
            "deviation 1.5, inside the picture, each channel of RGB"
        )
    if scorer.lpips is not None:
        lines.append(f"perceptual distance: {_weights(scorer.lpips)}; mean over pictures")
    versions = ", ".join(f"{n} {v}" for n, v in provenance.versions(*_PACKAGES).items())
    return [*lines, f"versions: {versions}"]


def _weights(network: Loaded) -> str:
    if network.standin:
        return f"{_reference(network)}, random weights: a stand-in"
    found = ", ".join(sha[:16] for sha in network.sha256)
    return f"{_reference(network)}, sha256 {found}{'' if network.published else ', unlisted'}"


def _record(
    figures: Sequence[Figure], lines: Sequence[str], scorer: Scorer, folders: Sequence[Folder]
) -> dict[str, Any]:
    """Return all that stands in the result file."""
    return {
        "metrics": {figure.name: figure.value for figure in figures},
        "n": {figure.name: figure.n for figure in figures},
        "protocol": list(lines),
        "networks": {
            "features": _network_record(scorer.features),
            "lpips": _network_record(scorer.lpips),
        },
        "folders": {
            "real": _folder_record(folders[0]),
            "fake": _folder_record(folders[1]),
        },
        "versions": provenance.versions(*_PACKAGES),
    }


def _network_record(network: Loaded | None) -> dict[str, Any] | None:
    if network is None:
        return None
    return {
        "reference": _reference(network),
        "published": network.published,
        "sha256": list(network.sha256),
        "variables": digests.digest(network.variables),
    }


def _folder_record(folder: Folder) -> dict[str, Any]:
    return {
        "path": str(folder.path.resolve()),
        "n": len(folder.files),
        "left_out": list(folder.left_out),
    }
