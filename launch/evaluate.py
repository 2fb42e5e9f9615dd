"""Evaluate a checkpoint, a method without training, or any pictures: prints a table, writes it.

python launch/evaluate.py --run runs/inpaint_c2f
python launch/evaluate.py --run runs/inpaint_c2f-photos --data-root DIR --split all --output DIR2
python launch/evaluate.py --config configs/crf_coarse.py
python launch/evaluate.py --config configs/crf_coarse.py:camvid --data-root DIR
python launch/evaluate.py --folders REAL FAKE
python launch/evaluate.py --folders REAL FAKE --unpaired --metrics frechet

Values of a config are set by --config.<key>=<value>.
"""

import argparse
import sys

from segsynth import cli


def parser() -> cli.Flags:
    """Return the flags of this script."""
    flags = cli.Flags(__doc__)
    flags.add_argument("--run", default="", metavar="DIR", help="workdir of a training")
    flags.add_argument(
        "--config", default="", metavar="FILE[:PRESET]", help="config of what needs no training"
    )
    flags.add_argument("--phase", default="", help="the last one that was trained by default")
    flags.add_argument("--step", default="newest", help="a number, 'newest' or 'best'")
    flags.add_argument(
        "--output",
        default="",
        metavar="DIR",
        help="<run>/eval/<data>-<split>-<step>, runs/<config>/<data>-<split>, or "
        "runs/folders/<real>-<fake>, where figures of other settings are not replaced",
    )
    flags.add_argument(
        "--data-root", default="", metavar="DIR", help="evaluate on this folder instead"
    )
    flags.add_argument("--split", default="", help="train, val or all; the config's by default")
    flags.add_argument("--examples", type=int, default=0, help="how many; -1 = all of the split")
    _add_folders(flags)
    flags.add_distributed()
    return flags


#: Flags that only --folders has, and flags that it has not.
_OF_FOLDERS = ("metrics", "paired", "features", "lpips", "resize")
_OF_RUNS = ("phase", "step", "data_root", "split", "examples")


def _add_folders(flags: cli.Flags) -> None:
    group = flags.add_argument_group("pictures of any method, docs/metrics.md")
    group.add_argument(
        "--folders", nargs=2, metavar=("REAL", "FAKE"), help="true pictures, and made ones"
    )
    group.add_argument(
        "--metrics", default="", metavar="LIST", help="of frechet,kid,psnr,ssim,lpips,pids; all"
    )
    pairs = group.add_mutually_exclusive_group()
    pairs.add_argument(
        "--paired", action="store_true", default=None, help="by name; where a metric needs it"
    )
    pairs.add_argument(
        "--unpaired", dest="paired", action="store_false", default=None, help="compare whole sets"
    )
    group.add_argument(
        "--features", default="", metavar="REFERENCE", help="pretrained:inception_fid, or standin:"
    )
    group.add_argument(
        "--lpips", default="", metavar="REFERENCE", help="pretrained:lpips_alex, or standin:"
    )
    group.add_argument(
        "--resize", type=int, default=0, metavar="N", help="resample all to N x N pixels first"
    )


def main() -> None:
    """Parse the flags, evaluate."""
    known = parser()
    flags, overrides = known.parse_known_args()
    from segsynth import config_files
    from segsynth.errors import UserError
    from segsynth.evaluate import evaluate_config, evaluate_run

    asked = {name: getattr(flags, name) for name in ("data_root", "split", "examples")}
    if [bool(flags.run), bool(flags.config), bool(flags.folders)].count(True) != 1:
        raise UserError(
            "give --run, the workdir of a training, --config of what needs none, or --folders of "
            "pictures"
        )
    for name in _OF_RUNS if flags.folders else _OF_FOLDERS:
        if getattr(flags, name) != known.get_default(name):
            where = "--run and --config" if flags.folders else "--folders"
            raise UserError(f"--{name.replace('_', '-')} goes with {where} only; leave it out")
    if flags.distributed:
        cli.join_processes()
    if flags.folders:
        _score_folders(flags, overrides)
        return
    if flags.config:
        config, name = config_files.load(flags.config, overrides)
        evaluate_config(config, output=flags.output or f"runs/{name}", **asked)
        return
    if overrides:
        raise UserError(f"unexpected argument '{overrides[0]}'; --help lists them")
    evaluate_run(flags.run, phase=flags.phase, step=flags.step, output=flags.output, **asked)


def _score_folders(flags: argparse.Namespace, overrides: list[str]) -> None:
    from segsynth.errors import UserError
    from segsynth.folders import score_folders

    if overrides:
        raise UserError(f"unexpected argument '{overrides[0]}'; --help lists them")
    score_folders(
        *flags.folders,
        metrics=[name for name in flags.metrics.split(",") if name],
        paired=flags.paired,
        features=flags.features,
        lpips=flags.lpips,
        resize=flags.resize,
        output=flags.output,
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
