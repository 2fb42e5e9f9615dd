"""Evaluate a checkpoint: prints a table, writes <output>/<phase>.json and a grid of pictures.

python launch/evaluate.py --run runs/inpaint_c2f
python launch/evaluate.py --run runs/inpaint_c2f-photos --data-root DIR --split all --output DIR2
"""

import sys

from segsynth import cli


def parser() -> cli.Flags:
    """Return the flags of this script."""
    flags = cli.Flags(__doc__)
    flags.add_argument("--run", required=True, metavar="DIR", help="workdir of a training")
    flags.add_argument("--phase", default="", help="the last one that was trained by default")
    flags.add_argument("--step", default="newest", help="a number, 'newest' or 'best'")
    flags.add_argument(
        "--output", default="", metavar="DIR", help="<run>/eval/<data>-<split>-<step>"
    )
    flags.add_argument(
        "--data-root", default="", metavar="DIR", help="evaluate on this folder of pictures instead"
    )
    flags.add_argument("--split", default="", help="train, val or all; the config's by default")
    flags.add_argument("--examples", type=int, default=0, help="how many; -1 = all of the split")
    return flags


def main() -> None:
    """Parse the flags, evaluate."""
    flags = parser().parse_args()
    from segsynth.evaluate import evaluate_run

    evaluate_run(
        flags.run,
        phase=flags.phase,
        step=flags.step,
        output=flags.output,
        data_root=flags.data_root,
        split=flags.split,
        examples=flags.examples,
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
