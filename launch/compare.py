r"""Compare phases of a run on the same pictures: how often which is better, with an interval.

python launch/compare.py --run runs/drawing_table/seed0
python launch/compare.py --run DIR --pair baseline:segmentation --examples -1
python launch/compare.py --run DIR --pair baseline:segmentation --data-root FIVEK \
    --set data.source=fivek --set system.seg.mode=off --set system.loss.geometry=0.0 \
    --set "system.judged_by=('subject',)"

The pairs are those of the run's config unless some are given.
"""

import sys

from segsynth import cli


def parser() -> cli.Flags:
    """Return the flags of this script."""
    flags = cli.Flags(__doc__)
    flags.add_argument("--run", required=True, metavar="DIR", help="workdir of a training")
    flags.add_argument(
        "--pair", action="append", default=[], metavar="BASELINE:OURS", help="phases; repeatable"
    )
    flags.add_argument("--data-root", default="", metavar="DIR", help="other data of the same kind")
    flags.add_argument("--split", default="", help="the config's by default")
    flags.add_argument("--examples", type=int, default=0, help="how many; -1 = all of the split")
    flags.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="of a phase's settings"
    )
    flags.add_argument("--output", default="", metavar="DIR", help="<run>/eval by default")
    return flags


def main() -> None:
    """Parse the flags, compare."""
    flags = parser().parse_args()
    from segsynth.errors import UserError
    from segsynth.paired import compare

    def halves(texts: list[str], sign: str) -> list[tuple[str, str]]:
        for text in texts:
            if not all(text.partition(sign)):
                raise UserError(f"'{text}' has no '{sign}' between two words; --help shows how")
        return [(first, second) for first, _, second in (text.partition(sign) for text in texts)]

    compare(
        flags.run,
        halves(flags.pair, ":"),
        data_root=flags.data_root,
        split=flags.split,
        examples=flags.examples,
        changes=dict(halves(flags.set, "=")),
        output=flags.output,
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
