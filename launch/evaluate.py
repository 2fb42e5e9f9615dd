"""Evaluate a checkpoint, or a method without training: prints a table, writes it and a grid.

python launch/evaluate.py --run runs/inpaint_c2f
python launch/evaluate.py --run runs/inpaint_c2f-photos --data-root DIR --split all --output DIR2
python launch/evaluate.py --config configs/crf_coarse.py
python launch/evaluate.py --config configs/crf_coarse.py:camvid --data-root DIR

Values of a config are set by --config.<key>=<value>.
"""

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
        help="<run>/eval/<data>-<split>-<step>, or runs/<config>/<data>-<split>",
    )
    flags.add_argument(
        "--data-root", default="", metavar="DIR", help="evaluate on this folder instead"
    )
    flags.add_argument("--split", default="", help="train, val or all; the config's by default")
    flags.add_argument("--examples", type=int, default=0, help="how many; -1 = all of the split")
    flags.add_distributed()
    return flags


def main() -> None:
    """Parse the flags, evaluate."""
    flags, overrides = parser().parse_known_args()
    from segsynth import config_files
    from segsynth.errors import UserError
    from segsynth.evaluate import evaluate_config, evaluate_run

    asked = {name: getattr(flags, name) for name in ("data_root", "split", "examples")}
    if bool(flags.run) == bool(flags.config):
        raise UserError("give --run, the workdir of a training, or --config of what needs none")
    if flags.distributed:
        cli.join_processes()
    if flags.config:
        config, name = config_files.load(flags.config, overrides)
        evaluate_config(config, output=flags.output or f"runs/{name}", **asked)
        return
    if overrides:
        raise UserError(f"unexpected argument '{overrides[0]}'; --help lists them")
    evaluate_run(flags.run, phase=flags.phase, step=flags.step, output=flags.output, **asked)


if __name__ == "__main__":
    sys.exit(cli.run(main))
